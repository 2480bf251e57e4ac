"""Seasonal factors that are causal: estimated anew at every row from what came before it, and shrunk where the
season is weak.
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
        pattern: by `row % season`, `(season, series)`, with mean zero.
        strength: how much of the pattern's estimate is kept, 0 to 1, `(series,)`.
    """

    pattern: np.ndarray
    strength: np.ndarray


def fill(values: np.ndarray, season: int) -> np.ndarray:
    """Series `(rows, series)` without gaps: the value one season before, or the last one; before the beginning,
    the first value.
    """
    known = ~np.isnan(values)
    begin = known.argmax(axis=0)
    filled = np.where(np.arange(len(values))[:, None] < begin, values[begin, np.arange(values.shape[1])], values)
    for row in np.flatnonzero(np.isnan(filled).any(axis=1)):
        seasonal = season > 1 and row >= season
        before = np.where(row - season >= begin, filled[row - season], filled[row - 1]) if seasonal else filled[row - 1]
        filled[row] = np.where(np.isnan(filled[row]), before, filled[row])
    return filled


def factors(filled: np.ndarray, known: np.ndarray, season: int, first: int) -> Iterator[Factors]:
    """The factors as they were known after `first`, `first + 1`, … and all rows.

    A value's part of the season is its distance from the mean of the season centred on it. The parts of each phase
    are averaged with
    weights that fade, and the averages shrunk by the share of their variance that is noise (James and Stein 1961).

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
    half = season // 2
    parts = filled - _centred_mean(filled, season)
    begin = known.argmax(axis=0)
    use = known & (np.arange(rows)[:, None] - half >= begin)
    weight, weight_squared, total, squares = (np.zeros((season, count)) for _ in range(4))
    for row in range(rows):
        seen = row - half
        if seen >= half:
            phase, ok = seen % season, use[seen]
            for held, fading, new in (
                (weight, FADING, 1.0),
                (weight_squared, FADING**2, 1.0),
                (total, FADING, parts[seen]),
                (squares, FADING, parts[seen] ** 2),
            ):
                held[phase] = np.where(ok, fading * held[phase] + new, held[phase])
        if row + 1 >= first:
            yield _shrunk(weight, weight_squared, total, squares)


def _centred_mean(values: np.ndarray, season: int) -> np.ndarray:
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


def _shrunk(weight: np.ndarray, weight_squared: np.ndarray, total: np.ndarray, squares: np.ndarray) -> Factors:
    season = len(weight)
    divisor = np.maximum(weight, 1e-9)
    means = total / divisor
    spread = np.maximum(squares / divisor - means**2, 0)
    pattern = means - means.mean(axis=0)
    effective = (weight**2 / np.maximum(weight_squared, 1e-9)).mean(axis=0)
    noise = spread.mean(axis=0) / np.maximum(effective - 1, 0.5) * (season - 2 if season > 2 else 1) / season
    enough = (weight > 1.5).all(axis=0)
    if season < SMOOTH_FROM:
        kept = np.where(enough, _kept(noise, pattern), 0.0)
        return Factors(pattern * kept, kept)
    width = 2 * (season // 24) + 1
    smooth = _circular_mean(pattern, width)
    rest = pattern - smooth
    kept, kept_rest = _kept(noise / width, smooth), _kept(noise * (1 - 1 / width), rest)
    found = smooth * kept + rest * kept_rest
    return Factors(np.where(enough, found, 0.0), np.where(enough, kept, 0.0))


def _kept(noise: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    return np.maximum(0, 1 - noise / np.maximum((pattern**2).mean(axis=0), 1e-300))


def _circular_mean(pattern: np.ndarray, width: int) -> np.ndarray:
    side = width // 2
    wrapped = np.concatenate([pattern[len(pattern) - side :], pattern, pattern[:side]])
    sums = np.concatenate([np.zeros((1, pattern.shape[1])), np.cumsum(wrapped, axis=0)])
    return (sums[width:] - sums[:-width]) / width
