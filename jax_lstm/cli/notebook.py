"""`jax-lstm run`: a scalar LSTM over a few numbers, every gate of every step printed."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm._files import replacing
from jax_lstm._gates import from_gates
from jax_lstm._layer import trace
from jax_lstm._readout import readout
from jax_lstm._types import Readout, Trace
from jax_lstm.cli import outputs

GATES = {"forget": (0.5, 0.1, 0), "input": (0.6, 0.2, 0), "cell": (0.7, 0.3, 0), "output": (0.8, 0.4, 0)}
"""The default parameters, `(W, U, b)` per gate."""

LABELS = ("Forget Gate", "Input Gate", "Candidate Cell", "Cell State", "Output Gate", "Hidden State")
"""The printed names of the fields of `Trace`, in their order."""


def add_commands(commands: Any) -> None:
    """Add this group's commands to the parser."""
    run = commands.add_parser(
        "run",
        help="run a scalar LSTM over a few numbers and print every gate of every step",
        description="Run a scalar LSTM over a sequence, print the six values of every step and estimate the next.",
    )
    run.add_argument(
        "sequence",
        nargs="+",
        metavar="VALUE",
        help="the numbers; or the name of a file of numbers; or - for standard input",
    )
    run.add_argument(
        "--gates",
        type=Path,
        metavar="FILE.json",
        help='the gates: {"forget": [W, U, b], "input": …, "cell": …, "output": …}',
    )
    run.add_argument(
        "--scale",
        type=float,
        default=4.0,
        help="the estimate is this times the last hidden state (default: %(default)g)",
    )
    run.add_argument("--json", action="store_true", help="print JSON in full precision")
    run.add_argument("--plot", type=Path, metavar="FILE.png", help="save a picture of the gates")
    run.set_defaults(command=_run)


def _run(given: argparse.Namespace) -> None:
    outputs.check_outputs({"--plot": given.plot})
    sequence = _sequence(given.sequence)
    gates = GATES if given.gates is None else _gates(given.gates)
    if not math.isfinite(given.scale):
        raise ValueError(f"--scale is {given.scale}, expected a finite number")
    with jax.enable_x64(True):
        carry, values = trace(from_gates(gates, dtype=jnp.float64), jnp.asarray(sequence, jnp.float64)[:, None])
        estimate = readout(Readout(jnp.full((1, 1), given.scale)), carry.h).item()
        values = jax.tree.map(np.asarray, values)
    if given.plot is not None:
        from jax_lstm import plot

        with replacing(given.plot) as temporary:
            plot.gates(values, sequence).savefig(temporary, format=given.plot.suffix[1:] or "png")
    steps = [[value.item() for value in step] for step in zip(*values, strict=True)]
    if given.json:
        named = [dict(zip(Trace._fields, step, strict=True)) for step in steps]
        print(json.dumps({"steps": named, "estimate": estimate}, indent=2))
        return
    for number, step in enumerate(steps, start=1):
        print(f"STEP {number}:")
        for label, value in zip(LABELS, step, strict=True):
            print(f"  {label}: {value:.4f}")
        print()
    print(f"Estimated Future Value: {estimate:.4f}")


def _sequence(given: Sequence[str]) -> list[float]:
    """The numbers of the command line, of a file or of standard input, separated by white space or commas."""
    words, source = given, "the sequence"
    if len(given) == 1 and _number(given[0]) is None:
        source = "standard input" if given[0] == "-" else given[0]
        words = re.findall(r"[^\s,]+", sys.stdin.read() if given[0] == "-" else _text(Path(given[0])))
    if not words:
        raise ValueError(f"{source} is empty, expected at least one number")
    numbers = []
    for word in words:
        number = _number(word)
        if number is None or not math.isfinite(number):
            raise ValueError(
                f"{source} has {word!r}, expected only finite numbers, with white space or commas between them"
            )
        numbers.append(number)
    return numbers


def _gates(path: Path) -> dict[str, list[float]]:
    """The dictionary of gates in a JSON file; `from_gates` checks their names."""
    try:
        gates = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON ({error}), expected gates such as {json.dumps(GATES)}") from error
    if not isinstance(gates, dict):
        raise ValueError(f"{path} holds a {type(gates).__name__}, expected gates such as {json.dumps(GATES)}")
    for name, triple in gates.items():
        if (
            not isinstance(triple, list)
            or len(triple) != 3
            or not all(type(value) in (int, float) and math.isfinite(value) for value in triple)
        ):
            raise ValueError(f"{path}: {name!r} is {triple!r}, expected [W, U, b], three finite numbers")
    return gates


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text: expected UTF-8 ({error})") from error


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
