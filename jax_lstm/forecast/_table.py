"""Tables of series, long, wide or of two columns: regular in time, with what to know about how they were read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jax_lstm.forecast import _assemble as rows
from jax_lstm.forecast import _panel
from jax_lstm.forecast._calendar import Calendar
from jax_lstm.forecast._cells import Cells, listed, read_cells
from jax_lstm.forecast._dates import ORDERS, Times, times
from jax_lstm.forecast._numbers import DECIMALS, is_numeric, numbers
from jax_lstm.forecast._periods import season_of
from jax_lstm.forecast._roles import Roles, choose

if TYPE_CHECKING:
    import pandas


class Table(NamedTuple):
    """Series that are regular in time.

    Args:
        roles: which column is what.
        names: of the series.
        series: each `(time,)`, NaN where a value is missing.
        past, future, static: inputs by series, or None, as in `Panel`.
        firsts: the time of the first value of each series.
        calendar: how the times go on from there.
        season: the period, 1 for none.
        notes: what a person should know about how the table was read.
    """

    roles: Roles
    names: tuple[str, ...]
    series: tuple[np.ndarray, ...]
    past: tuple[np.ndarray, ...] | None
    future: tuple[np.ndarray, ...] | None
    static: tuple[np.ndarray, ...] | None
    firsts: tuple[Any, ...]
    calendar: Calendar
    season: int
    notes: tuple[str, ...]

    def panel(self) -> _panel.Panel:
        """The series as `predict`, `fit` and `evaluate` take them."""
        inputs = {name: getattr(self, name) for name in ("past", "future", "static")}
        return _panel.panel(list(self.series), season=self.season, names=self.names, **inputs)

    def times(self, number: int) -> pandas.Index:
        """The times of the values of one series."""
        return self.calendar.times(self.firsts[number], np.arange(len(self.series[number])))

    def times_ahead(self, number: int, horizon: int) -> pandas.Index:
        """The times that follow one series."""
        rows = len(self.series[number])
        return self.calendar.times(self.firsts[number], np.arange(rows, rows + horizon))

    def before_end(self, steps: int, numbers: Sequence[int]) -> Table:
        """The table of some of the series without their last values, to forecast what is known."""

        def of(values: tuple[Any, ...] | None, end: int | None = None) -> tuple[Any, ...] | None:
            return None if values is None else tuple(values[number][:end] for number in numbers)

        return self._replace(
            names=tuple(self.names[number] for number in numbers),
            firsts=tuple(self.firsts[number] for number in numbers),
            series=tuple(self.series[number][:-steps] for number in numbers),
            past=of(self.past, -steps),
            future=of(self.future),
            static=of(self.static),
        )


class Columns(NamedTuple):
    """The columns of a table as they are read, one entry per row, indexed by its line.

    Args:
        place: what the index counts, such as "data.csv line", for messages.
        roles: which column is what.
        ids: the series of each row.
        times: None where rows are in order.
        values: the column to forecast, and the inputs after it.
        static: numbers that do not change within a series, or None.
    """

    place: str
    roles: Roles
    ids: pandas.Series
    times: Times | None
    values: pandas.DataFrame
    static: pandas.DataFrame | None = None


def read_csv(
    path: str | os.PathLike[str],
    column: str | None = None,
    *,
    time: str | None = None,
    id: str | None = None,
    inputs: Sequence[str] = (),
    future: Sequence[str] = (),
    static: Sequence[str] = (),
    wide: bool = False,
    season: int | None = None,
    decimal: str | None = None,
    dates: str | None = None,
    like: Roles | None = None,
) -> Table:
    """Read one or many series from a text file; options in messages are the arguments of the same names.

    Args:
        path: the file, "-" for standard input.
        column: what to forecast; `y`, or the only column of numbers, where None.
        time: the column of times; `ds`, or the first column of dates, where None; "none" where rows are in order.
        id: the column that names the series of a row; `unique_id` where None and there.
        inputs: columns to learn from, whose future is not known.
        future: columns that are known ahead: rows at the end without a value to forecast hold what is to come.
        static: columns that do not change within a series; words become one column of zeros and ones for each.
        wide: every column of numbers is a series.
        season: the period, 1 for none; inferred where None.
        decimal: "point" or "comma", what the file writes in numbers; decided by the file where None.
        dates: "day-first" or "month-first", for dates such as 01/02/2020; decided by the column where None.
        like: the roles of another table, for what is not asked for, where the file has those columns.

    Returns:
        The `Table`.

    Raises:
        ValueError: what cannot be read, or in two ways: in one line that names the line of the file and what to do.
        OSError: no such file.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "sales.csv")
    >>> _ = path.write_text("month;sales\\nJan 2020;1.010,5\\nFeb 2020;990\\n")
    >>> table = read_csv(path)
    >>> table.series[0].tolist(), table.season, table.calendar.name
    ([1010.5, 990.0], 12, 'monthly')
    """
    asked = Roles(column, time, id, tuple(inputs), tuple(future), tuple(static))
    cells = read_cells(path)
    if like is not None and not wide:
        asked = asked.or_as(like, list(cells.frame))
    return read(cells, asked, wide=wide, season=season, decimal=decimal, dates=dates)


def read(
    cells: Cells,
    asked: Roles,
    *,
    wide: bool = False,
    season: int | None = None,
    decimal: str | None = None,
    dates: str | None = None,
) -> Table:
    """The table that cells hold; the arguments are those of `read_csv`."""
    import pandas as pd

    for option, given, known in (("--decimal", decimal, DECIMALS), ("--dates", dates, ORDERS)):
        if given is not None and given not in known:
            raise ValueError(f"{option} is {given!r}, expected {' or '.join(known)}")
    frame, place = cells.frame, cells.place
    roles = choose(cells, asked, wide=wide)
    at = None if roles.time is None else times(frame[roles.time], place, dates)
    if wide:
        values, notes = numbers(frame[list(roles.series)], place, decimal)
        values = pd.concat([values[name].rename("value") for name in roles.series]).to_frame()
        ids = pd.Series(np.repeat(roles.series, len(frame)), index=values.index)
        at = None if at is None else at._replace(at=pd.concat([at.at] * len(roles.series)))
    else:
        values, notes = numbers(
            frame[list(dict.fromkeys([roles.column, *roles.inputs, *roles.future]))], place, decimal
        )
        ids = pd.Series(roles.column, index=frame.index) if roles.id is None else frame[roles.id]
    fixed = None if not roles.static else _fixed(frame[list(roles.static)], place, decimal)
    columns = Columns(place, roles, ids, at, values, fixed)
    return assemble(columns, season, (*cells.notes, *notes, *(() if at is None else at.notes)))


def _fixed(texts: pandas.DataFrame, place: str, decimal: str | None) -> pandas.DataFrame:
    """Static inputs: numbers, or one column of zeros and ones for each word."""
    import pandas as pd

    parts = [
        numbers(texts[[name]], place, decimal)[0]
        if is_numeric(texts[name])
        else pd.get_dummies(texts[name], prefix=name, dtype=float)
        for name in texts
    ]
    return pd.concat(parts, axis=1)


def assemble(columns: Columns, season: int | None, notes: Sequence[str]) -> Table:
    """The table of the rows of all series.

    Raises:
        ValueError: times that are not regular, or no values.
    """
    columns, sorted_notes = rows.in_order(columns)
    calendar = rows.calendar_of(columns)
    places = rows.regular(columns, calendar)
    blocks = _blocks(columns, calendar, places)
    if not blocks:
        raise ValueError(f"{columns.place.rpartition(' ')[0]} has no values in {columns.roles.column or 'any column'}")
    series = [block.values[: block.known, 0] for block in blocks]
    period, how = (season, "as asked for") if season is not None else season_of(calendar, series)
    if period < 1:
        raise ValueError(f"--season is {period}, expected at least 1 (1 for none)")
    season_note = f"{calendar.name}, {f'season {period}' if period > 1 else 'no season'} ({how})"
    past = 1 + len(columns.roles.inputs)
    return Table(
        columns.roles,
        tuple(block.name for block in blocks),
        tuple(series),
        tuple(block.values[: block.known, 1:past] for block in blocks) if columns.roles.inputs else None,
        tuple(block.values[:, past:] for block in blocks) if columns.roles.future else None,
        tuple(block.static for block in blocks if block.static is not None) if columns.static is not None else None,
        tuple(block.first for block in blocks),
        calendar,
        period,
        (season_note, *notes, *sorted_notes, *places.notes, *_missing(columns, blocks, places)),
    )


class _Block(NamedTuple):
    """One series: values and inputs from its first value on, of which so many rows are known."""

    name: str
    first: Any
    values: np.ndarray
    known: int
    static: np.ndarray | None


def _blocks(columns: Columns, calendar: Calendar, places: rows.Places) -> list[_Block]:
    """The series that have a value."""
    names = [str(name) for name in columns.ids.iloc[places.starts]]
    static: list[np.ndarray | None] = [None] * len(names)
    if columns.static is not None:
        static = [*rows.static_values(columns, columns.static, places.starts, names)]
    firsts = rows.first_times(columns, places.starts)
    spread = rows.spread(columns.values.to_numpy(float), places)
    blocks = []
    for name, values, first, fixed in zip(names, spread, firsts, static, strict=True):
        known = np.flatnonzero(np.isfinite(values[:, 0]))
        if known.size:
            begin = int(known[0])
            time = calendar.times(first, [begin])[0] if begin else first
            blocks.append(_Block(name, time, values[begin:], int(known[-1]) + 1 - begin, fixed))
    return blocks


def _missing(columns: Columns, blocks: list[_Block], places: rows.Places) -> list[str]:
    """What to say on values that are missing, within the series, after them, or altogether."""
    notes = []
    missing = sum(int(np.isnan(block.values[: block.known, 0]).sum()) for block in blocks)
    if missing > places.absent:
        notes.append(f"{rows.counted(missing, 'value')} missing{' in all' if places.absent else ''}")
    after = sum(len(block.values) - block.known for block in blocks)
    if after and not columns.roles.future:
        notes.append(f"{rows.counted(after, 'row')} without a value at the end: forecasts begin there")
    if len(blocks) < len(places.starts):
        kept = {block.name for block in blocks}
        lost = [str(name) for name in columns.ids.iloc[places.starts] if str(name) not in kept]
        notes.append(f"{len(lost):,} series without values are left out ({listed(lost)})")
    return notes
