"""From the units of a series to those of the model and back: logarithms of positive series, others as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

INTERMITTENT = 0.2
"""From this share of zeros on, a series that is never negative is intermittent."""


class Units(NamedTuple):
    """How series were transformed, an entry each.

    Args:
        logs: whether logarithms were taken.
        unit: what the values were divided by first.
        floor: below which no value of a forecast may be: zero for a series that never is below it, else minus infinity.
        intermittent: whether the series has many zeros and is never negative.
    """

    logs: np.ndarray
    unit: np.ndarray
    floor: np.ndarray
    intermittent: np.ndarray


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
    """Series `(rows, series)` divided by their greatest absolute value, with logarithms of those that are positive
    throughout.
    """
    least = np.nanmin(values, axis=0)
    unit = np.nanmax(np.abs(values), axis=0)
    unit = np.where(unit > 0, unit, 1.0)
    logs = least > 0
    zeros = np.mean(values == 0, axis=0) / np.maximum(np.mean(~np.isnan(values), axis=0), 1e-9)
    units = Units(logs, unit, np.where(least >= 0, 0.0, -np.inf), (least >= 0) & (zeros >= INTERMITTENT))
    divided = values / unit
    return np.where(logs, np.log(np.where(logs, divided, 1.0)), divided), units


def restore(values: np.ndarray, units: Units) -> np.ndarray:
    """Transformed values `(..., series)` in the units of the series again, at or above their floor, and finite."""
    with np.errstate(over="ignore", under="ignore"):
        found = np.where(units.logs, np.exp(np.minimum(np.where(units.logs, values, 0.0), 700.0)), values) * units.unit
    return np.clip(np.maximum(found, units.floor), -np.finfo(float).max, np.finfo(float).max)
