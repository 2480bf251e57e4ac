"""A stack in one call, where a schedule can."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax

from jax_lstm._call import bind, complete, zeros_beside
from jax_lstm._sharding import over_batch
from jax_lstm._step import Shared, Steps
from jax_lstm._types import Carry, Layer, directions
from jax_lstm.schedules import SCHEDULES
from jax_lstm.schedules.problem import Problem, platform_of, problem_of
from jax_lstm.schedules.registry import version


def stack_in_one_call(
    schedule: str, layers: Sequence[Layer], xs: jax.Array, carries: Any, lengths: Any, *, reverse: bool
) -> tuple[list[list[Carry]], jax.Array] | None:
    """A whole stack by one call: the last carries of each layer, one for each of its directions, and the last layer's
    hidden states.

    None where one call cannot run it: the schedule runs no stacks, or not these layers, or they differ in size or in
    the number of directions.
    """
    if schedule == "auto" or SCHEDULES[schedule].run_stack is None:
        return None
    weights = [[params for _, params in directions(layer)] for layer in layers]
    count, flat = len(weights[0]), tuple(params for parts in weights for params in parts)
    _, shared, steps = bind(flat[0], xs, lengths=lengths)
    platform = platform_of(steps.x)
    problems = [problem_of(params, shared, steps, reverse=reverse, platform=platform) for params in flat]
    uniform = all(len(parts) == count for parts in weights) and len({problem.hidden for problem in problems}) == 1
    if not uniform or any(SCHEDULES[schedule].unsupported(problem) for problem in problems):
        return None
    if carries is not None:
        carries = tuple(carry for parts in carries for _, carry in directions(parts))
    ends, hs = _run(
        flat,
        shared._replace(initial=carries),
        steps,
        problem=problems[0],
        schedule=schedule,
        count=count,
        version=version(),
    )
    return [list(ends[first : first + count]) for first in range(0, len(ends), count)], hs


@partial(jax.jit, static_argnames=("problem", "schedule", "count", "version"))
def _run(
    weights: Any, shared: Shared, steps: Steps, *, problem: Problem, schedule: str, count: int, version: int
) -> tuple[tuple[Carry, ...], jax.Array]:
    carries = shared.initial
    if carries is None:
        carries = tuple(zeros_beside(params, steps.x) for params in weights)
    _, shared, steps = complete(weights[0], shared._replace(initial=carries), steps)
    run_stack = SCHEDULES[schedule].run_stack
    assert run_stack is not None, "stack_in_one_call looks"

    def on_one_device(weights: Any, shared: Shared, steps: Steps) -> Any:
        return run_stack(problem._replace(batch=steps.x.shape[1:-1]), weights, shared, steps, directions=count)

    return over_batch(on_one_device, weights, shared, steps)
