"""Inputs beside the series, as further features of the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jax_lstm.forecast._features import Design
from jax_lstm.forecast._panel import Panel


class Inputs(NamedTuple):
    """The means and spreads that inputs are standardised with, of past, future and static ones, `(inputs,)` each.

    Args:
        past, future, static: `(mean, spread)`, or None where there are none.
        ahead: how many steps of the future inputs the network sees.
    """

    past: tuple[np.ndarray, np.ndarray] | None
    future: tuple[np.ndarray, np.ndarray] | None
    static: tuple[np.ndarray, np.ndarray] | None
    ahead: int

    @property
    def size(self) -> int:
        """How many features they come to."""
        sizes = [0 if one is None else len(one[0]) for one in (self.past, self.future, self.static)]
        return sizes[0] + sizes[1] * (1 + self.ahead) + sizes[2]


def standards(panel: Panel, horizon: int) -> Inputs:
    """The standards of a panel's inputs."""

    def of(arrays: tuple[np.ndarray, ...] | None) -> tuple[np.ndarray, np.ndarray] | None:
        if arrays is None:
            return None
        rows = np.concatenate([np.atleast_2d(one) for one in arrays])
        spread = rows.std(axis=0)
        return rows.mean(axis=0), np.where(spread > 0, spread, 1.0)

    return Inputs(of(panel.past), of(panel.future), of(panel.static), horizon)


def input_features(panel: Panel, places: Sequence[int], inputs: Inputs, design: Design) -> np.ndarray | None:
    """The features `(context, series, size)` of some series of the panel.

    At a row the network sees the past inputs of the row, the future ones of the row and of the steps ahead of it,
    and the static ones. Future
    inputs beyond those given are held.

    Raises:
        ValueError: inputs that the model was fitted with are missing, or others are there.
    """
    for kind, given, fitted in (
        ("past", panel.past, inputs.past),
        ("future", panel.future, inputs.future),
        ("static", panel.static, inputs.static),
    ):
        have = 0 if given is None else given[0].shape[-1]
        want = 0 if fitted is None else len(fitted[0])
        if have != want:
            raise ValueError(
                f"the panel has {have} {kind} inputs, but the model was fitted with {want}: give the same ones"
            )
    if inputs.size == 0:
        return None
    found = np.zeros((design.context, len(places), inputs.size))
    for index, place in enumerate(places):
        found[:, index] = _of_series(panel, place, inputs, design.context)
    return np.clip(found, -10, 10)


def _of_series(panel: Panel, place: int, inputs: Inputs, context: int) -> np.ndarray:
    rows = len(panel.series[place])
    at = np.arange(rows - context, rows)
    parts = []
    if inputs.past is not None and panel.past is not None:
        parts.append(_rows(panel.past[place], inputs.past, at))
    if inputs.future is not None and panel.future is not None:
        for ahead in range(inputs.ahead + 1):
            parts.append(_rows(panel.future[place], inputs.future, at + ahead))
    if inputs.static is not None and panel.static is not None:
        mean, spread = inputs.static
        parts.append(np.broadcast_to((panel.static[place] - mean) / spread, (context, len(mean))))
    return np.concatenate(parts, axis=1)


def _rows(values: np.ndarray, standard: tuple[np.ndarray, np.ndarray], at: np.ndarray) -> np.ndarray:
    mean, spread = standard
    return np.where(at[:, None] >= 0, (values[np.clip(at, 0, len(values) - 1)] - mean) / spread, 0.0)
