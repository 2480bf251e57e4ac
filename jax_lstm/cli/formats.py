"""Files that hold an LSTM, by their suffix: each is read into a `Checkpoint` and written from one.

Where there is a readout, a `.pt` file holds the keys `lstm.*`, `readout.weight` and `readout.bias`, and a Keras model ends in a linear
`Dense`. A `.npz` file holds the arrays and the description of a checkpoint.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jax_lstm import checkpoint, interop
from jax_lstm._files import replacing
from jax_lstm._types import Bidirectional, Readout
from jax_lstm.checkpoint import Checkpoint


class Format(NamedTuple):
    """How a kind of file is read, `path -> (Checkpoint, what was left out)`, and written, `(path, Checkpoint) -> None`."""

    read: Callable[[Path], tuple[Checkpoint, list[str]]]
    write: Callable[[Path, Checkpoint], None]
    keeps_metadata: bool = False


def read(path: Path) -> tuple[Checkpoint, list[str]]:
    """What a file holds, and the names of what it holds besides that no `Checkpoint` has room for."""
    one = _format(path)
    path.open("rb").close()  # no file: one error for all formats
    return one.read(path)


def write(path: Path, held: Checkpoint) -> list[str]:
    """Write a file, whole or not at all; the names of what its format has no room for."""
    one = _format(path)
    if held.metadata is not None and not one.keeps_metadata:
        held, left_out = held._replace(metadata=None), ["metadata"]
    else:
        left_out = []
    with replacing(path) as temporary:
        one.write(temporary, held)
    return left_out


def _format(path: Path) -> Format:
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"{path} has the suffix {path.suffix!r}, expected one of {', '.join(FORMATS)}")
    return FORMATS[path.suffix.lower()]


def _read_safetensors(path: Path):
    return checkpoint.load(path), []


def _write_safetensors(path: Path, held: Checkpoint) -> None:
    checkpoint.save(path, *held)


def _read_npz(path: Path):
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            arrays = dict(held)
    except (zipfile.BadZipFile, EOFError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a whole .npz file of plain arrays: {error}") from error
    if "jax_lstm" not in arrays:
        raise ValueError(f"{path} has no array 'jax_lstm' with the description: make it with jax-lstm convert")
    text = str(arrays.pop("jax_lstm"))
    # NumPy's format has no name for bfloat16, so its bits stand there as integers
    arrays = {name: array.view(jnp.bfloat16) if array.dtype == np.uint16 else array for name, array in arrays.items()}
    return checkpoint.build(text, arrays, str(path)), []


def _write_npz(path: Path, held: Checkpoint) -> None:
    text, arrays = checkpoint.describe(held)
    arrays = {name: array.view(np.uint16) if array.dtype == jnp.bfloat16 else array for name, array in arrays.items()}
    np.savez(path, allow_pickle=False, jax_lstm=np.array(text), **arrays)


def _read_torch(path: Path):
    torch = _torch()
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a foreign file: pickle's, zip's and torch's own, without a common type
        raise ValueError(f"{path} cannot be read as weights alone ({_said(error)}): save module.state_dict()") from error
    if not isinstance(stored, dict) or not all(isinstance(value, torch.Tensor) for value in stored.values()):
        raise ValueError(f"{path} holds no dictionary of tensors alone: save module.state_dict()")
    arrays = {
        name: value.view(torch.uint16).numpy().view(jnp.bfloat16) if value.dtype == torch.bfloat16 else value.numpy()
        for name, value in stored.items()
    }
    readout = None
    if "readout.weight" in arrays:
        b = arrays.pop("readout.bias", None)
        readout = Readout(arrays.pop("readout.weight").T, b)
    layers = interop.from_torch(arrays)
    prefix = next(name for name in arrays if name.endswith("weight_ih_l0")).removesuffix("weight_ih_l0")
    return Checkpoint(layers, readout), [name for name in arrays if not name.startswith(prefix)]


def _write_torch(path: Path, held: Checkpoint) -> None:
    torch = _torch()
    arrays = interop.to_torch(held.layers, prefix="" if held.readout is None else "lstm.")
    if held.readout is not None:
        arrays["readout.weight"] = np.array(held.readout.w.T, order="C")
        arrays |= {} if held.readout.b is None else {"readout.bias": np.array(held.readout.b)}
    tensors = {
        name: torch.from_numpy(array.view(np.uint16)).view(torch.bfloat16) if array.dtype == jnp.bfloat16 else torch.from_numpy(array)
        for name, array in arrays.items()
    }
    torch.save(tensors, path)


def _torch():
    try:
        import torch
    except ImportError as error:
        raise ImportError(".pt files need PyTorch: pip install torch") from error
    return torch


def _said(error: Exception) -> str:
    """The first line of a message; PyTorch and Keras write essays."""
    return f"{type(error).__name__}: {str(error).partition(os.linesep)[0]}"


def _read_onnx(path: Path):
    found = interop.from_onnx(path)
    if found.reverse:
        raise ValueError(f"{path} has LSTMs that run backwards alone, which a file of layers does not say: use interop.from_onnx")
    return Checkpoint(found.layers, found.readout), [name for name in ("carries", "lengths") if getattr(found, name) is not None]


def _write_onnx(path: Path, held: Checkpoint) -> None:
    path.write_bytes(interop.to_onnx(held.layers, readout=held.readout).SerializeToString())


def _read_keras(path: Path):
    keras = _keras()
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # of a foreign file: h5py's, zip's and keras's own, without a common type
        raise ValueError(f"{path} cannot be read as a Keras model ({_said(error)})") from error
    lists: list[list[np.ndarray]] = []
    readout = None
    for layer in model.layers:
        kind = type(layer).__name__
        parts = [layer.forward_layer, layer.backward_layer] if kind == "Bidirectional" else [layer]
        if kind in ("InputLayer", "Dropout"):
            continue
        if readout is None and kind == "Dense" and lists and layer.get_config()["activation"] == "linear":
            readout = Readout(*layer.get_weights())
        elif readout is None and all(type(part).__name__ == "LSTM" for part in parts):
            _check_keras(layer, parts)
            lists.append(layer.get_weights())
        else:
            raise ValueError(
                f"{path}: layer {layer.name!r}, a {kind}, is none of LSTM, Bidirectional(LSTM), Dropout and a last linear Dense"
            )
    return Checkpoint(interop.from_keras(lists), readout), []


def _check_keras(layer, parts) -> None:
    """Refuse what another layer of the same weights would compute."""
    expected = {"activation": "tanh", "recurrent_activation": "sigmoid"}
    for part, backwards in zip(parts, (False, True), strict=False):
        config = part.get_config()
        for name, value in (expected | {"go_backwards": backwards}).items():
            if config[name] != value:
                raise ValueError(f"layer {layer.name!r} has {name}={config[name]!r}, expected {value!r}")
    if len(parts) == 2 and layer.merge_mode != "concat":
        raise ValueError(f"layer {layer.name!r} has merge_mode={layer.merge_mode!r}, expected 'concat'")


def _write_keras(path: Path, held: Checkpoint) -> None:
    keras = _keras()
    lists = interop.to_keras(held.layers)
    features, dtype = lists[0][0].shape[0], str(lists[0][0].dtype)
    if dtype not in ("float32", "float64"):
        raise ValueError(f"layers are {dtype}, which Keras cannot load again from a file: convert them with astype(jnp.float32)")
    model = keras.Sequential([keras.Input((None, features), dtype=dtype)])
    for layer, arrays in zip(held.layers, lists, strict=True):
        both = isinstance(layer, Bidirectional)
        options = {"use_bias": len(arrays) == (6 if both else 3), "return_sequences": True, "dtype": dtype}
        one = keras.layers.LSTM(arrays[1].shape[0], **options)
        model.add(keras.layers.Bidirectional(one, dtype=dtype) if both else one)
        model.layers[-1].set_weights(arrays)
    if held.readout is not None:
        model.add(keras.layers.Dense(held.readout.w.shape[1], use_bias=held.readout.b is not None, dtype=dtype))
        model.layers[-1].set_weights([np.asarray(array) for array in held.readout if array is not None])
    model.save(path)


def _keras():
    os.environ.setdefault("KERAS_BACKEND", "jax")
    try:
        import keras
    except ImportError as error:
        raise ImportError(".keras and .h5 files need Keras: pip install keras h5py") from error
    return keras


FORMATS = {
    ".safetensors": Format(_read_safetensors, _write_safetensors, keeps_metadata=True),
    ".npz": Format(_read_npz, _write_npz, keeps_metadata=True),
    ".onnx": Format(_read_onnx, _write_onnx),
    ".pt": Format(_read_torch, _write_torch),
    ".keras": Format(_read_keras, _write_keras),
    ".h5": Format(_read_keras, _write_keras),
}
