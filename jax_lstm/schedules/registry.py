"""The schedules by name, and the choice of `"auto"` among them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jax_lstm._step import Shared, Steps, zero_padding
from jax_lstm._types import Carry, Params
from jax_lstm.schedules import rules
from jax_lstm.schedules.checkpointed import checkpointed
from jax_lstm.schedules.deferred import Plans, deferred
from jax_lstm.schedules.kernels import cudnn, tpu
from jax_lstm.schedules.kernels.cpu import library
from jax_lstm.schedules.kernels.cpu.binding import native
from jax_lstm.schedules.kernels.cpu.support import unsupported as native_unsupported
from jax_lstm.schedules.problem import Problem
from jax_lstm.schedules.rules import Verdict
from jax_lstm.schedules.scan import scan


class Schedule(NamedTuple):
    """A way to run a layer.

    Args:
        run: `(problem, params, shared, steps) -> (carry, hs)`.
        unsupported: `problem -> reason` why it cannot run the problem, or None. The reason completes `schedule="…"`.
        auto: `problem -> Verdict`, for a problem that it can run.
    """

    run: Callable[[Problem, Params, Shared, Steps], tuple[Carry, jax.Array]]
    unsupported: Callable[[Problem], str | None]
    auto: Callable[[Problem], Verdict]


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


def run_schedule(name: str, problem: Problem, params: Params, shared: Shared, steps: Steps) -> tuple[Carry, jax.Array]:
    """Run a layer by the schedule of a name, or by the one that `"auto"` chooses.

    Raises:
        ValueError: a schedule that cannot run this problem; the message says why.
    """
    automatic = name == "auto"
    if automatic:
        name = choose(problem).schedule
    if name != "native":  # which reads no step that is not valid
        steps = zero_padding(steps)
    if automatic and name in ("chunked", "deferred"):
        # one program for every platform that it may be compiled for, each with what "auto" takes there
        plans = Plans(rules.plan(problem._replace(platform="cpu")), rules.plan(problem._replace(platform="gpu")))
        return deferred(params, shared, steps, plans=plans, reverse=problem.reverse)
    reason = SCHEDULES[name].unsupported(problem)
    if reason is not None:
        raise ValueError(f'schedule="{name}" {reason}: use schedule="auto", or another of {", ".join(SCHEDULES)}')
    return SCHEDULES[name].run(problem, params, shared, steps)


def choose(problem: Problem) -> Choice:
    """What `"auto"` takes: the first schedule, in the order of `SCHEDULES`, whose verdict is to take it.

    >>> from jax import numpy as jnp
    >>> none = frozenset()
    >>> problem = Problem(784, (128,), 1, 128, 128, jnp.dtype("float32"), "gpu", none, none, reverse=False)
    >>> choose(problem).schedule
    'deferred'
    """
    chosen, passed_over = ("", ""), {}
    for name, schedule in SCHEDULES.items():
        reason = schedule.unsupported(problem)
        verdict = schedule.auto(problem) if reason is None else Verdict(False, reason)
        if verdict.taken and not chosen[0]:
            chosen = (name, verdict.reason)
        else:
            passed_over[name] = f"{chosen[0]} comes before it" if verdict.taken else verdict.reason
    plan = rules.plan(problem)
    chunks = f", gradients of about {plan.chunk} steps at once" if plan.chunk else ""
    details = f"products in the loop: {plan.layout}{chunks}" if chosen[0] in ("chunked", "deferred") else ""
    if chosen[0] == "native":
        details = f"instruction set: {library.variant()}"
    return Choice(*chosen, details, passed_over)


def _scan(problem: Problem, *arguments: Any) -> tuple[Carry, jax.Array]:
    return scan(*arguments, reverse=problem.reverse)


def _unrolled(problem: Problem, *arguments: Any) -> tuple[Carry, jax.Array]:
    return scan(*arguments, reverse=problem.reverse, unroll=True)


def _deferred(problem: Problem, *arguments: Any) -> tuple[Carry, jax.Array]:
    return deferred(*arguments, plans=rules.plans(problem, None), reverse=problem.reverse)


def _chunked(problem: Problem, *arguments: Any) -> tuple[Carry, jax.Array]:
    return deferred(*arguments, plans=rules.plans(problem, rules.CHUNK), reverse=problem.reverse)


def _checkpointed(problem: Problem, *arguments: Any) -> tuple[Carry, jax.Array]:
    return checkpointed(*arguments, plans=rules.plans(problem, None), reverse=problem.reverse)


def _native(problem: Problem, *arguments: Any) -> tuple[Carry, jax.Array]:
    return native(*arguments, reverse=problem.reverse)


def _cudnn(problem: Problem, *arguments: Any) -> tuple[Carry, jax.Array]:
    return cudnn.cudnn(*arguments, reverse=problem.reverse)


def _pallas(problem: Problem, *arguments: Any) -> tuple[Carry, jax.Array]:
    return tpu.pallas(*arguments, reverse=problem.reverse)


SCHEDULES = {
    "native": Schedule(_native, native_unsupported, rules.native),
    "unrolled": Schedule(_unrolled, rules.always_supported, rules.unrolled),
    "chunked": Schedule(_chunked, rules.always_supported, rules.chunked),
    "deferred": Schedule(_deferred, rules.always_supported, rules.deferred),
    "scan": Schedule(_scan, rules.always_supported, rules.scan),
    "checkpointed": Schedule(_checkpointed, rules.always_supported, rules.checkpointed),
    "cudnn": Schedule(_cudnn, cudnn.unsupported, rules.untimed),
    "pallas": Schedule(_pallas, tpu.unsupported, rules.untimed),
}
"""Every way to run a layer, in the order in which `"auto"` considers them; all give the same result, up to rounding.

- `native`: on a CPU in float32 the whole loop as one call of compiled code, and one backward.
- `unrolled`: a program without a loop, for a few steps; compile time grows with their number. Every mode of
  differentiation.
- `chunked`: a custom backward pass that makes the gradients of weights and inputs every 16 steps, while what they are
  made of is still in the cache.
- `deferred`: the same, but as single products after the loop.
- `scan`: the plain loop, differentiated by JAX in every mode.
- `checkpointed`: memory for the gradient that grows with the square root of the length, for a second forward pass.
- `cudnn`: one call of cuDNN forward and one backward, on NVIDIA GPUs, for the plain LSTM in float32 with or without
  lengths.
- `pallas`: two kernels for TPUs, for the plain LSTM in float32 and bfloat16, with lengths, masks and resets.
"""
