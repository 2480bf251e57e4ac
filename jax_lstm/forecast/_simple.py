"""The simple methods that any forecast has to beat, in the units of the series, over gaps that are filled as they
are for the others.
"""

from __future__ import annotations

import numpy as np

SIMPLE = ("seasonal naive", "naive", "drift")
"""Their names."""


def simple(filled: np.ndarray, ages: np.ndarray, season: int, horizon: int) -> dict[str, np.ndarray]:
    """The forecasts `(series, horizon)` of every simple method.

    Args:
        filled: series without gaps, `(rows, series)`.
        ages: how many of the last rows belong to each series.
        season: their period.
        horizon: how many steps ahead.

    >>> made = simple(np.array([[1.0], [2.0], [4.0]]), np.array([3]), 2, 3)
    >>> {name: one[0].tolist() for name, one in made.items()}
    {'seasonal naive': [2.0, 4.0, 2.0], 'naive': [4.0, 4.0, 4.0], 'drift': [5.5, 7.0, 8.5]}
    """
    rows, count = filled.shape
    ahead = np.arange(1, horizon + 1)
    last = filled[-1][:, None]
    naive = np.repeat(last, horizon, axis=1)
    seasonal = filled[np.maximum(rows - season + (ahead - 1) % season, 0)].T
    first = filled[rows - ages, np.arange(count)][:, None]
    slope = (last / 2 - first / 2) / np.maximum(ages - 1, 1)[:, None] * 2
    return {
        "seasonal naive": np.where((ages >= season)[:, None], seasonal, naive),
        "naive": naive,
        "drift": last + ahead * slope,
    }
