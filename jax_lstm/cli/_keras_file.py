"""`.keras` and `.h5` files: models of LSTMs and a linear Dense layer."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np

from jax_lstm import interop
from jax_lstm._types import directions
from jax_lstm.checkpoint import Checkpoint


def read(path: Path, prefix: str | None, readout: str | None) -> tuple[Checkpoint, list[str]]:
    """The LSTMs of a model and the linear Dense layer after them, and the other layers by kind and name."""
    found = interop.read_keras(path, prefix=prefix, readout=readout)
    backwards = ["go_backwards=True (reverse=True of network)"] if found.reverse else []
    table = [] if found.embedding is None else ["the table of the Embedding"]
    return Checkpoint(found.layers, found.readout), [*found.left_out, *backwards, *table]


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


def _keras() -> Any:
    """The package `keras` on JAX unless the environment says otherwise, or what to install."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    try:
        import h5py  # noqa: F401  # Keras's files need it
        import keras
    except ImportError as error:
        raise ImportError("writing .keras and .h5 files needs Keras: pip install keras h5py") from error
    return keras
