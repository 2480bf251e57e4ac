"""Timing side by side: all candidates in turn, again and again, and the least time of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def in_turn(calls: Mapping[str, Callable[[], Any]], seconds: float, least: int = 3) -> dict[str, float]:
    """The least time of each call, in seconds; they take turns for `seconds`, and each has at least `least` turns."""
    best = dict.fromkeys(calls, float("inf"))
    for call in calls.values():
        jax.block_until_ready(call())
    stop, turns = time.perf_counter() + seconds, 0
    while turns < least or time.perf_counter() < stop:
        for name, call in calls.items():
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


def product_rate(seconds: float = 2.0) -> float:
    """Operations a second of one large float32 product through XLA: the limit that recurrences are held against."""
    a = jnp.ones((2048, 2048))
    product = jax.jit(lambda a: a @ a)
    return 2 * 2048**3 / in_turn({"product": lambda: product(a)}, seconds)["product"]


def operations(time: int, batch: int, features: int, hidden: int, gradient: bool) -> float:
    """The matrix products' operations: forward, and twice as much again for the gradient."""
    return 2.0 * time * batch * (features + hidden) * 4 * hidden * (3 if gradient else 1)
