"""Stacks in a format's layout: one layer after the other, of one or two directions each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from jax_lstm import _checks
from jax_lstm._types import Bidirectional, Layer, LSTMParams, Params, directions
from jax_lstm.interop._find import Cells, find_cell
from jax_lstm.interop._layout import Stored, read

Layers = Layer | Sequence[Layer]
"""What `to_*` take: one layer, or a stack."""


def join_directions(sides: Sequence[Any]) -> Any:
    """A layer of its parts: the inverse of `directions`."""
    return Bidirectional(*sides) if len(sides) > 1 else sides[0]


def read_layers(cells: Iterable[Stored | Bidirectional[Stored]]) -> tuple[Layer, ...]:
    """The layers of a stack, each checked against the one before it."""
    layers: list[Layer] = []
    features: int | None = None
    for cell in cells:
        sides: list[LSTMParams] = []
        for _, stored in directions(cell):
            sides.append(read(stored, sides[0].w_x.shape[0] if sides else features))
        layers.append(join_directions(sides))
        features = sum(params.w_h.shape[0] for params in sides)
    return tuple(layers)


def as_cells(source: Any, cells: Cells, store: Callable[[Any, str], Stored]) -> list[Stored | Bidirectional[Stored]]:
    """The argument of the formats with arrays per cell: one cell or a list, `Bidirectional` for two directions.

    Args:
        source: a cell's mapping, a module or a model that holds one cell, a `Bidirectional` of two, or a list of these.
        cells: how to recognise the format's cells.
        store: makes a `Stored` of a cell and its name.
    """
    several = isinstance(source, list | tuple) and not isinstance(source, Bidirectional)
    if several and not source:
        raise TypeError("cells is empty, expected at least one cell")
    named = [(f"cells[{k}]", cell) for k, cell in enumerate(source)] if several else [("cells", source)]
    stored: list[Stored | Bidirectional[Stored]] = []
    for name, one in named:
        found, where = (one, name) if isinstance(one, Bidirectional) else find_cell(one, name, cells)
        # a Bidirectional that was given may hold models, one found in a model holds cells
        sides = [find_cell(side, place, cells) for place, side in directions(found, where)]
        stored.append(join_directions([store(side, place) for side, place in sides]))
    return stored


def write_layers(layers: Layers, write_one: Callable[[Params, str], Any]) -> tuple[Any, ...]:
    """`write_one(params, name)` of every direction of every layer; a single layer is a stack of one."""
    stack = _checks.check_stack((layers,) if isinstance(layers, Params | Bidirectional) else layers)
    return tuple(
        join_directions([write_one(params, name) for name, params in directions(layer, f"layers[{k}]")])
        for k, layer in enumerate(stack)
    )


def refuse_uneven(layers: list[list[dict[Any, np.ndarray]]], format: str, w_h: str) -> None:
    """Refuse layers, each a list of directions, that differ in what `format` states once for the whole stack."""
    first = layers[0][0]
    for k, sides in enumerate(layers):
        if len(sides) != len(layers[0]):
            counts = f"{len(sides)} direction(s), layers[0] has {len(layers[0])}"
            raise ValueError(f"layers[{k}] has {counts}: a {format} has the same in every layer")
        for arrays in sides:
            if arrays.keys() != first.keys():
                key = next(key for key in [*first, *arrays] if (key in first) != (key in arrays))
                raise ValueError(
                    f"layers[{k}] and layers[0]: only one has {key!r}, but a {format} has it in every layer or in none"
                )
            if arrays[w_h].shape != first[w_h].shape:
                shapes = f"{w_h!r} of shape {arrays[w_h].shape}, layers[0] {first[w_h].shape}"
                raise ValueError(
                    f"layers[{k}] has {shapes}: a {format} has the same number of units and outputs in every layer"
                )
