"""Methods that repeat earlier values at the same phase of the season."""

from __future__ import annotations

import numpy as np

from jax_lstm.forecast._pattern import lags
from jax_lstm.forecast.methods._past import Past

CYCLES = 4
"""How many of the last cycles the seasonal mean is of."""


def seasonal_naive(past: Past) -> np.ndarray:
    """The value of the last cycle, `(columns, horizon)`: of a series younger than that, the last value."""
    return np.where((past.ages >= past.season)[:, None], _cycle(past, 1)[0], past.filled[-1][:, None])


def seasonal_mean(past: Past) -> np.ndarray:
    """The mean over the last `CYCLES` cycles at the same phase; without a season, that of as many last values."""
    total, count = np.zeros((2, *past.coming.shape))
    for back in range(1, CYCLES + 1):
        values, there = _cycle(past, back)
        total += np.where(there, values, 0.0)
        count += there
    return np.where(count > 0, total / np.maximum(count, 1), past.filled[-1][:, None])


def seasonal_drift(past: Past) -> np.ndarray:
    """The value of the last cycle, moved by the change from the cycle before it to the last one: week over week.

    `y[t - m] + k (mean of the last cycle - mean of the one before)`, of the k-th cycle ahead.
    """
    span = round(past.season) if past.season > 1 else CYCLES
    two = past.filled[-2 * span :]
    change = np.where(past.ages >= 2 * span, two[-span:].mean(axis=0) - two[:span].mean(axis=0), 0.0) / span
    base, lag = seasonal_naive(past), lags(past.season, np.arange(1, past.horizon + 1))
    return base + change[:, None] * np.where((past.ages >= span)[:, None], lag, 0)


def _cycle(past: Past, back: int) -> tuple[np.ndarray, np.ndarray]:
    """The values of the last cycle, or of one further back, for every step ahead; and whether each was there."""
    rows, ahead = len(past.filled), np.arange(1, past.horizon + 1)
    at = rows + ahead - 1 - lags(past.season, ahead, back)
    inside = np.maximum(at, 0)
    return past.filled[inside].T, ((at >= 0)[:, None] & past.known[inside]).T
