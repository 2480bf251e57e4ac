"""Covariates: a regression of the series on them first, the forecaster on what is left.

It is a ridge regression of one series on its own covariates, so a forecast still depends on nothing else. How much it
is shrunk, up to nothing at all, is decided by how well what is left of blocks held out can be forecast simply.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jax_lstm.forecast._pattern import phases
from jax_lstm.forecast._series import Panel

RIDGES = (1e-3, 1e-1, 1.0, 10.0, 100.0)
"""The strengths that are tried, in units of the number of values over that of covariates."""

FOLDS, LEAST_GAIN = 5, 0.02
"""The blocks held out, and by what share the covariates have to lower the error to be used."""

LEAST_PER_COLUMN, LARGEST_SEASON = 4, 400
"""How many values there have to be for each column, and up to which season phases have means of their own."""

MOST_ROWS = 40_000
"""How many of the last values are regressed and kept: more than any method reads. Less than a year of hours says little
of how load depends on temperature."""


class View(NamedTuple):
    """What is regressed on what.

    Args:
        y: of the series `(values,)`.
        x: of its covariates `(values, columns)`.
        fold: in which of the blocks held out each value lies, `(values,)`.
    """

    y: np.ndarray
    x: np.ndarray
    fold: np.ndarray


class Effects(NamedTuple):
    """What covariates add to a series.

    Args:
        past: at its last values, at most `MOST_ROWS`.
        coming: at the steps ahead, `(horizon,)`.
    """

    past: np.ndarray
    coming: np.ndarray


def without_effects(panel: Panel, horizon: int) -> tuple[Panel, list[Effects | None]]:
    """The panel less what covariates add to its series, and that; None for a series to which they add nothing."""
    if panel.past is None and panel.future is None:
        return panel, [None] * len(panel.names)
    effects = [
        effects_of(
            one,
            season,
            horizon,
            None if panel.future is None else panel.future[place],
            None if panel.past is None else panel.past[place],
        )
        for place, (one, season) in enumerate(zip(panel.series, panel.season, strict=True))
    ]
    series = tuple(
        one if effect is None else one[-len(effect.past) :] - effect.past
        for one, effect in zip(panel.series, effects, strict=True)
    )
    return panel._replace(series=series), effects


def effects_of(
    series: np.ndarray,
    season: tuple[float, ...],
    horizon: int,
    future: np.ndarray | None = None,
    past: np.ndarray | None = None,
) -> Effects | None:
    """What covariates add to one series, or None where they do not help.

    Args:
        series: `(time,)`, NaN where missing.
        season: its periods.
        horizon: how many steps ahead.
        future: known ahead, `(time + steps, covariates)`; the last row is held beyond those that are given.
        past: known up to now, `(time, covariates)`: their values a horizon before count.
    """
    begin = max(0, len(series) - MOST_ROWS)
    series = series[begin:]
    future = None if future is None else future[begin:]
    past = None if past is None else past[begin:]
    period = season[0] if season else 1
    table = _columns(len(series), period, horizon, future, past)
    rows, known = len(series), np.isfinite(series)
    if not table.shape[1] or known.sum() < max(12, LEAST_PER_COLUMN * table.shape[1]):
        return None
    center, spread = table[:rows][known].mean(axis=0), table[:rows][known].std(axis=0)
    some = spread > 1e-9 * (1 + np.abs(center))
    if not some.any():
        return None
    x = (table[:, some] - center[some]) / spread[some]
    least, found = _error(series, period, horizon), None
    least *= 1 - LEAST_GAIN
    for view in (_level_view(series, x[:rows], known, period), _change_view(series, x[:rows], known)):
        for ridge, left in zip(RIDGES, _held_out(view, series, x[:rows]), strict=True):
            error = _error(left, period, horizon)
            if error < least:
                least, found = error, (view, ridge)
    if found is None:
        return None
    view, ridge = found
    added = x @ _ridge(view.x.T @ view.x, view.x.T @ view.y, len(view.y), ridge)
    return Effects(added[:rows], added[rows:])


def _columns(rows: int, period: float, horizon: int, future: np.ndarray | None, past: np.ndarray | None) -> np.ndarray:
    """The covariates of the rows and of the steps ahead, `(rows + horizon, columns)`: those that take many values also
    squared, and by the phase of the season where there are values enough.
    """
    at = np.arange(rows + horizon)
    parts = []
    if future is not None:
        parts.append(future[np.minimum(at, len(future) - 1)])
    if past is not None:
        parts.append(past[np.clip(at - horizon, 0, len(past) - 1)])
    table = np.concatenate(parts, axis=1) if parts else np.zeros((rows + horizon, 0))
    many = [column for column in table.T if len(np.unique(column[:rows])) > 10]
    curved = []
    for column in many:
        about = (column - column[:rows].mean()) / (column[:rows].std() + 1e-300)
        curved += [about**2]
        if rows > 200:
            curved += [about**3]
        if period > 2 and rows > 20 * period:
            angle = 2 * np.pi * np.mod(at, period) / period
            slow = _smoothed(about, 2 / (period + 1))
            curved += [slow, slow**2]
            for wave in (1, 2):
                for turn in (np.sin(wave * angle), np.cos(wave * angle)):
                    curved += [about * turn, about**2 * turn]
    columns = np.stack([*table.T, *curved], axis=1) if table.shape[1] else table
    return columns if rows >= 10 * columns.shape[1] else table


def _smoothed(values: np.ndarray, share: float) -> np.ndarray:
    """Exponential smoothing."""
    found, state = np.empty_like(values), values[0]
    for place, value in enumerate(values):
        state = state + share * (value - state)
        found[place] = state
    return found


def _folds(rows: int) -> np.ndarray:
    """In which block each row lies."""
    return np.arange(rows) * FOLDS // rows


def _level_view(series: np.ndarray, x: np.ndarray, known: np.ndarray, period: float) -> View:
    """Values and covariates less a line and the mean of each phase of the season."""
    rows = len(series)
    number = int(np.ceil(period)) if 1 < period <= min(LARGEST_SEASON, known.sum() / 3) else 1
    at = phases(period, rows, 0)[known] if number > 1 else np.zeros(int(known.sum()), int)
    both = np.concatenate([series[known, None], x[known]], axis=1)
    line = np.linspace(-1, 1, rows)[known]
    counts = np.maximum(np.bincount(at, minlength=number), 1)
    for _ in range(2):
        means = np.stack([np.bincount(at, column, minlength=number) / counts for column in both.T], axis=1)
        both = both - means[at]
        both = both - line[:, None] * (line @ both) / (line @ line)
    return View(both[:, 0], both[:, 1:], _folds(rows)[known])


def _change_view(series: np.ndarray, x: np.ndarray, known: np.ndarray) -> View:
    """Changes of values and of covariates from one known row to the next."""
    return View(np.diff(series[known]), np.diff(x[known], axis=0), _folds(len(series))[known][1:])


def _ridge(squares: np.ndarray, products: np.ndarray, count: int, ridge: float) -> np.ndarray:
    """The weights of least squares, shrunk: of the products of `count` covariates with each other and with values."""
    columns = len(squares)
    penalty = ridge * max(float(np.trace(squares)) / columns, 1e-12) * columns / max(count, 1)
    return np.linalg.solve(squares + penalty * np.eye(columns), products)


def _held_out(view: View, series: np.ndarray, x: np.ndarray) -> list[np.ndarray]:
    """For each strength the series less what covariates add, in each block by the weights of the other blocks."""
    folds = _folds(len(series))
    left = [series.copy() for _ in RIDGES]
    for block in range(FOLDS):
        others = view.fold != block
        inner = view.x[others]
        squares, products = inner.T @ inner, inner.T @ view.y[others]
        for one, ridge in zip(left, RIDGES, strict=True):
            one[folds == block] -= x[folds == block] @ _ridge(squares, products, len(inner), ridge)
    return left


def _error(series: np.ndarray, period: float, horizon: int) -> float:
    """The mean absolute error of the best of some simple forecasts half a horizon ahead: the last value, the mean of
    the last cycle or of the last values, each less the mean of its phase.
    """
    known = np.isfinite(series)
    values = np.full(len(series), np.nan)
    values[known] = _level_view(series, np.zeros((len(series), 0)), known, period).y
    ahead, errors = max(1, (horizon + 1) // 2), []
    filled = np.where(known, np.nan_to_num(values), 0.0)
    sums, counts = np.r_[0.0, np.cumsum(filled)], np.r_[0.0, np.cumsum(known)]
    for width in (1, 8, round(period), len(series)):
        ends = np.arange(1, len(series) - ahead + 1)
        begins = np.maximum(ends - width, 0)
        number = counts[ends] - counts[begins]
        mean = (sums[ends] - sums[begins]) / np.maximum(number, 1)
        coming = values[ends + ahead - 1]
        use = np.isfinite(coming) & (number > 0) & (ends > len(series) // 5)
        if use.any():
            errors.append(float(np.abs(coming - mean)[use].mean()))
    return min(errors, default=np.inf)
