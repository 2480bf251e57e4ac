"""The command: fit, print the tables, draw the figure, and write both beside the README."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table

from experiments.readout_scale.study import SOURCES, STEPS, Fits, features_and_targets, resample, sequences, study
from jax_lstm import Readout, plot
from jax_lstm._files import replacing

STEPS_EACH = 10
"""The steps of L-BFGS for the scale, and then for the line."""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.readout_scale", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few resamples and restarts")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the sequences, resamples and restarts (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="the folder for results.md and figure.png (default: here)")
    given = parser.parse_args(arguments)
    resamples, restarts = (3, 2) if given.quick else (100, 16)
    with jax.enable_x64(True):
        resample_key, restart_key = jax.random.split(jax.random.key(given.seed))
        windows = sequences(given.seed, count=40 if given.quick else 141)
        hs, targets = features_and_targets(windows)
        fits = study(*(resample(resample_key, rows, resamples) for rows in (hs, targets)), restart_key, restarts=restarts, steps=STEPS_EACH)
        fits, hs, targets = jax.tree.map(np.asarray, (fits, hs[..., 0], targets[..., 0]))
    tables = scale_table(fits), line_table(fits, hs, targets, last=windows[..., STEPS - 1])
    text = io.StringIO()
    Console(file=text, width=120).print(*tables, sep="\n")
    results = "\n".join(line.strip() for line in text.getvalue().strip().splitlines()) + "\n"
    print(f"{fits.losses[..., 0].size} fits at once: {len(SOURCES)} sources x {resamples} resamples x {restarts} restarts\n\n{results}")
    given.out.mkdir(parents=True, exist_ok=True)
    with replacing(given.out / "results.md") as temporary:
        temporary.write_text(results)
    with replacing(given.out / "figure.png") as temporary:
        figure(fits, hs, targets).savefig(temporary, dpi=100)


def scale_table(fits: Fits) -> Table:
    """The scale of each source, and by how much four is off."""
    table = _table("scale by Optax", "closed form", "largest difference", "5 % to 95 % of resamples", "four is off by")
    for k, name in enumerate(SOURCES):
        best = fits.best_scale.w[k, :, 0, 0]
        low, high = np.percentile(best, [5, 95])
        found, error = np.median(fits.scale.w[k, 0]), difference(fits.scale, fits.best_scale)[k]
        table.add_row(name, f"{found:.4f}", f"{best[0]:.4f}", f"{error:.0e}", f"{low:.2f} to {high:.2f}", f"{4 / best[0] - 1:+z.1%}")
    return table


def line_table(fits: Fits, hs: np.ndarray, targets: np.ndarray, last: np.ndarray) -> Table:
    """The whole readout of each source, and the errors that each way of predicting leaves."""
    table = _table("w by Optax", "b by Optax", "largest difference", "RMSE: 4 h", "scale h", "w h + b", "last value")
    for k, name in enumerate(SOURCES):
        scale, w, b = (np.median(one[k, 0]) for one in (fits.scale.w, fits.line.w, fits.line.b))
        predictions = 4 * hs[k], scale * hs[k], w * hs[k] + b, last[k]
        rmse = (f"{np.sqrt(np.mean((one - targets[k]) ** 2)):.3f}" for one in predictions)
        table.add_row(name, f"{w:.4f}", f"{b:z.4f}", f"{difference(fits.line, fits.best_line)[k]:.0e}", *rmse)
    return table


def difference(found: Readout, best: Readout) -> np.ndarray:
    """How far the fits of a source are from the closed form, relative to its length: the largest of all resamples and restarts."""
    found, best = (one.w[..., 0] if one.b is None else np.concatenate([one.w[..., 0], one.b], axis=-1) for one in (found, best))
    best = best[:, :, None]
    return (np.linalg.norm(found - best, axis=-1) / np.linalg.norm(best, axis=-1)).max(axis=(1, 2))


def figure(fits: Fits, hs: np.ndarray, targets: np.ndarray) -> Figure:
    """The loss while the scale and then the line are fitted, and both against the data."""
    picture = Figure(figsize=(9, 7), layout="constrained")
    above, below = picture.subfigures(2, height_ratios=(2, 3))
    axes = plot.losses(dict(zip(SOURCES, fits.losses[:, 0], strict=True)), axes=above.subplots())
    axes.set(ylim=(1e-2, None), ylabel="mean squared error", xticks=range(1, 2 * STEPS_EACH + 1))
    axes.axvline(STEPS_EACH + 0.5, color="grey", linewidth=1)
    axes.annotate(" then the bias too", (STEPS_EACH + 0.5, 0.9), xycoords=("data", "axes fraction"))
    for k, (panel, name) in enumerate(zip(below.subplots(1, len(SOURCES), sharey=True), SOURCES, strict=True)):
        panel.plot(hs[k], targets[k], ".", color="grey", markersize=3, label="data")
        span = np.array([hs[k].min(), hs[k].max()])
        scale, w, b = (np.median(one[k, 0]) for one in (fits.scale.w, fits.line.w, fits.line.b))
        for (label, line), style in zip(
            {"4 h": 4 * span, "scale h": scale * span, "w h + b": w * span + b}.items(), plot.STYLES, strict=False
        ):
            panel.plot(span, line, linestyle=style, label=label)
        panel.set(title=name, xlabel="last hidden state h")
    below.axes[0].set_ylabel("next value")
    below.axes[0].legend(frameon=False)
    return picture


def _table(*columns: str) -> Table:
    table = Table("data", box=box.MARKDOWN)
    for name in columns:
        table.add_column(name, justify="right")
    return table


if __name__ == "__main__":
    main()
