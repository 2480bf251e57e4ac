"""eqx.nn.LSTMCell: two matrices and one bias."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from jax_lstm._types import Layer, Readout
from jax_lstm.interop._arrays import is_array
from jax_lstm.interop._find import Cells, Path, check_not_overridden, children, is_module
from jax_lstm.interop._imported import Imported
from jax_lstm.interop._layout import Layout, Stored, write
from jax_lstm.interop._stack import Layers, read_cells, write_layers

EQUINOX = Layout("equinox.nn.LSTMCell", "ifgo", w_x="weight_ih", w_h="weight_hh", biases=("bias",), gates_first=True)


@overload
def from_equinox(cells: Any, *, readout: None = None, partial: bool = False) -> tuple[Layer, ...]: ...
@overload
def from_equinox(cells: Any, *, readout: str, partial: bool = False) -> tuple[tuple[Layer, ...], Readout]: ...
@overload
def from_equinox(cells: Any, *, readout: str | None = None, embedding: str, partial: bool = False) -> Imported: ...
def from_equinox(
    cells: Any, *, readout: str | None = None, embedding: str | None = None, partial: bool = False
) -> tuple[Layer, ...] | tuple[tuple[Layer, ...], Readout] | Imported:
    """The layers of `equinox.nn.LSTMCell` modules.

    Args:
        cells: a cell, or a module that holds one at any depth; or the arrays of a cell, with the keys "weight_ih",
            "weight_hh" and "bias",
            of which the last may be None or absent, as with `use_bias=False`. For a stack, a list with one of these per
            layer; for two directions, `jax_lstm.Bidirectional(forward, backward)` of two.
        readout: the path of the linear layer that takes the outputs, in a whole model, with nothing between them.
        embedding: the path of the embedding whose rows the cell takes: `xs = embedding[tokens]`.
        partial: leave out everything else that a model holds.

    Returns:
        A tuple of layers for `network`; with `readout`, the pair of these layers and a `Readout`; with
        `embedding`, all as `Imported`.

    Raises:
        ValueError: a key that is missing or unknown, a shape that does not fit (the message names the key), a module
            with no cell or with several (the message lists their paths).
        TypeError: another kind of object, or an array that holds no floats.

    >>> import numpy as np
    >>> from_equinox({"weight_ih": np.ones((8, 3), "f"), "weight_hh": np.ones((8, 2), "f"), "bias": None})[0].w_x.shape
    (3, 8)
    """

    return read_cells(cells, _CELLS, _stored, readout, embedding, partial)


def to_equinox(layers: Layers) -> tuple[Any, ...]:
    """The arrays of Equinox cells, one mapping per layer, for `equinox.tree_at`: the inverse of `from_equinox`.

    A layer without biases gives no "bias": make the cell with `use_bias=False`.

    Args:
        layers: a layer or a tuple of layers.

    Returns:
        A tuple of mappings, `Bidirectional` of two where the layer is.

    Raises:
        ValueError: a variant that Equinox does not have.

    >>> import jax
    >>> from jax_lstm import init_network
    >>> (cell,) = to_equinox(init_network(jax.random.key(0), features=3, hidden=[2]))
    >>> {name: array.shape for name, array in cell.items()}
    {'weight_ih': (8, 3), 'weight_hh': (8, 2), 'bias': (8,)}
    """
    return write_layers(layers, lambda params, name: write(EQUINOX, params, name))


def _is_cell(path: Path, node: Any) -> bool:
    """An `LSTMCell`, or its arrays in a mapping; a `GRUCell` has the same keys and a "bias_n"."""
    if is_module(node):
        return any(kind.__name__ == "LSTMCell" for kind in type(node).__mro__)
    keys = children(node).keys()
    return {"weight_ih", "weight_hh"} <= keys and "bias_n" not in keys


def _check(nodes: Sequence[Any], name: str) -> None:
    """A refusal of a cell with a `__call__` of its own."""
    if any(kind.__name__ == "LSTMCell" for kind in type(nodes[-1]).__mro__):
        check_not_overridden(nodes[-1], "__call__", name, "give its arrays")


def _stored(cell: Any, name: str) -> Stored:
    arrays: dict[str, np.ndarray] = children(cell)
    if is_module(cell):  # the sizes are fields as well
        arrays = {key: value for key, value in arrays.items() if is_array(value)}
    return Stored(EQUINOX, {key: array for key, array in arrays.items() if key != "bias" or array is not None}, name)


_CELLS = Cells(
    "LSTM cells of Equinox",
    frozenset({"weight_ih", "weight_hh"}),
    _is_cell,
    ".",
    _check,
    ("weight", "bias"),
    "weight",
    True,
)
