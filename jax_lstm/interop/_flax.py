"""Flax: the parameters of the LSTM cells of flax.linen and flax.nnx, a nested mapping per cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm._types import Layer, Params, Readout
from jax_lstm.interop._arrays import is_array, shape_of
from jax_lstm.interop._find import Cells, Path, check_not_overridden, children, is_module
from jax_lstm.interop._imported import Imported
from jax_lstm.interop._layout import Layout, Stored, write
from jax_lstm.interop._stack import Layers, read_cells, write_layers


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


@overload
def from_flax(cells: Any, *, readout: None = None, partial: bool = False) -> tuple[Layer, ...]: ...
@overload
def from_flax(cells: Any, *, readout: str, partial: bool = False) -> tuple[tuple[Layer, ...], Readout]: ...
@overload
def from_flax(cells: Any, *, readout: str | None = None, embedding: str, partial: bool = False) -> Imported: ...
def from_flax(
    cells: Any, *, readout: str | None = None, embedding: str | None = None, partial: bool = False
) -> tuple[Layer, ...] | tuple[tuple[Layer, ...], Readout] | Imported:
    """The layers of LSTM cells of Flax: `flax.linen.LSTMCell`, `flax.nnx.LSTMCell` and their `OptimizedLSTMCell`.

    The keys tell which of them it is. Note that Flax's carry is `(c, h)`. Of an nnx module, `gate_fn`, `activation_fn`,
    `carry_init`, `merge_fn` and `reverse` are checked, and refused if they are not the usual ones; variables and states
    do not hold them, so that they are yours to check.

    Args:
        cells: what holds one cell, at any depth: the variables of a linen module, its parameters, an nnx module, or its
            state, as `nnx.State` or as a pure dictionary. The two cells of Flax's `Bidirectional` with `RNN`s given to
            it count as one. For a stack, a list with one of these per layer; for two directions,
            `jax_lstm.Bidirectional(forward, backward)` of two.
        readout: the path of the linear layer that takes the outputs, in a whole model, with nothing between them.
        embedding: the path of the embedding whose rows the cell takes: `xs = embedding[tokens]`.
        partial: leave out everything else that a model holds.

    Returns:
        A tuple of layers for `network`; with `readout`, the pair of these layers and a `Readout`; with
        `embedding`, all as `Imported`.

    Raises:
        ValueError: a key that is missing or unknown, a shape that does not fit (the message names the key), a model
            with no cell or with several (the message lists their paths).
        TypeError: another kind of object, or an array that holds no floats.

    >>> import numpy as np
    >>> dense_h = {"kernel": np.ones((2, 8), "f"), "bias": np.ones(8, "f")}
    >>> from_flax({"dense_i": {"kernel": np.ones((3, 8), "f")}, "dense_h": dense_h})[0].w_h.shape
    (2, 8)
    """
    return read_cells(cells, _CELLS, _stored, readout, embedding, partial)


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


def _check(nodes: Sequence[Any], name: str) -> None:
    """A refusal of an nnx module that computes something else with the same arrays."""
    node, parent = nodes[-1], nodes[-2] if len(nodes) > 1 else None
    kinds = {kind.__name__ for kind in type(node).__mro__ if kind.__module__.startswith("flax.")}
    if kinds & {"RNN", "Bidirectional", "LSTMCell", "OptimizedLSTMCell"}:
        check_not_overridden(node, "__call__", name, "give the state of its cell, nnx.state(cell)")
    if "RNN" in kinds and node.reverse and type(parent).__name__ != "Bidirectional":
        raise ValueError(
            f"{name} has reverse=True, which a tuple of layers does not hold: give its cell, and reverse=True to "
            "network"
            + ("" if node.keep_order else ", whose outputs stay in the order of the inputs: hs[::-1] is that of Flax")
        )
    if "Bidirectional" in kinds and not _agrees(node.merge_fn, _joined, (jnp.ones((1, 2)), jnp.zeros((1, 3)))):
        raise ValueError(f"{name} has a merge_fn of its own, expected a concatenation: give Bidirectional(cell, cell)")
    if kinds & {"LSTMCell", "OptimizedLSTMCell"}:
        grid = (jnp.linspace(-8, 8, 65),)
        for option, expected in (("gate_fn", jax.nn.sigmoid), ("activation_fn", jnp.tanh)):
            if not _agrees(getattr(node, option), expected, grid):
                raise ValueError(
                    f"{name} has a {option} of its own, expected {expected.__name__}: network has no others"
                )
        initial = getattr(node, "carry_init", None)
        if initial is not None and not _agrees(initial, jnp.zeros, ((2, 3), jnp.float32), (jax.random.key(0),)):
            raise ValueError(
                f"{name} has a carry_init of its own, expected zeros: give its arrays, and carries to network"
            )


def _agrees(function: Any, expected: Any, arguments: tuple[Any, ...], first: tuple[Any, ...] = ()) -> bool:
    """Whether a function gives what another one does, by its values: wrapped functions are equal too."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        try:
            given, wanted = function(*first, *arguments), expected(*arguments)
        except Exception:  # of somebody else's function, any
            return False
    return np.shape(given) == wanted.shape and bool(np.allclose(given, wanted, rtol=1e-6, atol=1e-6))


def _joined(forward: Any, backward: Any) -> Any:
    return jnp.concatenate([forward, backward], axis=-1)


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
    check=_check,
)
