"""Which problems the CPU kernel takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp

from jax_lstm.schedules.kernels.cpu import library

if TYPE_CHECKING:
    from jax_lstm.schedules.registry import Problem


def unsupported(problem: Problem) -> str | None:
    """Why the kernel cannot run the problem, or None; it completes `schedule="native"`."""
    if problem.platform != "cpu":
        return f"runs on a CPU, not on a {problem.platform}"
    if problem.dtype != jnp.float32:
        return f"computes in float32, not in {jnp.dtype(problem.dtype).name}"
    if problem.rows is None:
        return "needs to know the number of rows while it is traced, and it is symbolic"
    others = sorted(problem.variant - {"no bias"} | problem.options & {"zoneout"})
    if others:
        return f"has the plain LSTM alone, without {', '.join(others)}"
    reason = library.missing()
    return None if reason is None else f"needs the compiled kernel, and {reason}"
