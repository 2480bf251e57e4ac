"""The operators of an ONNX graph that only rearrange or select: what each makes of the axes of a stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax_lstm.interop._onnx_axes import Size, Stream, entries, regroup, reverse, size_of, take
from jax_lstm.interop._onnx_sizes import Sizes, repeated, sizes_of
from jax_lstm.interop._onnx_values import attribute, constant, integers, label


def move(node: Any, stream: Stream, known: dict[Any, Sizes]) -> Stream | None:
    """The stream after an operator; None after one that computes, or that cannot be followed."""
    return _MOVES[node.op_type](node, stream, known) if node.op_type in _MOVES else None


def is_dropout(node: Any) -> bool:
    """A Dropout that changes nothing, as it is not told to train."""
    return node.op_type == "Dropout" and (len(node.inputs) < 3 or node.inputs[2] is None)


def split(node: Any, stream: Stream) -> list[Stream] | None:
    """The outputs of a Split of an axis into its entries; None for any other Split."""
    place = range(len(stream.axes))[attribute(node, "axis") or 0]
    if entries(stream.axes[place]) != len(node.outputs):
        return None
    parts = [take(stream, place, k, True) for k in range(len(node.outputs))]
    if integers(node, "split", 1) not in (None, [1] * len(parts)):
        return None
    return [part for part in parts if part is not None] if all(parts) else None


def part_of(node: Any, place: int, streams: list[Stream]) -> Stream | None:
    """One entry of several streams in a row along an axis, such as the last layer's of the final states; else None."""
    if node.op_type != "Gather" or (range(len(streams[0].axes))[attribute(node, "axis") or 0]) != place:
        return None
    index, counts = constant(node.inputs[1]), [entries(stream.axes[place]) for stream in streams]
    if index is None or index.size != 1 or index.ndim > 1 or None in counts:
        return None
    at = int(index.reshape(()))
    at += sum(map(int, counts)) if at < 0 else 0  # type: ignore[arg-type]  # none is None
    for stream, count in zip(streams, counts, strict=True):
        if 0 <= at < count:  # type: ignore[operator]
            return take(stream, place, at, index.ndim == 1)
        at -= count  # type: ignore[operator]
    return None


def _transpose(node: Any, stream: Stream, known: dict[Any, Sizes]) -> Stream | None:
    order = list(attribute(node, "perm") or range(len(stream.axes))[::-1])
    if sorted(order) != list(range(len(stream.axes))):
        raise ValueError(f"model is not a valid ONNX model: {label(node)} has perm {order} of {len(stream.axes)} axes")
    return stream._replace(axes=tuple(stream.axes[place] for place in order))


def _squeeze(node: Any, stream: Stream, known: dict[Any, Sizes]) -> Stream | None:
    places = integers(node, "axes", 1)
    if places is None:  # all axes of one entry
        if any(atom.size is None for axis in stream.axes for atom in axis):
            return None
        places = [place for place, axis in enumerate(stream.axes) if not axis]
    dropped = {range(len(stream.axes))[place] for place in places}
    if any(stream.axes[place] for place in dropped):
        return None
    return stream._replace(axes=tuple(axis for place, axis in enumerate(stream.axes) if place not in dropped))


def _unsqueeze(node: Any, stream: Stream, known: dict[Any, Sizes]) -> Stream | None:
    places = integers(node, "axes", 1)
    if places is None:
        return None
    rank = len(stream.axes) + len(places)
    added = {range(rank)[place] for place in places}
    left = iter(stream.axes)
    return stream._replace(axes=tuple(() if place in added else next(left) for place in range(rank)))


def _reshape(node: Any, stream: Stream, known: dict[Any, Sizes]) -> Stream | None:
    sizes = sizes_of(node.inputs[1], known) if len(node.inputs) > 1 else None
    if sizes is None and "shape" in node.attributes:
        sizes = [Size(int(size)) for size in attribute(node, "shape")]
    axes = None if sizes is None else regroup(stream.axes, sizes, not attribute(node, "allowzero"))
    return None if axes is None else stream._replace(axes=axes)


def _flatten(node: Any, stream: Stream, known: dict[Any, Sizes]) -> Stream | None:
    axis = attribute(node, "axis")
    at = range(len(stream.axes) + 1)[1 if axis is None else axis]
    return stream._replace(axes=(sum(stream.axes[:at], ()), sum(stream.axes[at:], ())))


def _slice(node: Any, stream: Stream, known: dict[Any, Sizes]) -> Stream | None:
    starts, ends = integers(node, "starts", 1), integers(node, "ends", 2)
    if starts is None or ends is None:
        return None
    places = integers(node, "axes", 3) or list(range(len(starts)))
    steps = integers(node, "steps", 4) or [1] * len(starts)
    if len({*map(len, (places, starts, ends, steps))}) != 1:
        raise IndexError
    result: Stream | None = stream
    for place, start, end, step in zip(places, starts, ends, steps, strict=True):
        if result is not None:
            result = _cut(result, range(len(stream.axes))[place], start, end, step)
    return result


def _gather(node: Any, stream: Stream, known: dict[Any, Sizes]) -> Stream | None:
    index = constant(node.inputs[1])
    if index is None or index.size != 1 or index.ndim > 1:
        return None
    place = range(len(stream.axes))[attribute(node, "axis") or 0]
    count = entries(stream.axes[place])
    at = int(index.reshape(()))
    return take(stream, place, at % count if count else at, index.ndim == 1)


def _reverse_sequence(node: Any, stream: Stream, known: dict[Any, Sizes]) -> Stream | None:
    """A ReverseSequence over the whole time of every row; None where rows have lengths of their own."""
    place = range(len(stream.axes))[attribute(node, "time_axis") or 0]
    return reverse(stream, place) if repeated(node.inputs[1], known) == size_of(stream.axes[place]) else None


def _cut(stream: Stream, place: int, start: int, end: int, step: int) -> Stream | None:
    """A Slice of one axis: all of it, all in reverse, or one entry; None for any other."""
    axis = stream.axes[place]
    count = entries(axis)
    far = 2**31 - 1 if count is None else count
    if step == 1 and start in (0, *(() if count is None else (-count,))) and end >= far:
        return stream
    if step == -1 and (start == -1 or start >= far - 1) and end <= (-far if count is None else -count - 1):
        return reverse(stream, place)
    if count is not None:
        chosen = range(count)[start:end:step]
        return take(stream, place, chosen[0], True) if len(chosen) == 1 else None
    one_entry = step == 1 and (
        (start >= 0 and end == start + 1) or (start < -1 and end == start + 1) or (start == -1 and end >= far)
    )
    return take(stream, place, start, True) if one_entry else None


def _same(node: Any, stream: Stream, known: dict[Any, Sizes]) -> Stream | None:
    """Identity, Dropout outside training, and Cast to the type that the value has."""
    if node.op_type == "Cast":
        return stream if node.inputs[0].dtype == attribute(node, "to") else None
    return stream if node.op_type == "Identity" or is_dropout(node) else None


_MOVES: dict[str, Callable[[Any, Stream, dict[Any, Sizes]], Stream | None]] = {
    "Cast": _same,
    "Dropout": _same,
    "Flatten": _flatten,
    "Gather": _gather,
    "Identity": _same,
    "Reshape": _reshape,
    "ReverseSequence": _reverse_sequence,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
