"""What every method forecasts, from the end of series and from cutoffs before it, out of what was known there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from jax_lstm.forecast._network import DESIGNS, Network, kind
from jax_lstm.forecast._pattern import factors, fill
from jax_lstm.forecast.methods import TRENDS, WITH_SEASON, WITHOUT_SEASON, Candidate, Method, Past, candidates
from jax_lstm.forecast.methods._lstm import Said, lstm

MOST_CUTOFFS, MOST_NEEDED = 12, 24
"""From how many cutoffs before the end methods are tested, at most, and up to how many values of a season have to be
known at one.
"""


TOGETHER = 512
"""How many columns a method works on at once: what it needs of them stays in a processor's cache."""


class Backtest(NamedTuple):
    """Forecasts of series in transformed values.

    Args:
        candidates: the methods, each at a season.
        ahead: from the end `(candidates, series, horizon)`.
        earlier: from the cutoffs `(candidates, cutoffs, series, steps)`, of as many steps as the networks forecast.
        actuals: the values after each cutoff, `(cutoffs, series, steps)`, NaN where unknown or too little was known.
        apart: how many rows one cutoff is from the next.
        offsets: of the first network, down to its 2.5 % and 10 % and up to its 90 % and 97.5 % quantiles, `(4, series,
            horizon)`.
        scale: the mean absolute difference of neighbors after the last cutoff, `(series,)`.
    """

    candidates: tuple[Candidate, ...]
    ahead: np.ndarray
    earlier: np.ndarray
    actuals: np.ndarray
    apart: int
    offsets: np.ndarray
    scale: np.ndarray


def cutoffs_of(horizon: int, season: tuple[float, ...], rows: int) -> tuple[int, ...]:
    """The cutoffs: 0, and further ones about a third of the horizon apart, as far back as there is something to
    forecast from.
    """
    design = DESIGNS[kind(season)]
    apart = max(1, -(-min(horizon, design.horizon) // 3))
    farthest = min(design.context - 16, rows - 4)
    return (0, *range(apart, farthest + 1, apart))[: MOST_CUTOFFS + 1]


def backtest(
    values: np.ndarray,
    logs: np.ndarray,
    season: tuple[float, ...],
    horizon: int,
    networks: Mapping[str, Network],
) -> Backtest:
    """What all candidates forecast of transformed series.

    Args:
        values: `(rows, series)`, NaN where missing or not started; the rows are one of `row_class`.
        logs: which of them are logarithms.
        season: their periods.
        horizon: how many steps ahead.
        networks: "short" and "long", by the season that they are for.
    """
    cutoffs = cutoffs_of(horizon, season, len(values))
    steps = min(horizon, DESIGNS[kind(season)].horizon)
    ahead: dict[tuple[str, float], np.ndarray] = {}
    earlier: dict[tuple[str, float], np.ndarray] = {}
    methods: Mapping[str, Method] = {**WITH_SEASON, **WITHOUT_SEASON}
    first: Said | None = None
    for period in season or (1,):
        design = DESIGNS[kind((period,))]
        design = design._replace(context=min(design.context, len(values)))
        said = lstm(values, logs, period, horizon, design, networks[kind((period,))], cutoffs)
        first = said if first is None else first
        ahead["lstm", period], earlier["lstm", period] = said.ahead, said.forecasts[1:, ..., :steps]
        history = History(fill(values, period), ~np.isnan(values), logs, period, said.steps.patterns)
        _run(methods, history, cutoffs, horizon, steps, ahead, earlier)
        methods = WITH_SEASON
    if season:
        nothing = dict.fromkeys(cutoffs, np.zeros((1, values.shape[1])))
        history = History(fill(values, 1), ~np.isnan(values), logs, 1, nothing)
        _run({name: WITH_SEASON[name] for name in TRENDS}, history, cutoffs, horizon, steps, ahead, earlier)
    assert first is not None
    names = candidates(season)
    return Backtest(
        names,
        np.stack([ahead[one.method, one.season] for one in names]),
        np.stack([earlier[one.method, one.season] for one in names]),
        _actuals(values, season, steps, cutoffs[1:]),
        cutoffs[1] if len(cutoffs) > 1 else 1,
        first.offsets,
        first.steps.scale[-1],
    )


class Alone(NamedTuple):
    """Forecasts of one method that is no network, in transformed values.

    Args:
        ahead: from the end `(series, horizon)`.
        error: actuals less forecasts, `(cutoffs, series, steps)`, at the cutoffs where at least half of the values were
            known: trends from fewer go astray in ways that those from the end do not. NaN elsewhere.
        values: the series without gaps, less the season of a method that knows of it, `(rows, series)`; NaN before
            they started.
    """

    ahead: np.ndarray
    error: np.ndarray
    values: np.ndarray


def alone(values: np.ndarray, logs: np.ndarray, season: tuple[float, ...], horizon: int, method: str) -> Alone:
    """What one method at the shortest season forecasts of transformed series; no network runs."""
    cutoffs, rows = cutoffs_of(horizon, season, len(values)), len(values)
    steps, period = min(horizon, DESIGNS[kind(season)].horizon), season[0] if season else 1
    filled, known = fill(values, period), ~np.isnan(values)
    first = rows - cutoffs[-1]
    patterns = {rows - first - place: one.pattern for place, one in enumerate(factors(filled, known, period, first))}
    every: Mapping[str, Method] = {**WITH_SEASON, **WITHOUT_SEASON}
    ahead: dict[tuple[str, float], np.ndarray] = {}
    earlier: dict[tuple[str, float], np.ndarray] = {}
    history = History(filled, known, logs, period, patterns)
    _run({method: every[method]}, history, cutoffs, horizon, steps, ahead, earlier)
    known_at = known.cumsum(axis=0)[rows - 1 - np.array(cutoffs)]
    half = known_at[1:] >= known_at[0] / 2
    error = np.where(half[..., None], _actuals(values, season, steps, cutoffs[1:]) - earlier[method, period], np.nan)
    past = history.past(cutoffs[:1], horizon)
    changing = past.about if method in WITH_SEASON else past.filled
    return Alone(ahead[method, period], error, np.where(past.started, changing, np.nan))


def row_class(rows: int) -> int:
    """The number of rows that series are padded to, so that a program is compiled for a few numbers only, and a
    forecast depends on no other series.
    """
    size = 32
    while size < rows:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size


class History(NamedTuple):
    """Series with what is known of one season.

    Args:
        filled: without gaps, `(rows, series)`.
        known: which values were there.
        logs: whether they are logarithms, `(series,)`.
        season: the period.
        patterns: by cutoff, the seasonal pattern as it was known there, `(phases, series)`.
    """

    filled: np.ndarray
    known: np.ndarray
    logs: np.ndarray
    season: float
    patterns: Mapping[int, np.ndarray]

    def past(self, cutoffs: tuple[int, ...], horizon: int) -> Past:
        """The series as they were known at the cutoffs, those of each cutoff side by side."""
        rows = len(self.filled)
        begin = self.known.argmax(axis=0)
        filled, known, about, coming = [], [], [], []
        for back in cutoffs:
            at = np.floor(np.mod(np.arange(-rows, horizon) - back, self.season)).astype(int)
            seasonal = self.patterns[back][at]
            kept = np.concatenate([np.repeat(self.filled[:1], back, axis=0), self.filled[: rows - back]])
            filled.append(kept)
            about.append(kept - seasonal[:rows])
            coming.append(seasonal[rows:].T)
            known.append(np.concatenate([np.zeros((back, len(begin)), bool), self.known[: rows - back]]))
        return Past(
            np.concatenate(filled, axis=1),
            np.concatenate(known, axis=1),
            np.concatenate([np.minimum(begin + back, rows - 1) for back in cutoffs]),
            np.concatenate(about, axis=1),
            np.concatenate(coming),
            np.tile(self.logs, len(cutoffs)),
            self.season,
        )


def _run(
    methods: Mapping[str, Method],
    history: History,
    cutoffs: tuple[int, ...],
    horizon: int,
    steps: int,
    ahead: dict[tuple[str, float], np.ndarray],
    earlier: dict[tuple[str, float], np.ndarray],
) -> None:
    """Add what the methods forecast from the end and from the cutoffs before it."""
    count = history.filled.shape[1]
    now = history.past(cutoffs[:1], horizon)
    before = history.past(cutoffs[1:], steps) if len(cutoffs) > 1 else None
    for name, method in methods.items():
        ahead[name, history.season] = method(now)
        earlier[name, history.season] = np.zeros((0, count, steps))
        if before is not None:
            columns = before.filled.shape[1]
            parts = [method(before.columns(slice(at, at + TOGETHER))) for at in range(0, columns, TOGETHER)]
            earlier[name, history.season] = np.concatenate(parts).reshape(-1, count, steps)


def _actuals(values: np.ndarray, season: tuple[float, ...], steps: int, cutoffs: tuple[int, ...]) -> np.ndarray:
    """Actuals after each cutoff, if enough was known at it: four values, and of a season as many and two more."""
    rows, count = values.shape
    padded = np.concatenate([values, np.full((steps, count), np.nan)])
    known = np.cumsum(~np.isnan(values), axis=0)
    least = max(4, min(round(season[0]) if season else 1, MOST_NEEDED) + 2)
    found = np.full((len(cutoffs), count, steps), np.nan)
    for place, back in enumerate(cutoffs):
        enough = known[rows - back - 1] >= least
        found[place] = np.where(enough[:, None], padded[rows - back : rows - back + steps].T, np.nan)
    return found
