"""The data of a run: arrays in memory, or batches from an iterable, placed on the devices."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jax_lstm._annotations import PyTree
from jax_lstm._sharding import BATCH
from jax_lstm.parallel import replicate, shard_batch


def come_in_batches(data: Any) -> bool:
    """Whether the data are an iterable of batches, or a function that makes one, rather than arrays in memory."""
    if callable(data) or hasattr(data, "__next__"):
        return True
    # a list or a dictionary is a tree of arrays, and so is what NumPy can read, such as a data frame
    is_leaf = jax.tree_util.all_leaves([data])
    return (
        is_leaf and hasattr(data, "__iter__") and not hasattr(data, "__array__") and not isinstance(data, str | bytes)
    )


def axes_of(data: PyTree, batch_axis: Any) -> tuple[int, ...]:
    """The axis of the rows in each leaf of the data, counted from the front.

    Raises:
        ValueError, TypeError: a `batch_axis` that is no integer or tree of integers, or that the data do not have.
    """
    try:
        given = jax.tree.leaves(jax.tree.broadcast(batch_axis, data))
    except ValueError as error:
        raise ValueError(
            f"batch_axis is {batch_axis!r}, expected an integer, or a tree of integers that is a prefix of data"
        ) from error
    axes = []
    for (path, leaf), axis in zip(jax.tree.leaves_with_path(data), given, strict=True):
        where, ndim = f"data{jax.tree_util.keystr(path)}", jnp.ndim(leaf)
        if not isinstance(axis, int | np.integer) or isinstance(axis, bool):
            raise TypeError(f"batch_axis is {axis!r} for {where}, expected an integer")
        if not -ndim <= axis < ndim:
            raise ValueError(
                f"{where} has shape {jnp.shape(leaf)}, and no axis {axis}: give the axis of its rows as batch_axis"
            )
        axes.append(int(axis) % ndim)
    return tuple(axes)


def batches_from(data: Any, step: int, steps: int) -> Iterator[Any]:
    """The batches of the steps `step` to `steps`.

    The batches before `step` are drawn from an iterable and dropped; a function is called with `step`. An iterable that
    can be iterated again, such as a data loader, starts again at its end.

    Raises:
        ValueError: the data end before the steps do.
    """
    source = iter(data(step)) if callable(data) else itertools.islice(_repeated(data), step, None)
    drawn = step
    for batch in itertools.islice(source, steps - step):
        yield batch
        drawn += 1
    if drawn < steps:
        raise ValueError(
            f"data ended after {drawn} batches, but steps is {steps}: "
            "give fewer steps, or an iterable that can be iterated again"
        )


def _repeated(data: Iterable[Any]) -> Iterator[Any]:
    """The batches of an iterator, once; those of another iterable again and again, unless it is empty."""
    empty = False
    while not empty:
        empty = True
        for batch in data:
            empty = False
            yield batch
        empty = empty or hasattr(data, "__next__")


def place_arrays(data: PyTree, batch_axis: Any, mesh: Mesh | None, *, whole: bool) -> PyTree:
    """Arrays in memory: replicated if `whole`, to draw minibatches from, or else sharded over the batch."""
    if mesh is None:
        return jax.tree.map(jnp.asarray, data)
    if whole:
        return replicate(data, mesh)
    return _on_axes(lambda leaf, axis: shard_batch(leaf, mesh, axis=axis), data, batch_axis)


def place_batch(batch: PyTree, batch_axis: Any, mesh: Mesh | None) -> PyTree:
    """One batch, of which every process gives the share of its own devices."""
    if mesh is None or jax.process_count() == 1:
        return place_arrays(batch, batch_axis, mesh, whole=False)

    def gather(leaf: Any, axis: int) -> Any:
        sharding = NamedSharding(mesh, PartitionSpec(*(None,) * axis, BATCH))
        return jax.make_array_from_process_local_data(sharding, np.asarray(leaf))

    return _on_axes(gather, batch, batch_axis)


def _on_axes(place: Callable[[Any, int], Any], data: PyTree, batch_axis: Any) -> PyTree:
    """The data with `place(leaf, axis)` for every leaf and the axis of its rows."""
    leaves, structure = jax.tree.flatten(data)
    placed = [place(leaf, axis) for leaf, axis in zip(leaves, axes_of(data, batch_axis), strict=True)]
    return jax.tree.unflatten(structure, placed)
