"""The command: a figure with some series of every kind, to look at what the forecaster is trained on."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from experiments.pretrain.kinds import KINDS, Kind, sample
from experiments.report import save_figure

COLUMNS = 4
"""How many series of a kind are drawn side by side."""

MOST_ROWS = 600
"""The last rows of a series that are drawn: more are a black band."""


def gallery(kinds: Sequence[Kind], seed: int) -> Figure:
    """A row of panels for each kind; what lies beyond the origin of a forecast has another color."""
    figure = Figure(figsize=(3.2 * COLUMNS, 1.3 * len(kinds)), layout="constrained")
    panels = figure.subplots(len(kinds), COLUMNS, squeeze=False)
    for row, kind in zip(panels, kinds, strict=True):
        values = sample(kind, COLUMNS, seed=seed)[-MOST_ROWS:]
        at = np.arange(len(values))
        known = at < len(values) - kind.horizon
        for axes, series in zip(row, values.T, strict=True):
            axes.plot(at[known], series[known], linewidth=0.8)
            axes.plot(at[~known], series[~known], linewidth=0.8, color="tab:red")
            axes.tick_params(labelsize=5)
        row[0].set_title(f"{kind.name}, season {', '.join(f'{one:g}' for one in kind.season)}", fontsize=7, loc="left")
    return figure


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.pretrain.gallery", description=__doc__)
    names = sorted({kind.name for kind in KINDS})
    parser.add_argument("kinds", nargs="*", help=f"some of {', '.join(names)} (default: the first season of each)")
    parser.add_argument("--seed", type=int, default=0, help="of all draws (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("gallery.png"), help="the figure (default: %(default)s)")
    given = parser.parse_args(arguments)
    if unknown := set(given.kinds) - set(names):
        parser.error(f"there is no kind {', '.join(sorted(unknown))}: expected some of {', '.join(names)}")
    first = {kind.name: kind for kind in reversed(KINDS)}
    chosen = [kind for kind in KINDS if kind.name in given.kinds] or [first[name] for name in names]
    save_figure(gallery(chosen, given.seed), given.out, dpi=80)


if __name__ == "__main__":
    main()
