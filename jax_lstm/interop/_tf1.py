"""TensorFlow 1, tf.nn.rnn_cell: the variables of LSTMCell and BasicLSTMCell, as in a checkpoint."""

from __future__ import annotations

from typing import Any

from jax_lstm._types import Layer
from jax_lstm.interop._find import Cells
from jax_lstm.interop._layout import Layout, Stored, write
from jax_lstm.interop._stack import Layers, read_cells, write_layers

TF1 = Layout(
    "tf.nn.rnn_cell.LSTMCell",
    "igfo",
    w_x="kernel",
    w_h="kernel",
    biases=("bias",),
    bias_needed=True,
    peephole=("w_i_diag", "w_f_diag", "w_o_diag"),
    projection="projection/kernel",
)
_CELLS = Cells("variables of an LSTMCell", frozenset({"kernel", "bias"}), lambda path, node: False)


def from_tf1(cells: Any, *, forget_bias: float = 1.0) -> tuple[Layer, ...]:
    """The layers of TensorFlow 1's `LSTMCell`, with peepholes and projection where it has them, and of `BasicLSTMCell`.

    TensorFlow 1 adds `forget_bias` to the forget gate's bias at run time; the layer's `b` includes it. An import after
    an export gives back the bits of the import before it.

    Args:
        cells: a cell's variables by the end of their names: "kernel", "bias", with peepholes "w_i_diag", "w_f_diag",
            "w_o_diag", with a projection "projection/kernel". For a stack, a list with one such mapping per layer; for
            two directions, `jax_lstm.Bidirectional(forward, backward)` of two.
        forget_bias: what the cell was made with; a checkpoint does not include it. Neither does it include `cell_clip`,
            which is `clip=Clip(cell=…)` of the layer, nor `proj_clip`, which has no counterpart here.

    Returns:
        A tuple of layers for `network`.

    Raises:
        ValueError: a key that is missing or unknown, a shape that does not fit; the message names the key.
        TypeError: another kind of object, or an array that holds no floats.

    >>> import numpy as np
    >>> from_tf1({"kernel": np.ones((5, 8), np.float32), "bias": np.zeros(8, np.float32)})[0].b.tolist()
    [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """
    layout = TF1._replace(forget_bias=forget_bias)
    layers: tuple[Layer, ...] = read_cells(cells, _CELLS, lambda arrays, name: Stored(layout, arrays, name))
    return layers


def to_tf1(layers: Layers, *, forget_bias: float = 1.0) -> tuple[Any, ...]:
    """The variables of TensorFlow 1 cells, one mapping per layer: the inverse of `from_tf1`.

    A forget bias is rounded as in `to_haiku`; with `forget_bias=0.0`, for a cell made so, all is exact. A layer without
    biases gets those that act as none.

    Args:
        layers: a layer or a tuple of layers.
        forget_bias: what the cell is made with.

    Returns:
        A tuple of mappings, `Bidirectional` of two where the layer is.

    Raises:
        ValueError: a variant that TensorFlow 1 does not have.

    >>> import jax
    >>> from jax_lstm import init_network
    >>> sorted(to_tf1(init_network(jax.random.key(0), features=3, hidden=[2], projection=1))[0])
    ['bias', 'kernel', 'projection/kernel']
    """
    layout = TF1._replace(forget_bias=forget_bias)
    return write_layers(layers, lambda params, name: write(layout, params, name))
