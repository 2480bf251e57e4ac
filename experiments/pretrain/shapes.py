"""Series with a shape: growth, saturation, bounds, counters, steps, spikes, sawtooths, and a level large next to the
changes.

Each function returns `(rows, series)` in natural units. `season` is what the forecaster is told.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.pretrain.parts import noise, pattern, scaled, seasons, slow_change, weekdays
from experiments.pretrain.processes import log_uniform, recursion, sometimes


def growth(rng: np.random.Generator, rows: int, count: int, season: Sequence[float]) -> np.ndarray:
    """Growth by a constant amount or a constant rate in every step, with season and little noise, which stays in the
    level in two thirds of the series (a random walk with drift).
    """
    rate = rng.choice([-0.5, 1.0, 1.0, 1.0], count) * log_uniform(rng, 5e-4, 0.02, count)
    rate = np.clip(rate, -3 / rows, 6 / rows)
    at = np.arange(rows)[:, None]
    level = np.where(rng.random(count) < 0.5, np.exp(rate * at), np.maximum(1 + rate * at, 0.02))
    size = log_uniform(rng, 1e-4, 0.1, count)
    walk = np.cumsum(rng.standard_normal((rows, count)), axis=0) * sometimes(rng, 0.67, log_uniform(rng, 0.2, 1, count))
    rough = noise(rng, rows, count) + seasons(rng, rows, count, season) + walk
    return scaled(rng, level * np.exp(size * rough))


def saturating(rng: np.random.Generator, rows: int, count: int, season: Sequence[float]) -> np.ndarray:
    """An S-curve (logistic) or an approach to a limit, anywhere on its way, with noise."""
    at = np.arange(rows)[:, None]
    middle, width = rng.uniform(-0.3, 1.2, count) * rows, log_uniform(rng, 0.03, 0.3, count) * rows
    rise = (at - middle) / width
    logistic = 1 / (1 + np.exp(-np.clip(rise, -50, 50)))
    curve = np.where(rng.random(count) < 0.6, logistic, 1 - np.exp(-at / width))
    curve = rng.choice([0.0, 0.05, 0.5], count) + curve
    size = log_uniform(rng, 5e-4, 0.1, count)
    return scaled(rng, curve * np.exp(size * (noise(rng, rows, count) + seasons(rng, rows, count, season))))


def bounded(rng: np.random.Generator, rows: int, count: int, season: Sequence[float]) -> np.ndarray:
    """Between 0 and 100 (or 0 and 1): a logistic function of a process, or a process that is cut at the bounds."""
    inner = noise(rng, rows, count) + 1.5 * slow_change(rng, rows, count) + seasons(rng, rows, count, season)
    inner = rng.uniform(-3, 3, count) + log_uniform(rng, 0.1, 1.5, count) * inner
    cut = np.clip(0.5 + 0.2 * inner, 0, 1)
    return rng.choice([1.0, 100.0], count) * np.where(rng.random(count) < 0.7, 1 / (1 + np.exp(-inner)), cut)


def cumulative(rng: np.random.Generator, rows: int, count: int, season: Sequence[float]) -> np.ndarray:
    """A counter that never falls: the sum of increments of zero or above, with season, some from a large reading."""
    level = log_uniform(rng, 0.05, 0.8, count) * noise(rng, rows, count) + rng.uniform(0, 1, count) * slow_change(
        rng, rows, count
    )
    level = level + 0.5 * seasons(rng, rows, count, season)
    happens = rng.random((rows, count)) < np.where(rng.random(count) < 0.7, 1.0, rng.uniform(0.05, 0.9, count))
    total = np.cumsum(np.exp(np.minimum(level, 4)) * happens, axis=0)
    return scaled(rng, total + sometimes(rng, 0.7, log_uniform(rng, 1, 1e4, count)))


def large_level(rng: np.random.Generator, rows: int, count: int, season: Sequence[float]) -> np.ndarray:
    """Changes that are small next to the level: meters, mains frequency, pegged rates, populations."""
    change = noise(rng, rows, count) * log_uniform(rng, 0.05, 1, count)
    change = change + seasons(rng, rows, count, season) + rng.uniform(0, 5, count) * slow_change(rng, rows, count)
    level = rng.choice([-1.0, 1.0, 1.0, 1.0], count) * log_uniform(rng, 30, 1e6, count)
    return change * log_uniform(rng, 1e-2, 1e2, count) + level


def steps(rng: np.random.Generator, rows: int, count: int, season: Sequence[float]) -> np.ndarray:
    """Constant between jumps, to new levels or among a few that return, with noise in two thirds of the series."""
    jumps = rng.random((rows, count)) < log_uniform(rng, 2 / rows, 0.1, count)
    which = np.cumsum(jumps, axis=0)
    fresh = rng.standard_normal((rows + 1, count))
    few = rng.standard_normal((4, count))[rng.integers(0, 4, (rows + 1, count)), np.arange(count)]
    walk = np.cumsum(fresh, axis=0)
    kind = rng.integers(0, 3, count)
    levels = np.where(kind == 0, fresh, np.where(kind == 1, few, walk))
    rough = sometimes(rng, 0.67, log_uniform(rng, 0.01, 0.5, count)) * noise(rng, rows, count)
    level = rng.choice([0.0, 5.0, 100.0], count)
    return scaled(rng, level + np.take_along_axis(levels, which, axis=0) + rough)


def spikes(rng: np.random.Generator, rows: int, count: int, season: Sequence[float]) -> np.ndarray:
    """A quiet level with spikes that decay, at random times or at one phase of the season."""
    at = np.arange(rows)[:, None]
    often = rng.random((rows, count)) < log_uniform(rng, 0.01, 0.1, count)
    phase = (at - (rng.random(count) * season[0]).astype(int)) % max(round(season[0]), 1) == 0
    regular = (rng.random(count) < 0.5) & (season[0] > 2)
    size = np.where(np.where(regular, phase, often), np.exp(rng.normal(0, 0.4, (rows, count))), 0.0)
    kept = rng.choice([0.0, 0.3, 0.7, 0.9], count)
    falling, state = np.empty((rows, count)), np.zeros(count)
    for row, new in enumerate(size):
        state = np.maximum(kept * state, new)
        falling[row] = state
    quiet = log_uniform(rng, 0.01, 0.2, count) * noise(rng, rows, count)
    base = rng.choice([0.0, 0.5, 2.0], count) + 0.3 * slow_change(rng, rows, count)
    return scaled(rng, base + quiet + rng.choice([-1.0, 1.0, 1.0], count) * falling)


def sawtooth(rng: np.random.Generator, rows: int, count: int, season: Sequence[float]) -> np.ndarray:
    """A rise and a fall back (sawtooth), triangles or a square wave, of the season's period or another one."""
    other = log_uniform(rng, 4, max(8, rows / 5), count)
    period = np.where(rng.random(count) < (0.7 if season[0] > 1 else 0.0), season[0], other)
    phase = (np.arange(rows)[:, None] / period + rng.random(count)) % 1
    shapes = np.stack([phase, 1 - phase, 2 * np.abs(phase - 0.5), (phase < rng.uniform(0.2, 0.8, count)).astype(float)])
    shape = np.take_along_axis(shapes, rng.integers(0, 4, (1, 1, count)), axis=0)[0]
    rough = log_uniform(rng, 0.005, 0.3, count) * noise(rng, rows, count)
    level = rng.choice([0.0, 1.0, 20.0], count) + rng.uniform(0, 1, count) * slow_change(rng, rows, count)
    return scaled(rng, level + shape + rough)


def sines(rng: np.random.Generator, rows: int, count: int, season: Sequence[float]) -> np.ndarray:
    """A sum of one to three sines of any period, of which the forecaster is told the first at most, with noise."""
    total = np.zeros((rows, count))
    for place in range(3):
        told = season[0] if place == 0 and season[0] > 1 else 0.0
        period = told or log_uniform(rng, 5, max(10, rows / 3), count)
        wave = np.sin(2 * np.pi * (np.arange(rows)[:, None] / period + rng.random(count)))
        total += wave * sometimes(rng, (1.0, 0.6, 0.3)[place], log_uniform(rng, 0.3, 2, count))
    rough = log_uniform(rng, 0.02, 1, count) * noise(rng, rows, count)
    return scaled(rng, rng.choice([0.0, 5.0, 50.0], count) + total + rough)


def many_seasons(rng: np.random.Generator, rows: int, count: int, season: Sequence[float]) -> np.ndarray:
    """Two or three seasons at once, additive in logarithms or in the values, whose patterns change slowly.

    Where the second period is about seven times the first, weekdays differ as a whole and in their shape, some days are
    holidays, and weather moves the level of whole days, as in the load of a network or the visitors of a street.
    """
    change = slow_change(rng, rows, count)
    total = 0.6 * rng.uniform(0, 1, count) * change
    for period in season:
        size = log_uniform(rng, 0.1, 0.8, count) * np.exp(0.3 * slow_change(rng, rows, count))
        total = total + pattern(rng, rows, count, period, decay=(0.5, 2)) * size
    if len(season) > 1 and round(season[1] / season[0]) == 7:
        day = round(season[0])
        week = weekdays(rng, rows, count, day)
        other = pattern(rng, rows, count, season[0])
        total = total + week * (log_uniform(rng, 0.03, 0.6, count) + log_uniform(rng, 0.03, 0.4, count) * other)
        which, days = np.arange(rows) // day, -(-rows // day)
        holiday = (rng.random((days, count)) < 0.02)[which]
        total = np.where(holiday, total - log_uniform(rng, 0.05, 0.8, count) * (1 + 0.5 * other), total)
        weather = noise(rng, days, count)[which]
        total = total + weather * sometimes(rng, 0.6, log_uniform(rng, 0.03, 0.4, count)) * (1 + 0.5 * other)
    total = total + log_uniform(rng, 0.02, 0.4, count) * noise(rng, rows, count)
    return scaled(rng, np.where(rng.random(count) < 0.6, np.exp(np.clip(total, -8, 8)), 10 + total))


def weeks_of_days(rng: np.random.Generator, rows: int, count: int, season: Sequence[float]) -> np.ndarray:
    """Days that repeat by the week with little memory, as the visitors of a street and the calls of an office do: the
    mean of the same hour in earlier weeks is the best forecast.

    Working days, Saturdays and Sundays have shapes and levels of their own, the noise is mostly white, and a day off (a
    holiday, an event) leaves the next one as it was. A week of five days has working days alone.
    """
    day, days = round(season[0]), round(season[1] / season[0])
    number = np.arange(rows) // day
    kind = np.maximum(0, number % days - 4)  # 1 and 2 are the sixth and the seventh day
    shapes = np.stack([pattern(rng, rows, count, day, decay=(0.3, 1.5)) for _ in range(3)])
    own = rng.uniform(0, 1, count)
    shapes[1:] = own * shapes[1:] + (1 - own) * shapes[0]
    shape = np.take_along_axis(shapes, kind[None, :, None], axis=0)[0] * log_uniform(rng, 0.2, 1.2, count)
    level = log_uniform(rng, 0.03, 0.8, count) * weekdays(rng, rows, count, day, days)
    change = rng.uniform(0, 0.3, count) * slow_change(rng, rows, count)
    off = (rng.random((number[-1] + 1, count)) < 0.03)[number] * rng.normal(-0.3, 0.4, count)
    kept = rng.uniform(0, 0.7, count)
    short = recursion(kept, rng.standard_normal((rows, count))) * np.sqrt(1 - kept**2)
    logs = np.clip(shape + level + change + off + log_uniform(rng, 0.02, 0.4, count) * short, -6, 6)
    counts = rng.poisson(log_uniform(rng, 3, 3000, count) * np.exp(logs)).astype(float)
    return np.where(rng.random(count) < 0.4, counts, scaled(rng, np.exp(logs)))


def regular_seasons(rng: np.random.Generator, rows: int, count: int, season: Sequence[float]) -> np.ndarray:
    """Fixed patterns of every season, a line in half of the series, and white noise: the mean of many seasons is the
    best forecast.
    """
    total = np.zeros((rows, count))
    for period in season:
        total += pattern(rng, rows, count, period, decay=(0.5, 3)) * log_uniform(rng, 0.1, 1, count)
    total += sometimes(rng, 0.5, rng.uniform(-1, 1, count)) * np.linspace(0, 1, rows)[:, None]
    total += log_uniform(rng, 0.005, 0.5, count) * rng.standard_normal((rows, count))
    level = rng.choice([0.0, 3.0, 10.0, 100.0], count)
    return scaled(rng, np.where(rng.random(count) < 0.4, np.exp(np.clip(total, -6, 6)), level + total))
