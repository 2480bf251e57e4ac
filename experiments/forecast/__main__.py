"""The command: forecast the last 24 values one and twelve steps ahead, or the next twelve from every time, and keep the table."""

from __future__ import annotations

import argparse
import io
import platform
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from jax_lstm import forecast, plot
from jax_lstm._files import replacing

DATA = Path(__file__).parent.parent / "data"
SERIES = {"airline": ("Passengers", "Date", 12), "sunspots": ("SUNACTIVITY", "YEAR", 11)}
"""The column, the column of times, and the season of each series."""

HELD_OUT, HORIZONS = 24, (1, 12)


class Ahead(NamedTuple):
    """Forecasts of the held-out values from some steps before: by each seed's LSTM `(seeds, 24)`, with smoothing beside them and its
    interval, and by simple methods."""

    seeds: np.ndarray
    combined: np.ndarray
    interval: tuple[np.ndarray, np.ndarray]
    simple: dict[str, np.ndarray]
    scale: float


def study(values: np.ndarray, season: int, *, seeds: int, steps: int, seed: int = 0, progress: bool | None = None) -> dict[int, Ahead]:
    """The forecasts at each horizon, by a model trained on what was known when the first of them was made; all train at once."""
    rows = len(values)
    known = [rows - HELD_OUT - horizon + 1 for horizon in HORIZONS]
    models = forecast.fit(
        values, season=season, horizon=max(HORIZONS), origins=known, members=seeds, steps=steps, seed=seed, progress=progress
    )
    made = {}
    for horizon, first, model in zip(HORIZONS, known, models, strict=True):
        pasts = [values[: first + step] for step in range(HELD_OUT)]
        ours = [forecast.predict(model, past) for past in pasts]
        made[horizon] = Ahead(
            np.stack([one.members[:, horizon - 1] for one in ours], axis=1),
            np.array([one.values[horizon - 1] for one in ours]),
            tuple(np.array([one.intervals[80][side][horizon - 1] for one in ours]) for side in (0, 1)),
            {"smoothing": np.array([one.smoothed[horizon - 1] for one in ours])}
            | {
                name: np.array([forecast.BASELINES[name](past, season, horizon)[-1] for past in pasts])
                for name in ("naive", "seasonal naive")
            },
            forecast.scale(values[:first], season),
        )
    return made


def results(made: dict[int, Ahead], truth: np.ndarray) -> list[tuple[int, str, dict[str, float]]]:
    """MAE, RMSE and MASE of every method at every horizon; of the seeds the median, and the range."""
    rows = []
    for horizon, ahead in made.items():

        def score(values, scale=ahead.scale):
            return forecast.scores(truth[None], values[None], [scale])

        each = [score(values) for values in ahead.seeds]
        rows += [
            (horizon, f"LSTM, {name} of {len(each)} seeds", {key: float(pick([one[key] for one in each])) for key in each[0]})
            for name, pick in (("median", np.median), ("best", np.min), ("worst", np.max))
        ]
        rows.append((horizon, f"LSTM, mean of the {len(each)} forecasts", score(ahead.seeds.mean(axis=0))))
        rows.append((horizon, forecast.OURS, score(ahead.combined)))
        rows += [(horizon, name, score(values)) for name, values in ahead.simple.items()]
    return rows


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.forecast", description=__doc__)
    parser.add_argument("--series", choices=SERIES, default="airline", help="which series (default: %(default)s)")
    parser.add_argument("--rolling", action="store_true", help="the next twelve values from every time in the second half of the series")
    parser.add_argument("--quick", action="store_true", help="few steps of training, for a look at the output")
    parser.add_argument("--seed", type=int, default=0, help="the seed of weights and minibatches (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="the folder for the table and the figure (default: here)")
    given = parser.parse_args(arguments)
    column, when, season = SERIES[given.series]
    begin = time.perf_counter()
    table = forecast.read_csv(DATA / f"{given.series}.csv", column, time=when)
    values, rows = table.values[:, 0], len(table.values)
    given.out.mkdir(parents=True, exist_ok=True)
    training = {"steps": 20 if given.quick else forecast.STEPS, "seed": given.seed}
    if given.rolling:
        name, what = f"{given.series}_rolling.md", f"{max(HORIZONS)} steps ahead"
        test = rolling(values, season, every=20 if given.quick else 1, **training)
        lines = as_table(["method"], list(test.scores.items()))
        held = ", ".join(f"the {level} % interval held {share:.0%}" for level, share in test.coverage.items())
        lines += f"\nEvery model knew only what came before its origin, of {len(test.origins)} origins; {held} of the values.\n"
    else:
        name, what = f"{given.series}.md", f"the last {HELD_OUT} values"
        made = study(values, season, seeds=5 if given.quick else 8, **training)
        lines = as_table(["steps ahead", "method"], results(made, values[-HELD_OUT:]))
        with replacing(given.out / f"{given.series}.png") as temporary:
            figure(made, table.times(np.arange(rows)), values).savefig(temporary, dpi=100)
    machine = f"{platform.machine()}, Python {platform.python_version()}, " + ", ".join(
        f"{package} {version(package)}" for package in ("jax", "optax", "statsmodels")
    )
    print(f"{lines}\n{given.series}, {what}; {time.perf_counter() - begin:.0f} s")
    with replacing(given.out / name) as temporary:
        temporary.write_text(f"{lines}\n{given.series}, {what}; seed {given.seed}; {machine}\n")


def rolling(values: np.ndarray, season: int, *, every: int, steps: int, seed: int) -> forecast.Backtest:
    """Forecasts of twelve steps from every time, or every so many, by a model trained on what was known then."""
    origins = forecast.rolling_origins(len(values), season, max(HORIZONS))[::every]
    return forecast.backtest(values, season=season, horizon=max(HORIZONS), origins=origins, steps=steps, seed=seed)[1]


def as_table(head: list[str], found: Sequence[tuple]) -> str:
    """Markdown: a row of what each was, and its MAE, RMSE and MASE."""
    shown = Table(*head, box=box.MARKDOWN)
    for name in ("MAE", "RMSE", "MASE"):
        shown.add_column(name, justify="right")
    for *what, scored in found:
        shown.add_row(*map(str, what), *(f"{value:.3g}" for value in scored.values()))
    text = io.StringIO()
    Console(file=text, width=120).print(shown)
    return "\n".join(line.strip() for line in text.getvalue().strip().splitlines()) + "\n"


def figure(made: dict[int, Ahead], times: np.ndarray, values: np.ndarray):
    """The held-out values, the forecasts and their spread, a panel a horizon."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(8, 7), layout="constrained")
    shown = slice(-3 * HELD_OUT, None)
    for panel, (horizon, ahead) in zip(picture.subplots(len(made), sharex=True), made.items(), strict=True):
        bands = {"80 % interval": ahead.interval, "range of the seeds": (ahead.seeds.min(axis=0), ahead.seeds.max(axis=0))}
        lines = {forecast.OURS: ahead.combined, "seasonal naive": ahead.simple["seasonal naive"]}
        plot.forecast(times[shown], values[shown], times[-HELD_OUT:], lines, intervals=bands, axes=panel)
        panel.set_title(f"{horizon} step{'s' * (horizon > 1)} ahead")
    return picture


if __name__ == "__main__":
    main()
