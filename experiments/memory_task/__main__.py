"""The command: train every policy in corridors of two lengths, all seeds at once, then test it."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure

from experiments import report
from experiments.memory_task import ppo
from experiments.memory_task.policy import POLICIES
from jax_lstm import plot


def run(key: jax.Array, name: str, length: int, seeds: int, updates: int) -> tuple[np.ndarray, np.ndarray]:
    """The successes while training, `(seeds, updates)`, and those of new episodes, `(seeds,)`."""
    train_key, test_key = jax.random.split(key)
    policy = POLICIES[name]
    train = jax.vmap(partial(ppo.train, policy=policy, length=length, updates=updates))
    params, successes = train(jax.random.split(train_key, seeds))
    tested = jax.vmap(lambda params: ppo.test(test_key, policy, params, length))(params)
    return np.asarray(successes), np.asarray(tested)


def solved(successes: np.ndarray, window: int = 20) -> float:
    """The first update at which the mean success of the last `window` rollouts exceeds 95 %; NaN if there is none."""
    means = np.convolve(np.nan_to_num(successes), np.ones(window) / window, mode="valid")
    above = np.flatnonzero(means > 0.95)
    return above[0] + window if len(above) else np.nan


def main(given: list[str] | None = None) -> None:
    options = report.arguments("memory_task", __doc__, Path(__file__).parent, given)
    lengths, seeds, updates = ((5,), 2, 5) if options.quick else ((10, 40), 3, 300)
    begin = time.perf_counter()
    columns = ("corridor", "successes, median", "range", "seeds that solved it (> 95 %)", "after updates")
    table, curves = report.table("policy", *columns), {}
    for length in lengths:
        for name in POLICIES:
            key = jax.random.fold_in(jax.random.key(options.seed), length)
            curves[length, name], tested = run(key, name, length, seeds, updates)
            after = [solved(one) for one in curves[length, name]]
            count = np.isfinite(after).sum()
            typical = f"{np.nanmedian(after):.0f}" if count else "–"
            table.add_row(name, str(length), *report.spread(tested, 3), f"{count} of {seeds}", typical)
    steps = updates * ppo.TIME * ppo.BATCH
    remarks = ["", f"{seeds} seeds, {steps:,} steps each; successes in new episodes, actions drawn as in training."]
    report.write(options.out, [table], remarks, figure(curves), time.perf_counter() - begin)


def figure(curves: dict[tuple[int, str], np.ndarray]) -> Figure:
    """The share of successes while training: median and range of the seeds."""
    picture = Figure(figsize=(9, 3.5), layout="constrained")
    lengths = sorted({length for length, _ in curves})
    panels = np.atleast_1d(picture.subplots(1, len(lengths), sharey=True))
    for panel, length in zip(panels, lengths, strict=True):
        named = ((name, successes) for (of, name), successes in curves.items() if of == length)
        for (name, successes), style in zip(named, plot.STYLES, strict=False):
            ended = np.isfinite(successes).any(axis=0)  # at first the rollouts may be too short for an episode to end
            updates = 1 + np.flatnonzero(ended)
            low, middle, high = np.nanquantile(successes[:, ended], (0, 0.5, 1), axis=0)
            panel.plot(updates, middle, linestyle=style, label=name)
            panel.fill_between(updates, low, high, alpha=0.2)
        panel.set(title=f"corridor of {length} steps", xlabel="update")
    panels[0].set_ylabel("successes per episode")
    panels[0].legend(frameon=False)
    return picture


if __name__ == "__main__":
    main()
