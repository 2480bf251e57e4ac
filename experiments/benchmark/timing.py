"""Timing side by side: all candidates in turn, again and again, and the least time of each."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np

PEAK = Path(__file__).with_name("peak.cc")
"""The loop that nothing but the processor's arithmetic limits."""
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

    None where there is no C++ compiler for `peak.cc`, which has that loop.
    """
    library = _peak_library()
    if library is None:
        return None
    done = cores * times * library.multiply_adds()
    best = float("inf")
    with ThreadPoolExecutor(cores) as pool:
        for _ in range(rounds):
            begin = time.perf_counter()
            list(pool.map(library.multiply_add, [ctypes.c_long(times)] * cores))
            best = min(best, time.perf_counter() - begin)
    return 2 * done / best


@cache
def _peak_library() -> ctypes.CDLL | None:
    """`peak.cc`, compiled for this processor; None without a compiler."""
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder, "peak.so")
        command = [compiler, "-O3", "-march=native", "-shared", "-fPIC", "-o", str(built), str(PEAK)]
        subprocess.run(command, check=True)
        library = ctypes.CDLL(str(built))
    library.multiply_add.restype = ctypes.c_float
    library.multiply_adds.restype = ctypes.c_long
    return library


def operations(batch: int, time: int, features: int, hidden: int, gradient: bool) -> float:
    """The operations of the matrix products: forward, and twice as many again for the gradient."""
    return 2.0 * time * batch * (features + hidden) * 4 * hidden * (3 if gradient else 1)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
