"""One step of the custom backward pass: the pullback of the step's pointwise parts, by `jax.vjp`, around its transposed
products.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_lstm._cell import products, project, update, wide_dtype
from jax_lstm._step import Shared, Steps, begin_step, finish_step, zero_invalid
from jax_lstm._types import Carry, LSTMParams, Params, Trace, Zoneout
from jax_lstm.schedules._products import Layout, StepGradients, in_one_kernel, matrix_fields, product_in_loop
from jax_lstm.schedules.problem import present

GATES_SUFFICE = frozenset({"w_x", "w_h", "b", "peephole", "projection", "coupled", "clip.cell"})
"""The fields whose gradients follow from the gates, without the pre-activations; for any other these are kept."""
BY_ELEMENT = frozenset({"peephole", "norm", "b", "w_h"})
"""The fields whose gradients are summed over the rows after the loop, as `update` uses them by element."""


class Kept(NamedTuple):
    """What the forward pass keeps of every step for the backward pass.

    Args:
        before: the carry that the step started from, after a reset.
        values: the gates of the step; its pre-activations where the update cannot be differentiated from the
            gates.
    """

    before: Carry
    values: Trace | jax.Array | tuple[jax.Array, jax.Array]


class Acting(NamedTuple):
    """What acts at every step, other than by a product: its gradients are summed over the steps in the loop.

    Args:
        fields: the parameters that are no matrix of a product. Those of `BY_ELEMENT` have one copy per row, so that no
            step reduces over a batch that may be sharded.
        recurrent_mask, zoneout, reset_to: as in `Shared`.
    """

    fields: dict[str, Any]
    recurrent_mask: jax.Array | None
    zoneout: Zoneout | None
    reset_to: Carry | None


def from_gates_alone(params: Params) -> bool:
    """Whether the update can be differentiated from the gates; those of half precision are rounded."""
    return present(params) <= GATES_SUFFICE and params.w_x.dtype.itemsize >= 4


def acting(params: Params, shared: Shared, batch: tuple[int, ...]) -> Acting:
    """The parameters and shared arrays that act at every step."""
    fields = {}
    for name in params._fields:
        value = getattr(params, name)
        if name in matrix_fields(params) or not jax.tree.leaves(value):
            continue
        fields[name] = jax.tree.map(partial(_per_row, batch=batch), value) if name in BY_ELEMENT else value
    return Acting(fields, shared.recurrent_mask, shared.zoneout, shared.reset_to)


def sum_over_rows(gradients: dict[str, Any], params: Params, batch: tuple[int, ...]) -> dict[str, Any]:
    """The gradients of the fields themselves from those of their copies per row."""

    def one(gradient: jax.Array, field: jax.Array) -> jax.Array:
        first = field.ndim - 1
        return gradient.sum(range(first, first + len(batch)))

    summed = {}
    for name, gradient in gradients.items():
        summed[name] = jax.tree.map(one, gradient, getattr(params, name)) if name in BY_ELEMENT else gradient
    return summed


class StepTranspose:
    """The transpose of one step.

    Args:
        params: the layer's weights.
        shared: what all steps share.
        batch: the batch axes.
        layout: how the product with the recurrent weights is arranged.
    """

    def __init__(self, params: Params, shared: Shared, batch: tuple[int, ...], layout: Layout) -> None:
        self.params, self.shared, self.batch, self.layout = params, shared, batch, layout
        self.acting = acting(params, shared, batch)
        self.from_gates = from_gates_alone(params)
        wide = jax.tree.map(lambda leaf: leaf.astype(wide_dtype(leaf.dtype)), params)
        self.by_w_h = self.by_projection = None
        if isinstance(params, LSTMParams):
            self.by_w_h = product_in_loop(wide.w_h.T, batch, layout)
        if wide.projection is not None:
            self.by_projection = product_in_loop(wide.projection.T, batch, layout)

    def __call__(
        self, state: tuple[Carry, Acting], now: Steps, kept: Kept, d_h: jax.Array
    ) -> tuple[tuple[Carry, Acting], StepGradients]:
        """The state before the step, and the step's gradients.

        Args:
            state: the gradient of the carry after the step, and the gradients of what acts so far.
            now: the step.
            kept: what was kept of it.
            d_h: the gradient of its hidden state.
        """
        d_after, d_acting = state
        d_kept, d_new, d_of_finish = self._finish(kept, now, d_after, d_h)
        d_m = d_new.h
        if self.by_projection is not None:
            d_m = self.by_projection(d_m.astype(wide_dtype(d_m.dtype))).astype(d_m.dtype)
        m, d_z, d_c, d_of_update = self._update(kept, d_m, d_new.c)
        d_kept = d_kept._replace(c=d_kept.c + d_c)
        if self.layout == "one kernel" and self.by_w_h is not None and self.params.norm is None:
            d_z, d_kept = self._in_one_kernel(d_z, d_kept, now)
        d_carry, d_of_begin = self._begin(kept, now, d_z, d_kept)
        projected = None if self.params.projection is None else (m, d_new.h)
        return (d_carry, add(d_acting, d_of_update, d_of_begin, d_of_finish)), StepGradients(d_z, projected)

    def _finish(self, kept: Kept, now: Steps, d_after: Carry, d_h: jax.Array) -> tuple[Carry, Carry, Acting]:
        """Through zoneout and the mask: to the carry before the step, to the new one, and to what acts."""

        def finish(acting: Acting, before: Carry, new: Carry) -> Carry:
            return finish_step(self.shared._replace(zoneout=acting.zoneout), before, new, now)

        new = kept.before
        if self.shared.zoneout is not None:  # whose gradient is the only one that needs the values
            new = self._values(kept)
        _, pull = jax.vjp(finish, self.acting, kept.before, new)
        d_acting, d_before, d_new = pull(Carry(d_after.h + zero_invalid(d_h, now.mask), d_after.c))
        return d_before, d_new, d_acting

    def _update(self, kept: Kept, d_m: jax.Array, d_c: jax.Array) -> tuple[jax.Array, Any, jax.Array, Acting]:
        """Through the update: its first result; to the pre-activations, to the cell state, and to what acts."""
        activate, z = self._activations(kept)

        def pointwise(acting: Acting, z: Any, c: jax.Array) -> tuple[jax.Array, jax.Array]:
            m, c, _ = update(self.params._replace(**acting.fields), z, c, **activate)
            return m, c

        (m, _), pull = jax.vjp(pointwise, self.acting, z, kept.before.c)
        d_acting, d_z, d_before = pull((d_m, d_c))
        return m, d_z, d_before, d_acting

    def _values(self, kept: Kept) -> Carry:
        """The new carry of a step, before zoneout and the mask."""
        activate, z = self._activations(kept)
        m, c, _ = update(self.params, z, kept.before.c, **activate)
        return Carry(project(self.params, m), c)

    def _activations(self, kept: Kept) -> tuple[dict[str, Any], Any]:
        """How the update makes its gates, and from what: the kept gates are only differentiated."""
        if not isinstance(kept.values, Trace):
            return {}, kept.values
        z = jnp.zeros_like(kept.before.c, shape=(*self.batch, self.params.w_x.shape[1]))
        return {"activate": partial(_recall, kept.values)}, z

    def _begin(self, kept: Kept, now: Steps, d_z: Any, d_before: Carry) -> tuple[Carry, Acting]:
        """Through the recurrent product and the reset: to the carry before the step, and to what acts."""

        def begin(acting: Acting, carry: Carry) -> tuple[Carry, jax.Array]:
            masks = self.shared._replace(recurrent_mask=acting.recurrent_mask, reset_to=acting.reset_to)
            return begin_step(masks, carry, now)

        def by_element_or_heads(acting: Acting, h: jax.Array) -> Any:
            return products(self.params._replace(**acting.fields), now.x, h)

        (_, h_seen), pull = jax.vjp(begin, self.acting, kept.before)
        if self.by_w_h is not None:
            d_z_h = d_z if self.params.norm is None else d_z[1]
            d_h_seen = self.by_w_h(d_z_h).astype(h_seen.dtype)
            d_acting, d_carry = pull((d_before, d_h_seen))
            return d_carry, d_acting
        _, pull_products = jax.vjp(by_element_or_heads, self.acting, h_seen)
        d_of_products, d_h_seen = pull_products(d_z)
        d_acting, d_carry = pull((d_before, d_h_seen))
        return d_carry, add(d_acting, d_of_products)

    def _in_one_kernel(self, d_z: jax.Array, d_kept: Carry, now: Steps) -> tuple[jax.Array, Carry]:
        """The same values, made by one kernel of a GPU."""
        gates = d_z.shape[-1] // self.params.hidden
        # h bypasses the product only if a mask or zoneout may hold it
        holds = any(one is not None for one in (now.mask, now.zoneout, self.shared.zoneout))
        if not holds or d_kept.h.shape[-1] > d_z.shape[-1]:
            d_z, (d_c,) = in_one_kernel(d_z, [d_kept.c], gates)
            return d_z, Carry(d_kept.h, d_c)
        d_z, (d_h, d_c) = in_one_kernel(d_z, [d_kept.h, d_kept.c], gates)
        return d_z, Carry(d_h, d_c)


def _recall(gates: Trace, gate: str, function: Callable[[jax.Array], jax.Array], z: jax.Array) -> jax.Array:
    """A gate whose value is known: `z` is not looked at, but receives the gradient."""
    value = getattr(gates, gate)
    slope = 1 - value * value if function is jnp.tanh else value * (1 - value)
    return _known(z, value, slope)


@jax.custom_jvp
def _known(z: jax.Array, value: jax.Array, slope: jax.Array) -> jax.Array:
    return value


@_known.defjvp
def _known_jvp(primals: Any, tangents: Any) -> Any:
    (_, value, slope), (z_dot, value_dot, _) = primals, tangents
    return value, slope * z_dot + value_dot


def zeros_to_sum_in(like: Any) -> Any:
    """Accumulators for gradients of a tree; those of half precision are added up in float32."""
    return jax.tree.map(lambda leaf: jnp.zeros_like(leaf, dtype=wide_dtype(leaf.dtype)), like)


def add(total: Any, *terms: Any) -> Any:
    """The sum of trees, in the dtypes of the first."""

    def one(first: jax.Array, *more: jax.Array) -> jax.Array:
        return reduce(lambda a, b: a + b.astype(a.dtype), more, first)

    return jax.tree.map(one, total, *terms)


def _per_row(vector: jax.Array, batch: tuple[int, ...]) -> jax.Array:
    """`(*lead, size)` as `(*lead, *batch, size)`."""
    lead = vector.shape[:-1]
    expanded = jnp.expand_dims(vector, range(len(lead), len(lead) + len(batch)))
    return jnp.broadcast_to(expanded, (*lead, *batch, vector.shape[-1]))
