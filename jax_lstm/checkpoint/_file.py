"""Safetensors files: written at once, verified in full on reading."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jax_lstm import _checks
from jax_lstm._files import replacing
from jax_lstm._types import Layer, Readout
from jax_lstm.checkpoint._description import VERSION, build, describe
from jax_lstm.checkpoint._template import place
from jax_lstm.checkpoint._tree import Checkpoint
from jax_lstm.checkpoint._validate import DTYPES


def save(
    path: str | os.PathLike[str],
    layers: Sequence[Layer],
    readout: Readout | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write a network to a safetensors file; the old file stays until the new one is complete.

    Args:
        path: where to write, by convention `*.safetensors`.
        layers: a tuple of layers as `network` takes it, in float16, bfloat16, float32 or float64, each kept exactly.
            Every array may have the same leading axes in front, as stacked parameters for `vmap` have.
        readout: a linear readout of the last layer, with the same leading axes.
        metadata: a mapping of JSON values: strings, finite numbers, booleans, None, lists and dicts.

    Raises:
        ValueError: arrays that do not fit each other, a number in `metadata` or in a `Clip` that is not finite.
        TypeError: an entry of `layers` that is no layer, an unsupported dtype, metadata that JSON does not hold.
        OSError: the file cannot be written. ImportError: safetensors is missing.

    >>> import pathlib, tempfile, jax
    >>> from jax_lstm import init_network
    >>> path = pathlib.Path(tempfile.mkdtemp(), "model.safetensors")
    >>> layers = init_network(jax.random.key(0), features=3, hidden=[5, 4])
    >>> save(path, layers, metadata={"series": "airline"})
    >>> loaded = load(path)
    >>> loaded.metadata, [layer.w_x.shape for layer in loaded.layers]
    ({'series': 'airline'}, [(3, 20), (5, 16)])
    >>> bool((loaded.layers[1].w_h == layers[1].w_h).all())
    True
    """
    stack = _checks.check_stack(layers)
    readout = _checks.unwrapped(readout)
    text, arrays = describe(Checkpoint(stack, readout, None if metadata is None else dict(metadata)))
    data = _safetensors().numpy.save(arrays, {"jax_lstm": text, "sha256": _digest(text, arrays)})
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def load(path: str | os.PathLike[str], template: Checkpoint | None = None) -> Checkpoint:
    """Read what `save` wrote, with every bit verified.

    Args:
        path: the file.
        template: a `Checkpoint(layers, readout)` of arrays or of `jax.ShapeDtypeStruct`, which the file has to match in
            structure, shapes and dtypes. The arrays are then JAX arrays, placed as the template's are; its metadata is
            ignored.

    Returns:
        A `Checkpoint`. Without a template its arrays are NumPy arrays, so that float64 stays exact whether x64 is
        enabled or not; every function of this package takes them.

    Raises:
        ValueError: a file that is truncated, corrupt, foreign or newer, or that does not match the template; the
            message names the leaf.
        OSError: the file cannot be read. ImportError: safetensors is missing.

    >>> import pathlib, tempfile, jax
    >>> from jax_lstm import init
    >>> path = pathlib.Path(tempfile.mkdtemp(), "model.safetensors")
    >>> save(path, (init(jax.random.key(0), features=3, hidden=5),))
    >>> load(path).layers[0].w_x.shape
    (3, 20)
    """
    name = os.fspath(path)
    text, arrays = _read(Path(path).read_bytes(), name)
    checkpoint = build(text, arrays, name)
    return checkpoint if template is None else place(checkpoint, template, name)


def _read(data: bytes, name: str) -> tuple[str, dict[str, np.ndarray]]:
    """The description and the arrays of a file, version and checksum verified; or a refusal."""
    safetensors = _safetensors()
    try:
        tensors = dict(safetensors.deserialize(data))
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except (safetensors.SafetensorError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{name} is not a complete safetensors file ({error}): it is of another kind, or truncated"
        ) from error
    stored = header.get("__metadata__") or {}
    if "jax_lstm" not in stored:
        raise ValueError(
            f"{name} has no description by jax_lstm.checkpoint.save: "
            "convert another program's arrays with jax_lstm.interop"
        )
    text: str = stored["jax_lstm"]
    version = _version(text, name)
    if version != VERSION:
        raise ValueError(
            f"{name} has version {version!r} of the format, expected {VERSION}: read it with a newer jax_lstm"
        )
    unknown = sorted({one["dtype"] for one in tensors.values()} - DTYPES.keys())
    if unknown:
        raise ValueError(f"{name} is damaged (it has arrays of {unknown[0]}): restore it from a copy")
    arrays = {
        key: np.frombuffer(one["data"], DTYPES[one["dtype"]]).reshape(one["shape"]) for key, one in tensors.items()
    }
    if _digest(text, arrays) != stored.get("sha256"):
        raise ValueError(
            f"{name} is damaged (its content does not have the SHA-256 that it states): restore it from a copy"
        )
    return text, arrays


def _version(text: str, name: str) -> Any:
    """The version that a description states."""
    try:
        return json.loads(text)["version"]
    except KeyError:
        raise ValueError(f"{name} is damaged (its description has no version): restore it from a copy") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{name} is damaged (its description is no JSON object: {error}): restore it from a copy"
        ) from error


def _digest(text: str, arrays: Mapping[str, np.ndarray]) -> str:
    """The checksum as the format defines it."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    for key in sorted(arrays):
        digest.update(arrays[key].reshape(-1).view(np.uint8).data)  # without a copy; bfloat16 has no buffer of its own
    return digest.hexdigest()


def _safetensors() -> Any:
    """The package `safetensors` with its NumPy functions, or what to install."""
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError("checkpoints need safetensors: pip install 'jax_lstm[files]'") from error
    return safetensors
