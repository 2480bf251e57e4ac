"""The command: train from several initial biases at two lengths, all seeds at once, and measure the error on new sequences."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from experiments import report
from experiments.adding_problem.task import GUESS, initialise, test, train
from jax_lstm import plot

BIASES = {"forget bias 0": 0.0, "forget bias 1": 1.0, "forget bias 4": 4.0, "chrono": None}
LEARNED = 0.01
"""A network counts as having learned from the step on from which its smoothed training error is below this."""


@partial(jax.jit, static_argnums=1)
def initialised(keys: jax.Array, length: int):
    """The networks of every kind of bias, one after the other, a seed for each key."""
    kinds = [{"longest": length} if bias is None else {"forget_bias": bias} for bias in BIASES.values()]
    members = [jax.vmap(lambda key, kind=kind: initialise(key, **kind))(keys) for kind in kinds]
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *members)


def first_learned(curve: np.ndarray, window: int = 20) -> float:
    """The first step at which the mean training error of the last `window` steps is below `LEARNED`; NaN if there is none."""
    means = np.convolve(curve, np.ones(window) / window, mode="valid")
    below = np.flatnonzero(means < LEARNED)
    return below[0] + window if len(below) else np.nan


def main(given: list[str] | None = None) -> None:
    options = report.arguments("adding_problem", __doc__, Path(__file__).parent, given)
    lengths, seeds, steps = ((20,), 2, 20) if options.quick else ((200, 400), 5, 800)
    begin = time.perf_counter()
    table = report.table("bias at the start", "length", "error, median", "error, range", f"seeds that learned (< {LEARNED})", "after steps")
    curves = {}
    for length in lengths:
        init_key, train_key, test_key = jax.random.split(jax.random.fold_in(jax.random.key(options.seed), length), 3)
        models = initialised(jax.random.split(init_key, seeds), length)
        fitted = train(jax.random.split(train_key, len(BIASES) * seeds), models, length, steps)
        errors = np.reshape(test(test_key, fitted.params, length), (len(BIASES), seeds))
        curves[length] = np.reshape(fitted.history.loss, (len(BIASES), seeds, steps))
        for name, error, losses in zip(BIASES, errors, curves[length], strict=True):
            after = [first_learned(curve) for curve in losses]
            learned = np.isfinite(after).sum()
            typical = f"{np.nanmedian(after):.0f}" if learned else "–"
            table.add_row(name, str(length), *report.spread(error, 5), f"{learned} of {seeds}", typical)
    remarks = ["", f"{seeds} seeds; mean squared errors on 1,000 new sequences; always answering one has {GUESS:.3f}."]
    report.write(options.out, [table], remarks, figure(curves), time.perf_counter() - begin)


def figure(curves: dict[int, np.ndarray]) -> Figure:
    """The training error from each kind of bias, at each length."""
    picture = Figure(figsize=(9, 3.5), layout="constrained")
    panels = np.atleast_1d(picture.subplots(1, len(curves), sharey=True))
    for panel, (length, losses) in zip(panels, curves.items(), strict=True):
        smooth = losses[..., : losses.shape[-1] // 10 * 10].reshape(*losses.shape[:-1], -1, 10).mean(axis=-1)
        plot.losses(dict(zip(BIASES, smooth, strict=True)), axes=panel)
        panel.axhline(GUESS, color="grey", linewidth=1)
        panel.set(title=f"length {length}", xlabel="tens of steps", ylabel="mean squared error, training")
    return picture


if __name__ == "__main__":
    main()
