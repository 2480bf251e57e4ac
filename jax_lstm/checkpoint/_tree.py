"""The content of a checkpoint, and its leaves by path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jax_lstm._types import Bidirectional, Carry, Layer, Readout


class Checkpoint(NamedTuple):
    """The content of a file.

    Args:
        layers: a tuple of layers for `network`.
        readout: a linear readout, or None.
        metadata: what was given to `save`, or None.
        carries: the initial states of the layers, such as learned ones, as `network` takes them; or None.
    """

    layers: tuple[Layer, ...]
    readout: Readout | None = None
    metadata: dict[str, Any] | None = None
    carries: tuple[Carry | Bidirectional[Carry], ...] | None = None


def tree(checkpoint: Checkpoint) -> dict[str, Any]:
    """The parts that hold arrays, as a pytree."""
    carries = {} if checkpoint.carries is None else {"carries": tuple(checkpoint.carries)}
    return {"layers": tuple(checkpoint.layers), "readout": checkpoint.readout, **carries}


def leaves(checkpoint: Checkpoint, is_leaf: Callable[[Any], bool] | None = None) -> dict[str, Any]:
    """The leaves by path: `layers.0.w_x`, `readout.w`."""
    return {name(path): leaf for path, leaf in jax.tree.leaves_with_path(tree(checkpoint), is_leaf=is_leaf)}


def name(path: tuple[Any, ...]) -> str:
    """The path of a leaf as files and messages write it."""
    return jax.tree_util.keystr(path, simple=True, separator=".")
