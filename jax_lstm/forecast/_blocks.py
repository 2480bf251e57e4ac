"""Which series are worked on together, and how: by their seasons and lengths alone, side by side and transformed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jax_lstm.forecast._backtest import row_class
from jax_lstm.forecast._series import Panel
from jax_lstm.forecast._transform import Units, align, transform

LONGEST, CYCLES = 512, 5
"""How many of the last rows count: the larger of a number of rows and a number of cycles of the longest season."""

LEAST_CYCLES = 1.2
"""How many cycles of a season a series has to have, the shortest season excepted."""

CHUNK, FEW, SHORT = 256, 64, 128
"""How many series are worked on at once: of up to `SHORT` rows, and of more."""


def blocks(panel: Panel) -> Iterator[tuple[list[int], tuple[float, ...], int]]:
    """The places of series that are worked on together, with their seasons and how many rows they are padded to: both
    depend on each series alone.
    """
    groups: dict[tuple[tuple[float, ...], int], list[int]] = {}
    for place, (one, every) in enumerate(zip(panel.series, panel.season, strict=True)):
        season = usable_season(every, len(one))
        groups.setdefault((season, row_class(min(len(one), longest_for(season)))), []).append(place)
    for (season, rows), places in groups.items():
        size = CHUNK if rows <= SHORT else FEW
        for begin in range(0, len(places), size):
            yield places[begin : begin + size], season, rows


def usable_season(season: tuple[float, ...], rows: int) -> tuple[float, ...]:
    """The seasons with enough cycles in this many rows, and the shortest one."""
    return tuple(period for period in season if period == season[0] or rows >= LEAST_CYCLES * period)


def longest_for(season: tuple[float, ...]) -> int:
    """How many of the last rows of a series count."""
    return max(LONGEST, round(CYCLES * season[-1]) if season else 0)


class Block(NamedTuple):
    """Series of one season and length class side by side, transformed.

    Args:
        values: `(rows, series)`, NaN where missing or not started.
        units: of the transformation.
        number: how many of the columns are series; the others only fill up.
    """

    values: np.ndarray
    units: Units
    number: int

    def transformed(self, values: np.ndarray) -> np.ndarray:
        """Values of the series `(series, steps)` as the methods take them; NaN where a logarithm has none."""
        logs, center, unit = (field[: self.number, None] for field in self.units[:3])
        scaled = (values - center) / unit
        positive = logs & (scaled > 0)
        return np.where(logs, np.where(positive, np.log(np.where(positive, scaled, 1.0)), np.nan), scaled)


def side_by_side(series: Sequence[np.ndarray], rows: int) -> Block:
    """Series transformed, in a block that is filled up."""
    count = len(series)
    size = 8 * -(-count // 8)  # sums run in the same order whatever the number of columns, except for one
    values, units = transform(align([*series, *[np.zeros(1)] * (size - count)], rows))
    return Block(values, units, count)
