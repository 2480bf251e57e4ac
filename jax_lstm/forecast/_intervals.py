"""Intervals around the combined forecast: their width at every step and level, and their calibration.

A small network reads, for each step, the quantiles of the LSTM, how far the methods are apart, and the
finite-sample quantiles of the combined forecast's own errors at the cutoffs of the series; it gives the distance of the
quantiles of `LEVELS`. A model's factors, found by `calibrate` on windows that nothing was chosen on, scale them
(conformal prediction, Vovk et al. 2005).
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from jax_lstm.forecast._backtest import Backtest
from jax_lstm.forecast._pattern import phases
from jax_lstm.forecast._weights import gelu

LEVELS = (0.4, 0.8, 0.95)
"""The levels whose intervals are learned and calibrated; others lie between them."""

NORMAL = tuple(NormalDist().inv_cdf(0.5 + level / 2) for level in LEVELS)
"""How many standard deviations of a normal distribution they reach."""

PRIOR_CUTOFFS, WIDEST = 2.0, 5.0
"""As how many cutoffs the changes of a series count for the intervals of a method alone, and how many times wider than
by them its errors make those at most. On windows held out of M3's training parts Theta alone has a WQL of 0.163 on
yearly series, where errors alone gave 0.572; 80 % intervals hold 82 % (`experiments.collections m3 --methods theta`).
"""

HIDDEN, FEATURES, FARTHEST = 32, 20, 50.0
"""The units of both layers, how many features describe a step, and as how many scales the distance from zero counts, at
most.
"""


class Widths(NamedTuple):
    """The network, every leaf an array.

    Args:
        w_in, b_in, w_mid, b_mid, w_out, b_out: of its three layers; the outputs are `len(LEVELS)` distances down and as
            many up.
    """

    w_in: Any
    b_in: Any
    w_mid: Any
    b_mid: Any
    w_out: Any
    b_out: Any


def offsets(widths: Widths, x: Any, np: Any = np) -> Any:
    """How far the intervals of `LEVELS` reach down and up in units of the scale, `(2, levels, series, horizon)`.

    Args:
        widths: the network.
        x: from `describe_steps`, `(series, horizon, features)`.
        np: NumPy or `jax.numpy`.
    """
    z = gelu(x @ widths.w_in + widths.b_in, np)
    z = gelu(z @ widths.w_mid + widths.b_mid, np)
    out = z @ widths.w_out + widths.b_out
    own = np.exp(x[..., :1])  # what the LSTM says, down and up on average
    parts = own * np.exp(np.clip(out, -8.0, 5.0))
    sides = np.moveaxis(parts.reshape(*parts.shape[:-1], 2, len(LEVELS)), (-2, -1), (0, 1))
    return np.cumsum(sides, axis=1)


def finite_quantile(sizes: np.ndarray, level: float) -> np.ndarray:
    """The finite-sample quantile over the first axis: of n sizes the `ceil((n + 1) level)`-th, the greatest where that
    is more than n; NaN counts as none.

    >>> float(finite_quantile(np.arange(1.0, 10), 0.8)), float(finite_quantile(np.arange(1.0, 4), 0.8))
    (8.0, 3.0)
    """
    ordered = np.sort(sizes, axis=0)  # NaN last
    count = (~np.isnan(sizes)).sum(axis=0)
    place = np.clip(np.ceil((count + 1) * level).astype(int), 1, np.maximum(count, 1)) - 1
    return np.take_along_axis(ordered, place[None], axis=0)[0]


def describe_steps(
    tested: Backtest,
    weights: np.ndarray,
    forecast: np.ndarray,
    values: np.ndarray,
    logs: np.ndarray,
    floor: np.ndarray,
) -> np.ndarray:
    """What is known of every step, `(series, horizon, FEATURES)`, float32.

    Args:
        tested: the backtest.
        weights: of its candidates `(series, candidates, horizon)`.
        forecast: the combined forecast `(series, horizon)`.
        values: the transformed series, `(rows, series)`.
        logs: which of them are logarithms.
        floor: below which no value may be, transformed, `(series,)`.
    """
    count, horizon = forecast.shape
    steps, scale = tested.actuals.shape[-1], tested.scale[:, None]
    combined = np.einsum("nkh,kcnh->cnh", weights[..., :steps], tested.earlier)
    error = (tested.actuals - combined) / scale
    tests = (~np.isnan(error)).any(axis=-1).sum(axis=0)
    inner, outer, bias = (_near(error, horizon, one) for one in (0.6, 0.9, None))
    apart = np.sqrt(np.einsum("nkh,knh->nh", weights, (tested.ahead - forecast) ** 2)) / scale
    below, above = tested.offsets[1] / scale, tested.offsets[2] / scale
    own = np.log((below + above) / 2 + 1e-6)
    season = tested.candidates[0].season
    ahead = np.arange(1, horizon + 1)
    known = (~np.isnan(values)).sum(axis=0)

    def log(one: np.ndarray) -> np.ndarray:
        return np.clip(np.log(one + 1e-3) - own, -5, 5)

    tested_at_all = np.broadcast_to(tests[:, None] > 0, forecast.shape)
    bounded = np.isfinite(floor)
    room = np.where(bounded[:, None], (forecast - np.where(bounded, floor, 0.0)[:, None]) / scale, FARTHEST)
    each = [
        own,
        log(below),
        log(above),
        log((tested.offsets[0] + tested.offsets[3]) / scale / 2),
        log(apart),
        np.where(tested_at_all, log(inner), 0.0),
        np.where(tested_at_all, log(outer), 0.0),
        np.where(tested_at_all, np.clip(bias / np.exp(own), -3, 3), 0.0),
        phase_roughness(values, season, horizon),
        np.broadcast_to(np.log(ahead), forecast.shape) / 2,
        np.broadcast_to(np.clip(np.log(ahead / season), -4, 4), forecast.shape) / 2,
        np.broadcast_to(np.maximum(np.log(ahead / steps), 0.0), forecast.shape),
        np.log(np.clip(room, 1e-2, FARTHEST)) / 2,
        *(
            np.broadcast_to(one[:, None], forecast.shape)
            for one in (
                np.log1p(tests),
                np.log(known) / 2 - 1.5,
                np.clip(np.log(known / season), -2, 5) / 2,
                logs.astype(float),
                np.where(logs, np.log(tested.scale) / 2 + 1.5, 0.0),
                np.full(count, float(season == 1)),
                ((values == 0) & ~logs).sum(axis=0) / np.maximum(known, 1),
            )
        ),
    ]
    return np.clip(np.nan_to_num(np.stack(each, axis=-1)), -12, 12).astype(np.float32)


def sides_of_errors(error: np.ndarray, values: np.ndarray, horizon: int) -> np.ndarray:
    """Offsets `(2, levels, series, horizon)` from the errors of a method at cutoffs: their finite-sample quantiles, at
    most `WIDEST` times those of the series' own changes, and drawn toward them as if by `PRIOR_CUTOFFS` more cutoffs.

    Args:
        error: `(cutoffs, series, steps)`, NaN where unknown.
        values: the series, `(rows, series)`, NaN before they started.
        horizon: how many steps ahead.
    """
    deviation = _deviation_of_changes(values, horizon)
    cutoffs = (~np.isnan(error)).any(axis=-1).sum(axis=0)[:, None]
    share = cutoffs / (cutoffs + PRIOR_CUTOFFS)
    found, least = [], np.zeros(deviation.shape)
    for level, normal in zip(LEVELS, NORMAL, strict=True):
        own = _near(error, horizon, level) / normal if error.size else np.zeros(deviation.shape)
        # the largest of few errors is no quantile of a high level: as far as the normal distribution has it, at least
        reached = np.ceil((cutoffs + 1) * level) <= cutoffs
        least = np.minimum(np.where(reached, own, np.fmax(own, least)), WIDEST * deviation)
        ratio = least / np.where(deviation > 0, deviation, 1.0)
        found.append(normal * deviation * np.where(cutoffs > 0, ratio, 1.0) ** share)
    sides = np.maximum.accumulate(np.stack(found), axis=0)
    return np.stack([sides, sides])


def _deviation_of_changes(values: np.ndarray, horizon: int) -> np.ndarray:
    """The standard deviation of the changes of series over each number of steps, as of normal ones, at most that of a
    random walk; never less than over fewer steps, `(series, horizon)`.
    """
    found = np.zeros((values.shape[1], horizon))
    for ahead in range(1, horizon + 1):
        change = np.abs(values[ahead:] - values[:-ahead])
        known = ~np.isnan(change)
        number = known.sum(axis=0)
        mean = np.where(known, change, 0.0).sum(axis=0) / np.maximum(number, 1)
        walk = found[:, 0] * np.sqrt(ahead)
        found[:, ahead - 1] = 1.25 * mean if ahead == 1 else np.where(number >= 4, np.minimum(1.25 * mean, walk), walk)
    return np.maximum.accumulate(found, axis=1)


def _near(error: np.ndarray, horizon: int, level: float | None) -> np.ndarray:
    """Of the errors at each step and its neighbors, from half to twice as far, the finite-sample quantile of their
    sizes, or their mean; beyond the last step that of the last, `(series, horizon)`.
    """
    _, count, steps = error.shape
    found = np.full((count, horizon), np.nan)
    for step in range(min(steps, horizon)):
        about = error[..., (step + 1) // 2 : min(2 * step + 2, steps)].transpose(0, 2, 1).reshape(-1, count)
        if not len(about):
            continue
        if level is None:
            known = ~np.isnan(about)
            found[:, step] = np.where(known, about, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        else:
            found[:, step] = finite_quantile(np.abs(about), level)
    found[:, steps:] = found[:, steps - 1 : steps]
    return found


def phase_roughness(values: np.ndarray, season: float, horizon: int) -> np.ndarray:
    """The logarithm of how much values change from one cycle to the next at the phase of each step, relative to all
    phases, `(series, horizon)`.
    """
    lag, count = round(season), values.shape[1]
    if lag < 2 or len(values) <= lag:
        return np.zeros((count, horizon))
    change = np.abs(values[lag:] - values[:-lag])
    at = phases(season, len(change), horizon)
    number = int(np.ceil(season))
    sums, counts = np.zeros((2, number, count))
    known = ~np.isnan(change)
    np.add.at(sums, at[: len(change)], np.where(known, change, 0.0))
    np.add.at(counts, at[: len(change)], known)
    total = sums.sum(axis=0) / np.maximum(counts.sum(axis=0), 1)
    drawn = (sums + total) / (counts + 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(total > 0, drawn / np.where(total > 0, total, 1.0), 1.0)
    return np.clip(np.log(ratio + 1e-2), -3, 3)[at[len(change) :]].T


def at_level(level: float, sides: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far an interval of any level reaches down and up, from the offsets `(2, levels, …)` of `LEVELS`: linear in
    the quantile of the normal distribution between them.
    """
    knots = [0.0, *NORMAL]
    at = NormalDist().inv_cdf(0.5 + level / 2)
    place = min(int(np.searchsorted(knots, at, side="left")), len(LEVELS))
    place = max(place, 1)
    high = sides[:, place - 1]
    low = sides[:, place - 2] if place > 1 else np.zeros_like(high)
    share = (at - knots[place - 1]) / (knots[place] - knots[place - 1])
    down, up = low + (high - low) * share
    return down, up


def widening(sides: np.ndarray, season: float) -> np.ndarray:
    """Offsets `(…, horizon)` that are never less than a season earlier, or a step earlier where there is no season."""
    found, lag = sides.copy(), round(season)
    for step in range(lag, found.shape[-1]):
        found[..., step] = np.maximum(found[..., step], found[..., step - lag])
    return found
