"""cuDNN, as `jax.experimental.rnn` has it: one flat buffer, all matrices and then all biases."""

from __future__ import annotations

import math

import numpy as np

from jax_lstm._annotations import Float
from jax_lstm._types import Layer, directions
from jax_lstm.interop._layout import Layout, Stored, write
from jax_lstm.interop._stack import Layers, join_directions, read_layers, refuse_uneven, write_layers

CUDNN = Layout("cuDNN", "ifgo", w_x="W_ih", w_h="W_hh", biases=("b_ih", "b_hh"), bias_needed=True, gates_first=True)


def from_cudnn(
    weights: Float[np.ndarray, " parameters"],
    *,
    features: int,
    hidden: int,
    layers: int = 1,
    bidirectional: bool = False,
) -> tuple[Layer, ...]:
    """The layers of the flat `weights` of `jax.experimental.rnn.lstm`.

    cuDNN adds two biases, `b_ih` and `b_hh`; the layer has their sum. A buffer for ROCm has two gates in another order:
    convert it with `jax.experimental.rnn.swap_lstm_gates` first.

    Args:
        weights: `(parameters,)`, as from `jax.experimental.rnn.init_lstm_weight`.
        features: its `input_size`. hidden: its `hidden_size`. layers: its `num_layers`. bidirectional: as there.

    Returns:
        A tuple of layers for `network`, `Bidirectional(forward, backward)` for two directions.

    Raises:
        ValueError: a buffer of another size. TypeError: an array of another kind than floats.

    >>> import numpy as np
    >>> from_cudnn(np.zeros(4 * 2 * (3 + 2 + 2), np.float32), features=3, hidden=2)[0].w_x.shape
    (3, 8)
    """
    for name, value in {"features": features, "hidden": hidden, "layers": layers}.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} is {value!r}, expected a whole number of at least 1")
    flat = np.asarray(weights)
    sides = 1 + bool(bidirectional)
    wide = 4 * hidden
    places, at = [], 0
    for cell, key in _order(layers * sides):
        inputs = features if cell < sides else sides * hidden
        shape = {"W_ih": (wide, inputs), "W_hh": (wide, hidden)}.get(key, (wide,))
        places.append((cell, key, slice(at, at := at + math.prod(shape)), shape))
    if flat.shape != (at,):
        sizes = f"features={features}, hidden={hidden}, layers={layers}, bidirectional={bidirectional}"
        raise ValueError(f"weights has shape {flat.shape}, expected ({at},) for {sizes}")
    cells: list[dict[str, np.ndarray]] = [{} for _ in range(layers * sides)]
    for cell, key, part, shape in places:
        cells[cell][key] = flat[part].reshape(shape)
    stored = [Stored(CUDNN, arrays, "weights") for arrays in cells]
    return read_layers(join_directions(stored[first : first + sides]) for first in range(0, len(stored), sides))


def to_cudnn(layers: Layers) -> Float[np.ndarray, " parameters"]:
    """The flat buffer `(parameters,)` of `jax.experimental.rnn.lstm`: the inverse of `from_cudnn`.

    All of a bias goes into `b_ih`, and `b_hh` is zero; a layer without biases gets zeros.

    Args:
        layers: a layer or a tuple of layers, all with the same number of units and directions, as cuDNN has it.

    Raises:
        ValueError: a variant that cuDNN's buffer does not have, or layers that differ.

    >>> import jax
    >>> from jax_lstm import init_network
    >>> to_cudnn(init_network(jax.random.key(0), features=3, hidden=[2])).shape
    (56,)
    """
    written = write_layers(layers, lambda params, name: write(CUDNN, params, name))
    stack = [[arrays for _, arrays in directions(layer)] for layer in written]
    refuse_uneven(stack, "cuDNN buffer", w_h="W_hh")
    cells = [arrays for sides in stack for arrays in sides]
    return np.concatenate([cells[cell][key].reshape(-1) for cell, key in _order(len(cells))])


def _order(cells: int) -> list[tuple[int, str]]:
    """The order of the arrays in the buffer; a cell is one direction of one layer, directions interleaved."""
    return [(cell, key) for keys in (("W_ih", "W_hh"), ("b_ih", "b_hh")) for cell in range(cells) for key in keys]
