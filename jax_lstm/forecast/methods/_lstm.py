"""The LSTM: one run over a series gives forecasts from every row, here those from the cutoffs."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jax_lstm.forecast._features import Design, Steps, features
from jax_lstm.forecast._network import Network, ensemble

BLOCK = 64
"""How many series a network runs over at once. Fewer are padded to as many: so a program is compiled once, and the same
sums are made in the same order whatever the number of series.
"""

LONGEST_RISE = 0.6
"""The largest power of the horizon by which intervals widen beyond what a network was made for."""


class Said(NamedTuple):
    """What a network says from every cutoff, in transformed values.

    Args:
        forecasts: `(cutoffs, series, steps)`; of the end, the first cutoff, all steps of the horizon are in `ahead`.
        ahead: from the end `(series, horizon)`.
        offsets: from `ahead` down to its 2.5 % and 10 % and up to its 90 % and 97.5 % quantiles, `(4, series,
            horizon)`.
        steps: the features that it saw.
    """

    forecasts: np.ndarray
    ahead: np.ndarray
    offsets: np.ndarray
    steps: Steps


def lstm(
    values: np.ndarray,
    logs: np.ndarray,
    season: float,
    horizon: int,
    design: Design,
    network: Network,
    cutoffs: tuple[int, ...],
) -> Said:
    """What a network says of transformed series from every cutoff.

    Args:
        values: `(rows, series)`, NaN where missing or not started.
        logs: which of them are logarithms.
        season: the period.
        horizon: how many steps ahead.
        design: of the network.
        network: the ensemble.
        cutoffs: how many of the last rows are unknown at each, 0 first.
    """
    seen = features(values, logs, season, design, cutoffs)
    rows = [design.context - 1 - back for back in cutoffs]
    centers, quantiles = _run(network, seen, rows)
    scale = seen.scale[rows][..., None]
    forecasts = seen.level[rows][..., None] + seen.base[rows] + scale * centers
    offsets = scale[0] * np.abs(quantiles[:, 0] - centers[0])
    ahead = forecasts[0]
    if horizon > design.horizon:
        ahead = _rolled(values, logs, season, horizon, design, network, ahead)
        offsets = _risen(offsets, horizon)
    return Said(forecasts[..., :horizon], ahead[:, :horizon], offsets[..., :horizon], seen)


def _run(network: Network, seen: Steps, rows: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """The centers `(rows, series, horizon)` and quantiles `(4, rows, series, horizon)` at some of the rows."""
    centers, quantiles = [], []
    for begin in range(0, seen.x.shape[1], BLOCK):
        x, valid = seen.x[:, begin : begin + BLOCK], seen.valid[:, begin : begin + BLOCK]
        spare = BLOCK - x.shape[1]
        x, valid = np.pad(x, [(0, 0), (0, spare), (0, 0)]), np.pad(valid, [(0, 0), (0, spare)])
        center, quantile = ensemble(network, jnp.asarray(x), jnp.asarray(valid), jnp.asarray(rows))
        centers.append(np.asarray(center, np.float64)[:, : BLOCK - spare])
        quantiles.append(np.asarray(quantile, np.float64)[:, :, : BLOCK - spare])
    return np.concatenate(centers, axis=1), np.concatenate(quantiles, axis=2)


def _rolled(
    values: np.ndarray,
    logs: np.ndarray,
    season: float,
    horizon: int,
    design: Design,
    network: Network,
    ahead: np.ndarray,
) -> np.ndarray:
    """Forecasts beyond the network's horizon: its own forecasts are appended to the values, again and again."""
    while ahead.shape[1] < horizon:
        longer = np.concatenate([values, ahead.T])[ahead.shape[1] :]
        seen = features(longer, logs, season, design)
        center, _ = _run(network, seen, [design.context - 1])
        following = seen.level[-1][:, None] + seen.base[-1] + seen.scale[-1][:, None] * center[0]
        ahead = np.concatenate([ahead, following], axis=1)
    return ahead


def _risen(offsets: np.ndarray, horizon: int) -> np.ndarray:
    """Offsets that go on as the power of the horizon by which they rise over the second half of the network's."""
    made = offsets.shape[-1]
    last, middle = offsets[..., -1:], offsets[..., made // 2 - 1 : made // 2]
    power = np.clip(np.log(np.maximum(last, 1e-30) / np.maximum(middle, 1e-30)) / np.log(2), 0.05, LONGEST_RISE)
    return np.concatenate([offsets, last * (np.arange(made + 1, horizon + 1) / made) ** power], axis=-1)
