"""`.npz` files of plain arrays: read with a bound on memory, and without pickles."""

from __future__ import annotations

import ast
import io
import math
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from jax_lstm import checkpoint
from jax_lstm._zip import unpack
from jax_lstm.checkpoint import Checkpoint

_LENGTHS = {b"\x01\x00": 2, b"\x02\x00": 4}
"""The versions of NumPy's format that are read, and the bytes of their header's length."""


def read(path: Path, prefix: str | None, readout: str | None) -> tuple[Checkpoint, list[str]]:
    """The checkpoint of a `.npz` file, and the names of what was left out: nothing."""
    try:
        arrays = {name.removesuffix(".npy"): _array(name, member) for name, member in unpack(path).items()}
    except ValueError as error:
        raise ValueError(
            f"{path} is not a complete .npz file of plain arrays ({error}): write it with jax-lstm convert"
        ) from error
    if "jax_lstm" not in arrays:
        raise ValueError(f"{path} has no array 'jax_lstm' with the description: write it with jax-lstm convert")
    text = str(arrays.pop("jax_lstm"))
    # NumPy's format has no name for bfloat16, so its bits are stored as integers
    arrays = {name: array.view(jnp.bfloat16) if array.dtype == np.uint16 else array for name, array in arrays.items()}
    return checkpoint.build(text, arrays, str(path)), []


def write(path: Path, held: Checkpoint) -> None:
    """Write a checkpoint as a `.npz` file of its arrays and its description."""
    text, arrays = checkpoint.describe(held)
    arrays = {name: array.view(np.uint16) if array.dtype == jnp.bfloat16 else array for name, array in arrays.items()}
    np.savez(path, allow_pickle=False, jax_lstm=np.array(text), **arrays)


def _array(name: str, member: bytes) -> np.ndarray:
    """One array, whose header must state exactly the bytes that follow: nothing is allocated for a claim."""
    content = io.BytesIO(member)
    shape, columns_first, dtype = _header(content, name)
    if dtype.hasobject or not dtype.itemsize:
        raise ValueError(f"{name} has dtype {dtype}, expected numbers or text")
    claimed, there = math.prod(shape) * dtype.itemsize, len(member) - content.tell()
    if claimed != there:
        raise ValueError(f"{name} states {claimed:,} bytes, but has {there:,}")
    array = np.frombuffer(member, dtype, offset=content.tell())
    return array.reshape(shape, order="F" if columns_first else "C")


def _header(content: io.BytesIO, name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """The shape, whether columns come first, and the dtype that a member states."""
    magic, version = content.read(6), content.read(2)
    if magic != b"\x93NUMPY" or version not in _LENGTHS:
        raise ValueError(f"{name} is not in version 1.0 or 2.0 of NumPy's format")
    length = int.from_bytes(content.read(_LENGTHS[version]), "little")
    try:
        if length > 10_000:  # as in NumPy: a literal of this length is no shape, and takes long to parse
            raise ValueError(f"it has {length:,} bytes")
        stated = ast.literal_eval(content.read(length).decode("latin1").strip())
        shape, columns_first, dtype = stated["shape"], stated["fortran_order"], np.dtype(stated["descr"])
        if not isinstance(columns_first, bool) or not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError(f"the shape is {shape} and fortran_order {columns_first}")
    except (
        Exception
    ) as error:  # of a damaged literal Python and NumPy raise many kinds, SyntaxError and MemoryError too
        raise ValueError(f"the header of {name} is damaged: {type(error).__name__}: {error}") from error
    return tuple(shape), columns_first, dtype
