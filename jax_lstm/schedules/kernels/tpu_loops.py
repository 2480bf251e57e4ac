"""The loops of the TPU kernel, in Pallas: `w_h`, h and c stay in VMEM, and everything else streams through it in blocks
of time.

The equations are those of `_cell` for the plain LSTM, and the backward loop is their pullback. Sizes are aligned by the
caller: rows to sublanes, the hidden size to lanes. The grid runs over blocks of rows and, inside, over blocks of time,
in the order of the steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

VALID, RESET = 1, 2
"""The bits of `When.flags`."""


class Plan(NamedTuple):
    """What is fixed when a loop is compiled: the block sizes, the direction, and the VMEM (in bytes) that the loop may
    use."""

    time: int
    rows: int
    reverse: bool
    vmem: int
    interpret: object = False


class When(NamedTuple):
    """Which steps are valid and which are preceded by a reset: at most one of `lengths (rows, 1)` and `flags (time,
    rows, 1)`, integers."""

    lengths: jax.Array | None = None
    flags: jax.Array | None = None


class Forward(NamedTuple):
    """Arguments of the forward loop: `x (time, rows, features)`, `b (1, 4*hidden)`, all else as in `Shared` and
    `LSTMParams`."""

    x: jax.Array
    h: jax.Array
    c: jax.Array
    w_x: jax.Array
    w_h: jax.Array
    b: jax.Array
    reset_h: Any
    reset_c: Any
    when: When


class Saved(NamedTuple):
    """What the backward loop needs, over time: the carry that each step started from, and its gates side by side."""

    h: jax.Array
    c: jax.Array
    gates: jax.Array


class Outputs(NamedTuple):
    """Results of the forward loop: the hidden states, the last carry and, for the gradient, what is saved."""

    hs: jax.Array
    h: jax.Array
    c: jax.Array
    saved: Saved | None


class Backward(NamedTuple):
    """Arguments of the backward loop: `w_h` transposed `(4*hidden, hidden)`, and the gradients of the forward loop's
    results."""

    c: jax.Array
    gates: jax.Array
    w_h: jax.Array
    d_hs: jax.Array
    d_h: jax.Array
    d_c: jax.Array
    when: When


class Gradients(NamedTuple):
    """Results of the backward loop: gradients of the pre-activations, of the initial carry, and of what resets put
    back."""

    z: jax.Array
    h: jax.Array
    c: jax.Array
    reset_h: Any
    reset_c: Any


def forward(args: Forward, plan: Plan, *, save: bool) -> Outputs:
    """The hidden states `(time, rows, hidden)` and the last carry; `c` is float32 throughout."""
    (time, rows, _), hidden = args.x.shape, args.w_h.shape[0]
    over_time = partial(_array, args.x, (time, rows))
    at_end = partial(_array, args.x, (rows,))
    saved = Saved(over_time(hidden), over_time(hidden, jnp.float32), over_time(4 * hidden)) if save else None
    results = Outputs(over_time(hidden), at_end(hidden, jnp.float32), at_end(hidden, jnp.float32), saved)
    scratch = [(plan.rows, hidden), (plan.rows, hidden), (plan.time, plan.rows, 4 * hidden)]
    kernel = partial(_forward, steps=time, plan=plan)
    return _call(kernel, "lstm_forward", args, results, scratch, plan, time, rows)


def backward(args: Backward, plan: Plan, *, resets: bool) -> Gradients:
    """The gradients that need the loop; those of the weights and of the input are products over all of `z`, left to
    the caller."""
    time, rows, hidden = args.c.shape
    at_start = _array(args.d_hs, (rows,), hidden, jnp.float32)
    back = at_start if resets else None
    results = Gradients(_array(args.d_hs, (time, rows), 4 * hidden), at_start, at_start, back, back)
    scratch = [(plan.rows, hidden), (plan.rows, hidden)]
    kernel = partial(_backward, steps=time, plan=plan)
    return _call(kernel, "lstm_backward", args, results, scratch, plan._replace(reverse=not plan.reverse), time, rows)


def _forward(args: Forward, outs: Outputs, h_now: Any, c_now: Any, z: Any, *, steps: int, plan: Plan) -> None:
    """The body of the forward loop: fields of `args` and `outs` are references to blocks in VMEM."""
    hidden = c_now.shape[-1]
    block, count = _block(steps, plan, plan.reverse)

    @pl.when(pl.program_id(1) == 0)
    def _() -> None:
        h_now[...], c_now[...] = _float32(args.h[...]), _float32(args.c[...])

    x = args.x[...].reshape(plan.time * plan.rows, -1)
    z[...] = (_dot(x, args.w_x[...]) + _float32(args.b[...])).reshape(z.shape)

    def step(k: Any, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        t = count - 1 - k if plan.reverse else k
        valid, reset = _conditions(args.when, t, block * plan.time + t, c_now.shape)
        if reset is not None:
            back = _float32(args.reset_h[...]), _float32(args.reset_c[...])
            carry = tuple(jnp.where(reset, new, old) for new, old in zip(back, carry, strict=True))
        h, c = carry
        pre = z[t] + _dot(h.astype(args.w_h.dtype), args.w_h[...])
        i, f, g, o = (pre[:, n * hidden : (n + 1) * hidden] for n in range(4))
        i, f, g, o = _sigmoid(i), _sigmoid(f), jnp.tanh(g), _sigmoid(o)
        if outs.saved is not None:
            outs.saved.h[t], outs.saved.c[t] = h.astype(outs.saved.h.dtype), c
            for n, gate in enumerate((i, f, g, o)):
                outs.saved.gates[t, :, n * hidden : (n + 1) * hidden] = gate.astype(outs.saved.gates.dtype)
        new_c = f * c + i * g
        new_h = o * jnp.tanh(new_c)
        if valid is None:
            outs.hs[t] = new_h.astype(outs.hs.dtype)
            return new_h, new_c
        outs.hs[t] = jnp.where(valid, new_h, 0.0).astype(outs.hs.dtype)
        return jnp.where(valid, new_h, h), jnp.where(valid, new_c, c)

    h_now[...], c_now[...] = jax.lax.fori_loop(0, count, step, (h_now[...], c_now[...]))
    outs.h[...], outs.c[...] = h_now[...], c_now[...]


def _backward(args: Backward, outs: Gradients, d_h_now: Any, d_c_now: Any, *, steps: int, plan: Plan) -> None:
    """The body of the backward loop."""
    hidden = d_c_now.shape[-1]
    block, count = _block(steps, plan, not plan.reverse)

    @pl.when(pl.program_id(1) == 0)
    def _() -> None:
        d_h_now[...], d_c_now[...] = _float32(args.d_h[...]), _float32(args.d_c[...])
        if outs.reset_h is not None:
            outs.reset_h[...], outs.reset_c[...] = jnp.zeros_like(d_h_now), jnp.zeros_like(d_c_now)

    def step(k: Any, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        t = k if plan.reverse else count - 1 - k
        valid, reset = _conditions(args.when, t, block * plan.time + t, d_c_now.shape)
        d_h, d_c = carry
        kept_h: Any = 0.0
        kept_c: Any = 0.0
        d_new_h = d_h + _float32(args.d_hs[t])
        d_new_c = d_c
        if valid is not None:
            kept_h, kept_c = jnp.where(valid, 0.0, d_h), jnp.where(valid, 0.0, d_c)
            d_new_h, d_new_c = jnp.where(valid, d_new_h, 0.0), jnp.where(valid, d_new_c, 0.0)
        i, f, g, o = (_float32(args.gates[t, :, n * hidden : (n + 1) * hidden]) for n in range(4))
        c = args.c[t]
        shown = jnp.tanh(f * c + i * g)
        d_new_c = d_new_c + d_new_h * o * (1 - shown * shown)
        d_i, d_f = d_new_c * g * i * (1 - i), d_new_c * c * f * (1 - f)
        d_g, d_o = d_new_c * i * (1 - g * g), d_new_h * shown * o * (1 - o)
        d_z = jnp.concatenate([d_i, d_f, d_g, d_o], axis=-1).astype(outs.z.dtype)
        outs.z[t] = d_z
        d_h, d_c = _dot(d_z, args.w_h[...]) + kept_h, d_new_c * f + kept_c
        if reset is None:
            return d_h, d_c
        outs.reset_h[...] += jnp.where(reset, d_h, 0.0)
        outs.reset_c[...] += jnp.where(reset, d_c, 0.0)
        return jnp.where(reset, 0.0, d_h), jnp.where(reset, 0.0, d_c)

    d_h_now[...], d_c_now[...] = jax.lax.fori_loop(0, count, step, (d_h_now[...], d_c_now[...]))
    outs.h[...], outs.c[...] = d_h_now[...], d_c_now[...]


def _block(steps: int, plan: Plan, from_the_end: bool) -> tuple[Any, Any]:
    """Which block of time this is, and how many of its steps there are: the last one may be cut short."""
    block = pl.program_id(1)
    if from_the_end:
        block = pl.num_programs(1) - 1 - block
    return block, plan.time if steps % plan.time == 0 else jnp.minimum(plan.time, steps - block * plan.time)


def _conditions(when: When, t: Any, now: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Whether a step is valid, and whether a reset precedes it, for every row and unit; None where it is not asked."""
    if when.lengths is not None:
        return now < jnp.broadcast_to(when.lengths[...], shape), None
    if when.flags is None:
        return None, None
    flags = jnp.broadcast_to(when.flags[t], shape)
    return (flags & VALID) != 0, (flags & RESET) != 0


def _sigmoid(z: jax.Array) -> jax.Array:
    return 0.5 * jnp.tanh(0.5 * z) + 0.5  # one instruction of the transcendental unit instead of two


def _dot(a: jax.Array, w: jax.Array) -> jax.Array:
    return jnp.dot(a, w, preferred_element_type=jnp.float32)


def _float32(value: jax.Array) -> jax.Array:
    return value.astype(jnp.float32)


def _array(like: jax.Array, lead: tuple[int, ...], size: int, dtype: Any = None) -> Any:
    """The shape of a result, which varies over the devices of a mesh as `like (time, rows, size)` does."""
    dtype = like.dtype if dtype is None else dtype
    return jax.eval_shape(lambda a: jnp.zeros((*lead, size), dtype) + a[(0,) * a.ndim].astype(dtype), like)


def _call(
    kernel: Any,
    name: str,
    args: Any,
    results: Any,
    scratch: Sequence[tuple[int, ...]],
    plan: Plan,
    time: int,
    rows: int,
) -> Any:
    blocks = pl.cdiv(time, plan.time)

    def spec(leaf: Any) -> pl.BlockSpec:
        if leaf.ndim == 3:
            shape = (plan.time, plan.rows, leaf.shape[-1])
            return pl.BlockSpec(shape, lambda row, t: (blocks - 1 - t if plan.reverse else t, row, 0))
        return pl.BlockSpec((plan.rows, leaf.shape[-1]), lambda row, t: (row, 0))

    whole = {
        field: pl.BlockSpec(leaf.shape, lambda row, t: (0, 0), pipeline_mode=pl.Buffered(1))
        for field, leaf in args._asdict().items()
        if field in ("w_x", "w_h", "b")
    }
    return pl.pallas_call(
        kernel,
        grid=(rows // plan.rows, blocks),
        in_specs=[jax.tree.map(spec, args)._replace(**whole)],
        out_specs=[jax.tree.map(spec, results)],
        out_shape=[results],
        scratch_shapes=[pltpu.VMEM(shape, jnp.float32) for shape in scratch],
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel", "arbitrary"), vmem_limit_bytes=plan.vmem),
        interpret=plan.interpret,
        name=name,
    )(args)[0]
