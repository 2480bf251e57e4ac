"""Initial states and lengths of an ONNX model, through the copies and parts that exporters make of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from jax_lstm.interop._onnx_values import NotFollowedError, attribute, constant, integers, label, origin


def held_value(value: Any) -> np.ndarray | str | ValueError | None:
    """What the model holds of an optional input, through copies and parts of it.

    Returns:
        The array, with axes of one entry where the model repeats it; the name of the input of the model that it is made
        of; None where it is absent; or, as an error without the operator's name, what it is instead.
    """
    if value is None:
        return None
    steps: list[Any] = []
    while constant(value) is None and not value.is_graph_input():
        node = value.producer()
        if node is None or node.op_type not in _COPIES or not node.inputs or node.inputs[0] is None:
            return ValueError(f"{origin(value)}, expected an initializer, a Constant or an input of the model")
        steps.append(node)
        value = node.inputs[0]
        if node.op_type in _FILLS:
            break
    if value.is_graph_input() and constant(value) is None and not (steps and steps[-1].op_type in _FILLS):
        return str(value.name)
    array = constant(value)
    for node in reversed(steps):
        try:
            array = _COPIES[node.op_type](node, array)
        except (ValueError, IndexError, TypeError, AttributeError, NotFollowedError) as error:
            raise ValueError(
                f"model is not a valid ONNX model: {label(node)} has invalid attributes or inputs"
            ) from error
    return array


def _fill(node: Any, shape: Any) -> np.ndarray:
    """ConstantOfShape, and ConstantFill of old models: one number, repeated along the last axis if that is known."""
    filling = attribute(node, "value")
    number = np.float32(
        0 if filling is None else filling if isinstance(filling, float) else filling.numpy().reshape(())
    )
    return np.full((1,) if shape is None else (1,) * (shape.size - 1) + (_bounded(shape[-1]),), number)


def _bounded(size: Any) -> int:
    """A number of units that a model states, refused beyond what any model has: a lie must not take memory."""
    if not 0 < int(size) < 2**24:
        raise ValueError(f"an axis of {size} entries")
    return int(size)


def _slice(node: Any, array: np.ndarray) -> np.ndarray:
    """A Slice; an axis of one entry is repeated by the model, and any part of it has one entry again."""
    starts, ends = integers(node, "starts", 1) or [], integers(node, "ends", 2) or []
    places = integers(node, "axes", 3) or range(len(starts))
    steps = integers(node, "steps", 4) or [1] * len(starts)
    for place, start, end, step in zip(places, starts, ends, steps, strict=True):
        if array.ndim and array.shape[place] > 1:
            part = [slice(None)] * array.ndim
            part[place] = slice(start, end, step)
            array = array[tuple(part)]
    return array


def _expand(node: Any, array: np.ndarray) -> np.ndarray:
    """An Expand or a Tile: the axes that it repeats stay at one entry, those in front of the first are added."""
    sizes, shape = constant(node.inputs[1]), node.inputs[1].shape
    rank = sizes.size if sizes is not None else shape[0] if shape is not None and isinstance(shape[0], int) else 0
    array = array.reshape((1,) * max(0, rank - array.ndim) + array.shape)
    if sizes is not None and node.op_type == "Expand" and array.shape[-1:] == (1,):
        array = np.repeat(array, _bounded(sizes.reshape(-1)[-1]), axis=-1)
    return array


def _reshape(node: Any, array: np.ndarray) -> np.ndarray:
    """A Reshape of what the model repeats: only where all numbers are equal does it not matter how."""
    if array.size and (array != array.reshape(-1)[0]).any():
        raise ValueError("a Reshape of repeated numbers")
    return array.reshape(-1)[:1]


_FILLS = {"ConstantFill", "ConstantOfShape"}
_COPIES: dict[str, Any] = {
    "Cast": lambda node, array: array,
    "ConstantFill": _fill,
    "ConstantOfShape": _fill,
    "Expand": _expand,
    "Identity": lambda node, array: array,
    "Reshape": _reshape,
    "Slice": _slice,
    "Squeeze": lambda node, array: array.squeeze(tuple(integers(node, "axes", 1) or ())) if array.size > 1 else array,
    "Tile": _expand,
    "Transpose": lambda node, array: array.transpose(attribute(node, "perm")) if array.size > 1 else array,
    "Unsqueeze": lambda node, array: np.expand_dims(array, tuple(integers(node, "axes", 1) or ())),
}
