"""What an ONNX model does with its inputs before the first LSTM: an embedding, and arithmetic with constants."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jax_lstm.interop._inputs import NO_CHANGE, Affine
from jax_lstm.interop._onnx_axes import Axis, Stream, entries
from jax_lstm.interop._onnx_follow import ARITHMETIC, Followed, Unit
from jax_lstm.interop._onnx_values import attribute, constant


class Front(NamedTuple):
    """What is in front of a layer: its operators, the function of inputs that they are, and the table they look up."""

    nodes: frozenset[Any] = frozenset()
    affine: Affine = NO_CHANGE
    embedding: np.ndarray | None = None


def read_front(followed: Followed, unit: Unit) -> Front:
    """What is in front of a layer, from it back to the first operator that is something else."""
    front, stream, features = Front(), unit.x, unit.x.axes[-1]
    while True:
        kind, value = stream.source
        node = value.producer() if kind == "value" else None
        made = followed.streams.get(value) if kind == "value" else None
        if node is None or made is None or node.domain not in ("", "ai.onnx") or features not in made.axes:
            return front
        place = made.axes.index(features)
        if node.op_type == "Gather":
            return _embedding(followed, front, node, made, place)
        step = _arithmetic(followed, node, len(made.axes), place)
        if step is None:
            return front
        affine, data = step
        stream = followed.streams[data]
        if stream.taken or len(stream.axes) != len(made.axes) or any(_turned(axis) for axis in stream.axes):
            return front
        if entries(stream.axes[place]) not in (None, entries(features)):  # one number that becomes several features
            return front
        features = stream.axes[place]
        nodes = front.nodes | {node} | path([data], followed.rearranging)
        front = front._replace(nodes=nodes, affine=front.affine.after(affine))


def path(values: list[Any], rearranging: set[Any]) -> set[Any]:
    """The operators that only rearrange, from some values up to what made the data."""
    found: set[Any] = set()
    open_ends = list(values)
    while open_ends:
        node = open_ends.pop().producer()
        if node in rearranging and node not in found:
            found.add(node)
            open_ends += node.inputs if node.op_type == "Concat" else node.inputs[:1]
    return found


def _turned(axis: Axis) -> bool:
    return len(axis) > 1 or any(atom.reversed for atom in axis)


def _arithmetic(followed: Followed, node: Any, rank: int, place: int) -> tuple[Affine, Any] | None:
    """The function that an operator computes with a constant along one axis alone, and its data; None for others."""
    if node.op_type not in ARITHMETIC or len(node.inputs) != 2:
        return None
    arrays = [constant(value) for value in node.inputs]
    at = next((k for k, value in enumerate(node.inputs) if arrays[k] is None and value in followed.streams), None)
    if at is None or (array := arrays[1 - at]) is None or array.dtype.kind != "f" or array.ndim > rank:
        return None
    wide = array.reshape((1,) * (rank - array.ndim) + array.shape)
    if wide.size != wide.shape[place]:  # it differs along another axis
        return None
    number = wide.reshape(-1).astype(np.float64)
    with np.errstate(all="ignore"):  # what is not finite is refused where it is folded
        match node.op_type:
            case "Add":
                affine = Affine(1.0, number)
            case "Mul":
                affine = Affine(number)
            case "Sub":
                affine = Affine(1.0, -number) if at == 0 else Affine(-1.0, number)
            case _ if at == 0:
                affine = Affine(1 / number)
            case _:
                return None
    return affine, node.inputs[at]


def _embedding(followed: Followed, front: Front, node: Any, made: Stream, place: int) -> Front:
    """The front with a table of which the tokens, an input of the model, choose the rows."""
    table = constant(node.inputs[0])
    if table is None or table.ndim != 2 or attribute(node, "axis") or place != len(made.axes) - 1:
        return front
    tokens, nodes = node.inputs[1], {node}
    while (maker := tokens.producer()) is not None:
        stream = followed.streams.get(tokens)
        plain = stream is not None and not stream.taken and not any(_turned(axis) for axis in stream.axes)
        if not (maker in followed.rearranging and plain) and not _is_integer_cast(maker):
            return front
        nodes.add(maker)
        tokens = maker.inputs[0]
    return front._replace(nodes=front.nodes | nodes, embedding=table) if tokens.is_graph_input() else front


def _is_integer_cast(node: Any) -> bool:
    """A Cast of integers, which tokens stay themselves by."""
    dtype = node.inputs[0].dtype if node.op_type == "Cast" else None
    return dtype is not None and dtype.is_integer()
