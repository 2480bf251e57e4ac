"""`evaluate`: forecasts from earlier times, of what was known then, compared with simple methods on what came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jax_lstm.forecast._fit import fit
from jax_lstm.forecast._model import Forecaster
from jax_lstm.forecast._panel import Panel, check_horizon, cut, take
from jax_lstm.forecast._predict import METHODS, check_levels, predict_by

TOLERATED = 0.08
"""How far the share held by an interval may be from its level before a warning is given, beside what chance explains.
"""

RESAMPLED = 1000
"""How many times series and origins are drawn anew for the uncertainty of a difference."""


class Evaluation(NamedTuple):
    """How the methods did.

    Args:
        names: of the series.
        origins: how many values were known at each origin, for each series.
        scores: by method its sMAPE, MASE and MAE, the mean over series.
        by_series: by method and metric one number for each series, NaN where it has none.
        coverage: the share of values within the interval of each level; of each series in `coverage_by_series`.
        verdict: how the combined forecast compares with the best simple method, with the uncertainty.
        warnings: what is to be known about the figures.
    """

    names: tuple[str, ...]
    origins: tuple[tuple[int, ...], ...]
    scores: dict[str, dict[str, float]]
    by_series: dict[str, dict[str, np.ndarray]]
    coverage: dict[float, float]
    coverage_by_series: dict[float, np.ndarray]
    verdict: str
    warnings: tuple[str, ...]


def evaluate(
    panel: Panel,
    horizon: int,
    *,
    origins: int = 12,
    step: int | None = None,
    levels: Sequence[float] = (0.8, 0.95),
    model: Forecaster | None = None,
    effort: str | None = None,
    key: jax.Array | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Rolling cross-validation: forecasts from earlier origins, each made of what was known there.

    Args:
        panel: from `panel`.
        horizon: how many steps ahead.
        origins: how many origins for each series, at most; the last one lies a horizon before the end.
        step: how far they are apart; about a third of the horizon where None.
        levels: of the intervals whose coverage is measured.
        model: a fitted model; it must have been fitted to other series, or to what lies before the first origin.
        effort: of a `fit` to what lies before the first origin; none where None.
        key: for that fit.
        progress: told how many forecasts are made, of how many, time and again.

    Raises:
        ValueError: no series is long enough, or both a model and an effort.

    >>> import numpy as np
    >>> from jax_lstm.forecast import panel
    >>> found = evaluate(panel([np.arange(40.0) % 7], season=7), 7, origins=2)
    >>> found.origins
    ((30, 33),)
    """
    check_horizon(horizon)
    check_levels(levels)
    if origins < 1:
        raise ValueError(f"origins is {origins}, expected at least 1")
    if model is not None and effort is not None:
        raise ValueError("model and effort are both given: give a model that is fitted, or the effort of a fit")
    step = -(-horizon // 3) if step is None else step
    every = tuple(
        _origins(one, season, horizon, origins, step) for one, season in zip(panel.series, panel.season, strict=True)
    )
    tested = [place for place, found in enumerate(every) if found]
    warnings = []
    if not tested:
        longest = max(map(len, panel.series))
        raise ValueError(
            f"the longest series has {longest} values, expected at least {horizon + 3} to test {horizon} steps ahead"
        )
    if len(tested) < len(every):
        warnings.append(
            f"{len(every) - len(tested)} series are too short to test {horizon} steps ahead: they are left out"
        )
    if effort is not None:
        before = cut(take(panel, tested), [every[place][0] for place in tested])
        model = fit(before, horizon, key=jax.random.key(0) if key is None else key, effort=effort, progress=False)
    errors, held = _run(panel, horizon, every, tested, levels, model, progress)
    by_series = {
        method: {metric: _mean(found[metric], axis=(1, 2)) for metric in ("sMAPE", "MASE", "MAE")}
        for method, found in errors.items()
    }
    scores = {method: {metric: _average(one) for metric, one in found.items()} for method, found in by_series.items()}
    coverage_by_series = {level: _mean(found, axis=(1, 2)) for level, found in held.items()}
    coverage = {level: _average(found) for level, found in coverage_by_series.items()}
    counted = int(np.isfinite(errors["combined"]["MAE"]).sum()) // horizon
    warnings += _coverage_warnings(coverage, counted)
    return Evaluation(
        panel.names, every, scores, by_series, coverage, coverage_by_series, _verdict(errors, scores), tuple(warnings)
    )


def _origins(series: np.ndarray, season: int, horizon: int, origins: int, step: int) -> tuple[int, ...]:
    """The origins of one series, the earliest first: at least three values known at each, and half of the series
    where it has more.
    """
    last = len(series) - horizon
    first = max(3, min(season + 2, last), len(series) // 2 if len(series) // 2 <= last else 0)
    found = [last - place * step for place in range(origins) if last - place * step >= first]
    return tuple(sorted(one for one in found if np.isfinite(series[:one]).any()))


def _run(
    panel: Panel,
    horizon: int,
    every: tuple[tuple[int, ...], ...],
    tested: list[int],
    levels: Sequence[float],
    model: Forecaster | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[dict[str, dict[str, np.ndarray]], dict[float, np.ndarray]]:
    """The errors by method and metric, and what the intervals held, each `(series, origins, horizon)`, NaN where
    there is nothing.
    """
    most = max(map(len, every))
    shape = (len(every), most, horizon)
    errors = {method: {metric: np.full(shape, np.nan) for metric in ("sMAPE", "MASE", "MAE")} for method in METHODS}
    held = {level: np.full(shape, np.nan) for level in levels}
    before, total = 0, sum(map(len, every))

    def done(count: int, of: int) -> None:
        if progress is not None:
            progress(before + count, total)

    for back in range(most):
        places = [place for place in tested if len(every[place]) > back]
        known = [every[place][len(every[place]) - 1 - back] for place in places]
        past = cut(take(panel, places), known)
        actuals = np.stack(
            [panel.series[place][count : count + horizon] for place, count in zip(places, known, strict=True)]
        )
        units = np.array([scale(one, season) for one, season in zip(past.series, past.season, strict=True)])
        for method, made in predict_by(past, horizon, METHODS, levels=levels, model=model, progress=done).items():
            found = _errors(actuals, np.stack(made.centre), units)
            for metric, one in found.items():
                errors[method][metric][places, most - 1 - back] = one
            if method == "combined":
                for level in levels:
                    low, high = np.stack(made.lower[level]), np.stack(made.upper[level])
                    within = np.where(np.isnan(actuals), np.nan, (actuals >= low) & (actuals <= high))
                    held[level][places, most - 1 - back] = within
        before += len(places)
    return errors, held


def scale(series: np.ndarray, season: int) -> float:
    """The mean absolute difference of values one season apart, the unit of the MASE (Hyndman and Koehler 2006);
    NaN where it is zero.
    """
    unit = np.nanmax(np.abs(series)) or 1.0
    apart = season if len(series) > season else 1
    changes = np.abs(series[apart:] / unit - series[:-apart] / unit)
    known = changes[~np.isnan(changes)]
    found = known.mean() * unit if known.size else np.nan
    return float(found) if found > 0 else np.nan


def _errors(actuals: np.ndarray, centre: np.ndarray, units: np.ndarray) -> dict[str, np.ndarray]:
    error = np.abs(actuals / 2 - centre / 2) * 2
    size = np.abs(actuals / 2) + np.abs(centre / 2)
    smape = np.where(size > 0, 100 * error / np.where(size > 0, size, 1.0), np.where(np.isnan(actuals), np.nan, 0.0))
    return {"sMAPE": smape, "MASE": error / units[:, None], "MAE": error}


def _mean(values: np.ndarray, axis: Any) -> np.ndarray:
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    return np.where(count > 0, np.where(known, values, 0).sum(axis=axis) / np.maximum(count, 1), np.nan)


def _average(values: np.ndarray) -> float:
    return float(_mean(np.asarray(values), None))


def _coverage_warnings(coverage: dict[float, float], windows: int) -> list[str]:
    """A word on each level whose interval held far more or far less than it says, beyond what chance explains."""
    found = []
    for level, share in coverage.items():
        chance = 2 * np.sqrt(level * (1 - level) / max(windows, 1))
        if abs(share - level) > max(min(TOLERATED, (1 - level) * 0.6 + 0.02), chance):
            found.append(
                f"the {level:.0%} interval held {share:.0%} of the values: "
                f"take it as {'too narrow' if share < level else 'too wide'}"
            )
    return found


def _verdict(errors: dict[str, dict[str, np.ndarray]], scores: dict[str, dict[str, float]]) -> str:
    """Whether the combined forecast is better than the best of the simple methods, by series and origins drawn anew."""
    simple = [method for method in METHODS if method not in ("combined", "lstm")]
    metric = "MASE" if np.isfinite(scores["combined"]["MASE"]) else "MAE"
    best = min(simple, key=lambda method: scores[method][metric])
    ours, theirs = scores["combined"][metric], scores[best][metric]
    if not np.isfinite(ours) or not np.isfinite(theirs):
        return "there is nothing to compare: no value follows the origins"
    if ours < 1e-9 and theirs < 1e-9:
        return f"the combined forecast and the best simple method, {best}, are both exact: there is nothing to compare"
    difference = _mean(errors["combined"][metric], 2) - _mean(errors[best][metric], 2)
    low, high = _interval(difference)
    comparison = f"combined forecast {metric} {ours:.3g}, best simple method {best} {theirs:.3g}"
    if not np.isfinite([low, high]).all():
        return f"too few forecasts to tell: {comparison}"
    comparison += f"; the difference lies within {low:+.2g} and {high:+.2g} (95 %)"
    if not (high < 0 or low > 0):
        return f"no different: {comparison}"
    return f"{'better' if high < 0 else 'worse'}: {comparison}"


def _interval(difference: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of a mean over series: whole series are drawn anew, and where there are few, blocks of
    three origins within.
    """
    rng = np.random.default_rng(0)
    count, origins = difference.shape
    drawn = np.empty(RESAMPLED)
    means = _mean(difference, 1)
    for place in range(RESAMPLED):
        if count >= 20:
            drawn[place] = _average(means[rng.integers(0, count, count)])
        else:
            begins = rng.integers(0, origins, (count, -(-origins // 3)))
            at = ((begins[..., None] + np.arange(3)) % origins).reshape(count, -1)[:, :origins]
            drawn[place] = _average(_mean(np.take_along_axis(difference, at, axis=1), 1)[rng.integers(0, count, count)])
    drawn = drawn[np.isfinite(drawn)]
    if not drawn.size:
        return -np.inf, np.inf
    # few blocks say less than their resamples do: wider, by about Student's quantile over the normal one
    blocks = count if count >= 20 else count * max(1, origins // 3)
    if blocks == 1:
        return -np.inf, np.inf
    wider = np.sqrt(blocks / (blocks - 1)) * (1 + 1.45 / (blocks - 1))
    mean = _average(means)
    low, high = np.quantile(drawn, [0.025, 0.975]) - mean
    return float(mean + wider * low), float(mean + wider * high)
