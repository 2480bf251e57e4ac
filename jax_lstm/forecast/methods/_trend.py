"""Methods that go on with a trend."""

from __future__ import annotations

import numpy as np

from jax_lstm.forecast.methods._past import Past

GRID = np.array([(a, b, p) for a in (0.1, 0.3, 0.6, 0.9) for b in (0.05, 0.2) for p in (0.9, 0.98)])
"""The smoothing parameters of level and slope, and what is left of the slope after a step, that are tried."""

LONGEST = 512
"""How many of the last rows smoothing runs over."""


def drift(past: Past) -> np.ndarray:
    """The straight line from the first value through the last, `(columns, horizon)`, never in logarithms."""
    plain, top = past.plain(past.filled)
    first, last = plain[past.begin, np.arange(plain.shape[1])], plain[-1]
    slope = (last / 2 - first / 2) / np.maximum(past.ages - 1, 1) * 2
    made = last[:, None] + slope[:, None] * np.arange(1, past.horizon + 1)
    least = 1e-3 * np.min(np.where(past.started, np.abs(plain), np.inf), axis=0)
    return past.transformed(made, top, least)


def line(past: Past) -> np.ndarray:
    """The least-squares line through the deseasonalized values, and the seasonal pattern."""
    rows = np.arange(len(past.about))[:, None] - len(past.about) + 1.0  # the last row is zero
    weight = (past.started & past.known).astype(float)
    count = np.maximum(weight.sum(axis=0), 1)
    middle, mean = (weight * rows).sum(axis=0) / count, (weight * past.about).sum(axis=0) / count
    apart = weight * (rows - middle)
    slope = (apart * (past.about - mean)).sum(axis=0) / np.maximum((apart * (rows - middle)).sum(axis=0), 1e-9)
    return (mean - slope * middle)[:, None] + slope[:, None] * np.arange(1, past.horizon + 1) + past.coming


def damped_trend(past: Past) -> np.ndarray:
    """Exponential smoothing with a damped trend of the deseasonalized values, and the seasonal pattern.

    ```
    level' = a y + (1 - a) (level + p slope),  slope' = b (level' - level) + (1 - b) p slope
    forecast of step k: level + (p + p^2 + … + p^k) slope
    ```

    Source: Gardner and McKenzie, "Forecasting trends in time series", 1985. Of `GRID` the parameters with the least
    squared one-step error are taken.
    """
    alpha, beta, damping = GRID.T[:, :, None]
    about, known = past.about[-LONGEST:], past.known[-LONGEST:]
    level = np.repeat(about[:1], len(GRID), axis=0)
    slope, loss = np.zeros((2, *level.shape))
    for y, there in zip(about[1:], known[1:], strict=True):
        expected = level + damping * slope
        error = np.where(there, y - expected, 0.0)
        new = expected + alpha * error
        slope = damping * slope + alpha * beta * error
        level, loss = new, 0.98 * loss + error**2
    best = np.argmin(loss, axis=0)[None]
    level, slope = (np.take_along_axis(one, best, 0)[0][:, None] for one in (level, slope))
    kept = GRID[best[0], 2][:, None] ** np.arange(1, past.horizon + 1)
    return level + slope * np.cumsum(kept, axis=1) + past.coming
