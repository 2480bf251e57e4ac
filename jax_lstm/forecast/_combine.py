"""How much of a forecast is each method's, and how wide its intervals are: both from windows that no method has seen.

The shares are those of least error (Bates and Granger 1969), and the intervals are scaled until they hold what
they say (conformal, Vovk et al.
2005); both are drawn towards a prior, and those of one series towards its panel's, by as many windows as there are.
"""

from __future__ import annotations

import itertools
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from jax_lstm.forecast._methods import Backtest

STEP = 4
"""Shares are tried in steps of one part in so many."""

PRIOR_WINDOWS, PANEL_WINDOWS, PRIOR_WIDTHS, PANEL_WIDTHS = 12.0, 12.0, 20.0, 20.0
"""How many windows the prior shares, the panel's shares for a series, the prior widths and the panel's widths
count as.
"""

MOST_WINDOWS, CLEAR = 12.0, 0.9
"""As how many windows those of all series count, at most, against the prior shares, unless the best shares have less
than this part of the prior's loss: the errors of series that end together depend on each other, and equal shares are
hard to beat (Stock and Watson 2004).
"""

FEW_SERIES, STEEPEST = 64, 1.05
"""Up to how many series a panel has few windows, and by what the factor on a width then grows at most from one step to
the next: after a level shift, windows from before it have large errors at the steps that reach it alone, and the band
would jump there.
"""

LEVELS = (0.8, 0.95)
"""The levels at which widths are calibrated."""


class Calibration(NamedTuple):
    """What the held-out windows of a panel say.

    Args:
        methods: the names of the methods that are combined.
        shares: of each `(methods,)`.
        factors: what the offsets are multiplied with, at the levels of `LEVELS`, `(2, horizon)`.
    """

    methods: tuple[str, ...]
    shares: np.ndarray
    factors: np.ndarray


def calibrate(backtest: Backtest, prior: dict[str, float]) -> tuple[Calibration, np.ndarray, np.ndarray]:
    """The panel's shares and factors, and those of each series.

    Args:
        backtest: forecasts from the end (first) and from origins before it.
        prior: the shares to draw towards.

    Returns:
        The calibration, the shares `(series, methods)` and the factors `(2, series, horizon)`.
    """
    methods = tuple(prior)
    towards = np.array([prior[name] for name in methods])
    grid = simplex(len(methods))
    losses, windows = _losses(backtest, methods, grid)
    total, whole = windows.sum(), losses.sum(axis=1)
    if whole.min() > CLEAR * whole[((grid - towards) ** 2).sum(axis=1).argmin()]:
        total = min(total, MOST_WINDOWS)
    best = _best(whole, grid)
    shares = (total * best + PRIOR_WINDOWS * towards) / (total + PRIOR_WINDOWS)
    each = _towards(shares, _best_each(losses, grid), windows)
    factors, factors_each = _factors(backtest, combine(backtest.centres, methods, each))
    return Calibration(methods, shares, factors), each, factors_each


def shares_by_series(backtest: Backtest, panel: dict[str, float]) -> np.ndarray:
    """The shares of every series `(series, methods)`, drawn towards those of a panel."""
    grid = simplex(len(panel))
    losses, windows = _losses(backtest, tuple(panel), grid)
    return _towards(np.array(list(panel.values())), _best_each(losses, grid), windows)


def _towards(panel: np.ndarray, best: np.ndarray, windows: np.ndarray) -> np.ndarray:
    return (windows[:, None] * best + PANEL_WINDOWS * panel) / (windows[:, None] + PANEL_WINDOWS)


def combine(centres: dict[str, np.ndarray], methods: tuple[str, ...], shares: np.ndarray) -> np.ndarray:
    """The centre in shares `(series, methods)`: `(origins, series, horizon)`."""
    return sum(shares[:, place][:, None] * centres[name] for place, name in enumerate(methods))


def simplex(methods: int) -> np.ndarray:
    """All shares in steps of `1 / STEP` that add up to one, `(shares, methods)`."""
    every = itertools.product(range(STEP + 1), repeat=methods)
    return np.array([one for one in every if sum(one) == STEP], float) / STEP


def offsets_at(level: float, offsets: np.ndarray, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far an interval of any level reaches down and up, from offsets `(4, …)` and factors `(2, …)`.

    Between the levels of `LEVELS`, and beyond them, the distance is linear in the quantile of the normal distribution.
    """
    inner, outer = (NormalDist().inv_cdf(0.5 + one / 2) for one in LEVELS)
    at = NormalDist().inv_cdf(0.5 + level / 2)
    sides = []
    for near, far in ((1, 0), (2, 3)):
        first = factors[0] * offsets[near]
        second = np.maximum(factors[1] * offsets[far], first)
        between = first + (second - first) * (at - inner) / (outer - inner)
        sides.append(first * at / inner if at <= inner else between)
    return sides[0], sides[1]


def _losses(backtest: Backtest, methods: tuple[str, ...], grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The loss of all shares on each series, summed over its windows `(shares, series)`; and how many windows
    apart it has.
    """
    actuals = backtest.actuals[1:]
    known = ~np.isnan(actuals)
    counts = known.sum(axis=(0, 2))
    spans = np.array([known[:, place].any(axis=-1).sum() for place in range(actuals.shape[1])])
    horizon = actuals.shape[-1]
    apart = np.diff(backtest.origins).mean() if len(backtest.origins) > 1 else horizon
    windows = np.where(counts > 0, np.maximum(spans * apart / horizon, 0.3), 0.0)
    stack = np.stack([backtest.centres[name][1:] for name in methods])
    unit = backtest.unit[1:][..., None]
    found = np.zeros((len(grid), actuals.shape[1]))
    for place, shares in enumerate(grid):
        error = np.abs(actuals - np.tensordot(shares, stack, 1)) / unit
        mean = np.where(known, np.tanh(error / 2), 0.0).sum(axis=(0, 2)) / np.maximum(counts, 1)
        found[place] = mean * windows
    return found, windows


def _best(losses: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """The shares of least loss; of those as good, their mean."""
    return grid[losses <= losses.min() + 1e-12].mean(axis=0)


def _best_each(losses: np.ndarray, grid: np.ndarray) -> np.ndarray:
    return np.stack([_best(one, grid) for one in losses.T])


def _factors(backtest: Backtest, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The panel's factors `(2, horizon)`, and each series' `(2, series, horizon)`."""
    horizon, count = backtest.actuals.shape[-1], backtest.actuals.shape[1]
    panel, each = np.ones((2, horizon)), np.ones((2, count, horizon))
    if len(backtest.origins) == 1:
        return panel, each
    error = backtest.actuals[1:] - centre[1:]
    apart = np.diff(backtest.origins).mean()
    for place, (level, near, far) in enumerate(((LEVELS[0], 1, 2), (LEVELS[1], 0, 3))):
        offsets = np.maximum(np.where(error > 0, backtest.offsets[far, 1:], backtest.offsets[near, 1:]), 1e-300)
        ratio = np.where(np.isnan(error), np.nan, np.abs(error) / offsets)
        for step in range(horizon):
            near_steps = slice((step + 1) // 2, min(2 * step + 2, horizon))
            about = ratio[..., near_steps]
            known = about[~np.isnan(about)]
            if known.size:
                windows = known.size / about.shape[-1] * min(1.0, apart / (step + 1))
                found = np.clip(np.quantile(known, level), 0.1, 10.0)
                panel[place, step] = found ** (windows / (windows + PRIOR_WIDTHS))
            if count <= FEW_SERIES:
                panel[place, step] = min(panel[place, step], STEEPEST * panel[place, max(0, step - 1)])
        each[place] = _series_factors(ratio, level, panel[place], apart)
    return panel, each


def _series_factors(ratio: np.ndarray, level: float, panel: np.ndarray, apart: float) -> np.ndarray:
    """The factors of each series `(series, horizon)`: one for all horizons beside the panel's, by how many windows
    the series has.
    """
    count, horizon = ratio.shape[1:]
    relative = ratio / panel
    found = np.ones(count)
    for place in range(count):
        known = relative[:, place][~np.isnan(relative[:, place])]
        if known.size:
            windows = known.size / horizon * min(1.0, apart / horizon)
            found[place] = np.clip(np.quantile(known, level), 0.2, 5.0) ** (windows / (windows + PANEL_WIDTHS))
    return found[:, None] * panel
