"""Files that hold an LSTM, by their suffix: each is read into a `Checkpoint` and written from one.

Where there is a readout, a `.pt` file holds the keys `lstm.*`, `readout.weight` and `readout.bias`, and a Keras model
ends in a linear `Dense`. A `.npz` file holds the arrays and the description of a checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from jax_lstm import checkpoint, interop
from jax_lstm._files import replacing
from jax_lstm.checkpoint import Checkpoint
from jax_lstm.cli import _keras_file, _npz, _torch_file


class Format(NamedTuple):
    """How a kind of file is read, to a `Checkpoint` and the names of what it leaves out, and written.

    Args:
        read: `(path, prefix)`, where `prefix` is the path of one LSTM of several, None for the only one.
        write: `(path, checkpoint)`.
        keeps_metadata: whether the file has room for metadata.
        has_prefixes: whether the file may hold several LSTMs by path.
    """

    read: Callable[[Path, str | None], tuple[Checkpoint, list[str]]]
    write: Callable[[Path, Checkpoint], None]
    keeps_metadata: bool = False
    has_prefixes: bool = False


def read(path: Path, prefix: str | None = None) -> tuple[Checkpoint, list[str]]:
    """What a file holds, and the names of what it holds besides that a `Checkpoint` does not include."""
    one = _format(path)
    if prefix is not None and not one.has_prefixes:
        raise ValueError(f"--prefix is {prefix!r}, but {path} has no LSTMs by path: leave it away, it is for .pt files")
    path.open("rb").close()  # no file: one error for all formats
    return one.read(path, prefix)


def write(path: Path, held: Checkpoint) -> list[str]:
    """Write a file, completely or not at all; the names of what its format does not hold."""
    one = _format(path)
    left_out = []
    if held.metadata is not None and not one.keeps_metadata:
        held, left_out = held._replace(metadata=None), ["metadata"]
    with replacing(path) as temporary:
        one.write(temporary, held)
    return left_out


def _format(path: Path) -> Format:
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"{path} has the suffix {path.suffix!r}, expected one of {', '.join(FORMATS)}")
    return FORMATS[path.suffix.lower()]


def _read_safetensors(path: Path, prefix: str | None) -> tuple[Checkpoint, list[str]]:
    return checkpoint.load(path), []


def _write_safetensors(path: Path, held: Checkpoint) -> None:
    checkpoint.save(path, *held)


def _read_onnx(path: Path, prefix: str | None) -> tuple[Checkpoint, list[str]]:
    try:
        found = interop.from_onnx(path, partial=True)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if found.reverse:
        raise ValueError(
            f"{path} has LSTMs that run backwards alone, which a file of layers does not hold: use interop.from_onnx"
        )
    states = [name for name in ("carries", "lengths") if getattr(found, name) is not None]
    return Checkpoint(found.layers, found.readout), [*found.left_out, *states]


def _write_onnx(path: Path, held: Checkpoint) -> None:
    path.write_bytes(interop.to_onnx(held.layers, readout=held.readout).SerializeToString())


FORMATS = {
    ".safetensors": Format(_read_safetensors, _write_safetensors, keeps_metadata=True),
    ".npz": Format(_npz.read, _npz.write, keeps_metadata=True),
    ".onnx": Format(_read_onnx, _write_onnx),
    ".pt": Format(_torch_file.read, _torch_file.write, has_prefixes=True),
    ".keras": Format(_keras_file.read, _keras_file.write),
    ".h5": Format(_keras_file.read, _keras_file.write),
}
