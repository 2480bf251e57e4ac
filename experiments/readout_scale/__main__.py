"""The command: fit, print the tables, draw the figure, and save both next to the README."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from experiments import report
from experiments.readout_scale.study import SOURCES, STEPS, Fits, features_and_targets, resample, sequences, study
from jax_lstm import Readout, plot

STEPS_EACH = 10
"""The steps of L-BFGS for the scale, and again for the line."""


def main(given: list[str] | None = None) -> None:
    options = report.arguments("readout_scale", __doc__, Path(__file__).parent, given)
    resamples, restarts = (3, 2) if options.quick else (100, 16)
    with jax.enable_x64(True):
        resample_key, restart_key = jax.random.split(jax.random.key(options.seed))
        windows = sequences(options.seed, count=40 if options.quick else 141)
        hs, targets = features_and_targets(windows)
        resampled = (resample(resample_key, rows, resamples) for rows in (hs, targets))
        fits = study(*resampled, restart_key, restarts=restarts, steps=STEPS_EACH)
        fits, hs, targets = jax.tree.map(np.asarray, (fits, hs[..., 0], targets[..., 0]))
    results = report.markdown(scale_table(fits), line_table(fits, hs, targets, last=windows[..., STEPS - 1]))
    count = f"{len(SOURCES)} sources x {resamples} resamples x {restarts} restarts"
    print(f"{fits.losses[..., 0].size} fits at once: {count}\n\n{results}")
    report.save(options.out, results, figure(fits, hs, targets), dpi=100)


def scale_table(fits: Fits) -> Table:
    """The scale of each source, and the relative error of four."""
    table = report.table(
        "data", "scale by Optax", "closed form", "largest difference", "5 % to 95 % of resamples", "four is off by"
    )
    for k, name in enumerate(SOURCES):
        best = fits.best_scale.w[k, :, 0, 0]
        low, high = np.percentile(best, [5, 95])
        found, error = np.median(fits.scale.w[k, 0]), difference(fits.scale, fits.best_scale)[k]
        table.add_row(
            name,
            f"{found:.4f}",
            f"{best[0]:.4f}",
            f"{error:.0e}",
            f"{low:.2f} to {high:.2f}",
            f"{4 / best[0] - 1:+z.1%}",
        )
    return table


def line_table(fits: Fits, hs: np.ndarray, targets: np.ndarray, last: np.ndarray) -> Table:
    """The whole readout of each source, and the error of each prediction."""
    table = report.table(
        "data", "w by Optax", "b by Optax", "largest difference", "RMSE: 4 h", "scale h", "w h + b", "last value"
    )
    for k, name in enumerate(SOURCES):
        scale, w, b = (np.median(one[k, 0]) for one in (fits.scale.w, fits.line.w, fits.line.b))
        predictions = 4 * hs[k], scale * hs[k], w * hs[k] + b, last[k]
        rmse = (f"{np.sqrt(np.mean((one - targets[k]) ** 2)):.3f}" for one in predictions)
        table.add_row(name, f"{w:.4f}", f"{b:z.4f}", f"{difference(fits.line, fits.best_line)[k]:.0e}", *rmse)
    return table


def difference(found: Readout, best: Readout) -> np.ndarray:
    """The largest distance of the fits of a source from the closed form, relative to the norm of the latter."""
    found, best = (
        one.w[..., 0] if one.b is None else np.concatenate([one.w[..., 0], one.b], axis=-1) for one in (found, best)
    )
    best = best[:, :, None]
    return (np.linalg.norm(found - best, axis=-1) / np.linalg.norm(best, axis=-1)).max(axis=(1, 2))


def figure(fits: Fits, hs: np.ndarray, targets: np.ndarray) -> Figure:
    """The loss while the scale and then the line are fitted, and both against the data."""
    picture = Figure(figsize=(9, 7), layout="constrained")
    above, below = picture.subfigures(2, height_ratios=(2, 3))
    axes = above.subplots()
    plot.losses(dict(zip(SOURCES, fits.losses[:, 0], strict=True)), axes=axes)
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


if __name__ == "__main__":
    main()
