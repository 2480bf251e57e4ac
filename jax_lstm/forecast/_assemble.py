"""Rows into series: in order of time, one value for each time of the calendar, and what was missing, counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jax_lstm.forecast._calendar import Calendar, infer
from jax_lstm.forecast._cells import listed
from jax_lstm.forecast._dates import Times

if TYPE_CHECKING:
    import pandas

    from jax_lstm.forecast._table import Columns


def in_order(columns: Columns) -> tuple[Columns, tuple[str, ...]]:
    """The rows sorted by series, in the order in which those begin, and by time.

    Raises:
        ValueError: a time that a series has twice.
    """
    import pandas as pd

    codes = pd.Series(pd.factorize(columns.ids)[0], index=columns.ids.index)
    at = None if columns.times is None else columns.times.at
    keys = (codes.to_numpy(),) if at is None else (at.to_numpy(), codes.to_numpy())
    order = np.lexsort(keys)
    moved = at is not None and bool(
        ((at.diff().to_numpy()[1:] < at.diff().to_numpy()[1:] * 0) & (np.diff(codes) == 0)).any()
    )
    ids, values = columns.ids.iloc[order], columns.values.iloc[order]
    times = None if columns.times is None else columns.times._replace(at=columns.times.at.iloc[order])
    static = None if columns.static is None else columns.static.iloc[order]
    ordered = columns._replace(ids=ids, values=values, times=times, static=static)
    if times is not None:
        _refuse_twice(ordered, times)
    return ordered, ("rows were not in order of time: sorted",) if moved else ()


def _refuse_twice(columns: Columns, times: Times) -> None:
    at, ids, roles = times.at, columns.ids, columns.roles
    twice = (at.to_numpy()[1:] == at.to_numpy()[:-1]) & (ids.to_numpy()[1:] == ids.to_numpy()[:-1])
    if twice.any():
        row = int(np.argmax(twice))
        series = "" if roles.id is None else f" of series {ids.iloc[row]!r}"
        more = f", and {twice.sum() - 1} more times are there twice" if twice.sum() > 1 else ""
        fix = "keep one row for each time"
        if roles.id is None and not roles.series:
            fix += f", or name the column of the series with --id{f' ({listed(roles.words)})' if roles.words else ''}"
        if times.style == "clock" and at.dt.tz is None:  # perhaps the hour that a clock repeats in autumn
            fix += ", or write times with their zone, such as 02:00+01:00, where clocks were set back"
        lines = f"{columns.place}s {at.index[row]} and {at.index[row + 1]}"
        raise ValueError(f"{lines} both have the time {time_text(times, row)}{series}{more}: {fix}")


def time_text(times: Times, row: int) -> str:
    """One time as text."""
    import pandas as pd

    kind = "numbers" if times.style in ("number", "year") else "seconds"
    return Calendar(kind, style=times.style).texts(pd.Index(times.at.iloc[[row]]))[0]


class Places(NamedTuple):
    """Where the rows belong.

    Args:
        within: the place of each row in its series, counted from the series' first row.
        starts: the first row of each series.
        absent: how many times have no row.
        notes: the same in words.
    """

    within: np.ndarray
    starts: np.ndarray
    absent: int = 0
    notes: tuple[str, ...] = ()


def regular(columns: Columns, calendar: Calendar) -> Places:
    """Where the rows belong on the calendar.

    Raises:
        ValueError: a time off the calendar, or more times missing than there.
    """
    ids = columns.ids.to_numpy()
    starts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]])
    sizes = np.diff(np.r_[starts, len(ids)])
    rows = np.arange(len(ids)) - np.repeat(starts, sizes)
    if columns.times is None:
        return Places(rows, starts)
    at = columns.times.at
    counts = calendar.ordinals(at)
    places = (counts - np.repeat(counts[starts], sizes)) / calendar.step
    near = np.round(places)
    odd = np.abs(places - near) > 1e-6 * np.maximum(1, np.abs(places))
    if odd.any():
        row = int(np.argmax(odd))
        raise ValueError(
            f"{columns.place} {at.index[row]}: the time {time_text(columns.times, row)} is not a whole "
            f"number of steps after the first of its series, but the times are {calendar.name}: correct it, or take "
            "the rows as they come with --time none"
        )
    places = near.astype(np.int64)
    gaps = np.diff(places, prepend=0) - 1
    gaps[starts] = 0
    missing, worst = int(gaps.sum()), int(np.argmax(gaps))
    if missing > len(ids):
        apart = "" if columns.roles.id is None else ", or forecast series of another frequency apart"
        raise ValueError(
            f"{columns.place} {at.index[worst]}: the times are {calendar.name} but {missing:,} are missing, more than"
            f" there are ({gaps[worst]:,} before {time_text(columns.times, worst)}): fill them in, take the rows as"
            f" they come with --time none{apart}"
        )
    if not missing:
        return Places(places, starts)
    first = at.index[int(np.argmax(gaps > 0))]
    where = f"in {counted((gaps > 0).sum(), 'place')}, the first before {columns.place.split()[-1]} {first}"
    return Places(places, starts, missing, (f"{counted(missing, 'time')} without a row ({where}): counted as missing",))


def spread(values: np.ndarray, places: Places) -> list[np.ndarray]:
    """The rows of each series at their places, NaN between."""
    found = []
    for start, end in zip(places.starts, [*places.starts[1:], len(values)], strict=True):
        at = places.within[start:end]
        one = np.full((at[-1] + 1, values.shape[1]), np.nan)
        one[at] = values[start:end]
        found.append(one)
    return found


def calendar_of(columns: Columns) -> Calendar:
    """The calendar that the rows follow."""
    return Calendar("rows") if columns.times is None else infer(columns.times, columns.ids)


def first_times(columns: Columns, starts: np.ndarray) -> list[Any]:
    """The time of the first row of each series; 1 where rows are in order."""
    return [1] * len(starts) if columns.times is None else [columns.times.at.iloc[start] for start in starts]


def static_values(
    columns: Columns, static: pandas.DataFrame, starts: np.ndarray, names: Sequence[str]
) -> list[np.ndarray]:
    """The static inputs of each series.

    Raises:
        ValueError: one that changes within its series, or is missing.
    """
    values = static.to_numpy(float)
    sizes = np.diff(np.r_[starts, len(values)])
    wrong = np.isnan(values) | (values != np.repeat(values[starts], sizes, axis=0))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        number = int(np.searchsorted(starts, row, side="right")) - 1
        kind = "is missing" if np.isnan(values[row, column]) else f"changes within series {names[number]!r}"
        name = static.columns[column]
        place = f"{columns.place} {static.index[row]}"
        raise ValueError(f"{place}: the static input {name!r} {kind}: give it with --inputs")
    return list(values[starts])


def counted(number: int, what: str) -> str:
    """A number and its noun.

    >>> counted(1, "row"), counted(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"
