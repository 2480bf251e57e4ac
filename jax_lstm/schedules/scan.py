"""The plain schedules: a `jax.lax.scan` over the step, or its steps one after the other, differentiated by JAX itself in every mode."""

from __future__ import annotations

from functools import partial

import jax

from jax_lstm._step import Shared, Steps, step
from jax_lstm._types import Carry, Params, Trace


def scan_trace(params: Params, shared: Shared, steps: Steps, *, reverse: bool, unroll: bool = False) -> tuple[Carry, Trace]:
    """The last carry and the six values of every step."""
    return jax.lax.scan(partial(step, params, shared), shared.initial, steps, reverse=reverse, unroll=unroll)


def scan(params: Params, shared: Shared, steps: Steps, *, reverse: bool, unroll: bool = False) -> tuple[Carry, jax.Array]:
    """The last carry and the hidden states; with `unroll` the program has no loop, but every step of its own."""
    carry, trace = scan_trace(params, shared, steps, reverse=reverse, unroll=unroll)
    return carry, trace.hidden_state
