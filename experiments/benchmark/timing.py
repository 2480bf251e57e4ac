"""Timing side by side: all candidates in turn, again and again, and the least time of each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from jax_lstm.schedules.kernels.cpu import library

CALLS_A_TURN = 3
"""Calls of one system in a row, as the first of them finds its data out of the caches, and threads of the system
before it that still wait actively: those of OpenMP and ONNX Runtime do so for a while.
"""


def in_turn(calls: Mapping[str, Callable[[], Any]], seconds: float, least: int = 3) -> dict[str, float]:
    """The least time of each call, in seconds; they take turns for `seconds`, and each has at least `least` turns.

    The first turn compiles what was not compiled before.
    """
    best = dict.fromkeys(calls, float("inf"))
    stop, turns = time.perf_counter() + seconds, 0
    while turns < least or time.perf_counter() < stop:
        for name, call in calls.items():
            for _ in range(CALLS_A_TURN):
                begin = time.perf_counter()
                jax.block_until_ready(call())
                best[name] = min(best[name], time.perf_counter() - begin)
        turns += 1
    return best


def refuse_unequal(results: Mapping[str, Any], valid=None) -> None:
    """All results are one, to 1e-3 of their largest value: systems that do different work are not compared."""
    arrays = {name: np.asarray(value) * (1 if valid is None else np.asarray(valid)) for name, value in results.items()}
    first, reference = next(iter(arrays.items()))
    for name, array in arrays.items():
        error = np.abs(array.reshape(reference.shape) - reference).max() / max(np.abs(reference).max(), 1e-9)
        if not error < 1e-3:
            gap = f"{error:.1e} of the largest value"
            raise ValueError(f"{name} and {first} differ by {gap}: they do not do the same work")


def peak_rate(cores: int, rounds: int = 10, times: int = 10**7) -> float | None:
    """The float32 operations per second of this many cores that multiply and add, all at once and in registers.

    None where there is no compiled kernel, whose library has that loop.
    """
    if library.missing():
        return None
    best = float("inf")
    with ThreadPoolExecutor(cores) as pool:
        for _ in range(rounds):
            begin = time.perf_counter()
            done = sum(pool.map(library.multiply_adds, [times] * cores))
            best = min(best, (time.perf_counter() - begin) / done)
    return 2 / best


def operations(batch: int, time: int, features: int, hidden: int, gradient: bool) -> float:
    """The operations of the matrix products: forward, and twice as many again for the gradient."""
    return 2.0 * time * batch * (features + hidden) * 4 * hidden * (3 if gradient else 1)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
