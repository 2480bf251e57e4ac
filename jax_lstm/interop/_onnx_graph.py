"""The stacks of layers in an ONNX graph, the readout after one, and the operators that neither includes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jax_lstm._types import Readout
from jax_lstm.interop._onnx_axes import Atom, Stream
from jax_lstm.interop._onnx_follow import Followed, Product, Unit, same_lengths
from jax_lstm.interop._onnx_inputs import Front, path, read_front
from jax_lstm.interop._onnx_moves import is_dropout
from jax_lstm.interop._onnx_values import constant, label

_AXES_ONLY = {"Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
_PARTS = _AXES_ONLY | {"Concat", "Gather", "Identity", "Slice", "Split"}
_PARAMETRIZED = {"Gather", "Reshape", "ReverseSequence", "Slice", "Split", "Squeeze", "Unsqueeze"}
"""Operators whose inputs after the first are shapes, axes and positions."""

Stack = list[Unit]


class Surroundings(NamedTuple):
    """What the model does with the outputs of a stack.

    Args:
        readout: the linear function of them, if any.
        reads: what that function, or the model, takes of the outputs: "hs", "hs[-1]" or "carry.h".
        left_out: the operators that layers and readout leave out, by place.
        front: the normalization and the table in front of the stack.
    """

    readout: Readout | None
    reads: str
    left_out: dict[str, list[Any]]
    front: Front


def stacks(units: list[Unit]) -> list[Stack]:
    """The layers in stacks: each layer takes all outputs of the one before it, which nothing else continues."""
    after: dict[Unit, list[Unit]] = {unit: [one for one in units if one.follows(unit)] for unit in units}
    continued = {nexts[0] for nexts in after.values() if len(nexts) == 1}
    found = []
    for unit in units:
        if unit in continued:
            continue
        stack = [unit]
        while len(after[stack[-1]]) == 1:
            stack += after[stack[-1]]
        found.append(stack)
    return found


def choose(found: list[Stack], name: str | None) -> Stack:
    """The stack of which an operator has a name, or the only one; a refusal that lists what there is to choose from."""
    names = {one: stack for stack in found for unit in stack for node in unit.nodes for one in _names(node.node)}
    if name is not None and name not in names:
        raise ValueError(f"node is {name!r}, expected the name of an LSTM of the model: {_listed(found)}")
    if name is None and len(found) > 1:
        raise ValueError(
            f"model has {len(found)} LSTMs that are not one stack: {_listed(found)}; choose one with node= (--prefix)"
        )
    return found[0] if name is None else names[name]


def examine(graph: Any, followed: Followed, stack: Stack) -> Surroundings:
    """The readout of a stack, and the operators of the graph that neither it nor the stack includes."""
    nodes = [node for unit in stack for node in unit.nodes]
    known = {node.node for node in nodes}
    for unit in stack:
        if unit is not stack[0] or _is_exchange(unit):
            known |= path([node.inputs["X"] for node in unit.nodes], followed.rearranging)
    for node in nodes:
        for role in ("sequence_lens", "initial_h", "initial_c"):
            known |= _upstream([node.inputs.get(role)])
    readout, product, reads, used = _readout(followed, stack[-1])
    known |= used
    units = {part for unit in stack for part in (unit, *unit.parts)}
    sources = {(kind, unit) for unit in units for kind in ("Y", "Y_h", "Y_c")} | {("readout", product)}
    known |= {node for node in followed.rearranging if _rearranges(node, followed.streams, sources, units)}
    ends = [value for node in nodes for value in node.outputs[1:]]
    known |= _rearranged(graph, ends)
    # the shapes and axes that known operators take are no computation on the data
    known |= _upstream(value for node in known if node.op_type in _PARAMETRIZED for value in node.inputs[1:])
    front = read_front(followed, stack[0]) if _is_exchange(stack[0]) else Front()
    known |= front.nodes
    left_out = [node for node in graph if node not in known]
    outputs = [followed.streams.get(value) for value in graph.outputs]
    if reads in (None, "hs", "hs[::-1]"):  # all steps, or no readout: the outputs of the model may be a part of them
        given = [stream for stream in outputs if stream is not None and _is_of(stream, stack[-1], product)]
        taken = [_reads(stream, stack[-1]) for stream in given]
        known_ones = [one for one in (*_EXPRESSIONS, None) if one in taken]
        if (known_ones or [None])[0] is not None:
            reads = known_ones[0]
        elif not left_out:  # parts without an expression
            left_out = [node for value in graph.outputs if (node := value.producer()) is not None]
    before = _upstream([nodes[0].inputs["X"]], through_shapes=True)
    places = {
        "before it": [node for node in left_out if node in before],
        "after it": [node for node in left_out if node not in before],
    }
    return Surroundings(readout, reads or "hs", places, front)


def describe_left_out(left_out: dict[str, list[Any]]) -> str:
    """The operators by place, in words; empty for none."""
    return "; ".join(f"{place} {', '.join(map(label, nodes))}" for place, nodes in left_out.items() if nodes)


def _names(node: Any) -> list[str]:
    return [name for name in (node.name, *(value.name for value in node.outputs)) if name]


def _listed(found: list[Stack]) -> str:
    """The stacks by the names of their first operators, with their sizes and what they take."""
    return ", ".join(f"{_names(stack[0].nodes[0].node)[0]!r} ({_sizes(stack)}{_input(stack[0])})" for stack in found)


def _sizes(stack: Stack) -> str:
    units = " + ".join(
        f"{unit.nodes[0].hidden}{' in two directions' if len(unit.nodes) + unit.nodes[0].directions > 2 else ''}"
        for unit in stack
    )
    return f"{stack[0].nodes[0].features} inputs, {units} units"


def _input(unit: Unit) -> str:
    """What a layer takes, where that is not an input of the model, and why it does not continue another stack."""
    kind, source = unit.x.source
    if kind == "value":
        return f", after {label(source.producer())}" if source.producer() is not None else ""
    if kind == "readout":
        return f", after {label(source)}"
    if unit.reverse != source.reverse:
        difference = "in another direction"
    elif not same_lengths(unit.nodes[0], source.nodes[0]):
        difference = "with other sequence_lens"
    elif unit.x.axes[-1] == source.features and not unit.x.taken and kind == "Y":
        ordered = unit.x.axes[:2] in ((source.time, source.batch), (source.batch, source.time))
        difference = (
            "as others do" if unit.follows(source) else "with time and batch exchanged" if ordered else "reshaped"
        )
    else:
        difference = "in part" if kind == "Y" else "at their end"
    return f", takes the outputs of {source.nodes[0].name} {difference}"


def _is_exchange(unit: Unit) -> bool:
    """Whether a layer's data only have axes exchanged, axes of one entry added or removed, or the time in reverse."""
    turned = any(atom.reversed for axis in (unit.batch, unit.x.axes[-1]) for atom in axis)
    return not unit.x.taken and not turned and all(len(axis) < 2 for axis in unit.x.axes)


def _readout(followed: Followed, last: Unit) -> tuple[Readout | None, Any, str | None, set[Any]]:
    """The one product of the outputs with a constant matrix, its operator, what it takes, and all its operators."""
    products = [
        (product, reads)
        for product in followed.products
        if product.stream.source in (("Y", last), ("Y_h", last))
        and product.stream.axes[-1] == last.features
        and (reads := _reads(product.stream, last)) is not None
    ]
    if len(products) != 1:
        return None, None, None, set()
    ((product, reads),) = products
    w = product.w if product.w.ndim == 2 else product.w[:, None]  # a vector: one output, whose axis the model drops
    if product.b is not None:
        bias, node = jnp.asarray(np.broadcast_to(product.b.reshape(-1), w.shape[1:])), None
    else:
        node, bias = _bias(product, w.shape[1])
    nodes = path([product.node.inputs[0]], followed.rearranging)
    return Readout(jnp.asarray(w), bias), product.node, reads, {product.node, *nodes} | ({node} - {None})


_EXPRESSIONS = ("hs", "hs[::-1]", "hs[-1]", "carry.h", "carry.c")


def _is_of(stream: Stream, last: Unit, product: Any) -> bool:
    """Whether a stream is made of the readout, or where there is none of the last layer."""
    return stream.source[1] is (last if product is None else product)


def _reads(stream: Stream, last: Unit) -> str | None:
    """What a stream has of the outputs of a layer, as an expression; None for what has no short one."""
    kind = stream.source[0]
    (time,) = last.time or (None,)
    turned = [atom for axis in stream.axes for atom in axis if atom.reversed]
    if any(time is None or atom.key != time.key for atom in turned):
        return None
    if kind in ("Y_h", "Y_c"):
        return None if stream.taken else {"Y_h": "carry.h", "Y_c": "carry.c"}[kind]
    if not stream.taken:
        return "hs[::-1]" if turned else "hs"
    ((atom, at), *others) = stream.taken
    ends = (-1, *(() if atom.size is None else (atom.size - 1,)))
    return "hs[-1]" if not others and (atom,) == last.time and not atom.reversed and at in ends else None


def _bias(product: Product, outputs: int) -> tuple[Any, Any]:
    """The one Add of a constant to a product and the constant as `(outputs,)`, or two times None."""
    value = product.node.outputs[0]
    nodes = [use.node for use in value.uses()]
    if value.is_graph_output() or len(nodes) != 1 or nodes[0].op_type != "Add":
        return None, None
    (node,) = nodes
    array = constant(next((other for other in node.inputs if other is not value), None))
    # along the last axis alone: another axis of more than one entry is the batch or the time
    if (
        array is None
        or array.ndim > 3
        or (array.size != 1 and array.shape[-1:] != (outputs,))
        or array.size not in (1, outputs)
    ):
        return None, None
    return node, jnp.asarray(np.broadcast_to(array.reshape(-1), (outputs,)))


def _rearranges(node: Any, streams: dict[Any, Stream], sources: set[Any], units: set[Unit]) -> bool:
    """Whether an operator rearranges what layers or their readout give, or takes a step or a direction of it."""
    stream = streams.get(node.outputs[0])
    if stream is None or stream.source not in sources:
        return False
    allowed: set[Atom] = {atom for unit in units for axis in (unit.time, unit.features) for atom in axis}
    times = {atom.key for unit in units for atom in unit.time}
    turned = [atom for axis in stream.axes for atom in axis if atom.reversed]
    return all(atom in allowed for atom, _ in stream.taken) and all(atom.key in times for atom in turned)


def _rearranged(graph: Any, values: Iterable[Any]) -> set[Any]:
    """The operators that only rearrange some values, or take parts of them."""
    made = {value for value in values if value is not None}
    found: set[Any] = set()
    for node in graph:
        data = node.inputs if node.op_type == "Concat" else node.inputs[:1]
        if (node.op_type in _PARTS or is_dropout(node)) and data and made.issuperset(data):
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
