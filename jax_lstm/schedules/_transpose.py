"""One step of the custom backward pass: the pullback of the step's pointwise parts, by `jax.vjp`, around its transposed
products.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_lstm._cell import products, update, wide_dtype
from jax_lstm._step import Shared, Steps, begin_step, finish_step, zero_invalid
from jax_lstm._types import Carry, LSTMParams, Params, Trace, is_exponential
from jax_lstm.schedules._products import Layout, StepGradients, elementwise_vectors, in_one_kernel, product_in_loop


class Kept(NamedTuple):
    """What the forward pass keeps of every step for the backward pass.

    Args:
        before: the carry that the step started from, after a reset.
        values: the gates of the step; its pre-activations where the update cannot be differentiated from the gates
            alone.
    """

    before: Carry
    values: Trace | jax.Array | tuple[jax.Array, jax.Array]


class Elementwise(NamedTuple):
    """What meets every step and row by element: its gradients are summed over the steps in the loop, and over the rows
    after it.

    Args:
        vectors: the parameters that act by element, with one copy per row, so that no step reduces over a batch that
            may be sharded.
        recurrent_mask: `(*batch, out)`.
        reset_to: the carry that a reset puts back.
    """

    vectors: dict[str, Any]
    recurrent_mask: jax.Array | None
    reset_to: Carry | None


def from_gates_alone(params: Params) -> bool:
    """Whether the update can be differentiated from the gates, without the pre-activations."""
    bounded = params.clip is not None and params.clip.gates is not None
    plain = params.norm is None and not bounded and not is_exponential(params)
    return plain and params.w_x.dtype.itemsize >= 4  # half-precision gates are rounded


def elementwise(params: Params, shared: Shared, batch: tuple[int, ...]) -> Elementwise:
    """The parameters and shared arrays that act by element."""
    vectors = {name: getattr(params, name) for name in elementwise_vectors(params)}
    return Elementwise(jax.tree.map(partial(_per_row, batch=batch), vectors), shared.recurrent_mask, shared.reset_to)


def sum_over_rows(gradients: dict[str, Any], params: Params, batch: tuple[int, ...]) -> dict[str, Any]:
    """The gradients of the vectors themselves from those of their copies per row."""
    vectors = {name: getattr(params, name) for name in gradients}
    return jax.tree.map(lambda d, v: d.sum(range(v.ndim - 1, v.ndim - 1 + len(batch))), gradients, vectors)


def step_transpose(
    params: Params, shared: Shared, acting: Elementwise, batch: tuple[int, ...], layout: Layout
) -> Callable[..., tuple[tuple[Carry, Elementwise], StepGradients]]:
    """The transpose of one step.

    Args:
        params: the layer's weights.
        shared: what all steps share.
        acting: `elementwise(params, shared, batch)`.
        batch: the batch axes.
        layout: how the product with the recurrent weights is arranged.

    Returns:
        A function of the state `(gradient of the carry after the step, gradients of `acting` so far)`, the step, what
        was kept of it, and the gradient of its hidden state. It returns the state before the step and the step's
        `StepGradients`.
    """
    wide = jax.tree.map(lambda leaf: leaf.astype(wide_dtype(leaf.dtype)), params)
    from_gates = from_gates_alone(params)
    by_w_h = product_in_loop(wide.w_h.T, batch, layout) if isinstance(params, LSTMParams) else None
    by_projection = None if wide.projection is None else product_in_loop(wide.projection.T, batch, layout)

    def may_keep_h(now: Steps) -> bool:
        """Whether a step may pass its hidden state on as it came."""
        return any(array is not None for array in (now.valid, now.zoneout, shared.zoneout))

    def transposed(
        state: tuple[Carry, Elementwise], now: Steps, kept: Kept, d_h: jax.Array
    ) -> tuple[tuple[Carry, Elementwise], StepGradients]:
        d_after, d_acting = state
        before = kept.before
        known = kept.values if isinstance(kept.values, Trace) else None
        z = jnp.zeros_like(before.c, shape=(*batch, params.w_x.shape[1])) if from_gates else kept.values

        # the step once more, its parts apart; what only the values depend on is not computed
        def begin(acting: Elementwise, carry: Carry) -> tuple[Carry, jax.Array]:
            masks = shared._replace(recurrent_mask=acting.recurrent_mask, reset_to=acting.reset_to)
            return begin_step(masks, carry, now)

        def pointwise(acting: Elementwise, z: Any, c: jax.Array) -> tuple[jax.Array, jax.Array]:
            m, c, _ = update(params._replace(**acting.vectors), z, c, known)
            return m, c

        (_, h_seen), pull_begin = jax.vjp(begin, acting, before)
        (m, c), pull_update = jax.vjp(pointwise, acting, z, before.c)
        _, pull_finish = jax.vjp(
            lambda before, after: finish_step(shared, before, after, now), before, Carry(before.h, c)
        )

        d_before, d_new = pull_finish(Carry(d_after.h + zero_invalid(d_h, now.valid), d_after.c))
        d_m = d_new.h
        if by_projection is not None:
            d_m = by_projection(d_new.h.astype(wide_dtype(m.dtype))).astype(m.dtype)
        d_update, d_z, d_c = pull_update((d_m, d_new.c))
        d_before = d_before._replace(c=d_before.c + d_c)
        if layout == "one kernel" and by_w_h is not None and params.norm is None:
            # a step passes h by its product only where it may keep it
            keeps = d_before.h.shape[-1] <= d_z.shape[-1] and may_keep_h(now)
            passed = [d_before.c, d_before.h] if keeps else [d_before.c]
            d_z, (d_c, *d_kept) = in_one_kernel(d_z, passed, d_z.shape[-1] // params.hidden)
            d_before = Carry(d_kept[0] if keeps else d_before.h, d_c)
        if by_w_h is not None:
            d_products = None
            d_h_seen = by_w_h(d_z if params.norm is None else d_z[1]).astype(h_seen.dtype)
        else:  # by element, or by heads
            _, pull_products = jax.vjp(
                lambda acting, h: products(params._replace(**acting.vectors), now.x, h), acting, h_seen
            )
            d_products, d_h_seen = pull_products(d_z)
        d_begin, d_carry = pull_begin((d_before, d_h_seen))
        terms = [d_update, d_begin] if d_products is None else [d_update, d_products, d_begin]
        gradients = StepGradients(d_z, None if params.projection is None else (m, d_new.h))
        return (d_carry, add(d_acting, *terms)), gradients

    return transposed


def zeros_to_sum_in(like: Any) -> Any:
    """Accumulators for gradients of a tree; those of half precision are added up in float32."""
    return jax.tree.map(lambda leaf: jnp.zeros_like(leaf, dtype=wide_dtype(leaf.dtype)), like)


def add(total: Any, *terms: Any) -> Any:
    """The sum of trees, in the dtypes of the first."""
    return jax.tree.map(
        lambda first, *more: functools.reduce(lambda a, b: a + b.astype(a.dtype), more, first), total, *terms
    )


def _per_row(vector: jax.Array, batch: tuple[int, ...]) -> jax.Array:
    """`(*lead, size)` as `(*lead, *batch, size)`."""
    lead = vector.shape[:-1]
    expanded = jnp.expand_dims(vector, range(len(lead), len(lead) + len(batch)))
    return jnp.broadcast_to(expanded, (*lead, *batch, vector.shape[-1]))
