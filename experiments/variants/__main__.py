"""The command: train every variant on both tasks, all seeds at once, and compare it with the plain LSTM."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure

from experiments import report
from experiments.adding_problem import task as adding
from experiments.japanese_vowels import task as vowels

VARIANTS: dict[str, dict] = {
    "plain": {},
    "peepholes": {"peephole": True},
    "coupled gates": {"coupled": True},
    "projection to 8": {"projection": 8},
    "layer normalization": {"norm": True},
    "diagonal recurrence": {"diagonal": True},
    "4 heads": {"heads": 4},
    "sLSTM of 4 heads": {"heads": 4, "exponential": True},
}
"""The options of `jax_lstm.init` of each variant."""


def main(given: list[str] | None = None) -> None:
    options = report.arguments("variants", __doc__, Path(__file__).parent, given)
    seeds, length, steps, epochs = (2, 20, 10, 1) if options.quick else (5, 100, 500, 40)
    names = ["diagonal recurrence"] if options.quick else list(VARIANTS)
    begin = time.perf_counter()
    init_key, train_key, test_key, vowels_key = jax.random.split(jax.random.key(options.seed), 4)
    train, test = vowels.splits()
    errors, accuracies, sizes = {}, {}, {}
    for name in names:
        initialize = partial(adding.initialize, longest=length, **VARIANTS[name])
        models = jax.jit(partial(jax.lax.map, initialize))(jax.random.split(init_key, seeds))
        fitted = adding.train(jax.random.split(train_key, seeds), models, length, steps)
        errors[name] = np.asarray(adding.test(test_key, fitted.params, length))
        classifiers = vowels.train(jax.random.split(vowels_key, seeds), train, epochs, **VARIANTS[name]).params
        accuracies[name] = vowels.accuracy(vowels.probabilities(classifiers, test), test.speakers)
        sizes[name] = [sum(leaf.size for leaf in jax.tree.leaves(one.layers)) // seeds for one in (models, classifiers)]

    table = report.table("variant", "weights", "adding problem: error", "range", "weights", "vowels: accuracy", "range")
    for name in names:
        (adder_size, classifier_size), error, accuracy = sizes[name], errors[name], accuracies[name]
        table.add_row(
            name, str(adder_size), *report.spread(error, 5), str(classifier_size), *report.spread(accuracy, 4)
        )
    remarks = [
        "",
        f"{seeds} seeds; the adding problem at length {length}, where always answering one has an error of "
        f"{adding.GUESS:.3f}.",
    ]
    report.write(options.out, [table], remarks, figure(errors, accuracies), time.perf_counter() - begin)


def figure(errors: dict[str, np.ndarray], accuracies: dict[str, np.ndarray]) -> Figure:
    """Every seed of every variant on both tasks, and the medians."""
    picture = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = picture.subplots(1, 2, sharey=True)
    for panel, values in ((left, errors), (right, accuracies)):
        for row, seeds in enumerate(values.values()):
            panel.plot(seeds, [row] * len(seeds), "o", color="grey", alpha=0.6)
            panel.plot(np.median(seeds), row, "|", color="black", markersize=18)
    left.set_xscale("log", subs=[2, 5])
    for axis_format in (left.xaxis.set_major_formatter, left.xaxis.set_minor_formatter):
        axis_format("{x:g}")
    left.set(xlabel="adding problem: mean squared error", yticks=range(len(errors)), yticklabels=list(errors))
    left.invert_yaxis()
    right.set(xlabel="vowels: accuracy on the test split")
    return picture


if __name__ == "__main__":
    main()
