"""The schedules by name, and the choice of `"auto"` among them."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, NamedTuple

import jax

from jax_lstm._step import Shared, Steps
from jax_lstm._types import Carry, Params
from jax_lstm.schedules import checkpointed, deferred, rules
from jax_lstm.schedules._plan import plan
from jax_lstm.schedules.kernels import cudnn, tpu
from jax_lstm.schedules.kernels.cpu import binding, library
from jax_lstm.schedules.problem import Problem, problem_of
from jax_lstm.schedules.rules import Verdict
from jax_lstm.schedules.scan import scan, unrolled


def _no_details(problem: Problem) -> str:
    return ""


class Schedule(NamedTuple):
    """A way to run a layer.

    Args:
        run: `(problem, params, shared, steps) -> (carry, hs)`.
        unsupported: `problem -> reason` why it cannot run the problem, or None. The reason completes `schedule="…"`.
        auto: `problem -> Verdict`, for a problem that it can run.
        details: `problem -> text`, how it arranges its work, for `explain_schedule`.
        run_stack: `(problem, weights, shared, steps, directions=) -> (carries, hs)`, a whole stack at once, where it
            can.
    """

    run: Callable[[Problem, Any, Shared, Steps], tuple[Carry, jax.Array]]
    unsupported: Callable[[Problem], str | None] = rules.any_problem
    auto: Callable[[Problem], Verdict] = rules.only_by_name
    details: Callable[[Problem], str] = _no_details
    run_stack: Callable[..., tuple[tuple[Carry, ...], jax.Array]] | None = None


class Choice(NamedTuple):
    """What `"auto"` chose.

    Args:
        schedule: its name.
        reason: why it was chosen.
        details: how the schedule arranges its work, where it has a choice of its own.
        passed_over: for each other schedule, why it was not chosen.
    """

    schedule: str
    reason: str
    details: str
    passed_over: dict[str, str]


def run_schedule(
    name: str, params: Params, shared: Shared, steps: Steps, *, reverse: bool, platform: str
) -> tuple[Carry, jax.Array]:
    """Run a layer by the schedule of a name, or by the one that `"auto"` chooses.

    Raises:
        ValueError: a schedule that cannot run this problem; the message says why.
    """
    problem = problem_of(params, shared, steps, reverse=reverse, platform=platform)
    if name == "auto":
        name = choose(problem).schedule
        if name in ("chunked", "deferred"):  # between which the program decides when it is lowered
            return deferred.portable(problem, params, shared, steps)
    refuse_unsupported(name, problem)
    return SCHEDULES[name].run(problem, params, shared, steps)


def refuse_unsupported(name: str, problem: Problem) -> None:
    """Raise the reason why a schedule cannot run a problem, if there is one."""
    reason = SCHEDULES[name].unsupported(problem)
    if reason is not None:
        raise ValueError(f'schedule="{name}" {reason}: use schedule="auto", or another of {", ".join(SCHEDULES)}')


def choose(problem: Problem) -> Choice:
    """What `"auto"` takes: the first schedule, in the order of `SCHEDULES`, whose verdict is to take it.

    >>> from jax import numpy as jnp
    >>> from jax_lstm._step import Shared, Steps
    >>> from jax_lstm import init, zero_carry
    >>> params = init(jax.random.key(0), features=1, hidden=128)
    >>> shared, steps = Shared(zero_carry(params, (128,))), Steps(jnp.zeros((784, 128, 1)))
    >>> choose(problem_of(params, shared, steps, reverse=False, platform="gpu")).schedule
    'deferred'
    """
    chosen, reason, passed_over = "", "", {}
    for name, schedule in SCHEDULES.items():
        against = schedule.unsupported(problem)
        if against is not None:
            passed_over[name] = against
            continue
        verdict = schedule.auto(problem)
        if not verdict.taken:
            passed_over[name] = verdict.reason
        elif chosen:
            passed_over[name] = f"{chosen} comes before it"
        else:
            chosen, reason = name, verdict.reason
    return Choice(chosen, reason, SCHEDULES[chosen].details(problem), passed_over)


def register(name: str, schedule: Schedule) -> None:
    """Add a schedule, or replace the one of that name; every call from now on follows.

    `"auto"` considers the schedules that were added before all others, the latest first, so one whose `auto` takes a
    problem is chosen for it. A program that was compiled under a `jax.jit` of the caller's stays as it was.

    Args:
        name: what `schedule=` asks for it by.
        schedule: the schedule.

    Raises:
        ValueError: the name "auto". TypeError: something else than a `Schedule`.

    >>> register("mine", Schedule(SCHEDULES["scan"].run))
    >>> "mine" in SCHEDULES
    True
    """
    global _version
    if not isinstance(name, str):
        raise TypeError(f"name is a {type(name).__name__}, expected a str: what schedule= asks for it by")
    if name == "auto":
        raise ValueError("name is 'auto', which chooses among the schedules: expected another name")
    if not isinstance(schedule, Schedule):
        raise TypeError(f"schedule is a {type(schedule).__name__}, expected a Schedule: Schedule(run)")
    if name in _schedules:
        _schedules[name] = schedule
    else:
        others = dict(_schedules)
        _schedules.clear()
        _schedules.update({name: schedule, **others})
    _version += 1


def version() -> int:
    """How often a schedule was registered: part of what a compiled program is looked up by."""
    return _version


def _loops(problem: Problem) -> str:
    arranged = plan(problem)
    if arranged.chunk is None:
        return f"products in the loop: {arranged.layout}"
    return f"products in the loop: {arranged.layout}, gradients of about {arranged.chunk} steps at once"


def _instruction_set(problem: Problem) -> str:
    return f"instruction set: {library.variant()}"


_version = 0
_schedules = {
    "native": Schedule(binding.native, binding.unsupported, rules.native, _instruction_set),
    "unrolled": Schedule(unrolled, rules.fixed_time, rules.unrolled),
    "chunked": Schedule(deferred.chunked, rules.any_problem, rules.chunked, _loops),
    "deferred": Schedule(deferred.deferred, rules.any_problem, rules.deferred, _loops),
    "scan": Schedule(scan, rules.any_problem, rules.scan),
    "checkpointed": Schedule(checkpointed.checkpointed, checkpointed.unsupported, rules.checkpointed),
    "cudnn": Schedule(cudnn.cudnn, cudnn.unsupported, rules.untimed, run_stack=cudnn.cudnn_stack),
    "pallas": Schedule(tpu.pallas, tpu.unsupported, rules.untimed),
}
SCHEDULES = MappingProxyType(_schedules)
"""Every way to run a layer, in the order in which `"auto"` considers them; all give the same result, up to rounding,
and have all modes of differentiation. A view: `register` adds to it.

- `native`: on a CPU in float32 and float64 the whole loop as one call of compiled code, and one backward.
- `unrolled`: a program without a loop, for a few steps; compile time grows with their number.
- `chunked`: a custom backward pass that makes the gradients of weights and inputs every 16 steps, while what they are
  made of is still in the cache.
- `deferred`: the same, but as single products after the loop.
- `scan`: the plain loop, differentiated by JAX.
- `checkpointed`: memory for the gradient that grows with the square root of the length, for a second forward pass.
- `cudnn`: one call of cuDNN forward and one backward, on NVIDIA GPUs, for the plain LSTM in float32 with or without
  lengths.
- `pallas`: two kernels for TPUs, for the plain LSTM in float32 and bfloat16, with lengths, masks and resets.
"""
