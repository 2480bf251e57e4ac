"""The adding problem of Hochreiter and Schmidhuber (1997, experiment 4), a network for it, and its training."""

from __future__ import annotations

from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jax_lstm import Readout, chrono, init_network, network, readout
from jax_lstm.train import Fitted, fit

HIDDEN, BATCH, RATE = 16, 16, 6e-2
GUESS = 1 / 6
"""The error of always answering one: the variance of the sum of two numbers that are uniform in [0, 1]."""


class Adder(NamedTuple):
    """Parameters: layers for `network`, and a linear readout of their last hidden state."""

    layers: tuple
    readout: Readout


@partial(jax.jit, static_argnums=(1, 2))
def sequences(key: jax.Array, count: int, length: int) -> tuple[jax.Array, jax.Array]:
    """Numbers uniform in [0, 1] and marks, `(length, count, 2)`, and the sums of the two marked numbers, `(count,)`.

    One mark is in the first half of a sequence, one in the second.
    """
    value_key, *mark_keys = jax.random.split(key, 3)
    values = jax.random.uniform(value_key, (length, count))
    halves = ((0, length // 2), (length // 2, length))
    marked = [jax.random.randint(mark_key, (1, count), *half) for mark_key, half in zip(mark_keys, halves, strict=True)]
    steps = jnp.arange(length)[:, None]
    marks = ((steps == marked[0]) | (steps == marked[1])).astype(values.dtype)
    return jnp.stack([values, marks], axis=-1), (values * marks).sum(axis=0)


def initialize(key: jax.Array, longest: int | None = None, **options) -> Adder:
    """A network with the options of `jax_lstm.init`, and chrono biases for dependencies of up to `longest` steps."""
    layer_key, chrono_key, readout_key = jax.random.split(key, 3)
    layers = init_network(layer_key, 2, [HIDDEN], **options)
    if longest is not None:
        layers = tuple(chrono(chrono_key, layer, longest) for layer in layers)
    width = options.get("projection") or HIDDEN
    return Adder(layers, Readout(jax.nn.initializers.glorot_uniform()(readout_key, (width, 1)), jnp.zeros(1)))


def error(model: Adder, xs: jax.Array, sums: jax.Array) -> jax.Array:
    """The mean squared error of the answers given after the last step."""
    carries, _ = network(model.layers, xs)
    return jnp.mean((readout(model.readout, carries[-1].h)[:, 0] - sums) ** 2)


def loss(model: Adder, batch: tuple[jax.Array, jax.Array], key: jax.Array) -> jax.Array:
    """The error of a minibatch; nothing in it is random."""
    return error(model, *batch)


@cache
def optimizer(steps: int) -> optax.GradientTransformation:
    """One object per number of steps, so that equal runs share one compilation."""
    return optax.chain(
        optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_onecycle_schedule(steps, RATE, pct_start=0.1))
    )


def train(keys: jax.Array, models: Adder, length: int, steps: int) -> Fitted:
    """The models `(members, ...)`, trained side by side on sequences that each member sees once."""
    data = sequences(jax.random.fold_in(keys[0], 0), steps * BATCH, length)
    return fit(loss, models, data, optimizer(steps), key=keys, steps=steps, batch_size=BATCH, batch_axis=(1, 0))


errors = jax.jit(jax.vmap(error, (0, None, None)))


def test(key: jax.Array, models: Adder, length: int) -> jax.Array:
    """The error of each member on 1,000 new sequences."""
    return errors(models, *sequences(key, 1000, length))
