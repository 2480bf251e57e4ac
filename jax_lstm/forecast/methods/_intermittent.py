"""Series with many zeros."""

from __future__ import annotations

import numpy as np

from jax_lstm.forecast.methods._past import Past

SMOOTHING, LONGEST = 0.1, 512
"""The share of the newest value in both averages, and how many of the last rows they run over."""


def intermittent(past: Past) -> np.ndarray:
    """How often there is demand, times how much: `(columns, horizon)`, all steps alike.

    ```
    chance' = chance + s (1 - chance) and size' = size + s (y - size) where y > 0, else chance' = chance - s chance
    ```

    So demand that has ended goes to zero. Source: Teunter, Syntetos and Babai, "Intermittent demand: linking
    forecasting to inventory obsolescence", 2011 (TSB).
    """
    values, known = past.filled[-LONGEST:], past.known[-LONGEST:]
    demand = (values != 0) & known
    count = np.maximum(known.sum(axis=0), 1)
    chance = demand.sum(axis=0) / count
    size = np.where(demand, values, 0.0).sum(axis=0) / np.maximum(demand.sum(axis=0), 1)
    for y, some, there in zip(values, demand, known, strict=True):
        chance = np.where(there, chance + SMOOTHING * (some - chance), chance)
        size = np.where(some, size + SMOOTHING * (y - size), size)
    return np.repeat((chance * size)[:, None], past.horizon, axis=1)
