"""What surrounds the LSTM operators of an ONNX graph: the readout, and operators that layers do not include."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jax_lstm._types import Readout
from jax_lstm.interop._onnx_node import Node, attribute, constant, label

_AXES_ONLY = {"Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
_PARTS = _AXES_ONLY | {"Concat", "Gather", "Slice", "Split"}
_PARAMETRISED = {"Gather", "Reshape", "Slice", "Split", "Squeeze", "Unsqueeze"}
"""Operators whose inputs after the first are shapes, axes and positions."""


class Use(NamedTuple):
    """An operator that takes the outputs of an LSTM, the value it takes, and the axes of that value (t, d, b, h)."""

    node: Any
    value: Any
    axes: str


class Surroundings(NamedTuple):
    """What the model does with the outputs of its LSTMs, and the operators that layers and readout leave out."""

    readout: Readout | None
    left_out: dict[str, list[Any]]


def examine(graph: Any, nodes: list[Node], partial: bool) -> Surroundings:
    """The readout and the operators left out, or a refusal of LSTMs that are no stack."""
    known = {node.node for node in nodes}
    between: set[Any] = set()
    for first, second in pairwise(nodes):
        between |= _operators_between(first, second, partial)
    for node in nodes:
        known |= _follow(node)[1].keys()
        for role in ("sequence_lens", "initial_h", "initial_c"):
            known |= _upstream([node.inputs.get(role)])
    known |= _input_path(nodes[0])
    readout, products = _readout(nodes[-1])
    known |= products
    known |= _rearranged(graph, [value for node in nodes for value in node.outputs[1:]], _PARTS)
    ends = [nodes[-1].outputs[0], *(product.outputs[0] for product in products)]
    known |= _rearranged(graph, ends, _AXES_ONLY)
    # the shapes and axes that known operators take are no computation on the data
    known |= _upstream(value for node in known if node.op_type in _PARAMETRISED for value in node.inputs[1:])
    left_out = [node for node in graph if node not in known - between]
    before = _upstream(nodes[0].node.inputs, through_shapes=True)
    return Surroundings(
        readout,
        {
            "before it": [node for node in left_out if node in before],
            "between its layers": [node for node in left_out if node in between - before],
            "after it": [node for node in left_out if node not in between | before],
        },
    )


def describe_left_out(left_out: dict[str, list[Any]]) -> str:
    """The operators by place, in words; empty for none."""
    return "; ".join(f"{place} {', '.join(map(label, nodes))}" for place, nodes in left_out.items() if nodes)


def _operators_between(before: Node, after: Node, partial: bool) -> set[Any]:
    """The operators that change what one LSTM passes to the next: none, or a refusal unless `partial`."""
    wanted = after.inputs["X"], after.axes.replace("d", "")
    uses, passed = _follow(before)
    if any((use.value, use.axes) == wanted for use in uses):
        return set()
    on_the_way = _upstream([after.inputs["X"]], through_shapes=True)
    reached = any(before.outputs[0] in node.inputs for node in on_the_way)
    operators = {node for node in on_the_way if before.node in _upstream(node.inputs, through_shapes=True)} - {
        before.node
    }
    operators -= {node for node, axes in passed.items() if "d" in axes}  # the axis of directions has to go in any case
    if not (partial and reached):
        through = f", but through {', '.join(sorted(map(label, operators)))}" if operators else ""
        raise ValueError(
            f"{after.name} does not take the outputs of {before.name} as they are{through}: "
            "not a stack that network runs"
        )
    return operators


def _follow(lstm: Node) -> tuple[list[Use], dict[Any, str]]:
    """Where the outputs Y go after operators that only rearrange axes, and these operators with the axes they take."""
    uses: list[Use] = []
    passed: dict[Any, str] = {}
    open_ends = [(lstm.outputs[0], lstm.axes)]
    while open_ends:
        value, axes = open_ends.pop()
        for node in dict.fromkeys(use.node for use in value.uses()) if value is not None else ():
            moved = _move(node, axes, lstm)
            if moved is None:
                uses.append(Use(node, value, axes))
            else:
                passed[node] = axes
                open_ends.append((node.outputs[0], moved))
    return uses, passed


def _move(node: Any, axes: str, lstm: Node) -> str | None:
    """The axes after an operator that only rearranges them; None after any other."""
    if _is_dropout(node):
        return axes
    if node.op_type == "Transpose":
        order = attribute(node, "perm") or range(len(axes))[::-1]
        return "".join(axes[axis] for axis in order)
    parameter = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if node.op_type == "Squeeze" and lstm.directions == 1:
        which = attribute(node, "axes") if parameter is None else parameter
        return axes.replace("d", "") if which is not None and [axes[axis] for axis in which] == ["d"] else None
    if node.op_type == "Reshape" and parameter is not None and len(parameter) == 3 and len(axes) == 4:
        joins = lstm.directions == 1 or axes.endswith("dh")
        return axes.replace("d", "") if joins and parameter[2] in (-1, lstm.directions * lstm.hidden) else None
    return None


def _is_dropout(node: Any) -> bool:
    """A Dropout that changes nothing, as it is not told to train."""
    return node.op_type == "Dropout" and (len(node.inputs) < 3 or node.inputs[2] is None)


def _input_path(first: Node) -> set[Any]:
    """The operators before the first LSTM that only exchange batch and time or add the batch axis."""
    path: set[Any] = set()
    value = first.inputs["X"]
    while (node := value.producer()) is not None:
        exchanged = node.op_type == "Transpose" and list(attribute(node, "perm") or ()) == [1, 0, 2]
        axes = constant(node.inputs[1]) if node.op_type == "Unsqueeze" and len(node.inputs) > 1 else None
        if not (exchanged or _is_dropout(node) or (axes is not None and axes.tolist() == [1])):
            break
        path.add(node)
        value = node.inputs[0]
    return path


def _readout(lstm: Node) -> tuple[Readout | None, set[Any]]:
    """The product with a constant matrix that the outputs go into, with the bias added to it, and their operators."""
    width = lstm.directions * lstm.hidden
    products = [
        use.node
        for use in _follow(lstm)[0]
        if use.node.op_type == "MatMul"
        and use.node.inputs[0] is use.value
        and len(use.axes) == 3
        and use.axes.endswith("h")
    ]
    if len(products) != 1:
        return None, set()
    (product,) = products
    w = constant(product.inputs[1])
    if w is None or w.shape[:1] != (width,) or w.ndim > 2:
        return None, set()
    if w.ndim == 1:  # a vector: one output, whose axis the model drops
        w = w[:, None]
    node, b = _bias(product.outputs[0], w.shape[1])
    return Readout(jnp.asarray(w), b), {product} | ({node} - {None})


def _bias(product: Any, outputs: int) -> tuple[Any, Any]:
    """The one Add of a constant to a product and the constant as `(outputs,)`, or two times None."""
    nodes = [use.node for use in product.uses()]
    if product.is_graph_output() or len(nodes) != 1 or nodes[0].op_type != "Add":
        return None, None
    (node,) = nodes
    array = constant(next((value for value in node.inputs if value is not product), None))
    # along the last axis alone: another axis of more than one entry is the batch or the time
    if (
        array is None
        or array.ndim > 3
        or (array.size != 1 and array.shape[-1:] != (outputs,))
        or array.size not in (1, outputs)
    ):
        return None, None
    return node, jnp.asarray(np.broadcast_to(array.reshape(-1), (outputs,)))


def _rearranged(graph: Any, values: Iterable[Any], operators: set[str]) -> set[Any]:
    """The operators that only rearrange some values, or take parts of them."""
    made = {value for value in values if value is not None}
    found: set[Any] = set()
    for node in graph:
        data = node.inputs if node.op_type == "Concat" else node.inputs[:1]
        if (node.op_type in operators or _is_dropout(node)) and data and made.issuperset(data):
            found.add(node)
            made |= set(node.outputs)
    return found


def _upstream(values: Iterable[Any], through_shapes: bool = False) -> set[Any]:
    """The operators that values are made by; what has only its shape taken is left out unless `through_shapes`."""
    found: set[Any] = set()
    open_ends = list(values)
    while open_ends:
        value = open_ends.pop()
        node = None if value is None else value.producer()
        if node is not None and node not in found:
            found.add(node)
            if node.op_type != "Shape" or through_shapes:
                open_ends += node.inputs
    return found
