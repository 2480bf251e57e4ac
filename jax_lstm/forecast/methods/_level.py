"""Methods that hold a level, with the season where there is one."""

from __future__ import annotations

import numpy as np

from jax_lstm.forecast.methods._past import Past

RECENT = 16
"""How many of the last values the median is of, where the season is shorter."""


def level(past: Past) -> np.ndarray:
    """The mean of the last season's deseasonalized values, and the seasonal pattern, `(columns, horizon)`."""
    span = slice(-round(past.season), None)
    weight = past.started[span].astype(float)
    mean = (past.about[span] * weight).sum(axis=0) / np.maximum(weight.sum(axis=0), 1)
    return mean[:, None] + past.coming


def naive(past: Past) -> np.ndarray:
    """The last value."""
    return np.repeat(past.filled[-1][:, None], past.horizon, axis=1)


def median(past: Past) -> np.ndarray:
    """The median of the last values, of a season or of `RECENT`."""
    recent = past.filled[-max(round(past.season), RECENT) :]
    return np.repeat(np.median(recent, axis=0)[:, None], past.horizon, axis=1)


def zero(past: Past) -> np.ndarray:
    """Zero for series that are zero now and then, as of what is sold no more; the last value for others."""
    zeros = (past.filled == 0) & past.known & ~past.logs
    return np.where(zeros.any(axis=0)[:, None], 0.0, naive(past))
