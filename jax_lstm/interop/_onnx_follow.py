"""The data of an ONNX graph, followed from its inputs through its LSTMs to its readout, operator by operator."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jax_lstm.interop._onnx_axes import Axis, Stream, entries, join, new_axis
from jax_lstm.interop._onnx_moves import move, part_of, split
from jax_lstm.interop._onnx_node import Node
from jax_lstm.interop._onnx_sizes import Sizes, arithmetic
from jax_lstm.interop._onnx_values import NotFollowedError, attribute, constant, label

ARITHMETIC = frozenset({"Add", "Div", "Mul", "Sub"})


class Unit:
    """One layer: an LSTM operator, or two that run in both directions of the same data."""

    def __init__(
        self,
        nodes: tuple[Node, ...],
        x: Stream,
        time: Axis,
        batch: Axis,
        features: Axis,
        reverse: bool,
        parts: tuple[Unit, ...] = (),
    ):
        self.nodes, self.x, self.time, self.batch, self.features = nodes, x, time, batch, features
        self.reverse = reverse
        self.parts = parts

    def follows(self, before: Unit) -> bool:
        """Whether this layer takes all outputs of another one as they are, over the same steps."""
        order = (before.batch, before.time) if self.nodes[0].batch_first else (before.time, before.batch)
        return (
            self.x == Stream(("Y", before), (*order, before.features))
            and self.reverse == before.reverse
            and same_lengths(self.nodes[0], before.nodes[0])
        )


class Product(NamedTuple):
    """A product of a stream with a constant matrix `(features, outputs)`, and the bias that the operator adds."""

    node: Any
    stream: Stream
    w: np.ndarray
    b: np.ndarray | None


class Followed(NamedTuple):
    """All that was learned of a graph.

    Args:
        units: the layers, in the order of the graph.
        streams: what every value is.
        rearranging: the operators that only rearrange or select.
        products: the products with constant matrices.
        refused: the LSTM operators that no layer computes, with the reason.
    """

    units: list[Unit]
    streams: dict[Any, Stream]
    rearranging: set[Any]
    products: list[Product]
    refused: dict[Any, ValueError]


def follow(graph: Any) -> Followed:
    """Go through the operators of a graph, in order."""
    follower = _Follower(graph)
    for node in graph:
        try:
            follower.visit(node)
        except NotFollowedError:
            follower.leave(node)
        except (IndexError, TypeError, KeyError, OverflowError, AttributeError) as error:
            raise ValueError(
                f"model is not a valid ONNX model: {label(node)} has invalid attributes or inputs"
            ) from error
    return Followed(follower.units, follower.streams, follower.rearranging, follower.products, follower.refused)


def same_lengths(one: Node, other: Node) -> bool:
    """Whether two operators have the same sequence lengths."""
    first, second = one.state("sequence_lens"), other.state("sequence_lens")
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return np.array_equal(first, second)
    return type(first) is type(second) and not isinstance(first, np.ndarray) and first == second


def is_lstm(node: Any) -> bool:
    """Whether an operator is a standard LSTM."""
    return node.op_type == "LSTM" and node.domain in ("", "ai.onnx")


class _Follower:
    """The state of `follow`: what is known of every value so far."""

    def __init__(self, graph: Any):
        self.streams: dict[Any, Stream] = {value: _unknown(value) for value in graph.inputs if value.shape is not None}
        self.sizes: dict[Any, Sizes] = {}
        self.units: list[Unit] = []
        self.joined: dict[Any, tuple[int, list[Stream]]] = {}
        self.rearranging: set[Any] = set()
        self.products: list[Product] = []
        self.refused: dict[Any, ValueError] = {}

    def visit(self, node: Any) -> None:
        """Learn what the outputs of one operator are."""
        if is_lstm(node):
            try:
                self._lstm(Node(node))
            except ValueError as error:
                self.refused[node] = error
                self.leave(node)
            return
        sizes = arithmetic(node, self.sizes, self.streams)
        if sizes is not None:
            self.sizes[node.outputs[0]] = sizes
        stream = self.streams.get(node.inputs[0]) if node.inputs else None
        result = None
        if node.domain in ("", "ai.onnx") and node.inputs and node.inputs[0] in self.joined:
            result = part_of(node, *self.joined[node.inputs[0]])
            if result is not None:
                self.rearranging.add(node)
        elif node.domain in ("", "ai.onnx") and stream is not None:
            result = move(node, stream, self.sizes)
            if result is not None:
                self.rearranging.add(node)
            elif node.op_type in ("MatMul", "Gemm"):
                result = self._product(node, stream)
            elif node.op_type == "Split" and (parts := split(node, stream)):
                self.streams |= dict(zip(node.outputs, parts, strict=True))
                self.rearranging.add(node)
                return
        if node.op_type == "Concat":
            result = self._concat(node)
        elif node.op_type == "Add":
            result = self._bias(node)
        self.leave(node)
        if result is not None:
            self.streams[node.outputs[0]] = result

    def leave(self, node: Any) -> None:
        """Take the outputs of an operator as data of their own."""
        for value in node.outputs:
            sizes = self._sizes(node) if value.shape is None else value.shape
            if sizes is not None:
                self.streams[value] = Stream(("value", value), tuple(map(new_axis, sizes)))

    def _sizes(self, node: Any) -> list[Any] | None:
        """The sizes that arithmetic with a constant, or a Gather of rows, gives where the model does not state them."""
        if len(node.inputs) != 2 or node.op_type not in (*ARITHMETIC, "Gather"):
            return None
        for data, other in (node.inputs, node.inputs[::-1]):
            stream, array = self.streams.get(data), constant(other)
            if stream is None or array is None:
                continue
            sizes: list[int | None] = [entries(axis) for axis in stream.axes]
            if node.op_type == "Gather":
                return [*sizes, *array.shape[1:]] if data is node.inputs[1] and not attribute(node, "axis") else None
            if array.ndim <= len(sizes):
                wide = (1,) * (len(sizes) - array.ndim) + array.shape
                return [size if one == 1 else one for size, one in zip(sizes, wide, strict=True)]
        return None

    def _lstm(self, node: Node) -> None:
        """The layer of an LSTM operator, and its outputs."""
        value = node.inputs["X"]
        x = self.streams.get(value)
        if x is None or len(x.axes) != 3:
            x = Stream(("value", value), tuple(new_axis(None) for _ in range(3)))
        time, batch = (x.axes[1], x.axes[0]) if node.batch_first else x.axes[:2]
        turned = len(time) == 1 and time[0].reversed
        if turned and (node.direction == "bidirectional" or node.state("sequence_lens") is not None):
            how = "with lengths" if node.directions == 1 else "in both directions"
            raise ValueError(
                f"{node.name} runs over reversed data {how}, "
                "which network does not: reverse it within the lengths, by direction='reverse'"
            )
        sides, hidden = new_axis(node.directions), new_axis(node.hidden)
        unit = Unit((node,), x, time, batch, sides + hidden, (node.direction == "reverse") != turned)
        self.units.append(unit)
        ys = (batch, time, sides, hidden) if node.batch_first else (time, sides, batch, hidden)
        ends = (batch, sides, hidden) if node.batch_first else (sides, batch, hidden)
        for kind, output, axes in zip(("Y", "Y_h", "Y_c"), node.outputs, (ys, ends, ends), strict=True):
            if output is not None:
                self.streams[output] = Stream((kind, unit), axes)

    def _concat(self, node: Any) -> Stream | None:
        """All parts of one stream, or the outputs of two layers that run over the same data in both directions."""
        streams = [self.streams.get(value) for value in node.inputs]
        if not streams or any(stream is None for stream in streams) or "axis" not in node.attributes:
            return None
        known: list[Stream] = [stream for stream in streams if stream is not None]
        place = range(len(known[0].axes))[attribute(node, "axis")]
        result = join(known, place)
        if result is None and len(known) == 2 and place == len(known[0].axes) - 1:
            result = self._pair(*known)
        if result is not None:
            self.rearranging.add(node)
        else:
            self.joined[node.outputs[0]] = place, known
        return result

    def _pair(self, one: Stream, other: Stream) -> Stream | None:
        """The outputs of a layer of two directions, forward first, from those of an operator for each."""
        kinds, units = zip(one.source, other.source, strict=True)
        if kinds not in (("Y", "Y"), ("Y_h", "Y_h")) or one.taken or other.taken or one.axes[:-1] != other.axes[:-1]:
            return None
        forward, backward = units
        if (one.axes[-1], other.axes[-1]) != (forward.features, backward.features) or forward is backward:
            return None
        single = all(len(unit.nodes) == 1 and unit.nodes[0].directions == 1 for unit in units)
        same_data = (forward.x.source, _upright(forward.x.axes)) == (backward.x.source, _upright(backward.x.axes))
        if not single or not same_data or forward.reverse or not backward.reverse:
            return None
        if not same_lengths(forward.nodes[0], backward.nodes[0]):
            return None
        if kinds == ("Y", "Y") and any(atom.reversed for axis in one.axes for atom in axis):
            return None
        joined = next((unit for unit in self.units if unit.nodes == forward.nodes + backward.nodes), None)
        if joined is None:
            features = new_axis(forward.nodes[0].hidden + backward.nodes[0].hidden)
            nodes, x = forward.nodes + backward.nodes, forward.x
            joined = Unit(nodes, x, forward.time, forward.batch, features, False, (forward, backward))
            self.units = [joined if unit is forward else unit for unit in self.units if unit is not backward]
        return Stream((kinds[0], joined), (*one.axes[:-1], joined.features))

    def _product(self, node: Any, stream: Stream) -> Stream | None:
        """A product with a constant matrix along the last axis."""
        w, b = constant(node.inputs[1]), None
        if w is None or w.ndim not in (1, 2) or not stream.axes:
            return None
        if node.op_type == "Gemm":
            unusual = attribute(node, "transA") or any(
                attribute(node, one) not in (None, 1.0) for one in ("alpha", "beta")
            )
            if unusual or len(stream.axes) != 2 or w.ndim != 2:
                return None
            w = w.T if attribute(node, "transB") else w
            if len(node.inputs) > 2 and node.inputs[2] is not None:
                b = constant(node.inputs[2])
                if b is None or b.size not in (1, w.shape[1]) or (b.size != 1 and b.shape[-1] != w.shape[1]):
                    return None
        if entries(stream.axes[-1]) != w.shape[0]:
            return None
        self.products.append(Product(node, stream, w, b))
        return Stream(("readout", node), (*stream.axes[:-1], *((new_axis(w.shape[1]),) if w.ndim == 2 else ())))

    def _bias(self, node: Any) -> Stream | None:
        """The stream that a constant is added to, where it is a readout."""
        streams = [self.streams.get(value) for value in node.inputs]
        for stream, other in zip(streams, node.inputs[::-1], strict=True):
            if stream is not None and stream.source[0] == "readout" and constant(other) is not None:
                return stream if constant(other).ndim <= len(stream.axes) else None  # type: ignore[union-attr]
        return None


def _upright(axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """The axes without their reversals."""
    return tuple(tuple(atom._replace(reversed=False) for atom in axis) for axis in axes)


def _unknown(value: Any) -> Stream:
    """A value of a known number of axes that something else made."""
    return Stream(("value", value), tuple(new_axis(size) for size in value.shape))
