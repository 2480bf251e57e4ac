"""From the units of a series to those of the methods and back: logarithms of multiplicative series, others shifted
and scaled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MULTIPLICATIVE, LEAST_CHANGE = 1.1, 4e-3
"""From this ratio of the greatest to the least value on, and this mean change of neighbors relative to the mean, a
positive series is multiplicative: logarithms are taken. Of other series the level may be large next to the changes, so
that a share of it says nothing. On windows held out of M3's training parts the combined forecast's sMAPE of quarterly
series is 8.33 with a ratio of 1.02, 8.34 with 1.1, 8.44 with 1.5 and 8.47 with 2.
"""


class Units(NamedTuple):
    """How series were transformed, an entry each.

    Args:
        logs: whether logarithms were taken.
        center: what was subtracted first, zero where logarithms were taken.
        unit: what the values were divided by then.
        floor: below which no value of a forecast may be: zero for a series that never is below it, else minus infinity.
    """

    logs: np.ndarray
    center: np.ndarray
    unit: np.ndarray
    floor: np.ndarray


def align(series: Sequence[np.ndarray], rows: int) -> np.ndarray:
    """Series side by side `(rows, series)`, each ending in the last row; NaN where they had not started. Only the
    last rows are kept.
    """
    table = np.full((rows, len(series)), np.nan)
    for place, one in enumerate(series):
        kept = one[-rows:]
        table[rows - len(kept) :, place] = kept
    return table


def transform(values: np.ndarray) -> tuple[np.ndarray, Units]:
    """Series `(rows, series)` as the methods take them: `log(y / unit)` of multiplicative ones, else
    `(y - center) / unit`.
    """
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    logs = (low > 0) & (high >= MULTIPLICATIVE * np.maximum(low, 1e-300)) & (_change(values, high) >= LEAST_CHANGE)
    middle = low / 2 + high / 2
    center = np.where(logs | (low == 0), 0.0, middle)
    with np.errstate(over="ignore"):
        unit = np.where(logs | (low == 0), high, high / 2 - low / 2)
    unit = np.where(unit > 0, unit, np.where(high != 0, np.abs(high), 1.0))
    units = Units(logs, center, unit, np.where(low >= 0, 0.0, -np.inf))
    divided = (values - center) / unit
    return np.where(logs, np.log(np.where(logs, divided, 1.0)), divided), units


def _change(values: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The mean absolute change of neighbors relative to the mean, one where there are no two."""
    divided = values / np.where(high > 0, high, 1.0)
    changes, known = np.abs(np.diff(divided, axis=0)), ~np.isnan(divided)
    pairs = known[1:] & known[:-1]
    count = pairs.sum(axis=0)
    change = np.where(pairs, changes, 0.0).sum(axis=0) / np.maximum(count, 1)
    mean = np.where(known, np.abs(divided), 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(count > 0, change / np.maximum(mean, 1e-300), 1.0)


def restore(values: np.ndarray, units: Units) -> np.ndarray:
    """Transformed values `(..., series)` in the units of the series again, at or above their floor, and finite."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        plain = np.where(units.logs, np.exp(np.minimum(np.where(units.logs, values, 0.0), 700.0)), values)
        found = plain * units.unit + units.center
    return np.clip(np.maximum(found, units.floor), -np.finfo(float).max, np.finfo(float).max)
