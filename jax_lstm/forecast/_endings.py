"""How series end: with a last value that is an outlier, or with one value that repeats."""

from __future__ import annotations

import numpy as np

LEAST, WILD = 12, 4.0
"""How many values have to be known, and from how many times the largest change before it on a last change is wild."""

LEAST_RUN, LONGER = 10, 3
"""How many equal last values are an end, at least, and how many times the longest run of equal values before them."""


def without_wild_end(series: np.ndarray, season: tuple[float, ...]) -> tuple[np.ndarray, str]:
    """The series without a last value that is far from all that came before, and what to say of it.

    A last change counts as wild that is `WILD` times the largest one before, in the values or in their logarithms, and
    takes the series as far out of its range.

    >>> values = np.r_[10 + np.arange(20) % 4, 120.0]
    >>> without_wild_end(values, ())[1]
    'the last value, 120, is 10 times the level before it: an outlier? Forecast as if it were missing'
    """
    places = np.flatnonzero(~np.isnan(series))
    if len(places) < LEAST:
        return series, ""
    known = series[places]
    before, last = known[:-1], known[-1]
    level = float(np.median(before[-max(8, round(season[0]) if season else 0) :]))
    views = [known]
    if before.min() > 0:
        views.append(np.log(np.maximum(known, 1e-2 * np.median(before))))
    for view in views:
        largest = np.abs(np.diff(view[:-1])).max()
        outside = max(view[:-1].min() - view[-1], view[-1] - view[:-1].max())
        if 0 < WILD * largest < min(abs(view[-1] - view[-2]), outside + largest):
            cleaned = series.copy()
            cleaned[places[-1]] = np.nan
            times = f"{last / level:.2g} times" if level > 0 and last >= 0 else "far from"
            said = (
                f"the last value, {last:g}, is {times} the level before it: an outlier? Forecast as if it were missing"
            )
            return cleaned, said
    return series, ""


def held_since(series: np.ndarray, season: tuple[float, ...]) -> int:
    """For how many of its last values a series has been the same, where that is far longer than ever before; else 0.

    >>> held_since(np.r_[np.arange(20.0) % 3, np.zeros(30)], ()), held_since(np.arange(40.0) % 2, ())
    (30, 0)
    """
    known = series[~np.isnan(series)]
    turns = np.flatnonzero(np.diff(known) != 0)
    if not len(turns):
        return 0
    runs = np.diff(np.r_[-1, turns])
    tail = len(known) - 1 - int(turns[-1])
    cycle = 1.5 * season[0] if season else 0
    return tail if tail >= max(LEAST_RUN, LONGER * int(runs.max()), cycle) else 0
