"""The command: cross-validate on the training split, train on all of it, then test single models and ensembles."""

from __future__ import annotations

import time
from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure

from experiments import report
from experiments.japanese_vowels.task import SPEAKERS, Utterances, accuracy, probabilities, splits, take, train
from jax_lstm import plot

FOLDS = 5


def cross_validate(keys: jax.Array, data: Utterances, epochs: int) -> np.ndarray:
    """The accuracy of each model on the utterances it was not trained on; folds are stratified by speaker."""
    fold = np.empty(len(data.speakers), int)
    for speaker in range(SPEAKERS):
        own = np.flatnonzero(data.speakers == speaker)
        fold[own] = np.arange(len(own)) * FOLDS // len(own)
    right = []
    for held_out in range(FOLDS):
        kept, tested = (take(data, np.flatnonzero(chosen)) for chosen in (fold != held_out, fold == held_out))
        right.append(accuracy(probabilities(train(keys, kept, epochs).params, tested), tested.speakers))
    return np.mean(right, axis=0)


def main(given: list[str] | None = None) -> None:
    options = report.arguments("japanese_vowels", __doc__, Path(__file__).parent, given)
    seeds, size, epochs = (2, 2, 1) if options.quick else (20, 10, 80)
    begin = time.perf_counter()
    data, test = splits()
    validation_key, train_key = jax.random.split(jax.random.key(options.seed))
    validated = cross_validate(jax.random.split(validation_key, min(3, seeds)), data, epochs)
    fitted = train(jax.random.split(train_key, seeds), data, epochs)
    each = np.asarray(probabilities(fitted.params, test))
    ensembles = each.reshape(seeds // size, size, *each.shape[1:]).mean(axis=1)

    rows = {
        f"single models, {FOLDS}-fold cross-validation on the training split": validated,
        "single models": accuracy(each, test.speakers),
        f"ensembles of {size}, means of probabilities": accuracy(ensembles, test.speakers),
        f"ensemble of all {seeds}": accuracy(each.mean(axis=0)[None], test.speakers),
    }
    table = report.table("accuracy, test split but for the first row", "number", "median", "range")
    for name, values in rows.items():
        table.add_row(name, str(len(values)), *report.spread(values, 4))
    report.write(options.out, [table], [], figure(fitted, each.mean(axis=0), test), time.perf_counter() - begin)


def figure(fitted, mean: np.ndarray, test: Utterances) -> Figure:
    """The training loss, and how sure the ensemble is of the true speaker, by the length of the utterance."""
    picture = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = picture.subplots(1, 2)
    plot.losses({"cross-entropy, training": fitted.history.loss}, axes=left)
    sure = mean[np.arange(len(mean)), test.speakers]
    wrong = mean.argmax(axis=-1) != test.speakers
    for chosen, mark, name in ((~wrong, ".", "right"), (wrong, "x", "wrong")):
        right.plot(test.lengths[chosen], sure[chosen], mark, label=name, alpha=0.7)
    right.set(
        xlabel="steps in the utterance", ylabel="probability of the true speaker", title="ensemble of all, test split"
    )
    right.legend(frameon=False)
    return picture


if __name__ == "__main__":
    main()
