"""Scores of forecasts: MASE, sMAPE, WQL and the coverage of intervals.

All skip actuals that are missing (NaN).
"""

from __future__ import annotations

import numpy as np

QUANTILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""The quantiles of the weighted quantile loss in the benchmark of Chronos (Ansari et al. 2024)."""


def scale(past: np.ndarray, period: int) -> float:
    """The mean absolute error of the seasonal naive forecast in the known part; NaN where it is zero or unknown."""
    if len(past) <= period:
        return np.nan
    found = np.abs(past[period:] - past[:-period])
    return float(np.nanmean(found)) if np.nansum(found) > 0 else np.nan


def mase(past: list[np.ndarray], actuals: np.ndarray, forecast: np.ndarray, period: int) -> float:
    """The mean over series of the mean absolute error over the scale (Hyndman and Koehler 2006); series whose scale
    is zero are left out.
    """
    scales = np.array([scale(one, period) for one in past])
    if np.isnan(scales).all():
        return np.nan
    return float(np.nanmean(np.nanmean(np.abs(actuals - forecast), axis=1) / scales))


def smape(actuals: np.ndarray, forecast: np.ndarray) -> float:
    """The mean over all values of 200 |y - f| / (|y| + |f|), zero where both are zero."""
    size = np.abs(actuals) + np.abs(forecast)
    return float(np.nanmean(200 * np.abs(actuals - forecast) / np.where(size > 0, size, 1)))


def wql(actuals: np.ndarray, quantiles: np.ndarray) -> float:
    """The weighted quantile loss: twice the sum of pinball losses over the sum of |y|, the mean over quantiles.

    Args:
        actuals: `(series, horizon)`.
        quantiles: the forecasts of `QUANTILES`, `(9, series, horizon)`.
    """
    level = np.array(QUANTILES)[:, None, None]
    error = actuals - quantiles
    loss = np.nansum(np.maximum(level * error, (level - 1) * error), axis=(1, 2))
    return float(np.mean(2 * loss / np.nansum(np.abs(actuals))))


def coverage(actuals: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> tuple[float, float, float]:
    """The share of actuals within an interval, in each third of the horizon."""
    inside = np.where(np.isnan(actuals), np.nan, (actuals >= lower) & (actuals <= upper))
    first, second, third = (float(np.nanmean(part)) for part in np.array_split(inside, 3, axis=1))
    return first, second, third


def seasonal_naive(past: np.ndarray, horizon: int, period: int) -> np.ndarray:
    """The value one season before, the newest known one of each phase; the last value where a phase has none."""
    known = past[~np.isnan(past)]
    found = np.full(period, known[-1])
    for phase in range(1, period + 1):
        values = past[len(past) - phase :: -period] if phase <= len(past) else past[:0]
        values = values[~np.isnan(values)]
        if len(values):
            found[-phase] = values[0]
    return np.resize(found, horizon)


def geometric_mean(ratios: list[float]) -> float:
    """The geometric mean; NaN where there is none."""
    return float(np.exp(np.mean(np.log(ratios)))) if ratios else np.nan
