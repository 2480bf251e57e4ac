"""ONNX models loaded as graphs of onnx-ir; external data only from the model's own folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def import_onnx() -> Any:
    """The package `onnx`, or what to install."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError("ONNX models need the package onnx: pip install 'jax_lstm[onnx]'") from error
    return onnx


def _import_ir() -> Any:
    """The package `onnx_ir`, or what to install."""
    try:
        import onnx_ir
    except ImportError as error:
        raise ImportError("reading ONNX models needs the package onnx-ir: pip install 'jax_lstm[onnx]'") from error
    return onnx_ir


def load_graph(model: Any) -> Any:
    """The graph of a model with functions inlined, constants as initialisers, and no unused operators."""
    proto, folder = _load_proto(model)
    ir = _import_ir()
    from onnx_ir.passes import Sequential, common

    simplify = Sequential(
        common.InlinePass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.IdentityEliminationPass(),
        common.RemoveUnusedNodesPass(),
    )
    try:
        graph = simplify(ir.from_proto(proto)).model.graph
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RuntimeError,
    ) as error:  # what onnx-ir raises of a model that is none
        raise ValueError(f"model is not a valid ONNX model: {' '.join(str(error).split())}") from error
    for name, value in graph.initializers.items():
        if isinstance(value.const_value, ir.ExternalTensor):
            _check_external(value.const_value, name, folder)
    if folder is not None:
        ir.external_data.set_base_dir(graph, folder)
    return graph


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
    except DecodeError as error:
        raise ValueError(f"model is not an ONNX model: {error}") from error
    raise TypeError(f"model is a {type(model).__name__}, expected an onnx.ModelProto, bytes or a path")


def _check_external(tensor: Any, name: str, folder: Path | None) -> None:
    """A refusal of external data outside the model's folder, behind a link, or not as long as it has to be."""
    where = f"initialiser {name!r} of the model is in the file {str(tensor.location)!r}"
    if folder is None:
        raise ValueError(f"{where}: give the path of the model, not its content")
    location = Path(tensor.location)
    if location.is_absolute() or ".." in location.parts:
        raise ValueError(f"{where}, expected a path inside the model's folder: put the file beside the model")
    path = folder / location
    if path.resolve() != folder.resolve() / location:
        raise ValueError(
            f"{where}, which is behind a link, expected a regular file: put the file itself beside the model"
        )
    if not path.is_file():
        raise ValueError(f"{where}, which is missing: put the file beside the model")
    end, size = (tensor.offset or 0) + tensor.nbytes, path.stat().st_size
    if tensor.length not in (None, tensor.nbytes) or end > size:
        raise ValueError(
            f"{where} of {size:,} bytes, expected {tensor.nbytes:,} bytes up to {end:,}: the file is truncated"
        )
