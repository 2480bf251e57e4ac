"""Matrix products of the custom backward pass: inside its loop, at every step, and after it, over many steps at
once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from jax_lstm._cell import dot, recurrent
from jax_lstm._types import BlockDiagonalParams, DiagonalParams, LSTMParams, Params

Layout = Literal["plain", "halves", "weights left", "one kernel"]
"""How a loop multiplies its rows by the weights: as `a @ w`; by the halves of `w`; as `(w.T @ a.T).T`; or as `a @ w`,
where a GPU makes `a`, and what else a step passes on, in one kernel."""


def product_in_loop(w: jax.Array, batch: tuple[int, ...], layout: Layout) -> Callable[[jax.Array], jax.Array]:
    """The product `(*batch, n) -> (*batch, m)` with weights `w (n, m)`, which are arranged once, before the loop."""
    if layout == "weights left":
        # without the barriers XLA turns the product back
        left, barrier = w.T, jax.lax.optimization_barrier

        def product(a: jax.Array) -> jax.Array:
            columns = barrier(a.reshape(math.prod(batch), -1).T)
            return barrier(dot(left, columns)).T.reshape(*batch, -1)

        return product
    if layout == "halves":
        halves = jnp.split(w, [w.shape[1] // 2], axis=1)
        return lambda a: jnp.concatenate([dot(a, half) for half in halves], axis=-1)
    if layout == "one kernel":
        # without the barrier XLA fuses the pass-through addend into the matmul and slices it out in an extra kernel
        return lambda a: jax.lax.optimization_barrier(dot(a, w))
    return lambda a: dot(a, w)


def in_one_kernel(d_z: jax.Array, passed: list[jax.Array], gates: int) -> tuple[jax.Array, list[jax.Array]]:
    """The same values, which one kernel of a GPU makes.

    XLA for GPUs makes arrays of one shape in one kernel, but neither a concatenation nor arrays of several shapes. So
    `d_z` is the sum of its padded blocks, the others are padded, and a barrier keeps them so.

    Args:
        d_z: the gradient of the pre-activations, `(*batch, gates*hidden)`.
        passed: what else a step passes on, `(*batch, n)` with `n` of at most `gates*hidden`.
        gates: the number of blocks of `d_z`.
    """
    width = d_z.shape[-1]

    def pad(a: jax.Array, start: int) -> jax.Array:
        return jnp.pad(a, [(0, 0)] * (a.ndim - 1) + [(start, width - start - a.shape[-1])])

    blocks = jnp.split(d_z, gates, axis=-1)
    padded = [pad(block, k * block.shape[-1]) for k, block in enumerate(blocks)]
    summed, wide = jax.lax.optimization_barrier((reduce(jnp.add, padded), [pad(a, 0) for a in passed]))
    return summed, [whole[..., : a.shape[-1]] for whole, a in zip(wide, passed, strict=True)]


class StepGradients(NamedTuple):
    """What the backward loop returns for every step.

    Args:
        z: of the pre-activations, `(*batch, gates*hidden)`; of both products as a pair where each is normalized.
        projection: the input of the projection and the gradient of its output, or None.
    """

    z: jax.Array | tuple[jax.Array, jax.Array]
    projection: tuple[jax.Array, jax.Array] | None


def weight_matrices(params: Params) -> list[jax.Array]:
    """The matrices that whole rows are multiplied by.

    `w_x`, `w_h` and `b` are one matrix, as one large product is faster than three; they are apart where their products
    are normalized apart. Then come the projection, or the blocks of heads.
    """
    stack = [params.w_x, params.w_h] if isinstance(params, LSTMParams) else [params.w_x]
    if params.norm is None:
        stack = [jnp.concatenate(stack if params.b is None else [*stack, params.b[None]])]
    if isinstance(params, BlockDiagonalParams):
        return [*stack, params.w_h]
    return stack if params.projection is None else [*stack, params.projection]


def matrix_fields(params: Params) -> frozenset[str]:
    """The names of the fields whose gradients `gradient_products` makes; all others belong to the update."""
    names = {"w_x", "projection"}
    if not isinstance(params, DiagonalParams):
        names.add("w_h")
    if params.norm is None:
        names.add("b")
    return frozenset(names)


def gradient_products(
    params: Params, weights: list[jax.Array], x: jax.Array, h_seen: jax.Array, gradients: StepGradients
) -> tuple[list[jax.Array], jax.Array]:
    """The gradients of `weights`, as `weight_matrices` gives them, and of `x`: large products over all given steps.

    Args:
        params: the layer's weights, in the dtype that sums are made in.
        weights: `weight_matrices(params)`.
        x: `(steps, *batch, features)`.
        h_seen: the hidden states that the products saw, `(steps, *batch, out)`.
        gradients: from the backward loop, with a leading axis of steps.
    """
    lead = x.shape[:-1]
    x, h_seen, gradients = jax.tree.map(lambda a: a.reshape(-1, a.shape[-1]), (x, h_seen, gradients))
    d_z_x, d_z_h = gradients.z if isinstance(gradients.z, tuple) else (gradients.z, gradients.z)
    factors = _factors(params, x, h_seen, gradients)
    d_weights = [jnp.dot(a.T.astype(w.dtype), d.astype(w.dtype)) for w, (a, d) in zip(weights, factors, strict=False)]
    if isinstance(params, BlockDiagonalParams):
        _, pull = jax.vjp(lambda w_h: recurrent(params._replace(w_h=w_h), h_seen.astype(w_h.dtype)), weights[-1])
        d_weights += pull(d_z_h.astype(weights[-1].dtype))
    d_x = dot(d_z_x, params.w_x.T).astype(x.dtype)
    return d_weights, d_x.reshape(*lead, d_x.shape[-1])


def _factors(
    params: Params, x: jax.Array, h_seen: jax.Array, gradients: StepGradients
) -> list[tuple[jax.Array, jax.Array]]:
    """For each of `weight_matrices` the rows that it multiplies, and the gradients of the products."""
    seen = [x, h_seen] if isinstance(params, LSTMParams) else [x]
    if params.norm is not None:
        factors = list(zip(seen, gradients.z, strict=False))
    else:
        # the bias by ones: XLA's own sum over the rows took longer than all the products together
        ones = [] if params.b is None else [jnp.ones_like(x[:, :1])]
        factors = [(jnp.concatenate([*seen, *ones], axis=-1), gradients.z)]
    return factors if gradients.projection is None else [*factors, gradients.projection]
