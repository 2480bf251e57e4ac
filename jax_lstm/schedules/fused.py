"""The fused schedule: an own backward pass, in which the loop carries what is sequential and large products do the rest.

The forward loop keeps the gates and the carry that each step began with. The backward loop takes the pullback of the one pointwise update,
step by step, and hands on the gradient of the pre-activations; the gradients of weights and inputs are products over many steps at once.
"""

from __future__ import annotations

import functools
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_lstm._cell import dot, products, project, update, wide_dtype
from jax_lstm._step import Shared, Steps, enter, leave, silence
from jax_lstm._types import Carry, DiagonalParams, LSTMParams, Params


def fused(params: Params, shared: Shared, steps: Steps, *, reverse: bool, chunk: int | None = None) -> tuple[Carry, jax.Array]:
    """The last carry and the hidden states.

    `chunk` is how many steps the backward pass gathers before it makes products of them: the gathered gradients should still be in the
    cache then. None gathers all of them, and makes every product once: best for little work, and where the batch is sharded and a
    product means a reduction over devices.
    """
    time = steps.x.shape[0]
    return _fused((reverse, time if chunk is None else min(chunk, time)), params, shared, steps)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _fused(plan, params: Params, shared: Shared, steps: Steps):
    return _forward(plan, params, shared, steps)[0]


def _forward(plan, params, shared, steps):
    reverse, _ = plan
    stacked = isinstance(params, LSTMParams) and params.norm is None
    halves = jnp.split(jnp.concatenate([params.w_x, params.w_h]), [2 * shared.initial.c.shape[-1]], axis=1) if stacked else []

    def step(carry, now):
        before, h_seen = enter(shared, carry, now)
        if stacked:
            # x and h side by side, for one feature is twice as fast; the weights in halves, which stay in a core's cache, up to 1.7 times
            seen = jnp.concatenate([now.x, h_seen], axis=-1)
            z = jnp.concatenate([dot(seen, half) for half in halves], axis=-1)
        else:
            z = products(params, now.x, h_seen)
        m, c, trace = update(params, z, before.c)
        after = leave(shared, before, Carry(project(params, m), c), now)
        kept = trace._replace(cell_state=None, hidden_state=None) if _recalls(params) else z
        return after, (silence(after.h, now.valid), before, kept)

    carry, (hs, before, kept) = jax.lax.scan(step, shared.initial, steps, reverse=reverse)
    return (carry, hs), (params, shared, steps, before, kept)


class _Pooled(NamedTuple):
    """What meets every step and row by element: its gradients are added up row by row in the loop, and over the rows after it.

    `vectors` are the parameters that are no matrices, one copy a row, so that no step has to reduce over a batch that may be sharded.
    """

    vectors: dict[str, Any]
    recurrent_mask: jax.Array | None
    reset_to: Carry | None


def _backward(plan, residuals, cotangents):
    reverse, size = plan
    params, shared, steps, before, kept = residuals
    d_last, d_hs = cotangents
    time, *batch = steps.x.shape[:-1]
    matrices = {name: getattr(params, name) for name in _matrices(params)}
    # laid out once, in the order the loop needs them: a product that has to turn its matrix at every step takes 2 to 10 times as long
    turned = {name: matrix.T.astype(wide_dtype(matrix.dtype)) for name, matrix in matrices.items() if name != "w_x"}
    vectors = {name: getattr(params, name) for name in _vectors(params)}
    pooled = _Pooled(jax.tree.map(partial(_widen, batch=batch), vectors), shared.recurrent_mask, shared.reset_to)

    def step(state, inputs):
        d_after, d_pooled = state
        now, begun, kept_now, d_h = inputs

        def enter_(pooled, carry):
            return enter(shared._replace(recurrent_mask=pooled.recurrent_mask, reset_to=pooled.reset_to), carry, now)

        def update_(pooled, z, c):
            return update(params._replace(**pooled.vectors), z, c, kept_now if _recalls(params) else None)[:2]

        z = jnp.zeros_like(begun.c, shape=(*batch, params.w_x.shape[1])) if _recalls(params) else kept_now
        (_, h_seen), pull_enter = jax.vjp(enter_, pooled, begun)
        (m, c), pull_update = jax.vjp(update_, pooled, z, begun.c)
        _, pull_leave = jax.vjp(lambda begun, after: leave(shared, begun, after, now), begun, Carry(begun.h, c))

        d_begun, d_new = pull_leave(Carry(d_after.h + silence(d_h, now.valid), d_after.c))
        d_m = (
            d_new.h if params.projection is None else dot(d_new.h.astype(turned["projection"].dtype), turned["projection"]).astype(m.dtype)
        )
        d_pooled_now, d_z, d_c = pull_update((d_m, d_new.c))
        if isinstance(params, LSTMParams):
            d_h_seen = dot(d_z if params.norm is None else d_z[1], turned["w_h"]).astype(h_seen.dtype)
        else:
            _, pull = jax.vjp(lambda pooled, h: products(params._replace(**pooled.vectors), now.x, h), pooled, h_seen)
            d_products, d_h_seen = pull(d_z)
            d_pooled_now = _add(d_pooled_now, d_products)
        d_enter, d_carry = pull_enter((Carry(d_begun.h, d_begun.c + d_c), d_h_seen))
        projected = None if params.projection is None else (m, d_new.h)
        return (d_carry, _add(d_pooled, d_pooled_now, d_enter)), (d_z, projected)

    def gather(state, at, count):
        """The gradients of `count` steps from `at` on: the loop over them, then the products of all of them at once."""
        d_after, d_pooled, d_matrices, d_b = state
        inputs = (steps, before, kept, d_hs)
        if count < time:
            inputs = jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, at, count), inputs)
        (d_after, d_pooled), outputs = jax.lax.scan(step, (d_after, d_pooled), inputs, reverse=not reverse)
        h_seen = inputs[1].h if shared.recurrent_mask is None else inputs[1].h * shared.recurrent_mask[None]
        x, h_seen, (d_z, projected) = jax.tree.map(_rows_of, (inputs[0].x, h_seen, outputs))
        _, pull = jax.vjp(lambda matrices, x: products(params._replace(**matrices), x, h_seen), matrices, x)
        d_more, d_x = pull(d_z)
        if projected is not None:
            m, d_h = projected
            d_more["projection"] = jax.vjp(lambda matrix: project(params._replace(projection=matrix), m), matrices["projection"])[1](d_h)[0]
        if d_b is not None:
            # a product with ones: XLA's sum over the rows took longer than all the other products together
            d_b = d_b + dot(jnp.ones((1, d_z.shape[0]), d_z.dtype), d_z)[0]
        return (d_after, d_pooled, _add(d_matrices, d_more), d_b), d_x.reshape(count, *batch, d_x.shape[-1])

    d_b = None if params.b is None or "b" in vectors else _zeros(params.b)
    state = (d_last, jax.tree.map(_zeros, pooled), jax.tree.map(_zeros, matrices), d_b)
    whole, rest = divmod(time, size)
    parts = []
    if rest and not reverse:
        state, d_x = gather(state, whole * size, rest)
        parts.append(d_x)
    if whole == 1:
        state, d_x = gather(state, 0, size)
    else:
        starts = jnp.arange(whole) * size
        state, d_x = jax.lax.scan(lambda state, at: gather(state, at, size), state, starts, reverse=not reverse)
        d_x = d_x.reshape(whole * size, *d_x.shape[2:])
    parts.insert(0, d_x)
    if rest and reverse:
        state, d_x = gather(state, whole * size, rest)
        parts.append(d_x)
    d_initial, d_pooled, d_matrices, d_b = state

    d_vectors = jax.tree.map(lambda d, v: d.sum(range(v.ndim - 1, v.ndim - 1 + len(batch))), d_pooled.vectors, vectors)
    d_params = params._replace(**d_matrices, **d_vectors)
    d_params = d_params if d_b is None else d_params._replace(b=d_b)
    d_shared = Shared(d_initial, d_pooled.recurrent_mask, jax.tree.map(jnp.zeros_like, shared.zoneout), d_pooled.reset_to)
    d_params, d_shared = jax.tree.map(lambda d, a: d.astype(a.dtype), (d_params, d_shared), (params, shared))
    return d_params, d_shared, Steps(parts[0] if len(parts) == 1 else jnp.concatenate(parts))


def _recalls(params: Params) -> bool:
    """Whether the update can be differentiated from the gates alone, without the pre-activations."""
    bounded = params.clip is not None and params.clip.gates is not None
    return params.norm is None and not bounded and params.w_x.dtype.itemsize >= 4  # in half precision the gates are rounded


def _matrices(params: Params) -> tuple[str, ...]:
    if isinstance(params, DiagonalParams):
        return ("w_x",)
    return ("w_x", "w_h") if params.projection is None else ("w_x", "w_h", "projection")


def _vectors(params: Params) -> tuple[str, ...]:
    """The parameters that act by element; not the bias of an update that adds it to the products as they are, which is cheaper."""
    names = ["peephole", "norm"]
    if isinstance(params, DiagonalParams):
        names.append("w_h")
    if params.norm is not None:
        names.append("b")
    return tuple(name for name in names if getattr(params, name) is not None)


def _widen(vector, batch):
    """`(*lead, size)` as `(*lead, *batch, size)`."""
    lead = vector.shape[:-1]
    return jnp.broadcast_to(jnp.expand_dims(vector, range(len(lead), len(lead) + len(batch))), (*lead, *batch, vector.shape[-1]))


def _rows_of(stack):
    return stack.reshape(-1, stack.shape[-1])


def _zeros(like):
    """An accumulator: half precision is added up in float32."""
    return jnp.zeros_like(like, dtype=wide_dtype(like.dtype))


def _add(total, *more):
    return jax.tree.map(lambda sum, *terms: functools.reduce(lambda a, b: a + b.astype(a.dtype), terms, sum), total, *more)


_fused.defvjp(_forward, _backward)
