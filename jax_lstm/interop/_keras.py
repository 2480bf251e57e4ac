"""keras.layers.LSTM and Bidirectional: `get_weights()`, a list of arrays for each layer."""

from __future__ import annotations

import numpy as np

from jax_lstm._types import Bidirectional
from jax_lstm.interop._layout import Layout, Stored, write
from jax_lstm.interop._stack import read_layers, write_layers

KERAS = Layout("keras.layers.LSTM", "ifgo", w_x=0, w_h=1, biases=(2,))


def from_keras(weights) -> tuple:
    """The layers of a stack of `keras.layers.LSTM` and `keras.layers.Bidirectional(LSTM)`, of Keras 2, 3 or TensorFlow.

    Keras stores the unit forget bias as it is used: nothing changes on the way.

    Args:
        weights: one `get_weights()` list a layer, `[layer.get_weights() for layer in lstm_layers]`: kernel, recurrent kernel and, where
            there is one, bias; for `Bidirectional` those of the forward layer and then those of the backward layer.

    Returns:
        A tuple of layers for `network`, `Bidirectional(forward, backward)` for two directions.

    Raises:
        ValueError: a list of another length, or a shape that does not fit; the message names its place. TypeError: no lists, no floats.

    >>> import numpy as np
    >>> (layer,) = from_keras([[np.ones((3, 8), np.float32), np.ones((2, 8), np.float32)]])
    >>> layer.w_x.shape, layer.b
    ((3, 8), None)
    """
    if not isinstance(weights, list | tuple) or not weights or not all(isinstance(arrays, list | tuple) for arrays in weights):
        raise TypeError("weights is not a list of lists, expected one list a layer: [layer.get_weights() for layer in lstm_layers]")
    return read_layers(_stored(arrays, f"weights[{k}]") for k, arrays in enumerate(weights))


def to_keras(layers) -> list[list[np.ndarray]]:
    """One list a layer, for `layer.set_weights(weights[k])`: the inverse of `from_keras`.

    A layer without biases gives no bias: make the Keras layer with `use_bias=False`.

    Raises:
        ValueError: a variant that Keras does not have, or a `Bidirectional` with biases in one direction alone.

    >>> import jax
    >>> from jax_lstm import init_network
    >>> [[array.shape for array in arrays] for arrays in to_keras(init_network(jax.random.key(0), features=3, hidden=[2]))]
    [[(3, 8), (2, 8), (8,)]]
    """
    lists = []
    for k, cell in enumerate(write_layers(layers, lambda params, name: write(KERAS, params, name))):
        directions = list(cell) if isinstance(cell, Bidirectional) else [cell]
        if len({len(arrays) for arrays in directions}) > 1:
            raise ValueError(f"layers[{k}] has biases in one direction alone, which the keras.layers.Bidirectional format cannot hold")
        lists.append([array for arrays in directions for array in arrays.values()])
    return lists


def _stored(arrays, name: str) -> Stored | Bidirectional:
    if len(arrays) in (2, 3):
        return Stored(KERAS, dict(enumerate(arrays)), name)
    if len(arrays) in (4, 6):
        half = len(arrays) // 2
        return Bidirectional(*(Stored(KERAS, dict(enumerate(part)), name) for part in (arrays[:half], arrays[half:])))
    raise ValueError(f"{name} has {len(arrays)} arrays, expected 2 or 3 (an LSTM without or with bias), or 4 or 6 (Bidirectional)")
