"""The command: forecast all of M3 without fitting and fitted, and keep sMAPE, MASE, coverage and CPU time by
frequency.
"""

from __future__ import annotations

import argparse
import io
import time
from pathlib import Path

import jax
import numpy as np

from experiments.m3.collection import KINDS, Collection, load, mase, smape
from experiments.m3.tables import Scores, judge, picture, report
from experiments.results import results_folder, write_file
from jax_lstm import forecast

LEVELS = (0.8, 0.95)
OURS = {
    "combined": "combined, no fitting",
    "lstm": "LSTM alone, no fitting",
    "theta": "Theta",
    "seasonal naive": "seasonal naive",
}
FITTED = {"combined": "combined, fitted", "lstm": "LSTM alone, fitted"}
PEERS = {
    "DynamicOptimizedTheta": "DynamicOptimizedTheta (statsforecast)",
    "AutoETS": "AutoETS (statsforecast)",
    "neuralforecast-LSTM": "LSTM (neuralforecast)",
}


def unfitted(collection: Collection) -> dict[str, Scores]:
    """The package's methods on one frequency, with no fitting."""
    panel = forecast.panel(collection.past, season=collection.season)
    found = {}
    for method, name in OURS.items():
        begin = time.process_time()
        made = forecast.predict(panel, collection.horizon, levels=LEVELS, method=method)
        found[name] = judge(collection, made, time.process_time() - begin)
    return found


def fitted(collection: Collection, effort: str) -> tuple[dict[str, Scores], str]:
    """The same after a fit to the training parts, and what the fit reported."""
    panel = forecast.panel(collection.past, season=collection.season)
    begin = time.process_time()
    model = forecast.fit(panel, collection.horizon, key=jax.random.key(0), effort=effort, progress=False)
    fitting, found = time.process_time() - begin, {}
    for method, name in FITTED.items():
        begin = time.process_time()
        made = forecast.predict(panel, collection.horizon, levels=LEVELS, model=model, method=method)
        found[name] = judge(collection, made, fitting + time.process_time() - begin)
    return found, model.report


def peers(kind: str, collection: Collection, folder: Path) -> dict[str, Scores]:
    """The scores of other libraries' methods, from the forecasts that `python -m experiments.m3.peers` saved."""
    found = {}
    for path in sorted(folder.glob(f"*.{kind}.npz")):
        kept = np.load(path)
        values, name = kept["forecast"], path.name.removesuffix(f".{kind}.npz")
        found[PEERS[name]] = Scores(smape(collection, values), mase(collection, values), {}, float(kept["seconds"]))
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.m3", description=__doc__)
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--validate", action="store_true", help="forecast the last values of the training parts, not the tests"
    )
    where.add_argument("--m1", action="store_true", help="the series of M1, on which nothing was chosen, in m1.md")
    parser.add_argument("--quick", action="store_true", help="a few series, to see whether it runs")
    parser.add_argument(
        "--kinds", nargs="+", choices=KINDS, default=KINDS, help="some of the frequencies (default: all)"
    )
    parser.add_argument(
        "--effort", choices=forecast.EFFORTS, default="normal", help="of the fit (default: %(default)s)"
    )
    parser.add_argument("--no-fit", action="store_true", help="without the fitted models")
    parser.add_argument("--peers", type=Path, help="the folder that python -m experiments.m3.peers wrote")
    parser.add_argument("--out", type=Path, help="the folder for results.md (default: here; a temporary one if quick)")
    given = parser.parse_args(arguments)
    given.out = results_folder(given.out, Path(__file__).parent, quick=given.quick)
    if given.m1 and given.peers is not None:
        parser.error("--peers has forecasts of M3: leave it out with --m1")
    kinds = [kind for kind in given.kinds if not (given.m1 and kind == "other")]
    if not kinds:
        parser.error("M1 has no other series than yearly, quarterly and monthly ones")
    options = {"validate": given.validate, "most": 12 if given.quick else None, "name": "M1" if given.m1 else "M3"}
    collections = {kind: load(kind, **options) for kind in kinds}
    horizons = {kind: one.horizon for kind, one in collections.items()}
    path = given.out / ("validation.md" if given.validate else "m1.md" if given.m1 else "results.md")
    found = {kind: unfitted(one) for kind, one in collections.items()}
    told = []
    keep(path, found, horizons, told)
    if not given.no_fit:
        for kind, one in collections.items():
            fits, said = fitted(one, "quick" if given.quick else given.effort)
            found[kind] = fits | found[kind]
            told.append(f"{kind}, {len(one.past)} series: {said}")
            print(told[-1], flush=True)
        keep(path, found, horizons, told)
    if given.peers is not None:
        found = {kind: found[kind] | peers(kind, one, given.peers) for kind, one in collections.items()}
        keep(path, found, horizons, told)


def keep(path: Path, found: dict[str, dict[str, Scores]], horizons: dict[str, int], told: list[str]) -> None:
    """Print the tables, and write them."""
    text = (
        report(found, horizons, OURS["theta"], published=path.stem == "results")
        + "".join(f"\n* {one}" for one in told)
        + "\n"
    )
    print(text, flush=True)
    write_file(path, text)
    if path.stem == "m1":  # the figure is of M3
        return
    image = io.BytesIO()
    picture(found, horizons).savefig(image, format="png", dpi=100)
    write_file(path.with_suffix(".png"), image.getvalue())


if __name__ == "__main__":
    main()
