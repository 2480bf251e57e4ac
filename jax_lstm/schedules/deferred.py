"""The deferred and the chunked schedule: a custom backward pass whose loop carries only what is sequential.

The forward loop keeps the gates and the carry that each step started from. The backward loop takes the pullback of the
one pointwise update, step by step, and returns the gradient of the pre-activations; the gradients of weights and inputs
are products over many steps at once: over all of them (deferred), or over a few while what they are made of is still in
the cache (chunked).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jax_lstm._cell import add_recurrent, dot, products, project, update, wide_dtype
from jax_lstm._step import Shared, Steps, begin_step, finish_step, masked, zero_invalid
from jax_lstm._types import Carry, LSTMParams, Params, Trace
from jax_lstm.schedules._pieces import scan_pieces, without_rest
from jax_lstm.schedules._plan import Plan, plan
from jax_lstm.schedules._products import gradient_products, product_in_loop, weight_matrices
from jax_lstm.schedules._transpose import (
    Kept,
    StepTranspose,
    add,
    from_gates_alone,
    sum_over_rows,
    zeros_to_sum_in,
)
from jax_lstm.schedules.operation import Operation, filled
from jax_lstm.schedules.primitives import run
from jax_lstm.schedules.problem import Problem
from jax_lstm.schedules.scan import scan

UNROLL = 8
"""Steps in one pass of an accelerator's loop: a GPU launches less at each step, and holds the loop in a command
buffer, from two on. A symbolic number of steps has one in a pass."""


def deferred(problem: Problem, params: Params, shared: Shared, steps: Steps) -> tuple[Carry, jax.Array]:
    """The last carry and the hidden states; the gradients of the weights are products over all steps."""
    return run(DEFERRED, problem, params, shared, steps)


def chunked(problem: Problem, params: Params, shared: Shared, steps: Steps) -> tuple[Carry, jax.Array]:
    """The same, with products over `CHUNK` steps."""
    return run(CHUNKED, problem, params, shared, steps)


def portable(problem: Problem, params: Params, shared: Shared, steps: Steps) -> tuple[Carry, jax.Array]:
    """The same, with the chunks that suit the platform and the batch that the program is lowered for."""
    return run(PORTABLE, problem, params, shared, steps)


def _value(
    in_chunks: bool | None, problem: Problem, params: Params, shared: Shared, steps: Steps, *, stack: bool
) -> tuple[Carry, jax.Array]:
    shared, steps = masked(shared, steps)
    carry, (hs, _) = _loop(plan(problem, in_chunks), params, shared, steps, reverse=problem.reverse, keep=False)
    return carry, hs


def _keeping(in_chunks: bool | None, problem: Problem, params: Params, shared: Shared, steps: Steps) -> Any:
    shared, steps = masked(shared, steps)
    carry, (hs, kept) = _loop(plan(problem, in_chunks), params, shared, steps, reverse=problem.reverse, keep=True)
    return (carry, hs), kept


def _pullback(
    in_chunks: bool | None,
    problem: Problem,
    params: Params,
    shared: Shared,
    steps: Steps,
    hs: None,
    kept: Kept,
    cotangents: Any,
    wanted: Any,
) -> tuple[Params, Shared, Steps]:
    d_last, d_hs = cotangents
    if d_hs is None:
        d_hs = jnp.zeros_like(steps.x, shape=(*steps.x.shape[:-1], shared.initial.h.shape[-1]))
    d_last = filled(d_last, shared.initial)
    given = steps
    shared, steps = masked(shared, steps)
    gradients = _gradients(plan(problem, in_chunks), params, shared, steps, kept, d_last, d_hs, reverse=problem.reverse)
    d_params, d_initial, d_acting, d_x = gradients
    d_shared = Shared(d_initial, d_acting.recurrent_mask, d_acting.zoneout, d_acting.reset_to)
    return d_params, d_shared, given._replace(x=zero_invalid(d_x, steps.mask))


def _loop(
    plan: Plan, params: Params, shared: Shared, steps: Steps, *, reverse: bool, keep: bool
) -> tuple[Carry, tuple[jax.Array, Kept | None]]:
    """The forward loop: the last carry, the hidden states, and what the backward pass needs."""
    if plan.hoisted:
        return _hoisted_loop(params, shared, steps, reverse=reverse, keep=keep)
    # x and h side by side: for one feature that is twice as fast
    together = isinstance(params, LSTMParams) and params.norm is None
    weights = jnp.concatenate([params.w_x, params.w_h]) if together else None
    by_both = None if weights is None else product_in_loop(weights, steps.x.shape[1:-1], plan.layout)

    def step(carry: Carry, now: Steps) -> tuple[Carry, tuple[jax.Array, Kept | None]]:
        before, h_seen = begin_step(shared, carry, now)
        z = products(params, now.x, h_seen) if by_both is None else by_both(jnp.concatenate([now.x, h_seen], axis=-1))
        m, c, values = update(params, z, before.c)
        after = finish_step(shared, before, Carry(project(params, m), c), now)
        gates = _gates(values) if from_gates_alone(params) else z
        return after, (zero_invalid(after.h, now.mask), Kept(before, gates) if keep else None)

    return jax.lax.scan(step, shared.initial, steps, reverse=reverse)


def _hoisted_loop(
    params: Params, shared: Shared, steps: Steps, *, reverse: bool, keep: bool
) -> tuple[Carry, tuple[jax.Array, Kept | None]]:
    """The forward loop with little in it: one product and one update at each step."""

    def step(carry: Carry, now: Steps) -> tuple[Carry, tuple[jax.Array, Carry]]:
        before, h_seen = begin_step(shared, carry, now)
        m, c, _ = update(params, add_recurrent(params, now.x, h_seen), before.c)
        after = finish_step(shared, before, Carry(project(params, m), c), now)
        return after, (zero_invalid(after.h, now.mask), after)

    multiplied = steps._replace(x=dot(steps.x, params.w_x))
    last, (hs, after) = jax.lax.scan(step, shared.initial, multiplied, reverse=reverse, unroll=_unroll(steps))
    if not keep:
        return last, (hs, None)
    before, h_seen = jax.vmap(partial(begin_step, shared))(_shifted(shared.initial, after, reverse), steps)
    z = add_recurrent(params, multiplied.x, h_seen)
    gates = _gates(update(params, z, before.c)[2]) if from_gates_alone(params) else z
    return last, (hs, Kept(before, gates))


def _unroll(steps: Steps) -> int:
    return UNROLL if isinstance(steps.x.shape[0], int) else 1


def _gates(values: Trace) -> Any:
    """The gates without c and h, which are those of the next step's `before`."""
    return Trace(*values[:3], None, values.output_gate, None)  # type: ignore[arg-type]


def _shifted(initial: Carry, after: Carry, reverse: bool) -> Carry:
    """The carries before every step from those after it."""
    if reverse:
        return jax.tree.map(lambda a, first: jnp.concatenate([a[1:], first[None]]), after, initial)
    return jax.tree.map(lambda a, first: jnp.concatenate([first[None], a[:-1]]), after, initial)


def _gradients(
    plan: Plan,
    params: Params,
    shared: Shared,
    steps: Steps,
    kept: Kept,
    d_last: Carry,
    d_hs: jax.Array,
    *,
    reverse: bool,
) -> Any:
    """The gradients of the parameters, the initial carry, what acts at every step, and the inputs."""
    time, *axes = steps.x.shape[:-1]
    batch = tuple(axes)
    size = time if plan.chunk is None else without_rest(time, min(plan.chunk, time))
    wide = jax.tree.map(lambda leaf: leaf.astype(wide_dtype(leaf.dtype)), params)
    weights, pull_weights = jax.vjp(weight_matrices, wide)
    transposed = StepTranspose(params, shared, batch, plan.layout)
    stacked = (steps, kept, d_hs)
    if plan.chunk is not None and size < time:
        # without the barrier XLA rematerializes constants, such as a cotangent of zeros, in every chunk
        stacked = jax.lax.optimization_barrier(stacked)

    def one(state: Any, t: jax.Array) -> Any:
        # By index: slices of what was kept would be copied once more as the loop's inputs. Not by dynamic_index_in_dim,
        # for whose forward derivative under vmap, as in jax.hessian, jaxlib 0.10.2 fails to make a program for a CPU.
        at_t = jax.tree.map(lambda a: a[t], stacked)
        return transposed(state, *at_t)

    def piece(state: Any, times: jax.Array) -> Any:
        """The loop over some steps, then the products of all of them at once."""
        inner, d_weights = state
        unroll = _unroll(steps) if plan.hoisted else 1
        inner, gradients = jax.lax.scan(one, inner, times, reverse=not reverse, unroll=unroll)
        some, kept, _ = stacked
        count = times.shape[0]
        x, h_seen = some.x, kept.before.h
        if plan.chunk is not None and count != time:
            x, h_seen = (jax.lax.dynamic_slice_in_dim(a, times[0], count) for a in (x, h_seen))
        if shared.recurrent_mask is not None:
            h_seen = h_seen * shared.recurrent_mask[None]
        d_more, d_x = gradient_products(wide, weights, x, h_seen, gradients)
        return (inner, add(d_weights, d_more)), d_x.astype(x.dtype)

    state = ((d_last, zeros_to_sum_in(transposed.acting)), zeros_to_sum_in(weights))
    times = jnp.arange(time, dtype=jnp.int32)
    if plan.chunk is None:
        state, d_x = piece(state, times)
    else:
        state, d_x = scan_pieces(piece, state, times, size, reverse=not reverse)
    (d_initial, d_acting), d_weights = state
    d_fields = sum_over_rows(d_acting.fields, params, batch)
    return pull_weights(d_weights)[0]._replace(**d_fields), d_initial, d_acting, d_x


def _operation(in_chunks: bool | None) -> Operation:
    return Operation(
        value=partial(_value, in_chunks),
        keeping=partial(_keeping, in_chunks),
        pullback=partial(_pullback, in_chunks),
        plain=scan,
    )


DEFERRED, CHUNKED, PORTABLE = (_operation(in_chunks) for in_chunks in (False, True, None))
