"""The benchmark of the LSTM against its peers.

`python -m experiments.benchmark [PART] [--quick] [--seconds S] [--shapes NAME ...] [--out FOLDER]`
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from experiments.benchmark import RESULTS
from experiments.results import results_folder

PARTS = {
    "shapes": "every system on every shape",
    "fresh": "the first call and the memory of each system, each in a fresh process",
    "kept": "every system on every shape, while the process keeps the memory it frees",
    "wide": "large layers, single rows, stacks, both directions, float64",
    "variants": "each variant of the layer against the plain one",
    "uses": "a training step, an ensemble, long sequences, wide batches, scalars",
    "mesh": "the plain call against the batch spread over one device for each core",
}


def main(given: list[str] | None = None) -> int:
    """Measure one part, or all, each in a process of its own; print the tables and keep them with the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.benchmark",
        description="jax_lstm against its peers.",
        epilog="parts: " + "; ".join(f"{name}, {what}" for name, what in PARTS.items()),
    )
    parser.add_argument("part", nargs="?", choices=PARTS, help="one part (default: all)")
    parser.add_argument("--quick", action="store_true", help="one small shape, a moment each: says whether it runs")
    parser.add_argument(
        "--seconds",
        type=float,
        default=2.0,
        help="how long the calls of a comparison take turns (default: %(default)s)",
    )
    parser.add_argument("--shapes", nargs="+", help="only these: names, or BATCHxTIMExFEATURESxHIDDEN (default: all)")
    parser.add_argument("--out", type=Path, help="the folder for the results (default: results; temporary if quick)")
    given = sys.argv[1:] if given is None else given
    options = parser.parse_args(given)
    options.out = results_folder(options.out, RESULTS, quick=options.quick)
    if options.part is None:
        for part in PARTS:
            command = [sys.executable, "-m", "experiments.benchmark", part, *given, "--out", str(options.out)]
            subprocess.run(command, check=True)
        return 0

    from jax_lstm import parallel  # what follows starts JAX, with the settings of this part

    if options.part == "kept":
        parallel.keep_freed_memory()
    if options.part == "mesh":
        parallel.use_all_cores()

    from experiments.benchmark import fresh, report, shapes, uses, wide

    try:
        chosen = [shapes.parse(name) for name in options.shapes or (["small"] if options.quick else shapes.SHAPES)]
    except ValueError as error:
        parser.error(str(error))
    parts = {
        "wide": wide.measure_wide,
        "variants": wide.measure_variants,
        "uses": uses.measure,
        "fresh": fresh.measure,
    }
    measure = parts.get(options.part, shapes.measure_all)
    seconds = 0.05 if options.quick else options.seconds
    found = report.about(f"python -m experiments.benchmark {' '.join(given)}") | measure(options.part, chosen, seconds)

    path = options.out / "results.json"
    results = (json.loads(path.read_text("utf-8")) if path.exists() else {}) | {options.part: found}
    print(report.part_text(options.part, found))
    report.keep(options.out, {part: results[part] for part in PARTS if part in results})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
