"""One LSTM operator of an ONNX graph: its weights, states and attributes, checked."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from jax_lstm._types import Clip, Coupled, Layer, LSTMParams, directions
from jax_lstm.interop._layout import Stored
from jax_lstm.interop._onnx_write import ONNX
from jax_lstm.interop._stack import join_directions

_INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
_ATTRIBUTES = {
    "hidden_size",
    "direction",
    "activations",
    "activation_alpha",
    "activation_beta",
    "clip",
    "input_forget",
    "layout",
}
_PART_OR_COPY = {"Cast", "Expand", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}
_ACTIVATIONS = ["sigmoid", "tanh", "tanh"]


class Node:
    """One LSTM operator."""

    def __init__(self, node: Any):
        self.node = node
        self.name = label(node)
        self.inputs = dict(zip(_INPUTS, node.inputs, strict=False))
        self.outputs = (*node.outputs, None, None, None)[:3]
        self.attributes = {name: attribute.value for name, attribute in node.attributes.items()}
        self._check_attributes()
        self.direction = self.attributes.get("direction", "forward")
        self.directions = 2 if self.direction == "bidirectional" else 1
        self.batch_first = self.attributes.get("layout", 0) == 1
        # t time, d directions, b batch, h units
        self.axes = "btdh" if self.batch_first else "tdbh"
        self.hidden = self.weight("R").shape[-1]
        if self.attributes.get("hidden_size", self.hidden) != self.hidden:
            shape = self.weight("R").shape
            raise ValueError(
                f"{self.name} has hidden_size {self.attributes['hidden_size']}, but R of shape {shape}: they must agree"
            )

    def _check_attributes(self) -> None:
        unknown = sorted(self.attributes.keys() - _ATTRIBUTES)
        if unknown:
            raise ValueError(
                f"{self.name} has an unknown attribute {unknown[0]!r}, expected {', '.join(sorted(_ATTRIBUTES))}"
            )
        activations = list(self.attributes.get("activations", []))
        sides = 2 if self.attributes.get("direction") == "bidirectional" else 1
        if activations and [name.lower() for name in activations] != _ACTIVATIONS * sides:
            raise ValueError(
                f"{self.name} has activations {', '.join(activations)}, "
                "expected Sigmoid, Tanh, Tanh: network has no others"
            )
        if not self.attributes.get("clip", 1.0) > 0:
            raise ValueError(
                f"{self.name} has clip {self.attributes['clip']}, expected a positive number, or no such attribute"
            )

    def weight(self, role: str) -> np.ndarray:
        """A weight, directions first."""
        value = self.inputs.get(role)
        array = constant(value)
        if array is None:
            raise ValueError(f"{self.name}: {role} is {_origin(value)}, expected an initialiser or a Constant")
        hidden = array.shape[-1] if role == "R" else self.hidden
        last = {"W": array.shape[-1], "R": hidden, "B": 8 * hidden, "P": 3 * hidden}[role]
        expected = (self.directions, 4 * hidden, last) if role in "WR" else (self.directions, last)
        if array.shape != expected:
            raise ValueError(
                f"{self.name}: {role} has shape {array.shape}, "
                f"expected {expected} for {self.direction} and {hidden} units"
            )
        return array

    def state(self, role: str) -> np.ndarray | str | None:
        """A state or the lengths: an array of the model, the name of an input of the model, or None."""
        value = self.inputs.get(role)
        source = _source(value)
        if source is None or (role != "sequence_lens" and _is_zero(source)):
            return None
        if source.is_graph_input() and constant(source) is None:
            return str(source.name)
        array = constant(value)
        if array is None:
            raise ValueError(
                f"{self.name}: {role} is {_origin(value)}, expected an initialiser, a Constant or an input of the model"
            )
        return array

    def stored(self) -> Any:
        """The weights of the directions, in the layout of the format."""
        cells = []
        for d in range(self.directions):
            arrays = {
                role: self.weight(role)[d]
                for role in ("W", "R", "P")
                if role in "WR" or self.inputs.get(role) is not None
            }
            if self.inputs.get("B") is not None:
                arrays["Wb"], arrays["Rb"] = np.split(self.weight("B")[d], 2)
            cells.append(Stored(ONNX, arrays, self.name))
        return join_directions(cells)

    def with_attributes(self, layer: Layer) -> Layer:
        """The layer with the variants that the operator keeps as attributes."""
        sides = []
        for _, params in directions(layer):
            if "clip" in self.attributes:
                params = params._replace(clip=Clip(gates=self.attributes["clip"]))
            sides.append(_couple(params) if self.attributes.get("input_forget", 0) else params)
        joined: Layer = join_directions(sides)
        return joined


def label(node: Any) -> str:
    """An operator as messages call it."""
    name = node.name or next((value.name for value in node.outputs if value.name), "")
    return f"{node.op_type} {name!r}"


def constant(value: Any) -> np.ndarray | None:
    """The array of a value that the model holds, None for any other."""
    if value is None or value.const_value is None:
        return None
    try:
        return np.asarray(value.const_value.numpy())
    except (ValueError, TypeError, OSError) as error:
        raise ValueError(
            f"initialiser {value.name!r} of the model cannot be read: {' '.join(str(error).split())}"
        ) from error


def attribute(node: Any, name: str) -> Any:
    """The value of an attribute, None where it is absent."""
    return node.attributes[name].value if name in node.attributes else None


def _couple(params: LSTMParams) -> LSTMParams:
    """The layer without its forget block, which the operator ignores where gates are coupled."""

    def narrow(array: Any) -> Any:
        if array is None:
            return None
        i, _, g, o = jnp.split(array, 4, axis=-1)
        return jnp.concatenate([i, g, o], axis=-1)

    peephole = None if params.peephole is None else params.peephole[jnp.array([0, 2])]
    return params._replace(
        w_x=narrow(params.w_x), w_h=narrow(params.w_h), b=narrow(params.b), peephole=peephole, coupled=Coupled()
    )


def _source(value: Any) -> Any:
    """The value that another one is a part or a copy of: exporters slice and expand the states of a whole stack."""
    while (
        value is not None and constant(value) is None and value.producer() and value.producer().op_type in _PART_OR_COPY
    ):
        value = value.producer().inputs[0]
    return value


def _is_zero(value: Any) -> bool:
    """Whether a value is made of zeros, whatever its shape: how exporters write that there is no initial state."""
    array = constant(value)
    if array is not None:
        return not array.any()
    node = value.producer()
    if node is None or node.op_type != "ConstantOfShape":
        return False
    filling = attribute(node, "value")
    return filling is None or not filling.numpy().any()


def _origin(value: Any) -> str:
    """Where a value comes from, for messages."""
    if value is None:
        return "not there"
    if value.is_graph_input():
        return "an input of the model"
    return f"made by {value.producer().op_type}" if value.producer() else f"made by no operator ({value.name!r})"
