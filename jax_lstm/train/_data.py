"""The data of a run: arrays in memory, or batches from an iterator, put where the steps want them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jax_lstm.parallel import BATCH, replicate, shard_batch


def come_in_batches(data) -> bool:
    """Whether the data are an iterator of batches or a function that makes one, rather than arrays in memory."""
    return callable(data) or hasattr(data, "__next__")


def batches_from(data, step: int, steps: int) -> Iterator:
    """The batches of the steps `step` to `steps`; what an iterator has for those before is drawn and let go.

    Raises:
        ValueError: the data end before the steps do.
    """
    batches = iter(data(step)) if callable(data) else itertools.islice(data, step, None)
    while step < steps:
        try:
            batch = next(batches)
        except StopIteration:
            break
        yield batch
        step += 1
    if step < steps:
        raise ValueError(f"data ended after {step} batches, but steps is {steps}: give fewer steps, or an iterator that goes on")


def place_arrays(data, batch_axis: Any, mesh: Mesh | None, *, whole: bool):
    """Arrays in memory: to every device `whole`, to draw minibatches from, or else in shares of the batch."""
    if mesh is None:
        return jax.tree.map(jnp.asarray, data)
    if whole:
        return replicate(data, mesh)
    return jax.tree.map(lambda leaf, axis: shard_batch(leaf, mesh, axis=axis), data, jax.tree.broadcast(batch_axis, data))


def place_batch(batch, batch_axis: Any, mesh: Mesh | None):
    """One batch, of which every process gives the share of its own devices."""
    if mesh is None or jax.process_count() == 1:
        return place_arrays(batch, batch_axis, mesh, whole=False)

    def gather(leaf, axis):
        sharding = NamedSharding(mesh, PartitionSpec(*(None,) * axis, BATCH))
        return jax.make_array_from_process_local_data(sharding, np.asarray(leaf))

    return jax.tree.map(gather, batch, jax.tree.broadcast(batch_axis, batch))
