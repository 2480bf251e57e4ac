"""hk.LSTM: one matrix for both inputs, and a forget bias of one that is added at run time."""

from __future__ import annotations

from jax_lstm.interop._layout import Layout, Stored, write
from jax_lstm.interop._stack import as_cells, read_layers, write_layers

HAIKU = Layout("haiku.LSTM", "igfo", w_x="w", w_h="w", biases=("b",), bias_needed=True, forget_bias=1.0)


def from_haiku(cells) -> tuple:
    """The layers of `haiku.LSTM` cores.

    Haiku adds one to the forget gate's bias at run time; the layer's `b` has it in. What an export has rounded an import gives back to
    the bit: `from_haiku(to_haiku(from_haiku(w)))` has the bits of `from_haiku(w)`.

    Args:
        cells: a core's parameters, `params["lstm/linear"]`, with the keys "w" and "b". For a stack, a list with one such mapping a
            layer; for two directions, `jax_lstm.Bidirectional(forward, backward)` of two.

    Returns:
        A tuple of layers for `network`.

    Raises:
        ValueError: a key that is missing or unknown, a shape that does not fit; the message names the key.
        TypeError: no mapping, or no floats.

    >>> import numpy as np
    >>> from_haiku({"w": np.ones((5, 8), np.float32), "b": np.zeros(8, np.float32)})[0].b.tolist()
    [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """
    return read_layers(as_cells(cells, lambda arrays, name: Stored(HAIKU, arrays, name)))


def to_haiku(layers) -> tuple:
    """The parameters of Haiku cores, `{"w", "b"}` a layer: the inverse of `from_haiku`.

    One is taken off the forget gate's bias. Where no float is exactly one less, it is rounded: by at most 2⁻²⁴ for a float32 between
    -1 and 1. All else is exact. A layer without biases gets those that act as none.

    Returns:
        A tuple of mappings, `Bidirectional` of two where the layer is.

    Raises:
        ValueError: a variant that Haiku does not have.

    >>> import jax
    >>> from jax_lstm import init_network
    >>> (core,) = to_haiku(init_network(jax.random.key(0), features=3, hidden=[2]))
    >>> core["w"].shape, core["b"].tolist()
    ((5, 8), [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    """
    return write_layers(layers, lambda params, name: write(HAIKU, params, name))
