"""The command: forecast all of M3 without fitting and fitted, and keep sMAPE, MASE, coverage and CPU time by
frequency.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from experiments.m3.collection import KINDS, Collection, load, mase, smape
from jax_lstm import forecast
from jax_lstm._files import replacing

LEVELS = (0.8, 0.95)
OURS = {
    "combined": "LSTM and Theta, no fitting",
    "lstm": "LSTM alone, no fitting",
    "theta": "Theta",
    "seasonal naive": "seasonal naive",
}
FITTED = {"combined": "LSTM and Theta, fitted", "lstm": "LSTM alone, fitted"}
PEERS = ("DynamicOptimizedTheta", "AutoETS")
PUBLISHED = {
    "Theta, the competition's winner (published)": (16.90, 8.96, 13.85, 4.41, 13.01),
    "N-BEATS (published)": (15.93, 8.84, 13.11, 4.24, 12.37),
}


class Scores(NamedTuple):
    """What a method did on one frequency: errors by series, coverage by level, and CPU seconds."""

    smape: np.ndarray
    mase: np.ndarray
    coverage: dict[float, float]
    seconds: float


def judge(collection: Collection, made: forecast.Forecasts, seconds: float) -> Scores:
    """The scores of forecasts."""
    centre = np.stack(made.centre)
    held = {
        level: float(
            np.mean(
                (collection.actuals >= np.stack(made.lower[level]))
                & (collection.actuals <= np.stack(made.upper[level]))
            )
        )
        for level in made.lower
    }
    return Scores(smape(collection, centre), mase(collection, centre), held, seconds)


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


def peers(collection: Collection, names: list[str]) -> dict[str, Scores]:
    """Methods of statsforecast, one series after the other."""
    found = {}
    for name in names:
        import statsforecast.models

        make = getattr(statsforecast.models, name)
        begin, centre = time.process_time(), []
        for one in collection.past:
            method = make(season_length=collection.season)
            centre.append(method.forecast(y=one, h=collection.horizon)["mean"])
        made = np.stack(centre)
        found[f"{name} (statsforecast)"] = Scores(
            smape(collection, made), mase(collection, made), {}, time.process_time() - begin
        )
    return found


def overall(parts: dict[str, Scores], horizons: dict[str, int]) -> np.ndarray:
    """The sMAPE over all forecast values, of every draw of a bootstrap over series; the first is that of all series."""
    rng = np.random.default_rng(0)
    totals, counts = np.zeros(1001), 0
    for kind, one in parts.items():
        drawn = np.concatenate(
            [[one.smape.mean()], one.smape[rng.integers(0, len(one.smape), (1000, len(one.smape)))].mean(axis=1)]
        )
        totals += drawn * len(one.smape) * horizons[kind]
        counts += len(one.smape) * horizons[kind]
    return totals / counts


def report(
    found: dict[str, dict[str, Scores]], horizons: dict[str, int], against: str, *, published: bool = False
) -> str:
    """Tables in Markdown: sMAPE with its bootstrap interval, MASE, coverage and CPU seconds."""
    methods = list(next(iter(found.values())))
    by_method = {name: {kind: found[kind][name] for kind in found} for name in methods}
    draws = {name: overall(parts, horizons) for name, parts in by_method.items()}
    head = " | ".join(found)
    lines = [f"| sMAPE | {head} | overall | 95 % of resamples | less {against} |", "|---" * (len(found) + 4) + "|"]
    for name, parts in by_method.items():
        low, high = np.quantile(draws[name][1:], [0.025, 0.975])
        less = np.quantile((draws[name] - draws[against])[1:], [0.025, 0.975])
        cells = " | ".join(f"{one.smape.mean():.2f}" for one in parts.values())
        lines.append(
            f"| {name} | {cells} | {draws[name][0]:.2f} | {low:.2f} to {high:.2f} | {less[0]:+.2f} to {less[1]:+.2f} |"
        )
    if published and tuple(found) == KINDS:
        lines += [
            f"| {name} | {' | '.join(f'{one:.2f}' for one in values)} | | |" for name, values in PUBLISHED.items()
        ]
    lines += ["", f"| MASE | {head} | CPU seconds |", "|---" * (len(found) + 2) + "|"]
    for name, parts in by_method.items():
        cells = " | ".join(f"{np.nanmean(one.mase):.3f}" for one in parts.values())
        lines.append(f"| {name} | {cells} | {sum(one.seconds for one in parts.values()):.0f} |")
    lines += ["", f"| share of values within 80 / 95 % | {head} |", "|---" * (len(found) + 1) + "|"]
    for name, parts in by_method.items():
        if all(one.coverage for one in parts.values()):
            cells = " | ".join(
                " / ".join(f"{100 * share:.0f}" for share in one.coverage.values()) for one in parts.values()
            )
            lines.append(f"| {name} | {cells} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.m3", description=__doc__)
    parser.add_argument(
        "--validate", action="store_true", help="the last values of the training parts in place of the tests"
    )
    parser.add_argument("--quick", action="store_true", help="a few series: says whether it runs, not how good it is")
    parser.add_argument(
        "--kinds", nargs="+", choices=KINDS, default=KINDS, help="some of the frequencies (default: all)"
    )
    parser.add_argument(
        "--effort", choices=forecast.EFFORTS, default="normal", help="of the fit (default: %(default)s)"
    )
    parser.add_argument("--no-fit", action="store_true", help="without the fitted models")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=[], help="methods of statsforecast as well")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent, help="the folder for results.md (default: here)"
    )
    given = parser.parse_args(arguments)
    collections = {kind: load(kind, validate=given.validate, most=12 if given.quick else None) for kind in given.kinds}
    horizons = {kind: one.horizon for kind, one in collections.items()}
    path = given.out / ("validation.md" if given.validate else "results.md")
    given.out.mkdir(parents=True, exist_ok=True)
    found = {kind: unfitted(one) for kind, one in collections.items()}
    told = []
    keep(path, found, horizons, told)
    if given.peers:
        found = {kind: found[kind] | peers(one, given.peers) for kind, one in collections.items()}
        keep(path, found, horizons, told)
    if not given.no_fit:
        fits = {}
        for kind, one in collections.items():
            fits[kind], said = fitted(one, "quick" if given.quick else given.effort)
            told.append(f"{kind}, {len(one.past)} series: {said}")
            print(told[-1], flush=True)
        keep(path, {kind: found[kind] | fits[kind] for kind in fits}, horizons, told)


def keep(path: Path, found: dict[str, dict[str, Scores]], horizons: dict[str, int], told: list[str]) -> None:
    """Print the tables, and write them."""
    text = (
        report(found, horizons, OURS["theta"], published=path.stem == "results")
        + "".join(f"\n* {one}" for one in told)
        + "\n"
    )
    print(text, flush=True)
    with replacing(path) as temporary:
        temporary.write_text(text)


if __name__ == "__main__":
    main()
