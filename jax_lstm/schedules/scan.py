"""The plain schedules: `jax.lax.scan` over the step, or its steps one after the other, differentiated by JAX."""

from __future__ import annotations

import jax

from jax_lstm._cell import wide_dtype
from jax_lstm._step import Shared, Steps, masked, step
from jax_lstm._types import Carry, Params, Trace
from jax_lstm.schedules.problem import Problem


def scan_trace(
    params: Params, shared: Shared, steps: Steps, *, reverse: bool, unroll: bool = False
) -> tuple[Carry, Trace]:
    """The last carry and the six values of every step."""
    shared, steps = masked(shared, steps)
    # cast inside the step, so that the gradients of half-precision weights are added up over the steps in float32
    wide = jax.tree.map(lambda leaf: leaf.astype(wide_dtype(leaf.dtype)), params)

    def one(carry: Carry, now: Steps) -> tuple[Carry, Trace]:
        narrow = jax.tree.map(lambda leaf, given: leaf.astype(given.dtype), wide, params)
        return step(narrow, shared, carry, now)

    return jax.lax.scan(one, shared.initial, steps, reverse=reverse, unroll=unroll)


def scan(
    problem: Problem, params: Params, shared: Shared, steps: Steps, *, unroll: bool = False
) -> tuple[Carry, jax.Array]:
    """The last carry and the hidden states."""
    carry, trace = scan_trace(params, shared, steps, reverse=problem.reverse, unroll=unroll)
    return carry, trace.hidden_state


def unrolled(problem: Problem, params: Params, shared: Shared, steps: Steps) -> tuple[Carry, jax.Array]:
    """The same by a program without a loop: every step is written out."""
    return scan(problem, params, shared, steps, unroll=True)
