"""The schedules by name, and the rule by which `"auto"` chooses one; nothing else asks for the platform or the number
of rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_lstm._cell import wide_dtype
from jax_lstm._step import Shared, Steps
from jax_lstm._types import Carry, DiagonalParams, Params
from jax_lstm.schedules._products import Layout
from jax_lstm.schedules.checkpointed import checkpointed
from jax_lstm.schedules.deferred import Plan, Plans, deferred
from jax_lstm.schedules.kernels import cudnn, tpu
from jax_lstm.schedules.kernels.cpu import library
from jax_lstm.schedules.kernels.cpu.binding import native
from jax_lstm.schedules.kernels.cpu.support import unsupported as native_unsupported
from jax_lstm.schedules.scan import scan

CHUNK = 16
"""How many steps `chunked` gathers before it makes products of their gradients; 8, 32 and 64 were no faster on any
shape.
"""
FEW_STEPS = 4
FEW_ROWS = 16
LARGE_BYTES, MANY_BYTES, LEFT_ROWS = 2**18, 2**21, range(4, 65)
"""From which size on weights count as large and as many, and for which numbers of rows many of them stand on the
left.
"""


class Problem(NamedTuple):
    """Everything that the choice of a schedule may depend on.

    Args:
        time: the number of steps.
        batch: the batch axes, of one device's part where the batch is sharded; a symbolic size is no `int`.
        features, hidden, out: the sizes of the layer.
        dtype: of parameters, inputs and results.
        platform: "cpu", "gpu" or "tpu".
        variant: those of "diagonal", "no bias", "peephole", "projection", "norm", "coupled", "clip cell" and "clip
            gates" that hold.
        options: those of "lengths", "mask", "resets", "reset_to", "recurrent_mask" and "zoneout" that are given.
        reverse: whether the steps are taken from the last to the first.
    """

    time: int
    batch: tuple[Any, ...]
    features: int
    hidden: int
    out: int
    dtype: jnp.dtype
    platform: str
    variant: frozenset[str]
    options: frozenset[str]
    reverse: bool

    @property
    def rows(self) -> int | None:
        """The number of rows of the batch; None where it is symbolic."""
        return math.prod(self.batch) if all(isinstance(size, int) for size in self.batch) else None


class Verdict(NamedTuple):
    """Whether `"auto"` takes a schedule that can run the problem, and why."""

    taken: bool
    reason: str


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


def describe(params: Params, shared: Shared, steps: Steps, *, reverse: bool, platform: str) -> Problem:
    """The problem that a layer's arguments pose."""
    sizes = {"features": params.features, "hidden": params.hidden, "out": params.out}
    bounds = () if params.clip is None else (f"clip {name}" for name in ("cell", "gates") if getattr(params.clip, name))
    names = ("peephole", "projection", "norm", "coupled")
    variant = {name for name in names if getattr(params, name) is not None} | set(bounds)
    if isinstance(params, DiagonalParams):
        variant.add("diagonal")
    if params.b is None:
        variant.add("no bias")
    options = {
        "lengths": shared.lengths is not None,
        "mask": steps.valid is not None and shared.lengths is None,
        "resets": steps.reset is not None,
        "reset_to": shared.reset_to is not None,
        "recurrent_mask": shared.recurrent_mask is not None,
        "zoneout": steps.zoneout is not None or shared.zoneout is not None,
    }
    return Problem(
        steps.x.shape[0],
        steps.x.shape[1:-1],
        **sizes,
        dtype=steps.x.dtype,
        platform=platform,
        variant=frozenset(variant),
        options=frozenset(name for name, is_given in options.items() if is_given),
        reverse=reverse,
    )


def platform_of(x: jax.Array) -> str:
    """The platform where a concrete array is; JAX's default for one that is traced.

    A program that is traced here can still be compiled for another platform: `deferred` and `chunked` have a plan for
    each, and a kernel stands beside a plain program for the platforms that it is not for.
    """
    if isinstance(x, jax.core.Tracer):
        device = jax.sharding.get_abstract_mesh().abstract_device
        return str(jax.default_backend()) if device is None else device.platform
    return str(next(iter(x.devices())).platform)


def run_schedule(name: str, problem: Problem, params: Params, shared: Shared, steps: Steps) -> tuple[Carry, jax.Array]:
    """Run a layer by the schedule of a name, or by the one that `"auto"` chooses.

    Raises:
        ValueError: a schedule that cannot run this problem; the message says why.
    """
    if name == "auto":
        name = choose(problem).schedule
        if name in ("chunked", "deferred"):
            # one program for every platform that it may be compiled for, each with what "auto" takes there
            plans = Plans(_plan(problem._replace(platform="cpu")), _plan(problem._replace(platform="gpu")))
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
    plan = _plan(problem)
    chunks = f", gradients of about {plan.chunk} steps at once" if plan.chunk else ""
    details = f"products in the loop: {plan.layout}{chunks}" if chosen[0] in ("chunked", "deferred") else ""
    if chosen[0] == "native":
        details = f"instruction set: {library.variant()}"
    return Choice(*chosen, details, passed_over)


def _plan(problem: Problem) -> Plan:
    """What `"auto"` makes of `deferred` and `chunked` on the problem's platform."""
    return Plan(CHUNK if _auto_chunked(problem).taken else None, _layout(problem), problem.platform != "cpu")


def _layout(problem: Problem) -> Layout:
    """How the loop of a custom backward pass arranges its products.

    A CPU's product packs its right factor into blocks at every step. Where that is many weights for few rows, the
    weights stand on the
    left, as they are: up to 2.7 times as fast. Else large ones come in halves, which fit a core's cache: up to 1.7
    times.
    """
    rows = problem.rows
    size = (problem.features + problem.out) * 4 * problem.hidden * jnp.dtype(wide_dtype(problem.dtype)).itemsize
    if problem.platform != "cpu" or rows is None or rows < LEFT_ROWS.start or size < LARGE_BYTES:
        return "plain"
    return "weights left" if rows in LEFT_ROWS and size >= MANY_BYTES else "halves"


def _plans(problem: Problem, chunk: int | None) -> Plans:
    """The plans of a schedule that was asked for by name: the same chunks on every platform."""
    return Plans(Plan(chunk, _layout(problem._replace(platform="cpu"))), Plan(chunk, hoisted=True))


def _scan(problem: Problem, *arguments: Any) -> tuple[Carry, jax.Array]:
    return scan(*arguments, reverse=problem.reverse)


def _unrolled(problem: Problem, *arguments: Any) -> tuple[Carry, jax.Array]:
    return scan(*arguments, reverse=problem.reverse, unroll=True)


def _deferred(problem: Problem, *arguments: Any) -> tuple[Carry, jax.Array]:
    return deferred(*arguments, plans=_plans(problem, None), reverse=problem.reverse)


def _chunked(problem: Problem, *arguments: Any) -> tuple[Carry, jax.Array]:
    return deferred(*arguments, plans=_plans(problem, CHUNK), reverse=problem.reverse)


def _checkpointed(problem: Problem, *arguments: Any) -> tuple[Carry, jax.Array]:
    return checkpointed(*arguments, plans=_plans(problem, None), reverse=problem.reverse)


def _native(problem: Problem, *arguments: Any) -> tuple[Carry, jax.Array]:
    return native(*arguments, reverse=problem.reverse)


def _cudnn(problem: Problem, *arguments: Any) -> tuple[Carry, jax.Array]:
    return cudnn.cudnn(*arguments, reverse=problem.reverse)


def _pallas(problem: Problem, *arguments: Any) -> tuple[Carry, jax.Array]:
    return tpu.pallas(*arguments, reverse=problem.reverse)


def _always_supported(problem: Problem) -> str | None:
    return None


def _auto_native(problem: Problem) -> Verdict:
    if problem.time <= FEW_STEPS:
        return Verdict(
            False, f"{problem.time} steps are at most {FEW_STEPS}: what it lays out first costs more than it saves"
        )
    return Verdict(True, "the whole loop is one call of compiled code, with all of the processor's cores")


def _auto_unrolled(problem: Problem) -> Verdict:
    if problem.time <= FEW_STEPS:
        return Verdict(True, f"{problem.time} steps are at most {FEW_STEPS}: a loop costs more than it saves")
    return Verdict(
        False, f"{problem.time} steps are more than {FEW_STEPS}: a program without a loop takes long to compile"
    )


def _auto_chunked(problem: Problem) -> Verdict:
    rows = problem.rows
    if problem.platform != "cpu":
        return Verdict(False, "an accelerator is best served by few large products, after the loop")
    if rows is None:
        return Verdict(True, "the number of rows is symbolic: taken to be many")
    if rows < FEW_ROWS:
        return Verdict(False, f"{rows} rows are fewer than {FEW_ROWS}: products over a few steps would be too small")
    return Verdict(
        True, f"{rows} rows make large products every {CHUNK} steps, of gradients that are still in the cache"
    )


def _auto_deferred(problem: Problem) -> Verdict:
    return Verdict(True, "the gradients of the weights are single large products, after the loop")


def _auto_scan(problem: Problem) -> Verdict:
    return Verdict(False, "JAX's own gradient of a loop makes the products of the weights' gradients at every step")


def _auto_checkpointed(problem: Problem) -> Verdict:
    return Verdict(False, "it repeats the forward pass, to save memory: ask for it by name")


def _auto_untimed(problem: Problem) -> Verdict:
    return Verdict(False, "it was compiled for such hardware but not timed on it: ask for it by name")


SCHEDULES = {
    "native": Schedule(_native, native_unsupported, _auto_native),
    "unrolled": Schedule(_unrolled, _always_supported, _auto_unrolled),
    "chunked": Schedule(_chunked, _always_supported, _auto_chunked),
    "deferred": Schedule(_deferred, _always_supported, _auto_deferred),
    "scan": Schedule(_scan, _always_supported, _auto_scan),
    "checkpointed": Schedule(_checkpointed, _always_supported, _auto_checkpointed),
    "cudnn": Schedule(_cudnn, cudnn.unsupported, _auto_untimed),
    "pallas": Schedule(_pallas, tpu.unsupported, _auto_untimed),
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
lengths. - `pallas`: two kernels for TPUs, for the plain LSTM in float32 and bfloat16, with lengths, masks and resets.
"""
