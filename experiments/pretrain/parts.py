"""Parts that several kinds of series share: noise, slow changes, seasonal patterns of any period.

Arrays are `(rows, series)`; every series draws its own parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.pretrain.processes import heavy_tailed, log_uniform, recursion, sometimes


def noise(rng: np.random.Generator, rows: int, count: int) -> np.ndarray:
    """Noise of about unit variance: white and autoregressive in random shares, heavy-tailed in half of the series."""
    share = rng.beta(0.7, 0.7, count)
    kept = rng.uniform(0.3, 0.97, count)
    correlated = recursion(kept, heavy_tailed(rng, count, rows)) * np.sqrt(1 - kept**2)
    return np.sqrt(share) * correlated + np.sqrt(1 - share) * heavy_tailed(rng, count, rows)


def slow_change(rng: np.random.Generator, rows: int, count: int) -> np.ndarray:
    """A line, a random walk, or nothing, of about unit size over all rows."""
    which = rng.choice(3, count, p=(0.2, 0.45, 0.35))
    line = np.linspace(-1, 1, rows)[:, None] * rng.standard_normal(count)
    walk = np.cumsum(rng.standard_normal((rows, count)), axis=0) / np.sqrt(rows)
    return np.where(which == 0, line, np.where(which == 1, walk, 0.0))


def pattern(
    rng: np.random.Generator, rows: int, count: int, period: float, *, decay: tuple[float, float] = (0.3, 2)
) -> np.ndarray:
    """A periodic function of any period, whole or not, with mean zero and unit variance: a sum of harmonics.

    Args:
        period: in rows.
        decay: the range of the exponent by which the amplitude of harmonic k falls.
    """
    harmonics = np.arange(1, max(1, min(int(period / 2), 12)) + 1)
    size = harmonics[:, None] ** -rng.uniform(*decay, count)
    weights = rng.standard_normal((2, len(harmonics), count)) * size
    weights /= np.sqrt((weights**2).sum(axis=(0, 1)) / 2)
    angle = 2 * np.pi * np.arange(rows)[:, None] * harmonics / period
    return np.cos(angle) @ weights[0] + np.sin(angle) @ weights[1]


def weekdays(rng: np.random.Generator, rows: int, count: int, day: int = 1, days: int = 7) -> np.ndarray:
    """A value for each day of the week, of unit variance; in half of the series only the weekend differs.

    Args:
        day: rows in one day.
        days: in one week.
    """
    size = rng.standard_normal((days, count))
    first = rng.integers(0, days, count)
    weekend = (np.arange(days)[:, None] - first) % days < 2
    values = np.where(rng.random(count) < 0.5, size, np.where(weekend, size[:1], 0.0))
    values = (values - values.mean(axis=0)) / (values.std(axis=0) + 1e-9)
    return values[(np.arange(rows) // day) % days]


def seasons(rng: np.random.Generator, rows: int, count: int, periods: Sequence[float]) -> np.ndarray:
    """The sum of a pattern for each period above one, each of its own amplitude, absent from a fifth of the series."""
    total = np.zeros((rows, count))
    for period in periods:
        if period > 1:
            total += pattern(rng, rows, count, period) * sometimes(rng, 0.8, log_uniform(rng, 0.3, 3, count))
    return total


def scaled(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """The values in other units, from thousandths to millions: no network may depend on them."""
    return values * log_uniform(rng, 1e-3, 1e6, values.shape[1])
