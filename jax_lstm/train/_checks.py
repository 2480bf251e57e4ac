"""Arguments that `fit` refuses before it starts."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm._annotations import Array, Key, PyTree
from jax_lstm.train._batches import Batches, Chunks, Minibatches, Whole
from jax_lstm.train._data import axes_of, come_in_batches
from jax_lstm.train._types import Checkpoints, State, Validation


def as_count(name: str, count: Any) -> int:
    """A whole number of at least one, of any integer type."""
    try:
        number = operator.index(count)
    except TypeError:
        number = 0
    if number < 1 or isinstance(count, bool):
        raise ValueError(f"{name} is {count!r}, expected a whole number of at least 1")
    return number


def as_count_or_none(name: str, count: Any) -> int | None:
    """A whole number of at least one, or None."""
    return None if count is None else as_count(name, count)


def as_keys(key: Any) -> Key[Array, "*members"]:
    """The key, or the keys of the members, in the new style; a refusal of what is neither."""
    expected = "expected a key of jax.random, such as jax.random.key(0), or several (members,)"
    if not isinstance(key, jax.Array | np.ndarray):
        raise TypeError(
            f"key is {key!r}, {expected}"
            if isinstance(key, int | float)
            else f"key is a {type(key).__name__}, {expected}"
        )
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        size = jax.random.key_data(jax.random.key(0)).shape[-1]
        if key.dtype != jnp.uint32 or key.shape[-1:] != (size,):
            raise TypeError(f"key is an array {key.dtype}{list(key.shape)}, {expected}")
        key = jax.random.wrap_key_data(jnp.asarray(key))
    keys: Array = key
    if keys.ndim > 1:
        raise ValueError(f"key has shape {keys.shape}, expected one key, or several (members,)")
    return keys


def check_members(tree: PyTree, name: str, key: Key[Array, "*members"]) -> None:
    """Trees with one entry per key, where there are several keys."""
    for path, leaf in jax.tree.leaves_with_path(tree):
        if jnp.shape(leaf)[: key.ndim] != key.shape:
            raise ValueError(
                f"{name}{jax.tree_util.keystr(path)} has shape {jnp.shape(leaf)}, but there are {key.shape[0]} keys: "
                f"give {name} a leading axis of {key.shape[0]}, one entry per key"
            )


def check_params(params: PyTree) -> None:
    """Trees of float arrays."""
    leaves = jax.tree.leaves_with_path(params)
    if not leaves:
        raise ValueError("params has no arrays, expected something to train")
    for path, leaf in leaves:
        where = f"params{jax.tree_util.keystr(path)}"
        if not isinstance(leaf, jax.Array | np.ndarray | np.generic | float | int | complex):
            raise TypeError(f"{where} is a {type(leaf).__name__}, expected an array of floats")
        dtype = jnp.result_type(leaf)
        if not jnp.issubdtype(dtype, jnp.inexact):
            raise TypeError(f"{where} is {dtype}, expected floats: close the loss over what is not trained")


def as_validation(loss: Callable[..., Any] | None, every: int, patience: int | None, steps: int) -> Validation | None:
    """The configuration of validation, from options that fit each other."""
    if loss is None:
        if patience is not None:
            raise ValueError("patience is given without a validation to wait for: give validation=params -> loss")
        return None
    if every > steps:
        raise ValueError(f"validate_every is {every}, but steps is {steps}: there would be no validation")
    return Validation(loss, every, patience)


def as_checkpoints(checkpoints: Any) -> Checkpoints | None:
    """None, or `Checkpoints` of a path and two counts."""
    if checkpoints is None:
        return None
    if not isinstance(checkpoints, Checkpoints):
        raise TypeError(f"checkpoints is a {type(checkpoints).__name__}, expected Checkpoints(folder, every, keep)")
    if not isinstance(checkpoints.folder, str | os.PathLike):
        raise TypeError(f"checkpoints.folder is a {type(checkpoints.folder).__name__}, expected a path")
    every, keep = (as_count(f"checkpoints.{name}", getattr(checkpoints, name)) for name in ("every", "keep"))
    return checkpoints._replace(every=every, keep=keep)


def _check_axis_given(option: str, batch_axis: Any) -> None:
    """The axis of the rows, for options that draw or spread rows: which it is cannot be seen in the data."""
    if batch_axis is None:
        raise ValueError(
            f"{option} is given without batch_axis: give the axis of the rows in data, 1 for sequences "
            "(time, batch, features), 0 where rows come first, or a tree of both"
        )


def as_batches(data: PyTree, batch_axis: Any, batch_size: int | None, carry: PyTree, chunk: int | None) -> Batches:
    """How the batches of the steps are made, from data and options that fit each other."""
    if chunk is not None and carry is None:
        raise ValueError(
            "chunk is given without a carry: give the carry that the stream starts from, such as "
            "zero_carry(params, batch_shape)"
        )
    if come_in_batches(data):
        if batch_size is not None or chunk is not None:
            raise ValueError(
                "batch_size and chunk divide arrays in memory, but data is an iterable of batches: each is one step"
            )
        return Whole()
    leaves = jax.tree.leaves_with_path(data)
    if not leaves:
        raise ValueError(
            "data has no arrays, expected a tree of arrays, an iterable of batches, or a function that makes one"
        )
    for path, leaf in leaves:
        if (
            not hasattr(leaf, "__array__")
            and not hasattr(leaf, "__jax_array__")
            and not isinstance(leaf, int | float | complex)
        ):
            raise TypeError(f"data{jax.tree_util.keystr(path)} is a {type(leaf).__name__}, expected an array")
    if carry is not None:
        if chunk is None or batch_size is not None:
            raise ValueError(
                "a stream is divided into chunks of time steps: with a carry, give chunk and not batch_size"
            )
        _check_lengths(leaves, (0,) * len(leaves), "chunk", chunk)
        return Chunks(chunk)
    if batch_size is None:
        return Whole()
    _check_axis_given("batch_size", batch_axis)
    axes = axes_of(data, batch_axis)
    _check_lengths(leaves, axes, "batch_size", batch_size)
    return Minibatches(batch_size, axes)


def _check_lengths(leaves: list[tuple[Any, Any]], axes: tuple[int, ...], name: str, wanted: int) -> None:
    """Arrays with the same number of rows, or time steps, and at least the number that one step takes."""
    sizes: list[int] = []
    for (path, leaf), axis in zip(leaves, axes, strict=True):
        where = f"data{jax.tree_util.keystr(path)}"
        if not jnp.ndim(leaf):
            raise ValueError(f"{where} is a single number, expected an array with time steps or rows")
        sizes.append(jnp.shape(leaf)[axis])
        if sizes[-1] != sizes[0]:
            first = f"data{jax.tree_util.keystr(leaves[0][0])}"
            raise ValueError(
                f"{where} has {sizes[-1]} entries at axis {axis} and {first} {sizes[0]}, "
                "expected the same number: give the axis of the rows as batch_axis"
            )
    if wanted > sizes[0]:
        raise ValueError(f"{name} is {wanted}, but data has {sizes[0]}: give at most {sizes[0]}")


def check_mesh(mesh: Any, batch_size: int | None, batch_axis: Any) -> None:
    """A mesh, with an axis to spread over it and minibatches that its devices divide, or None."""
    if mesh is None:
        return
    if not isinstance(mesh, jax.sharding.Mesh):
        raise TypeError(f"mesh is a {type(mesh).__name__}, expected a mesh, as from jax_lstm.parallel.batch_mesh()")
    _check_axis_given("mesh", batch_axis)
    if batch_size is not None and batch_size % mesh.size:
        raise ValueError(f"batch_size is {batch_size}, expected a multiple of the {mesh.size} devices of the mesh")


def describe(state: State, key: Key[Array, "*members"], data: PyTree, **options: Any) -> dict[str, str]:
    """What a run must share with its checkpoints, by name: options, key, and the shapes of its state and data."""
    described = {name: repr(value) for name, value in options.items()} | {"key": str(jax.random.key_data(key).tolist())}
    fields = {name: value for name, value in state._asdict().items() if name != "history"}
    for path, leaf in jax.tree.leaves_with_path({"state": fields, "data": data}):
        described[jax.tree_util.keystr(path, simple=True, separator=".")] = f"{leaf.dtype}{list(leaf.shape)}"
    return described
