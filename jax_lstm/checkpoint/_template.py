"""Arrays placed as those of a template, after a comparison leaf by leaf."""

from __future__ import annotations

from typing import Any

import jax

from jax_lstm._types import Clip
from jax_lstm.checkpoint._tree import Checkpoint, leaves, tree


def place(checkpoint: Checkpoint, template: Checkpoint, name: str) -> Checkpoint:
    """The checkpoint with its arrays on the template's devices, or a refusal that names the first leaf that differs."""
    if not isinstance(template, Checkpoint):
        raise TypeError(f"template is a {type(template).__name__}, expected Checkpoint(layers, readout)")
    found, expected = _summary(checkpoint), _summary(template)
    for path in [*expected, *(path for path in found if path not in expected)]:
        given, wanted = found.get(path, "absent"), expected.get(path, "absent")
        if given != wanted:
            raise ValueError(
                f"{path} is {given} in {name}, but {wanted} in the template: "
                "load without a template, or change the template"
            )
    placed = jax.tree.map(_place_array, tree(checkpoint), tree(template))
    return Checkpoint(placed["layers"], placed["readout"], checkpoint.metadata, placed.get("carries"))


def _place_array(value: Any, like: Any) -> jax.Array:
    placed: jax.Array = jax.device_put(value, getattr(like, "sharding", None))
    if placed.dtype != value.dtype:
        raise ValueError(
            f"template is {value.dtype}, which JAX rounds to {placed.dtype}: enable jax_enable_x64, or load without one"
        )
    return placed


def _summary(checkpoint: Checkpoint) -> dict[str, str]:
    """The leaf at every path in words: arrays, bounds, markers, and None for an optional field that is absent."""

    def ends(node: Any) -> bool:
        is_marker = isinstance(node, tuple) and not node  # as Coupled, which holds no arrays
        return node is None or is_marker or isinstance(node, Clip)

    found = leaves(checkpoint, is_leaf=ends)
    return {
        path: f"{leaf.dtype} {leaf.shape}" if hasattr(leaf, "dtype") else repr(leaf) for path, leaf in found.items()
    }
