"""Time in pieces: what the schedules that work piece by piece share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def scan_pieces(
    body: Callable[[Any, Any], tuple[Any, Any]], state: Any, xs: Any, size: int, *, reverse: bool
) -> tuple[Any, Any]:
    """A `jax.lax.scan` whose body takes `size` steps at once, and once those that are left at the end.

    Args:
        body: `(state, piece of xs) -> (state, outputs of the piece)`, both with a leading time axis.
        state: what goes from piece to piece.
        xs: arrays with a leading time axis.
        size: the number of steps in a piece.
        reverse: take the pieces from the last to the first; the outputs stay in the order of `xs`.

    Returns:
        The last state, and the outputs of all steps.
    """
    time = jax.tree.leaves(xs)[0].shape[0]
    whole = time // size * size
    head, rest = jax.tree.map(lambda leaf: leaf[:whole], xs), jax.tree.map(lambda leaf: leaf[whole:], xs)
    outputs_of_rest = None
    if whole < time and reverse:
        state, outputs_of_rest = body(state, rest)
    if whole == size:
        state, outputs = body(state, head)
    else:
        pieces = jax.tree.map(lambda leaf: leaf.reshape(whole // size, size, *leaf.shape[1:]), head)
        state, outputs = jax.lax.scan(body, state, pieces, reverse=reverse)
        outputs = jax.tree.map(lambda leaf: leaf.reshape(whole, *leaf.shape[2:]), outputs)
    if whole < time and not reverse:
        state, outputs_of_rest = body(state, rest)
    if outputs_of_rest is None:
        return state, outputs
    return state, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), outputs, outputs_of_rest)


def without_rest(time: Any, size: int) -> int:
    """The smallest size in [size, 1.5 size] that divides `time`, else `size`: a remainder is compiled once more."""
    for larger in range(size, size + size // 2 + 1):
        if time % larger == 0:
            return larger
    return size
