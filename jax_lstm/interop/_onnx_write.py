"""ONNX, written: a model of standard LSTM operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jax_lstm import _checks
from jax_lstm._types import Clip, Params, Readout, directions
from jax_lstm.interop._carries import check_carries
from jax_lstm.interop._layout import Layout, write
from jax_lstm.interop._onnx_load import import_onnx
from jax_lstm.interop._stack import Layers, write_layers

if TYPE_CHECKING:
    from onnx import ModelProto
else:
    ModelProto = Any  # onnx is optional

ONNX = Layout("ONNX LSTM", "iofg", w_x="W", w_h="R", biases=("Wb", "Rb"), gates_first=True, peephole="P")
OPSET, IR_VERSION = 17, 8
"""Of 2022: LSTM has not changed since for these types, and a runtime need not be new to accept them."""


class _Part(NamedTuple):
    """A part of a graph: operators, constants by name, the value that it ends in, and the width of that value."""

    nodes: list[Any]
    constants: dict[str, np.ndarray]
    value: str
    width: int


def to_onnx(
    layers: Layers,
    *,
    readout: Readout | None = None,
    batch_first: bool = False,
    lengths: bool = False,
    reverse: bool = False,
    carries: bool | Sequence[Any] = False,
) -> ModelProto:
    """An ONNX model that computes what `network` does with the layers, with one LSTM operator a layer.

    Inputs: "xs" `(time, batch, features)` and, where `lengths`, "lengths" `(batch,)` int32. Outputs: "hs" `(time,
    batch, out)`, or "ys" with a readout, and of each layer k its last states "h_k" and "c_k" `(directions, batch,
    hidden)`. A sequence of length 0 ends in zeros. With `carries=True`, "initial_h_k" and "initial_c_k" are inputs: a
    stream passes the last states of one call to the next.

    Args:
        layers: a layer or a tuple of layers, in float16, float32 or float64; single or in two directions, plain, with
            peepholes, with coupled gates (`input_forget`) or with `Clip(gates=…)` (`clip`, which ONNX keeps as a
            float32).
        readout: a linear readout to put on top.
        batch_first: time and batch are exchanged in "xs" and in "hs" or "ys".
        lengths: whether there is an input for the lengths.
        reverse: take the steps from the last to the first, as `network(…, reverse=True)`; for layers of one direction.
        carries: whether the initial states are inputs; or the initial states themselves, one per layer as `network`
            takes them, with a batch axis of one entry for states that all sequences share, such as learned ones.

    Returns:
        An `onnx.ModelProto`; `onnx.save(model, path)` writes it.

    Raises:
        ValueError: a variant that the operator does not have. ImportError: `onnx` is not installed.

    >>> import jax
    >>> from jax_lstm import init_network
    >>> model = to_onnx(init_network(jax.random.key(0), features=3, hidden=[5, 4]))
    >>> [node.op_type for node in model.graph.node]
    ['LSTM', 'Squeeze', 'LSTM', 'Squeeze']
    """
    package = import_onnx()
    helper = package.helper
    written = write_layers(layers, lambda params, name: (params, write(ONNX, _plain(params, name), name)))
    parts: list[_Part] = []
    states: list[tuple[str, list[Any]]] = []
    starts = carries if isinstance(carries, bool) else check_carries(carries, [layer for layer in written])
    value = "xs_time_first" if batch_first else "xs"
    for k, layer in enumerate(written):
        start = starts if isinstance(starts, bool) else starts[k]
        parts.append(_layer(k, [side for _, side in directions(layer)], value, lengths, reverse, start))
        value, hidden = parts[-1].value, parts[-1].constants[f"R_{k}"].shape[2]
        states += [(name, [parts[-1].width // hidden, "batch", hidden]) for name in (f"h_{k}", f"c_{k}")]
    features, dtype = parts[0].constants["W_0"].shape[2], parts[0].constants["W_0"].dtype
    if dtype not in (np.float16, np.float32, np.float64):
        raise ValueError(
            f"layers are {dtype}, which the ONNX LSTM format cannot hold: convert them with astype(jnp.float32)"
        )
    if readout is not None:
        parts.append(_readout(readout, value, parts[-1].width, dtype))
    nodes = [node for part in parts for node in part.nodes]
    last, width = "hs" if readout is None else "ys", parts[-1].width
    if batch_first:
        nodes.insert(0, helper.make_node("Transpose", ["xs"], ["xs_time_first"], perm=(1, 0, 2)))
        nodes.append(helper.make_node("Transpose", [parts[-1].value], [last], perm=(1, 0, 2)))
    else:
        nodes[-1].output[0] = last

    element = helper.np_dtype_to_tensor_dtype(dtype)
    axes = ["batch", "time"] if batch_first else ["time", "batch"]
    inputs = [helper.make_tensor_value_info("xs", element, [*axes, features])]
    inputs += [helper.make_tensor_value_info("lengths", package.TensorProto.INT32, ["batch"])] * lengths
    if carries is True:
        inputs += [helper.make_tensor_value_info(f"initial_{name}", element, shape) for name, shape in states]
    outputs = [helper.make_tensor_value_info(name, element, shape) for name, shape in [(last, [*axes, width]), *states]]
    constants = {name: array for part in parts for name, array in part.constants.items()}
    weights = [package.numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "lstm", inputs, outputs, weights)
    opset = [helper.make_opsetid("", OPSET)]
    model: ModelProto = helper.make_model(graph, producer_name="jax_lstm", opset_imports=opset, ir_version=IR_VERSION)
    package.checker.check_model(model, full_check=True)
    return model


def _layer(k: int, sides: list[Any], x: str, lengths: bool, reverse: bool, start: Any) -> _Part:
    """The operators of one layer, from the value `x` to its hidden states with the directions on the last axis."""
    helper = import_onnx().helper
    arrays, attributes = _merge(sides, f"layers[{k}]")
    if reverse and len(sides) > 1:
        raise ValueError(
            f"reverse is True, but layers[{k}] has two directions: exchange them, Bidirectional(backward, forward)"
        )
    attributes["direction"] = "bidirectional" if len(sides) > 1 else "reverse" if reverse else "forward"
    constants = {f"{role}_{k}": array for role, array in arrays.items()}
    hidden = arrays["R"].shape[2]
    initial = ["", ""] if start is False else [f"initial_h_{k}", f"initial_c_{k}"]
    inputs = [x, f"W_{k}", f"R_{k}", f"B_{k}" if "B" in arrays else "", "lengths" if lengths else "", *initial]
    inputs += [f"P_{k}"] * ("P" in arrays)
    while not inputs[-1]:  # optional inputs at the end are left away
        inputs.pop()
    outputs = [f"Y_{k}", f"h_{k}", f"c_{k}"]
    nodes: list[Any] = []
    if not isinstance(start, bool):
        nodes, held = _held_states(k, start, x, (len(sides), hidden))
        constants |= held
    nodes.append(helper.make_node("LSTM", inputs, outputs, f"layer_{k}", hidden_size=hidden, **attributes))
    if len(sides) > 1:
        constants["features_last"] = np.array([0, 0, -1])
        nodes.append(helper.make_node("Transpose", [f"Y_{k}"], [f"Y_transposed_{k}"], perm=(0, 2, 1, 3)))
        nodes.append(helper.make_node("Reshape", [f"Y_transposed_{k}", "features_last"], [f"hs_{k}"]))
    else:
        constants["direction_axis"] = np.array([1])
        nodes.append(helper.make_node("Squeeze", [f"Y_{k}", "direction_axis"], [f"hs_{k}"]))
    return _Part(nodes, constants, f"hs_{k}", len(sides) * hidden)


def _held_states(k: int, start: Any, x: str, sizes: tuple[int, int]) -> tuple[list[Any], dict[str, np.ndarray]]:
    """The operators and constants that give a layer its initial states; one for all sequences is repeated."""
    helper = import_onnx().helper
    nodes: list[Any] = []
    constants: dict[str, np.ndarray] = {}
    for name, array in zip(("h", "c"), start, strict=True):
        if array.shape[1] > 1:
            constants[f"initial_{name}_{k}"] = array
            continue
        constants[f"held_{name}_{k}"] = array
        if not nodes:
            constants |= {f"sides_{k}": np.array([sizes[0]]), f"units_{k}": np.array([sizes[1]])}
            nodes.append(helper.make_node("Shape", [x], [f"batch_{k}"], start=1, end=2))
            shape = [f"sides_{k}", f"batch_{k}", f"units_{k}"]
            nodes.append(helper.make_node("Concat", shape, [f"states_shape_{k}"], axis=0))
        nodes.append(helper.make_node("Expand", [f"held_{name}_{k}", f"states_shape_{k}"], [f"initial_{name}_{k}"]))
    return nodes, constants


def _readout(readout: Readout, x: str, out: int, dtype: Any) -> _Part:
    """The operators of a readout of the value `x` with `out` features."""
    helper = import_onnx().helper
    if not isinstance(readout, Readout):
        raise TypeError(f"readout is a {type(readout).__name__}, expected Readout(w, b)")
    if readout.w.ndim != 2 or readout.w.shape[0] != out or _checks.check_float(readout.w, "readout.w") != dtype:
        given = f"{readout.w.dtype} {readout.w.shape}"
        raise ValueError(
            f"readout.w is {given}, expected {dtype} ({out}, outputs), as the last layer has {out} outputs"
        )
    nodes = [helper.make_node("MatMul", [x, "readout_w"], ["readout"])]
    constants = {"readout_w": np.asarray(readout.w)}
    if readout.b is not None:
        nodes.append(helper.make_node("Add", ["readout", "readout_b"], ["readout_biased"]))
        constants["readout_b"] = np.asarray(readout.b)
    return _Part(nodes, constants, nodes[-1].output[0], readout.w.shape[1])


def _plain(params: Params, name: str) -> Params:
    """The layer without what the operator has as attributes; coupled gates get a forget block, which it ignores."""
    hidden = _checks.check_params(params, name).hidden
    if params.clip is not None and params.clip.cell is not None:
        raise ValueError(f"{name} has clip of the cell state, which the {ONNX.format} format cannot hold")
    params = params._replace(clip=None)
    if params.coupled is None or params.norm is not None:
        return params  # `write` refuses a norm

    def widen(array: Any, axis: int) -> Any:
        if array is None:
            return None
        before, after = np.split(np.asarray(array), [1 if axis == 0 else hidden], axis=axis)
        return np.concatenate([before, np.zeros_like(before), after], axis=axis)

    wide = {field: widen(getattr(params, field), -1) for field in ("w_x", "w_h", "b")}
    return params._replace(**wide, peephole=widen(params.peephole, 0), coupled=None)


def _merge(
    sides: list[tuple[Params, dict[str, np.ndarray]]], name: str
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The operator's arrays, directions first, and its attributes, of one or two directions of a layer."""
    (params, first), (other, second) = sides[0], sides[-1]
    for field in ("coupled", "clip", "b", "peephole"):
        mine, others = getattr(params, field), getattr(other, field)
        if (mine is None) != (others is None) or (field == "clip" and mine != others):
            raise ValueError(
                f"{name} has another {field} in each direction, which the {ONNX.format} format cannot hold"
            )
    if first["R"].shape != second["R"].shape:
        shapes = f"{first['R'].shape} and {second['R'].shape}"
        raise ValueError(f"{name} has recurrent weights of {shapes}, expected one number of units in both directions")
    arrays = {key: np.stack([written[key] for _, written in sides]) for key in first}
    if "Wb" in arrays:
        arrays["B"] = np.concatenate([arrays.pop("Wb"), arrays.pop("Rb")], axis=-1)
    attributes: dict[str, Any] = {}
    if params.clip is not None and params.clip != Clip():
        attributes["clip"] = params.clip.gates
    return arrays, attributes if params.coupled is None else attributes | {"input_forget": 1}
