"""ONNX models loaded as graphs of onnx-ir: bounded, without cycles, with external data only from their own folder."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

MOST_NODES = 100_000
"""How many operators a model may have once its functions are inlined."""
MOST_FOLDED = 16
"""How many times the size of its own constants the constants that a model computes may take."""
FOLDED = frozenset(
    {
        *("Add", "Cast", "Concat", "DequantizeLinear", "Div", "Expand", "Gather", "Identity", "Mul"),
        *("Reshape", "Slice", "Squeeze", "Sub", "Transpose", "Unsqueeze"),
    }
)
"""The operators on constants that are evaluated; exporters put them in front of weights."""


def import_onnx() -> Any:
    """The package `onnx`, or what to install."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "ONNX models need the package onnx: pip install onnx, or in a clone pip install '.[onnx]'"
        ) from error
    return onnx


def _import_passes() -> tuple[Any, Any]:
    """The package `onnx_ir` and the optimizer of `onnxscript`, or what to install."""
    try:
        import onnx_ir
        from onnxscript import optimizer
    except ImportError as error:
        raise ImportError(
            "reading ONNX models needs onnx-ir and onnxscript: pip install onnx-ir onnxscript, or in a clone "
            "pip install '.[onnx]'"
        ) from error
    return onnx_ir, optimizer


def load_graph(model: Any) -> Any:
    """The graph of a model, its operators in order: functions inlined, constants folded, unused operators removed."""
    proto, folder = _load_proto(model)
    _check_size(proto)
    for tensor in _tensors(proto):
        if tensor.data_location == tensor.EXTERNAL:
            _check_external(tensor, folder)
    ir, optimizer = _import_passes()
    from onnx_ir.passes import Sequential, common

    try:
        loaded = ir.from_proto(proto)
        if folder is not None:
            ir.external_data.set_base_dir(loaded.graph, folder)
        simplify = Sequential(
            common.InlinePass(),
            common.TopologicalSortPass(),  # refuses cycles
            common.RemoveUnusedNodesPass(),
            common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
            common.RemoveInitializersFromInputsPass(),  # an initializer that is an input too is its default
            common.IdentityEliminationPass(),
        )
        loaded = simplify(loaded).model
        _dequantize(loaded.graph, ir)
        budget = _Budget(MOST_FOLDED * _stored_bytes(proto, folder))
        optimizer.fold_constants(
            loaded, onnx_shape_inference=False, output_size_limit=budget.left, should_fold=budget.allows
        )
        return common.RemoveUnusedNodesPass()(loaded).model.graph
    # onnx-ir, onnxscript and the operators of onnx share no exception type for a model that is invalid
    except Exception as error:
        reason = " ".join(str(error.__cause__ or error).split())[:200] or type(error).__name__
        raise ValueError(f"model is not a valid ONNX model: {reason}") from error


def _dequantize(graph: Any, ir: Any) -> None:
    """Replace every DequantizeLinear of constants: onnx can evaluate it from version 19 on, which is the same."""
    from onnx.reference import ops

    for node in [node for node in graph if node.op_type == "DequantizeLinear"]:
        given = [None if value is None else value.const_value for value in node.inputs]
        if len(given) < 2 or any(one is None and value for one, value in zip(given, node.inputs, strict=True)):
            continue
        options = {"axis": node.attributes["axis"].value} if "axis" in node.attributes else {}
        arrays = [None if one is None else one.numpy() for one in given]
        array = ops.load_op("", "DequantizeLinear", 19).eval(*arrays, **options)
        value = ir.Value(name=node.outputs[0].name, const_value=ir.tensor(array, name=node.outputs[0].name))
        node.outputs[0].replace_all_uses_with(value)
        graph.remove(node)
        graph.register_initializer(value)


class _Budget:
    """Allows the operators of `FOLDED` until their results take more than `bytes`."""

    def __init__(self, bytes: int):
        self.left = bytes

    def allows(self, node: Any) -> bool:
        """Whether an operator on constants may be evaluated."""
        if node.op_type not in FOLDED or node.domain not in ("", "ai.onnx"):
            return False
        self.left -= _result_bytes(node)
        return self.left >= 0


def _result_bytes(node: Any) -> int:
    """At most how many bytes the result of an operator of `FOLDED` takes."""
    given = [value.const_value for value in node.inputs if value is not None]
    shapes = [tuple(map(int, one.shape)) for one in given]
    if node.op_type == "Concat":
        return 8 * sum(map(math.prod, shapes))
    if node.op_type == "Gather":
        axis = node.attributes["axis"].value if "axis" in node.attributes else 0
        return 8 * math.prod(shapes[1]) * math.prod(shapes[0]) // max(1, shapes[0][axis])
    if node.op_type in ("Add", "Sub", "Mul", "Div", "DequantizeLinear", "Expand"):
        if node.op_type == "Expand":
            shapes[1] = tuple(map(int, given[1].numpy()))
        # by hand: np.broadcast_shapes refuses more elements than an array may have
        axes = [
            [shape[-axis] for shape in shapes if len(shape) >= axis] for axis in range(1, 1 + max(map(len, shapes)))
        ]
        return 8 * math.prod(max(sizes) for sizes in axes)
    return 8 * math.prod(shapes[0])


def _load_proto(model: Any) -> tuple[Any, Path | None]:
    """The model as a protocol buffer, and the folder of its file if it has one."""
    onnx = import_onnx()
    from google.protobuf.message import DecodeError

    if isinstance(model, onnx.ModelProto):
        return model, None
    try:
        if isinstance(model, bytes):
            return onnx.load_from_string(model), None
        if isinstance(model, str | os.PathLike):
            return onnx.load(model, load_external_data=False), Path(model).parent
    except (DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"model is not an ONNX model: {error}") from error
    raise TypeError(f"model is a {type(model).__name__}, expected an onnx.ModelProto, bytes or a path")


def _check_size(proto: Any) -> None:
    """A refusal of a model with too many operators, or whose functions call each other in a circle."""
    functions = {(one.domain, one.name): list(_nodes(one.node)) for one in proto.functions}
    counts: dict[Any, int] = {}

    def count(nodes: list[Any], calling: tuple[Any, ...]) -> int:
        total = len(nodes)
        for node in nodes:
            called = (node.domain, node.op_type)
            if called not in functions:
                continue
            if called in calling or len(calling) > 100:
                raise ValueError(f"model is not a valid ONNX model: its function {node.op_type!r} calls itself")
            if called not in counts:
                counts[called] = count(functions[called], (*calling, called))
            total += counts[called]
        return total

    for nodes in (*functions.values(), list(_nodes(proto.graph.node))):
        if (total := count(nodes, ())) > MOST_NODES:
            raise ValueError(
                f"model has {total:,} operators, expected at most {MOST_NODES:,}: export it without copies"
            )


def _nodes(nodes: Any) -> Iterator[Any]:
    """Operators, those of graphs inside them included."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _nodes(graph.node)


def _tensors(proto: Any) -> Iterator[Any]:
    """Every tensor of a model: of its graphs and of the attributes of its operators."""
    graphs, nodes = [proto.graph], [*proto.graph.node, *(node for one in proto.functions for node in one.node)]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
            nodes += [] if graph is proto.graph else graph.node
            continue
        for attribute in nodes.pop().attribute:
            yield from ([attribute.t] if attribute.HasField("t") else [])
            yield from attribute.tensors
            sparse_ones = [*([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else [])]
            for sparse in (*sparse_ones, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            graphs += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def _stored_bytes(proto: Any, folder: Path | None) -> int:
    """The size of a model with its external data, at least a page."""
    files = {entry.value for one in _tensors(proto) for entry in one.external_data if entry.key == "location"}
    return max(4096, int(proto.ByteSize())) + sum((Path(folder or ".") / name).stat().st_size for name in files)


def _check_external(tensor: Any, folder: Path | None) -> None:
    """A refusal of external data outside the model's folder, behind a link, or not as long as it has to be."""
    stated = {entry.key: entry.value for entry in tensor.external_data}
    where = f"initializer {tensor.name!r} of the model is in the file {stated.get('location', '')!r}"
    if folder is None:
        raise ValueError(f"{where}: give the path of the model, not its content")
    location = Path(stated.get("location", ""))
    if location.is_absolute() or ".." in location.parts or "\0" in str(location):
        raise ValueError(f"{where}, expected a path inside the model's folder: put the file next to the model")
    path = folder / location
    if path.resolve() != folder.resolve() / location:
        raise ValueError(
            f"{where}, which is behind a link, expected a regular file: put the file itself next to the model"
        )
    if not path.exists():
        raise ValueError(f"{where}, which is missing: put the file next to the model")
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(f"{where}, which is not a regular file: put the file next to the model")
    try:
        needed = (
            math.prod(tensor.dims) * np.dtype(import_onnx().helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
        )
        offset, length = int(stated.get("offset", 0)), int(stated.get("length", needed))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{where}, of an unknown type or place: export the model again") from error
    end, size = offset + needed, path.stat().st_size
    if length != needed or offset < 0 or end > size:
        raise ValueError(f"{where} of {size:,} bytes, expected {needed:,} bytes up to {end:,}: the file is truncated")
