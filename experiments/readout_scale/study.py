"""The data, and every fit of a readout of the frozen notebook LSTM: all sources, resamples and restarts at once."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jax_lstm import Readout, fit_readout, from_gates, lstm, readout
from jax_lstm.train import fit

GATES = {"forget": (0.5, 0.1, 0), "input": (0.6, 0.2, 0), "cell": (0.7, 0.3, 0), "output": (0.8, 0.4, 0)}
STEPS = 3
"""The values that the LSTM sees before the one to predict, as in the notebook."""
SOURCES = ("made with scale 4", "arithmetic", "airline", "sunspots")


class Fits(NamedTuple):
    """Fitted readouts, with axes (source, resample, restart, …), of which resample 0 is the data themselves.

    Args:
        scale, line: by Optax, the readout without and with a bias.
        best_scale, best_line: the same in closed form, without the axis of restarts.
        losses: `(source, resample, restart, 2*steps)`, while the scale is fitted and then the line.
    """

    scale: Readout
    line: Readout
    best_scale: Readout
    best_line: Readout
    losses: jax.Array


def sequences(seed: int, count: int) -> np.ndarray:
    """Windows `(source, count, STEPS + 1)`: the values seen, then the next one. The first two sources are arithmetic.

    An arithmetic sequence starts in [0, 2) and grows by [0, 1) per step. A series is divided by its standard deviation,
    which brings it to the size of the notebook's numbers; the last windows of it are taken.
    """
    generator = np.random.default_rng(seed)
    arithmetic = generator.uniform(0, 2, (count, 1)) + generator.uniform(0, 1, (count, 1)) * np.arange(STEPS + 1)
    windows = []
    for name in SOURCES[2:]:
        path = Path(__file__).parent.parent / "data" / f"{name}.csv"
        series = np.loadtxt(path, delimiter=",", skiprows=1, usecols=1)
        windows.append(np.lib.stride_tricks.sliding_window_view(series / series.std(), STEPS + 1)[-count:])
    return np.stack([arithmetic, arithmetic, *windows])


def features_and_targets(given: np.ndarray) -> tuple[jax.Array, jax.Array]:
    """The last hidden state of the notebook LSTM and the value to predict, each `(source, count, 1)`."""
    given = jnp.asarray(given)
    carry, _ = lstm(from_gates(GATES), jnp.moveaxis(given[..., :STEPS], -1, 0)[..., None])
    targets = given[..., STEPS:]
    return carry.h, targets.at[0].set(4 * carry.h[0])


def resample(key: jax.Array, rows: jax.Array, resamples: int) -> jax.Array:
    """The rows themselves and bootstrap resamples of them, drawn with replacement, `(source, resamples, count, …)`."""
    count = rows.shape[1]
    drawn = jax.random.randint(key, (resamples - 1, count), 0, count)
    return rows[:, jnp.concatenate([jnp.arange(count)[None], drawn])]


def study(hs: jax.Array, targets: jax.Array, key: jax.Array, *, restarts: int, steps: int) -> Fits:
    """Fit the scale, then the whole readout, for data `(source, resample, count, 1)`, by Optax and in closed form."""
    starts = Readout(10 * jax.random.normal(key, (restarts, 1, 1)))

    def loss(params, batch, key):
        hs, targets = batch
        return jnp.mean((readout(params, hs) - targets) ** 2)

    def one(hs, targets, start):
        """One data set from one start."""
        run = partial(fit, loss, data=(hs, targets), optimizer=optax.lbfgs(), key=key, steps=steps)
        scale = run(params=start)
        line = run(params=Readout(scale.params.w, jnp.zeros(1)))
        return scale, line

    def best(hs, targets):
        return tuple(fit_readout(hs, targets, bias=bias) for bias in (False, True))

    @jax.jit
    def everything(hs, targets, starts):
        scale, line = jax.vmap(jax.vmap(jax.vmap(one, (None, None, 0)), (0, 0, None)), (0, 0, None))(
            hs, targets, starts
        )
        best_scale, best_line = jax.vmap(jax.vmap(best))(hs, targets)
        losses = jnp.concatenate([scale.history.loss, line.history.loss], axis=-1)
        return Fits(scale.params, line.params, best_scale, best_line, losses)

    return everything(hs, targets, starts)
