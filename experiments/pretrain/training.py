"""The sizes of both networks, and what they are trained on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from experiments.pretrain.processes import Recipe, draw, lengths, missing, positive
from experiments.pretrain.recipes import LINEAR, RECIPES
from jax_lstm.forecast.training import Design, Windows, join, windows


class Training(NamedTuple):
    """The size of a network and of its training.

    Args:
        hidden, members: units of a member, and how many there are.
        steps, batch: of training, and the series in each.
        rate: the highest learning rate.
        share: of the numbers in `RECIPES`, how many series are made: enough that each is seen about ten times at most.
    """

    hidden: int
    members: int
    steps: int
    batch: int
    rate: float
    share: float


TRAINING = {"short": Training(64, 5, 6000, 128, 5e-3, 4.0), "long": Training(40, 3, 500, 96, 5e-3, 1.0)}


def synthetic(seed: int, recipe: Recipe, count: int, design: Design) -> Windows:
    """Windows of series made by a recipe."""
    rng = np.random.default_rng(seed)
    rows = max(recipe.lengths[1], design.context) + design.horizon
    total = lengths(rng, draw(rng, count, rows, recipe), recipe, design.horizon)
    logs = rng.random(count) >= LINEAR
    values = missing(rng, np.where(logs, positive(rng, total, recipe), total))
    started = ~np.isnan(values).all(axis=0)
    least = {1: 4, 4: 8}.get(recipe.season, min(2 * recipe.season + 2, 60))
    weight = np.where(np.arange(design.horizon) < 8, 1.0, 0.15) if recipe.season <= 4 else None
    return windows(values[:, started], logs[started], recipe.season, design, least=least, weight=weight)


def pool(seed: int, kind: str, design: Design, *, share: float = 1.0) -> Windows:
    """The windows of all recipes of a network, or a share of them."""
    return join(
        [
            synthetic(seed + 10 * place, recipe, max(2, round(share * count)), design)
            for place, (recipe, count) in enumerate(RECIPES[kind])
        ]
    )
