"""jax_lstm itself: the plain call on plain arrays, and the same call with the batch over a mesh."""

from __future__ import annotations

import jax
import numpy as np

from experiments.benchmark.peers import Calls, Work, jax_calls
from jax_lstm import LSTMParams, lstm, parallel


def plain(work: Work) -> Calls:
    """`lstm(params, xs)`, as anybody would write it."""

    def apply(params, xs):
        return lstm(params, xs, lengths=work.lengths)[1]

    def last(params, xs):
        return lstm(params, xs, lengths=work.lengths)[0].h

    calls = jax_calls(apply, work.params, work.xs, work.valid)
    if "last" in calls:
        compiled = jax.jit(last)
        calls["last"] = lambda: compiled(work.params, work.xs)
    return calls


def spread(work: Work) -> Calls:
    """The same call, on arrays whose batch `shard_batch` has spread over all devices."""
    mesh = parallel.batch_mesh()
    lengths = None if work.lengths is None else parallel.shard_batch(work.lengths, mesh, axis=0)
    return plain(Work(parallel.replicate(work.params, mesh), parallel.shard_batch(work.xs, mesh), lengths))


def draw(time: int, batch: int, features: int, hidden: int, ragged: bool = False, seed: int = 0) -> Work:
    """Weights uniform in ±1/sqrt(hidden), inputs normal, lengths uniform in 1..time."""
    rng = np.random.default_rng(seed)

    def weights(*shape):
        return jax.numpy.asarray(rng.uniform(-1, 1, shape) / np.sqrt(hidden), "float32")

    params = LSTMParams(weights(features, 4 * hidden), weights(hidden, 4 * hidden), weights(4 * hidden))
    xs = jax.numpy.asarray(rng.normal(size=(time, batch, features)), "float32")
    return Work(params, xs, jax.numpy.asarray(rng.integers(1, time + 1, batch), "int32") if ragged else None)
