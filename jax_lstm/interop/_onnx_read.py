"""ONNX, read: the LSTM operators of a model, made by whomever."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jax_lstm._types import Bidirectional, Carry, Clip, Coupled, Readout
from jax_lstm.interop._layout import Stored
from jax_lstm.interop._onnx_write import ONNX, import_onnx
from jax_lstm.interop._stack import read_layers

_INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
_ATTRIBUTES = {"hidden_size", "direction", "activations", "activation_alpha", "activation_beta", "clip", "input_forget", "layout"}
_PART_OR_COPY = {"Cast", "Expand", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}
_ACTIVATIONS = ["sigmoid", "tanh", "tanh"]


class OnnxLSTM(NamedTuple):
    """The LSTM of a model, as arguments of `network(layers, xs, carries, lengths=lengths, reverse=reverse)`.

    Args:
        layers: a tuple of layers.
        carries: the initial states that the model holds, one a layer; None where it holds none.
        lengths: the sequence lengths that the model holds; None where it holds none.
        reverse: whether its layers of one direction go from the last step to the first.
        readout: the linear function of the last layer's hidden states that the model goes on with, if it does.
    """

    layers: tuple
    carries: tuple | None
    lengths: jnp.ndarray | None
    reverse: bool
    readout: Readout | None


def from_onnx(model) -> OnnxLSTM:
    """The LSTM operators of an ONNX model, one or a stack of them.

    What the model does before its first LSTM is left to the caller, and so is what it does after the last one, but for a linear
    readout. `xs` is time first, also where the model (its `layout`, or a Transpose in front) is not. Initial states and lengths that are
    inputs of the model are for the caller to hand to `network`.

    Args:
        model: an `onnx.ModelProto`, its bytes, or the path of its file.

    Returns:
        `OnnxLSTM(layers, carries, lengths, reverse, readout)`.

    Raises:
        ValueError: no LSTM operator; activations other than Sigmoid, Tanh, Tanh; weights that are not constants; operators between two
            LSTMs that do more than rearrange axes; the message names the operator. ImportError: `onnx` is not installed.

    >>> import jax
    >>> from jax_lstm import init_network
    >>> from jax_lstm.interop import to_onnx
    >>> from_onnx(to_onnx(init_network(jax.random.key(0), features=3, hidden=[5]))).layers[0].w_x.shape
    (3, 20)
    """
    graph = _Graph(_load(model).graph)
    nodes = [_Node(graph, proto) for proto in graph.proto.node if proto.op_type == "LSTM" and proto.domain in ("", "ai.onnx")]
    if not nodes:
        found = ", ".join(sorted({proto.op_type for proto in graph.proto.node})) or "nothing"
        raise ValueError(f"model has no LSTM operator, it has {found}")
    for before, after in pairwise(nodes):
        wanted = after.proto.input[0], after.axes.replace("d", "")
        if wanted not in [(name, axes) for _, name, axes in graph.ends(before)]:
            raise ValueError(f"{after.name} does not take the outputs of {before.name} as they are: not a stack that network runs")
    if len({node.direction == "reverse" for node in nodes}) > 1:
        raise ValueError("model has LSTMs with direction='reverse' and others without: not a stack that network runs")
    lengths = [node.state("sequence_lens") for node in nodes]
    if any(not np.array_equal(one, lengths[0]) for one in lengths):
        raise ValueError("model has LSTMs with different sequence_lens, expected the same for all")
    layers = read_layers(node.stored() for node in nodes)
    return OnnxLSTM(
        tuple(node.with_attributes(layer) for node, layer in zip(nodes, layers, strict=True)),
        _carries(nodes),
        jnp.asarray(lengths[0], jnp.int32) if isinstance(lengths[0], np.ndarray) else None,
        nodes[0].direction == "reverse",
        graph.readout(nodes[-1]),
    )


class _Graph:
    """A graph with its constants, and the ways between its operators."""

    def __init__(self, proto):
        onnx = import_onnx()
        self.proto = proto
        self.constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.initializer}
        for node in proto.node:
            if node.op_type == "Constant":
                value = onnx.helper.get_attribute_value(node.attribute[0])
                self.constants[node.output[0]] = onnx.numpy_helper.to_array(value) if hasattr(value, "dims") else np.asarray(value)
            elif node.op_type == "Identity" and node.input[0] in self.constants:
                self.constants[node.output[0]] = self.constants[node.input[0]]
        self.inputs = {value.name for value in proto.input} - self.constants.keys()
        self.producers = {name: node for node in proto.node for name in node.output if name}

    def ends(self, lstm: _Node) -> Iterator[tuple[Any, str, str]]:
        """The operators that the outputs Y come to after any that only rearrange axes, with the value they take and its axes."""
        open_ends = [(lstm.proto.output[0], lstm.axes)]
        while open_ends:
            name, axes = open_ends.pop()
            for node in self.proto.node if name else ():
                if name in node.input:
                    moved = self._move(node, axes, lstm)
                    if moved is None:
                        yield node, name, axes
                    else:
                        open_ends.append((node.output[0], moved))

    def _move(self, node, axes: str, lstm: _Node) -> str | None:
        """The axes after an operator that only rearranges them (t time, d directions, b batch, h units); None after any other."""
        attributes = _attributes(node)
        if node.op_type == "Identity" or (node.op_type == "Dropout" and len(node.input) < 3):
            return axes
        if node.op_type == "Transpose":
            order = attributes.get("perm", range(len(axes))[::-1])
            return "".join(axes[axis] for axis in order)
        parameter = self.constants.get(node.input[1]) if len(node.input) > 1 else None
        if node.op_type == "Squeeze" and lstm.directions == 1:
            which = attributes.get("axes", parameter)
            return axes.replace("d", "") if which is not None and [axes[axis] for axis in which] == ["d"] else None
        if node.op_type == "Reshape" and parameter is not None and len(parameter) == 3 and len(axes) == 4:
            joins = lstm.directions == 1 or axes.endswith("dh")
            return axes.replace("d", "") if joins and parameter[2] in (-1, lstm.directions * lstm.hidden) else None
        return None

    def readout(self, lstm: _Node) -> Readout | None:
        """The one product with a constant matrix that the outputs of the last LSTM go into, and the bias after it."""
        width = lstm.directions * lstm.hidden
        products = [node for node, name, axes in self.ends(lstm) if node.op_type == "MatMul" and len(axes) == 3 and node.input[0] == name]
        if len(products) != 1 or np.shape(self.constants.get(products[0].input[1]))[:1] != (width,):
            return None
        w = self.constants[products[0].input[1]]
        for node in self.proto.node:
            if node.op_type == "Add" and products[0].output[0] in node.input:
                (other,) = (name for name in node.input if name != products[0].output[0])
                if np.shape(self.constants.get(other)) == w.shape[1:]:
                    return Readout(jnp.asarray(w), jnp.asarray(self.constants[other]))
        return Readout(jnp.asarray(w))

    def source(self, name: str) -> str:
        """The value that another one is a part or a copy of: exporters slice and expand the states of a whole stack."""
        while name not in self.constants and name in self.producers and self.producers[name].op_type in _PART_OR_COPY:
            name = self.producers[name].input[0]
        return name

    def is_zero(self, name: str) -> bool:
        """Whether a value is made of zeros, whatever its shape: how exporters write that there is no initial state."""
        if name in self.constants:
            return not self.constants[name].any()
        node = self.producers.get(name)
        if node is None or node.op_type != "ConstantOfShape":
            return False
        value = _attributes(node).get("value")
        return value is None or not import_onnx().numpy_helper.to_array(value).any()


class _Node:
    """One LSTM operator."""

    def __init__(self, graph: _Graph, proto):
        self.graph, self.proto = graph, proto
        self.name = f"LSTM {proto.name or next(filter(None, proto.output))!r}"
        self.inputs = dict(zip(_INPUTS, proto.input, strict=False))
        self.attributes = _attributes(proto)
        unknown = sorted(self.attributes.keys() - _ATTRIBUTES)
        if unknown:
            raise ValueError(f"{self.name} has an unknown attribute {unknown[0]!r}, expected {', '.join(sorted(_ATTRIBUTES))}")
        self.direction = self.attributes.get("direction", b"forward").decode()
        self.directions = 2 if self.direction == "bidirectional" else 1
        activations = [name.decode() for name in self.attributes.get("activations", [])]
        if activations and [name.lower() for name in activations] != _ACTIVATIONS * self.directions:
            raise ValueError(f"{self.name} has activations {', '.join(activations)}, expected Sigmoid, Tanh, Tanh: network has no others")
        if not self.attributes.get("clip", 1.0) > 0:
            raise ValueError(f"{self.name} has clip {self.attributes['clip']}, expected a positive number, or no such attribute")
        self.batch_first = self.attributes.get("layout", 0) == 1
        self.axes = "btdh" if self.batch_first else "tdbh"
        self.hidden = self.weight("R").shape[-1]
        if self.attributes.get("hidden_size", self.hidden) != self.hidden:
            shape = self.weight("R").shape
            raise ValueError(f"{self.name} has hidden_size {self.attributes['hidden_size']}, but R of shape {shape}: they must agree")

    def weight(self, role: str) -> np.ndarray:
        """A weight, directions first."""
        name = self.inputs.get(role, "")
        if name not in self.graph.constants:
            source = "an input of the model" if name in self.graph.inputs else f"made by {self._producer(name)}" if name else "not there"
            raise ValueError(f"{self.name}: {role} is {source}, expected an initialiser or a Constant")
        array = self.graph.constants[name]
        hidden = array.shape[-1] if role == "R" else self.hidden
        last = {"W": array.shape[-1], "R": hidden, "B": 8 * hidden, "P": 3 * hidden}[role]
        expected = (self.directions, 4 * hidden, last) if role in "WR" else (self.directions, last)
        if array.shape != expected:
            raise ValueError(f"{self.name}: {role} has shape {array.shape}, expected {expected} for {self.direction} and {hidden} units")
        return array

    def state(self, role: str) -> Any:
        """A value that is the caller's, by its name, or the model's, as an array; None for none."""
        name = self.inputs.get(role, "")
        source = self.graph.source(name)
        if not name or (role != "sequence_lens" and self.graph.is_zero(source)):
            return None
        if source in self.graph.inputs:
            return source
        if name not in self.graph.constants:
            raise ValueError(f"{self.name}: {role} is made by {self._producer(name)}, expected an initialiser, a Constant or an input")
        return self.graph.constants[name]

    def stored(self) -> Stored | Bidirectional:
        """The weights of the directions, in the layout of the format."""
        cells = []
        for d in range(self.directions):
            arrays = {role: self.weight(role)[d] for role in ("W", "R", "P") if role in "WR" or self.inputs.get(role)}
            if self.inputs.get("B"):
                arrays["Wb"], arrays["Rb"] = np.split(self.weight("B")[d], 2)
            cells.append(Stored(ONNX, arrays, self.name))
        return Bidirectional(*cells) if len(cells) > 1 else cells[0]

    def with_attributes(self, layer):
        """The layer with the variants that the operator keeps as attributes."""
        if isinstance(layer, Bidirectional):
            return Bidirectional(*map(self.with_attributes, layer))
        if "clip" in self.attributes:
            layer = layer._replace(clip=Clip(gates=self.attributes["clip"]))
        if not self.attributes.get("input_forget", 0):
            return layer
        narrow = {field: _without_forget(getattr(layer, field)) for field in ("w_x", "w_h", "b")}
        peephole = None if layer.peephole is None else layer.peephole[jnp.array([0, 2])]
        return layer._replace(**narrow, peephole=peephole, coupled=Coupled())

    def _producer(self, name: str) -> str:
        node = self.graph.producers.get(name)
        return f"no operator ({name!r})" if node is None else node.op_type


def _carries(nodes: list[_Node]) -> tuple | None:
    """The initial states that the model holds, zeros for those of its layers without any."""
    states = [(node, role, node.state(role)) for node in nodes for role in ("initial_h", "initial_c")]
    held = [(node, role, array) for node, role, array in states if isinstance(array, np.ndarray)]
    if not held:
        return None
    if any(isinstance(value, str) for _, _, value in states):
        raise ValueError(
            f"{held[0][0].name}: {held[0][1]} is held by the model, but other states are its inputs: expected one or the other"
        )
    batch = held[0][2].shape[0 if held[0][0].batch_first else 1]
    filled = []
    for node, role, array in states:
        shape = (batch, node.directions, node.hidden) if node.batch_first else (node.directions, batch, node.hidden)
        if array is not None and array.shape != shape:
            raise ValueError(f"{node.name}: {role} has shape {array.shape}, expected {shape}")
        array = np.zeros(shape, node.weight("W").dtype) if array is None else array
        filled.append(jnp.asarray(np.swapaxes(array, 0, 1) if node.batch_first else array))
    pairs = [[Carry(h, c) for h, c in zip(*both, strict=True)] for both in zip(filled[::2], filled[1::2], strict=True)]
    return tuple(Bidirectional(*pair) if len(pair) > 1 else pair[0] for pair in pairs)


def _without_forget(array):
    if array is None:
        return None
    i, _, g, o = jnp.split(array, 4, axis=-1)
    return jnp.concatenate([i, g, o], axis=-1)


def _attributes(node) -> dict[str, Any]:
    helper = import_onnx().helper
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _load(model):
    onnx = import_onnx()
    from google.protobuf.message import DecodeError

    if isinstance(model, onnx.ModelProto):
        return model
    try:
        if isinstance(model, bytes):
            return onnx.load_from_string(model)
        if isinstance(model, str | os.PathLike):
            return onnx.load(model)
    except DecodeError as error:
        raise ValueError(f"model is no ONNX model: {error}") from error
    raise TypeError(f"model is a {type(model).__name__}, expected an onnx.ModelProto, bytes or a path")
