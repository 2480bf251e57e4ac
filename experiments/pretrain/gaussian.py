"""Random functions: sums and products of Gaussian-process kernels, and Ornstein-Uhlenbeck processes that switch
between regimes.

Each function returns `(rows, series)` in natural units. `season` is what the forecaster is told.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.pretrain.parts import scaled, seasons
from experiments.pretrain.processes import log_uniform, sometimes

SERIES_PER_KERNEL = 8
"""How many series are drawn with one kernel: its factorization takes most of the time."""

JITTER = 1e-6
"""Added to a kernel's diagonal, so that rounding leaves it positive definite."""


def gaussian_process(rng: np.random.Generator, rows: int, count: int, season: Sequence[float]) -> np.ndarray:
    """Draws from a random sum or product of kernels (the idea of KernelSynth, Ansari et al. 2024, section 4.2)."""
    drawn = [
        np.linalg.cholesky(random_kernel(rng, rows, season)) @ rng.standard_normal((rows, SERIES_PER_KERNEL))
        for _ in range(-(-count // SERIES_PER_KERNEL))
    ]
    values = np.concatenate(drawn, axis=1)[:, :count]
    values = values / (values.std(axis=0) + 1e-9)
    level = rng.choice([0.0, 3.0, 10.0, 100.0], count)
    return scaled(rng, np.where(rng.random(count) < 0.3, np.exp(np.clip(values, -5, 5)), values + level))


def random_kernel(rng: np.random.Generator, rows: int, season: Sequence[float]) -> np.ndarray:
    """A positive definite matrix `(rows, rows)`: one to five simple kernels, each added or multiplied."""
    kernel = simple_kernel(rng, rows, season)
    for _ in range(rng.integers(0, 5)):
        other = simple_kernel(rng, rows, season)
        kernel = kernel + other if rng.random() < 0.5 else kernel * other
    return kernel / np.mean(np.diag(kernel)) + JITTER * np.eye(rows)


def simple_kernel(rng: np.random.Generator, rows: int, season: Sequence[float]) -> np.ndarray:
    """A linear, squared-exponential, rational-quadratic, periodic or white kernel over rows from 0 to 1."""
    at = np.linspace(0, 1, rows)
    distance = np.abs(at[:, None] - at)
    length = log_uniform(rng, 0.02, 1, None)
    kind = rng.integers(0, 5)
    if kind == 0:
        start = rng.random()
        return np.outer(at - start, at - start) + rng.uniform(0, 1)
    if kind == 1:
        return np.exp(-0.5 * (distance / length) ** 2)
    if kind == 2:
        shape = log_uniform(rng, 0.1, 10, None)
        return (1 + distance**2 / (2 * shape * length**2)) ** -shape
    if kind == 3:
        told = [one for one in season if 1 < one < rows / 2]
        period = rng.choice(told) if told else log_uniform(rng, 4, max(8, rows / 3), None)
        wave = np.sin(np.pi * distance * (rows - 1) / period)
        return np.exp(-2 * (wave / log_uniform(rng, 0.5, 3, None)) ** 2)
    return log_uniform(rng, 0.01, 1, None) * np.eye(rows)


def regime_switching(rng: np.random.Generator, rows: int, count: int, season: Sequence[float]) -> np.ndarray:
    """An Ornstein-Uhlenbeck process whose mean, reversion and volatility follow a Markov chain of two or three
    regimes, with a season in half of the series.
    """
    regimes = 3
    mean = rng.normal(0, 2, (regimes, count))
    reversion = log_uniform(rng, 0.005, 0.5, (regimes, count))
    volatility = log_uniform(rng, 0.03, 1, (regimes, count))
    leaves = log_uniform(rng, 0.002, 0.08, count)
    at, which = np.arange(count), rng.integers(0, regimes, count)
    others = rng.integers(2, regimes + 1, count)  # how many regimes the series has
    which = which % others
    value, found = mean[which, at], np.empty((rows, count))
    for row in range(rows):
        which = np.where(rng.random(count) < leaves, rng.integers(0, regimes, count) % others, which)
        pull = reversion[which, at] * (mean[which, at] - value)
        value = value + pull + volatility[which, at] * rng.standard_normal(count)
        found[row] = value
    found = found + sometimes(rng, 0.5, log_uniform(rng, 0.1, 2, count)) * seasons(rng, rows, count, season)
    level = rng.choice([0.0, 10.0, 100.0], count)
    return scaled(rng, np.where(rng.random(count) < 0.4, np.exp(np.clip(found / 3, -5, 5)), found + level))
