"""cuDNN's LSTM as a schedule: `jax.experimental.rnn` computes, and the semantics of a layer are arranged around it.

cuDNN takes one batch axis, lengths of at least one, steps from first to last, and a second vector of biases. Further
batch axes are merged, a row of length 0 is computed for one step and then replaced by its initial carry, a reversed
layer is given its valid steps reversed, and the second biases are zeros. One call runs a whole stack whose layers are
of one hidden size and have the same number of directions.
"""

from __future__ import annotations

import importlib.util
import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_lstm._step import Shared, Steps
from jax_lstm._types import Carry, LSTMParams
from jax_lstm.schedules.kernels.derivatives import with_derivatives
from jax_lstm.schedules.scan import scan

if TYPE_CHECKING:
    from jax_lstm.schedules.problem import Problem

PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin")
TF32_PRECISIONS = (None, "default", "fastest", "bfloat16", "high", "tensorfloat32", "bfloat16_3x")
"""The values of `jax_default_matmul_precision` at which XLA's own products may be made in TF32 as well."""


_Static = tuple[int, int, int, float, bool, Any]
"""Features, hidden, layers, dropout, both directions, precision."""


class _Arrays(NamedTuple):
    """What has a gradient: `w_x`, `w_h` and `b` of every layer, and of both directions of each, one after the other;
    `x (time, rows, features)`; and `h` and `c` `(layers * directions, rows, hidden)`."""

    weights: tuple[tuple[jax.Array, jax.Array, jax.Array], ...]
    x: jax.Array
    h: jax.Array
    c: jax.Array


def cudnn(params: LSTMParams, shared: Shared, steps: Steps, *, reverse: bool) -> tuple[Carry, jax.Array]:
    """The last carry and the hidden states, by one call of cuDNN, and their gradients by another.

    Products are made in TF32, unless `jax.default_matmul_precision` asks for more. Under `jax.vmap` one call follows
    the other: batch axes, which are one call, are faster.
    """
    stack = partial(cudnn_stack, (params,), (shared.initial,), shared.lengths)
    (carry,), hs = stack(steps.x, directions=1, reverse=reverse)
    return carry, hs


def cudnn_stack(
    weights: tuple[LSTMParams, ...],
    carries: tuple[Carry, ...],
    lengths: jax.Array | None,
    xs: jax.Array,
    *,
    directions: int,
    reverse: bool,
) -> tuple[tuple[Carry, ...], jax.Array]:
    """A whole stack, in one or both directions, by one call of cuDNN, and its gradients by another.

    Args:
        weights: of every layer, and of both directions of each, one after the other; all of one hidden size.
        carries: the initial carries, in the same order.
        lengths: integers `(*batch)`, or None.
        xs: `(time, *batch, features)`, zero where a step is not valid.
        directions: 1 or 2.
        reverse: whether each direction takes its steps the other way round.

    Returns:
        The last carries, in the same order, and the last layer's hidden states.
    """
    (time, *batch, features), hidden = xs.shape, carries[0].c.shape[-1]
    rows = math.prod(batch)
    x = xs.reshape(time, rows, features)
    initial = jax.tree.map(lambda *parts: jnp.stack([part.reshape(rows, hidden) for part in parts]), *carries)
    lengths = None if lengths is None else lengths.reshape(rows).astype(jnp.int32)
    at_least_one = jnp.full(rows, time, jnp.int32) if lengths is None else jnp.maximum(lengths, 1)
    with_biases = tuple((w.w_x, w.w_h, jnp.zeros_like(w.w_x[0]) if w.b is None else w.b) for w in weights)

    run = with_derivatives(*(partial(part, directions) for part in (_value, _saving, _backward, _plain)))
    last, hs = run(_Arrays(with_biases, _reversed(x, lengths) if reverse else x, *initial), at_least_one)

    hs = _reversed(hs, lengths) if reverse else hs
    if lengths is not None:
        empty = (lengths == 0)[None, :, None]
        last = jax.tree.map(partial(jnp.where, empty), initial, last)
        hs = jnp.where(empty, 0, hs)
    ends = (Carry(*(a.reshape(*batch, hidden) for a in carry)) for carry in zip(*last, strict=True))
    return tuple(ends), hs.reshape(time, *batch, directions * hidden)


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


def _plain(directions: int, arrays: _Arrays, lengths: jax.Array) -> tuple[Carry, jax.Array]:
    times = jnp.arange(arrays.x.shape[0], dtype=jnp.int32)[:, None]
    x, ends, outs = arrays.x, [], []
    for position, weights in enumerate(arrays.weights):
        initial = Shared(Carry(arrays.h[position], arrays.c[position]))
        steps = Steps(x, valid=times < lengths[None])
        carry, hs = scan(LSTMParams(*weights), initial, steps, reverse=position % directions == 1)
        ends.append(carry)
        outs.append(hs)
        if len(outs) == directions:
            x, outs = jnp.concatenate(outs, axis=-1), []
    return jax.tree.map(lambda *parts: jnp.stack(parts), *ends), x


def _value(directions: int, arrays: _Arrays, lengths: jax.Array) -> tuple[Carry, jax.Array]:
    return _saving(directions, arrays, lengths)[0]


def _saving(
    directions: int, arrays: _Arrays, lengths: jax.Array
) -> tuple[tuple[Carry, jax.Array], tuple[jax.Array, jax.Array]]:
    """cuDNN's forward call: the last carries and the hidden states; these once more, as cuDNN lays them out, and its
    reserve space."""
    y, h, c, reserve = _forward_call(_static(directions, arrays), _operands(arrays), lengths)
    return (Carry(h, c), y.swapaxes(0, 1)), (y, reserve)


def _backward(directions: int, arrays: _Arrays, lengths: jax.Array, saved: Any, d_out: Any) -> _Arrays:
    """cuDNN's backward call."""
    (d_h, d_c), d_hs = d_out
    operands, pull = jax.vjp(_operands, arrays)
    cotangents = d_hs.swapaxes(0, 1), d_h, d_c
    return pull(_backward_call(_static(directions, arrays), operands, lengths, saved, cotangents))[0]


def _operands(arrays: _Arrays) -> tuple[jax.Array, ...]:
    """cuDNN's operands: `x (rows, time, features)`, `h` and `c`, and in one vector the matrices of all layers, then
    their biases, a second one of zeros beside each."""
    matrices = [matrix.T for w_x, w_h, _ in arrays.weights for matrix in (w_x, w_h)]
    biases = [vector for _, _, b in arrays.weights for vector in (b, jnp.zeros_like(b))]
    vector = jnp.concatenate([part.reshape(-1) for part in (*matrices, *biases)])
    return arrays.x.swapaxes(0, 1), arrays.h, arrays.c, vector


def _forward_call(static: _Static, operands: tuple[jax.Array, ...], lengths: jax.Array) -> Any:
    def call(x: Any, h: Any, c: Any, weights: Any, lengths: Any) -> Any:
        from jax.experimental import rnn

        (y, h, c), residuals = rnn.lstm_fwd(x, h, c, weights, lengths, *static)
        return y, h, c, residuals[-1]

    return jax.custom_batching.sequential_vmap(call)(*operands, lengths)


def _backward_call(static: _Static, operands: Any, lengths: jax.Array, saved: Any, cotangents: Any) -> Any:
    def call(operands: Any, lengths: Any, saved: Any, cotangents: Any) -> Any:
        from jax.experimental import rnn

        return tuple(rnn.lstm_bwd(*static, (*operands, lengths, *saved), cotangents)[:4])

    return jax.custom_batching.sequential_vmap(call)(operands, lengths, saved, cotangents)


def _static(directions: int, arrays: _Arrays) -> _Static:
    layers = len(arrays.weights) // directions
    return arrays.x.shape[-1], arrays.h.shape[-1], layers, 0.0, directions == 2, _precision()


def _precision() -> tuple[jax.lax.Precision, jax.lax.Precision]:
    """What `jax.default_matmul_precision` asks for, in the two steps that cuDNN has."""
    asked = getattr(jax.config, "jax_default_matmul_precision")  # noqa: B009
    one = jax.lax.Precision.HIGH if asked in TF32_PRECISIONS else jax.lax.Precision.HIGHEST
    return one, one
