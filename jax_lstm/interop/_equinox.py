"""eqx.nn.LSTMCell: two matrices and one bias."""

from __future__ import annotations

from jax_lstm.interop._layout import Layout, Stored, write
from jax_lstm.interop._stack import as_cells, read_layers, write_layers

EQUINOX = Layout("equinox.nn.LSTMCell", "ifgo", w_x="weight_ih", w_h="weight_hh", biases=("bias",), gates_first=True)


def from_equinox(cells) -> tuple:
    """The layers of `equinox.nn.LSTMCell` modules.

    Args:
        cells: a cell's arrays, `{"weight_ih": cell.weight_ih, "weight_hh": cell.weight_hh, "bias": cell.bias}`; the last may be
            None, or not there, as with `use_bias=False`. For a stack, a list with one such mapping a layer; for two directions,
            `jax_lstm.Bidirectional(forward, backward)` of two.

    Returns:
        A tuple of layers for `network`.

    Raises:
        ValueError: a key that is missing or unknown, a shape that does not fit; the message names the key.
        TypeError: no mapping, or no floats.

    >>> import numpy as np
    >>> from_equinox({"weight_ih": np.ones((8, 3), "f"), "weight_hh": np.ones((8, 2), "f"), "bias": None})[0].w_x.shape
    (3, 8)
    """

    def stored(arrays, name: str) -> Stored:
        return Stored(EQUINOX, {key: array for key, array in arrays.items() if key != "bias" or array is not None}, name)

    return read_layers(as_cells(cells, stored))


def to_equinox(layers) -> tuple:
    """The arrays of Equinox cells, one mapping a layer: the inverse of `from_equinox`; put them in place with `equinox.tree_at`.

    A layer without biases gives no "bias": make the cell with `use_bias=False`.

    Returns:
        A tuple of mappings, `Bidirectional` of two where the layer is.

    Raises:
        ValueError: a variant that Equinox does not have.

    >>> import jax
    >>> from jax_lstm import init_network
    >>> {name: array.shape for name, array in to_equinox(init_network(jax.random.key(0), features=3, hidden=[2]))[0].items()}
    {'weight_ih': (8, 3), 'weight_hh': (8, 2), 'bias': (8,)}
    """
    return write_layers(layers, lambda params, name: write(EQUINOX, params, name))
