"""`.npz` files of arrays alone: read with a bound on memory, and without pickles."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import IO

import jax.numpy as jnp
import numpy as np

from jax_lstm import checkpoint
from jax_lstm.checkpoint import Checkpoint

UNPACKED = 16
"""How many times a file's own size its content may have once unpacked; weights shrink by much less than this."""

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read(path: Path, prefix: str | None) -> tuple[Checkpoint, list[str]]:
    """The checkpoint of a `.npz` file, and the names of what was left out: nothing."""
    check_unpacked_size(path)
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {}
            for info in archive.infolist():
                with archive.open(info) as member:
                    arrays[info.filename.removesuffix(".npy")] = _array(member, info)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        ValueError,
        RuntimeError,
    ) as error:  # RuntimeError: encrypted, other methods
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


def check_unpacked_size(path: Path) -> None:
    """A refusal of a ZIP file whose content is many times larger than the file; what is no ZIP file passes."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ValueError(f"{path} is not a complete ZIP file ({error}): it is damaged, or of another kind") from error
    size = path.stat().st_size
    if unpacked > UNPACKED * size:
        raise ValueError(
            f"{path} of {size:,} bytes unpacks to {unpacked:,}, expected at most {UNPACKED} times its size: "
            "store it unpacked"
        )


def _array(member: IO[bytes], info: zipfile.ZipInfo) -> np.ndarray:
    """One array, whose header must state exactly the bytes that follow: nothing is allocated for a claim."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{info.filename} is compressed by method {info.compress_type}, expected stored or deflated")
    version = np.lib.format.read_magic(member)
    if version not in _HEADERS:
        raise ValueError(f"{info.filename} has version {version} of NumPy's format, expected 1.0 or 2.0")
    shape, columns_first, dtype = _HEADERS[version](member)
    if dtype.hasobject or not dtype.itemsize:
        raise ValueError(f"{info.filename} has dtype {dtype}, expected numbers or text")
    claimed, there = math.prod(shape) * dtype.itemsize, info.file_size - member.tell()
    if claimed != there:
        raise ValueError(f"{info.filename} states {claimed:,} bytes, but has {there:,}")
    return np.frombuffer(member.read(), dtype).reshape(shape, order="F" if columns_first else "C")
