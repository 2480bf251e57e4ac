"""The TPU kernel as a schedule: sizes are aligned and blocks chosen here, and the loops are in `tpu_loops`."""

from __future__ import annotations

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
"""The fields of a layer that the kernels support."""
OPTIONS = frozenset({"lengths", "mask", "resets", "reset_to"})
"""The options of a call that the kernels support."""
LANES = 128
SUBLANES = {4: 8, 2: 16}
"""Rows come in multiples of these, for each size of an element in bytes."""
MOST_ROWS = 256
MOST_ROWS_AND_STEPS = 1024
LEAST_VMEM = 64 * 2**20
"""Bytes of VMEM of a core where the chip is not known, as when a program is compiled elsewhere: a v5p and a TPU7x have
no more."""


class Blocks(NamedTuple):
    """The numbers of steps and rows that a loop has in VMEM at a time."""

    time: int
    rows: int


class _Arrays(NamedTuple):
    """What has a gradient, of aligned sizes and with one batch axis."""

    w_x: jax.Array
    w_h: jax.Array
    b: jax.Array
    x: jax.Array
    initial: Carry
    reset_to: Carry | None


class _Conditions(NamedTuple):
    """What has none."""

    valid: jax.Array | None
    reset: jax.Array | None
    lengths: jax.Array | None


def pallas(problem: Problem, params: LSTMParams, shared: Shared, steps: Steps) -> tuple[Carry, jax.Array]:
    """The last carry and the hidden states, by two Pallas kernels for TPUs.

    Products have the precision of `jax.default_matmul_precision`, as on every path. Half precision is accumulated in
    float32, and the cell state is float32 throughout. The gradients of the weights and of the input are large products
    after the backward loop.
    """
    return run(PALLAS, problem, params, shared, steps)


def operation(interpret: Any = False) -> Operation:
    """The kernels as an operation.

    Args:
        interpret: run the kernels as plain JAX (True) or in the TPU interpreter (`pltpu.InterpretParams()`), on any
            platform.
    """
    return Operation(
        value=partial(_value, interpret),
        keeping=partial(_keeping, interpret),
        pullback=partial(_pullback, interpret),
        plain=scan,
        kept_rows=None,
        runs_on=None if interpret else _runs_on,
        elsewhere=PORTABLE,
    )


def _runs_on(platform: str, exported: bool) -> bool:
    return platform == "tpu"


def _value(
    interpret: Any, problem: Problem, params: LSTMParams, shared: Shared, steps: Steps, *, stack: bool
) -> tuple[Carry, jax.Array]:
    return _states(interpret, problem, params, shared, steps, save=False)[0]


def _keeping(interpret: Any, problem: Problem, params: LSTMParams, shared: Shared, steps: Steps) -> Any:
    return _states(interpret, problem, params, shared, steps, save=True)


def _states(
    interpret: Any, problem: Problem, params: LSTMParams, shared: Shared, steps: Steps, *, save: bool
) -> tuple[tuple[Carry, jax.Array], Any]:
    plan, rows = _plan(interpret, problem)
    arrays, conditions = _align(params, shared, steps, rows, _round_up(rows, plan.rows))
    outputs, saved = _forward(arrays, conditions, plan, save=save)
    return _unaligned(problem, outputs), saved


def _pullback(
    interpret: Any,
    problem: Problem,
    params: LSTMParams,
    shared: Shared,
    steps: Steps,
    hs: None,
    kept: Any,
    cotangents: Any,
    wanted: Any,
) -> tuple[LSTMParams, Shared, Steps]:
    """The backward loop, between the pullbacks of what aligns its operands and cuts its results."""
    plan, rows = _plan(interpret, problem)
    padded = _round_up(rows, plan.rows)

    def align(params: LSTMParams, shared: Shared, x: jax.Array) -> _Arrays:
        return _align(params, shared, steps._replace(x=x), rows, padded)[0]

    lengths, floats = shared.lengths, shared._replace(lengths=None)
    arrays, conditions = _align(params, shared, steps, rows, padded)
    _, pull = jax.vjp(align, params, floats, masked(shared, steps)[1].x)
    units = arrays.initial.c.shape[-1]
    shapes = Carry(arrays.initial.h, arrays.initial.c), jnp.zeros_like(arrays.x, shape=(*arrays.x.shape[:2], units))
    outputs, pull_outputs = jax.vjp(partial(_unaligned, problem), shapes)
    (d_outputs,) = pull_outputs(filled(cotangents, outputs))
    d_params, d_shared, d_x = pull(_backward(arrays, conditions, kept, d_outputs, plan))
    _, pull_x = jax.vjp(lambda x: masked(shared, steps._replace(x=x))[1].x, steps.x)
    return d_params, d_shared._replace(lengths=lengths), steps._replace(x=pull_x(d_x)[0])


def _plan(interpret: Any, problem: Problem) -> tuple[Any, int]:
    """How the loops are cut into blocks, and the number of rows."""
    from jax_lstm.schedules.kernels import tpu_loops

    rows = math.prod(problem.batch)
    itemsize = jnp.dtype(problem.dtype).itemsize
    blocks = choose_blocks(problem.time, rows, problem.features, problem.hidden, itemsize, vmem())
    assert blocks is not None, "unsupported() refuses what has no blocks"
    return tpu_loops.Plan(*blocks, problem.reverse, vmem() * 7 // 8, interpret), rows


def _unaligned(problem: Problem, outputs: tuple[Carry, jax.Array]) -> tuple[Carry, jax.Array]:
    """The results without the rows and units that were added."""
    carry, hs = outputs
    rows, hidden, batch = math.prod(problem.batch), problem.hidden, problem.batch
    h, c = (end[:rows, :hidden].reshape(*batch, hidden) for end in carry)
    return Carry(h, c), hs[:, :rows, :hidden].reshape(problem.time, *batch, hidden)


def _align(params: LSTMParams, shared: Shared, steps: Steps, rows: int, padded: int) -> tuple[_Arrays, _Conditions]:
    """One batch axis of a whole number of blocks, and a hidden size of whole lanes: rows and units of zeros, which
    stay zeros."""
    hidden = shared.initial.c.shape[-1]
    more_units = _round_up(hidden, LANES) - hidden

    def fill(array: jax.Array, axis: int, count: int) -> jax.Array:
        widths = [(0, 0)] * array.ndim
        widths[axis] = (0, count)
        return array if count == 0 else jnp.pad(array, widths)

    def over_time(array: Any) -> Any:
        return (
            None
            if array is None
            else fill(array.reshape(array.shape[0], rows, *array.shape[steps.x.ndim - 1 :]), 1, padded - rows)
        )

    def carry(given: Any) -> Any:
        return (
            None
            if given is None
            else Carry(*(fill(fill(a.reshape(rows, hidden), 0, padded - rows), 1, more_units) for a in given))
        )

    def gates(weights: jax.Array) -> jax.Array:
        apart = weights.reshape(*weights.shape[:-1], 4, hidden)
        return fill(apart, apart.ndim - 1, more_units).reshape(*weights.shape[:-1], -1)

    shared, steps = _with_mask_for_resets(shared, steps)
    b = jnp.zeros_like(params.w_x[0]) if params.b is None else params.b
    reset_to = jax.tree.map(jnp.zeros_like, shared.initial) if shared.reset_to is None else shared.reset_to
    arrays = _Arrays(
        gates(params.w_x),
        fill(gates(params.w_h), 0, more_units),
        gates(b),
        over_time(steps.x),
        carry(shared.initial),
        None if steps.resets is None else carry(reset_to),
    )
    lengths = None if shared.lengths is None else fill(shared.lengths.reshape(rows), 0, padded - rows)
    return arrays, _Conditions(over_time(steps.mask), over_time(steps.resets), lengths)


def _with_mask_for_resets(shared: Shared, steps: Steps) -> tuple[Shared, Steps]:
    """Inputs of zero where a step is not valid; lengths as a mask where there are resets, whose bits are one array."""
    if steps.resets is None:
        return shared, steps._replace(x=masked(shared, steps)[1].x)
    return masked(shared, steps)


def unsupported(problem: Problem) -> str | None:
    """Why the kernel cannot run a problem, or None."""
    if problem.platform != "tpu":
        return f"is a kernel for TPUs, and the platform is {problem.platform}"
    others = beyond(problem, fields=FIELDS, options=OPTIONS)
    if others:
        return f"supports only the plain LSTM, not {', '.join(others)}"
    if jnp.dtype(problem.dtype).name not in ("float32", "bfloat16"):
        return f"computes in float32 and bfloat16, not in {jnp.dtype(problem.dtype).name}"
    if problem.rows is None or problem.is_symbolic:
        return "chooses its blocks by sizes, of which one is symbolic"
    sizes, itemsize = (problem.features, problem.hidden), jnp.dtype(problem.dtype).itemsize
    if choose_blocks(problem.time, problem.rows, *sizes, itemsize, vmem()) is None:
        needed = loop_bytes(Blocks(1, SUBLANES[itemsize]), *sizes, itemsize) / 2**20
        room = usable(vmem()) / 2**20
        return f"needs {needed:.0f} MiB of VMEM for its weights and one step, and may use {room:.0f} MiB of it"
    return None


def vmem() -> int:
    """Bytes of VMEM of a core: of the device that JAX compiles for where that is a TPU."""
    from jax.experimental.pallas import tpu as pltpu

    try:
        return pltpu.get_tpu_info().vmem_capacity_bytes
    except ValueError:
        return LEAST_VMEM


def usable(vmem: int) -> int:
    """The share of VMEM that blocks are chosen for; the rest is the compiler's, for what it spills."""
    return vmem * 5 // 8


def choose_blocks(time: int, rows: int, features: int, hidden: int, itemsize: int, vmem: int) -> Blocks | None:
    """The largest blocks that fit, rows first; None where the weights leave no room for any.

    >>> choose_blocks(time=128, rows=64, features=128, hidden=256, itemsize=2, vmem=LEAST_VMEM)
    Blocks(time=16, rows=64)
    """
    align = SUBLANES[itemsize]
    for parts in range(_ceil(rows, MOST_ROWS), _ceil(rows, align) + 1):
        block = _round_up(_ceil(rows, parts), align)
        for steps in (64, 32, 16, 8, 4, 2, 1):
            steps = min(steps, time)
            if block * steps > max(MOST_ROWS_AND_STEPS, block):
                continue
            if loop_bytes(Blocks(steps, block), features, hidden, itemsize) <= usable(vmem):
                return Blocks(steps, block)
    return None


def loop_bytes(blocks: Blocks, features: int, hidden: int, itemsize: int) -> int:
    """Bytes of VMEM of the larger of the two loops: weights, and blocks in time of which two are there at once."""
    features, hidden = _round_up(features, LANES), _round_up(hidden, LANES)
    block_size = blocks.time * blocks.rows
    carries = 16 * blocks.rows * hidden * 4
    forward = (features + hidden) * 4 * hidden * itemsize
    forward += (
        2 * block_size * ((features + 2 * hidden) * itemsize + 5 * hidden * 4 + LANES * 4) + block_size * 4 * hidden * 4
    )
    backward = 4 * hidden * hidden * itemsize + 2 * block_size * (5 * hidden * itemsize + 5 * hidden * 4 + LANES * 4)
    return max(forward, backward) + carries


def _forward(arrays: _Arrays, conditions: _Conditions, plan: Any, *, save: bool) -> tuple[Any, Any]:
    """The last carry and the hidden states, and what the backward loop needs."""
    from jax_lstm.schedules.kernels import tpu_loops

    h, c = arrays.initial
    reset_h, reset_c = (None, None) if arrays.reset_to is None else arrays.reset_to
    weights = arrays.w_x, arrays.w_h, arrays.b[None]
    args = tpu_loops.Forward(arrays.x, h, c, *weights, reset_h, reset_c, _when(conditions))
    outs = tpu_loops.forward(args, plan, save=save)
    carry = Carry(*(end.astype(like.dtype) for end, like in zip((outs.h, outs.c), arrays.initial, strict=True)))
    return (carry, outs.hs), outs.saved


def _backward(arrays: _Arrays, conditions: _Conditions, saved: Any, d_out: Any, plan: Any) -> _Arrays:
    """The gradients of all arrays."""
    from jax_lstm.schedules.kernels import tpu_loops

    (d_h, d_c), d_hs = d_out
    args = tpu_loops.Backward(saved.c, saved.gates, arrays.w_h.T, d_hs, d_h, d_c, _when(conditions))
    found = tpu_loops.backward(args, plan, resets=conditions.reset is not None)
    product = partial(jnp.einsum, preferred_element_type=jnp.float32)
    gradients = _Arrays(
        product("tbi,tbj->ij", arrays.x, found.z),
        product("tbi,tbj->ij", saved.h, found.z),
        found.z.astype(jnp.float32).sum((0, 1)),
        product("tbj,ij->tbi", found.z, arrays.w_x),
        Carry(found.h, found.c),
        None if found.reset_h is None or found.reset_c is None else Carry(found.reset_h, found.reset_c),
    )
    return jax.tree.map(lambda gradient, like: gradient.astype(like.dtype), gradients, arrays)


def _when(conditions: _Conditions) -> Any:
    """The conditions as the loops take them: lengths without resets as they are, else bits of one integer per step and
    row."""
    from jax_lstm.schedules.kernels import tpu_loops

    valid, reset, lengths = conditions
    if lengths is not None and reset is None:
        return tpu_loops.When(lengths=lengths.astype(jnp.int32)[:, None])
    if valid is None and reset is None:
        return tpu_loops.When()
    flags = jnp.asarray(tpu_loops.VALID) if valid is None else jnp.where(valid, tpu_loops.VALID, 0)
    if reset is not None:
        flags = flags | jnp.where(reset, tpu_loops.RESET, 0)
    return tpu_loops.When(flags=flags.astype(jnp.int32)[..., None])


def _ceil(count: int, size: int) -> int:
    return -(-count // size)


def _round_up(count: int, size: int) -> int:
    return _ceil(count, size) * size


PALLAS = operation()
