"""The deferred and the chunked schedule: a custom backward pass whose loop carries only what is sequential.

The forward loop keeps the gates and the carry that each step started from. The backward loop takes the pullback of the
one pointwise update, step by step, and returns the gradient of the pre-activations; the gradients of weights and inputs
are products over many
steps at once: over all of them (deferred), or over a few while what they are made of is still in the cache (chunked).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_lstm._cell import add_recurrent, dot, products, project, update, wide_dtype
from jax_lstm._step import Shared, Steps, begin_step, finish_step, zero_invalid
from jax_lstm._types import Carry, LSTMParams, Params, Trace
from jax_lstm.schedules._pieces import scan_pieces, without_rest
from jax_lstm.schedules._products import Layout, gradient_products, product_in_loop, weight_matrices
from jax_lstm.schedules._transpose import (
    Kept,
    add,
    elementwise,
    from_gates_alone,
    step_transpose,
    sum_over_rows,
    zeros_to_sum_in,
)

UNROLL = 8
"""Steps in one pass of an accelerator's loop: a GPU launches less at each step, and holds the loop in a command
buffer, from two on."""


class Plan(NamedTuple):
    """Static configuration of the loops.

    Args:
        chunk: the number of steps whose gradients are gathered before large products are made of them; None for all.
        layout: how the loops arrange their products.
        hoisted: whether the product with the input is made before the forward loop, and the gates that are kept are
        made again after it,
            of all steps at once. An accelerator, for which every launch counts, is then left with little to do at each
            step.
    """

    chunk: int | None = None
    layout: Layout = "plain"
    hoisted: bool = False


class Plans(NamedTuple):
    """The plan for each platform that the program may be compiled for."""

    cpu: Plan = Plan()
    accelerator: Plan = Plan(layout="one kernel", hoisted=True)


def deferred(params: Params, shared: Shared, steps: Steps, *, plans: Plans, reverse: bool) -> tuple[Carry, jax.Array]:
    """The last carry and the hidden states, with a custom backward pass."""
    return _deferred((plans, reverse), params, shared, steps)


def _on_platform(plans: Plans, function: Callable[..., Any], *arguments: Any) -> Any:
    """`function(plan, *arguments)` with the plan of the platform that the program is compiled for."""
    if plans.cpu == plans.accelerator:
        return function(plans.cpu, *arguments)
    return jax.lax.platform_dependent(
        *arguments, cpu=partial(function, plans.cpu), default=partial(function, plans.accelerator)
    )


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _deferred(static: tuple[Plans, bool], params: Params, shared: Shared, steps: Steps) -> tuple[Carry, jax.Array]:
    plans, reverse = static
    carry, (hs, _) = _on_platform(plans, partial(_loop, reverse=reverse, keep=False), params, shared, steps)
    return carry, hs


def _forward(static: tuple[Plans, bool], params: Params, shared: Shared, steps: Steps) -> Any:
    plans, reverse = static
    carry, (hs, kept) = _on_platform(plans, partial(_loop, reverse=reverse, keep=True), params, shared, steps)
    return (carry, hs), (params, shared, steps, kept)


def _backward(static: tuple[Plans, bool], residuals: Any, cotangents: Any) -> tuple[Params, Shared, Steps]:
    plans, reverse = static
    params, shared, steps, _ = residuals
    gradients = _on_platform(plans, partial(_gradients, reverse=reverse), residuals, cotangents)
    d_params, d_initial, d_acting, d_x = gradients
    d_shared = Shared(
        d_initial, d_acting.recurrent_mask, jax.tree.map(jnp.zeros_like, shared.zoneout), d_acting.reset_to
    )
    given = (params, shared._replace(lengths=None), Steps(steps.x))
    return jax.tree.map(lambda d, a: d.astype(a.dtype), (d_params, d_shared, Steps(d_x)), given)


_deferred.defvjp(_forward, _backward)


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
        return after, (zero_invalid(after.h, now.valid), Kept(before, gates) if keep else None)

    return jax.lax.scan(step, shared.initial, steps, reverse=reverse)


def _hoisted_loop(
    params: Params, shared: Shared, steps: Steps, *, reverse: bool, keep: bool
) -> tuple[Carry, tuple[jax.Array, Kept | None]]:
    """The forward loop with little in it: one product and one update at each step."""

    def step(carry: Carry, now: Steps) -> tuple[Carry, tuple[jax.Array, Carry]]:
        before, h_seen = begin_step(shared, carry, now)
        m, c, _ = update(params, add_recurrent(params, now.x, h_seen), before.c)
        after = finish_step(shared, before, Carry(project(params, m), c), now)
        return after, (zero_invalid(after.h, now.valid), after)

    multiplied = steps._replace(x=dot(steps.x, params.w_x))
    last, (hs, after) = jax.lax.scan(step, shared.initial, multiplied, reverse=reverse, unroll=UNROLL)
    if not keep:
        return last, (hs, None)
    before, h_seen = jax.vmap(partial(begin_step, shared))(_shifted(shared.initial, after, reverse), steps)
    z = add_recurrent(params, multiplied.x, h_seen)
    gates = _gates(update(params, z, before.c)[2]) if from_gates_alone(params) else z
    return last, (hs, Kept(before, gates))


def _gates(values: Trace) -> Any:
    """The values of a step without c and h, which stand in the next step's `before`."""
    return Trace(*values[:3], None, values.output_gate, None)  # type: ignore[arg-type]


def _shifted(initial: Carry, after: Carry, reverse: bool) -> Carry:
    """The carries before every step from those after it."""
    if reverse:
        return jax.tree.map(lambda a, first: jnp.concatenate([a[1:], first[None]]), after, initial)
    return jax.tree.map(lambda a, first: jnp.concatenate([first[None], a[:-1]]), after, initial)


def _gradients(plan: Plan, residuals: Any, cotangents: Any, *, reverse: bool) -> Any:
    """The gradients of the parameters, the initial carry, what acts by element, and the inputs."""
    params, shared, steps, kept = residuals
    d_last, d_hs = cotangents
    time, *axes = steps.x.shape[:-1]
    batch = tuple(axes)
    size = time if plan.chunk is None else without_rest(time, min(plan.chunk, time))
    wide = jax.tree.map(lambda leaf: leaf.astype(wide_dtype(leaf.dtype)), params)
    weights, pull_weights = jax.vjp(weight_matrices, wide)
    acting = elementwise(params, shared, batch)
    transposed = step_transpose(params, shared, acting, batch, plan.layout)
    stacked = (steps, kept, d_hs)
    if size < time:
        # behind a barrier, or else XLA makes what is constant, such as a cotangent of zeros, anew for every chunk
        stacked = jax.lax.optimization_barrier(stacked)

    def one(state: Any, t: jax.Array) -> Any:
        # By index: slices of what was kept would be copied once more as the loop's inputs. Not by dynamic_index_in_dim,
        # for whose forward derivative under vmap, as in jax.hessian, jaxlib 0.10.2 fails to make a program for a CPU.
        at_t = jax.tree.map(lambda a: a[t], stacked)
        return transposed(state, *at_t)

    def piece(state: Any, times: jax.Array) -> Any:
        """The loop over some steps, then the products of all of them at once."""
        inner, d_weights = state
        inner, gradients = jax.lax.scan(one, inner, times, reverse=not reverse, unroll=UNROLL if plan.hoisted else 1)
        steps, kept, _ = stacked
        count = times.shape[0]
        x, h_seen = (
            a if count == time else jax.lax.dynamic_slice_in_dim(a, times[0], count) for a in (steps.x, kept.before.h)
        )
        if shared.recurrent_mask is not None:
            h_seen = h_seen * shared.recurrent_mask[None]
        d_more, d_x = gradient_products(wide, weights, x, h_seen, gradients)
        return (inner, add(d_weights, d_more)), d_x.astype(steps.x.dtype)

    state = ((d_last, zeros_to_sum_in(acting)), zeros_to_sum_in(weights))
    state, d_x = scan_pieces(piece, state, jnp.arange(time, dtype=jnp.int32), size, reverse=not reverse)
    (d_initial, d_acting), d_weights = state
    d_vectors = sum_over_rows(d_acting.vectors, params, batch)
    return pull_weights(d_weights)[0]._replace(**d_vectors), d_initial, d_acting, d_x
