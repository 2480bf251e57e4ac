"""The series that the weights of the methods and the widths of the intervals are learned from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from experiments.pretrain.kinds import KINDS as KINDS
from experiments.pretrain.kinds import Kind, sample
from jax_lstm.forecast import training

FARTHER, SHARE = 3, 0.15
"""Some series are forecast as many times farther ahead, beyond what the networks are made for, and which share."""


SHARE_OF_KINDS = 0.8
"""The share of the numbers in `KINDS` that is made."""


def series(kind: Kind, count: int, horizon: int, seed: int) -> list[np.ndarray]:
    """Series of a kind, each from its first value on, with a horizon after its length."""
    found = []
    for one in sample(kind, count, seed=seed, horizon=horizon).T:
        kept = one[(~np.isnan(one)).argmax() :]
        if len(kept) > horizon and np.isfinite(kept[:-horizon]).sum() >= 6:
            found.append(kept)
    return found


def pool(
    seed: int, networks: Mapping[str, training.Network], *, share: float = 1.0, kinds: tuple[Kind, ...] = KINDS
) -> list[training.Examples]:
    """The examples of all kinds, or of a share of their series."""
    found = []
    for place, kind in enumerate(kinds):
        for farther, part in ((1, 1 - SHARE), (FARTHER, SHARE)):
            horizon = farther * kind.horizon
            some = series(kind, max(8, round(share * part * kind.count)), horizon, seed + 2 * place + (farther > 1))
            found += training.examples(some, kind.season, horizon, networks)
    return found
