"""One LSTM operator of an ONNX graph: its weights, states and attributes, checked."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from jax_lstm._types import Clip, Coupled, LSTMParams
from jax_lstm.interop._layout import Stored
from jax_lstm.interop._onnx_states import held_value
from jax_lstm.interop._onnx_values import constant, label, origin
from jax_lstm.interop._onnx_write import ONNX

_INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
_ATTRIBUTES = {
    "hidden_size": int,
    "direction": str,
    "activations": list,
    "activation_alpha": list,
    "activation_beta": list,
    "clip": float,
    "input_forget": int,
    "layout": int,
}
_VALUES = {"direction": ("forward", "reverse", "bidirectional"), "input_forget": (0, 1), "layout": (0, 1)}
_ACTIVATIONS = ["sigmoid", "tanh", "tanh"]


class Node:
    """One LSTM operator."""

    def __init__(self, node: Any):
        self.node = node
        self.name = label(node)
        self.inputs = dict(zip(_INPUTS, node.inputs, strict=False))
        self.outputs = (*node.outputs, None, None, None)[:3]
        self.attributes = {name: attribute.value for name, attribute in node.attributes.items()}
        if self.inputs.get("X") is None:
            raise ValueError(f"{self.name} has no input X")
        self._check_attributes()
        self.direction = self.attributes.get("direction", "forward")
        self.directions = 2 if self.direction == "bidirectional" else 1
        self.batch_first = self.attributes.get("layout", 0) == 1
        self.hidden = self.weight("R").shape[-1]
        if self.attributes.get("hidden_size", self.hidden) != self.hidden:
            shape = self.weight("R").shape
            raise ValueError(
                f"{self.name} has hidden_size {self.attributes['hidden_size']}, but R of shape {shape}: they must agree"
            )
        self.features = self.weight("W").shape[-1]

    def _check_attributes(self) -> None:
        for name, value in self.attributes.items():
            if name not in _ATTRIBUTES:
                known = ", ".join(sorted(_ATTRIBUTES))
                raise ValueError(f"{self.name} has an unknown attribute {name!r}, expected {known}")
            kind = list if isinstance(value, tuple) else type(value)
            if kind is not _ATTRIBUTES[name]:
                raise ValueError(f"{self.name} has {name} {value!r}, expected a {_ATTRIBUTES[name].__name__}")
            if value not in _VALUES.get(name, (value,)):
                expected = ", ".join(map(repr, _VALUES[name]))
                raise ValueError(f"{self.name} has {name} {value!r}, expected one of {expected}")
        activations = list(self.attributes.get("activations", []))
        sides = 2 if self.attributes.get("direction") == "bidirectional" else 1
        if activations and [str(name).lower() for name in activations] != _ACTIVATIONS * sides:
            raise ValueError(
                f"{self.name} has activations {', '.join(map(str, activations))}, "
                "expected Sigmoid, Tanh, Tanh: network has no others"
            )
        for name, usual in (("activation_alpha", 1.0), ("activation_beta", 0.0)):
            if any(value != usual for value in self.attributes.get(name, ())):
                given = list(self.attributes[name])
                raise ValueError(f"{self.name} has {name} {given}, which Sigmoid and Tanh do not have: leave it out")
        if not self.attributes.get("clip", 1.0) > 0:
            raise ValueError(
                f"{self.name} has clip {self.attributes['clip']}, expected a positive number, or no such attribute"
            )

    def weight(self, role: str) -> np.ndarray:
        """A weight, directions first."""
        value = self.inputs.get(role)
        array = constant(value)
        if array is None:
            raise ValueError(f"{self.name}: {role} is {origin(value)}, expected an initializer or a Constant")
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
        """A state or the lengths: an array of the model, the name of an input of the model, or None.

        A state of the model is `(directions, batch, hidden)`, with a batch of 1 where all sequences have the same.
        """
        held = held_value(self.inputs.get(role))
        if isinstance(held, ValueError):
            raise ValueError(f"{self.name}: {role} is {held}")
        if role == "sequence_lens" or not isinstance(held, np.ndarray):
            return held
        given = held.shape
        held = held.reshape((1,) * (3 - held.ndim) + given) if held.ndim < 3 else held
        held = np.swapaxes(held, 0, 1) if self.batch_first else held
        if held.ndim != 3 or held.shape[0] not in (1, self.directions) or held.shape[2] not in (1, self.hidden):
            expected = (
                ("batch", self.directions, self.hidden) if self.batch_first else (self.directions, "batch", self.hidden)
            )
            shape = ", ".join(map(str, expected))
            raise ValueError(f"{self.name}: {role} has shape {given}, expected ({shape}): they must fit its weights")
        return np.broadcast_to(held, (self.directions, held.shape[1], self.hidden)) if held.any() else None

    def stored(self) -> list[Stored]:
        """The weights of each direction, in the layout of the format."""
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
        return cells

    def with_attributes(self, params: LSTMParams) -> LSTMParams:
        """The layer of a direction with the variants that the operator keeps as attributes."""
        if "clip" in self.attributes:
            params = params._replace(clip=Clip(gates=self.attributes["clip"]))
        return _couple(params) if self.attributes.get("input_forget", 0) else params


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
