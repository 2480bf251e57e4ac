"""`Forecasts`: from what methods forecast to the units of the series, with what is special about some of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jax_lstm._repr import html_table
from jax_lstm.forecast._blocks import Block
from jax_lstm.forecast._intervals import at_level
from jax_lstm.forecast._transform import restore

FEWEST = 4
"""With fewer values than this the last one is held."""

UNSEEN_CHANGE = 0.125
"""The standard deviation of a step of a series of so few values, relative to their size."""


class Forecasts(NamedTuple):
    """What is to come, an entry for each series in every tuple.

    Args:
        names: of the series.
        forecast: `(horizon,)` each.
        lower, upper: the ends of the interval of each level, `(horizon,)` each.
        notes: what a person should know about a series, or "".
    """

    names: tuple[str, ...]
    forecast: tuple[np.ndarray, ...]
    lower: dict[float, tuple[np.ndarray, ...]]
    upper: dict[float, tuple[np.ndarray, ...]]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        steps = f"{len(self.forecast[0]):,} steps" if self.forecast else "no steps"
        levels = ", ".join(f"{level:.0%}" for level in self.lower)
        return f"Forecasts({len(self.names):,} series, {steps}, intervals of {levels or 'no level'})"

    def _repr_html_(self) -> str:
        rows = [
            (name, *(f"{value:.4g}" for value in (one[0], one[-1])), note)
            for name, one, note in zip(self.names, self.forecast, self.notes, strict=True)
        ]
        return html_table(["series", "first step", "last step", "notes"], rows, repr(self))


def in_units(
    block: Block, forecast: np.ndarray, sides: np.ndarray, levels: Sequence[float], ends: Sequence[int]
) -> Forecasts:
    """The forecasts in the units of the series, with what is special about some of them; `ends` says for how many of
    its last values a series has been the same.
    """
    values, units, count = block
    known = (~np.isnan(values)).sum(axis=0)
    last = values[-1 - (~np.isnan(values[::-1])).argmax(axis=0), np.arange(values.shape[1])]
    constant = np.nanmax(values, axis=0) == np.nanmin(values, axis=0)
    unchanged = np.r_[ends, np.zeros(len(known) - count, int)]
    held = (known < FEWEST) | constant | (unchanged > 0)
    forecast = np.where(held[:, None], last[:, None], forecast)
    notes = [
        f"{number} value{'s' if number > 1 else ''}: last value held"
        if number < FEWEST
        else "constant: held"
        if same
        else f"the same for the last {run} values: held; has the series ended?"
        if run
        else ""
        for number, same, run in zip(known, constant, unchanged, strict=True)
    ]

    def back(transformed: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(restore(transformed.T, units).T[:count])

    lower, upper = {}, {}
    walk = UNSEEN_CHANGE * np.sqrt(np.arange(1, forecast.shape[1] + 1))
    for level in levels:
        down, up = at_level(level, sides)
        still = np.where((known < FEWEST)[:, None], at_level(level, np.ones((2, 3, 1)))[0] * walk, 0.0)
        down, up = (np.where(constant[:, None], still, one) for one in (down, up))
        lower[level], upper[level] = back(forecast - down), back(forecast + up)
    return Forecasts(("",) * count, back(forecast), lower, upper, tuple(notes[:count]))


def joined(names: tuple[str, ...], parts: list[Forecasts], order: np.ndarray, levels: Sequence[float]) -> Forecasts:
    """Forecasts of several blocks, in the order of the panel."""

    def put(fields: list[tuple[Any, ...]]) -> tuple[Any, ...]:
        every = [one for field in fields for one in field]
        return tuple(every[place] for place in order)

    return Forecasts(
        names,
        put([part.forecast for part in parts]),
        {level: put([part.lower[level] for part in parts]) for level in levels},
        {level: put([part.upper[level] for part in parts]) for level in levels},
        put([part.notes for part in parts]),
    )
