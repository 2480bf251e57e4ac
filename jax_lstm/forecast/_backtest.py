"""Rolling origins: at several times in the past, forecast what came next from what was known, and compare with simple methods."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from jax_lstm.forecast._model import LEVELS, STEPS, Forecast, Forecaster, fit, predict, shortest
from jax_lstm.forecast._series import fill

ORIGINS = 12
"""How many origins a backtest has, where the series is long enough."""

OURS, ALONE = "LSTM and smoothing", "LSTM alone"
"""The names of the forecast, and of what its LSTMs say by themselves, among the methods."""


def naive(series: np.ndarray, season: int, horizon: int) -> np.ndarray:
    """The last value."""
    return np.full(horizon, series[-1])


def seasonal_naive(series: np.ndarray, season: int, horizon: int) -> np.ndarray:
    """The value one season before."""
    return series[len(series) - season + np.arange(horizon) % season]


def drift(series: np.ndarray, season: int, horizon: int) -> np.ndarray:
    """The straight line through the first and the last value."""
    return series[-1] + np.arange(1, horizon + 1) * (series[-1] - series[0]) / (len(series) - 1)


def exponential_smoothing(series: np.ndarray, season: int, horizon: int) -> np.ndarray:
    """Exponential smoothing by statsmodels: of simple, damped-trend and Holt-Winters forms, the one with the least corrected AIC."""
    try:
        from statsmodels.tsa.holtwinters import ExponentialSmoothing
    except ImportError as error:
        raise ImportError("exponential smoothing needs statsmodels: pip install 'jax_lstm[forecast]'") from error

    forms = [{}, {"trend": "add", "damped_trend": True}]
    if season > 1 and len(series) >= 2 * season + 4:
        shapes = ("add", "mul") if series.min() > 0 else ("add",)
        forms += [{"trend": "add", "seasonal": shape, "seasonal_periods": season} for shape in shapes]
        forms += [{"seasonal": "add", "seasonal_periods": season}]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # fits that do not converge lose by their AIC
        fitted = [ExponentialSmoothing(series, initialization_method="estimated", **form).fit() for form in forms]
        best = min(fitted, key=lambda one: one.aicc if np.isfinite(one.aicc) else np.inf)
        return np.asarray(best.forecast(horizon))


BASELINES: dict[str, Callable[[np.ndarray, int, int], np.ndarray]] = {
    "naive": naive,
    "seasonal naive": seasonal_naive,
    "drift": drift,
    "exponential smoothing": exponential_smoothing,
}
"""The simple methods, by name: `(series, season, horizon) -> (horizon,)`."""


class Backtest(NamedTuple):
    """What was forecast at each origin, and what came.

    Args:
        origins: how many values were known.
        truths: what came, `(origins, horizon)`.
        forecasts: by method, `(origins, horizon)`: `OURS`, `ALONE` and the `BASELINES`.
        coverage: the share of `truths` in the forecast's interval, by level in per cent.
        scores: MAE, RMSE and MASE by method.
    """

    origins: list[int]
    truths: np.ndarray
    forecasts: dict[str, np.ndarray]
    coverage: dict[int, float]
    scores: dict[str, dict[str, float]]


def backtest(
    values,
    *,
    season: int = 12,
    horizon: int = 12,
    origins: Sequence[int] | None = None,
    members: int = 6,
    steps: int = STEPS,
    seed: int = 0,
    progress: bool | None = None,
) -> tuple[Forecaster, Backtest]:
    """A forecaster fitted to all values, and how models made in the same way at earlier times did on what came after them.

    Args:
        values, season, horizon, members, steps, seed, progress: as in `fit`.
        origins: how many values are known at each of the earlier times; the last of `rolling_origins`, some apart, where None.

    Returns:
        The forecaster, and the `Backtest`.

    Raises:
        ValueError: as in `fit`, or a series too short to hold back a horizon.
    """
    values = np.asarray(values, float)
    rows = len(values)
    if origins is None:
        every = rolling_origins(rows, season, horizon)
        # about a third of a horizon apart: a whole one would begin every forecast at the same time of the year
        apart = max(1, min(horizon // 3 + 1, (len(every) - 1) // (ORIGINS - 1)))
        origins = every[::-apart][:ORIGINS][::-1]
    origins = list(origins)
    if not origins:
        raise ValueError("origins is empty, expected at least one")
    if max(origins) + horizon > rows:
        raise ValueError(f"an origin is {max(origins)}, expected at most {rows - horizon}: {horizon} of the {rows} values must follow it")
    *models, final = fit(
        values, season=season, horizon=horizon, origins=[*origins, rows], members=members, steps=steps, seed=seed, progress=progress
    )
    series = values.reshape(rows, -1)[:, 0]
    truths = np.stack([series[origin : origin + horizon] for origin in origins])
    ours = [predict(model, values[:origin]) for model, origin in zip(models, origins, strict=True)]
    forecasts = {OURS: np.stack([one.values for one in ours]), ALONE: np.stack([one.members.mean(axis=0) for one in ours])}
    pasts = [fill(series[:origin, None])[:, 0] for origin in origins]
    for name, method in BASELINES.items():
        forecasts[name] = np.stack([method(past, season, horizon) for past in pasts])
    scales = [scale(series[:origin], season) for origin in origins]
    table = {name: scores(truths, made, scales) for name, made in forecasts.items()}
    return final, Backtest(origins, truths, forecasts, {level: _coverage(truths, ours, level) for level in LEVELS}, table)


def rolling_origins(rows: int, season: int, horizon: int) -> range:
    """Every origin in the second half of a series of so many rows that leaves enough to train on before it, and a horizon after it.

    Raises:
        ValueError: there is none.

    >>> rolling_origins(144, season=12, horizon=12)
    range(72, 133)
    """
    first = max(shortest(horizon), season + 2, rows // 2)
    if first + horizon > rows:
        raise ValueError(
            f"the series has {rows} values, expected at least {first + horizon} to test {horizon} steps ahead: choose a shorter horizon"
        )
    return range(first, rows - horizon + 1)


def scores(truths, forecasts, scales) -> dict[str, float]:
    """MAE, RMSE, and MASE (Hyndman and Koehler 2006): the absolute error in units of the seasonal naive forecast's on the training part.

    Args:
        truths, forecasts: `(origins, horizon)`; NaN where there is no truth.
        scales: one for each origin, from `scale`.

    >>> scores([[1.0, 3.0]], [[2.0, 3.0]], [2.0])
    {'MAE': 0.5, 'RMSE': 0.7071067811865476, 'MASE': 0.25}
    """
    errors = np.abs(np.subtract(forecasts, truths))
    scaled = errors / np.asarray(scales)[:, None]
    return {"MAE": float(np.nanmean(errors)), "RMSE": float(np.sqrt(np.nanmean(errors**2))), "MASE": float(np.nanmean(scaled))}


def scale(series: np.ndarray, season: int) -> float:
    """The mean absolute difference of values one season apart, the unit of the MASE."""
    return float(np.nanmean(np.abs(series[season:] - series[:-season])))


def _coverage(truths: np.ndarray, forecasts: list[Forecast], level: int) -> float:
    inside = [
        (low <= truth) & (truth <= high) for truth, (low, high) in zip(truths, (one.intervals[level] for one in forecasts), strict=True)
    ]
    return float(np.mean(np.stack(inside)[~np.isnan(truths)]))
