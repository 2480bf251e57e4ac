"""`evaluate`: cross-validation. Forecasts from cutoffs in the past, compared with the actuals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jax_lstm._repr import html_table
from jax_lstm.forecast._fit import fit
from jax_lstm.forecast._model import Model
from jax_lstm.forecast._predict import METHODS, check_levels, predict_by
from jax_lstm.forecast._scores import METRICS, average, coverage_warnings, errors_of, mean, scale, verdict
from jax_lstm.forecast._series import Panel, as_panel, cut, horizon_of, take


class Evaluation(NamedTuple):
    """How the methods did.

    Args:
        names: of the series.
        cutoffs: how many values were known at each cutoff, for each series.
        rows: the cross-validation as columns, a row for each series, cutoff and step: `series`, `cutoff` (how many
            values were known), `step`, `actual`, a column for each method, and `low 80 %`, `high 80 %` and so on of
            the combined forecast.
        scores: by method its sMAPE, MASE and MAE, the mean over series.
        by_series: by method and metric one number for each series, NaN where it has none.
        coverage: the share of actuals within the interval of each level; of each series in `coverage_by_series`, and of
            each step in `coverage_by_step`.
        verdict: how the combined forecast compares with the best other method, with the uncertainty.
        warnings: what is to be known about the figures.
    """

    names: tuple[str, ...]
    cutoffs: tuple[tuple[int, ...], ...]
    rows: dict[str, np.ndarray]
    scores: dict[str, dict[str, float]]
    by_series: dict[str, dict[str, np.ndarray]]
    coverage: dict[float, float]
    coverage_by_series: dict[float, np.ndarray]
    coverage_by_step: dict[float, np.ndarray]
    verdict: str
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Evaluation({len(self.names):,} series, {len(self.scores)} methods: {self.verdict})"

    def _repr_html_(self) -> str:
        metrics = list(next(iter(self.scores.values()), {}))
        rows = [(method, *(f"{scores[metric]:.3g}" for metric in metrics)) for method, scores in self.scores.items()]
        return html_table(["method", *metrics], rows, self.verdict)

    def frame(self) -> Any:
        """The cross-validation as a data frame of pandas.

        Raises:
            ImportError: pandas is missing.
        """
        import pandas as pd

        return pd.DataFrame(self.rows)


def evaluate(
    data: Any,
    horizon: int | None = None,
    *,
    cutoffs: int = 12,
    step: int | None = None,
    levels: Sequence[float] = (0.8, 0.95),
    model: Model | None = None,
    effort: str | None = None,
    key: jax.Array | None = None,
    season: Any = None,
    future: Any = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Cross-validation: forecasts from earlier cutoffs, each made of what was known there.

    Args:
        data: the series, as in `predict`.
        horizon: how many steps ahead; by `default_horizon` where None.
        cutoffs: how many cutoffs for each series, at most; the last one lies a horizon before the end.
        step: how far they are apart; about a third of the horizon where None.
        levels: of the intervals whose coverage is measured.
        model: from `fit` or `calibrate`; it must have seen other series alone, or what lies before the first cutoff.
        effort: of a `fit` to what lies before the first cutoff; none where None.
        key: for that fit.
        season, future: as in `predict`.
        progress: told how many forecasts are made, of how many, time and again.

    Raises:
        ValueError: no series is long enough, or both a model and an effort.

    >>> found = evaluate([np.arange(40.0) % 7], 7, season=7, cutoffs=2)
    >>> found.cutoffs, len(found.rows["actual"])
    (((30, 33),), 14)
    """
    panel = as_panel(data, season, future)
    horizon = horizon_of(panel, horizon, model)
    check_levels(levels)
    if cutoffs < 1:
        raise ValueError(f"cutoffs is {cutoffs}, expected at least 1")
    if model is not None and effort is not None:
        raise ValueError("model and effort are both given: give a model that is fitted, or the effort of a fit")
    step = -(-horizon // 3) if step is None else step
    every = tuple(
        _cutoffs(one, period, horizon, cutoffs, step) for one, period in zip(panel.series, panel.season, strict=True)
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
    run = _run(panel, horizon, every, tested, levels, model, progress)
    by_series = {
        method: {metric: mean(found[metric], (1, 2)) for metric in METRICS} for method, found in run.errors.items()
    }
    scores = {method: {metric: average(one) for metric, one in found.items()} for method, found in by_series.items()}
    coverage_by_series = {level: mean(found, (1, 2)) for level, found in run.held.items()}
    coverage = {level: average(found) for level, found in coverage_by_series.items()}
    counted = int(np.isfinite(run.errors["combined"]["MAE"]).sum()) // horizon
    return Evaluation(
        panel.names,
        every,
        _rows(panel, every, run, horizon, levels),
        scores,
        by_series,
        coverage,
        coverage_by_series,
        {level: mean(found, (0, 1)) for level, found in run.held.items()},
        verdict(run.errors, scores),
        (*warnings, *coverage_warnings(coverage, counted)),
    )


class Run(NamedTuple):
    """What was forecast: by method, and by method and metric, arrays `(series, cutoffs, horizon)`, NaN where there is
    nothing; by level the ends of the intervals, and whether they covered the actuals.
    """

    forecasts: dict[str, np.ndarray]
    errors: dict[str, dict[str, np.ndarray]]
    ends: dict[str, np.ndarray]
    held: dict[float, np.ndarray]
    actuals: np.ndarray


def _cutoffs(series: np.ndarray, season: tuple[float, ...], horizon: int, cutoffs: int, step: int) -> tuple[int, ...]:
    """The cutoffs of one series, the earliest first: at least three values known at each, and half of the series where
    it has more.
    """
    last = len(series) - horizon
    cycle = round(season[0]) + 2 if season else 3
    first = max(3, min(cycle, last), len(series) // 2 if len(series) // 2 <= last else 0)
    found = [last - place * step for place in range(cutoffs) if last - place * step >= first]
    return tuple(sorted(one for one in found if np.isfinite(series[:one]).any()))


def _run(
    panel: Panel,
    horizon: int,
    every: tuple[tuple[int, ...], ...],
    tested: list[int],
    levels: Sequence[float],
    model: Model | None,
    progress: Callable[[int, int], None] | None,
) -> Run:
    """Forecasts from all cutoffs, by all methods."""
    most = max(map(len, every))
    shape = (len(every), most, horizon)

    def nothing() -> np.ndarray:
        return np.full(shape, np.nan)

    sides = [f"{side} {level:.4g}" for level in levels for side in ("low", "high")]
    run = Run(
        {method: nothing() for method in METHODS},
        {method: {metric: nothing() for metric in METRICS} for method in METHODS},
        {name: nothing() for name in sides},
        {level: nothing() for level in levels},
        nothing(),
    )
    before, total = 0, sum(map(len, every))

    def done(count: int, of: int) -> None:
        if progress is not None:
            progress(before + count, total)

    for back in range(most):
        places = [place for place in tested if len(every[place]) > back]
        known = [every[place][len(every[place]) - 1 - back] for place in places]
        past, at = cut(take(panel, places), known), most - 1 - back
        actuals = np.stack(
            [panel.series[place][count : count + horizon] for place, count in zip(places, known, strict=True)]
        )
        run.actuals[places, at] = actuals
        units = np.array([scale(one, period) for one, period in zip(past.series, past.season, strict=True)])
        for method, made in predict_by(past, horizon, METHODS, levels=levels, model=model, progress=done).items():
            run.forecasts[method][places, at] = np.stack(made.forecast)
            for metric, one in errors_of(actuals, np.stack(made.forecast), units).items():
                run.errors[method][metric][places, at] = one
            if method == "combined":
                for level in levels:
                    low, high = np.stack(made.lower[level]), np.stack(made.upper[level])
                    run.ends[f"low {level:.4g}"][places, at], run.ends[f"high {level:.4g}"][places, at] = low, high
                    within = np.where(np.isnan(actuals), np.nan, (actuals >= low) & (actuals <= high))
                    run.held[level][places, at] = within
        before += len(places)
    return run


def _rows(
    panel: Panel, every: tuple[tuple[int, ...], ...], run: Run, horizon: int, levels: Sequence[float]
) -> dict[str, np.ndarray]:
    """The cross-validation as columns, by series, cutoff and step."""
    most = run.actuals.shape[1]
    places = [(place, most - len(found) + number) for place, found in enumerate(every) for number in range(len(found))]
    index = tuple(np.array(places).T)
    columns = {
        "series": np.repeat(np.array([panel.names[place] for place, _ in places], dtype=object), horizon),
        "cutoff": np.repeat([known for found in every for known in found], horizon),
        "step": np.tile(np.arange(1, horizon + 1), len(places)),
        "actual": run.actuals[index].ravel(),
    }
    columns |= {method: found[index].ravel() for method, found in run.forecasts.items()}
    for level in levels:
        for side in ("low", "high"):
            columns[f"{side} {100 * level:.4g} %"] = run.ends[f"{side} {level:.4g}"][index].ravel()
    return columns
