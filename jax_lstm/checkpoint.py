"""Weights in a file that says what they are: safetensors, checked in full on loading, readable without this package.

The format, version 1. A file is an ordinary safetensors file, so any of its readers gives the arrays, under their paths:
`layers.0.w_x`, `layers.1.forward.norm.scale_x`, `readout.w`. Its metadata has two entries:

* `jax_lstm`: the description, a JSON object with `format` ("jax_lstm"), `version` (1), `about` (the layout of the arrays in words),
  `members` (the leading axes that every array has in front of its own: `[]` for one model, `[16]` for an ensemble of sixteen),
  `layers` (one object a layer), `readout` (an object or null) and `metadata` (what `save` was given, or null). An object has
  its `type` and its fields by name: `{"dtype": …, "shape": …}` for an array, a number, an object or null. A layer has besides its
  sizes, `features`, `hidden` and `out`, and `gates`, the order of its gate blocks.
* `sha256`: the SHA-256, in hexadecimal, of the description's UTF-8 bytes followed by the data of every array (little-endian, C order), the
  arrays sorted by path.

Nothing in a file is ever executed, and no memory is taken for more than the file holds.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jax_lstm import _checks
from jax_lstm._files import replacing
from jax_lstm._network import Layer
from jax_lstm._types import GATES, Bidirectional, Clip, Coupled, DiagonalParams, LayerNorm, LSTMParams, Readout

VERSION = 1
"""The version of the format that `save` writes; `load` reads this one and refuses newer ones."""

_DTYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
_KINDS = {kind.__name__: kind for kind in (LSTMParams, DiagonalParams, Bidirectional, LayerNorm, Coupled, Clip, Readout)}
_ABOUT = {
    "w_x": "(features, gates*hidden): input weights of x @ w_x; gate blocks along the last axis in the order that `gates` names",
    "w_h": "(out, gates*hidden): recurrent weights of h @ w_h; in DiagonalParams (gates*hidden,), every unit sees itself alone",
    "b": "(gates*hidden,): biases",
    "peephole": "(gates - 1, hidden): rows i, f, o (i, o when coupled); the old cell state into i and f, the new one into o",
    "projection": "(hidden, out): h = (o * tanh(c)) @ projection",
    "norm": "layer normalisation of x @ w_x and h @ w_h with gains scale_x and scale_h, of c before its tanh with scale_c and bias_c",
    "coupled": "the forget gate is one minus the input gate",
    "clip": "cell: c is clipped to plus or minus this; gates: all pre-activations are",
    "readout": "y = h @ w + b, w (out, outputs), b (outputs,)",
}


class Checkpoint(NamedTuple):
    """What a file holds: a tuple of layers for `network`, a readout or None, and the metadata that was given to `save`."""

    layers: tuple[Layer, ...]
    readout: Readout | None = None
    metadata: dict[str, Any] | None = None


def save(
    path: str | os.PathLike, layers: Sequence[Layer], readout: Readout | None = None, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a network to a safetensors file, atomically: the old file stays until the new one is whole.

    Args:
        path: where to, `*.safetensors` by custom.
        layers: a tuple of layers as `network` takes it, in float16, bfloat16, float32 or float64, each kept exactly. Every array may
            have the same leading axes in front, as stacked parameters for `vmap` have.
        readout: a linear readout, with the same leading axes.
        metadata: anything that JSON keeps as it is: scales, names, the training's settings.

    Raises:
        ValueError: arrays that do not fit each other. TypeError: what is no layer, another dtype, metadata that JSON would change.
        ImportError: safetensors is missing.

    >>> import pathlib, tempfile, jax
    >>> from jax_lstm import init_network
    >>> path = pathlib.Path(tempfile.mkdtemp(), "model.safetensors")
    >>> layers = init_network(jax.random.key(0), features=3, hidden=[5, 4])
    >>> save(path, layers, metadata={"series": "airline"})
    >>> loaded = load(path)
    >>> loaded.metadata, [layer.w_x.shape for layer in loaded.layers], bool((loaded.layers[1].w_h == layers[1].w_h).all())
    ({'series': 'airline'}, [(3, 20), (5, 16)], True)
    """
    if isinstance(layers, LSTMParams | DiagonalParams | Bidirectional) or not isinstance(layers, tuple | list) or not layers:
        raise TypeError(f"layers is a {type(layers).__name__}, expected a tuple of layers, at least one: (params,)")
    checkpoint = Checkpoint(tuple(layers), readout, None if metadata is None else dict(metadata))
    text, arrays = describe(checkpoint)
    data = _safetensors().numpy.save(arrays, {"jax_lstm": text, "sha256": _digest(text, arrays)})
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def load(path: str | os.PathLike, template: Checkpoint | None = None) -> Checkpoint:
    """Read what `save` wrote, every bit checked.

    Args:
        path: the file.
        template: a `Checkpoint(layers, readout)` of arrays or of `jax.ShapeDtypeStruct`, which the file has to match in structure,
            shapes and dtypes. The arrays then come as JAX arrays, placed as the template's are; its metadata is not looked at.

    Returns:
        A `Checkpoint`. Without a template its arrays are NumPy arrays, so that float64 stays exact whether x64 is enabled or not;
        every function here takes them as they are.

    Raises:
        ValueError: a file that is truncated, corrupt, foreign or newer, or does not match the template; the message names the leaf.
        OSError: no file to read.
    """
    name = os.fspath(path)
    checkpoint = build(*_read(Path(path).read_bytes(), name), name)
    return checkpoint if template is None else _place(checkpoint, template, name)


def describe(checkpoint: Checkpoint) -> tuple[str, dict[str, np.ndarray]]:
    """The description, and the arrays by their paths: what any container needs to keep to keep a checkpoint.

    >>> import jax
    >>> from jax_lstm import init
    >>> text, arrays = describe(Checkpoint((init(jax.random.key(0), features=3, hidden=5),)))
    >>> json.loads(text)["layers"][0]["hidden"], sorted(arrays)
    (5, ['layers.0.b', 'layers.0.w_h', 'layers.0.w_x'])
    """
    text = json.dumps({**_describe(checkpoint), "about": _ABOUT}, allow_nan=False)
    return text, {path: np.ascontiguousarray(array) for path, array in _leaves(checkpoint).items()}


def build(text: str, arrays: Mapping[str, np.ndarray], name: str) -> Checkpoint:
    """The checkpoint of a description and its arrays, the inverse of `describe`; every word of the one has to be true of the others.

    Raises:
        ValueError: a description that the arrays do not fit; `name` is what the message calls the file.
    """
    try:
        description = json.loads(text)
        del description["about"]
        checkpoint = Checkpoint(
            tuple(_build(layer, arrays, f"layers.{position}") for position, layer in enumerate(description["layers"])),
            _build(description["readout"], arrays, "readout"),
            description["metadata"],
        )
        if _describe(checkpoint) != description or _leaves(checkpoint).keys() != arrays.keys():
            raise ValueError("the arrays are others")
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise ValueError(f"{name} does not hold what it says it holds ({error!r}): make it with jax_lstm.checkpoint.save") from error
    return checkpoint


def _read(data: bytes, name: str) -> tuple[str, dict[str, np.ndarray]]:
    """The description and the arrays of a file of ours, version and checksum verified; or a refusal."""
    safetensors = _safetensors()
    try:
        tensors = dict(safetensors.deserialize(data))
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except (safetensors.SafetensorError, ValueError, RecursionError) as error:
        raise ValueError(f"{name} is not a whole safetensors file ({error}): it is of another kind, or truncated") from error
    stored = header.get("__metadata__") or {}
    if "jax_lstm" not in stored:
        raise ValueError(
            f"{name} has no description by jax_lstm.checkpoint.save: bring another program's arrays in through jax_lstm.interop"
        )
    text = stored["jax_lstm"]
    try:
        version = json.loads(text)["version"]
        arrays = {key: np.frombuffer(one["data"], _DTYPES[one["dtype"]]).reshape(one["shape"]) for key, one in tensors.items()}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{name} is damaged ({error!r}): restore it from a copy") from error
    if version != VERSION:
        raise ValueError(f"{name} has version {version!r} of the format, expected {VERSION}: read it with a newer jax_lstm")
    if _digest(text, arrays) != stored.get("sha256"):
        raise ValueError(f"{name} is damaged (its SHA-256 is not the one it names): restore it from a copy")
    return text, arrays


def _safetensors():
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError("checkpoints need safetensors: pip install 'jax_lstm[files]'") from error
    return safetensors


def _digest(text: str, arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    for key in sorted(arrays):
        digest.update(arrays[key].tobytes())
    return digest.hexdigest()


def _tree(checkpoint: Checkpoint) -> dict[str, Any]:
    return {"layers": tuple(checkpoint.layers), "readout": checkpoint.readout}


def _leaves(checkpoint: Checkpoint, is_leaf=None) -> dict[str, Any]:
    leaves = jax.tree.leaves_with_path(_tree(checkpoint), is_leaf=is_leaf)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """What a file says of itself, or a refusal of what does not fit."""
    members = _check(checkpoint)
    try:
        metadata = json.loads(json.dumps(checkpoint.metadata, allow_nan=False))
    except (ValueError, TypeError) as error:
        raise TypeError(f"metadata is not JSON ({error}): give strings, finite numbers, booleans, None, lists and dicts") from error
    if metadata != checkpoint.metadata:
        raise TypeError("metadata would come back from JSON as something else: give lists, not tuples, and strings as keys")
    return {
        "format": "jax_lstm",
        "version": VERSION,
        "members": list(members),
        "layers": [_node(layer) for layer in checkpoint.layers],
        "readout": _node(checkpoint.readout),
        "metadata": metadata,
    }


def _node(value):
    """One object, array, number or None of the description."""
    kind = type(value)
    if kind not in _KINDS.values():
        return {"dtype": str(value.dtype), "shape": list(value.shape)} if hasattr(value, "dtype") else value
    node = {"type": kind.__name__, **{field: _node(getattr(value, field)) for field in kind.__match_args__}}
    if kind in (LSTMParams, DiagonalParams):
        gates = [gate for gate in GATES if value.coupled is None or gate != "forget"]
        hidden = value.w_x.shape[-1] // len(gates)
        out = hidden if value.projection is None else value.projection.shape[-1]
        node |= {"features": value.w_x.shape[-2], "hidden": hidden, "out": out, "gates": gates}
    return node


def _build(node, arrays: Mapping[str, np.ndarray], path: str):
    """The object, array, number or None that `_node` described."""
    if not isinstance(node, dict):
        return node
    if "dtype" in node:
        return arrays[path]
    kind = _KINDS[node["type"]]
    return kind(**{field: _build(node[field], arrays, f"{path}.{field}") for field in kind.__match_args__})


def _check(checkpoint: Checkpoint) -> tuple[int, ...]:
    """The leading axes that all arrays share, or a refusal of what does not fit a network."""
    first = checkpoint.layers[0]
    w_x: Any = getattr(first.forward if isinstance(first, Bidirectional) else first, "w_x", None)
    _checks.check_float(w_x, "layers[0].w_x")
    members = w_x.shape[:-2]

    def view(path, leaf):
        """One member's array as the checks want it, without its memory."""
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        dtype = _checks.check_float(leaf, name)
        if str(dtype) not in _DTYPES.values():
            raise TypeError(f"{name} is {dtype}, expected one of {', '.join(_DTYPES.values())}: convert it with astype")
        if leaf.shape[: len(members)] != members:
            raise ValueError(
                f"{name} has shape {leaf.shape}, expected the leading axes {members} of layers[0].w_x: stack all arrays, or none"
            )
        return np.broadcast_to(np.zeros((), dtype), leaf.shape[len(members) :])

    views = jax.tree.map_with_path(view, _tree(checkpoint))
    _checks.check_layers(views["layers"], w_x.shape[-2], w_x.dtype)
    readout = views["readout"]
    if readout is not None:
        if not isinstance(readout, Readout):
            raise TypeError(f"readout is a {type(readout).__name__}, expected Readout(w, b)")
        if readout.w.ndim != 2 or (readout.b is not None and readout.b.shape != readout.w.shape[1:]):
            shapes = [None if one is None else one.shape for one in readout]
            raise ValueError(f"readout has w and b of shapes {shapes}, expected (out, outputs) and (outputs,)")
    return members


def _place(checkpoint: Checkpoint, template: Checkpoint, name: str) -> Checkpoint:
    """The arrays as the template's: on its devices, or a refusal that names the first leaf that differs."""
    if not isinstance(template, Checkpoint):
        raise TypeError(f"template is a {type(template).__name__}, expected Checkpoint(layers, readout)")
    found, wanted = (_said(one) for one in (checkpoint, template))
    for path in [*wanted, *(path for path in found if path not in wanted)]:
        if (has := found.get(path, "absent")) != (expected := wanted.get(path, "absent")):
            raise ValueError(f"{path} is {has} in {name}, but {expected} in the template: load it without one, or make that fit")

    def place(value, like):
        placed = jax.device_put(value, getattr(like, "sharding", None))
        if placed.dtype != value.dtype:
            raise ValueError(f"template is {value.dtype}, which JAX rounds to {placed.dtype}: enable jax_enable_x64, or load without one")
        return placed

    placed = jax.tree.map(place, _tree(checkpoint), _tree(template))
    return Checkpoint(placed["layers"], placed["readout"], checkpoint.metadata)


def _said(checkpoint: Checkpoint) -> dict[str, str]:
    """What stands at every path of a network, in words: arrays, bounds, and None where an optional field is not there."""
    leaves = _leaves(checkpoint, is_leaf=lambda x: x is None or isinstance(x, Clip | Coupled))
    return {path: f"{leaf.dtype} {leaf.shape}" if hasattr(leaf, "dtype") else repr(leaf) for path, leaf in leaves.items()}
