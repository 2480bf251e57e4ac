"""The utterances, a bidirectional classifier of them, and its training."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jax_lstm import Readout, init_network, network, readout
from jax_lstm.train import Fitted, fit

DATA = Path(__file__).parent.parent / "data"
SPEAKERS = 9
PARTS = 3
"""The number of consecutive parts of equal length into which an utterance is divided."""

HIDDEN, BATCH, RATE, NOISE, OFFSET, DROPOUT = 32, 27, 1e-2, 0.8, 0.3, 0.25
"""Units per direction, utterances per minibatch, the largest learning rate, the standard deviations of the noise on
every input and of a shift of whole utterances, and the dropout: chosen on the training split alone, see the README."""


class Utterances(NamedTuple):
    """Data: `xs (time, utterances, coefficients)`, zero-padded; `lengths`, and `speakers` from 0, `(utterances,)`."""

    xs: np.ndarray
    lengths: np.ndarray
    speakers: np.ndarray


class Classifier(NamedTuple):
    """Parameters: layers for `network`, and a linear readout of the mean outputs over the parts of an utterance."""

    layers: tuple
    readout: Readout


def load(path: Path) -> Utterances:
    """The utterances of a `.ts` file: one per line, coefficients separated by `:`, steps by `,`, then the speaker.

    Raises:
        ValueError: a line of another form, by its number.
    """
    xs, speakers = [], []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip() or line.startswith(("#", "@")):
            continue
        *series, speaker = line.split(":")
        try:
            xs.append(np.array([np.array(values.split(","), np.float32) for values in series]).T)
            speakers.append(int(speaker) - 1)
        except ValueError as error:
            raise ValueError(
                f"{path.name}, line {number}: expected series of one length, then the speaker: {error}"
            ) from None
    lengths = np.array([len(one) for one in xs], np.int32)
    padded = [np.pad(one, ((0, lengths.max() - len(one)), (0, 0))) for one in xs]
    return Utterances(np.stack(padded, axis=1), lengths, np.array(speakers, np.int32))


def splits() -> tuple[Utterances, Utterances]:
    """The training and the test split, each coefficient scaled by its mean and deviation over the training split."""
    train, test = (load(DATA / f"JapaneseVowels_{name}.ts") for name in ("TRAIN", "TEST"))
    steps = train.xs[np.arange(len(train.xs))[:, None] < train.lengths]
    mean, deviation = steps.mean(axis=0), steps.std(axis=0)
    return tuple(one._replace(xs=(one.xs - mean) / deviation) for one in (train, test))


def take(data: Utterances, chosen: np.ndarray) -> Utterances:
    """Some of the utterances."""
    return Utterances(data.xs[:, chosen], data.lengths[chosen], data.speakers[chosen])


def initialize(key: jax.Array, features: int, **options) -> Classifier:
    """A classifier, with the options of `jax_lstm.init`."""
    layer_key, readout_key = jax.random.split(key)
    layers = init_network(layer_key, features, [HIDDEN], bidirectional=True, **options)
    width = PARTS * 2 * (options.get("projection") or HIDDEN)
    return Classifier(
        layers, Readout(jax.nn.initializers.glorot_uniform()(readout_key, (width, SPEAKERS)), jnp.zeros(SPEAKERS))
    )


def logits(
    model: Classifier, xs: jax.Array, lengths: jax.Array, dropout: float = 0.0, key: jax.Array | None = None
) -> jax.Array:
    """The logits of the speakers, `(utterances, speakers)`; padding does not enter the means."""
    _, hs = network(model.layers, xs, lengths=lengths, recurrent_dropout=dropout, key=key)
    steps = jnp.arange(len(hs), dtype=lengths.dtype)[:, None]
    inside = jax.nn.one_hot(PARTS * steps // lengths[None], PARTS, dtype=hs.dtype)
    means = jnp.einsum("tuh,tup->uph", hs, inside) / inside.sum(axis=0)[..., None]
    return readout(model.readout, means.reshape(len(means), -1))


def normal(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Standard normal numbers, drawn with one axis: under `vmap` XLA compiles more axes 20 times as long."""
    return jax.random.normal(key, (math.prod(shape),)).reshape(shape)


def loss(model: Classifier, batch: Utterances, key: jax.Array) -> jax.Array:
    """The cross-entropy of a minibatch, with noise, shifts of whole utterances and recurrent dropout."""
    noise_key, offset_key, dropout_key = jax.random.split(key, 3)
    noisy = batch.xs + NOISE * normal(noise_key, batch.xs.shape) + OFFSET * normal(offset_key, (1, *batch.xs.shape[1:]))
    scores = logits(model, noisy, batch.lengths, DROPOUT, dropout_key)
    return optax.softmax_cross_entropy_with_integer_labels(scores, batch.speakers).mean()


@cache
def starts(features: int, **options) -> Callable[[jax.Array], Classifier]:
    """A function that initializes one classifier per key; cached, like `optimizer`, so that it compiles once."""
    return jax.jit(partial(jax.lax.map, partial(initialize, features=features, **options)))


@cache
def optimizer(steps: int) -> optax.GradientTransformation:
    """One object per number of steps, so that equal runs share one compilation."""
    return optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(optax.cosine_onecycle_schedule(steps, RATE), weight_decay=1e-3)
    )


def train(keys: jax.Array, data: Utterances, epochs: int, **options) -> Fitted:
    """One classifier per key, trained side by side, with the options of `jax_lstm.init`."""
    models = starts(data.xs.shape[-1], **options)(keys)
    steps = epochs * (len(data.lengths) // BATCH)
    return fit(
        loss, models, data, optimizer(steps), key=keys, steps=steps, batch_size=BATCH, batch_axis=Utterances(1, 0, 0)
    )


@jax.jit
def probabilities(models: Classifier, data: Utterances) -> jax.Array:
    """The probabilities of each model, `(models, utterances, speakers)`."""
    return jax.vmap(lambda model: jax.nn.softmax(logits(model, data.xs, data.lengths)))(models)


def accuracy(probabilities, speakers: np.ndarray) -> np.ndarray:
    """The share of utterances whose likeliest speaker is the true one."""
    return np.mean(np.argmax(np.asarray(probabilities), axis=-1) == speakers, axis=-1)
