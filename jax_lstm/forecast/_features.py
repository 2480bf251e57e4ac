"""What the network sees at each row: features of the series so far, none of which depends on the series' units or
on its future.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jax_lstm.forecast._pattern import factors, fill, lags, phases

LEAST_SCALE, LEAST_SHARE = 2e-3, 0.02
"""The least scale in logarithms; otherwise, in shares of the mean absolute difference so far."""


class Design(NamedTuple):
    """What a network is made for.

    Args:
        window: how many of the last values it sees.
        horizon: how many steps ahead it forecasts.
        context: how many rows it runs over.
        fading: the share of the newest value in the smoothed level.
        drift: the share of the slope so far that its forecasts start from.
    """

    window: int
    horizon: int
    context: int
    fading: float
    drift: float

    @property
    def features(self) -> int:
        """How many features there are."""
        return self.window + 2 * self.horizon + 9


class Steps(NamedTuple):
    """Features and units of rows, each an origin from which to forecast.

    Args:
        x: features `(rows, series, features)`, float32.
        level, scale: a forecast is `level + scale * output + base`, `(rows, series)`.
        base: coming seasonal factors and part of the slope, `(rows, series, horizon)`.
        valid: where a series has started, `(rows, series)`.
        patterns: the seasonal pattern as it was known at the rows asked for, `(phases, series)` each.
    """

    x: np.ndarray
    level: np.ndarray
    scale: np.ndarray
    base: np.ndarray
    valid: np.ndarray
    patterns: dict[int, np.ndarray]


def features(values: np.ndarray, logs: np.ndarray, season: float, design: Design, keep: tuple[int, ...] = ()) -> Steps:
    """Features of the last `design.context` rows.

    Args:
        values: transformed series `(rows, series)`, NaN where missing or not started, with as many rows as the
            context or more.
        logs: which of them are logarithms.
        season: their period.
        design: of the network.
        keep: the rows whose seasonal pattern is returned, counted back from the last, which is 0.

    Raises:
        ValueError: fewer rows than the context has.
    """
    window, horizon, context = design.window, design.horizon, design.context
    if len(values) < context:
        raise ValueError(
            f"values have {len(values)} rows, expected the context's {context} or more: put NaN before their beginning"
        )
    values = np.concatenate([np.full((max(window, round(season)), values.shape[1]), np.nan), values])
    rows, count = values.shape
    known = ~np.isnan(values)
    filled = fill(values, season)
    begin = known.argmax(axis=0)
    sums = _Sums(filled, known, begin)
    ahead = np.arange(1, horizon + 1)
    at = phases(season, rows, horizon)
    x = np.zeros((context, count, design.features), np.float32)
    level, scale, base = np.zeros((context, count)), np.ones((context, count)), np.zeros((context, count, horizon))
    patterns = {}
    last = filled[begin, np.arange(count)]
    first = rows - context + 1
    for place, (pattern, strength) in enumerate(factors(filled, known, season, first)):
        seen = first + place
        back = np.arange(seen - window, seen)
        about = (filled[back] - pattern[at[back]]).T
        use = known[back].T.astype(float)
        last = _level(about, use, design.fading, last)
        size = _scale(about, use, logs, sums.change(seen))
        age, slope = np.maximum(seen - begin, 1), sums.slope(seen)
        coming = pattern[at[seen : seen + horizon]].T
        x[place] = np.concatenate(
            [
                np.clip((about - last[:, None]) / size[:, None] * use, -10, 10),
                np.clip(coming / size[:, None], -10, 10),
                _one_season_before(filled, known, pattern, at, seen, season, horizon, last, size),
                _season_level(filled, known, pattern, at, seen, season, last, size),
                np.stack(
                    [
                        np.where(logs, np.log(size), np.log(0.1)) / 2 + 1.5,
                        np.log(np.minimum(age, 200)) / 2 - 1.5,
                        np.clip(slope / size, -3, 3),
                        strength,
                        np.full(count, np.log(season) / 2 - 1),
                        np.full(count, float(season == 1)),
                        np.clip(np.log(age / season), -2, 3) / 1.5,
                    ],
                    axis=1,
                ),
            ],
            axis=1,
        )
        fade = age / (age + 4.0)
        base[place] = coming + design.drift * (np.clip(slope, -size, size) * fade)[:, None] * ahead
        level[place], scale[place] = last, size
        if rows - seen in keep:
            patterns[rows - seen] = pattern
    valid = np.arange(first - 1, rows)[:, None] >= begin
    return Steps(x, level, scale, base, valid, patterns)


class _Sums:
    """Running sums, for the slope and the mean absolute difference of a series up to any row."""

    def __init__(self, filled: np.ndarray, known: np.ndarray, begin: np.ndarray):
        time = (np.arange(len(filled))[:, None] - begin).astype(float)
        about = filled - filled[begin, np.arange(filled.shape[1])]
        weight = known.astype(float)
        both = weight[1:] * weight[:-1]
        self.moments = [
            np.cumsum(part, axis=0)
            for part in (weight, weight * time, weight * time**2, weight * about, weight * time * about)
        ]
        self.changes = np.cumsum(both * np.abs(np.diff(filled, axis=0)), axis=0)
        self.pairs = np.cumsum(both, axis=0)

    def slope(self, seen: int) -> np.ndarray:
        """The slope of the straight line through the values of the rows before `seen`; zero where there are not two."""
        n, t, tt, y, ty = (moment[seen - 1] for moment in self.moments)
        return (n * ty - t * y) / np.maximum(n * tt - t * t, 1.0)

    def change(self, seen: int) -> np.ndarray:
        """The mean absolute difference of neighbors among them."""
        return self.changes[seen - 2] / np.maximum(self.pairs[seen - 2], 1.0)


def _level(about: np.ndarray, use: np.ndarray, fading: float, last: np.ndarray) -> np.ndarray:
    """The smoothed level of a window `(series, window)`, or the last one where the window has no value."""
    weight = use * (fading * (1 - fading) ** np.arange(use.shape[1])[::-1])
    total = weight.sum(axis=1)
    return np.where(total > 1e-12, (about * weight).sum(axis=1) / np.maximum(total, 1e-12), last)


def _scale(about: np.ndarray, use: np.ndarray, logs: np.ndarray, change: np.ndarray) -> np.ndarray:
    """The mean absolute difference in a window, within limits; a tenth where the window has no two neighbors."""
    both = use[:, 1:] * use[:, :-1]
    pairs = both.sum(axis=1)
    found = (np.abs(np.diff(about, axis=1)) * both).sum(axis=1) / np.maximum(pairs, 1)
    found = np.where(pairs > 0, found, np.where(change > 0, change, 0.1))
    return np.where(logs, np.clip(found, LEAST_SCALE, 1.0), np.maximum(np.maximum(found, LEAST_SHARE * change), 1e-9))


def _one_season_before(
    filled: np.ndarray,
    known: np.ndarray,
    pattern: np.ndarray,
    at: np.ndarray,
    seen: int,
    season: float,
    horizon: int,
    level: np.ndarray,
    size: np.ndarray,
) -> np.ndarray:
    """What was left of the values one season before those to forecast, `(series, horizon)`; zeros where there is
    no season.
    """
    if season == 1:
        return np.zeros((len(level), horizon))
    rows = np.arange(seen, seen + horizon) - lags(season, np.arange(1, horizon + 1))
    rest = (filled[rows] - pattern[at[rows]] - level).T / size[:, None]
    return np.where(known[rows].T, np.clip(rest, -10, 10), 0.0)


def _season_level(
    filled: np.ndarray,
    known: np.ndarray,
    pattern: np.ndarray,
    at: np.ndarray,
    seen: int,
    season: float,
    level: np.ndarray,
    size: np.ndarray,
) -> np.ndarray:
    """The level and the roughness of the last season, or of 30 rows where there is none, `(series, 2)`."""
    rows = np.arange(max(0, seen - (round(season) if season > 1 else 30)), seen)
    use = known[rows].astype(float)
    about = filled[rows] - pattern[at[rows]]
    mean = (about * use).sum(axis=0) / np.maximum(use.sum(axis=0), 1)
    mean = np.where(use.sum(axis=0) > 0, mean, level)
    both = use[1:] * use[:-1]
    rough = (np.abs(np.diff(about, axis=0)) * both).sum(axis=0) / np.maximum(both.sum(axis=0), 1)
    ratio = np.maximum(rough, 1e-9) / size
    return np.stack([np.clip((mean - level) / size, -10, 10), np.clip(np.log(np.maximum(ratio, 1e-4)), -3, 3)], axis=1)
