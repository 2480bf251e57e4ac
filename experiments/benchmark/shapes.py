"""The five shapes, and ragged forms of two: every system, every pass."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from experiments.benchmark import ours, peers, timing
from jax_lstm import explain_schedule


class Shape(NamedTuple):
    """The sizes of a layer's work."""

    batch: int
    time: int
    features: int
    hidden: int


SHAPES = {
    "small": Shape(32, 100, 8, 64),
    "medium": Shape(64, 128, 128, 256),
    "stream": Shape(1, 1000, 32, 128),
    "pixels": Shape(128, 784, 1, 128),
    "hydrology": Shape(256, 365, 32, 256),
}
RAGGED = ("small", "medium")


def parse(name: str) -> str:
    """The name of a shape; one that is given by its sizes becomes one of `SHAPES`."""
    if name not in SHAPES:
        sizes = name.split("x")
        if len(sizes) != 4 or not all(size.isdecimal() and int(size) for size in sizes):
            known = ", ".join(SHAPES)
            raise ValueError(
                f"--shapes {name}: expected one of {known}, or BATCHxTIMExFEATURESxHIDDEN, as 48x90x12x100"
            )
        SHAPES[name] = Shape(*map(int, sizes))
    return name


def work_of(name: str, ragged: bool = False) -> peers.Work:
    """Drawn weights and inputs of a shape."""
    batch, time, features, hidden = SHAPES[name]
    return ours.draw(time, batch, features, hidden, ragged)


def measure_all(part: str, names: list[str], seconds: float) -> dict[str, Any]:
    """All systems on all shapes; in the part "mesh", ours alone, on one device and on one for each core."""
    if part == "mesh":
        makers = {"jax_lstm": ours.plain, "jax_lstm, mesh": ours.spread}
        names = [name for name in names if SHAPES[name].batch % timing.cores() == 0]
    else:
        makers = {"jax_lstm": ours.plain, **peers.PEERS}
    passes = ("forward", "last", "gradient") if part == "shapes" else ("forward", "gradient")
    counts = {1, timing.cores()}
    before = {count: timing.peak_rate(count) for count in counts}
    cases = [(name, False) for name in names] + [(name, True) for name in names if name in RAGGED and part != "mesh"]
    found = [measure(name, ragged, makers, passes, seconds) for name, ragged in cases]
    peaks = {count: max(rate, timing.peak_rate(count)) for count, rate in before.items() if rate is not None}
    for row in found:
        shape = Shape(*row["sizes"])
        peak = None if "ragged" in row["shape"] else peaks.get(1 if shape.batch == 1 else timing.cores())
        for what in (what for what in passes if what in row):
            operations = timing.operations(*shape, gradient=what == "gradient")
            row[what]["limit"] = None if peak is None else 1e3 * operations / peak
    return {"peak GF/s": {str(count): rate / 1e9 for count, rate in peaks.items()}, "shapes": found}


def measure(
    name: str,
    ragged: bool,
    makers: Mapping[str, Any],
    passes: tuple[str, ...],
    seconds: float,
) -> dict[str, Any]:
    """The times of all systems on one shape, in milliseconds."""
    shape, work = SHAPES[name], work_of(name, ragged)
    systems, missing = {}, []
    for system, make in makers.items():
        if ragged and system in peers.WITHOUT_LENGTHS:
            continue
        try:
            systems[system] = make(work)
        except ImportError as error:
            missing.append(f"{system} ({error.name})")
    choice = explain_schedule(work.params, work.xs, lengths=work.lengths)
    found: dict[str, Any] = {"shape": name + (", ragged" if ragged else ""), "sizes": list(shape), "missing": missing}
    found["schedule"] = choice.schedule
    for what in passes:
        calls = {system: made[what] for system, made in systems.items() if what in made}
        if not calls:
            continue
        timing.refuse_unequal(
            {system: call() for system, call in calls.items()}, work.valid if what == "forward" else None
        )
        times = timing.in_turn(calls, seconds)
        found[what] = {"milliseconds": {system: 1e3 * t for system, t in times.items()}}
        print(f"{found['shape']}, {what}: done", file=sys.stderr)
    return found
