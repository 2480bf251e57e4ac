"""The plain schedule: one `jax.lax.scan` over the step, differentiated by JAX itself, forwards and backwards."""

from __future__ import annotations

from functools import partial

import jax

from jax_lstm._step import Shared, Steps, step
from jax_lstm._types import Carry, Params, Trace


def scan_trace(params: Params, shared: Shared, steps: Steps, *, reverse: bool) -> tuple[Carry, Trace]:
    """The last carry and the six values of every step."""
    return jax.lax.scan(partial(step, params, shared), shared.initial, steps, reverse=reverse)


def scan(params: Params, shared: Shared, steps: Steps, *, reverse: bool) -> tuple[Carry, jax.Array]:
    """The last carry and the hidden states."""
    carry, trace = scan_trace(params, shared, steps, reverse=reverse)
    return carry, trace.hidden_state
