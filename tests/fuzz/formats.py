"""The formats that the package reads, and how each is read here."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

SEEDS = Path(__file__).with_name("seeds")
FOUND = Path(__file__).with_name("found")


class Format(NamedTuple):
    """A format.

    Args:
        read: the content of a file; it refuses by a `ValueError` or an `OSError`.
        has_checksum: whether damaged content is always seen.
        needs: the libraries, loaded once before the processes that read are forked.
        shown: whether `jax-lstm show` prints it.
    """

    read: Callable[[Path], Any]
    has_checksum: bool
    needs: tuple[str, ...] = ()
    shown: bool = True


@cache
def seeds(name: str) -> tuple[Path, ...]:
    """The valid files of a format; models, which are large and regular, are kept packed."""
    return tuple(_unpacked(path) if path.name.endswith(".safetensors.gz") else path for path in _files(SEEDS, name))


@cache
def found(name: str) -> tuple[Path, ...]:
    """The mutants of a format that once failed."""
    return tuple(_unpacked(path) if path.name.endswith(".safetensors.gz") else path for path in _files(FOUND, name))


def _files(folder: Path, name: str) -> list[Path]:
    return sorted(folder.glob(f"{name}-*"))


def _unpacked(path: Path) -> Path:
    """A copy of a packed file, for as long as this process lives."""
    copy = Path(_folder().name, path.name.removesuffix(".gz"))
    copy.write_bytes(gzip.decompress(path.read_bytes()))
    return copy


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="jax_lstm-fuzz-seeds-")


def _weights(path: Path) -> Any:
    from jax_lstm.cli import formats

    return formats.read(path)


def _forecaster(path: Path) -> Any:
    from jax_lstm import forecast

    return forecast.load(path)


def _table(path: Path) -> Any:
    from jax_lstm import tables

    return tables.read_table(path)


os.environ.setdefault("KERAS_BACKEND", "jax")
FORMATS = {
    "safetensors": Format(_weights, True, ("safetensors.numpy", "rich.table")),
    "npz": Format(_weights, True, ("rich.table",)),
    "model": Format(_forecaster, True, ("safetensors.numpy", "jax_lstm.forecast")),
    "onnx": Format(_weights, False, ("onnx", "onnx_ir", "rich.table")),
    "pt": Format(_weights, True, ("torch", "rich.table")),
    "keras": Format(_weights, True, ("h5py", "rich.table")),
    "h5": Format(_weights, False, ("h5py", "rich.table")),
    "csv": Format(_table, False, ("jax_lstm.tables", "pandas"), shown=False),
    "json": Format(_table, False, ("jax_lstm.tables", "pandas"), shown=False),
    "gz": Format(_table, False, ("jax_lstm.tables", "pandas"), shown=False),
    "xlsx": Format(_table, False, ("jax_lstm.tables", "pandas", "python_calamine"), shown=False),
    "parquet": Format(_table, False, ("jax_lstm.tables", "pandas", "pyarrow.parquet", "pyarrow.feather"), shown=False),
}
