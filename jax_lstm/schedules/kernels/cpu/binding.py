"""The CPU kernel as JAX sees it: two calls of `jax.ffi`, whose operands and results are records.

`Operands` are those of both C++ functions, in their order; the backward call has those of `Saved` after them. `States`
and `Gradients` are the results. An array that is not there is empty, with the number of axes that `AXES` gives it, and
so is a result that is not wanted; by this the kernel knows. Inside, all batch axes are one.

To extend the kernel by a field, add it to the arguments in `pieces.h` and, in the same place, to `Operands`; to
`Gradients` if it has one; its number of axes to `AXES`; and its name to `FIELDS`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm._sharding import vary, varying_axes
from jax_lstm._step import Shared, Steps
from jax_lstm._types import Carry, Params, Zoneout
from jax_lstm.schedules.deferred import PORTABLE
from jax_lstm.schedules.kernels.cpu import library
from jax_lstm.schedules.operation import Operation
from jax_lstm.schedules.primitives import run
from jax_lstm.schedules.problem import Problem
from jax_lstm.schedules.scan import scan


class Operands(NamedTuple):
    """The operands of both calls: `x (time, rows, features)`, weights, carries `h (rows, out)` and `c (rows, hidden)`,
    shares of zoneout `(1,)`, and conditions `lengths (rows)`, `mask (time, rows)`, `resets (time, rows)`, and `keep`
    as the carries, with an axis of time first.
    """

    x: Any
    w_x: Any
    w_h: Any
    b: Any
    peephole: Any
    projection: Any
    h: Any
    c: Any
    reset_h: Any
    reset_c: Any
    recurrent_mask: Any
    share_h: Any
    share_c: Any
    lengths: Any
    mask: Any
    resets: Any
    keep_h: Any
    keep_c: Any


class Saved(NamedTuple):
    """Further operands of the backward call: two results of the forward call, and the cotangents."""

    hs: Any
    kept: Any
    d_hs: Any
    d_h: Any
    d_c: Any


class States(NamedTuple):
    """The results of the forward call: the hidden states, the last carry, and what the backward call reads."""

    hs: Any
    h: Any
    c: Any
    kept: Any


class Gradients(NamedTuple):
    """The results of the backward call: the gradients of the first operands."""

    x: Any
    w_x: Any
    w_h: Any
    b: Any
    peephole: Any
    projection: Any
    h: Any
    c: Any
    reset_h: Any
    reset_c: Any
    recurrent_mask: Any


AXES = {
    "x": 3,
    "hs": 3,
    "d_hs": 3,
    "kept": 4,
    "b": 1,
    "lengths": 1,
    "share_h": 1,
    "share_c": 1,
    "keep_h": 3,
    "keep_c": 3,
}
"""The number of axes of each array; two where it is not named."""
DTYPES = {"lengths": jnp.int32, "mask": jnp.bool_, "resets": jnp.bool_, "keep_h": jnp.bool_, "keep_c": jnp.bool_}
"""The dtype of each array; that of the layer where it is not named."""
KINDS = frozenset({"LSTMParams", "DiagonalParams", "BlockDiagonalParams"})
"""The kinds of layers that the kernel supports."""
FIELDS = frozenset({"w_x", "w_h", "b", "peephole", "projection", "coupled", "exponential", "clip.cell", "clip.gates"})
"""The fields of a layer that the kernel supports."""
OPTIONS = frozenset({"lengths", "mask", "resets", "reset_to", "recurrent_mask", "zoneout"})
"""The options of a call that the kernel supports."""


def native(problem: Problem, params: Params, shared: Shared, steps: Steps) -> tuple[Carry, jax.Array]:
    """The last carry and the hidden states, by one call of the kernel."""
    return run(NATIVE, problem, params, shared, steps)


def unsupported(problem: Problem) -> str | None:
    """Why the kernel cannot run the problem, or None; it completes `schedule="native"`."""
    if problem.platform != "cpu":
        return f"runs on a CPU, not on a {problem.platform}"
    if problem.dtype not in library.DTYPES:
        return f"computes in float32 and float64, not in {jnp.dtype(problem.dtype).name}"
    if problem.is_symbolic:
        return "needs to know all sizes while it is traced, and one is symbolic"
    others = sorted({problem.kind} - KINDS) + sorted(problem.fields - FIELDS) + sorted(problem.options - OPTIONS)
    if others:
        return f"does not support {', '.join(others)}"
    reason = library.missing()
    if reason is not None:
        return f"needs the compiled kernel, and {reason}"
    return None


def _value(
    problem: Problem, params: Params, shared: Shared, steps: Steps, *, stack: bool
) -> tuple[Carry, jax.Array | None]:
    carry, hs, _ = _states(problem, params, shared, steps, stack=stack, keep=False)
    return carry, hs


def _keeping(problem: Problem, params: Params, shared: Shared, steps: Steps) -> Any:
    carry, hs, kept = _states(problem, params, shared, steps, stack=True, keep=True)
    return (carry, hs), kept


def _states(
    problem: Problem, params: Params, shared: Shared, steps: Steps, *, stack: bool, keep: bool
) -> tuple[Carry, jax.Array | None, jax.Array | None]:
    """The forward call: the last carry, the hidden states where `stack`, and where `keep` what the backward call
    reads.
    """
    time, batch, out = problem.time, problem.batch, problem.out
    memory = shared.initial.c.shape[-1]
    rows, lanes = math.prod(batch), library.units(problem.dtype)
    panels, kept_size = -(-problem.hidden // lanes), _kept_values(problem) * lanes
    shapes = States(
        hs=(time, rows, out) if stack else None,
        h=(rows, out),
        c=(rows, memory),
        kept=(time, panels, rows, kept_size) if keep else None,
    )
    operands = _operands(problem, params, shared, steps)
    found = States(*_call(library.FORWARD, problem, params, operands, shapes))
    carry = Carry(found.h.reshape(*batch, out), found.c.reshape(*batch, memory))
    hs = found.hs.reshape(time, *batch, out) if stack else None
    kept = found.kept.reshape(time, panels, *batch, kept_size) if keep else None
    return carry, hs, kept


def _pullback(
    problem: Problem,
    params: Params,
    shared: Shared,
    steps: Steps,
    hs: jax.Array,
    kept: jax.Array,
    cotangents: Any,
    wanted: Any,
) -> tuple[Params, Shared, Steps]:
    """The backward call; the gradient of the input is left out where it is not wanted."""
    (d_h, d_c), d_hs = cotangents
    time, out, batch = problem.time, problem.out, problem.batch
    rows, memory = math.prod(batch), shared.initial.c.shape[-1]
    operands = _operands(problem, params, shared, steps)
    saved = Saved(
        hs=hs.reshape(time, rows, out),
        kept=kept.reshape(*kept.shape[:2], rows, kept.shape[-1]),
        d_hs=None if d_hs is None else d_hs.reshape(time, rows, out),
        d_h=None if d_h is None else d_h.reshape(rows, out),
        d_c=None if d_c is None else d_c.reshape(rows, memory),
    )
    shapes = {}
    for name in Gradients._fields:
        operand = getattr(operands, name)
        shapes[name] = None if operand is None else operand.shape
    if not wanted[2].x:
        shapes["x"] = None
    found = Gradients(*_call(library.BACKWARD, problem, params, operands, Gradients(**shapes), saved))

    def of_rows(array: jax.Array) -> jax.Array:
        return array.reshape(*batch, array.shape[-1])

    d_params = {}
    for name in Gradients._fields:
        if getattr(params, name, None) is not None:
            d_params[name] = getattr(found, name)
    d_reset_to = None if shared.reset_to is None else Carry(of_rows(found.reset_h), of_rows(found.reset_c))
    d_mask = None if shared.recurrent_mask is None else of_rows(found.recurrent_mask)
    d_x = found.x.reshape(steps.x.shape) if wanted[2].x else steps.x
    d_shares = shared.zoneout
    if any(jax.tree.leaves(wanted[1].zoneout)):
        d_shares = _gradient_of_shares(problem, params, shared, steps, cotangents)
    d_shared = Shared(Carry(of_rows(found.h), of_rows(found.c)), d_mask, d_shares, d_reset_to)
    return params._replace(**d_params), d_shared, steps._replace(x=d_x)


def _gradient_of_shares(problem: Problem, params: Params, shared: Shared, steps: Steps, cotangents: Any) -> Any:
    """The gradient with respect to the shares of zoneout, by the plain loop: the kernel does not compute it."""

    def of_shares(zoneout: Zoneout) -> Any:
        return scan(problem, params, shared._replace(zoneout=zoneout), steps)

    outputs, pull = jax.vjp(of_shares, shared.zoneout)
    given = jax.tree.map(
        lambda one, out: jnp.zeros_like(out) if one is None else one, cotangents, outputs, is_leaf=_is_none
    )
    return pull(given)[0]


def _is_none(value: Any) -> bool:
    return value is None


def _kept_values(problem: Problem) -> int:
    """The values that are kept of each unit and step: the gates and c before the step; which gates were clipped; of
    exponential gates the normalizer and the sigmoid of the forget gate.
    """
    if "exponential" in problem.fields:
        return 7
    return 6 if "clip.gates" in problem.fields else 5


def _operands(problem: Problem, params: Params, shared: Shared, steps: Steps) -> Operands:
    """The arrays of a layer by the names that the record has for them, their batch axes as one."""
    count = math.prod(steps.x.shape[1:-1])
    rank = steps.x.ndim - 2

    def rows(array: Any, before: int = 0) -> Any:
        """The batch axes, which come after `before` others, as one."""
        if array is None:
            return None
        return array.reshape(*array.shape[:before], count, *array.shape[before + rank :])

    def share(value: Any) -> Any:
        return None if value is None else jnp.reshape(value, 1).astype(problem.dtype)

    reset_h, reset_c = (None, None) if shared.reset_to is None else shared.reset_to
    share_h, share_c = (None, None) if shared.zoneout is None else shared.zoneout
    keep_h, keep_c = (None, None) if steps.zoneout is None else steps.zoneout
    return Operands(
        x=rows(steps.x, 1),
        w_x=params.w_x,
        w_h=params.w_h,
        b=params.b,
        peephole=params.peephole,
        projection=params.projection,
        h=rows(shared.initial.h),
        c=rows(shared.initial.c),
        reset_h=rows(reset_h),
        reset_c=rows(reset_c),
        recurrent_mask=rows(shared.recurrent_mask),
        share_h=share(share_h),
        share_c=share(share_c),
        lengths=rows(shared.lengths),
        mask=rows(steps.mask, 1),
        resets=rows(steps.resets, 1),
        keep_h=rows(keep_h, 1),
        keep_c=rows(keep_c, 1),
    )


def _call(
    target: str, problem: Problem, params: Params, operands: Operands, shapes: Any, saved: Saved | None = None
) -> Sequence[jax.Array]:
    """One call of the kernel; a shape of None means that this result is not made."""
    library.load()
    axes = varying_axes(operands.x)
    given = operands._asdict() | ({} if saved is None else saved._asdict())
    arrays = []
    for name, array in given.items():
        if array is None:
            array = jnp.zeros(_empty(name), DTYPES.get(name, problem.dtype))
        arrays.append(vary(array, axes))
    results = []
    for name, shape in zip(shapes._fields, shapes, strict=True):
        results.append(jax.ShapeDtypeStruct(_empty(name) if shape is None else shape, problem.dtype))
    # the kernel reads operands with leading axes of size one as they are, so that nothing is copied for vmap
    call = jax.ffi.ffi_call(library.target(target, problem.dtype), results, vmap_method="expand_dims")
    return [vary(one, axes) for one in call(*arrays, **_attributes(problem, params))]


def _attributes(problem: Problem, params: Params) -> dict[str, np.float64]:
    """The static part of a call; a bound of zero is none."""
    clip = params.clip
    bounds = (None, None) if clip is None else (clip.cell, clip.gates)
    return {
        "reverse": np.float64(problem.reverse),
        "coupled": np.float64("coupled" in problem.fields),
        "exponential": np.float64("exponential" in problem.fields),
        "clip_cell": np.float64(bounds[0] or 0),
        "clip_gates": np.float64(bounds[1] or 0),
    }


def _empty(name: str) -> tuple[int, ...]:
    return (0,) * AXES.get(name, 2)


def _runs_on(platform: str, exported: bool) -> bool:
    """Not in exported programs: they run where this package, and so the kernel, is not loaded."""
    return platform == "cpu" and not exported and library.missing() is None


NATIVE = Operation(
    value=_value,
    keeping=_keeping,
    pullback=_pullback,
    plain=scan,
    reads_hs=True,
    kept_rows=2,
    runs_on=_runs_on,
    elsewhere=PORTABLE,
)
