"""What a file may hold: layers and a readout that fit each other, and metadata that JSON keeps as it is."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jax_lstm import _check_stack, _checks
from jax_lstm._types import Carry, Readout, directions
from jax_lstm.checkpoint._container import FLOATS
from jax_lstm.checkpoint._json import check_json
from jax_lstm.checkpoint._tree import Checkpoint, name, tree


def check(checkpoint: Checkpoint) -> tuple[int, ...]:
    """The leading axes that all arrays share, or a refusal of what does not fit."""
    members = _leading_axes(checkpoint)
    one = jax.tree.map_with_path(lambda path, leaf: _member(leaf, name(path), members), tree(checkpoint))
    first = jax.tree.leaves(one["layers"])[0]
    sizes = _check_stack.check_layers(one["layers"], first.shape[-2] if first.ndim > 1 else 1, first.dtype)
    if one["readout"] is not None:
        _check_readout(one["readout"], sum(side.out for side in sizes[-1]))
    if checkpoint.carries is not None:
        _check_carries(one["carries"], sizes, first.dtype)
    _check_metadata(checkpoint.metadata)
    return members


def _check_carries(carries: Any, sizes: Any, dtype: Any) -> None:
    """One carry for each direction of each layer, with one batch axis."""
    if len(carries) != len(sizes):
        raise ValueError(f"carries has {len(carries)} entries, expected one for each of {len(sizes)} layers")
    for k, (carry, layer) in enumerate(zip(carries, sizes, strict=True)):
        sides = directions(carry, f"carries[{k}]")
        if len(sides) != len(layer):
            raise ValueError(f"carries[{k}] is for {len(sides)} directions, but the layer has {len(layer)}")
        for (where, side), one in zip(sides, layer, strict=True):
            batch = side.h.shape[:1] if isinstance(side, Carry) else ()
            _checks.check_carry(side, one, batch, dtype, where)


def _check_metadata(metadata: Any) -> None:
    """A dict of JSON values, or None."""
    if metadata is not None and not isinstance(metadata, dict):
        raise TypeError(f"metadata is a {type(metadata).__name__}, expected a dict of JSON values, or None")
    check_json(metadata, "metadata")


def _leading_axes(checkpoint: Checkpoint) -> tuple[int, ...]:
    """The axes in front of those that the first layer's `w_x` has by itself."""
    first = next(iter(jax.tree.leaves(checkpoint.layers[0])), None)
    _checks.check_float(first, "layers[0].w_x")
    shape: tuple[int, ...] = first.shape  # type: ignore[union-attr]  # check_float refuses None
    return shape[:-2]


def _member(leaf: Any, where: str, members: tuple[int, ...]) -> np.ndarray:
    """One member's array, with its shape and dtype but without its memory: what the checks of a network need."""
    dtype = _checks.check_float(leaf, where)
    if str(dtype) not in FLOATS.values():
        raise TypeError(f"{where} is {dtype}, expected one of {', '.join(FLOATS.values())}: convert it with astype")
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
