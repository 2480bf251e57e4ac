"""The command: what the network's errors on M3's training parts have in common with what the network saw.

A generator of series is right for a collection where nothing is left in the errors: where they depend on a feature, the
series follow it more, or less, than those that the network learned from do. Only training parts are read, and series
that the forecaster does not take logarithms of are left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.m3.collection import KINDS
from experiments.m3.collection import load as load_collection
from experiments.pretrain.__main__ import SEED
from experiments.pretrain.recipes import RECIPES
from experiments.pretrain.training import TRAINING, synthetic
from jax_lstm.forecast.training import (
    DESIGNS,
    PACKAGED,
    Network,
    align,
    ensemble,
    features,
    join,
    learn,
    load,
    row_class,
    start,
    transform,
)

CHUNK = 512
"""How many series the network runs over at once."""

ORIGINS = {"yearly": (6, 9), "quarterly": (8, 12, 16), "monthly": (18, 27, 36, 45, 54), "other": (8, 12, 16)}
"""How many of the last values are not known at each origin; all that are forecast lie within the training parts."""


class Left(NamedTuple):
    """The errors of one frequency.

    Args:
        windows: how many forecasts were made.
        left_out: how many series have no logarithms, so that no forecast of them is counted.
        smape: their mean error.
        weights: of each feature in the errors, zero where nothing is left.
        without: the mean error less what the features say of it.
        bias: the median error, in per cent of the values.
    """

    windows: int
    left_out: int
    smape: float
    weights: dict[str, float]
    without: float
    bias: float


def left(network: Network, kind: str) -> Left:
    """The errors of a network of short seasons on the series of one frequency."""
    collection = load_collection(kind, validate=False)
    season = collection.season
    rows = row_class(max(DESIGNS["short"].context, *map(len, collection.past)))
    values, units = transform(align(collection.past, rows))
    parts = [
        part
        for chunk in np.array_split(np.arange(len(collection.past)), -(-len(collection.past) // CHUNK))
        for part in _errors(network, values[:, chunk], units.logs[chunk], kind, season)
    ]
    error, columns = (np.concatenate(one) for one in zip(*parts, strict=True))
    names = ("coming season", "one season before", "newest value", "slope", "last season's level")
    used = range(len(names)) if season > 1 else (2, 3, 4)
    columns = columns[..., used].reshape(-1, len(used))
    weights = regress(columns, error.ravel())
    rest = error.ravel() - columns @ weights
    return Left(
        len(error),
        int((~units.logs).sum()),
        _smape(error),
        {names[place]: float(weight) for place, weight in zip(used, weights, strict=True)},
        _smape(rest),
        100 * float(np.median(error)),
    )


def _errors(
    network: Network, values: np.ndarray, logs: np.ndarray, kind: str, season: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """From each origin the errors in logarithms `(series, horizon)`, and the features in the same units."""
    design, horizon = DESIGNS["short"], ORIGINS[kind][0]
    steps = features(values, logs, season, design)
    every = jnp.arange(design.context)
    center = np.asarray(ensemble(network, jnp.asarray(steps.x), jnp.asarray(steps.valid), every)[0])
    known = np.cumsum(~np.isnan(values), axis=0)
    ahead = np.arange(1, horizon + 1)
    newest, coming, before, level, slope = np.cumsum([design.window - 1, 1, design.horizon, design.horizon, 4])
    for back in ORIGINS[kind]:
        row, end = design.context - 1 - back, len(values) - back
        actual, size, x = values[end : end + horizon].T, steps.scale[row][:, None], steps.x[row]
        said = steps.level[row][:, None] + (steps.base[row] + size * center[row])[:, :horizon]
        enough = (known[end - 1] >= 2 * season + 6) & ~np.isnan(actual).any(axis=1) & logs
        columns = [
            x[:, coming : coming + horizon],
            x[:, before : before + horizon],
            np.repeat(x[:, newest, None], horizon, axis=1),
            x[:, slope, None] * ahead,
            np.repeat(x[:, level, None], horizon, axis=1),
        ]
        yield (actual - said)[enough], (np.stack(columns, axis=-1) * size[..., None])[enough]


def regress(columns: np.ndarray, error: np.ndarray) -> np.ndarray:
    """The weights of the columns for which the mean of tanh(|rest| / 2), half the sMAPE, is least: least squares, its
    rows weighted again until they are.
    """
    weights = np.zeros(columns.shape[1])
    for _ in range(20):
        rest = np.abs(error - columns @ weights)
        importance = 1 / np.maximum(rest, 0.01) / np.cosh(rest / 2) ** 2
        weights = np.linalg.lstsq((columns.T * importance) @ columns, (columns.T * importance) @ error, rcond=None)[0]
    return weights


def small(kind: str) -> Network:
    """A small network that has learned from 5000 series of one frequency's recipes alone: what a change of them does,
    in a minute.
    """
    design, season = DESIGNS["short"], {"quarterly": 4, "monthly": 12}.get(kind, 1)
    recipes = [recipe for recipe, _ in RECIPES["short"] if recipe.season == season]
    data = join(
        [synthetic(SEED + 10 * place, recipe, 5000 // len(recipes), design) for place, recipe in enumerate(recipes)]
    )
    network = start(jax.random.key(SEED), design=design, hidden=32, members=4)
    key, sizes = jax.random.key(SEED + 1), TRAINING["short"]
    return learn(network, data, key=key, steps=500, rate=sizes.rate, batch=sizes.batch, progress=False).params


def _smape(error: np.ndarray) -> float:
    return float(np.mean(200 * np.tanh(np.abs(error) / 2)))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.pretrain.errors", description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="some of the frequencies")
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--weights", type=Path, default=PACKAGED, help="a model (default: the package's)")
    whose.add_argument("--small", action="store_true", help="a small network of each frequency's recipes, made now")
    given = parser.parse_args(arguments)
    network = load(given.weights).networks["short"]
    for kind in given.kinds:
        found = left(small(kind) if given.small else network, kind)
        weights = ", ".join(f"{name} {weight:+.2f}" for name, weight in found.weights.items())
        print(
            f"{kind}, {found.windows} forecasts, {found.left_out} series left out: "
            f"sMAPE {found.smape:.2f}, without what is left {found.without:.2f}; "
            f"median error {found.bias:+.1f} %; {weights}",
            flush=True,
        )


if __name__ == "__main__":
    main()
