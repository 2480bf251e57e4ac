"""The five shapes, and ragged forms of two: every system, every pass."""

from __future__ import annotations

import sys
import time
from typing import Any

import jax
import jax.numpy as jnp

from experiments.benchmark import peers, timing
from experiments.benchmark.ours import all_cores, draw, one_device
from jax_lstm import explain_schedule, lstm

SHAPES = {
    "small": (32, 100, 8, 64),
    "medium": (64, 128, 128, 256),
    "stream": (1, 1000, 32, 128),
    "pixels": (128, 784, 1, 128),
    "hydrology": (256, 365, 32, 256),
}
"""(batch, time, features, hidden), as in the usual tables."""

RAGGED = ("small", "medium")


def measure(name: str, seconds: float, rate: float, ragged: bool = False) -> dict[str, Any]:
    """The times of all systems on one shape, in milliseconds, with the arithmetic limit and the compile times."""
    batch, steps, features, hidden = SHAPES[name]
    work = draw(steps, batch, features, hidden, ragged)
    systems = {"jax_lstm": one_device(work)}
    if batch > 1 and len(jax.devices()) > 1:
        systems["jax_lstm, all cores"] = all_cores(work)
    missing = []
    for peer, calls in peers.PEERS.items():
        if ragged and peer in peers.WITHOUT_LENGTHS:
            continue
        try:
            systems[peer] = calls(work)
        except ImportError as error:
            missing.append(f"{peer} ({error.name})")
    found: dict[str, Any] = {"shape": name + (", ragged" if ragged else ""), "missing": missing}
    found["schedule"] = explain_schedule(work.params, work.xs)._asdict()
    for what in ("forward", "last", "gradient"):
        calls = {system: passes[what] for system, passes in systems.items() if what in passes}
        if not calls:
            continue
        timing.refuse_unequal(
            {system: call() for system, call in calls.items()}, work.valid if what == "forward" else None
        )
        times = timing.in_turn(calls, seconds)
        limit = timing.operations(steps, batch, features, hidden, what == "gradient") / rate
        found[what] = {"milliseconds": {system: 1e3 * t for system, t in times.items()}, "limit": 1e3 * limit}
        print(f"{found['shape']}, {what}: done", file=sys.stderr)
    return found


def compile_seconds(name: str) -> dict[str, float]:
    """How long the gradient takes to lower and compile, with nothing cached."""
    batch, steps, features, hidden = SHAPES[name]
    work = draw(steps, batch, features, hidden)

    def ours(params, xs):
        return jnp.sum(jnp.square(lstm(params, xs)[1]))

    times = {}
    for system in ("jax_lstm", *peers.JAX_PEERS):
        jax.clear_caches()
        begin = time.perf_counter()
        if system == "jax_lstm":
            jax.jit(jax.grad(ours, argnums=(0, 1))).lower(work.params, work.xs).compile()
        else:
            try:
                calls = peers.PEERS[system](work)
            except ImportError:
                continue
            jax.clear_caches()
            begin = time.perf_counter()
            jax.block_until_ready(calls["gradient"]())  # compiles, and runs once
        times[system] = time.perf_counter() - begin
    return times
