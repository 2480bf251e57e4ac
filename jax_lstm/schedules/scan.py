"""The plain schedules: `jax.lax.scan` over the step, or its steps one after the other, differentiated by JAX in every
mode.
"""

from __future__ import annotations

import jax

from jax_lstm._cell import wide_dtype
from jax_lstm._step import Shared, Steps, step
from jax_lstm._types import Carry, Params, Trace


def scan_trace(
    params: Params, shared: Shared, steps: Steps, *, reverse: bool, unroll: bool = False
) -> tuple[Carry, Trace]:
    """The last carry and the six values of every step."""
    # cast inside the step, so that the gradients of half-precision weights are added up over the steps in float32
    wide = jax.tree.map(lambda leaf: leaf.astype(wide_dtype(leaf.dtype)), params)

    def one(carry: Carry, now: Steps) -> tuple[Carry, Trace]:
        return step(jax.tree.map(lambda leaf, given: leaf.astype(given.dtype), wide, params), shared, carry, now)

    return jax.lax.scan(one, shared.initial, steps, reverse=reverse, unroll=unroll)


def scan(
    params: Params, shared: Shared, steps: Steps, *, reverse: bool, unroll: bool = False
) -> tuple[Carry, jax.Array]:
    """The last carry and the hidden states; with `unroll` the program has no loop, but every step of its own."""
    carry, trace = scan_trace(params, shared, steps, reverse=reverse, unroll=unroll)
    return carry, trace.hidden_state
