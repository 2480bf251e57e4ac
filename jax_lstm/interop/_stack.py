"""Stacks in a format's layout: one layer after the other, of one or two directions each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jax_lstm import _checks
from jax_lstm._types import Bidirectional, Layer, LSTMParams, Params, Readout, directions
from jax_lstm.interop._arrays import as_numpy, check_table, copied
from jax_lstm.interop._find import Cells, children, computing, find_cell, floats, is_module
from jax_lstm.interop._imported import Imported
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


def read_cells(
    source: Any,
    cells: Cells,
    store: Callable[[Any, str], Stored],
    readout: str | None = None,
    embedding: str | None = None,
    partial: bool = False,
) -> Any:
    """The layers of the formats with arrays per cell, with the readout where its path is given.

    Args:
        source: a cell's mapping, a module or a model that holds one cell, a `Bidirectional` of two, or a list of these.
        cells: how to recognize the format's cells.
        store: makes a `Stored` of a cell and its name.
        readout: the path of the linear layer on top, in a model.
        embedding: the path of the embedding in front, in a model.
        partial: leave out what else a model has.
    """
    several = isinstance(source, list | tuple) and not isinstance(source, Bidirectional)
    if several and not source:
        raise TypeError("cells is empty, expected at least one cell")
    for argument, given in (("readout", readout), ("embedding", embedding)):
        if given is not None and (several or isinstance(source, Bidirectional)):
            raise ValueError(f"{argument} is {given!r}, but cells is a {type(source).__name__}: give the whole model")
    named = [(f"cells[{k}]", cell) for k, cell in enumerate(source)] if several else [("cells", source)]
    stored: list[Stored | Bidirectional[Stored]] = []
    head: tuple[str, ...] | None = None
    table: tuple[str, ...] | None = None
    left_out: list[str] = []
    for name, one in named:
        if isinstance(one, Bidirectional):  # its sides may be models
            found = [find_cell(side, place, cells) for place, side in directions(one, name)]
            stored.append(join_directions([store(side.cell, side.name) for side in found]))
            continue
        cell = find_cell(one, name, cells)
        # what was found in a model holds cells
        sides = directions(cell.cell, cell.name)
        stored.append(join_directions([store(side, place) for place, side in sides]))
        head = None if readout is None else _path_of(one, readout, "readout", cells, cell.paths)
        table = None if embedding is None else _path_of(one, embedding, "embedding", cells, cell.paths)
        if cell.paths != ((),):
            used = [*cell.paths, *(path for path in (head, table) if path is not None)]
            rest = {path[:-1] for path in floats(one) if not any(path[: len(own)] == own for own in used)}
            left_out = [repr(cells.separator.join(path)) for path in dict.fromkeys(sorted(rest))]
            left_out += [f"{kind} {cells.separator.join(path)!r}" for kind, path in computing(one)]
            refuse_left_out(name, [] if partial else left_out, _HEAD)
    layers = read_layers(stored)
    if head is None and table is None:
        return layers
    arrays, width = floats(source), sum(params.out for _, params in directions(layers[-1]))
    linear = None if head is None else _linear(arrays, head, width, cells)
    if table is None:
        return layers, linear
    rows, name = as_numpy(arrays[(*table, cells.table)], "embedding"), cells.separator.join(table)
    check_table(rows, repr(name), directions(layers[0])[0][1].features)
    return Imported(layers, linear, embedding=copied(rows), left_out=tuple(left_out))


_HEAD = "take a linear layer on top with readout=, an embedding with embedding="


def _path_of(source: Any, path: str, argument: str, cells: Cells, own: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The path of a linear layer or an embedding, whose beginning may be left out; `own` has the cell's."""
    key = cells.table if argument == "embedding" else cells.linear[0]
    weights = [place for place, array in floats(source).items() if place[-1] == key and array.ndim == 2]
    linear = [place[:-1] for place in weights if not any(place[: len(one)] == one for one in own)]
    linear = [place for place in linear if _may_be(source, place, argument)]
    given = tuple(path.split(cells.separator))
    exact = [place for place in linear if place == given]
    found = exact or [place for place in linear if place[-len(given) :] == given]
    if len(found) != 1:
        there = ", ".join(repr(cells.separator.join(place)) for place in linear) or "none"
        kind = {"readout": "a linear layer", "embedding": "an embedding"}[argument]
        raise ValueError(f"{argument} is {path!r}, expected the path of {kind} of the model: there are {there}")
    return found[0]


def _may_be(source: Any, path: tuple[str, ...], argument: str) -> bool:
    """Whether what is at a path is no module of the other kind: Equinox calls the arrays of both "weight"."""
    node = source
    for key in path:
        node = children(node)[key]
    return not is_module(node) or ("Embed" in type(node).__name__) == (argument == "embedding")


def _linear(arrays: Mapping[tuple[str, ...], Any], path: tuple[str, ...], width: int, cells: Cells) -> Readout:
    """The linear layer at a path, of `width` inputs."""
    name = cells.separator.join(path)
    w, b = (arrays.get((*path, key)) for key in cells.linear)
    w = as_numpy(w, name).T if cells.outputs_first else as_numpy(w, name)
    if w.shape[0] != width:
        raise ValueError(f"{name!r} takes {w.shape[0]} inputs, expected {width}, as the last layer has {width} outputs")
    bias = None if b is None else as_numpy(b, name).reshape(w.shape[1])
    return Readout(copied(w), None if bias is None else copied(bias))


def sides_of(layers: Layers) -> list[list[Params]]:
    """The parameters of the directions of every layer; a single layer is a stack of one."""
    stack = _checks.check_stack((layers,) if isinstance(layers, Params | Bidirectional) else layers)
    return [[params for _, params in directions(layer)] for layer in stack]


def write_layers(layers: Layers, write_one: Callable[[Params, str], Any]) -> tuple[Any, ...]:
    """`write_one(params, name)` of every direction of every layer; a single layer is a stack of one."""
    stack = _checks.check_stack((layers,) if isinstance(layers, Params | Bidirectional) else layers)
    return tuple(
        join_directions([write_one(params, name) for name, params in directions(layer, f"layers[{k}]")])
        for k, layer in enumerate(stack)
    )


def refuse_left_out(name: str, left_out: Sequence[str], other: str = "") -> None:
    """A refusal of what a model has besides its LSTM, by name; `other` is something else that the caller may do."""
    if not left_out:
        return
    listed = ", ".join(left_out[:10]) + (f" and {len(left_out) - 10} more" if len(left_out) > 10 else "")
    fix = f"{other}, or leave" if other else "leave"
    raise ValueError(f"{name} has more than its LSTM: {listed}; {fix} that out with partial=True")


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
