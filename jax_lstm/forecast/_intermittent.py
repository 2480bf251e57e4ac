"""Series with many zeros: the mean of what came lately, and its quantiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RECENT, FADING = 104, 0.03
"""How many of the last values count, and the share of the newest one in the mean."""


def demand(
    series: np.ndarray, horizon: int, levels: Sequence[float]
) -> tuple[np.ndarray, dict[float, tuple[np.ndarray, np.ndarray]]]:
    """The centre `(horizon,)` and by level the ends of the interval: smoothed mean, and weighted quantiles of the
    recent values.

    >>> centre, ends = demand(np.array([0.0, 0, 4, 0, 0, 4, 0, 0]), 1, [0.8])
    >>> round(float(centre[0]), 1), [float(end[0]) for end in ends[0.8]]
    (1.0, [0.0, 4.0])
    """
    known = series[~np.isnan(series)][-RECENT:]
    weight = (1 - FADING) ** np.arange(len(known))[::-1]
    weight = weight / weight.sum()
    unit = np.max(np.abs(known)) or 1.0
    mean = float(((known / unit) * weight).sum() * unit)
    order = np.argsort(known)
    cumulated = np.cumsum(weight[order])

    def quantile(share: float) -> float:
        return float(known[order][min(np.searchsorted(cumulated, share - 1e-12), len(known) - 1)])

    ends = {
        level: (
            np.full(horizon, min(quantile(0.5 - level / 2), mean)),
            np.full(horizon, max(quantile(0.5 + level / 2), mean)),
        )
        for level in levels
    }
    return np.full(horizon, mean), ends
