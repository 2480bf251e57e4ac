"""ONNX, read: the LSTM operators of a model, whoever wrote it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jax_lstm._types import Bidirectional, Carry, Layer, Readout
from jax_lstm.interop._onnx_graph import describe_left_out, examine
from jax_lstm.interop._onnx_load import load_graph
from jax_lstm.interop._onnx_node import Node, label
from jax_lstm.interop._stack import join_directions, read_layers

if TYPE_CHECKING:
    import onnx
    from jaxtyping import Array, Int


class OnnxLSTM(NamedTuple):
    """The LSTM of a model, as arguments of `network(layers, xs, carries, lengths=lengths, reverse=reverse)`.

    Args:
        layers: a tuple of layers.
        carries: the initial states that the model holds, one per layer; None where it holds none.
        lengths: the sequence lengths that the model holds; None where it holds none.
        reverse: whether its layers of one direction go from the last step to the first.
        readout: the linear function of the last layer's hidden states that follows in the model, if any.
        left_out: the operators of the model that none of these includes, by place and name; empty unless `partial` was
            given.
    """

    layers: tuple[Layer, ...]
    carries: tuple[Carry | Bidirectional[Carry], ...] | None
    lengths: Int[Array, " batch"] | None
    reverse: bool
    readout: Readout | None
    left_out: tuple[str, ...] = ()


def from_onnx(model: onnx.ModelProto | bytes | str | os.PathLike[str], *, partial: bool = False) -> OnnxLSTM:
    """The LSTM operators of an ONNX model, one or a stack of them, and the linear readout after them.

    `xs` is time first, also where the model (its `layout`, or a Transpose in front) is not. A readout of one output
    keeps its axis where the model, by a product with a vector, drops it. Initial states and lengths that are inputs of
    the model are for the caller to pass to `network`. A model that computes anything else is refused, with the
    operators that layers do not include, unless `partial`.

    Args:
        model: an `onnx.ModelProto`, its bytes, or the path of its file. External data has to be in regular files in the
            model's folder.
        partial: leave out the operators before, between and after the LSTMs, and name them in `left_out`.

    Returns:
        `OnnxLSTM(layers, carries, lengths, reverse, readout, left_out)`.

    Raises:
        ValueError: no LSTM operator; activations other than Sigmoid, Tanh, Tanh; weights that are not constants; other
            operators; LSTMs that are no stack; the message names the operator. ImportError: `onnx` or `onnx-ir` is not
            installed.

    >>> import jax
    >>> from jax_lstm import init_network
    >>> from jax_lstm.interop import to_onnx
    >>> from_onnx(to_onnx(init_network(jax.random.key(0), features=3, hidden=[5]))).layers[0].w_x.shape
    (3, 20)
    """
    graph = load_graph(model)
    nodes = [Node(node) for node in graph if node.op_type == "LSTM" and node.domain in ("", "ai.onnx")]
    if not nodes:
        found = ", ".join(sorted({node.op_type for node in graph})) or "nothing"
        raise ValueError(f"model has no LSTM operator, it has {found}")
    surroundings = examine(graph, nodes, partial)
    if len({node.direction == "reverse" for node in nodes}) > 1:
        raise ValueError("model has LSTMs with direction='reverse' and others without: not a stack that network runs")
    lengths = [node.state("sequence_lens") for node in nodes]
    if any(not np.array_equal(one, lengths[0]) for one in lengths):  # type: ignore[arg-type]  # names and None compare as well
        raise ValueError("model has LSTMs with different sequence_lens, expected the same for all")
    layers, carries = read_layers(node.stored() for node in nodes), _carries(nodes)
    left_out = describe_left_out(surroundings.left_out)
    if left_out and not partial:
        raise ValueError(f"model computes more than its LSTM: {left_out}; leave that out with partial=True")
    return OnnxLSTM(
        tuple(node.with_attributes(layer) for node, layer in zip(nodes, layers, strict=True)),
        carries,
        jnp.asarray(lengths[0], jnp.int32) if isinstance(lengths[0], np.ndarray) else None,
        nodes[0].direction == "reverse",
        surroundings.readout,
        tuple(label(node) for place in surroundings.left_out.values() for node in place),
    )


def _carries(nodes: list[Node]) -> tuple[Any, ...] | None:
    """The initial states that the model holds, zeros for those of its layers without any."""
    states = [(node, role, node.state(role)) for node in nodes for role in ("initial_h", "initial_c")]
    held = [(node, role, array) for node, role, array in states if isinstance(array, np.ndarray)]
    if not held:
        return None
    first, role, array = held[0]
    if any(isinstance(value, str) for _, _, value in states):
        raise ValueError(
            f"{first.name}: {role} is held by the model, but other states are its inputs: expected one or the other"
        )
    batch = array.shape[0 if first.batch_first else 1]
    filled = [_state(node, role, value, batch) for node, role, value in states]
    return tuple(
        join_directions([Carry(h, c) for h, c in zip(both_h, both_c, strict=True)])
        for both_h, both_c in zip(filled[::2], filled[1::2], strict=True)
    )


def _state(node: Node, role: str, array: Any, batch: int) -> Any:
    """An initial state with directions first, zeros for None."""
    shape = (batch, node.directions, node.hidden) if node.batch_first else (node.directions, batch, node.hidden)
    if array is None:
        array = np.zeros(shape, node.weight("W").dtype)
    if array.shape != shape:
        raise ValueError(f"{node.name}: {role} has shape {array.shape}, expected {shape}")
    return jnp.asarray(np.swapaxes(array, 0, 1) if node.batch_first else array)
