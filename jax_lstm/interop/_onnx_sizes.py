"""The sizes that an ONNX graph computes from shapes, for a Reshape: numbers, and sizes that only the caller knows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jax_lstm.interop._onnx_axes import Size, Stream, size_of
from jax_lstm.interop._onnx_values import attribute, constant, integers

Sizes = list[Size | None]
"""The numbers in a value; None for one that is not known."""


def sizes_of(value: Any, known: dict[Any, Sizes]) -> Sizes | None:
    """The numbers in a value of sizes; None where nothing is known."""
    array = constant(value)
    if array is not None:
        return [Size(int(one)) for one in array.reshape(-1)] if array.size <= 64 and array.ndim < 2 else None
    return known.get(value)


def repeated(value: Any, known: dict[Any, Sizes]) -> Size | None:
    """The one number that a value of sizes has in all its entries; None for any other value."""
    while (sizes := sizes_of(value, known)) is None:
        node = value.producer()
        if node is None or node.op_type not in ("Cast", "Expand", "Identity", "Reshape", "Tile", "Unsqueeze"):
            return None
        value = node.inputs[0]
    return sizes[0] if sizes and all(size == sizes[0] for size in sizes) else None


def arithmetic(node: Any, known: dict[Any, Sizes], streams: dict[Any, Stream]) -> Sizes | None:
    """The sizes that an operator computes from shapes and constants; None for any other."""
    if node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type == "Shape":
        return _shape(node, streams)
    given = [sizes_of(value, known) for value in node.inputs if value is not None]
    if not given or given[0] is None or not any(value in known for value in node.inputs):
        return None
    first = given[0]
    match node.op_type:
        case "Cast" | "Identity" | "Squeeze" | "Unsqueeze":
            return first
        case "Reshape":
            return first if len(first) == 1 or constant(node.inputs[1]) is not None else None
        case "Concat":
            return [size for part in given for size in part] if all(part is not None for part in given) else None  # type: ignore[union-attr]
        case "Gather":
            index = constant(node.inputs[1])
            return None if index is None else [first[int(one)] for one in index.reshape(-1)]
        case "Slice":
            bounds = [integers(node, name, place) for name, place in (("starts", 1), ("ends", 2), ("steps", 4))]
            if bounds[0] is None or bounds[1] is None or len(bounds[0]) != 1:
                return None
            return first[bounds[0][0] : bounds[1][0] : bounds[2][0] if bounds[2] else 1]
        case "Mul":
            return _multiply(first, given[1]) if given[1] is not None else None
        case "ReduceProd":
            return _fold(first)
    return None


def _shape(node: Any, streams: dict[Any, Stream]) -> Sizes | None:
    stream = streams.get(node.inputs[0])
    start, end = attribute(node, "start") or 0, attribute(node, "end")
    if stream is None:
        return None
    sizes: Sizes = [size_of(axis) for axis in stream.axes]
    return sizes[start:end]


def _multiply(one: Sizes, other: Sizes) -> Sizes | None:
    if len(one) != len(other) and 1 not in (len(one), len(other)):
        return None
    count = max(len(one), len(other))
    pairs = zip(one * (count // len(one)), other * (count // len(other)), strict=True)
    return [None if a is None or b is None else a.times(b) for a, b in pairs]


def _fold(sizes: Iterable[Size | None]) -> Sizes:
    total: Size | None = Size(1)
    for size in sizes:
        total = None if total is None or size is None else total.times(size)
    return [total]
