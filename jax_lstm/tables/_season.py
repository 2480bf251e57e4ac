"""The seasons of a table: what its calendar says, and where that leaves a choice, what its values say."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from jax_lstm.tables._calendar import DAY, Calendar

_DATED = {7 * DAY: 52, 14 * DAY: 26, 28 * DAY: 13, DAY: 7}
"""Seasons by seconds from one time to the next."""

LONGEST = 400
"""The longest first season that is looked for."""

_CANDIDATES = 30
"""How many lags, those of the highest autocorrelation, and the first ones of about that, are tested as a season."""

_ALIKE = 0.35
"""The least autocorrelation of a longer season."""


def season_of(calendar: Calendar, series: Sequence[np.ndarray]) -> tuple[tuple[float, ...], str]:
    """The seasons of a panel, none for none, and how they are known.

    >>> season_of(Calendar("months", 1), [np.ones(144)])
    ((12,), 'as the times are monthly')
    >>> season_of(Calendar("seconds", 1), [np.ones(300)])
    ((60,), 'as the times are every second: a minute, as there are less than two hours')
    """
    reason = f"as the times are {calendar.name}"
    if calendar.kind == "months":
        return ((int(12 // calendar.step),) if 12 % calendar.step == 0 and calendar.step < 12 else ()), reason
    if calendar.kind == "sessions":
        days, slots = calendar.weekdays.count("1"), len(calendar.slots)
        return ((slots,) if slots > 1 else (days,) if days > 1 else ()), reason
    if calendar.kind == "seconds":
        return ((_DATED[int(calendar.step)],), reason) if calendar.step in _DATED else _timed(calendar, series)
    if calendar.style == "year":
        return (), reason
    seasons, share = find_seasons(max(series, key=len))
    if not seasons:
        return (), "no dates, and none is seen in the values"
    steps = " and ".join(f"{one:g}" for one in seasons)
    return seasons, f"no dates; in the values, a cycle of {steps} steps explains {share:.0%} of the changes"


def find_seasons(values: np.ndarray) -> tuple[tuple[float, ...], float]:
    """The seasons of a series, ascending, and the share of its changes that the first one found explains.

    The first is one of the lags where the changes are most alike: the means of the changes at each phase explain a
    share of their variance, which is tested against chance (F test). A shorter season that divides it is kept where it
    explains more of the first than chance (F test too). A longer one is looked for in what the first leaves, as the
    highest autocorrelation, so that a smooth season shows.

    >>> find_seasons(np.tile([1.0, 5.0, 2.0, 8.0], 10))[0]
    (4,)
    """
    rows, known = np.arange(len(values)), np.isfinite(values)
    if known.sum() < 12:
        return (), 0.0
    filled = np.interp(rows, rows[known], values[known])
    changes = np.diff(filled)
    first, share = _strongest(changes, min(LONGEST, len(values) // 3), np.abs(filled).max())
    if first == 1:
        return (), 0.0
    shorter = _shorter(changes, first)
    if shorter is not None:
        return (shorter, first), share
    rest = filled - _phase_means(filled - _moving_mean(filled, first), first)
    level = rest - _moving_mean(rest, 3 * first)
    level = level - _phase_means(level, first)
    longer = _peak(level, 2 * first)
    if longer is not None and _explained(level, longer) > 0.3 + longer / len(level):
        return (first, longer), share
    if first == 7 and len(values) >= 2 * 365 and _is_yearly(rest):
        return (7, 365.25), share
    return (first,), share


def _strongest(changes: np.ndarray, longest: int, largest: float) -> tuple[int, float]:
    """The period of the strongest cycle, and the share of the variance that it explains; 1 where none does."""
    if longest < 2 or not np.ptp(changes) > 1e-9 * largest:
        return 1, 0.0
    likeness = _autocorrelation(changes, longest)
    near = np.flatnonzero(likeness[2:] > 0.7 * likeness[2:].max())[:_CANDIDATES]
    candidates = 2 + np.union1d(near, np.argsort(-likeness[2:], kind="stable")[:_CANDIDATES])
    best, explained, known = 1, 0.0, 0.0
    for period in sorted(map(int, candidates)):
        share, free = _explained(changes, period), len(changes) - period
        more = max(share - known, 0.0) / max(1 - share, 1e-12) * free / (period - best)
        adjusted = 1 - (1 - share) * (len(changes) - 1) / free
        if adjusted > 0.2 and adjusted > explained + 0.03 and _chance(more, period - best, free) * longest < 1e-3:
            best, explained, known = period, adjusted, share
    return best, explained


def _shorter(changes: np.ndarray, period: int) -> int | None:
    """The divisor of a period that explains most of its means by phase, None where that may be chance."""
    whole, best, least = _explained(changes, period), None, 1e-4
    for shorter in (one for one in range(2, period // 2 + 1) if period % one == 0):
        part = _explained(changes, shorter)
        ratio = part / (shorter - 1) * (period - shorter) / max(whole - part, 1e-12)
        if (chance := _chance(ratio, shorter - 1, period - shorter)) < least:
            best, least = shorter, chance
    return best


def _chance(ratio: float, above: int, below: int) -> float:
    """The probability of a larger ratio of variances under the F distribution, by Paulson's approximation (1942)."""
    root, a, b = ratio ** (1 / 3), 2 / (9 * above), 2 / (9 * below)
    return math.erfc(((1 - b) * root - (1 - a)) / math.sqrt(2 * (b * root**2 + a))) / 2


def _phase_means(values: np.ndarray, period: int) -> np.ndarray:
    """For each value the mean of its phase."""
    phase = np.arange(len(values)) % period
    return (np.bincount(phase, values) / np.bincount(phase))[phase]


def _explained(changes: np.ndarray, period: int) -> float:
    """The share of the variance that the means by phase explain."""
    return float(1 - np.var(changes - _phase_means(changes, period)) / np.var(changes))


def _autocorrelation(values: np.ndarray, longest: int) -> np.ndarray:
    """The autocorrelation at lags 0 to `longest`, each over the pairs that it has."""
    about = values - values.mean()
    spectrum = np.fft.rfft(about, 1 << int(np.ceil(np.log2(2 * len(about)))))
    sums = np.fft.irfft(np.abs(spectrum) ** 2)[: longest + 1]
    if not sums[0] > 0:
        return np.zeros(longest + 1)
    return sums / sums[0] * len(about) / (len(about) - np.arange(longest + 1))


def _peak(values: np.ndarray, least: int) -> int | None:
    """The first lag whose autocorrelation is a peak about as high as the highest."""
    longest = min(1500, len(values) // 3)
    if longest < least:
        return None
    likeness = _autocorrelation(values, longest + 1)
    lags = np.arange(least, longest + 1)
    here = likeness[lags]
    peaks = lags[(here > likeness[lags - 1]) & (here >= likeness[lags + 1])]
    peaks = peaks[likeness[peaks] > max(_ALIKE, 3 / np.sqrt(len(values)))]
    return next((int(lag) for lag in peaks if likeness[lag] >= 0.9 * likeness[peaks].max()), None)


def _moving_mean(values: np.ndarray, width: int) -> np.ndarray:
    width = min(width, len(values))
    return np.convolve(np.pad(values, width // 2, mode="edge"), np.ones(width) / width, mode="valid")[: len(values)]


def _is_yearly(rest: np.ndarray) -> bool:
    """Whether weekly means of daily values are alike a year apart, beyond their trend."""
    weeks = rest[: len(rest) // 7 * 7].reshape(-1, 7).mean(axis=1)
    at = np.arange(len(weeks))
    about = weeks - np.polyval(np.polyfit(at, weeks, 1), at)
    return bool(len(weeks) > 104 and _autocorrelation(about, 53)[52] > _ALIKE)


def _timed(calendar: Calendar, series: Sequence[np.ndarray]) -> tuple[tuple[float, ...], str]:
    """A day, and a week too where values a week apart are more alike, for steps below a day."""
    reason = f"as the times are {calendar.name}"
    week, day, hour = (int(size / calendar.step) if size % calendar.step == 0 else 1 for size in (7 * DAY, DAY, 3600))
    rows = max(map(len, series))
    if calendar.step > DAY or day == 1:
        return (), reason
    if rows >= 2 * day or hour <= 1:
        if week <= 7 * LONGEST and rows >= 4 * week and _apart(series, week) < _apart(series, day):
            return (day, week), f"{reason}: a day, and a week, as values a week apart are more alike"
        return (day,), f"{reason}: a day"
    minute = int(60 / calendar.step) if 60 % calendar.step == 0 else 1
    if rows >= 2 * hour or minute <= 1:
        return (hour,), f"{reason}: an hour, as there are less than two days"
    return (minute,), f"{reason}: a minute, as there are less than two hours"


def _apart(series: Sequence[np.ndarray], lag: int) -> float:
    """The mean distance of values `lag` steps apart, each series in units of its own spread."""
    longest = [values for values in series if len(values) > lag]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = [
            np.nanmean(np.abs(values[lag:] - values[:-lag])) / np.nanstd(values)
            for values in longest
            if np.isfinite(values).sum() > lag
        ]
    return float(np.nanmean(ratios)) if np.isfinite(ratios).any() else np.inf
