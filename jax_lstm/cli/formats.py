"""Files that hold an LSTM, by their suffix: each is read into a `Checkpoint` and written from one.

Where there is a readout, a `.pt` file holds the keys `lstm.*`, `readout.weight` and `readout.bias`, and a Keras model
ends in a linear `Dense`. A `.npz` file holds the arrays and the description of a checkpoint.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from jax_lstm import checkpoint, interop
from jax_lstm._files import regular, replacing
from jax_lstm.checkpoint import Checkpoint
from jax_lstm.cli import _keras_file, _npz, _torch_file


class Format(NamedTuple):
    """How a kind of file is read, to a `Checkpoint` and the names of what it leaves out, and written.

    Args:
        read: `(path, prefix, readout)`, where `prefix` is the path of one LSTM of several, None for the only one, and
            `readout` that of the linear layer after it, None for the one that the file shows to be it.
        write: `(path, checkpoint)`.
        keeps_metadata: whether the file has room for metadata.
        keeps_carries: whether the file has room for initial states.
        has_prefixes: whether the file may hold several LSTMs by path.
        has_heads: whether the file may hold linear layers by path.
    """

    read: Callable[[Path, str | None, str | None], tuple[Checkpoint, list[str]]]
    write: Callable[[Path, Checkpoint], None]
    keeps_metadata: bool = False
    keeps_carries: bool = False
    has_prefixes: bool = False
    has_heads: bool = False


def read(path: Path, prefix: str | None = None, readout: str | None = None) -> tuple[Checkpoint, list[str]]:
    """The content of a file, and the names of what a `Checkpoint` does not include."""
    one = _format(path)
    if prefix is not None and not one.has_prefixes:
        raise ValueError(f"--prefix is {prefix!r}, but {path} has no LSTMs by path: leave it out")
    if readout is not None and not one.has_heads:
        raise ValueError(f"--readout is {readout!r}, but {path} has no linear layers by path: leave it out")
    with regular(path) as file:
        file.open("rb").close()  # no file: one error for all formats
        try:
            return one.read(file, prefix, readout)
        except ValueError as error:
            raise error if str(file) in str(error) else ValueError(f"{file}: {error}") from error


def write(path: Path, held: Checkpoint) -> list[str]:
    """Write a file, completely or not at all; the names of what its format does not hold."""
    one = _format(path)
    left_out = []
    if held.metadata is not None and not one.keeps_metadata:
        held, left_out = held._replace(metadata=None), ["metadata"]
    if held.carries is not None and not one.keeps_carries:
        held, left_out = held._replace(carries=None), [*left_out, "carries"]
    with replacing(path) as temporary:
        try:
            one.write(temporary, held)
        except RuntimeError as error:  # PyTorch's, of a full disk
            raise OSError(f"{path} could not be written: {error}") from error
    return left_out


def _format(path: Path) -> Format:
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"{path} has the suffix {path.suffix!r}, expected one of {', '.join(FORMATS)}")
    return FORMATS[path.suffix.lower()]


def _read_safetensors(path: Path, prefix: str | None, readout: str | None) -> tuple[Checkpoint, list[str]]:
    try:
        held = checkpoint.load(path)
    except ValueError as error:
        if "has no description" not in str(error):
            raise
    else:
        if prefix is not None or readout is not None:
            raise ValueError(f"{path} has no LSTMs by path: leave out --prefix and --readout")
        return held, []
    return _torch_file.read(path, prefix, readout)  # arrays of another program, by the keys of PyTorch


def _write_safetensors(path: Path, held: Checkpoint) -> None:
    checkpoint.save(path, *held)


def _read_onnx(path: Path, prefix: str | None, readout: str | None) -> tuple[Checkpoint, list[str]]:
    logging.getLogger("onnx_ir").setLevel(logging.CRITICAL)  # what it warns of is either harmless or refused here
    found = interop.from_onnx(path, node=prefix, partial=True)
    if found.reverse:
        raise ValueError(
            f"{path} has LSTMs that only run backwards, which a file of layers cannot describe: use interop.from_onnx"
        )
    lengths = ["lengths"] if found.lengths is not None else []
    table = ["the table of the embedding"] if found.embedding is not None else []
    return Checkpoint(found.layers, found.readout, carries=found.carries), [*found.left_out, *lengths, *table]


def _write_onnx(path: Path, held: Checkpoint) -> None:
    path.write_bytes(
        interop.to_onnx(held.layers, readout=held.readout, carries=held.carries or False).SerializeToString()
    )


FORMATS = {
    ".safetensors": Format(
        _read_safetensors,
        _write_safetensors,
        keeps_metadata=True,
        keeps_carries=True,
        has_prefixes=True,
        has_heads=True,
    ),
    ".npz": Format(_npz.read, _npz.write, keeps_metadata=True, keeps_carries=True),
    ".onnx": Format(_read_onnx, _write_onnx, keeps_carries=True, has_prefixes=True),
    **dict.fromkeys(
        (".pt", ".pth", ".ckpt"), Format(_torch_file.read, _torch_file.write, has_prefixes=True, has_heads=True)
    ),
    **dict.fromkeys((".keras", ".h5"), Format(_keras_file.read, _keras_file.write, has_prefixes=True, has_heads=True)),
}
