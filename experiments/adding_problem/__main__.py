"""The command: train from several initial biases at several lengths, all seeds at once, and test on new sequences."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure

from experiments import report
from experiments.adding_problem.task import GUESS, Adder, initialize, test, train
from jax_lstm import plot

BIASES = {"forget bias 1": 1.0, "forget bias 4": 4.0, "chrono": None}
LEARNED = 0.01
"""A network has learned at the first step at which its smoothed training error is below this."""


@partial(jax.jit, static_argnums=1)
def starts(keys: jax.Array, length: int) -> dict[str, Adder]:
    """The networks of every kind of bias, one seed per key."""
    kinds = {name: {"longest": length} if bias is None else {"forget_bias": bias} for name, bias in BIASES.items()}
    return {name: jax.vmap(partial(initialize, **kind))(keys) for name, kind in kinds.items()}


def first_learned(curve: np.ndarray, window: int = 20) -> float:
    """The first step at which the mean error of the last `window` steps is below `LEARNED`; NaN if there is none."""
    means = np.convolve(curve, np.ones(window) / window, mode="valid")
    below = np.flatnonzero(means < LEARNED)
    return below[0] + window if len(below) else np.nan


def main(given: list[str] | None = None) -> None:
    options = report.arguments("adding_problem", __doc__, Path(__file__).parent, given)
    lengths, seeds, steps = ((20,), 2, 20) if options.quick else ((50, 200, 400), 5, 720)
    begin = time.perf_counter()
    table = report.table(
        "bias at the start",
        "length",
        "error, median",
        "error, range",
        f"seeds that learned (< {LEARNED})",
        "after steps",
    )
    curves: dict[int, dict[str, np.ndarray]] = {}
    for length in lengths:
        init_key, train_key, test_key = jax.random.split(jax.random.fold_in(jax.random.key(options.seed), length), 3)
        curves[length] = {}
        models = starts(jax.random.split(init_key, seeds), length)
        for name in BIASES:
            fitted = train(jax.random.split(train_key, seeds), models[name], length, steps)
            curves[length][name] = np.asarray(fitted.history.loss)
            after = [first_learned(curve) for curve in curves[length][name]]
            learned = np.isfinite(after).sum()
            typical = f"{np.nanmedian(after):.0f}" if learned else "–"
            error = test(test_key, fitted.params, length)
            table.add_row(name, str(length), *report.spread(error, 5), f"{learned} of {seeds}", typical)
    remarks = ["", f"{seeds} seeds; mean squared errors on 1,000 new sequences; always answering one has {GUESS:.3f}."]
    report.write(options.out, [table], remarks, figure(curves), time.perf_counter() - begin)


def figure(curves: dict[int, dict[str, np.ndarray]]) -> Figure:
    """The training error from each kind of bias, at each length."""
    picture = Figure(figsize=(11, 3.5), layout="constrained")
    panels = np.atleast_1d(picture.subplots(1, len(curves), sharey=True))
    for panel, (length, kinds) in zip(panels, curves.items(), strict=True):
        tens = {name: losses.reshape(len(losses), -1, 10).mean(axis=-1) for name, losses in kinds.items()}
        plot.losses(tens, axes=panel)
        panel.axhline(GUESS, color="grey", linewidth=1)
        panel.set(title=f"length {length}", xlabel="tens of steps", ylabel="")
        panel.legend(loc="upper right", frameon=False)
    panels[0].set_ylabel("mean squared error, training")
    return picture


if __name__ == "__main__":
    main()
