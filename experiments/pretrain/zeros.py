"""Series with zeros: at night, on closed days, out of season, of intermittent demand, in interruptions, at the end of
life.

Each function returns `(rows, series)` in natural units, zero or above. `season` is what the forecaster is told.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.pretrain.parts import noise, pattern, scaled, seasons, slow_change, weekdays
from experiments.pretrain.processes import log_uniform, sometimes


def nights(rng: np.random.Generator, rows: int, count: int, season: Sequence[float]) -> np.ndarray:
    """Solar power: zero at night, a half sine by day whose length follows the year, times a cloudiness by day."""
    period = int(season[0])
    day, hour = np.divmod(np.arange(rows)[:, None], period)
    year = 2 * np.pi * (day / 365.25 + rng.random(count))
    length = period * (0.5 + rng.uniform(0, 0.2, count) * np.sin(year))
    height = np.cos(np.pi * (hour + 0.5 - period / 2) / length)
    height = np.where(np.abs(hour + 0.5 - period / 2) < length / 2, height, 0.0)
    days = -(-rows // period)
    cloudy = 1 / (1 + np.exp(1.5 * noise(rng, days, count) - rng.uniform(-1, 3, count)))
    within = np.exp(rng.uniform(0, 0.4, count) * noise(rng, rows, count)).clip(0.1, 3)
    power = height ** rng.uniform(0.7, 2, count) * cloudy[day[:, 0]] * within
    return scaled(rng, np.maximum(power, 0))


def closed_days(rng: np.random.Generator, rows: int, count: int, season: Sequence[float]) -> np.ndarray:
    """A shop by day, closed on one or two days of the week: zero there, or without a row (NaN) in half of the
    series.
    """
    sales = np.exp(
        0.3 * weekdays(rng, rows, count)
        + log_uniform(rng, 0.05, 0.4, count) * noise(rng, rows, count)
        + rng.uniform(0, 0.6, count) * slow_change(rng, rows, count)
    )
    first, closed = rng.integers(0, 7, count), rng.integers(1, 3, count)
    shut = (np.arange(rows)[:, None] - first) % 7 < closed
    return np.where(shut, np.where(rng.random(count) < 0.5, 0.0, np.nan), scaled(rng, sales))


def opening_hours(rng: np.random.Generator, rows: int, count: int, season: Sequence[float]) -> np.ndarray:
    """Visits by the hour: zero outside opening hours, and in half of the series all day long on some weekdays."""
    period = int(season[0])
    day, hour = np.divmod(np.arange(rows)[:, None], period)
    opens = rng.uniform(0.2, 0.45, count) * period
    closes = rng.uniform(0.6, 0.95, count) * period
    shut = (hour < opens) | (hour > closes)
    holiday = (day - rng.integers(0, 7, count)) % 7 < sometimes(rng, 0.5, rng.integers(1, 3, count))
    visits = np.exp(
        0.5 * pattern(rng, rows, count, period)
        + 0.4 * weekdays(rng, rows, count, period)
        + log_uniform(rng, 0.05, 0.5, count) * noise(rng, rows, count)
    )
    mean = log_uniform(rng, 2, 2000, count)
    return np.where(shut | holiday, 0.0, rng.poisson(np.minimum(mean * visits, 1e6)))


def selling_season(rng: np.random.Generator, rows: int, count: int, season: Sequence[float]) -> np.ndarray:
    """Sales in a part of the year alone, the same part every year, of a size that differs by year."""
    period = round(season[0])
    year, phase = np.divmod(np.arange(rows)[:, None] + rng.integers(0, period, count), period)
    length = np.maximum(2, rng.uniform(0.25, 0.7, count) * period)
    shape = np.sin(np.pi * (phase + 0.5) / length).clip(0) ** rng.uniform(0.3, 2, count)
    sizes = np.exp(log_uniform(rng, 0.05, 0.5, count) * rng.standard_normal((int(year.max()) + 1, count)))
    size = np.take_along_axis(sizes, year, axis=0)
    rough = np.exp(log_uniform(rng, 0.05, 0.4, count) * noise(rng, rows, count))
    return np.where(phase < length, scaled(rng, shape * size * rough), 0.0)


def demand(rng: np.random.Generator, rows: int, count: int, season: Sequence[float]) -> np.ndarray:
    """Intermittent and lumpy counts: whether there is demand, with a chance that changes slowly or with the season,
    and how much, by a shifted negative binomial distribution.
    """
    chance = rng.uniform(-3.5, 2, count) + rng.uniform(0, 1.5, count) * slow_change(rng, rows, count)
    if season[0] > 1:
        chance = chance + sometimes(rng, 0.5, rng.uniform(0.3, 1.5, count)) * pattern(rng, rows, count, season[0])
    happens = rng.random((rows, count)) < 1 / (1 + np.exp(-chance))
    mean = log_uniform(rng, 0.1, 60, count)
    shape = log_uniform(rng, 0.2, 5, count)
    size = 1 + rng.poisson(rng.gamma(shape, mean / shape, (rows, count)))
    return np.where(happens, size, 0.0)


def small_counts(rng: np.random.Generator, rows: int, count: int, season: Sequence[float]) -> np.ndarray:
    """Poisson counts of a small mean, with season and slow changes."""
    level = rng.uniform(0, 0.8, count) * slow_change(rng, rows, count)
    if season[0] > 1:
        level = level + sometimes(rng, 0.7, rng.uniform(0.1, 0.8, count)) * pattern(rng, rows, count, season[0])
    return rng.poisson(np.minimum(log_uniform(rng, 0.3, 60, count) * np.exp(level), 1e6)).astype(float)


def end_of_life(rng: np.random.Generator, rows: int, count: int, season: Sequence[float]) -> np.ndarray:
    """Sales that end in the second half, at once or fading, and stay at zero."""
    at = np.arange(rows)[:, None]
    end = rows - log_uniform(rng, 2, rows / 2, count).astype(int)
    fades = log_uniform(rng, 1, rows / 4, count)
    left = np.where(rng.random(count) < 0.5, np.clip((end - at) / fades, 0, 1), at < end)
    level = log_uniform(rng, 0.05, 0.5, count) * noise(rng, rows, count) + rng.uniform(0, 0.6, count) * slow_change(
        rng, rows, count
    )
    if season[0] > 1:
        level = level + 0.3 * pattern(rng, rows, count, season[0])
    sales = log_uniform(rng, 1, 3000, count) * np.exp(level) * left
    return np.where(rng.random(count) < 0.5, np.round(sales), sales)


def interrupted(rng: np.random.Generator, rows: int, count: int, season: Sequence[float]) -> np.ndarray:
    """Sales with one or two interruptions (a strike, a closure, a failed meter): a run of zeros or of a share of the
    level, which then returns.
    """
    at = np.arange(rows)[:, None]
    level = log_uniform(rng, 0.03, 0.4, count) * noise(rng, rows, count)
    level = level + rng.uniform(0, 0.6, count) * slow_change(rng, rows, count)
    level = level + log_uniform(rng, 0.05, 0.6, count) * seasons(rng, rows, count, season)
    left = np.ones((rows, count))
    for often in (1.0, 0.4):
        begin, length = rng.uniform(0, 1, count) * rows, sometimes(rng, often, log_uniform(rng, 1, rows / 8, count))
        share = rng.choice([0.0, 0.0, 0.1, 0.5], count)
        left = np.where((at >= begin) & (at < begin + length), share, left)
    sales = log_uniform(rng, 5, 1e5, count) * np.exp(np.clip(level, -6, 6)) * left
    return np.where(rng.random(count) < 0.5, np.round(sales), sales)
