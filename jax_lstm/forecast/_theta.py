"""The dynamic optimised Theta method (Fiorucci et al. 2016), of all series of a panel at once.

With a smoothing parameter α the forecasts of one step are linear in the first level and in `1 - 1/θ`, so that
those two have a closed form,
and α alone is searched, on a grid:

    mu = level + (1 - 1/θ) (a (1 - α)^i + b (1 - (1 - α)^(i+1)) / α)
    level' = α y + (1 - α) level

a and b are the intercept and the slope of the straight line through the values so far.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

ALPHAS = np.r_[0.02, 0.05, np.linspace(0.1, 0.9, 17), 0.99].astype(np.float32)
"""The smoothing parameters that are tried."""

SKIPPED = 3
"""How many first errors do not count."""


class Line(NamedTuple):
    """The values so far, and the straight line through them: how many, their mean, its intercept and slope."""

    seen: jax.Array
    mean: jax.Array
    intercept: jax.Array
    slope: jax.Array


class Theta(NamedTuple):
    """What was found for each series: α, θ (infinite where the weight of the line is one), the first level, and
    the forecasts.
    """

    alpha: jax.Array
    theta: jax.Array
    first_level: jax.Array
    forecasts: jax.Array


def theta(values: Any, *, horizon: int, known: Any = None, alphas: Any = ALPHAS) -> Theta:
    """Forecasts of series without season.

    Args:
        values: `(rows, series)`, each series at the end of the rows, NaN before it began; of about unit size.
        horizon: how many steps ahead.
        known: which values count in the fit `(rows, series)`; all where None.
        alphas: the smoothing parameters to try.

    Returns:
        `Theta`, with forecasts `(horizon, series)`.

    Source: Fiorucci, Pellegrini, Louzada, Petropoulos and Koehler, "Models for optimising the theta method", 2016.

    >>> import numpy as np
    >>> theta(np.arange(1.0, 30)[:, None], horizon=2).forecasts.round(1).tolist()
    [[30.0], [31.0]]
    """
    values = np.asarray(values)
    started = ~np.isnan(values)
    counts = started if known is None else started & known
    filled = np.where(started, values, 0).astype(np.float32)
    return _theta(
        jnp.asarray(filled),
        jnp.asarray(started),
        jnp.asarray(counts),
        jnp.asarray(alphas, jnp.float32),
        horizon=horizon,
    )


@partial(jax.jit, static_argnames="horizon")
def _theta(values: jax.Array, started: jax.Array, counts: jax.Array, alphas: jax.Array, *, horizon: int) -> Theta:
    alpha = alphas[:, None]
    nothing = jnp.zeros_like(values[0])
    lines = Line(nothing, nothing, nothing, nothing)
    of_each = jnp.zeros((alphas.shape[0], values.shape[1]), jnp.float32)

    def step(held: Any, row: Any) -> Any:
        line, level, share, sums = held
        y, has_begun, counting = row
        pull = _pull(jax.tree.map(lambda leaf: leaf[None], line), alpha)
        error, use = y[None] - level, (counting & (line.seen >= SKIPPED))[None]
        products = (share * share, share * pull, pull * pull, share * error, pull * error, error * error)
        sums = jax.tree.map(lambda total, product: total + jnp.where(use, product, 0.0), sums, products)
        level = jnp.where(has_begun[None], alpha * y[None] + (1 - alpha) * level, level)
        share = jnp.where(has_begun[None], (1 - alpha) * share, share)
        return (_seen(line, y, has_begun), level, share, sums), None

    start = (lines, of_each, of_each + 1, (of_each,) * 6)
    (line, level, share, sums), _ = jax.lax.scan(step, start, (values, started, counts))
    first, weight, loss = _solve(*sums)
    best = jnp.argmin(loss, axis=0)[None]
    first, weight, level, share = (jnp.take_along_axis(leaf, best, 0)[0] for leaf in (first, weight, level, share))
    chosen = alphas[best[0]]

    def ahead(held: Any, _: None) -> Any:
        line, level = held
        made = level + weight * _pull(line, chosen)
        return (_seen(line, made, jnp.ones_like(made, bool)), chosen * made + (1 - chosen) * level), made

    _, forecasts = jax.lax.scan(ahead, (line, level + share * first), length=horizon)
    return Theta(chosen, 1 / jnp.maximum(1 - weight, 0), first, forecasts)


def _pull(line: Line, alpha: jax.Array) -> jax.Array:
    """What the straight line adds to the level, for a weight of one."""
    remains = (1 - alpha) ** line.seen
    return line.intercept * remains + line.slope * (1 - remains * (1 - alpha)) / alpha


def _seen(line: Line, y: jax.Array, started: jax.Array) -> Line:
    """The line with one more value."""
    count = line.seen
    mean = (count * line.mean + y) / (count + 1)
    slope = jnp.where(count > 0, ((count - 1) * line.slope + 6 * (y - line.mean) / (count + 1)) / (count + 2), 0.0)
    new = Line(count + 1, mean, mean - slope * (count + 2) / 2, slope)
    return jax.tree.map(lambda fresh, held: jnp.where(started, fresh, held), new, line)


def _solve(ss: Any, sp: Any, pp: Any, se: Any, pe: Any, ee: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The first level and the weight of the line, from 0 to 1, of least squared error, and that error."""
    small = 1e-6
    ss, pp = ss + small, pp + small
    determinant = jnp.maximum(ss * pp - sp * sp, 1e-6 * ss * pp)
    weight = jnp.clip((ss * pe - sp * se) / determinant, 0.0, 1.0)
    first = (se - weight * sp) / ss
    loss = ee - 2 * (first * se + weight * pe) + first**2 * ss + 2 * first * weight * sp + weight**2 * pp
    return first, weight, loss
