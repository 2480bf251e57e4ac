"""keras.layers.LSTM and Bidirectional: `get_weights()`, a list of arrays for each layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from jax_lstm._types import Layer, Readout, directions
from jax_lstm.interop._arrays import is_array
from jax_lstm.interop._find import check_not_overridden
from jax_lstm.interop._imported import Imported
from jax_lstm.interop._keras_graph import Part
from jax_lstm.interop._keras_layer import KERAS, goes_backwards, is_lstm, layers_of, stored
from jax_lstm.interop._keras_model import read_model
from jax_lstm.interop._layout import Stored, write
from jax_lstm.interop._stack import Layers, join_directions, read_layers, refuse_left_out, write_layers


@overload
def from_keras(
    weights: Any, *, prefix: str | None = None, readout: None = None, partial: bool = False
) -> tuple[Layer, ...]: ...
@overload
def from_keras(
    weights: Any, *, prefix: str | None = None, readout: str, partial: bool = False
) -> tuple[tuple[Layer, ...], Readout]: ...
@overload
def from_keras(
    weights: Any, *, prefix: str | None = None, readout: str | None = None, embedding: str, partial: bool = False
) -> Imported: ...
def from_keras(
    weights: Any,
    *,
    prefix: str | None = None,
    readout: str | None = None,
    embedding: str | None = None,
    partial: bool = False,
) -> tuple[Layer, ...] | tuple[tuple[Layer, ...], Readout] | Imported:
    """The layers of `keras.layers.LSTM`, `Bidirectional(LSTM)` and `RNN` of `LSTMCell`, of Keras 2, 3 or TensorFlow.

    Keras stores the unit forget bias as it is used: nothing changes on the way. `network` concatenates the two
    directions, as `merge_mode="concat"` does. For the other modes give `layer.get_weights()`, and after
    `forward, backward = jnp.split(hs, 2, axis=-1)`, "sum" is `forward + backward`, "mul" is `forward * backward`, and
    "ave" is `(forward + backward) / 2`. `read_keras` reads files.

    A normalization of the inputs by `Normalization`, `Rescaling` or `BatchNormalization` becomes part of the first
    layer, as by `fold_inputs`.

    Args:
        weights: a Sequential or Functional model with an LSTM or a stack of them, a layer, or its `get_weights()`:
            kernel, recurrent kernel and, where there is one, bias; for `Bidirectional` those of the forward layer and
            then those of the backward layer. For a stack, a list with one layer or one `get_weights()` per layer.
        prefix: the path of an LSTM in a model, as in "encoder/lstm": its stack is taken, and the rest is left out.
        readout: the path of a linear `Dense` after the stack.
        embedding: the path of the `Embedding` in front of the stack: `xs = embedding[tokens]`.
        partial: leave out the other layers of a model.

    Returns:
        A tuple of layers for `network`, `Bidirectional(forward, backward)` for two directions; with `readout`, the pair
        of these layers and a `Readout`; with `embedding`, all as `Imported`.

    Raises:
        ValueError: a list of another length, a shape that does not fit (the message names its place), a layer that
            computes something else (its activations, `go_backwards`, `merge_mode`, a `call` of its own), a model with
            more than its LSTMs, or with several that are no stack (the message lists them).
        TypeError: another kind of object, or an array that holds no floats.

    >>> import numpy as np
    >>> (layer,) = from_keras([np.ones((3, 8), np.float32), np.ones((2, 8), np.float32)])
    >>> layer.w_x.shape, layer.b
    ((3, 8), None)
    """
    if hasattr(weights, "layers"):
        return _from_model(weights, prefix, readout, embedding, partial)
    if any(given is not None for given in (prefix, readout, embedding)):
        raise ValueError(
            f"weights is a {type(weights).__name__}, expected a model, as prefix, readout or embedding was given"
        )
    if hasattr(weights, "get_weights") or (
        isinstance(weights, list | tuple) and weights and all(map(is_array, weights))
    ):
        return read_layers(_stored(weights, "weights"))
    if not isinstance(weights, list | tuple) or not weights:
        kind = type(weights).__name__
        raise TypeError(
            f"weights is a {kind}, expected a model, a layer, its get_weights(), or a list of them, one per layer"
        )
    return read_layers(cell for k, one in enumerate(weights) for cell in _stored(one, f"weights[{k}]"))


def _from_model(
    model: Any, prefix: str | None, readout: str | None, embedding: str | None, partial: bool
) -> tuple[Layer, ...] | tuple[tuple[Layer, ...], Readout] | Imported:
    """The layers of a live model, and its readout and embedding where they are asked for."""
    check_not_overridden(model, "call", "model", "give one of its LSTM layers to from_keras")

    def weights(part: Part) -> list[Any]:
        layer = model
        for name in part.path.split("/"):
            layer = layer.get_layer(name)
        _check_live(layer)
        return list(layer.get_weights())

    serialized = {"class_name": type(model).__name__, "config": model.get_config()}
    read, head, table = read_model(serialized, weights, prefix, readout)
    if embedding not in (None, table):
        there = "none" if table is None else repr(table)
        raise ValueError(f"embedding is {embedding!r}, expected the Embedding in front of the LSTM: there is {there}")
    if read.reverse:
        raise ValueError(
            "the model has go_backwards=True, which a tuple of layers does not hold: give layer.get_weights() to "
            "from_keras, and reverse=True to network, whose outputs stay in the order of the inputs"
        )
    if prefix is None and not partial:
        found = [] if head is None or readout is not None else [f"Dense {head!r} (take it with readout={head!r})"]
        if table is not None and embedding is None:
            found.append(f"Embedding {table!r} (take it with embedding={table!r})")
        refuse_left_out("the model", [*found, *read.left_out])
    if embedding is not None:
        return read if readout is not None else read._replace(readout=None)
    if readout is None:
        return read.layers
    assert read.readout is not None  # read_model refuses a path that is none
    return read.layers, read.readout


def to_keras(layers: Layers) -> list[list[np.ndarray]]:
    """One list per layer, for `layer.set_weights(weights[k])`: the inverse of `from_keras`.

    A layer without biases gives no bias: make the Keras layer with `use_bias=False`.

    Args:
        layers: a layer or a tuple of layers.

    Returns:
        A list of `get_weights()` lists.

    Raises:
        ValueError: a variant that Keras does not have, or a `Bidirectional` with biases in one direction alone.

    >>> import jax
    >>> from jax_lstm import init_network
    >>> (weights,) = to_keras(init_network(jax.random.key(0), features=3, hidden=[2]))
    >>> [array.shape for array in weights]
    [(3, 8), (2, 8), (8,)]
    """
    lists = []
    for k, cell in enumerate(write_layers(layers, lambda params, name: write(KERAS, params, name))):
        sides = [arrays for _, arrays in directions(cell)]
        if len({len(arrays) for arrays in sides}) > 1:
            raise ValueError(
                f"layers[{k}] has biases in one direction alone, "
                "which the keras.layers.Bidirectional format cannot hold"
            )
        lists.append([array for arrays in sides for array in arrays.values()])
    return lists


def _stored(weights: Any, name: str) -> list[Any]:
    """The arrays of a layer, or of a `get_weights()` list."""
    if hasattr(weights, "get_weights"):
        return _stored_layer(weights)
    if not isinstance(weights, Sequence) or not all(map(is_array, weights)):
        raise TypeError(
            f"{name} is a {type(weights).__name__}, expected a layer or its get_weights(), a list of arrays"
        )
    if len(weights) not in (2, 3, 4, 6):
        raise ValueError(
            f"{name} has {len(weights)} arrays, expected 2 or 3 (an LSTM without or with bias), or 4 or 6 "
            "(Bidirectional): build the layer, and give one list per layer"
        )
    half = len(weights) if len(weights) < 4 else len(weights) // 2
    parts = [weights[start : start + half] for start in range(0, len(weights), half)]
    return [join_directions([Stored(KERAS, dict(enumerate(part)), name) for part in parts])]


def _stored_layer(layer: Any) -> list[Any]:
    """The arrays of a live layer, whose options are checked."""
    kind, config = type(layer).__name__, layer.get_config()
    _check_live(layer)
    if not is_lstm(kind, config):
        raise ValueError(f"layer {layer.name!r} is a {kind}, expected an LSTM or a Bidirectional(LSTM)")
    if goes_backwards(kind, config):
        raise ValueError(
            f"layer {layer.name!r} has go_backwards=True, which a tuple of layers does not hold: give "
            "layer.get_weights() to from_keras, and reverse=True to network"
        )
    return stored(layers_of(kind, config, layer.name), layer.get_weights(), f"layer {layer.name!r}")


def _check_live(layer: Any) -> None:
    """A refusal of a layer, or of one in it, with a `call` of its own."""
    inner = [getattr(layer, name, None) for name in ("layer", "forward_layer", "backward_layer", "cell")]
    for one in (layer, *inner, *(getattr(getattr(layer, "cell", None), "cells", None) or ())):
        if one is not None:
            check_not_overridden(one, "call", f"layer {getattr(one, 'name', '')!r}", "give its get_weights()")
