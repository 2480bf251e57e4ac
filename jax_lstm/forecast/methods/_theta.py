"""The dynamic optimized Theta method (Fiorucci et al. 2016), of many series at once.

With a smoothing parameter α the forecasts of one step are linear in the first level and in `1 - 1/θ`, so that
those two have a closed form,
and α alone is searched, on a grid:

    mu = level + (1 - 1/θ) (a (1 - α)^i + b (1 - (1 - α)^(i+1)) / α)
    level' = α y + (1 - α) level

a and b are the intercept and the slope of the straight line through the values so far. θ is shrunk toward two, the
method that won M3 (Assimakopoulos and Nikolopoulos 2000), the more the shorter a series is: of few values, least
squares makes a θ that forecasts badly.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jax_lstm.forecast.methods._past import Past

ALPHAS = np.r_[0.02, 0.05, np.linspace(0.1, 0.9, 17), 0.99].astype(np.float32)
"""The smoothing parameters that are tried."""

PRIOR = 15.0
"""How many values it takes to be as sure of θ as the prior, θ = 2, which weighs by the square of their ratio. On
windows held out of M3's training parts (`experiments.m3 --validate --no-fit`) sMAPE is lower than by least squares
alone: yearly 19.4 for 19.5 and, a horizon earlier, 16.9 for 17.8; quarterly 8.77 for 8.85; monthly 13.92 for 14.01.
"""

SKIPPED = 3
"""How many first errors do not count."""

LONGEST = 512
"""How many of the last rows it runs over."""


class Line(NamedTuple):
    """The values so far, and the straight line through them: how many, their mean, its intercept and slope."""

    seen: Any
    mean: Any
    intercept: Any
    slope: Any


class Theta(NamedTuple):
    """What was found for each series: α, θ (infinite where the weight of the line is one), the first level, and
    the forecasts.
    """

    alpha: Any
    theta: Any
    first_level: Any
    forecasts: Any


def theta(past: Past) -> np.ndarray:
    """Theta of the deseasonalized values, which are no logarithms, and the seasonal pattern, `(columns, horizon)`."""
    about, started, known = past.about[-LONGEST:], past.started[-LONGEST:], past.known[-LONGEST:]
    short = past._replace(filled=past.filled[-LONGEST:], begin=np.maximum(past.begin - len(past.about) + len(about), 0))
    plain, top = short.plain(about)
    middle = np.where(past.logs, 0.0, plain[-1])
    spread = np.abs(np.where(started, plain - middle, 0.0)).sum(axis=0) / started.sum(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    scaled = np.where(started, (plain - middle) / spread, np.nan)
    made = np.asarray(fit_theta(scaled, horizon=past.horizon, known=known).forecasts, np.float64) * spread + middle
    return past.transformed(made.T, top, 1e-2 * plain[-1]) + past.coming


def fit_theta(
    values: np.ndarray,
    *,
    horizon: int,
    known: np.ndarray | None = None,
    alphas: np.ndarray = ALPHAS,
    prior: float = PRIOR,
) -> Theta:
    """Theta's parameters and forecasts of series without season.

    Args:
        values: `(rows, series)`, each series at the end of the rows, NaN before it began; of about unit size.
        horizon: how many steps ahead.
        known: which values count in the fit `(rows, series)`; all where None.
        alphas: the smoothing parameters to try.
        prior: how many values it takes to be as sure of θ as the prior; with 0, least squares alone.

    Returns:
        `Theta`, with forecasts `(horizon, series)`.

    Source: Fiorucci, Pellegrini, Louzada, Petropoulos and Koehler, "Models for optimising the theta method", 2016.

    >>> import numpy as np
    >>> fit_theta(np.arange(1.0, 30)[:, None], horizon=2, prior=0).forecasts.round(1).tolist()
    [[30.0], [31.0]]
    """
    started = ~np.isnan(values)
    counts = started if known is None else started & known
    filled = np.where(started, values, 0).astype(np.float32)
    drawn = np.square(np.float32(prior) / np.maximum(counts.sum(axis=0), 1)).astype(np.float32)[None]
    alpha = np.asarray(alphas, np.float32)[:, None]
    of_each = np.zeros((len(alpha), filled.shape[1]), np.float32)
    line = Line(*np.zeros((4, 1, filled.shape[1]), np.float32))
    level, share = of_each, of_each + 1  # share is (1 - alpha) to the power of the values seen
    sums = [np.zeros_like(of_each) for _ in range(6)]
    for y, has_begun, counting in zip(filled, started, counts, strict=True):
        pull = _pull(line, share, alpha)
        error, use = y[None] - level, (counting[None] & (line.seen >= SKIPPED)).astype(np.float32)
        used_share, used_pull = use * share, use * pull
        pairs = (
            (used_share, share),
            (used_share, pull),
            (used_pull, pull),
            (used_share, error),
            (used_pull, error),
            (use * error, error),
        )
        for total, (one, other) in zip(sums, pairs, strict=True):
            total += one * other
        level = np.where(has_begun[None], alpha * y[None] + (1 - alpha) * level, level)
        share = np.where(has_begun[None], (1 - alpha) * share, share)
        line = _seen(line, y[None], has_begun[None])
    first, weight, loss = _solve(drawn, *sums)
    best = np.argmin(loss, axis=0)[None]
    first, weight, level, share = (np.take_along_axis(leaf, best, 0) for leaf in (first, weight, level, share))
    chosen, made = alpha[:, 0][best], []
    level = level + share * first
    for _ in range(horizon):
        step = level + weight * _pull(line, share, chosen)
        line = _seen(line, step, np.ones_like(step, bool))
        level, share = chosen * step + (1 - chosen) * level, (1 - chosen) * share
        made.append(step[0])
    with np.errstate(divide="ignore"):  # θ is infinite where the line has all the weight
        return Theta(chosen[0], 1 / np.maximum(1 - weight[0], 0), first[0], np.stack(made))


def _pull(line: Line, remains: Any, alpha: Any) -> Any:
    """What the straight line adds to the level, for a weight of one."""
    return line.intercept * remains + line.slope * (1 - remains * (1 - alpha)) / alpha


def _seen(line: Line, y: Any, started: Any) -> Line:
    """The line with one more value."""
    count = line.seen
    mean = (count * line.mean + y) / (count + 1)
    slope = np.where(count > 0, ((count - 1) * line.slope + 6 * (y - line.mean) / (count + 1)) / (count + 2), 0.0)
    new = Line(count + 1, mean, mean - slope * (count + 2) / 2, slope)
    return Line(*(np.where(started, fresh, held) for fresh, held in zip(new, line, strict=True)))


def _solve(prior: Any, ss: Any, sp: Any, pp: Any, se: Any, pe: Any, ee: Any) -> tuple[Any, Any, Any]:
    """The first level and the weight of the line, from 0 to 1 and shrunk toward a half, of least squared error, and
    that error.
    """
    small = 1e-6
    ss, pp = ss + small, pp + small
    drawn = prior * pp
    determinant = np.maximum(ss * (pp + drawn) - sp * sp, 1e-6 * ss * pp)
    weight = np.clip((ss * (pe + drawn / 2) - sp * se) / determinant, 0.0, 1.0)
    first = (se - weight * sp) / ss
    loss = ee - 2 * (first * se + weight * pe) + first**2 * ss + 2 * first * weight * sp + weight**2 * pp
    return first, weight, loss
