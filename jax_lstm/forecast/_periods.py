"""The season of a table: what its calendar says, and where that leaves a choice, what its values say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jax_lstm.forecast._calendar import DAY, Calendar

_DATED = {7 * DAY: 52, 14 * DAY: 26, 28 * DAY: 13, DAY: 7}
"""Seasons by seconds from one time to the next."""

LONGEST = 400
"""The longest season that is looked for."""


def season_of(calendar: Calendar, series: Sequence[np.ndarray]) -> tuple[int, str]:
    """The season of a panel, 1 for none, and how it is known.

    >>> season_of(Calendar("months", 1), [np.ones(144)])
    (12, 'as the times are monthly')
    >>> season_of(Calendar("seconds", 1), [np.ones(300)])
    (60, 'as the times are every second: a minute, as there are less than two hours')
    """
    reason = f"as the times are {calendar.name}"
    if calendar.kind == "months":
        return (int(12 // calendar.step) if 12 % calendar.step == 0 else 1), reason
    if calendar.kind == "business days":
        return 5, reason
    if calendar.kind == "seconds":
        if calendar.step in _DATED:
            return _DATED[int(calendar.step)], reason
        return _timed(calendar, series)
    if calendar.style == "year":
        return 1, reason
    season, likeness = find_season(max(series, key=len))
    if season == 1:
        return 1, "no dates, and none is seen in the values"
    return season, f"no dates; by the values' autocorrelation, {likeness:.2f} at {season} steps"


def find_season(values: np.ndarray) -> tuple[int, float]:
    """The lag with the highest autocorrelation of a series' differences, and that; 1 where none stands out.

    >>> find_season(np.tile([1.0, 5.0, 2.0, 8.0], 10))[0]
    4
    """
    rows = np.arange(len(values))
    known = np.isfinite(values)
    if known.sum() < 12:
        return 1, 0.0
    changes = np.diff(np.interp(rows, rows[known], values[known]))
    longest = min(LONGEST, len(changes) // 3)
    changes = changes - changes.mean()
    power = np.sum(changes**2)
    if longest < 2 or not power > 0:
        return 1, 0.0
    likeness = np.array(
        [
            np.sum(changes[lag:] * changes[:-lag]) / power * len(changes) / (len(changes) - lag)
            for lag in range(1, longest + 2)
        ]
    )
    inner = likeness[1:-1]
    peaks = 2 + np.flatnonzero(
        (inner > likeness[:-2]) & (inner >= likeness[2:]) & (inner > max(0.35, 3 / np.sqrt(len(changes))))
    )
    if not len(peaks):
        return 1, 0.0
    best = max(likeness[peaks - 1])
    season = int(next(lag for lag in peaks if likeness[lag - 1] >= 0.9 * best))
    return season, float(likeness[season - 1])


def _timed(calendar: Calendar, series: Sequence[np.ndarray]) -> tuple[int, str]:
    """Of a day and a week the one after which values are more alike, for steps below a day."""
    reason = f"as the times are {calendar.name}"
    week, day, hour = (int(size / calendar.step) if size % calendar.step == 0 else 1 for size in (7 * DAY, DAY, 3600))
    rows = max(map(len, series))
    if calendar.step > DAY or day == 1:
        return 1, reason
    if rows >= 2 * day or hour <= 1:
        if week <= LONGEST and rows >= 4 * week and _apart(series, week) < _apart(series, day):
            return week, f"{reason}, and values a week apart are more alike than those a day apart"
        return day, f"{reason}: a day"
    minute = int(60 / calendar.step) if 60 % calendar.step == 0 else 1
    if rows >= 2 * hour or minute <= 1:
        return hour, f"{reason}: an hour, as there are less than two days"
    return minute, f"{reason}: a minute, as there are less than two hours"


def _apart(series: Sequence[np.ndarray], lag: int) -> float:
    """How far values so many steps apart differ on average, each series in units of its own spread."""
    longest = [values for values in series if len(values) > lag]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = [
            np.nanmean(np.abs(values[lag:] - values[:-lag])) / np.nanstd(values)
            for values in longest
            if np.isfinite(values).sum() > lag
        ]
    return float(np.nanmean(ratios)) if np.isfinite(ratios).any() else np.inf
