"""Rows into series: in order of time, one value for each time of the calendar, and what was missing, counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jax_lstm.tables._calendar import DAY, Calendar, infer
from jax_lstm.tables._grid import TOTALS
from jax_lstm.tables._roles import Roles
from jax_lstm.tables._sheet import Sheet, counted, listed
from jax_lstm.tables._times import Times
from jax_lstm.tables._words import without_accents

if TYPE_CHECKING:
    import pandas

GAPS = ("missing", "zero")
DUPLICATES = ("sum", "mean", "min", "max", "first", "last")
_NICE = {"1s": 1, "5s": 5, "10s": 10, "15s": 15, "30s": 30, "1min": 60, "5min": 300, "10min": 600, "15min": 900,
         "30min": 1800, "1h": 3600, "2h": 7200, "6h": 21600, "12h": 43200, "1d": DAY, "1w": 7 * DAY}  # fmt: skip


class Rows(NamedTuple):
    """The rows of all series.

    Args:
        sheet: names them in messages.
        roles: which column is what.
        lines: of each row in its source.
        codes: the series of each row, from 0 on.
        names: of the series.
        times: None where rows are in order.
        values: the column to forecast, and the covariates after it, `(rows, columns)`.
        static: `(rows, columns)` with their names, or None.
    """

    sheet: Sheet
    roles: Roles
    lines: np.ndarray
    codes: np.ndarray
    names: tuple[str, ...]
    times: Times | None
    values: np.ndarray
    static: pandas.DataFrame | None = None

    def take(self, rows: Any) -> Rows:
        """Some of the rows, in that order."""
        times = None if self.times is None else self.times._replace(at=self.times.at[rows])
        static = None if self.static is None else self.static.iloc[rows]
        return self._replace(
            lines=self.lines[rows], codes=self.codes[rows], times=times, values=self.values[rows], static=static
        )

    def place(self, row: int) -> str:
        """A row as messages name it."""
        return f"{self.sheet.name} {self.sheet.unit} {self.lines[row]}"

    def of(self, row: int) -> str:
        """The series of a row, where there are several."""
        return f" of series {self.names[self.codes[row]]!r}" if len(self.names) > 1 else ""

    def local(self) -> np.ndarray:
        """The times as clocks of their zone show them."""
        import pandas as pd

        if self.times is None or self.times.zone is None:
            return self.times.at if self.times else np.zeros(0)
        index = pd.DatetimeIndex(self.times.at).tz_localize("UTC").tz_convert(self.times.zone)
        return index.tz_localize(None).to_numpy("datetime64[us]")


def in_order(rows: Rows, duplicates: str | None) -> tuple[Rows, tuple[str, ...]]:
    """The rows sorted by series, in the order in which those begin, and by time; rows of one time as asked for.

    Raises:
        ValueError: a time that a series has twice.
    """
    if rows.times is None:
        return rows.take(np.argsort(rows.codes, kind="stable")), ()
    at = rows.times.at
    order = np.lexsort((at, rows.codes))
    moved = bool(((np.diff(at) < np.diff(at) * 0) & (np.diff(rows.codes) == 0)).any())
    rows, at = rows.take(order), at[order]
    notes = ["rows were not in order of time: sorted"] if moved else []
    twice = (at[1:] == at[:-1]) & (rows.codes[1:] == rows.codes[:-1])
    if twice.any() and duplicates is None:
        _refuse_twice(rows, twice)
    if twice.any():
        group = np.cumsum(np.r_[True, ~twice])
        rows = rows.take(np.flatnonzero(np.r_[True, ~twice]))._replace(values=_together(rows.values, group, duplicates))
        what = f"the {duplicates} of" if duplicates in ("sum", "mean") else f"the {duplicates} of the"
        notes.append(f"{counted(int(twice.sum()), 'row')} of times that are there already: {what} values is taken")
    return rows, tuple(notes)


def _together(values: np.ndarray, group: np.ndarray, how: str | None) -> np.ndarray:
    """One row for each group: of its values that are not missing, except that a first or last row is taken whole."""
    import pandas as pd

    groups = pd.DataFrame(values).groupby(group)
    if how in ("first", "last"):
        return groups.nth(0 if how == "first" else -1).to_numpy()
    return (groups.sum(min_count=1) if how == "sum" else groups.agg(how)).to_numpy()


def _refuse_twice(rows: Rows, twice: np.ndarray) -> None:
    row = int(np.argmax(twice))
    more = f", and {int(twice.sum()) - 1:,} more times are there twice" if twice.sum() > 1 else ""
    fix = 'keep one row for each time, take their sum or mean with duplicates="sum" or duplicates="mean"'
    if not rows.roles.id and not rows.roles.series:
        fix += ", or name the column of the series with id="
    if rows.times and rows.times.style == "clock" and rows.times.zone is None:
        fix += ', or give zone= where clocks were set back, such as zone="Europe/Berlin"'
    lines = f"{rows.sheet.name} {rows.sheet.unit}s {rows.lines[row]} and {rows.lines[row + 1]}"
    raise ValueError(f"{lines} both have the time {time_text(rows, row)}{rows.of(row)}{more}: {fix}")


def time_text(rows: Rows, row: int) -> str:
    """The time of a row as text."""
    times = rows.times
    assert times is not None
    kind = "numbers" if times.at.dtype.kind != "M" else "seconds"
    calendar = Calendar(kind, style=times.style, zone=str(times.zone or ""))
    return calendar.texts(calendar.times(times.at[row], [0]))[0]


def calendar_of(rows: Rows) -> tuple[Calendar, np.ndarray, tuple[str, ...]]:
    """The calendar that the rows follow, and their times on it: of its zone where its steps are days or months."""
    if rows.times is None:
        return Calendar("rows"), np.zeros(len(rows.codes)), ()
    local = rows.local()
    same = rows.codes[1:] == rows.codes[:-1]
    calendar, note = infer(rows.times.at, same, rows.times.style, str(rows.times.zone or ""), local)
    return calendar, local if calendar.is_local else rows.times.at, (note,) if note else ()


class Places(NamedTuple):
    """Where the rows belong: the place of each in its series, the first row of each series, and how many have none."""

    within: np.ndarray
    starts: np.ndarray
    absent: int = 0
    notes: tuple[str, ...] = ()


def places_of(rows: Rows, calendar: Calendar, at: np.ndarray, gaps: str | None) -> Places:
    """Where the rows belong on the calendar.

    Raises:
        ValueError: a time off the calendar, or more times missing than there.
    """
    starts = np.flatnonzero(np.r_[True, rows.codes[1:] != rows.codes[:-1]])
    sizes = np.diff(np.r_[starts, len(rows.codes)])
    if rows.times is None:
        return Places(np.arange(len(rows.codes)) - np.repeat(starts, sizes), starts)
    counts = calendar.ordinals(at)
    places = (counts - np.repeat(counts[starts], sizes)) / calendar.step
    near = np.round(places)
    odd = ~(np.abs(places - near) <= 1e-6 * np.maximum(1, np.abs(places)))
    ways = 'or take the rows in order with time="none"'
    if odd.any():
        row = int(np.argmax(odd))
        fix = f"{_every(at, rows.codes, calendar)}{ways}" if at.dtype.kind == "M" else f"correct it, {ways}"
        raise ValueError(
            f"{rows.place(row)}: the time {time_text(rows, row)}{rows.of(row)} is not a whole number of steps after "
            f"the first of its series, but the times are {calendar.name}: {fix}"
        )
    within = near.astype(np.int64)
    gap = np.diff(within, prepend=0) - 1
    gap[starts] = 0
    missing, worst = int(gap.sum()), int(np.argmax(gap))
    if missing > len(rows.codes) and gaps is None:
        every = _every(at, rows.codes, calendar) if at.dtype.kind == "M" else ""
        raise ValueError(
            f"{rows.place(worst)}: the times are {calendar.name} but {missing:,} are missing, more than there are "
            f'({gap[worst]:,} before {time_text(rows, worst)}{rows.of(worst)}): fill them with gaps="zero", leave them '
            f'missing with gaps="missing", {every}{ways}'
        )
    if not missing:
        return Places(within, starts)
    first = int(np.argmax(gap > 0))
    before = f"{rows.sheet.unit} {rows.lines[first]}{rows.of(first)}"
    where = f"in {counted(int((gap > 0).sum()), 'place')}, the first before {before}"
    what = "counted as zero" if gaps == "zero" else "counted as missing"
    return Places(within, starts, missing, (f"{counted(missing, 'time')} without a row ({where}): {what}",))


def _every(at: np.ndarray, codes: np.ndarray, calendar: Calendar) -> str:
    """The option that makes times regular, for messages."""
    if calendar.kind == "months":
        return f'put them into periods with every="{int(calendar.step)}month", '
    steps = np.diff(at)[codes[1:] == codes[:-1]].astype(np.int64) / 1e6
    middle = max(float(np.median(steps)), 1.0)
    nice = min(_NICE, key=lambda name: abs(np.log(_NICE[name] / middle)))
    return f'put them into periods with every="{nice}", '


def spread(values: np.ndarray, places: Places, empty: float = np.nan) -> list[np.ndarray]:
    """The rows of each series at their places; between them the column to forecast has `empty`, others NaN."""
    ends = np.r_[places.starts[1:], len(values)]
    lengths = places.within[ends - 1] + 1
    offsets = np.r_[0, np.cumsum(lengths)]
    flat = np.full((int(offsets[-1]), values.shape[1]), np.nan)
    flat[:, 0] = empty
    flat[places.within + np.repeat(offsets[:-1], ends - places.starts)] = values
    return np.split(flat, offsets[1:-1])


def static_values(rows: Rows, starts: np.ndarray) -> list[np.ndarray]:
    """The static covariates of each series.

    Raises:
        ValueError: one that changes within its series, or is missing.
    """
    assert rows.static is not None
    values = rows.static.to_numpy(float)
    wrong = np.isnan(values) | (values != values[starts][rows.codes])
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        kind = (
            "is missing" if np.isnan(values[row, column]) else f"changes within series {rows.names[rows.codes[row]]!r}"
        )
        raise ValueError(
            f"{rows.place(int(row))}: the static covariate {rows.static.columns[column]!r} {kind}: give it with past="
        )
    return list(values[starts])


def said_missing(rows: Rows, known: list[int], blocks: list[np.ndarray], kept: list[int], absent: int) -> list[str]:
    """Notes on values that are missing within the series, after them, or altogether."""
    notes = []
    missing = sum(int(np.isnan(block[:end, 0]).sum()) for block, end in zip(blocks, known, strict=True))
    if missing > absent:
        notes.append(f"{counted(missing, 'value')} missing{' in all' if absent else ''}")
    after = sum(len(block) - end for block, end in zip(blocks, known, strict=True))
    if after and not rows.roles.future:
        notes.append(f"{counted(after, 'row')} without a value at the end: forecasts begin there")
    there = set(kept)
    totals = [rows.names[code] for code in kept if TOTALS.fullmatch(without_accents(rows.names[code]))]
    if totals and len(kept) > 2:
        notes.append(f"{listed(totals)} may be a total of other series: leave it out if it is none of its own")
    lost = [name for code, name in enumerate(rows.names) if code not in there]
    if lost:
        notes.append(f"{len(lost):,} series without values are left out ({listed(lost)})")
    return notes


def said_ended(rows: Rows, places: Places) -> list[str]:
    """A note on series that end before others."""
    if rows.times is None or len(places.starts) < 2:
        return []
    last = np.maximum.reduceat(np.where(np.isfinite(rows.values[:, 0]), np.arange(len(rows.codes)), -1), places.starts)
    last = last[last >= 0]
    ends = rows.times.at[last]
    early = ends < ends.max()
    if not early.any():
        return []
    row = int(last[np.argmax(early)])
    first = f"{rows.names[rows.codes[row]]} at {time_text(rows, row)}"
    return [f"{int(early.sum()):,} of the series end earlier, the first {first}: each is forecast from its own end"]
