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
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_lstm._step import Shared, Steps, masked
from jax_lstm._types import Carry, LSTMParams
from jax_lstm.schedules.deferred import PORTABLE
from jax_lstm.schedules.operation import Operation, filled
from jax_lstm.schedules.primitives import run
from jax_lstm.schedules.problem import Problem, beyond
from jax_lstm.schedules.scan import scan

FIELDS = frozenset({"w_x", "w_h", "b"})
"""The fields of a layer that cuDNN supports."""
OPTIONS = frozenset({"lengths"})
"""The options of a call that cuDNN supports."""
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


def cudnn(problem: Problem, params: LSTMParams, shared: Shared, steps: Steps) -> tuple[Carry, jax.Array]:
    """The last carry and the hidden states, by one call of cuDNN, and their gradients by another.

    Products are made in TF32, unless `jax.default_matmul_precision` asks for more.
    """
    return run(CUDNN, problem, params, shared, steps)


def cudnn_stack(
    problem: Problem, weights: tuple[LSTMParams, ...], shared: Shared, steps: Steps, *, directions: int
) -> tuple[tuple[Carry, ...], jax.Array]:
    """A whole stack, in one or both directions, by one call of cuDNN, and its gradients by another.

    Args:
        problem: that of the first layer.
        weights: of every layer, and of both directions of each, one after the other; all of one hidden size.
        shared: the initial carries, in the same order, as `initial`.
        steps: the inputs.
        directions: 1 or 2.

    Returns:
        The last carries, in the same order, and the last layer's hidden states.
    """
    return run(STACKS[directions], problem, weights, shared, steps)


def unsupported(problem: Problem) -> str | None:
    """Why cuDNN cannot run a problem, or None."""
    if problem.platform != "gpu":
        return f"is a call of cuDNN, and the platform is {problem.platform}"
    if not any(importlib.util.find_spec(plugin) for plugin in PLUGINS):
        return "needs CUDA, and JAX's plugin for it is not installed (pip install jax[cuda12])"
    others = beyond(problem, fields=FIELDS, options=OPTIONS)
    if others:
        return f"supports the plain LSTM with lengths, but not {', '.join(others)}"
    if jnp.dtype(problem.dtype).name != "float32":
        return f"computes in float32, not in {jnp.dtype(problem.dtype).name}"
    if problem.is_symbolic:
        return "asks for its workspace when it is traced, and a size is symbolic"
    return None


def _reversed(values: jax.Array, lengths: jax.Array | None) -> jax.Array:
    """The valid steps of `(time, rows, size)` from last to first; padding stays at the end."""
    if lengths is None:
        return values[::-1]
    times = jnp.arange(values.shape[0], dtype=jnp.int32)[:, None]
    sources = jnp.where(times < lengths[None], lengths[None] - 1 - times, times)
    return jnp.take_along_axis(values, sources[..., None], axis=0)


def _value(
    directions: int, problem: Problem, params: Any, shared: Shared, steps: Steps, *, stack: bool
) -> tuple[Any, jax.Array]:
    return _keeping(directions, problem, params, shared, steps)[0]


def _keeping(directions: int, problem: Problem, params: Any, shared: Shared, steps: Steps) -> Any:
    """cuDNN's forward call: the last carries and the hidden states; and, kept, its outputs and its reserve space."""
    arrays, lengths = _arrays(problem, params, shared, steps)
    y, h, c, reserve = _forward_call(_static(directions, arrays), _operands(arrays), lengths)
    outputs = _outputs(directions, problem, params, shared, steps, y, h, c)
    return outputs, (y, reserve)


def _pullback(
    directions: int,
    problem: Problem,
    params: Any,
    shared: Shared,
    steps: Steps,
    hs: None,
    kept: Any,
    cotangents: Any,
    wanted: Any,
) -> tuple[Any, Shared, Steps]:
    """cuDNN's backward call, between the pullbacks of what is arranged before and after the forward call."""

    def before(params: Any, initial: Any, x: jax.Array) -> Any:
        arrays, _ = _arrays(problem, params, shared._replace(initial=initial), steps._replace(x=x))
        return _operands(arrays)

    def after(initial: Any, y: jax.Array, h: jax.Array, c: jax.Array) -> Any:
        return _outputs(directions, problem, params, shared._replace(initial=initial), steps, y, h, c)

    arrays, lengths = _arrays(problem, params, shared, steps)
    operands, pull_before = jax.vjp(before, params, shared.initial, steps.x)
    # the last carries are not read: their places are taken by the initial ones
    outputs, pull_after = jax.vjp(after, shared.initial, kept[0], arrays.h, arrays.c)
    d_kept, d_y, d_h, d_c = pull_after(filled(cotangents, outputs))
    d_operands = _backward_call(_static(directions, arrays), operands, lengths, kept, (d_y, d_h, d_c))
    d_params, d_initial, d_x = pull_before(tuple(d_operands))
    return d_params, shared._replace(initial=jax.tree.map(jnp.add, d_kept, d_initial)), steps._replace(x=d_x)


def _plain(
    directions: int, problem: Problem, params: Any, shared: Shared, steps: Steps
) -> tuple[tuple[Carry, ...], jax.Array]:
    """A stack by plain loops."""
    x, ends, outs = steps.x, [], []
    carries: Any = shared.initial
    for position, weights in enumerate(params):
        one = problem._replace(reverse=problem.reverse != (position % directions == 1))
        carry, hs = scan(one, weights, shared._replace(initial=carries[position]), steps._replace(x=x))
        ends.append(carry)
        outs.append(hs)
        if len(outs) == directions:
            x, outs = jnp.concatenate(outs, axis=-1), []
    return tuple(ends), x


def _arrays(problem: Problem, params: Any, shared: Shared, steps: Steps) -> tuple[_Arrays, jax.Array]:
    """What cuDNN takes, in the order of its steps; and lengths, of at least one."""
    single = isinstance(params, LSTMParams)
    weights: Any = (params,) if single else params
    carries: Any = (shared.initial,) if single else shared.initial
    hidden, rows = carries[0].c.shape[-1], math.prod(problem.batch)
    x = masked(shared, steps)[1].x
    x = x.reshape(problem.time, rows, x.shape[-1])
    h, c = jax.tree.map(lambda *parts: jnp.stack([part.reshape(rows, hidden) for part in parts]), *carries)
    lengths = _lengths(problem, shared)
    if problem.reverse:
        x = _reversed(x, None if shared.lengths is None else lengths)
    with_biases = tuple((w.w_x, w.w_h, jnp.zeros_like(w.w_x[0]) if w.b is None else w.b) for w in weights)
    return _Arrays(with_biases, x, h, c), jnp.maximum(lengths, 1)


def _outputs(
    directions: int,
    problem: Problem,
    params: Any,
    shared: Shared,
    steps: Steps,
    y: jax.Array,
    h: jax.Array,
    c: jax.Array,
) -> tuple[Any, jax.Array]:
    """The last carries and the hidden states, from what cuDNN gives for rows of at least one step."""
    single = isinstance(params, LSTMParams)
    carries: Any = (shared.initial,) if single else shared.initial
    batch, hidden = problem.batch, carries[0].c.shape[-1]
    lengths = _lengths(problem, shared)
    hs = y.swapaxes(0, 1)
    if problem.reverse:
        hs = _reversed(hs, None if shared.lengths is None else lengths)
    hs = hs.reshape(problem.time, *batch, directions * hidden)
    ends = [Carry(*(part.reshape(*batch, hidden) for part in pair)) for pair in zip(h, c, strict=True)]
    if shared.lengths is not None:
        empty = (shared.lengths == 0)[..., None]
        hs = jnp.where(empty[None], jnp.zeros_like(hs), hs)
        ends = [jax.tree.map(partial(jnp.where, empty), *pair) for pair in zip(carries, ends, strict=True)]
    return (ends[0] if single else tuple(ends)), hs


def _lengths(problem: Problem, shared: Shared) -> jax.Array:
    rows = math.prod(problem.batch)
    if shared.lengths is None:
        return jnp.full(rows, problem.time, jnp.int32)
    return shared.lengths.reshape(rows)


def _operands(arrays: _Arrays) -> tuple[jax.Array, ...]:
    """cuDNN's operands: `x (rows, time, features)`, `h` and `c`, and in one vector the matrices of all layers, then
    their biases, each followed by a second one of zeros."""
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


def _operation(directions: int, plain: Any, elsewhere: Any) -> Operation:
    return Operation(
        value=partial(_value, directions),
        keeping=partial(_keeping, directions),
        pullback=partial(_pullback, directions),
        plain=plain,
        kept_rows=None,
        runs_on=_runs_on,
        elsewhere=elsewhere,
        copies=directions,
    )


def _runs_on(platform: str, exported: bool) -> bool:
    return platform == "gpu" and not exported


CUDNN = _operation(1, scan, PORTABLE)
STACKS = {directions: _operation(directions, partial(_plain, directions), None) for directions in (1, 2)}
