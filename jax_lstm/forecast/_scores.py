"""Scores of forecasts, and what they say: whether intervals hold, and whether one method is better than others."""

from __future__ import annotations

from typing import Any

import numpy as np

from jax_lstm.forecast.methods import NAMES

METRICS = ("sMAPE", "MASE", "MAE")

TOLERATED = 0.08
"""How far the share held by an interval may be from its level before a warning is given, besides what chance explains.
"""

RESAMPLED = 1000
"""How many times series and cutoffs are resampled for the uncertainty of a difference."""


def scale(series: np.ndarray, season: Any = ()) -> float:
    """The mean absolute difference of values one season apart, the unit of the MASE (Hyndman and Koehler 2006); of
    several seasons the shortest counts. NaN where it is zero.
    """
    period = season if isinstance(season, int | float) else (season[0] if len(season) else 1)
    unit = np.nanmax(np.abs(series)) or 1.0
    apart = round(period) if len(series) > period else 1
    changes = np.abs(series[apart:] / unit - series[:-apart] / unit)
    known = changes[~np.isnan(changes)]
    found = known.mean() * unit if known.size else np.nan
    return float(found) if found > 0 else np.nan


def errors_of(actuals: np.ndarray, forecast: np.ndarray, units: np.ndarray) -> dict[str, np.ndarray]:
    error = np.abs(actuals / 2 - forecast / 2) * 2
    size = np.abs(actuals / 2) + np.abs(forecast / 2)
    smape = np.where(size > 0, 100 * error / np.where(size > 0, size, 1.0), np.where(np.isnan(actuals), np.nan, 0.0))
    return {"sMAPE": smape, "MASE": error / units[:, None], "MAE": error}


def mean(values: np.ndarray, axis: Any) -> np.ndarray:
    """The mean of what is known, NaN where nothing is."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    return np.where(count > 0, np.where(known, values, 0).sum(axis=axis) / np.maximum(count, 1), np.nan)


def average(values: np.ndarray) -> float:
    return float(mean(np.asarray(values), None))


def coverage_warnings(coverage: dict[float, float], windows: int) -> list[str]:
    """A word on each level whose interval held far more or far less than it says, beyond what chance explains."""
    found = []
    for level, share in coverage.items():
        chance = 2 * np.sqrt(level * (1 - level) / max(windows, 1))
        if abs(share - level) > max(min(TOLERATED, (1 - level) * 0.6 + 0.02), chance):
            found.append(
                f"the {level:.0%} interval held {share:.0%} of the values: "
                f"it is too {'narrow' if share < level else 'wide'}; calibrate the model on series like these"
            )
    return found


def verdict(errors: dict[str, dict[str, np.ndarray]], scores: dict[str, dict[str, float]]) -> str:
    """Whether the combined forecast is better than the best of the other methods, by resampled series and cutoffs."""
    others = [method for method in NAMES if method != "lstm"]
    metric = "MASE" if np.isfinite(scores["combined"]["MASE"]) else "MAE"
    best = min(others, key=lambda method: scores[method][metric])
    ours, theirs = scores["combined"][metric], scores[best][metric]
    if not np.isfinite(ours) or not np.isfinite(theirs):
        return "there is nothing to compare: no value follows the cutoffs"
    if ours < 1e-9 and theirs < 1e-9:
        return f"the combined forecast and the best simple method, {best}, are both exact: there is nothing to compare"
    difference = mean(errors["combined"][metric], 2) - mean(errors[best][metric], 2)
    low, high = _interval(difference)
    comparison = f"combined forecast {metric} {ours:.3g}, best simple method {best} {theirs:.3g}"
    if not np.isfinite([low, high]).all():
        return f"too few forecasts to tell: {comparison}"
    comparison += f"; the difference lies within {low:+.2g} and {high:+.2g} (95 %)"
    if not (high < 0 or low > 0):
        return f"no clear winner: {comparison}"
    return f"{'better' if high < 0 else 'worse'}: {comparison}"


def _interval(difference: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of a mean over series: whole series are resampled, and where there are few, blocks of three
    cutoffs within.
    """
    rng = np.random.default_rng(0)
    count, cutoffs = difference.shape
    drawn = np.empty(RESAMPLED)
    means = mean(difference, 1)
    for place in range(RESAMPLED):
        if count >= 20:
            drawn[place] = average(means[rng.integers(0, count, count)])
        else:
            begins = rng.integers(0, cutoffs, (count, -(-cutoffs // 3)))
            at = ((begins[..., None] + np.arange(3)) % cutoffs).reshape(count, -1)[:, :cutoffs]
            drawn[place] = average(mean(np.take_along_axis(difference, at, axis=1), 1)[rng.integers(0, count, count)])
    drawn = drawn[np.isfinite(drawn)]
    if not drawn.size:
        return -np.inf, np.inf
    # few blocks say less than their resamples do: wider, by about Student's quantile over the normal one
    blocks = count if count >= 20 else count * max(1, cutoffs // 3)
    if blocks == 1:
        return -np.inf, np.inf
    wider = np.sqrt(blocks / (blocks - 1)) * (1 + 1.45 / (blocks - 1))
    center = average(means)
    low, high = np.quantile(drawn, [0.025, 0.975]) - center
    return float(center + wider * low), float(center + wider * high)
