"""What happens to a series before the network sees it, and back: a power, seasonal means, a scale, windows.

Everything is chosen on the values given, so that a model of the past is prepared from the past alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

STRONG = 0.6
"""The seasonal strength (Wang, Smith and Hyndman 2006) from which on seasonal means are taken off."""


FADING = 0.7
"""The weight of a season relative to the one after it."""


class Preparation(NamedTuple):
    """How a series is prepared; plain numbers and lists, so that JSON keeps it.

    Args:
        season: the period.
        power: 1, 0.5 or 0: the series itself, its square root or its logarithm.
        seasonal: what is taken off each phase of the period, the first row's first; a list of `season` numbers.
        scales: one for each column, the standard deviation of its differences.
    """

    season: int
    power: float
    seasonal: list[float]
    scales: list[float]


def prepare(values: np.ndarray, season: int) -> Preparation:
    """The preparation of `values (time, columns)`, the series first, other inputs after it; NaN where a value is missing."""
    values = fill(values)
    power = _power(values[:, 0], season)
    series = _raise(values[:, 0], power)
    seasonal = _seasonal_means(series, season)
    columns = np.column_stack([series - _phases(seasonal, 0, len(series)), values[:, 1:]])
    scales = np.diff(columns, axis=0).std(axis=0)
    return Preparation(season, power, seasonal.tolist(), np.where(scales > 0, scales, 1.0).tolist())


def apply(preparation: Preparation, values: np.ndarray, start: int = 0) -> np.ndarray:
    """The prepared columns `(time, columns)` of values whose first row is row `start` of those that the preparation was made from."""
    values = fill(values)
    series = _raise(values[:, 0], preparation.power) - _phases(preparation.seasonal, start, len(values))
    return np.column_stack([series, values[:, 1:]]) / preparation.scales


def undo(preparation: Preparation, prepared: np.ndarray, row: int) -> np.ndarray:
    """Values of the series `(*axes, steps)` from prepared ones, the first of which belongs to row `row`."""
    series = prepared * preparation.scales[0] + _phases(preparation.seasonal, row, prepared.shape[-1])
    if preparation.power == 1:
        return series
    return np.exp(series) if preparation.power == 0 else np.maximum(series, 0) ** 2


def pattern(preparation: Preparation, rows: np.ndarray) -> np.ndarray:
    """The seasonal means of some rows, in prepared units."""
    return np.asarray(preparation.seasonal)[rows % preparation.season] / preparation.scales[0]


def windows(prepared: np.ndarray, window: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """All windows `(count, window, columns)` relative to their last row, and what follows each `(count, horizon)` relative to the same."""
    views = np.lib.stride_tricks.sliding_window_view(prepared, window + horizon, axis=0).transpose(0, 2, 1)
    last = views[:, window - 1 : window]
    return views[:, :window] - last, views[:, window:, 0] - last[..., 0]


def fill(values: np.ndarray) -> np.ndarray:
    """Values with what is missing interpolated, and held at the ends."""
    values, rows = np.array(values, float), np.arange(len(values))
    for column in values.T:
        known = ~np.isnan(column)
        column[~known] = np.interp(rows[~known], rows[known], column[known])
    return values


def _power(series: np.ndarray, season: int) -> float:
    """The power that makes the spread of blocks of the series least dependent on their level (Guerrero 1993)."""
    length = max(season, 8)
    blocks = len(series) // length
    if series.min() < 0 or blocks < 3:
        return 1.0
    parts = series[len(series) - blocks * length :].reshape(blocks, length)
    levels, spreads = parts.mean(axis=1), parts.std(axis=1)
    if levels.min() <= 0 or spreads.min() <= 0:
        return 1.0

    def variation(power: float) -> float:
        ratios = spreads / levels ** (1 - power)
        return ratios.std() / ratios.mean()

    return min((1.0, 0.5, 0.0) if series.min() > 0 else (1.0, 0.5), key=variation)


def _raise(series: np.ndarray, power: float) -> np.ndarray:
    if power == 1:
        return series
    with np.errstate(invalid="ignore", divide="ignore"):
        raised = np.log(series) if power == 0 else np.sqrt(series)
    if not np.isfinite(raised).all():
        row = int(np.argmin(np.isfinite(raised)))
        expected = "positive" if power == 0 else "at least 0"
        raise ValueError(
            f"the series is {series[row]:g} at row {row}, expected {expected}, as in the data the model was fitted to: fit it again"
        )
    return raised


def _seasonal_means(series: np.ndarray, season: int) -> np.ndarray:
    """The mean of each phase about a centred moving average, later seasons weighing more, where the season is strong; else zeros."""
    if season == 1 or len(series) < 3 * season:
        return np.zeros(season)
    kernel = np.ones(season) if season % 2 else np.r_[0.5, np.ones(season - 1), 0.5]
    level = np.convolve(series, kernel / season, "valid")
    half = len(kernel) // 2
    about, phases = series[half : half + len(level)] - level, np.arange(half, half + len(level)) % season
    recency = FADING ** ((len(about) - 1 - np.arange(len(about))) // season)
    means = np.array([np.average(about[phases == phase], weights=recency[phases == phase]) for phase in range(season)])
    rest = about - means[phases]
    strong = about.var() > 0 and 1 - rest.var() / about.var() > STRONG
    return means - means.mean() if strong else np.zeros(season)


def _phases(seasonal: Any, start: int, count: int) -> np.ndarray:
    return np.asarray(seasonal)[np.arange(start, start + count) % len(seasonal)]
