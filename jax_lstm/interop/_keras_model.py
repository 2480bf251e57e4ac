"""The LSTMs of a Keras model as stacks, and the linear layer after one, by their connections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import jax.numpy as jnp

from jax_lstm._types import Layer, Readout, directions
from jax_lstm.interop import _keras_layer as keras_layer
from jax_lstm.interop._arrays import as_numpy, check_table, copied
from jax_lstm.interop._imported import Imported
from jax_lstm.interop._inputs import NO_CHANGE, fold
from jax_lstm.interop._keras_graph import Graph, Part, Tensor, read_graph
from jax_lstm.interop._keras_inputs import read_front
from jax_lstm.interop._stack import read_layers

UNCHANGED = frozenset(
    {
        *("ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise"),
        *("SpatialDropout1D", "InputLayer", "Identity"),
    }
)
"""The layers that do nothing when a model is run."""


def read_model(
    model: Mapping[str, Any],
    weights: Callable[[Part], list[Any]],
    prefix: str | None = None,
    readout: str | None = None,
) -> tuple[Imported, str | None, str | None]:
    """The stack of LSTMs of a model that is at a path, or its only one, with its readout.

    Args:
        model: a serialized model, `{"class_name", "config"}`.
        weights: the arrays of a layer.
        prefix: the path of an LSTM: its stack is read. None where there is one stack.
        readout: the path of a linear Dense layer; None for the only one that follows the stack.

    Returns:
        What was read, and the paths of the layers that are the readout and the embedding.
    """
    graph = read_graph(model)
    stack = _choose(graph, prefix)
    reverse, reads = _direction(stack)
    layers = read_layers(
        cell
        for part in stack
        for cell in keras_layer.stored(
            keras_layer.layers_of(part.kind, part.config, part.path), weights(part), f"layer {part.path!r}"
        )
    )
    head = _readout(graph, stack[-1], readout)
    taken = [] if head is not None else _outputs_taken(graph, stack[-1])
    if taken and 0 not in taken:  # states, which the layer returns besides
        plain = stack[-1].kind in ("LSTM", "CuDNNLSTM")
        reads = "carry.h" if 1 in taken or not plain else "carry.c"
    front = read_front(graph, stack[0], weights, UNCHANGED)
    layers = layers if front.affine is NO_CHANGE else fold(layers, front.affine)
    table = None if front.embedding is None else _table(front.embedding, weights, layers)
    used = {part.path for part in (*stack, *front.parts, *([head] if head else []))}
    rest = [part for part in _reached(graph) if part.path not in used and part.kind not in UNCHANGED]
    left_out = [f"{part.kind} {part.path!r}" for part in rest]
    left_out += [f"initial_state of {part.path!r}" for part in stack if part.calls and part.calls[0].states]
    if front.embedding is not None and front.embedding.config.get("mask_zero"):
        left_out.append(f"mask_zero of {front.embedding.path!r}")
    if taken and 0 not in taken and not plain:
        left_out.append(f"which states of {stack[-1].path!r} are taken")
    head_of = None if head is None else _dense(weights(head), head.path)
    read = Imported(layers, head_of, reverse=reverse, reads=reads, embedding=table, left_out=tuple(left_out))
    return read, head and head.path, front.embedding and front.embedding.path


def _choose(graph: Graph, prefix: str | None) -> list[Part]:
    """The stack of LSTMs at a path, or the only one; or a refusal that lists what there is."""
    lstms = [part for part in graph.parts.values() if keras_layer.is_lstm(part.kind, part.config)]
    if not lstms:
        kinds = ", ".join(sorted({part.kind for part in graph.parts.values()} - {"InputLayer"})) or "nothing"
        raise ValueError(f"the model has no LSTM layer, it has {kinds}: expected an LSTM or a Bidirectional(LSTM)")
    after = {part.path: [one for one in lstms if _feeds(graph, part, one)] for part in lstms}
    continued = {nexts[0].path for nexts in after.values() if len(nexts) == 1}
    stacks = []
    for part in lstms:
        if part.path not in continued:
            stacks.append([part])
            while len(after[stacks[-1][-1].path]) == 1:
                stacks[-1] += after[stacks[-1][-1].path]
    paths = ", ".join(repr(part.path) for part in lstms)
    chosen = [stack for stack in stacks if prefix is None or any(part.path == prefix for part in stack)]
    if prefix is not None and not chosen:
        raise ValueError(f"prefix is {prefix!r}, but the model has its LSTMs at {paths}: choose one of these")
    if len(chosen) > 1:
        raise ValueError(
            f"the model has {len(lstms)} LSTM layers that are no stack, {paths}: choose one with prefix= (--prefix)"
        )
    for part in chosen[0]:
        if len(part.calls) > 1:
            raise ValueError(f"layer {part.path!r} is applied {len(part.calls)} times, which no stack of layers is")
    return chosen[0]


def _direction(stack: list[Part]) -> tuple[bool, str]:
    """Whether a stack goes from the last step to the first, and what it returns."""
    turned = False  # whether the data of the next layer has the last step first
    directions = []
    for part in stack:
        if part.kind == "Bidirectional":
            if turned:
                raise ValueError(f"layer {part.path!r} takes reversed data in both directions, which network does not")
            continue
        turned ^= keras_layer.goes_backwards(part.kind, part.config)
        directions.append(turned)
    for before, after in pairwise(stack):
        if after.kind == "Bidirectional" and keras_layer.goes_backwards(before.kind, before.config):
            raise ValueError(f"layer {after.path!r} takes reversed data in both directions, which network does not")
    if len(set(directions)) > 1 or (True in directions and len(directions) < len(stack)):
        paths = ", ".join(repr(part.path) for part in stack)
        raise ValueError(f"layers {paths} do not run in one direction: choose one with prefix= (--prefix)")
    if not keras_layer.returns_sequences(stack[-1].kind, stack[-1].config):
        return True in directions, "carry.h"
    return True in directions, "hs[::-1]" if turned else "hs"


def _feeds(graph: Graph, before: Part, after: Part) -> bool:
    """Whether one layer takes the outputs of another, through no layers but those that leave them unchanged."""
    return len(after.calls) == 1 and _origin(graph, after.calls[0].data[:1]) == (before.path, 0)


def _origin(graph: Graph, data: tuple[Tensor, ...]) -> Tensor | None:
    """The output that some layer takes, seen through layers that leave it unchanged."""
    for _ in range(1 + len(graph.parts)):
        if len(data) != 1:
            return None
        tensor = graph.source(data[0])
        part = graph.parts.get(tensor[0])
        if part is None or part.kind not in UNCHANGED or len(part.calls) != 1:
            return tensor
        data = part.calls[0].data
    return None


def _readout(graph: Graph, last: Part, path: str | None) -> Part | None:
    """The linear Dense layer after a stack: the one at a path, or the only one."""
    heads = [
        part
        for part in graph.parts.values()
        if _is_linear(part) and len(part.calls) == 1 and _origin(graph, part.calls[0].data) == (last.path, 0)
    ]
    if path is None:
        return heads[0] if len(heads) == 1 else None
    chosen = [part for part in heads if part.path == path]
    if not chosen:
        there = ", ".join(repr(part.path) for part in heads) or "none"
        raise ValueError(
            f"readout is {path!r}, expected a linear Dense layer that takes {last.path!r}: there are {there}"
        )
    return chosen[0]


def _outputs_taken(graph: Graph, last: Part) -> list[int]:
    """Which outputs of a layer the outputs of the model are, by number."""
    origins = [_origin(graph, (tensor,)) for tensor in graph.outputs]
    return [origin[1] for origin in origins if origin is not None and origin[0] == last.path]


def _is_linear(part: Part) -> bool:
    if part.kind == "TimeDistributed":
        inner = part.config.get("layer") or {}
        return inner.get("class_name") == "Dense" and (inner.get("config") or {}).get("activation") == "linear"
    return part.kind == "Dense" and part.config.get("activation") == "linear"


def _dense(arrays: list[Any], path: str) -> Readout:
    if len(arrays) not in (1, 2):
        raise ValueError(f"layer {path!r} has {len(arrays)} arrays, expected a kernel and perhaps a bias")
    w, *b = (as_numpy(array, f"layer {path!r}") for array in arrays)
    if w.ndim != 2 or any(one.shape != w.shape[1:] for one in b):
        shapes = ", ".join(str(one.shape) for one in (w, *b))
        raise ValueError(
            f"layer {path!r} has arrays of shapes {shapes}, expected a kernel and perhaps a bias: a quantized layer "
            "is not read"
        )
    return Readout(*map(jnp.asarray, (w, *b)))


def _table(part: Part, weights: Callable[[Part], list[Any]], layers: Sequence[Layer]) -> Any:
    """The rows of an embedding."""
    name, arrays = f"layer {part.path!r}", weights(part)
    if len(arrays) != 1:
        raise ValueError(f"{name} has {len(arrays)} arrays, expected one: a quantized layer is not read")
    ((_, first), *_) = directions(layers[0])
    rows = as_numpy(arrays[0], name)
    check_table(rows, name, first.features)
    return copied(rows)


def _reached(graph: Graph) -> list[Part]:
    """The layers that the outputs are made of; those that only make masks are part of what makes them."""
    found: set[str] = set()
    open_ends = list(graph.outputs)
    while open_ends:
        path = graph.source(open_ends.pop())[0]
        if path not in found:
            found.add(path)
            calls = graph.parts[path].calls if path in graph.parts else ()
            open_ends += [tensor for call in calls for tensor in (*call.data, *call.states)]
    # what a model inside that is called several times takes is not known: then all layers count
    known = all(path in graph.parts for path in found)
    return [part for part in graph.parts.values() if part.path in found or not known]
