"""Seasonal factors that are causal: estimated at every row from the rows before it, and shrunk where the season is
weak.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

FADING = 0.85
"""What is left of the weight of a value one season later."""

SMOOTH_FROM = 24
"""From this season on, the smooth part of the pattern is shrunk apart from the rest of it."""


class Factors(NamedTuple):
    """What is known of the season.

    Args:
        pattern: by phase, `(phases, series)`, with mean zero over the phases that have values.
        strength: how much of the pattern's estimate is kept, 0 to 1, `(series,)`.
    """

    pattern: np.ndarray
    strength: np.ndarray


def phases(period: float, back: int, ahead: int) -> np.ndarray:
    """The phase of each of the last `back` rows and of the `ahead` rows that follow, from 0 up to the period, which
    need not be whole.

    >>> phases(3, 4, 2).tolist()
    [2, 0, 1, 2, 0, 1]
    """
    return np.floor(np.mod(np.arange(-back, ahead), period)).astype(int)


def lags(period: float, ahead: np.ndarray, cycles: int = 1) -> np.ndarray:
    """How many rows before each step ahead lies the value of the same phase in the last whole cycle but `cycles - 1`.

    >>> lags(4, np.array([1, 4, 5])).tolist(), lags(365.25, np.array([366])).tolist()
    ([4, 4, 8], [730])
    """
    return np.round((np.ceil(ahead / period) + cycles - 1) * period).astype(int)


def fill(values: np.ndarray, season: float) -> np.ndarray:
    """Series `(rows, series)` without gaps: the value one season before, or the last one; before the beginning,
    the first value.
    """
    known, lag = ~np.isnan(values), round(season)
    begin = known.argmax(axis=0)
    filled = np.where(np.arange(len(values))[:, None] < begin, values[begin, np.arange(values.shape[1])], values)
    for row in np.flatnonzero(np.isnan(filled).any(axis=1)):
        seasonal = lag > 1 and row >= lag
        before = np.where(row - lag >= begin, filled[row - lag], filled[row - 1]) if seasonal else filled[row - 1]
        filled[row] = np.where(np.isnan(filled[row]), before, filled[row])
    return filled


def factors(filled: np.ndarray, known: np.ndarray, season: float, first: int) -> Iterator[Factors]:
    """The factors as they were known after `first`, `first + 1`, … and all rows.

    A value's part of the season is its distance from the mean of the season centered on it. The parts of each phase
    are averaged with weights that fade, and the averages shrunk by the share of their variance that is noise (James and
    Stein 1961). A phase that never had a value, such as Sundays of a shop, has no part in it.

    Args:
        filled: series without gaps, `(rows, series)`.
        known: which values were there.
        season: the period.
        first: the rows known at the first yield, at least 1.
    """
    rows, count = filled.shape
    if season == 1:
        nothing = Factors(np.zeros((1, count)), np.zeros(count))
        yield from (nothing for _ in range(first, rows + 1))
        return
    width = round(season)
    half, at = width // 2, phases(season, rows, 0)
    parts = filled - _centered_mean(filled, width)
    begin = known.argmax(axis=0)
    use = known & (np.arange(rows)[:, None] - half >= begin)
    weight, weight_squared, total, squares = (np.zeros((int(np.ceil(season)), count)) for _ in range(4))
    there = np.zeros(weight.shape, bool)
    for row in range(rows):
        there[at[row]] |= known[row]
        seen = row - half
        if seen >= half:
            phase, ok = at[seen], use[seen]
            for held, fading, new in (
                (weight, FADING, 1.0),
                (weight_squared, FADING**2, 1.0),
                (total, FADING, parts[seen]),
                (squares, FADING, parts[seen] ** 2),
            ):
                held[phase] = np.where(ok, fading * held[phase] + new, held[phase])
        if row + 1 >= first:
            yield _shrunk(weight, weight_squared, total, squares, there)


def _centered_mean(values: np.ndarray, season: int) -> np.ndarray:
    """The mean of the season around each row, its two ends counting half where it is even; NaN near the ends of
    the rows.
    """
    rows, half = len(values), season // 2
    found = np.full_like(values, np.nan)
    if rows <= 2 * half:
        return found
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    whole = sums[2 * half + 1 :] - sums[: rows - 2 * half]
    if season % 2 == 0:
        whole = whole - (values[: rows - 2 * half] + values[2 * half :]) / 2
    found[half : rows - half] = whole / season
    return found


def _shrunk(
    weight: np.ndarray, weight_squared: np.ndarray, total: np.ndarray, squares: np.ndarray, there: np.ndarray
) -> Factors:
    season, count = len(weight), np.maximum(there.sum(axis=0), 1)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.where(there, values, 0.0).sum(axis=0) / count

    divisor = np.maximum(weight, 1e-9)
    means = total / divisor
    spread = np.maximum(squares / divisor - means**2, 0)
    pattern = np.where(there, means - mean(means), 0.0)
    effective = mean(weight**2 / np.maximum(weight_squared, 1e-9))
    noise = mean(spread) / np.maximum(effective - 1, 0.5) * (season - 2 if season > 2 else 1) / season
    enough = ((weight > 1.5) | ~there).all(axis=0) & (there.sum(axis=0) > 1)
    if season < SMOOTH_FROM:
        kept = np.where(enough, _kept(noise, mean(pattern**2)), 0.0)
        return Factors(pattern * kept, kept)
    width = 2 * (season // 24) + 1
    smooth = _circular_mean(pattern, width)
    rest = pattern - smooth
    kept, kept_rest = _kept(noise / width, mean(smooth**2)), _kept(noise * (1 - 1 / width), mean(rest**2))
    found = smooth * kept + rest * kept_rest
    return Factors(np.where(enough, found, 0.0), np.where(enough, kept, 0.0))


def _kept(noise: np.ndarray, power: np.ndarray) -> np.ndarray:
    return np.maximum(0, 1 - noise / np.maximum(power, 1e-300))


def _circular_mean(pattern: np.ndarray, width: int) -> np.ndarray:
    side = width // 2
    wrapped = np.concatenate([pattern[len(pattern) - side :], pattern, pattern[:side]])
    sums = np.concatenate([np.zeros((1, pattern.shape[1])), np.cumsum(wrapped, axis=0)])
    return (sums[width:] - sums[:-width]) / width
