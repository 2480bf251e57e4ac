"""keras.layers.LSTM and Bidirectional: `get_weights()`, a list of arrays for each layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jax_lstm._types import Layer, directions
from jax_lstm.interop._arrays import is_array
from jax_lstm.interop._keras_model import check_layer, find_stack
from jax_lstm.interop._layout import Layout, Stored, write
from jax_lstm.interop._stack import Layers, join_directions, read_layers, write_layers

KERAS = Layout("keras.layers.LSTM", "ifgo", w_x=0, w_h=1, biases=(2,))


def from_keras(weights: Any) -> tuple[Layer, ...]:
    """The layers of `keras.layers.LSTM` and `keras.layers.Bidirectional(LSTM)`, of Keras 2, 3 or TensorFlow.

    Keras stores the unit forget bias as it is used: nothing changes on the way. `network` concatenates the two
    directions, as `merge_mode="concat"` does. For the other modes give `layer.get_weights()`, and after
    `forward, backward = jnp.split(hs, 2, axis=-1)`, "sum" is `forward + backward`, "mul" is `forward * backward`, and
    "ave" is `(forward + backward) / 2`.

    Args:
        weights: a model with an LSTM or a stack of them, a layer, or its `get_weights()`: kernel, recurrent kernel and,
            where there is one, bias; for `Bidirectional` those of the forward layer and then those of the backward
            layer. For a stack, a list with one layer or one `get_weights()` per layer.

    Returns:
        A tuple of layers for `network`, `Bidirectional(forward, backward)` for two directions.

    Raises:
        ValueError: a list of another length, a shape that does not fit (the message names its place), a layer that
            computes something else (its activations, `go_backwards`, `merge_mode`), a model with several LSTMs that are
            no stack (the message lists them).
        TypeError: another kind of object, or an array that holds no floats.

    >>> import numpy as np
    >>> (layer,) = from_keras([np.ones((3, 8), np.float32), np.ones((2, 8), np.float32)])
    >>> layer.w_x.shape, layer.b
    ((3, 8), None)
    """
    if hasattr(weights, "layers"):
        return from_keras(find_stack(weights))
    if hasattr(weights, "get_weights") or (
        isinstance(weights, list | tuple) and weights and all(map(is_array, weights))
    ):
        return read_layers([_stored(weights, "weights")])
    if not isinstance(weights, list | tuple) or not weights:
        kind = type(weights).__name__
        raise TypeError(
            f"weights is a {kind}, expected a model, a layer, its get_weights(), or a list of them, one per layer"
        )
    return read_layers(_stored(one, f"weights[{k}]") for k, one in enumerate(weights))


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


def _stored(weights: Any, name: str) -> Any:
    """The arrays of a layer, or of a `get_weights()` list."""
    if hasattr(weights, "get_weights"):
        check_layer(weights)
        weights = weights.get_weights()
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
    return join_directions([Stored(KERAS, dict(enumerate(part)), name) for part in parts])
