"""The network: one LSTM over all rows of a series that forecasts every horizon at every row, with a center and
four quantiles.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm._init import init, uniform
from jax_lstm._layer import lstm
from jax_lstm._readout import readout
from jax_lstm._types import Readout
from jax_lstm.forecast._features import Design

if TYPE_CHECKING:
    import optax

QUANTILES = (0.025, 0.1, 0.9, 0.975)
"""The quantiles around the center."""

DESIGNS = {
    "short": Design(window=15, horizon=24, context=96, fading=0.6, drift=0.35),
    "long": Design(window=24, horizon=48, context=144, fading=0.4, drift=0.1),
}
"""The designs of the two networks: for seasons up to `LONGEST_SHORT`, and for longer ones."""

LONGEST_SHORT = 12

PINBALL, SIZE_SHARE = 0.3, 0.15
"""The weights in the loss: of the quantiles, and of the absolute error in units of the scale."""


class Network(NamedTuple):
    """An ensemble, every array with the members' axis in front.

    Args:
        layer: the LSTMs.
        readout: of the hidden state and the features, `w (members, hidden + features, 5 * horizon)`.
    """

    layer: Any
    readout: Readout


class Windows(NamedTuple):
    """What a network learns from, series in the second axis.

    Args:
        x: features `(rows, series, features)`.
        y: what followed each row, as the network is to say it, `(rows, series, horizon)`, NaN where unknown or not
            to be learned.
        scale: its unit `(rows, series)`, in logarithms.
        valid: where a series has started `(rows, series)`.
        weight: of each horizon `(1, series, horizon)`.
    """

    x: np.ndarray
    y: np.ndarray
    scale: np.ndarray
    valid: np.ndarray
    weight: np.ndarray


def kind(season: tuple[float, ...]) -> str:
    """Which network forecasts series of these seasons, by the shortest of them."""
    return "long" if season and season[0] > LONGEST_SHORT else "short"


@partial(jax.jit, static_argnames=("design", "hidden", "members"))
def start(key: jax.Array, *, design: Design, hidden: int, members: int) -> Network:
    """An ensemble before training, whose forecasts are the level with the season and part of the slope."""
    one = partial(init, features=design.features, hidden=hidden, recurrent_init=uniform(hidden), dtype=jnp.float32)
    w = jnp.zeros((members, hidden + design.features, 5 * design.horizon), jnp.float32)
    return Network(jax.vmap(one)(jax.random.split(key, members)), Readout(w, w[:, 0]))


def forward(member: Network, x: Any, valid: Any, rows: Any = slice(None)) -> tuple[jax.Array, jax.Array]:
    """What one member says at some rows: the center `(rows, series, horizon)`, and quantiles `(4, rows, series,
    horizon)`.

    No gradient flows from the quantiles into the center that they lie around, and they never cross.
    """
    # a reset where a series starts, and no mask: with a mask the kernel packs the rows that are left, and a row's sums
    # would depend on how many others have started
    starts = valid & ~jnp.pad(valid[:-1], [(1, 0), (0, 0)])
    _, hs = lstm(member.layer, x, resets=starts)
    outputs = readout(member.readout, jnp.concatenate([hs[rows], x[rows]], axis=-1))
    center, *widths = jnp.split(outputs, 5, axis=-1)
    below, far_below, above, far_above = (1.2 * jax.nn.softplus(width) for width in widths)
    about = jax.lax.stop_gradient(center)
    return center, jnp.stack([about - below - far_below, about - below, about + above, about + above + far_above])


@jax.jit
def ensemble(network: Network, x: jax.Array, valid: jax.Array, rows: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The mean of what the members say at some rows."""
    center, quantiles = jax.vmap(forward, (0, None, None, None))(network, x, valid, rows)
    return center.mean(axis=0), quantiles.mean(axis=0)


def losses(member: Network, windows: Windows) -> jax.Array:
    """The loss of one member on each series: half the sMAPE and part of the scaled error of the center, and the
    quantiles' pinball loss.
    """
    center, quantiles = forward(member, windows.x, windows.valid)
    known = ~jnp.isnan(windows.y)
    y = jnp.where(known, windows.y, 0.0)
    weight = jnp.where(known, windows.weight, 0.0)
    weight = weight / jnp.maximum(weight.sum(axis=(0, 2), keepdims=True), 1.0)  # each series counts the same
    error = jnp.abs(center - y)
    each = 10 * jnp.tanh(error * windows.scale[..., None] / 2) + SIZE_SHARE * error
    for level, quantile in zip(QUANTILES, quantiles, strict=True):
        each += PINBALL * jnp.maximum(level * (y - quantile), (level - 1) * (y - quantile))
    return jnp.sum(weight * each, axis=(0, 2))


def loss(network: Network, windows: Windows, key: Any) -> jax.Array:
    """The mean loss over a batch, summed over the members, so that each trains as if it were alone."""
    return jax.vmap(losses, (0, None))(network, windows).mean(axis=1).sum()


@lru_cache
def optimizer(steps: int, rate: float, members: int) -> optax.GradientTransformation:
    """AdamW with a short warm-up and a cosine, the gradient clipped."""
    import optax  # here, as forecasts start sooner without it

    schedule = optax.warmup_cosine_decay_schedule(0, rate, min(30, max(1, steps // 4)), max(steps, 2), 0.02 * rate)
    return optax.chain(optax.clip_by_global_norm(1.0 * members), optax.adamw(schedule, weight_decay=1e-2))


def learn(
    network: Network,
    windows: Windows,
    *,
    key: jax.Array,
    steps: int,
    rate: float,
    batch: int,
    progress: bool | None = None,
    **options: Any,
) -> Any:
    """The ensemble after some steps of training; `options` go to `jax_lstm.train.fit`."""
    from jax_lstm import train

    members = network.readout.w.shape[0]
    return train.fit(
        loss,
        network,
        windows,
        optimizer(steps, rate, members),
        key=key,
        steps=steps,
        batch_size=min(batch, windows.x.shape[1]),
        batch_axis=1,
        progress=progress,
        **options,
    )
