"""What a file may hold: layers and a readout that fit each other, and metadata that JSON keeps as it is."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

from jax_lstm import _checks
from jax_lstm._types import Readout
from jax_lstm.checkpoint._tree import Checkpoint, name, tree

DTYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
"""The dtypes that a file holds, by the names of safetensors."""


def check(checkpoint: Checkpoint) -> tuple[int, ...]:
    """The leading axes that all arrays share, or a refusal of what does not fit."""
    members = _leading_axes(checkpoint)
    one = jax.tree.map_with_path(lambda path, leaf: _member(leaf, name(path), members), tree(checkpoint))
    first = jax.tree.leaves(one["layers"])[0]
    sizes = _checks.check_layers(one["layers"], first.shape[-2] if first.ndim > 1 else 1, first.dtype)
    if one["readout"] is not None:
        _check_readout(one["readout"], sum(side.out for side in sizes[-1]))
    _check_metadata(checkpoint.metadata)
    return members


def _check_metadata(metadata: Any) -> None:
    """A dict of JSON values, or None."""
    if metadata is not None and not isinstance(metadata, dict):
        raise TypeError(f"metadata is a {type(metadata).__name__}, expected a dict of JSON values, or None")
    try:
        _check_json(metadata, "metadata")
    except RecursionError:
        raise ValueError("metadata is nested too deeply, or holds itself: flatten it") from None


def _check_json(value: Any, where: str) -> None:
    """A refusal, by its place, of what JSON does not hold or gives back as something else."""
    match value:
        case None | bool() | str() | int():
            return
        case float():
            if not math.isfinite(value):
                raise ValueError(
                    f"{where} is {value}, expected a finite number: JSON has no other, use None or a string"
                )
        case list():
            for position, entry in enumerate(value):
                _check_json(entry, f"{where}[{position}]")
        case dict():
            for key, entry in value.items():
                if not isinstance(key, str):
                    raise TypeError(f"{where} has the key {key!r}, expected strings as keys: JSON has no others")
                _check_json(entry, f"{where}[{key!r}]")
        case _:
            kind = type(value).__name__
            raise TypeError(
                f"{where} is a {kind}, expected JSON: a string, number, boolean, None, list (no tuple) or dict"
            )


def _leading_axes(checkpoint: Checkpoint) -> tuple[int, ...]:
    """The axes in front of those that the first layer's `w_x` has by itself."""
    first = next(iter(jax.tree.leaves(checkpoint.layers[0])), None)
    _checks.check_float(first, "layers[0].w_x")
    shape: tuple[int, ...] = first.shape  # type: ignore[union-attr]  # check_float refuses None
    return shape[:-2]


def _member(leaf: Any, where: str, members: tuple[int, ...]) -> np.ndarray:
    """One member's array, with its shape and dtype but without its memory: what the checks of a network need."""
    dtype = _checks.check_float(leaf, where)
    if str(dtype) not in DTYPES.values():
        raise TypeError(f"{where} is {dtype}, expected one of {', '.join(DTYPES.values())}: convert it with astype")
    if leaf.shape[: len(members)] != members:
        raise ValueError(
            f"{where} has shape {leaf.shape}, expected the leading axes {members} of layers[0].w_x: "
            "stack all arrays, or none"
        )
    return np.broadcast_to(np.zeros((), dtype), leaf.shape[len(members) :])


def _check_readout(readout: Any, out: int) -> None:
    """A readout of the last layer's `out` hidden states."""
    if not isinstance(readout, Readout):
        raise TypeError(f"readout is a {type(readout).__name__}, expected Readout(w, b)")
    if readout.w.ndim != 2 or (readout.b is not None and readout.b.shape != readout.w.shape[1:]):
        shapes = [None if array is None else array.shape for array in readout]
        raise ValueError(f"readout has w and b of shapes {shapes}, expected (out, outputs) and (outputs,)")
    if readout.w.shape[0] != out:
        raise ValueError(
            f"readout.w has shape {readout.w.shape}, expected ({out}, outputs), as the last layer has {out} outputs"
        )
