"""From features to what a network learns: at every row, the values that followed."""

from __future__ import annotations

from typing import Any

import numpy as np

from jax_lstm.forecast._features import Design, Steps, features
from jax_lstm.forecast._network import Windows

FARTHEST = 40.0
"""How far what is learned may be from the level, in units of the scale."""


def windows(
    values: np.ndarray, logs: np.ndarray, season: float, design: Design, *, least: int = 1, weight: Any = None
) -> Windows:
    """What a network learns from transformed series.

    Args:
        values: `(rows, series)`, NaN where missing or not started, with as many rows as the context or more.
        logs: which of them are logarithms.
        season: their period.
        design: of the network.
        least: how many values a series must have had for a row to be learned from.
        weight: of each horizon; all the same where None.
    """
    return follow(features(values, logs, season, design), values, logs, design, least=least, weight=weight)


def follow(
    steps: Steps, values: np.ndarray, logs: np.ndarray, design: Design, *, least: int = 1, weight: Any = None
) -> Windows:
    """The same from features that are there."""
    context, horizon = design.context, design.horizon
    rows, count = values.shape
    begin = (~np.isnan(values)).argmax(axis=0)
    padded = np.concatenate([values, np.full((horizon, count), np.nan)])
    at = rows - context + np.arange(context)[:, None] + np.arange(1, horizon + 1)
    coming = padded[at].transpose(0, 2, 1)
    y = (coming - steps.level[..., None] - steps.base) / steps.scale[..., None]
    y = np.where((at[:, None, :1] - begin[:, None] >= least), np.clip(y, -FARTHEST, FARTHEST), np.nan)
    weight = np.ones(horizon) if weight is None else np.asarray(weight)
    return Windows(
        steps.x,
        y.astype(np.float32),
        np.where(logs, steps.scale, 0.1).astype(np.float32),
        steps.valid,
        np.broadcast_to(weight, (1, count, horizon)).astype(np.float32),
    )


def join(parts: list[Windows]) -> Windows:
    """Several sets of series as one."""
    return Windows(*(np.concatenate(fields, axis=1) for fields in zip(*parts, strict=True)))
