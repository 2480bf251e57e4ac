"""The command: forecast made-up series of kinds that go wrong in practice, next to the best simple method for each."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.report import markdown, table
from experiments.results import results_folder, write_file
from experiments.situations.situations import SITUATIONS, Case, simple_forecasts
from jax_lstm import forecast

SERIES = 10
"""How many series of each situation."""


class Found(NamedTuple):
    """The errors of one situation.

    Args:
        situation: its name.
        ours: our mean absolute error.
        simple: that of the best simple method.
        best: its name.
        within: the share of actuals within the 80 % intervals.
        notes: of the first series.
    """

    situation: str
    ours: float
    simple: float
    best: str
    within: float
    notes: str


def score(make: Callable[[np.random.Generator], Case], series: int, seed: int = 0) -> Found:
    """The errors of one situation, over several series of it."""
    cases = [make(np.random.default_rng([seed, number])) for number in range(series)]
    horizon = len(cases[0].actuals)
    panel = forecast.panel(
        [one.past for one in cases],
        season=cases[0].season,
        future=None if cases[0].future is None else [one.future for one in cases],
    )
    made = forecast.predict(panel, horizon, levels=(0.8,))
    actuals = np.stack([one.actuals for one in cases])
    simple: dict[str, list[np.ndarray]] = {}
    for one in cases:
        for name, values in simple_forecasts(one).items():
            simple.setdefault(name, []).append(values)
    errors = {name: float(np.nanmean(np.abs(np.stack(values) - actuals))) for name, values in simple.items()}
    best = min(errors, key=lambda name: errors[name])
    inside = (actuals >= np.stack(made.lower[0.8])) & (actuals <= np.stack(made.upper[0.8]))
    return Found(
        make.__name__.replace("_", " "),
        float(np.nanmean(np.abs(np.stack(made.forecast) - actuals))),
        errors[best],
        best,
        float(inside[~np.isnan(actuals)].mean()),
        made.notes[0],
    )


def report(found: Sequence[Found]) -> str:
    """A table in Markdown, and what was noted."""
    made = table("situation", "MAE", "best simple method", "its MAE", "relative", "within 80 %")
    for one in found:
        # to an error of zero nothing is relative: 1 if ours is as small as rounding
        relative = one.ours / one.simple if one.simple > 0 else 1.0 if one.ours < 1e-6 else np.inf
        made.add_row(
            one.situation,
            f"{one.ours:.3g}",
            one.best,
            f"{one.simple:.3g}",
            f"{relative:.2f}",
            f"{100 * one.within:.0f}",
        )
    notes = [f"- {one.situation}: {one.notes}\n" for one in found if one.notes]
    return markdown(made) + ("\nNotes of the first series:\n\n" + "".join(notes) if notes else "")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.situations", description=__doc__)
    names = [make.__name__ for make in SITUATIONS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(names)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="two series of each, to see whether it runs")
    parser.add_argument("--out", type=Path, help="the folder for results.md (default: here; a temporary one if quick)")
    given = parser.parse_args(arguments)
    if unknown := set(given.names) - set(names):
        parser.error(f"there is no situation {', '.join(sorted(unknown))}: expected some of {', '.join(names)}")
    chosen = [make for make in SITUATIONS if not given.names or make.__name__ in given.names]
    text = report([score(make, 2 if given.quick else SERIES) for make in chosen])
    print(text)
    if not given.names:
        write_file(results_folder(given.out, Path(__file__).parent, quick=given.quick) / "results.md", text)


if __name__ == "__main__":
    main()
