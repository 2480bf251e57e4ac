"""The checkpointed schedule: the forward pass keeps one carry per sqrt(time) steps, and the backward pass repeats the
steps between.
"""

from __future__ import annotations

import math

import jax

from jax_lstm._step import Shared, Steps, masked
from jax_lstm._types import Carry, Params
from jax_lstm.schedules._pieces import scan_pieces
from jax_lstm.schedules.deferred import deferred
from jax_lstm.schedules.problem import Problem


def checkpointed(problem: Problem, params: Params, shared: Shared, steps: Steps) -> tuple[Carry, jax.Array]:
    """The last carry and the hidden states; what is kept for the gradient grows with the square root of the length.

    The price is a second forward pass (Chen et al. 2016, "Training deep nets with sublinear memory cost").
    """
    shared, steps = masked(shared, steps)  # lengths count from the first step of the whole

    @jax.checkpoint
    def segment(carry: Carry, some: Steps) -> tuple[Carry, jax.Array]:
        return deferred(problem, params, shared._replace(initial=carry), some)

    size = math.isqrt(steps.x.shape[0])
    return scan_pieces(segment, shared.initial, steps, size, reverse=problem.reverse)


def unsupported(problem: Problem) -> str | None:
    """Why the schedule cannot run the problem, or None; it completes `schedule="checkpointed"`."""
    if isinstance(problem.time, int):
        return None
    return "divides the time into segments, and the number of steps is symbolic"
