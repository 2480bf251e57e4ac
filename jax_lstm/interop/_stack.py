"""Stacks in a format's layout: layers after each other, one or two directions each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jax_lstm._types import Bidirectional, LSTMParams, Params
from jax_lstm.interop._layout import Stored, read


def read_layers(cells: Iterable[Stored | Bidirectional]) -> tuple[Params | Bidirectional, ...]:
    """The layers of a stack, each checked against the one before it."""
    layers: list[Params | Bidirectional] = []
    features = None
    for cell in cells:
        if isinstance(cell, Bidirectional):
            forward = read(cell.forward, features)
            backward = read(cell.backward, forward.w_x.shape[0])
            layers.append(Bidirectional(forward, backward))
            features = forward.w_h.shape[0] + backward.w_h.shape[0]
        else:
            params = read(cell, features)
            layers.append(params)
            features = params.w_h.shape[0]
    return tuple(layers)


def as_cells(cells, store: Callable[[Mapping, str], Stored]) -> list[Stored | Bidirectional]:
    """The argument of the formats that keep a mapping a cell: one mapping or a list of them, `Bidirectional` of two for two directions."""
    one = isinstance(cells, Mapping | Bidirectional)
    if not one and (not isinstance(cells, list | tuple) or not cells):
        raise TypeError(f"cells is a {type(cells).__name__}, expected a mapping of a cell's arrays, or a list of them, one a layer")

    def checked(arrays, name: str) -> Stored:
        if not isinstance(arrays, Mapping):
            raise TypeError(f"{name} is a {type(arrays).__name__}, expected a mapping from keys to arrays")
        return store(arrays, name)

    named = [("cells", cells)] if one else [(f"cells[{k}]", cell) for k, cell in enumerate(cells)]
    return [
        Bidirectional(*(checked(arrays, f"{name}.{side}") for side, arrays in cell._asdict().items()))
        if isinstance(cell, Bidirectional)
        else checked(cell, name)
        for name, cell in named
    ]


def write_layers(layers, write_one: Callable[[LSTMParams, str], Any]) -> tuple[Any, ...]:
    """`write_one(params, name)` of every layer, `Bidirectional` of the two where a layer is."""
    if isinstance(layers, Params | Bidirectional) or not isinstance(layers, tuple | list) or not layers:
        raise TypeError(f"layers is a {type(layers).__name__}, expected a tuple of layers, at least one: (params,)")
    written = []
    for k, layer in enumerate(layers):
        if isinstance(layer, Bidirectional):
            written.append(Bidirectional(*(write_one(one, f"layers[{k}].{side}") for side, one in layer._asdict().items())))
        else:
            written.append(write_one(layer, f"layers[{k}]"))
    return tuple(written)


def refuse_uneven(layers: list[list[dict]], format: str, w_h: str) -> None:
    """Refuse layers, written as a list of directions each, that differ in what `format` says once for the whole stack."""
    first = layers[0][0]
    for k, directions in enumerate(layers):
        if len(directions) != len(layers[0]):
            counts = f"{len(directions)} direction(s), layers[0] has {len(layers[0])}"
            raise ValueError(f"layers[{k}] has {counts}: a {format} has the same in every layer")
        for arrays in directions:
            if arrays.keys() != first.keys():
                key = next(key for key in [*first, *arrays] if (key in first) != (key in arrays))
                raise ValueError(f"layers[{k}] and layers[0]: only one has {key!r}, but a {format} has it in every layer or in none")
            if arrays[w_h].shape != first[w_h].shape:
                shapes = f"{w_h!r} of shape {arrays[w_h].shape}, layers[0] {first[w_h].shape}"
                raise ValueError(f"layers[{k}] has {shapes}: a {format} has the same number of units and outputs in every layer")
