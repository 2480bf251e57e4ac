"""`.keras` and `.h5` files: models of LSTMs and a linear Dense layer."""

from __future__ import annotations

import logging
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from jax_lstm import interop
from jax_lstm._types import Readout, directions
from jax_lstm.checkpoint import Checkpoint
from jax_lstm.cli._npz import check_unpacked_size
from jax_lstm.interop._keras_model import UNCHANGED, feeds, find_stack, flatten


def read(path: Path, prefix: str | None) -> tuple[Checkpoint, list[str]]:
    """The LSTMs of a model and the linear Dense layer after them, and the other layers by kind and name."""
    model = _load(path)
    layers = flatten(model)
    stack = find_stack(model)
    rest = [layer for layer in layers.values() if not any(layer is one for one in stack)]
    rest = [layer for layer in rest if type(layer).__name__ not in UNCHANGED | {"InputLayer"}]
    readout = None
    for layer in rest:
        linear = type(layer).__name__ == "Dense" and layer.get_config()["activation"] == "linear"
        if linear and feeds(stack[-1], layer, model):
            readout = Readout(*layer.get_weights())
            rest.remove(layer)
            break
    left_out = [f"{type(layer).__name__} {layer.name!r}" for layer in rest]
    return Checkpoint(interop.from_keras(stack), readout), left_out


def write(path: Path, held: Checkpoint) -> None:
    """Write a sequential model: LSTMs that return sequences, and a linear Dense layer where there is a readout."""
    keras = _keras()
    lists = interop.to_keras(held.layers)
    features, dtype = lists[0][0].shape[0], str(lists[0][0].dtype)
    if dtype not in ("float32", "float64"):
        raise ValueError(
            f"layers are {dtype}, which Keras cannot load again from a file: convert them with astype(jnp.float32)"
        )
    model = keras.Sequential([keras.Input((None, features), dtype=dtype)])
    for layer, arrays in zip(held.layers, lists, strict=True):
        sides = len(directions(layer))
        options = {"use_bias": len(arrays) == 3 * sides, "return_sequences": True, "dtype": dtype}
        one = keras.layers.LSTM(arrays[1].shape[0], **options)
        model.add(keras.layers.Bidirectional(one, dtype=dtype) if sides > 1 else one)
        model.layers[-1].set_weights(arrays)
    if held.readout is not None:
        model.add(keras.layers.Dense(held.readout.w.shape[1], use_bias=held.readout.b is not None, dtype=dtype))
        model.layers[-1].set_weights([np.asarray(array) for array in held.readout if array is not None])
    logging.getLogger("absl").setLevel(logging.ERROR)  # Keras advises against .h5, which was asked for
    model.save(path)


def _load(path: Path) -> Any:
    """The model of a file, without executing what it holds."""
    keras = _keras()
    complete = zipfile.is_zipfile(path) if path.suffix.lower() == ".keras" else _is_hdf5(path)
    if not complete:
        raise ValueError(f"{path} is not a complete Keras file: it is truncated, or of another kind")
    check_unpacked_size(path)
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    # of a foreign file: h5py's, zip's and keras's own, without a common type. Keras's message is not repeated: it
    # advises to execute what the file holds
    except Exception as error:
        reason = "it is damaged, or has layers that are not Keras's own"
        raise ValueError(f"{path} cannot be loaded by Keras: {reason}; save a model of Keras's own layers") from error


def _is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5 and complete."""
    import h5py

    try:
        h5py.File(path, "r").close()
    except OSError:
        return False
    return True


def _keras() -> Any:
    """The package `keras` on JAX unless the environment says otherwise, or what to install."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    try:
        import h5py  # noqa: F401  # Keras's files need it
        import keras
    except ImportError as error:
        raise ImportError(".keras and .h5 files need Keras: pip install keras h5py") from error
    return keras
