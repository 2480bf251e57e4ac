"""Flax: the parameters of the LSTM cells of flax.linen and flax.nnx, a nested mapping per cell."""

from __future__ import annotations

from typing import Any

import numpy as np

from jax_lstm._types import Layer, Params
from jax_lstm.interop._arrays import is_array, shape_of
from jax_lstm.interop._find import Cells, Path, children, is_module
from jax_lstm.interop._layout import Layout, Stored, write
from jax_lstm.interop._stack import Layers, as_cells, read_layers, write_layers


def _per_gate(format: str, forget: str) -> Layout:
    """One dense layer per gate and side; only those of the recurrent side have a bias."""
    sides = tuple(("ii", forget, "ig", "io")), ("hi", "hf", "hg", "ho")
    w_x, w_h = (tuple(f"{dense}/kernel" for dense in side) for side in sides)
    return Layout(format, "ifgo", w_x, w_h, (tuple(f"{dense}/bias" for dense in sides[1]),), bias_needed=True)


FLAX = {
    "linen.LSTMCell": _per_gate("flax.linen.LSTMCell", "if"),
    "linen.OptimizedLSTMCell": _per_gate("flax.linen.OptimizedLSTMCell", "if"),
    "nnx.LSTMCell": _per_gate("flax.nnx.LSTMCell", "if_"),
    "nnx.OptimizedLSTMCell": Layout(
        "flax.nnx.OptimizedLSTMCell", "ifgo", "dense_i/kernel", "dense_h/kernel", ("dense_h/bias",), bias_needed=True
    ),
}


def from_flax(cells: Any) -> tuple[Layer, ...]:
    """The layers of LSTM cells of Flax: `flax.linen.LSTMCell`, `flax.nnx.LSTMCell` and their `OptimizedLSTMCell`.

    The keys tell which of them it is. Note that Flax's carry is `(c, h)`.

    Args:
        cells: what holds one cell, at any depth: the variables of a linen module, its parameters, an nnx module, or its
            state, as `nnx.State` or as a pure dictionary. The two cells of Flax's `Bidirectional` with `RNN`s given to
            it count as one. For a stack, a list with one of these per layer; for two directions,
            `jax_lstm.Bidirectional(forward, backward)` of two.

    Returns:
        A tuple of layers for `network`.

    Raises:
        ValueError: a key that is missing or unknown, a shape that does not fit (the message names the key), a model
            with no cell or with several (the message lists their paths).
        TypeError: another kind of object, or an array that holds no floats.

    >>> import numpy as np
    >>> dense_h = {"kernel": np.ones((2, 8), "f"), "bias": np.ones(8, "f")}
    >>> from_flax({"dense_i": {"kernel": np.ones((3, 8), "f")}, "dense_h": dense_h})[0].w_h.shape
    (2, 8)
    """
    return read_layers(as_cells(cells, _CELLS, _stored))


def to_flax(layers: Layers, cell: str = "linen.LSTMCell") -> tuple[Any, ...]:
    """The parameters of Flax cells, one nested mapping per layer: the inverse of `from_flax`.

    Args:
        layers: a layer or a tuple of layers; Flax has no layer without biases, such a one gets zeros.
        cell: whose names to use: `"linen.LSTMCell"`, `"linen.OptimizedLSTMCell"`, `"nnx.LSTMCell"` or
            `"nnx.OptimizedLSTMCell"`.

    Returns:
        A tuple of mappings, `Bidirectional` of two where the layer is.

    Raises:
        ValueError: a variant that Flax does not have, or an unknown cell.

    >>> import jax
    >>> from jax_lstm import init_network
    >>> (cell,) = to_flax(init_network(jax.random.key(0), features=3, hidden=[2]), "nnx.OptimizedLSTMCell")
    >>> sorted(cell), sorted(cell["dense_h"])
    (['dense_h', 'dense_i'], ['bias', 'kernel'])
    """
    if cell not in FLAX:
        raise ValueError(f"cell is {cell!r}, expected one of {', '.join(map(repr, FLAX))}")

    def nested(params: Params, name: str) -> dict[str, dict[str, np.ndarray]]:
        mapping: dict[str, dict[str, np.ndarray]] = {}
        for key, array in write(FLAX[cell], params, name).items():
            dense, kind = key.split("/")
            mapping.setdefault(dense, {})[kind] = array
        return mapping

    return write_layers(layers, nested)


def _is_cell(path: Path, node: Any) -> bool:
    """A cell by its dense layers. nnx's cells of other kinds have "dense_h" as well, with other numbers of gates."""
    dense = children(node)
    if {"ii", "hi"} <= dense.keys():
        return "if" in dense or "if_" in dense
    kernel = shape_of(children(dense.get("dense_h")).get("kernel"))
    return "dense_i" in dense and len(kernel) == 2 and kernel[1] == 4 * kernel[0]


def _stored(cell: Any, name: str) -> Stored:
    flat: dict[str, Any] = {}
    for dense, arrays in children(cell).items():
        if entries := children(arrays):
            flat |= {f"{dense}/{kind}": array for kind, array in entries.items()}
        else:
            flat[dense] = arrays
    if is_module(cell):  # sizes and functions are fields as well, also of the dense layers
        flat = {key: value for key, value in flat.items() if is_array(value) and "/" in key}
    for key, known in (
        ("dense_i/kernel", "nnx.OptimizedLSTMCell"),
        ("dense_h/kernel", "nnx.OptimizedLSTMCell"),
        ("if_/kernel", "nnx.LSTMCell"),
    ):
        if key in flat:
            return Stored(FLAX[known], flat, name)
    return Stored(FLAX["linen.LSTMCell"], flat, name)


_CELLS = Cells(
    "LSTM cells of Flax",
    frozenset({"ii", "if", "if_", "ig", "io", "hi", "hf", "hg", "ho", "dense_i", "dense_h"}),
    _is_cell,
)
