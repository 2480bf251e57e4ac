"""cuDNN's LSTM as a schedule: `jax.experimental.rnn` computes, and the semantics of a layer are arranged around it.

cuDNN takes one batch axis, lengths of at least one, steps from first to last, and a second vector of biases. Further
batch axes are merged, a row of length 0 is computed for one step and then replaced by its initial carry, a reversed
layer is given its valid steps reversed, and the second biases are zeros.
"""

from __future__ import annotations

import importlib.util
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_lstm._step import Shared, Steps
from jax_lstm._types import Carry, LSTMParams
from jax_lstm.schedules.kernels.derivatives import with_derivatives
from jax_lstm.schedules.scan import scan

if TYPE_CHECKING:
    from jax_lstm.schedules.registry import Problem

PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin")
TF32_PRECISIONS = (None, "default", "fastest", "bfloat16", "high", "tensorfloat32", "bfloat16_3x")
"""The values of `jax_default_matmul_precision` at which XLA's own products may be made in TF32 as well."""


class _Arrays(NamedTuple):
    """What has a gradient: `x (time, rows, features)`, and `h` and `c` `(rows, hidden)`."""

    w_x: jax.Array
    w_h: jax.Array
    b: jax.Array
    x: jax.Array
    h: jax.Array
    c: jax.Array


def cudnn(params: LSTMParams, shared: Shared, steps: Steps, *, reverse: bool) -> tuple[Carry, jax.Array]:
    """The last carry and the hidden states, by one call of cuDNN, and their gradients by another.

    Products are made in TF32, unless `jax.default_matmul_precision` asks for more. Under `jax.vmap` one call follows
    the other: batch axes, which are one call, are faster.
    """
    (time, *batch, features), hidden = steps.x.shape, shared.initial.c.shape[-1]
    rows = math.prod(batch)
    x = steps.x.reshape(time, rows, features)
    initial = Carry(*(a.reshape(rows, hidden) for a in shared.initial))
    lengths = None if shared.lengths is None else shared.lengths.reshape(rows).astype(jnp.int32)
    at_least_one = jnp.full(rows, time, jnp.int32) if lengths is None else jnp.maximum(lengths, 1)
    b = jnp.zeros_like(params.w_x[0]) if params.b is None else params.b

    run = with_derivatives(_value, _saving, _backward, _plain)
    arrays = _Arrays(params.w_x, params.w_h, b, _reversed(x, lengths) if reverse else x, *initial)
    carry, hs = run(arrays, at_least_one)

    hs = _reversed(hs, lengths) if reverse else hs
    if lengths is not None:
        empty = (lengths == 0)[:, None]
        carry = Carry(*(jnp.where(empty, first, last) for first, last in zip(initial, carry, strict=True)))
        hs = jnp.where(empty[None], 0, hs)
    return Carry(*(a.reshape(*batch, hidden) for a in carry)), hs.reshape(time, *batch, hidden)


def unsupported(problem: Problem) -> str | None:
    """Why cuDNN cannot run a problem, or None."""
    if problem.platform != "gpu":
        return f"is a call of cuDNN, and the platform is {problem.platform}"
    if not any(importlib.util.find_spec(plugin) for plugin in PLUGINS):
        return "needs CUDA, and JAX's plugin for it is not installed (pip install jax[cuda12])"
    if variants := problem.variant - {"no bias"}:
        return f"is the plain LSTM, without {', '.join(sorted(variants))}"
    if options := problem.options - {"lengths"}:
        return f"knows lengths and nothing else, no {', '.join(sorted(options))}"
    if jnp.dtype(problem.dtype).name != "float32":
        return f"computes in float32, not in {jnp.dtype(problem.dtype).name}"
    if problem.rows is None:
        return "asks for its workspace when it is traced, and the batch is symbolic"
    return None


def _reversed(values: jax.Array, lengths: jax.Array | None) -> jax.Array:
    """The valid steps of `(time, rows, size)` from last to first; padding stays at the end."""
    if lengths is None:
        return values[::-1]
    times = jnp.arange(values.shape[0], dtype=jnp.int32)[:, None]
    sources = jnp.where(times < lengths[None], lengths[None] - 1 - times, times)
    return jnp.take_along_axis(values, sources[..., None], axis=0)


def _plain(arrays: _Arrays, lengths: jax.Array) -> tuple[Carry, jax.Array]:
    times = jnp.arange(arrays.x.shape[0], dtype=jnp.int32)[:, None]
    steps = Steps(arrays.x, valid=times < lengths[None])
    return scan(LSTMParams(*arrays[:3]), Shared(Carry(arrays.h, arrays.c)), steps, reverse=False)


def _value(arrays: _Arrays, lengths: jax.Array) -> tuple[Carry, jax.Array]:
    return _saving(arrays, lengths)[0]


def _saving(arrays: _Arrays, lengths: jax.Array) -> tuple[tuple[Carry, jax.Array], tuple[jax.Array, jax.Array]]:
    """cuDNN's forward call: the last carry and the hidden states; these once more, as cuDNN lays them out, and its
    reserve space."""
    y, h, c, reserve = _forward_call(_precision(), _operands(arrays), lengths)
    return (Carry(h[0], c[0]), y.swapaxes(0, 1)), (y, reserve)


def _backward(arrays: _Arrays, lengths: jax.Array, saved: Any, d_out: Any) -> _Arrays:
    """cuDNN's backward call."""
    (d_h, d_c), d_hs = d_out
    operands, pull = jax.vjp(_operands, arrays)
    cotangents = d_hs.swapaxes(0, 1), d_h[None], d_c[None]
    return pull(_backward_call(_precision(), operands, lengths, saved, cotangents))[0]


def _operands(arrays: _Arrays) -> tuple[jax.Array, ...]:
    """cuDNN's operands: `x (rows, time, features)`, `h` and `c` `(1, rows, hidden)`, and all weights in one vector."""
    weights = arrays.w_x.T, arrays.w_h.T, arrays.b, jnp.zeros_like(arrays.b)
    vector = jnp.concatenate([w.reshape(-1) for w in weights])
    return arrays.x.swapaxes(0, 1), arrays.h[None], arrays.c[None], vector


def _forward_call(precision: Any, operands: tuple[jax.Array, ...], lengths: jax.Array) -> Any:
    def call(x: Any, h: Any, c: Any, weights: Any, lengths: Any) -> Any:
        from jax.experimental import rnn

        (y, h, c), residuals = rnn.lstm_fwd(x, h, c, weights, lengths, *_sizes(x, h), precision)
        return y, h, c, residuals[-1]

    return jax.custom_batching.sequential_vmap(call)(*operands, lengths)


def _backward_call(precision: Any, operands: Any, lengths: jax.Array, saved: Any, cotangents: Any) -> Any:
    def call(operands: Any, lengths: Any, saved: Any, cotangents: Any) -> Any:
        from jax.experimental import rnn

        residuals = (*operands, lengths, *saved)
        return tuple(rnn.lstm_bwd(*_sizes(*operands[:2]), precision, residuals, cotangents)[:4])

    return jax.custom_batching.sequential_vmap(call)(operands, lengths, saved, cotangents)


def _sizes(x: jax.Array, h: jax.Array) -> tuple[int, int, int, float, bool]:
    """Features, hidden, layers, dropout, both directions."""
    return x.shape[-1], h.shape[-1], 1, 0.0, False


def _precision() -> tuple[jax.lax.Precision, jax.lax.Precision]:
    """What `jax.default_matmul_precision` asks for, in the two steps that cuDNN has."""
    asked = getattr(jax.config, "jax_default_matmul_precision")  # noqa: B009
    one = jax.lax.Precision.HIGH if asked in TF32_PRECISIONS else jax.lax.Precision.HIGHEST
    return one, one
