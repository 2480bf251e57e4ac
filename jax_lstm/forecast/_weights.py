"""Networks in safetensors files, and those that come with the package, made by `python -m experiments.pretrain`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jax_lstm._files import replacing
from jax_lstm._types import LSTMParams, Readout
from jax_lstm.forecast._network import Network

FOLDER = Path(__file__).parent / "weights"

FIELDS = ("layer.w_x", "layer.w_h", "layer.b", "readout.w", "readout.b")
"""The arrays of a network in a file."""


def arrays_of(network: Network, prefix: str = "") -> dict[str, np.ndarray]:
    """The arrays of a network by their names in a file."""
    layer, readout = network
    leaves = (layer.w_x, layer.w_h, layer.b, readout.w, readout.b)
    return {prefix + name: np.ascontiguousarray(leaf) for name, leaf in zip(FIELDS, leaves, strict=True)}


def network_of(arrays: Mapping[str, np.ndarray], prefix: str = "") -> Network:
    """The network of such arrays, in float32.

    Raises:
        KeyError: an array that is missing.
    """
    w_x, w_h, b, w, bias = (jnp.asarray(np.asarray(arrays[prefix + name], np.float32)) for name in FIELDS)
    return Network(LSTMParams(w_x, w_h, b), Readout(w, bias))


def write(path: Path, network: Network, about: dict[str, Any]) -> None:
    """Keep a network in float16."""
    arrays = {name: array.astype(np.float16) for name, array in arrays_of(network).items()}
    data = safetensors().save(arrays, {"about": json.dumps(about)})
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@cache
def pretrained(name: str) -> Network:
    """The package's network of a design, "short" or "long"."""
    return network_of(safetensors().load((FOLDER / f"{name}.safetensors").read_bytes()))


def safetensors() -> Any:
    """The library of the files.

    Raises:
        ImportError: it is missing.
    """
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "the forecaster keeps its weights in safetensors files: pip install 'jax_lstm[files]'"
        ) from error
    return safetensors.numpy
