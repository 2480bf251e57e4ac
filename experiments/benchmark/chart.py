"""The chart of the front page: every system's time over that of jax_lstm, drawn from the committed results.

`python -m experiments.benchmark.chart` writes it for light and dark pages into docs/_static.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from experiments.benchmark import RESULTS

STATIC = Path(__file__).parents[2] / "docs" / "_static"
LOOKS = {"speed": ("black", "#2563ba", "#b8bec8"), "speed-dark": ("#e4e6ea", "#6ea8fe", "#5b636f")}
"""By file name: the colors of the text, of our bar and of the others."""
PASSES = {"forward": "forward pass", "gradient": "gradient"}


def relative_times(part: dict[str, Any], what: str) -> dict[str, float]:
    """By system, its time over ours: the geometric mean of the shapes without lengths, which every system runs."""
    times = [row[what]["milliseconds"] for row in part["shapes"] if "ragged" not in row["shape"]]
    systems = [name for name in times[0] if all(name in row for row in times)]
    ratios = {name: np.exp(np.mean([np.log(row[name] / row["jax_lstm"]) for row in times])) for name in systems}
    return dict(sorted(ratios.items(), key=lambda item: item[1]))


def draw(part: dict[str, Any], ink: str, ours: str, others: str) -> Figure:
    """Bars for both passes, the fastest system on top."""
    figure = Figure(figsize=(8, 2.7), layout="constrained")
    for axes, (what, title) in zip(figure.subplots(1, 2), PASSES.items(), strict=True):
        times = relative_times(part, what)
        names = list(times)[::-1]
        axes.barh(
            names, [times[name] for name in names], color=[ours if one == "jax_lstm" else others for one in names]
        )
        for place, name in enumerate(names):
            axes.annotate(f" {times[name]:.1f}×", (times[name], place), va="center", color=ink)
        axes.set_title(f"{title}: time relative to jax_lstm", loc="left", fontsize="medium", color=ink)
        axes.set_xlim(0, 1.18 * max(times.values()))
        axes.tick_params(colors=ink, length=0, labelbottom=False)
        axes.spines[:].set_visible(False)
        axes.patch.set_alpha(0)
    figure.patch.set_alpha(0)
    return figure


def main(folder: Path = STATIC, results: Path = RESULTS / "results.json") -> None:
    """Draw the chart in every look."""
    part = json.loads(results.read_text("utf-8"))["shapes"]
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "jax_lstm", "font.family": "sans-serif"}):
        for name, colors in LOOKS.items():
            draw(part, *colors).savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main()
