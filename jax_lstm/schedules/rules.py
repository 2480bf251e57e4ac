"""The rules of `"auto"`: which schedule it takes for a problem.

The choice between `native`, `unrolled` and the others is made when a call is traced, so a rule between them may not
depend on the number of rows, which `jax.vmap` may still raise; that between `chunked` and `deferred` is made when the
program is lowered.
"""

from __future__ import annotations

from typing import NamedTuple

from jax_lstm.schedules._plan import CHUNK, FEW_ROWS, bytes_of_weights, makes_chunks
from jax_lstm.schedules.kernels.cpu import library
from jax_lstm.schedules.problem import Problem

FEW_STEPS = 4
"""Up to this many steps, a program without a loop."""
RELIED_ON = ("avx2", "avx512")
"""The instruction sets with which `"auto"` takes the CPU kernel: those with which it was timed.

NEON was only emulated, which gives values but no times. `JAX_LSTM_NATIVE=avx2` leaves AVX-512 out.
"""
KERNEL_UNITS = 4
"""Minimum units for the CPU kernel to break even: its vectors have one unit in each of their lanes.

The time of the fastest of the others over the kernel's, for the last state and its gradient, 1000 rows, 64 steps. With
AVX2: 0.27 and 0.54 for one unit, 0.74 and 1.02 for two, 0.87 and 1.57 for four, 1.56 and 1.66 for eight; higher with
fewer rows. With AVX-512: 0.35 and 0.42 for one unit, 2.68 and 1.28 for two, 1.87 and 1.54 for four, 2.39 and 2.49 for
eight; 1.07 and 5.37 for four units and one row.
"""
KERNEL_BYTES = 6 * 2**20
"""The size of the weights up to which the CPU kernel was at least as fast as XLA's products.

With AVX2 on two cores, the time of the fastest of the others over the kernel's, forward and gradient, for (rows, steps,
features, hidden): 1.16 and 0.89 at (2, 60, 64, 256), 1.14 and 1.09 at (4, 60, 128, 512), 1.28 and 1.07 at (16, 60, 128,
512), 1.19 and 0.96 at (16, 30, 128, 320). At (16, 60, 512, 512), whose 8 MB every core reads at every step, 0.94 and
1.09 in processor time.

With AVX-512, where the kernel has changed since: 1.99 and 1.47, 1.85 and 1.23, 1.57 and 1.38, 1.69 and 1.55 at the same
four; 1.46 and 1.15 at (1, 100, 64, 512). With 8 MB 1.42 and 1.26 at (16, 60, 512, 512), but 1.15 and 0.85 at (1, 100,
512, 512).
"""


class Verdict(NamedTuple):
    """Whether `"auto"` takes a schedule that can run the problem, and why."""

    taken: bool
    reason: str


def any_problem(problem: Problem) -> None:
    """No reason against it: the schedule can run every problem."""


def only_by_name(problem: Problem) -> Verdict:
    """A schedule that `"auto"` never takes."""
    return Verdict(False, "it was not made for auto: ask for it by name")


def fixed_time(problem: Problem) -> str | None:
    """Why a schedule that writes out its steps cannot run the problem, or None."""
    if isinstance(problem.time, int):
        return None
    return "writes out every step, and the number of steps is symbolic"


def native(problem: Problem) -> Verdict:
    """A loop that is not very short, not very few units, no very large weights, and an instruction set relied on."""
    if problem.time <= FEW_STEPS:
        return Verdict(
            False, f"{problem.time} steps are at most {FEW_STEPS}: what it lays out first costs more than it saves"
        )
    if problem.hidden < KERNEL_UNITS:
        return Verdict(False, f"{problem.hidden} units underfill its {library.units(problem.dtype)}-lane vectors")
    variant = library.variant()
    if variant not in RELIED_ON:
        return Verdict(False, f"it was built for {variant} but not timed with it: ask for it by name")
    size = bytes_of_weights(problem)
    if size > KERNEL_BYTES:
        return Verdict(
            False, f"{size:,} bytes of weights are more than {KERNEL_BYTES:,}: XLA's products read them less often"
        )
    return Verdict(True, "the whole loop is one call of compiled code, with all of the processor's cores")


def unrolled(problem: Problem) -> Verdict:
    """A very short loop."""
    if not isinstance(problem.time, int):
        return Verdict(False, "the number of steps is symbolic")
    if problem.time <= FEW_STEPS:
        return Verdict(True, f"{problem.time} steps are at most {FEW_STEPS}: a loop costs more than it saves")
    return Verdict(
        False, f"{problem.time} steps are more than {FEW_STEPS}: a program without a loop takes long to compile"
    )


def chunked(problem: Problem) -> Verdict:
    """On a CPU, where there are enough rows for large products over a few steps."""
    if problem.platform != "cpu":
        return Verdict(False, "an accelerator is best served by few large products, after the loop")
    if problem.rows is None:
        return Verdict(True, "the number of rows is symbolic: taken to be many")
    if not makes_chunks(problem):
        return Verdict(
            False, f"{problem.rows} rows are fewer than {FEW_ROWS}: products over a few steps would be too small"
        )
    return Verdict(
        True, f"{problem.rows} rows make large products every {CHUNK} steps, of gradients that are still in the cache"
    )


def deferred(problem: Problem) -> Verdict:
    """Whatever the schedules before it leave."""
    return Verdict(True, "the gradients of the weights are single large products, after the loop")


def scan(problem: Problem) -> Verdict:
    """Only by name: `deferred` makes the same products together."""
    return Verdict(False, "JAX's own gradient of a loop makes the products of the weights' gradients at every step")


def checkpointed(problem: Problem) -> Verdict:
    """Only by name: it gives time for memory."""
    return Verdict(False, "it repeats the forward pass, to save memory: ask for it by name")


def untimed(problem: Problem) -> Verdict:
    """Only by name: a schedule for hardware that it was not timed on."""
    return Verdict(False, "it was compiled for such hardware but not timed on it: ask for it by name")
