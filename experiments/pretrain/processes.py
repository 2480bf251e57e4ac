"""Synthetic series: sums of random processes in (Box-Cox) logarithms. No real data is used.

Each function is one process; all draw their own parameters, one set for each series, so that the series of a
recipe differ much from one another.
Arrays are `(rows, series)` throughout.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Recipe(NamedTuple):
    """How often, and how strongly, the processes are there.

    Args:
        season: the period.
        lengths: the shortest and the longest series, drawn log-uniformly.
        spread: the range of the noise of one step, all kinds of it together, in logarithms.
        observation, level, slope, autoregressive: the expected weights of the kinds of noise.
        growth: mean and standard deviation of the drift in a season's time.
        changes: the expected number of changes of the drift.
        reverting: the share of series whose level reverts to its trend.
        undamped: the share of series whose slope is a random walk; the other slopes fade.
        fade: the range of what a slope loses in one step.
        shifting: the share of series with level shifts.
        box_cox: the share of series that are powers rather than exponentials of the sum.
        unseasonal: the share of series without season.
        amplitude: the range of the seasonal pattern's standard deviation.
        seasonal_drift: the range of how much the pattern changes from season to season, relative to it.
        cycles: the share of series with a stochastic cycle.
        cycle_length: the range of its period, in seasons.
        cycle_strength: the range of its noise, relative to all other noise.
        nested: the share of series with a longer season too (days of the week, say), and with noise that
            depends on the phase.
    """

    season: int
    lengths: tuple[int, int]
    spread: tuple[float, float]
    observation: float = 0.7
    level: float = 0.7
    slope: float = 0.05
    autoregressive: float = 0.8
    growth: tuple[float, float] = (0.03, 0.06)
    changes: float = 0.8
    reverting: float = 0.15
    undamped: float = 0.25
    fade: tuple[float, float] = (0.03, 0.4)
    shifting: float = 0.25
    box_cox: float = 0.7
    unseasonal: float = 0.25
    amplitude: tuple[float, float] = (0.01, 0.6)
    seasonal_drift: tuple[float, float] = (0.003, 0.2)
    cycles: float = 0.25
    cycle_length: tuple[float, float] = (3, 11)
    cycle_strength: tuple[float, float] = (0.1, 1.0)
    nested: float = 0.0


def draw(rng: np.random.Generator, count: int, rows: int, recipe: Recipe) -> np.ndarray:
    """Sums `(rows, count)` of all processes, before the Box-Cox transformation is undone."""
    spread = log_uniform(rng, *recipe.spread, count)
    weights = np.array([recipe.observation, recipe.level, recipe.slope, recipe.autoregressive])
    shares = rng.gamma(weights[:, None], 1.0, (4, count)) + 1e-4
    observation, level, slope, autoregressive = np.sqrt(shares / shares.sum(axis=0)) * spread
    volatility = changing_volatility(rng, count, rows)
    noise = [heavy_tailed(rng, count, rows) * volatility for _ in range(4)]
    total = drift(rng, count, rows, recipe, spread)
    total += fading_slope(rng, noise[2] * slope, recipe)
    total += reverting_level(rng, noise[1] * level, recipe)
    total += autoregression(rng, noise[3] * autoregressive)
    total += cycle(rng, count, rows, recipe, spread)
    total += shifts(rng, count, rows, recipe, spread)
    total += noise[0] * observation
    total += outliers(rng, count, rows, spread)
    if recipe.season > 1:
        total += season(rng, count, rows, recipe, spread)
    if recipe.nested:
        total += nested(rng, count, rows, recipe)
    return total


def positive(rng: np.random.Generator, total: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Logarithms of positive series: of the exponential of the sum, or of its power (Box and Cox 1964), whose
    growth is nearer linear, where the sum is nowhere too low for that.
    """
    power = np.where(rng.random(total.shape[1]) < recipe.box_cox, rng.uniform(0.1, 1, total.shape[1]), 0.0)
    base = 1 + power * total
    power = np.where((base > 0.03).all(axis=0, where=~np.isnan(base)), power, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        powered = np.log(base) / power
    return np.where(power > 0, powered, total)


def missing(rng: np.random.Generator, values: np.ndarray, share: float = 0.06) -> np.ndarray:
    """The values, with some of them missing in a share of the series: one by one, or a run of them."""
    rows, count = values.shape
    gone = rng.random((rows, count)) < np.where(rng.random(count) < share, log_uniform(rng, 0.01, 0.3, count), 0.0)
    begin = rng.integers(0, rows, count)
    length = np.where(rng.random(count) < share / 2, rng.integers(1, max(2, rows // 8), count), 0)
    at = np.arange(rows)[:, None]
    return np.where(gone | ((at >= begin) & (at < begin + length)), np.nan, values)


def lengths(rng: np.random.Generator, total: np.ndarray, recipe: Recipe, horizon: int) -> np.ndarray:
    """The sums from the beginning of each series on, where they are zero, and NaN before: lengths of the recipe, and
    a horizon that follows.
    """
    rows, count = total.shape
    shortest, longest = recipe.lengths
    drawn = np.minimum(longest, log_uniform(rng, shortest, longest * 1.15, count)).astype(int) + horizon
    begin = np.maximum(rows - drawn, 0)
    return np.where(np.arange(rows)[:, None] >= begin, total - total[begin, np.arange(count)], np.nan)


def log_uniform(rng: np.random.Generator, low: float, high: float, size) -> np.ndarray:
    """Numbers whose logarithm is uniform."""
    return np.exp(rng.uniform(np.log(low), np.log(high), size))


def sometimes(rng: np.random.Generator, share: float, values: np.ndarray) -> np.ndarray:
    """The values of a share of the series, and zero for the others."""
    return np.where(rng.random(len(values)) < share, values, 0.0)


def heavy_tailed(rng: np.random.Generator, count: int, rows: int) -> np.ndarray:
    """Noise of unit variance: Gaussian, or Student's t of 3, 4 or 6 degrees of freedom."""
    freedom = np.where(rng.random(count) < 0.5, rng.choice([3, 4, 6], count), 300)
    noise = rng.standard_normal((rows, count))
    return np.clip(noise * np.sqrt((freedom - 2) / rng.chisquare(np.broadcast_to(freedom, (rows, count)))), -12, 12)


def changing_volatility(rng: np.random.Generator, count: int, rows: int) -> np.ndarray:
    """A factor on the noise that is a random walk in logarithms in some series (stochastic volatility, Taylor 1982)."""
    step = sometimes(rng, 0.3, log_uniform(rng, 0.02, 0.15, count))
    return np.exp(np.cumsum(rng.standard_normal((rows, count)), axis=0) * step).clip(0.2, 5)


def drift(rng: np.random.Generator, count: int, rows: int, recipe: Recipe, spread: np.ndarray) -> np.ndarray:
    """A straight line that turns at random times: of no slope, of a growth in a season's time, or of a share of
    the noise.
    """
    which = rng.random(count)

    def slopes() -> np.ndarray:
        growth = rng.normal(recipe.growth[0], recipe.growth[1], count) / recipe.season
        return np.where(which < 0.25, 0.0, np.where(which < 0.7, growth, rng.normal(0.1, 0.4, count) * spread))

    turns = sometimes(rng, 0.6, rng.gamma(1, recipe.changes, count)) / rows
    changing = rng.random((rows, count)) < turns
    found, slope = np.empty((rows, count)), slopes()
    for row in range(rows):
        new = np.where(rng.random(count) < 0.5, slopes(), slope * rng.uniform(-0.5, 1.5, count))
        slope = np.where(changing[row], new, slope)
        found[row] = slope
    return np.cumsum(found, axis=0)


def fading_slope(rng: np.random.Generator, noise: np.ndarray, recipe: Recipe) -> np.ndarray:
    """The sum of a slope that is driven by noise, and a random walk or fading (the damped trend of Gardner and
    McKenzie 1985).
    """
    count = noise.shape[1]
    strength = log_uniform(rng, 0.05, 0.5, count)
    lost = log_uniform(rng, *recipe.fade, count) / np.sqrt(recipe.season)
    return np.cumsum(recursion(np.where(rng.random(count) < recipe.undamped, 1.0, 1 - lost), noise * strength), axis=0)


def reverting_level(rng: np.random.Generator, noise: np.ndarray, recipe: Recipe) -> np.ndarray:
    """A random walk, or one that reverts to its trend."""
    count = noise.shape[1]
    return recursion(np.where(rng.random(count) < recipe.reverting, 1 - log_uniform(rng, 0.03, 0.6, count), 1.0), noise)


def autoregression(rng: np.random.Generator, noise: np.ndarray) -> np.ndarray:
    """Autoregressive noise of the first order, mostly of positive correlation."""
    count = noise.shape[1]
    return recursion(
        np.where(rng.random(count) < 0.8, rng.uniform(0.2, 0.97, count), rng.uniform(-0.7, 0.2, count)), noise
    )


def recursion(kept: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """`state' = kept * state + noise` from zero, at every row."""
    found, state = np.empty_like(noise), np.zeros(noise.shape[1])
    for row, new in enumerate(noise):
        state = kept * state + new
        found[row] = state
    return found


def cycle(rng: np.random.Generator, count: int, rows: int, recipe: Recipe, spread: np.ndarray) -> np.ndarray:
    """A stochastic cycle in some series, whose phase and size wander (Harvey 1985)."""
    period = recipe.season * rng.uniform(*recipe.cycle_length, count)
    kept = rng.uniform(0.9, 0.995, count) ** (1 / np.sqrt(recipe.season))
    strength = sometimes(rng, recipe.cycles, spread * log_uniform(rng, *recipe.cycle_strength, count))
    first, second = 2 * kept * np.cos(2 * np.pi / period), -(kept**2)
    one = rng.standard_normal(count) * strength * 2
    two = one * np.cos(2 * np.pi / period)
    found = np.empty((rows, count))
    for row in range(rows):
        one, two = first * one + second * two + strength * rng.standard_normal(count), one
        found[row] = one
    return found


def shifts(rng: np.random.Generator, count: int, rows: int, recipe: Recipe, spread: np.ndarray) -> np.ndarray:
    """Jumps of the level that stay."""
    often = sometimes(rng, recipe.shifting, log_uniform(rng, 0.004, 0.04, count)) / np.sqrt(max(recipe.season / 12, 1))
    jumps = rng.normal(0, 5, (rows, count)) * spread
    return np.cumsum(np.where(rng.random((rows, count)) < often, jumps, 0.0), axis=0)


def outliers(rng: np.random.Generator, count: int, rows: int, spread: np.ndarray) -> np.ndarray:
    """Single values far off (additive outliers, Fox 1972)."""
    often = sometimes(rng, 0.35, log_uniform(rng, 0.004, 0.05, count))
    size = rng.choice([-1.0, 1.0], (rows, count)) * spread * log_uniform(rng, 2, 10, (rows, count))
    return np.where(rng.random((rows, count)) < often, size, 0.0)


def season(rng: np.random.Generator, count: int, rows: int, recipe: Recipe, spread: np.ndarray) -> np.ndarray:
    """A seasonal pattern, smooth or rough, which drifts and grows in some series."""
    period = recipe.season
    waves = min(period // 2, 40)
    weights = rng.standard_normal((2, waves, count)) * np.arange(1, waves + 1)[:, None] ** -rng.uniform(0, 2, count)
    smooth = of_waves(weights, period)
    rough = rng.standard_normal((period, count)) * np.exp(rng.normal(0, 0.7, (period, count)))
    pattern = unit(np.where(rng.random(count) < (0.35 if period <= 12 else 0.15), rough, smooth))
    sizes = np.minimum(spread * log_uniform(rng, 0.3, 8, count), 0.8)
    amplitude = np.where(rng.random(count) < 0.5, log_uniform(rng, *recipe.amplitude, count), sizes)
    amplitude = sometimes(rng, 1 - recipe.unseasonal, amplitude)
    changing = sometimes(rng, 0.65, log_uniform(rng, *recipe.seasonal_drift, count))
    growing = sometimes(rng, 0.3, log_uniform(rng, 0.01, 0.1, count))
    times = -(-rows // period)
    walk = np.zeros((period, count))
    growth = np.zeros(count)
    found = []
    for _ in range(times):
        step = (
            rng.standard_normal((period, count))
            if period <= 12
            else unit(of_waves(rng.standard_normal(weights.shape) / 3, period))
        )
        walk = walk + (step - step.mean(axis=0)) * changing
        growth = growth + rng.standard_normal(count) * growing
        found.append((pattern + walk) * np.exp(growth))
    return np.concatenate(found)[:rows] * amplitude


def nested(rng: np.random.Generator, count: int, rows: int, recipe: Recipe) -> np.ndarray:
    """A longer season of 5, 7 or 12 of the shorter ones, and autocorrelated noise whose size depends on the phase."""
    period, at = recipe.season, np.arange(rows)
    often = rng.choice([7, 7, 7, 5, 12], count)
    factors = rng.normal(0, 1, (12, count)) * np.where(
        rng.random((12, count)) < rng.choice([0.3, 1.0], count), 1.0, 0.0
    )
    shape = unit(smooth_pattern(rng, period, count)) * rng.choice([0.3, 1.0], count) + rng.standard_normal(count)
    place = (at[:, None] // period + rng.integers(0, 50, count)) % often
    long = np.take_along_axis(factors, place, axis=0) * shape[at % period] * log_uniform(rng, 0.02, 0.5, count)
    kept = 1 - log_uniform(rng, 0.02, 0.8, count)
    noise = recursion(kept, rng.standard_normal((rows, count)) * np.sqrt(1 - kept**2))
    size = (
        log_uniform(rng, 0.005, 0.25, count)
        * np.exp(rng.uniform(0, 1, count) * unit(smooth_pattern(rng, period, count)))[at % period]
    )
    return sometimes(rng, recipe.nested, np.ones(count)) * long + sometimes(rng, 0.8, np.ones(count)) * np.clip(
        noise * size, -4, 4
    )


def smooth_pattern(rng: np.random.Generator, period: int, count: int) -> np.ndarray:
    """A pattern of few waves `(period, count)`."""
    waves = min(period // 2, 8)
    return of_waves(
        rng.standard_normal((2, waves, count)) * np.arange(1, waves + 1)[:, None] ** -rng.uniform(0.3, 2, count), period
    )


def of_waves(weights: np.ndarray, period: int) -> np.ndarray:
    """The sum of cosines and sines with weights `(2, waves, series)`."""
    angle = 2 * np.pi * np.arange(period)[:, None] * np.arange(1, weights.shape[1] + 1) / period
    return np.cos(angle) @ weights[0] + np.sin(angle) @ weights[1]


def unit(pattern: np.ndarray) -> np.ndarray:
    """The pattern with mean zero and unit standard deviation."""
    about = pattern - pattern.mean(axis=0)
    return about / (about.std(axis=0) + 1e-9)
