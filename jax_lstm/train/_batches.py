"""How the batch of a step is made from the data: all of it, minibatches of its rows, or chunks of a stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jax_lstm._annotations import Array, Bool, Int, Key, PyTree
from jax_lstm.parallel import shard_batch


@dataclass(frozen=True)
class Whole:
    """Each step takes the data as they are: all rows of arrays, or the one batch that an iterator gave."""


@dataclass(frozen=True)
class Minibatches:
    """Each step takes `size` rows, drawn without replacement in every epoch.

    Args:
        size: rows per step.
        axes: the batch axis of each leaf of the data.
    """

    size: int
    axes: tuple[int, ...]


@dataclass(frozen=True)
class Chunks:
    """Each step takes the next `length` time steps of a stream."""

    length: int


Batches: TypeAlias = Whole | Minibatches | Chunks


class Draw(NamedTuple):
    """The batch of one step.

    Args:
        batch: a tree of arrays.
        order: the order of the rows in this epoch, to pass to the next step.
        restart: whether a stream starts again with this batch, from its initial carry; None where it never does.
    """

    batch: PyTree
    order: Int[Array, " rows"]
    restart: Bool[Array, ""] | None


def initial_order(batches: Batches, data: PyTree, members: tuple[int, ...]) -> Int[Array, "*members rows"]:
    """The order to pass to the first `draw` of a loop, which replaces it."""
    rows = jax.tree.leaves(data)[0].shape[batches.axes[0]] if isinstance(batches, Minibatches) else 0
    return jnp.zeros((*members, rows), jnp.int32)


def draw(
    batches: Batches,
    data: PyTree,
    step: Int[Array, ""],
    first: Bool[Array, ""],
    order: Int[Array, " rows"],
    key: Key[Array, ""],
    mesh: Mesh | None,
) -> Draw:
    """The batch of a step.

    Args:
        batches: how it is made.
        data: the arrays, or the batch that an iterator gave.
        step: the step, from 0.
        first: whether this is the first step of a loop, in which `order` is not yet that of the epoch.
        order: the order of the rows that the step before returned.
        key: the key of all orders of a run.
        mesh: devices to spread minibatches over.
    """
    match batches:
        case Whole():
            return Draw(data, order, None)
        case Chunks(length):
            slot = step % (jax.tree.leaves(data)[0].shape[0] // length)
            return Draw(
                jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, slot * length, length), data),
                order,
                slot == 0,
            )
        case Minibatches(size, axes):
            per_epoch = order.shape[0] // size
            epoch, slot = step // per_epoch, step % per_epoch
            order = jax.lax.cond((slot == 0) | first, lambda: _permutation(key, epoch, order), lambda: order)
            rows = jax.lax.dynamic_slice_in_dim(order, slot * size, size)
            return Draw(_take(data, rows, axes, mesh), order, None)


def _permutation(key: Key[Array, ""], epoch: Int[Array, ""], order: Int[Array, " rows"]) -> Int[Array, " rows"]:
    return jax.random.permutation(jax.random.fold_in(key, epoch), order.shape[0]).astype(order.dtype)


def _take(data: PyTree, rows: Int[Array, " size"], axes: tuple[int, ...], mesh: Mesh | None) -> PyTree:
    leaves, structure = jax.tree.flatten(data)
    batch = [jnp.take(leaf, rows, axis, mode="clip") for leaf, axis in zip(leaves, axes, strict=True)]
    if mesh is not None:
        batch = [shard_batch(leaf, mesh, axis=axis) for leaf, axis in zip(batch, axes, strict=True)]
    return jax.tree.unflatten(structure, batch)
