"""Operators and values of an ONNX graph: their names, attributes, parameters and constants."""

from __future__ import annotations

from typing import Any

import numpy as np


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
            f"initializer {value.name!r} of the model cannot be read: {' '.join(str(error).split())}"
        ) from error


class NotFollowedError(Exception):
    """A parameter of an operator is computed by the model, so that what the operator does is not known."""


def integers(node: Any, name: str, place: int) -> list[int] | None:
    """A parameter of an operator: an attribute in old models, a constant input in newer ones; None where absent.

    Raises:
        NotFollowedError: an input that is not constant.
    """
    if name in node.attributes:
        return [int(one) for one in attribute(node, name)]
    if len(node.inputs) <= place or node.inputs[place] is None:
        return None
    array = constant(node.inputs[place])
    if array is None or array.size > 64:
        raise NotFollowedError
    return [int(one) for one in array.reshape(-1)]


def attribute(node: Any, name: str) -> Any:
    """The value of an attribute, None where it is absent."""
    return node.attributes[name].value if name in node.attributes else None


def origin(value: Any) -> str:
    """Where a value comes from, for messages."""
    if value is None:
        return "not there"
    if value.is_graph_input():
        return "an input of the model"
    return f"made by {value.producer().op_type}" if value.producer() else f"made by no operator ({value.name!r})"
