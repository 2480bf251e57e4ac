"""The fused schedule: an own backward pass, in which the loop carries what is sequential and large products do the rest.

The forward loop keeps the gates and the carry that each step began with. The backward loop takes the pullback of the one pointwise update,
step by step, and hands on the gradient of the pre-activations; the gradients of weights and inputs are products over many steps at once.
"""

from __future__ import annotations

import functools
import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_lstm._cell import dot, products, project, update, wide_dtype
from jax_lstm._step import Shared, Steps, enter, leave, silence
from jax_lstm._types import Carry, DiagonalParams, LSTMParams, Params

LARGE_BYTES, MANY_BYTES = 2**18, 2**21
LEAST_ROWS, FEW_ROWS = 4, 64
"""What `_product_in_loop` takes for large and for many weights, and between what numbers of rows it takes them for few."""


def fused(params: Params, shared: Shared, steps: Steps, *, reverse: bool, chunk: int | None = None) -> tuple[Carry, jax.Array]:
    """The last carry and the hidden states.

    `chunk` is about how many steps the backward pass gathers before it makes products of them: the gathered gradients should still be in
    the cache then. None gathers all of them, and makes every product once.
    """
    time = steps.x.shape[0]
    size = time if chunk is None else min(chunk, time)
    # up to half as many again, if that leaves no rest, which would be compiled once more
    size = next((more for more in range(size, size + size // 2 + 1) if time % more == 0), size)
    return _fused((reverse, size), params, shared, steps)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _fused(plan, params: Params, shared: Shared, steps: Steps):
    return _forward(plan, params, shared, steps)[0]


def _forward(plan, params, shared, steps):
    reverse, _ = plan
    # x and h side by side: for one feature that is twice as fast
    together = isinstance(params, LSTMParams) and params.norm is None
    by_both = _product_in_loop(jnp.concatenate([params.w_x, params.w_h]), steps.x.shape[1:-1]) if together else None

    def step(carry, now):
        before, h_seen = enter(shared, carry, now)
        z = products(params, now.x, h_seen) if by_both is None else by_both(jnp.concatenate([now.x, h_seen], axis=-1))
        m, c, trace = update(params, z, before.c)
        after = leave(shared, before, Carry(project(params, m), c), now)
        kept = trace._replace(cell_state=None, hidden_state=None) if _recalls(params) else z
        return after, (silence(after.h, now.valid), before, kept)

    carry, (hs, before, kept) = jax.lax.scan(step, shared.initial, steps, reverse=reverse)
    return (carry, hs), (params, shared, steps, before, kept)


def _product_in_loop(w, batch):
    """The product `(*batch, n) -> (*batch, m)` with weights `w (n, m)`, which are laid out once, before the loop.

    A CPU's product packs its right factor into blocks anew each time, at every step. Where that is many weights for few rows, the weights
    stand on the left, as they are: up to 2.7 times as fast. Else large ones come in halves, which stay in a core's cache: up to 1.7 times.
    """
    rows, size = math.prod(batch), w.size * w.dtype.itemsize
    if rows < LEAST_ROWS or size < LARGE_BYTES or jax.default_backend() != "cpu":
        return lambda a: dot(a, w)
    if rows <= FEW_ROWS and size >= MANY_BYTES:
        left, apart = w.T, jax.lax.optimization_barrier  # without the barriers XLA turns the product back

        def product(a):
            return apart(dot(left, apart(a.reshape(rows, -1).T))).T.reshape(*batch, -1)

        return product
    halves = jnp.split(w, [w.shape[1] // 2], axis=1)
    return lambda a: jnp.concatenate([dot(a, half) for half in halves], axis=-1)


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
    wide = jax.tree.map(lambda leaf: leaf.astype(wide_dtype(leaf.dtype)), params)
    weights, pull_weights = jax.vjp(_weights, wide)
    by_w_h = _product_in_loop(wide.w_h.T, batch) if isinstance(params, LSTMParams) else None
    by_projection = None if params.projection is None else _product_in_loop(wide.projection.T, batch)
    vectors = {name: getattr(params, name) for name in _vectors(params)}
    if size < time:
        # behind a barrier, or else XLA makes what is constant, such as a cotangent of zeros, anew for every chunk
        steps, before, kept, d_hs = jax.lax.optimization_barrier((steps, before, kept, d_hs))
    pooled = _Pooled(jax.tree.map(partial(_widen, batch=batch), vectors), shared.recurrent_mask, shared.reset_to)

    def step(state, t):
        d_after, d_pooled = state
        now, begun, kept_now, d_h = jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, t, keepdims=False), (steps, before, kept, d_hs))

        def enter_(pooled, carry):
            return enter(shared._replace(recurrent_mask=pooled.recurrent_mask, reset_to=pooled.reset_to), carry, now)

        def update_(pooled, z, c):
            return update(params._replace(**pooled.vectors), z, c, kept_now if _recalls(params) else None)[:2]

        z = jnp.zeros_like(begun.c, shape=(*batch, params.w_x.shape[1])) if _recalls(params) else kept_now
        (_, h_seen), pull_enter = jax.vjp(enter_, pooled, begun)
        (m, c), pull_update = jax.vjp(update_, pooled, z, begun.c)
        _, pull_leave = jax.vjp(lambda begun, after: leave(shared, begun, after, now), begun, Carry(begun.h, c))

        d_begun, d_new = pull_leave(Carry(d_after.h + silence(d_h, now.valid), d_after.c))
        d_m = d_new.h
        if by_projection is not None:
            d_m = by_projection(d_new.h.astype(wide_dtype(m.dtype))).astype(m.dtype)
        d_pooled_now, d_z, d_c = pull_update((d_m, d_new.c))
        if by_w_h is not None:
            d_h_seen = by_w_h(d_z if params.norm is None else d_z[1]).astype(h_seen.dtype)
        else:
            _, pull = jax.vjp(lambda pooled, h: products(params._replace(**pooled.vectors), now.x, h), pooled, h_seen)
            d_products, d_h_seen = pull(d_z)
            d_pooled_now = _add(d_pooled_now, d_products)
        d_enter, d_carry = pull_enter((Carry(d_begun.h, d_begun.c + d_c), d_h_seen))
        projected = None if params.projection is None else (m, d_new.h)
        return (d_carry, _add(d_pooled, d_pooled_now, d_enter)), (d_z, projected)

    def gather(state, at, count):
        """The gradients of `count` steps from `at` on: the loop over them, then the products of all of them at once."""
        d_after, d_pooled, d_weights = state
        (d_after, d_pooled), outputs = jax.lax.scan(step, (d_after, d_pooled), at + jnp.arange(count), reverse=not reverse)
        x, h_seen = (a if count == time else jax.lax.dynamic_slice_in_dim(a, at, count) for a in (steps.x, before.h))
        h_seen = h_seen if shared.recurrent_mask is None else h_seen * shared.recurrent_mask[None]
        x, h_seen, (d_z, projected) = jax.tree.map(_rows_of, (x, h_seen, outputs))
        d_more = [
            jnp.dot(a.T.astype(w.dtype), d.astype(w.dtype))
            for w, (a, d) in zip(weights, _pairs(params, x, h_seen, d_z, projected), strict=True)
        ]
        d_x = dot(d_z if params.norm is None else d_z[0], wide.w_x.T).astype(x.dtype)
        return (d_after, d_pooled, _add(d_weights, d_more)), d_x.reshape(count, *batch, d_x.shape[-1])

    state = (d_last, jax.tree.map(_zeros, pooled), jax.tree.map(_zeros, weights))
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
    d_initial, d_pooled, d_weights = state

    d_vectors = jax.tree.map(lambda d, v: d.sum(range(v.ndim - 1, v.ndim - 1 + len(batch))), d_pooled.vectors, vectors)
    d_params = pull_weights(d_weights)[0]._replace(**d_vectors)
    d_shared = Shared(d_initial, d_pooled.recurrent_mask, jax.tree.map(jnp.zeros_like, shared.zoneout), d_pooled.reset_to)
    d_params, d_shared = jax.tree.map(lambda d, a: d.astype(a.dtype), (d_params, d_shared), (params, shared))
    return d_params, d_shared, Steps(parts[0] if len(parts) == 1 else jnp.concatenate(parts))


def _recalls(params: Params) -> bool:
    """Whether the update can be differentiated from the gates alone, without the pre-activations."""
    bounded = params.clip is not None and params.clip.gates is not None
    return params.norm is None and not bounded and params.w_x.dtype.itemsize >= 4  # in half precision the gates are rounded


def _weights(params: Params) -> list[jax.Array]:
    """What whole rows are multiplied by: w_x, w_h and b as one, apart where their products are normalised apart; and the projection."""
    stack = [params.w_x, params.w_h] if isinstance(params, LSTMParams) else [params.w_x]
    if params.norm is None:
        stack = [jnp.concatenate(stack if params.b is None else [*stack, params.b[None]])]
    return stack if params.projection is None else [*stack, params.projection]


def _pairs(params: Params, x, h_seen, d_z, projected) -> list[tuple[jax.Array, jax.Array]]:
    """For each of `_weights` the rows it is multiplied by, and the gradients of the products."""
    seen = [x, h_seen] if isinstance(params, LSTMParams) else [x]
    if params.norm is not None:
        pairs = list(zip(seen, d_z, strict=False))
    else:
        # the bias by ones: XLA's own sum over the rows took longer than all the products together
        pairs = [(jnp.concatenate(seen if params.b is None else [*seen, jnp.ones_like(x[:, :1])], axis=-1), d_z)]
    return pairs if projected is None else [*pairs, projected]


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
