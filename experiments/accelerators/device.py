"""What a person with a GPU or a TPU is asked for, in at most ten minutes: are the schedules right, and how fast?

Each schedule is first compared in value and gradient with `scan` on the CPU. Those that agree are then timed on the
benchmark's shapes, in turn with torch (cuDNN on a GPU) and Flax where they are installed. The report names the work
that the time did not allow.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmark import ours, peers, report, timing
from experiments.benchmark.shapes import RAGGED, SHAPES, Shape
from jax_lstm import init, lstm
from jax_lstm.schedules import SCHEDULES

TOLERANCE = {"float32": 2e-2, "bfloat16": 1e-1}
"""Of the largest value: cuDNN and tensor cores multiply float32 in TF32, with 10 bits, over a few hundred steps."""

LONG = {"long": Shape(16, 1024, 768, 768)}
TINY = {"tiny": Shape(2, 6, 3, 8)}


class Case(NamedTuple):
    """One piece of work that every schedule is timed on."""

    name: str
    shape: Shape
    dtype: str
    ragged: bool


def cases(shapes: dict[str, Shape]) -> Iterator[Case]:
    """Every shape in every dtype, and some of them ragged in float32."""
    for dtype in TOLERANCE:
        for name, shape in shapes.items():
            yield Case(name, shape, dtype, False)
            if dtype == "float32" and name in (*RAGGED, *TINY):
                yield Case(name, shape, dtype, True)


def device_name() -> str:
    """The device that JAX takes by default."""
    device = jax.devices()[0]
    return f"{device.platform}: {device.device_kind}"


def check(schedule: str, dtype: str) -> str:
    """Whether a schedule on this device gives the values and gradients of `scan` on the CPU in float32.

    Returns:
        "equal", or why it is refused, or what is wrong.
    """
    params = init(jax.random.key(0), 7, 128, dtype=dtype)
    xs = jax.random.normal(jax.random.key(1), (20, 6, 7), dtype)
    for name, options in _options().items():
        try:
            error = _distance(_gradients(schedule, options)(params, xs), _reference(name, dtype))
        except ValueError as refused:
            if name == "no options":
                return f"refused: {str(refused).partition(':')[0]}"
            continue  # an option that this schedule does not support
        except Exception as failure:  # any compiler's or driver's: the report must go on and say so
            return f"FAILED with {name}: {type(failure).__name__}: {str(failure)[:200]}"
        if not error < TOLERANCE[dtype]:
            return f"DIFFERS with {name}: by {error:.1e} of the largest value"
    return "equal"


def _options() -> dict[str, dict[str, Any]]:
    """The options of a layer that schedules treat apart."""
    lengths = jnp.array([20, 1, 7, 0, 13, 20])
    resets = jax.random.bernoulli(jax.random.key(2), 0.1, (20, 6))
    return {
        "no options": {},
        "lengths": {"lengths": lengths},
        "reverse": {"reverse": True, "lengths": lengths},
        "resets": {"resets": resets},
    }


def _gradients(schedule: str, options: dict[str, Any]) -> Callable[..., Any]:
    """The hidden states, and the gradients of the weights and the input, of one loss."""

    def loss(params: Any, xs: jax.Array) -> tuple[jax.Array, jax.Array]:
        carry, hs = lstm(params, xs, schedule=schedule, **options)
        return jnp.sum(jnp.square(hs.astype(jnp.float32))) + jnp.sum(carry.c.astype(jnp.float32)), hs

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))


@cache
def _reference(name: str, dtype: str) -> Any:
    """What every schedule should give, by `scan` on the CPU in float32, from inputs rounded to `dtype`."""
    with jax.default_device(jax.devices("cpu")[0]):
        params = init(jax.random.key(0), 7, 128, dtype=dtype)
        xs = jax.random.normal(jax.random.key(1), (20, 6, 7), dtype)
        params, xs = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), (params, xs))
        return jax.device_get(_gradients("scan", _options()[name])(params, xs))


def _distance(found: Any, wanted: Any) -> float:
    """The largest difference of two trees of arrays, relative to the largest value of each array."""
    worst = 0.0
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        worst = max(worst, float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-6)))
    return worst if np.isfinite(worst) else float("inf")


def calls_of(case: Case, schedules: list[str]) -> dict[str, peers.Calls]:
    """The forward pass and the gradient of each schedule, and of torch and Flax where they are installed."""
    work = ours.draw(case.shape.time, case.shape.batch, case.shape.features, case.shape.hidden, case.ragged)
    work = jax.tree.map(
        lambda leaf: leaf.astype(case.dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, work
    )

    def calls(schedule: str) -> peers.Calls:
        def apply(params: Any, xs: jax.Array) -> jax.Array:
            return lstm(params, xs, lengths=work.lengths, schedule=schedule)[1]

        return peers.jax_calls(apply, work.params, work.xs, work.valid)

    made = {schedule: calls(schedule) for schedule in schedules}
    makers = {"torch": peers.torch_calls, "Flax nnx": peers.nnx_calls} if case.dtype == "float32" else {}
    for name, make in makers.items():
        try:
            made[name] = make(work)
        except ImportError:
            continue
    return made


def measure(case: Case, schedules: list[str], seconds: float, deadline: float) -> dict[str, Any]:
    """Milliseconds of each system on one case, forward and gradient; a system that fails is named with its error."""
    row: dict[str, Any] = {**case._asdict(), "shape": list(case.shape), "failed": {}}
    for what in ("forward", "gradient"):
        working = {}
        for name, calls in calls_of(case, schedules).items():
            if time.monotonic() > deadline:
                row["failed"][name] = "no time was left"
                continue
            try:
                jax.block_until_ready(calls[what]())
                working[name] = calls[what]
            except Exception as failure:  # as in `check`
                row["failed"][name] = f"{type(failure).__name__}: {str(failure)[:200]}"
        row[what] = {name: 1e3 * best for name, best in timing.in_turn(working, seconds, least=1).items()}
    return row


def run(minutes: float, out: Path, shapes: dict[str, Shape] | None = None) -> int:
    """Check and time every schedule; print one table and write one JSON file.

    Returns:
        0, or 1 where a schedule fails or differs from the reference.
    """
    deadline = time.monotonic() + 60 * minutes
    shapes = SHAPES | LONG if shapes is None else shapes
    names = [name for name in SCHEDULES if name != "unrolled"]  # hundreds of steps unrolled compile for minutes
    verdicts = {f"{name}, {dtype}": check(name, dtype) for dtype in TOLERANCE for name in names}
    for name, verdict in verdicts.items():
        print(f"{name}: {verdict}", file=sys.stderr)
    everything = list(cases(shapes))
    rows: list[dict[str, Any]] = []
    for number, case in enumerate(everything):
        if time.monotonic() > deadline:
            print(f"no time was left for {len(everything) - number} of {len(everything)} cases", file=sys.stderr)
            break
        right = [name for name in names if verdicts[f"{name}, {case.dtype}"] == "equal"]
        seconds = min(2.0, max(0.0, deadline - time.monotonic()) / (8 * (len(everything) - number)))
        rows.append(measure(case, right, seconds, deadline))
        print(f"{case.name}, {case.dtype}{', ragged' if case.ragged else ''}: done", file=sys.stderr)
    found = report.about("python -m experiments.accelerators --device") | {
        "device": device_name(),
        "checks": verdicts,
        "cases": rows,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(text(found))
    print(f"Please attach {out} to an issue.")
    return int(any(verdict.startswith(("FAILED", "DIFFERS")) for verdict in verdicts.values()))


def text(found: dict[str, Any]) -> str:
    """The table: forward / gradient in milliseconds, a row for each case, a column for each system."""
    systems = list(dict.fromkeys(name for row in found["cases"] for name in row["forward"]))
    body = []
    for row in found["cases"]:
        name = f"{row['name']} {tuple(row['shape'])}, {row['dtype']}{', ragged' if row['ragged'] else ''}"
        cells = []
        for system in systems:
            pair = [report.number(row[what].get(system)) for what in ("forward", "gradient")]
            cells.append(" / ".join(pair))
        body.append([name, *cells])
    checks = [[name, verdict] for name, verdict in found["checks"].items()]
    return "\n".join(
        [
            f"{found['device']}; {report.source(found)}",
            "",
            *report.table(["schedule", "value and gradient, compared with scan on the CPU in float32"], checks),
            *report.table(["forward / gradient, milliseconds", *systems], body),
        ]
    )
