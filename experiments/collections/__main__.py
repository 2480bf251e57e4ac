"""The command: forecast collections of series whose ends are held back, and keep MASE, sMAPE, WQL, coverage, CPU time
and memory by method, next to published figures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import jax_lstm
from experiments.collections.collection import some_of
from experiments.collections.ours import BASELINE, baseline, ours
from experiments.collections.report import of_one, report
from experiments.collections.results_file import Result, merge, read, write
from experiments.collections.sources import COLLECTIONS, GROUPS, KEPT_ASIDE
from experiments.results import results_folder, write_file
from jax_lstm.forecast import METHODS

FOLDER = Path(__file__).parent / "results"
NAMES = [*COLLECTIONS, *GROUPS]
CHOICES = ("default", "fitted", *(name for name in METHODS if name not in ("combined", BASELINE)))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.collections", description=__doc__)
    parser.add_argument("names", nargs="+", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--methods", nargs="*", choices=CHOICES, default=["default", "lstm", "theta"])
    parser.add_argument(
        "--part",
        choices=("validation", "test"),
        default="validation",
        help="validation: the last horizon of the training part (default); test: read once, at the end",
    )
    parser.add_argument("--series", type=Path, help="the folder with m4_hourly.npz and the like")
    parser.add_argument("--most", type=int, help="at most this many series of each collection, evenly spaced")
    parser.add_argument(
        "--release", default=jax_lstm.__version__, help="the name of these results (default: %(default)s)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="ten series of each: says whether it runs, not how good it is"
    )
    parser.add_argument("--out", type=Path, help="the folder for the results (default: here; a temporary one if quick)")
    given = parser.parse_args(arguments)
    names = [one for name in given.names for one in GROUPS.get(name, [name])]
    if given.part == "validation" and any(name.split("_")[0] in KEPT_ASIDE for name in names):
        parser.error(f"{' and '.join(KEPT_ASIDE)} are kept aside, no choice is made on them: read them by --part test")
    path = results_folder(given.out, FOLDER, quick=given.quick) / f"{given.part}.json"
    most = 10 if given.quick else given.most
    for name in names:
        collection = some_of(COLLECTIONS[name](given.part, given.series), most)
        size = len(collection.past), collection.horizon
        found = [Result(name, "", BASELINE, *size, baseline(collection))]
        for method in given.methods:
            found.append(Result(name, given.release, method, *size, ours(collection, method)))
        print(f"{name}, {size[0]:,} series\n\n{of_one(found, given.part)}", flush=True)
        results = merge(read(path), found)
        write(path, results)
        write_file(path.with_suffix(".md"), report(results, given.part))


if __name__ == "__main__":
    main()
