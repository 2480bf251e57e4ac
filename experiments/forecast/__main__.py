"""The command: forecast the next twelve values from cutoffs in the second half of a series, without fitting and
fitted, and write the table.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import jax
import numpy as np

from experiments.results import results_folder, write_file
from jax_lstm import forecast

DATA = Path(__file__).parent.parent / "data"
SERIES = {"airline": ("Passengers", 12), "sunspots": ("SUNACTIVITY", 11)}
"""The column and the season of each series."""

HORIZON = 12
LEVELS = (0.8, 0.95)
FITTED = "fitted"
"""The name of the fitted forecast among the methods."""


def read(name: str) -> np.ndarray:
    """The values of a series."""
    column, _ = SERIES[name]
    lines = (DATA / f"{name}.csv").read_text().strip().splitlines()
    place = [cell.strip('" ') for cell in lines[0].split(",")].index(column)
    return np.array([float(line.split(",")[place].strip('" ')) for line in lines[1:]])


def rolling(
    values: np.ndarray, season: int, origins: list[int], *, fit_every: int, effort: str
) -> dict[str, dict[str, np.ndarray]]:
    """By method and metric one number for each origin: scaled errors, and the shares of values within each interval.

    At every `fit_every`-th cutoff a model is fitted to the values before it.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    for place, origin in enumerate(origins):
        past, truth = values[:origin], values[origin : origin + HORIZON]
        panel, unit = forecast.panel(past, season=season), forecast.scale(past, season)
        made = {name: forecast.predict(panel, HORIZON, levels=LEVELS, method=name) for name in forecast.METHODS}
        if place % fit_every == 0:
            model = forecast.fit(panel, HORIZON, key=jax.random.key(0), effort=effort, progress=False)
            made[FITTED] = forecast.predict(panel, HORIZON, levels=LEVELS, model=model)
        for name, one in made.items():
            rows = found.setdefault(
                name, {key: np.full(len(origins), np.nan) for key in ("MAE", "MASE", *map(str, LEVELS))}
            )
            error = np.abs(one.forecast[0] - truth).mean()
            rows["MAE"][place], rows["MASE"][place] = error, error / unit
            for level in LEVELS:
                rows[str(level)][place] = np.mean((truth >= one.lower[level][0]) & (truth <= one.upper[level][0]))
    return found


def table(found: dict[str, dict[str, np.ndarray]]) -> str:
    """Markdown: a row of each method."""
    lines = ["| method | origins | MAE | MASE | within 80 % | within 95 % |", "|---|---|---|---|---|---|"]
    fitted = ~np.isnan(found[FITTED]["MASE"])
    shown = {name: rows for name, rows in found.items() if name != FITTED}
    shown["combined, at the origins of the next row"] = {
        key: np.where(fitted, one, np.nan) for key, one in found["combined"].items()
    }
    shown[FITTED] = found[FITTED]
    for name, rows in shown.items():
        held = " | ".join(f"{100 * np.nanmean(rows[str(level)]):.0f} %" for level in LEVELS)
        count = np.isfinite(rows["MASE"]).sum()
        lines.append(f"| {name} | {count} | {np.nanmean(rows['MAE']):.3g} | {np.nanmean(rows['MASE']):.3g} | {held} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.forecast", description=__doc__)
    parser.add_argument("--series", choices=SERIES, default="airline", help="which series (default: %(default)s)")
    parser.add_argument("--fit-every", type=int, default=6, help="fit at every n-th cutoff (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="few cutoffs, to see whether it runs")
    parser.add_argument("--out", type=Path, help="the folder for the table (default: here; a temporary one if quick)")
    given = parser.parse_args(arguments)
    given.out = results_folder(given.out, Path(__file__).parent, quick=given.quick)
    values, season = read(given.series), SERIES[given.series][1]
    begin = time.process_time()
    origins = list(range(len(values) // 2, len(values) - HORIZON + 1, 30 if given.quick else 1))
    effort = "quick" if given.quick else "normal"
    text = table(rolling(values, season, origins, fit_every=given.fit_every, effort=effort))
    print(f"{text}\n{given.series}; {time.process_time() - begin:.0f} s of CPU")
    text += f"\n{given.series}, {HORIZON} steps ahead from {len(origins)} origins\n"
    write_file(given.out / f"{given.series}_rolling.md", text)


if __name__ == "__main__":
    main()
