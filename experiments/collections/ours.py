"""The package's methods on a collection, and their scores."""

from __future__ import annotations

import resource
import time
from typing import NamedTuple

import jax
import numpy as np

from experiments.collections import metrics
from experiments.collections.collection import Collection
from jax_lstm import forecast

LEVELS = (0.2, 0.4, 0.6, 0.8, 0.95)
"""Levels of the intervals: the first four end at the deciles."""

BASELINE = "seasonal naive"
"""The forecast that others are compared with."""


class Scores(NamedTuple):
    """What a method scored on one collection.

    Args:
        mase, smape, wql: as in `metrics`.
        within_80, within_95: coverage in each third of the horizon, or None.
        failed: series with a forecast that is not finite, which are scored with the seasonal naive forecast.
        seconds: of CPU.
        peak: the most memory that the process has had so far, MiB.
    """

    mase: float
    smape: float
    wql: float
    within_80: tuple[float, float, float] | None
    within_95: tuple[float, float, float] | None
    failed: int
    seconds: float
    peak: float


def baseline(collection: Collection) -> Scores:
    """The seasonal naive forecast."""
    begin = time.process_time()
    quantiles = naive_quantiles(collection)
    return scores(collection, quantiles, {}, time.process_time() - begin)


def naive_quantiles(collection: Collection) -> np.ndarray:
    """The seasonal naive forecast as every quantile, `(9, series, horizon)`, as the benchmark of Chronos has it."""
    size = collection.horizon, collection.naive
    point = np.stack([metrics.seasonal_naive(one, *size) for one in collection.past])
    return np.repeat(point[None], len(metrics.QUANTILES), axis=0)


def ours(collection: Collection, method: str) -> Scores:
    """One of the package's methods, without fitting; `fitted` fits to the collection first."""
    begin = time.process_time()
    panel = forecast.panel(collection.past, season=collection.season, future=collection.future)
    model = None
    if method == "fitted":
        model = forecast.fit(panel, collection.horizon, key=jax.random.key(0), progress=False)
    chosen = "combined" if method in ("default", "fitted") else method
    made = forecast.predict(panel, collection.horizon, levels=LEVELS, method=chosen, model=model)
    seconds = time.process_time() - begin
    lower = {level: np.stack(made.lower[level]) for level in LEVELS}
    upper = {level: np.stack(made.upper[level]) for level in LEVELS}
    below, above = [lower[level] for level in LEVELS[3::-1]], [upper[level] for level in LEVELS[:4]]
    quantiles = np.stack([*below, np.stack(made.forecast), *above])
    return scores(collection, quantiles, {level: (lower[level], upper[level]) for level in (0.8, 0.95)}, seconds)


def scores(
    collection: Collection,
    quantiles: np.ndarray,
    intervals: dict[float, tuple[np.ndarray, np.ndarray]],
    seconds: float,
) -> Scores:
    """The scores of quantiles `(9, series, horizon)`, whose fifth is the forecast."""
    failed = ~np.isfinite(quantiles).all(axis=(0, 2))
    if failed.any():
        quantiles = np.where(failed[:, None], naive_quantiles(collection), quantiles)
    center, actuals = quantiles[4], collection.actuals
    within = {level: metrics.coverage(actuals, *ends) for level, ends in intervals.items()}
    return Scores(
        metrics.mase(collection.past, actuals, center, collection.naive),
        metrics.smape(actuals, center),
        metrics.wql(actuals, quantiles),
        within.get(0.8),
        within.get(0.95),
        int(failed.sum()),
        seconds,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )
