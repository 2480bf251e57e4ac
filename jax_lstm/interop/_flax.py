"""Flax: the parameters of the LSTM cells of flax.linen and flax.nnx, a nested mapping a cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jax_lstm.interop._layout import Layout, Stored, write
from jax_lstm.interop._stack import as_cells, read_layers, write_layers


def _apart(format: str, forget: str) -> Layout:
    """A dense layer a gate and side; only those of the recurrent side have a bias."""
    sides = tuple(("ii", forget, "ig", "io")), ("hi", "hf", "hg", "ho")
    w_x, w_h = (tuple(f"{dense}/kernel" for dense in side) for side in sides)
    return Layout(format, "ifgo", w_x, w_h, (tuple(f"{dense}/bias" for dense in sides[1]),), bias_needed=True)


FLAX = {
    "linen.LSTMCell": _apart("flax.linen.LSTMCell", "if"),
    "linen.OptimizedLSTMCell": _apart("flax.linen.OptimizedLSTMCell", "if"),
    "nnx.LSTMCell": _apart("flax.nnx.LSTMCell", "if_"),
    "nnx.OptimizedLSTMCell": Layout(
        "flax.nnx.OptimizedLSTMCell", "ifgo", "dense_i/kernel", "dense_h/kernel", ("dense_h/bias",), bias_needed=True
    ),
}


def from_flax(cells) -> tuple:
    """The layers of LSTM cells of Flax: `flax.linen.LSTMCell`, `flax.nnx.LSTMCell` and their `OptimizedLSTMCell`.

    Which of them it is, the keys say. Mind that Flax's carry is `(c, h)`.

    Args:
        cells: a cell's parameters: for linen `variables["params"]` of the cell (in an `nn.RNN`, `variables["params"]["cell"]`), for nnx
            `nnx.to_pure_dict(nnx.state(cell, nnx.Param))`. For a stack, a list with one such mapping a layer; for two directions,
            `jax_lstm.Bidirectional(forward, backward)` of two.

    Returns:
        A tuple of layers for `network`.

    Raises:
        ValueError: a key that is missing or unknown, a shape that does not fit; the message names the key.
        TypeError: no mapping, or no floats.

    >>> import numpy as np
    >>> dense = {"dense_i": {"kernel": np.ones((3, 8), "f")}, "dense_h": {"kernel": np.ones((2, 8), "f"), "bias": np.ones(8, "f")}}
    >>> from_flax(dense)[0].w_h.shape
    (2, 8)
    """
    return read_layers(as_cells(cells, _stored))


def to_flax(layers, cell: str = "linen.LSTMCell") -> tuple:
    """The parameters of Flax cells, one nested mapping a layer: the inverse of `from_flax`.

    Args:
        layers: the layers; Flax has no layer without biases, so that one gets zeros.
        cell: whose names to use: `"linen.LSTMCell"`, `"linen.OptimizedLSTMCell"`, `"nnx.LSTMCell"` or `"nnx.OptimizedLSTMCell"`.

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

    def nested(params, name: str) -> dict[str, dict[str, np.ndarray]]:
        mapping: dict[str, dict[str, np.ndarray]] = {}
        for key, array in write(FLAX[cell], params, name).items():
            dense, kind = key.split("/")
            mapping.setdefault(dense, {})[kind] = array
        return mapping

    return write_layers(layers, nested)


def _stored(cell: Mapping, name: str) -> Stored:
    flat: dict[str, Any] = {}
    for dense, arrays in cell.items():
        flat |= {f"{dense}/{kind}": array for kind, array in arrays.items()} if isinstance(arrays, Mapping) else {dense: arrays}
    for key, known in (("dense_i", "nnx.OptimizedLSTMCell"), ("if_", "nnx.LSTMCell")):
        if key in cell:
            return Stored(FLAX[known], flat, name)
    return Stored(FLAX["linen.LSTMCell"], flat, name)
