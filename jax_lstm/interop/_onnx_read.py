"""ONNX, read: the LSTM operators of a model, whoever wrote it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from jax_lstm._types import Carry, Layer, directions
from jax_lstm.interop._arrays import as_numpy, check_table, copied
from jax_lstm.interop._imported import Imported
from jax_lstm.interop._inputs import NO_CHANGE, fold
from jax_lstm.interop._onnx_follow import Unit, follow, is_lstm
from jax_lstm.interop._onnx_graph import choose, describe_left_out, examine, stacks
from jax_lstm.interop._onnx_load import load_graph
from jax_lstm.interop._onnx_node import Node
from jax_lstm.interop._onnx_values import label
from jax_lstm.interop._stack import join_directions, read_layers

if TYPE_CHECKING:
    from onnx import ModelProto
else:
    ModelProto = Any  # onnx is optional


def from_onnx(
    model: ModelProto | bytes | str | os.PathLike[str], *, node: str | None = None, partial: bool = False
) -> Imported:
    """The LSTM operators of an ONNX model, one or a stack of them, and the linear readout after them.

    `xs` is time first, also where the model (its `layout`, or a Transpose in front) is not. A readout of one output
    keeps its axis where the model, by a product with a vector, drops it. Two operators that run over the same data in
    both directions are one layer. Initial states and lengths that are inputs of the model are for the caller to pass to
    `network`. Constants that are added to the inputs or multiply them become part of the first layer, as by
    `fold_inputs`; the table of an embedding in front is `embedding`. A model that computes anything else is refused,
    with the operators that layers do not include, unless `partial`.

    Args:
        model: an `onnx.ModelProto`, its bytes, or the path of its file. External data has to be in regular files in the
            model's folder.
        node: the name of one LSTM operator: the stack that it belongs to is read, and `left_out` has everything else.
            None where the model has one stack.
        partial: leave out the operators before and after the LSTMs, and name them in `left_out`.

    Returns:
        `Imported(layers, readout, carries, lengths, reverse, reads, left_out, embedding)`.

    Raises:
        ValueError: no LSTM operator; an attribute that `network` does not compute; weights that are not constants;
            other operators; several stacks; the message names the operator.
        ImportError: `onnx`, `onnx-ir` or `onnxscript` is not installed.

    >>> import jax
    >>> from jax_lstm import init_network
    >>> from jax_lstm.interop import to_onnx
    >>> from_onnx(to_onnx(init_network(jax.random.key(0), features=3, hidden=[5]))).layers[0].w_x.shape
    (3, 20)
    """
    graph = load_graph(model)
    if not any(map(is_lstm, graph)):
        found = ", ".join(sorted({node.op_type for node in graph})) or "nothing"
        raise ValueError(f"model has no LSTM operator, it has {found}")
    followed = follow(graph)
    for operator, error in followed.refused.items():
        if node is None or node in (operator.name, *(value.name for value in operator.outputs)):
            raise error
    stack = choose(stacks(followed.units), node)
    surroundings = examine(graph, followed, stack)
    layers = read_layers(_stored(unit) for unit in stack)
    left_out = describe_left_out(surroundings.left_out)
    if left_out and not partial and node is None:
        raise ValueError(f"model computes more than its LSTM: {left_out}; leave that out with partial=True")
    lengths = stack[0].nodes[0].state("sequence_lens")
    layers = tuple(_with_attributes(unit, layer) for unit, layer in zip(stack, layers, strict=True))
    front = surroundings.front
    if front.embedding is not None:
        check_table(front.embedding, "the table of the embedding", stack[0].nodes[0].features)
    return Imported(
        layers if front.affine is NO_CHANGE else fold(layers, front.affine),
        surroundings.readout,
        _carries(stack),
        jnp.asarray(lengths, jnp.int32) if isinstance(lengths, np.ndarray) else None,
        stack[0].reverse,
        surroundings.reads,
        tuple(label(node) for place in surroundings.left_out.values() for node in place),
        None if front.embedding is None else copied(as_numpy(front.embedding, "the table of the embedding")),
    )


def _stored(unit: Unit) -> Any:
    """The weights of the directions of a layer."""
    return join_directions([side for node in unit.nodes for side in node.stored()])


def _with_attributes(unit: Unit, layer: Layer) -> Layer:
    """The layer with the variants that its operators keep as attributes."""
    sides = [params for _, params in directions(layer)]
    nodes = [node for node in unit.nodes for _ in range(node.directions)]
    joined: Layer = join_directions([node.with_attributes(params) for node, params in zip(nodes, sides, strict=True)])
    return joined


def _carries(stack: list[Unit]) -> tuple[Any, ...] | None:
    """The initial states that the model holds, zeros for those of its layers without any."""
    states = {(node, role): node.state(role) for unit in stack for node in unit.nodes for role in _ROLES}
    held = [key for key, state in states.items() if isinstance(state, np.ndarray)]
    if not held:
        return None
    if any(isinstance(state, str) for state in states.values()):
        node, role = held[0]
        raise ValueError(
            f"{node.name}: {role} is held by the model, but other states are its inputs: expected one or the other"
        )
    batch = 1
    for node, role in held:
        size: int = states[node, role].shape[1]  # type: ignore[union-attr]  # an array
        if 1 not in (size, batch) and size != batch:
            raise ValueError(f"{node.name}: {role} is for a batch of {size}, but {held[0][1]} for {batch}")
        batch = max(batch, size)
    return tuple(
        join_directions(
            [Carry(*both) for node in unit.nodes for both in zip(*_sides(node, states, batch), strict=True)]
        )
        for unit in stack
    )


_ROLES = ("initial_h", "initial_c")


def _sides(node: Node, states: dict[Any, Any], batch: int) -> list[Any]:
    """The initial h and c of the directions of an operator, zeros for None."""
    shape = (node.directions, batch, node.hidden)
    arrays = [
        np.zeros((), node.weight("W").dtype) if states[node, role] is None else states[node, role] for role in _ROLES
    ]
    return [jnp.asarray(np.broadcast_to(array, shape)) for array in arrays]
