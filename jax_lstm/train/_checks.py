"""What `fit` refuses before it starts."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jax_lstm.train._checkpoints import Checkpoints
from jax_lstm.train._data import come_in_batches


def check_counts(**counts: int | None) -> None:
    """Whole numbers of at least one, where they are given at all."""
    for name, count in counts.items():
        if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
            raise ValueError(f"{name} is {count!r}, expected a whole number of at least 1")


def check_members(tree, name: str, key: jax.Array) -> None:
    """Trees that have one entry a key, where there are several keys."""
    if key.ndim > 1:
        raise ValueError(f"key has shape {key.shape}, expected one key, or several (members,)")
    for path, leaf in jax.tree.leaves_with_path(tree):
        if jnp.shape(leaf)[: key.ndim] != key.shape:
            raise ValueError(
                f"{name}{jax.tree_util.keystr(path)} has shape {jnp.shape(leaf)}, but there are {key.shape[0]} keys: "
                f"give {name} an axis of {key.shape[0]} in front, one entry a key"
            )


def check_params(params) -> None:
    """Trees of float arrays."""
    leaves = jax.tree.leaves_with_path(params)
    if not leaves:
        raise ValueError("params has no arrays, expected something to train")
    for path, leaf in leaves:
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
            raise TypeError(
                f"params{jax.tree_util.keystr(path)} is {jnp.result_type(leaf)}, expected floats: close the loss over what is not trained"
            )


def check_data(data, axes: tuple[int, ...], batch_size: int | None, carry, chunk: int | None, mesh) -> None:
    """Arrays in memory whose rows, or time steps, are as many as each other and as a step wants."""
    if chunk is not None and carry is None:
        raise ValueError("chunk is given without a carry: give the carry that the stream starts from, such as zero_carry(params, xs)")
    if come_in_batches(data):
        if batch_size is not None or chunk is not None:
            raise ValueError("batch_size and chunk cut arrays in memory, but data is an iterator: each of its batches is a step as it is")
        return
    leaves = jax.tree.leaves_with_path(data)
    if not leaves:
        raise ValueError("data has no arrays, expected a tree of arrays, an iterator of batches, or a function that makes one")
    if carry is not None and (chunk is None or batch_size is not None):
        raise ValueError("a stream is cut into chunks of time steps: with a carry, give chunk and not batch_size")
    name, wanted, axes = ("batch_size", batch_size, axes) if carry is None else ("chunk", chunk, (0,) * len(leaves))
    if wanted is None:
        return
    sizes: list[int] = []
    for (path, leaf), axis in zip(leaves, axes, strict=True):
        where = f"data{jax.tree_util.keystr(path)}"
        if jnp.ndim(leaf) <= axis:
            raise ValueError(f"{where} has shape {jnp.shape(leaf)}, and no axis {axis}: say with batch_axis where its rows are")
        sizes.append(jnp.shape(leaf)[axis])
        if sizes[-1] != sizes[0]:
            raise ValueError(
                f"{where} has {sizes[-1]} entries at axis {axis} and data{jax.tree_util.keystr(leaves[0][0])} {sizes[0]}, "
                f"expected as many: say with batch_axis where the rows are"
            )
    if wanted > sizes[0]:
        raise ValueError(f"{name} is {wanted}, but data has {sizes[0]}: give at most so many")
    if mesh is not None and batch_size is not None and batch_size % mesh.size:
        raise ValueError(f"batch_size is {batch_size}, expected a multiple of the {mesh.size} devices of the mesh")


def check_options(steps: int, validation, validate_every: int, patience: int | None, checkpoints) -> None:
    """Options that fit each other."""
    if validation is not None and validate_every > steps:
        raise ValueError(f"validate_every is {validate_every}, but steps is {steps}: there would be no validation")
    if patience is not None and validation is None:
        raise ValueError("patience is given without a validation to wait for: give validation=params -> loss")
    if checkpoints is not None and not isinstance(checkpoints, Checkpoints):
        raise TypeError(f"checkpoints is a {type(checkpoints).__name__}, expected Checkpoints(folder, every, keep)")


def describe(state, key: jax.Array, data, **options: Any) -> dict[str, str]:
    """What a run has in common with its checkpoints, by name: its options, its key, the shapes of its state and of its data."""
    said = {name: repr(value) for name, value in options.items()} | {"key": str(jax.random.key_data(key).tolist())}
    for path, leaf in jax.tree.leaves_with_path({"state": state._replace(history=None)._asdict(), "data": data}):
        said[jax.tree_util.keystr(path, simple=True, separator=".")] = f"{leaf.dtype}{list(leaf.shape)}"
    return said
