"""The benchmark of the LSTM beside its peers.

`python -m experiments.benchmark [--quick] [--seconds S] [--shapes NAME ...] [--out FOLDER] [--keep-memory]`
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from jax_lstm import parallel

PACKAGES = ("jax", "jaxlib", "optax", "torch", "onnxruntime", "dm-haiku", "flax", "keras", "equinox", "numpy")


def main(given: list[str] | None = None) -> int:
    """Measure, print the ratios, and keep figures and a picture."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.benchmark", description="jax_lstm beside its peers, in one process."
    )
    parser.add_argument(
        "--quick", action="store_true", help="one small shape, a moment for each figure: says whether it runs"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=6.0,
        help="how long the calls of one comparison take turns (default: %(default)s)",
    )
    parser.add_argument("--shapes", nargs="+", default=None, help="only these shapes (default: all five)")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results", help="the folder for the results (default: here)"
    )
    parser.add_argument(
        "--keep-memory",
        action="store_true",
        help="call parallel.keep_freed_memory() first, which all systems gain from",
    )
    options = parser.parse_args(given)
    if options.keep_memory:
        parallel.keep_freed_memory()
    try:
        parallel.use_all_cores()
    except RuntimeError as error:
        print(f"on one device only: {error}", file=sys.stderr)

    import jax

    from experiments.benchmark import report, shapes, timing, uses

    seconds = 0.05 if options.quick else options.seconds
    names = options.shapes or (["small"] if options.quick else list(shapes.SHAPES))
    unknown = [name for name in names if name not in shapes.SHAPES]
    if unknown:
        parser.error(f"--shapes {' '.join(unknown)}: expected {', '.join(shapes.SHAPES)}")
    rate = timing.product_rate(0.2 if options.quick else 3.0)
    flags = [f"XLA_FLAGS='{os.environ['XLA_FLAGS']}'"] if "XLA_FLAGS" in os.environ else []
    measured: dict = {
        "date": uses.now(),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {platform.system()}; "
        f"JAX on {jax.device_count()} {jax.default_backend()} devices ({jax.devices()[0].device_kind})",
        "versions": {name: _version(name) for name in PACKAGES},
        "command": " ".join([*flags, "python -m experiments.benchmark", *(sys.argv[1:] if given is None else given)]),
        "GF/s of a product of 2048 cubed": rate / 1e9,
        "shapes": [shapes.measure(name, seconds, rate) for name in names],
        "compile seconds": {name: shapes.compile_seconds(name) for name in names},
    }
    if not options.shapes:
        measured["shapes"] += [
            shapes.measure(name, seconds, rate, ragged=True) for name in shapes.RAGGED if name in names
        ]
    if not options.quick and not options.shapes:
        measured["uses"] = {
            "three scalars, microseconds": uses.three_scalars(seconds),
            "100,000 sequences of 64 scalars, milliseconds": uses.many_scalars(seconds),
            "gradients of 32 parameter sets, milliseconds": uses.ensemble(seconds),
            "training step, milliseconds": uses.training_step(seconds),
            "a product of 2048 cubed, GF/s": uses.products(seconds),
        }
        measured["scaling"] = uses.scaling(seconds)
        measured["memory"] = uses.memory(seconds)
    measured["GF/s of a product of 2048 cubed, at the end"] = timing.product_rate(0.2 if options.quick else 3.0) / 1e9
    text = report.as_text(measured)
    print(text)
    report.keep(options.out, measured, text)
    return 0


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


if __name__ == "__main__":
    raise SystemExit(main())
