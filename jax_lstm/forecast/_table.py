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
        said: what a person should know about how the table was read.
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
    said: tuple[str, ...]

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
    path: str | os.PathLike,
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
    return read(read_cells(path), asked, wide=wide, season=season, decimal=decimal, dates=dates)


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
        values, said = numbers(frame[list(roles.series)], place, decimal)
        values = pd.concat([values[name].rename("value") for name in roles.series]).to_frame()
        ids = pd.Series(np.repeat(roles.series, len(frame)), index=values.index)
        at = None if at is None else at._replace(at=pd.concat([at.at] * len(roles.series)))
    else:
        values, said = numbers(frame[list(dict.fromkeys([roles.column, *roles.inputs, *roles.future]))], place, decimal)
        ids = pd.Series(roles.column, index=frame.index) if roles.id is None else frame[roles.id]
    fixed = None if not roles.static else _fixed(frame[list(roles.static)], place, decimal)
    columns = Columns(place, roles, ids, at, values, fixed)
    return assemble(columns, season, (*cells.said, *said, *(() if at is None else at.said)))


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


def assemble(columns: Columns, season: int | None, said: Sequence[str]) -> Table:
    """The table of the rows of all series.

    Raises:
        ValueError: times that are not regular, or no values.
    """
    columns, sorted_said = rows.in_order(columns)
    calendar = rows.calendar_of(columns)
    places, starts, gaps_said = rows.regular(columns, calendar)
    names = [str(name) for name in columns.ids.iloc[starts]]
    blocks = rows.spread(columns.values.to_numpy(float), places, starts)
    firsts = rows.first_times(columns, starts)
    kept = [number for number, block in enumerate(blocks) if np.isfinite(block[:, 0]).any()]
    said = [*said, *sorted_said, *gaps_said]
    if not kept:
        raise ValueError(
            f"{columns.place.rpartition(' ')[0]} has no values in column {columns.roles.column or names[0]!r}"
        )
    if len(kept) < len(names):
        lost = [names[number] for number in range(len(names)) if number not in set(kept)]
        said.append(f"{len(lost):,} series without values are left out ({listed(lost)})")
    ends = [np.flatnonzero(np.isfinite(blocks[number][:, 0]))[[0, -1]] + [0, 1] for number in kept]
    firsts = [calendar.times(firsts[number], [first])[0] for number, (first, _) in zip(kept, ends, strict=True)]
    series = [blocks[number][first:last, 0] for number, (first, last) in zip(kept, ends, strict=True)]
    said += _missing(
        series,
        [len(blocks[number]) - last for number, (_, last) in zip(kept, ends, strict=True)],
        columns,
        len(gaps_said),
    )
    past = len(columns.roles.inputs)
    fixed = [] if columns.static is None else rows.static_values(columns, starts, names)
    blocks = [blocks[number][first:, 1:] for number, (first, _) in zip(kept, ends, strict=True)]
    period, how = (season, "as asked for") if season is not None else season_of(calendar, series)
    if period < 1:
        raise ValueError(f"--season is {period}, expected at least 1 (1 for none)")
    return Table(
        columns.roles,
        tuple(names[number] for number in kept),
        tuple(series),
        tuple(block[: len(one), :past] for block, one in zip(blocks, series, strict=True)) if past else None,
        tuple(block[:, past:] for block in blocks) if columns.roles.future else None,
        None if columns.static is None else tuple(fixed[number] for number in kept),
        tuple(firsts),
        calendar,
        period,
        (f"{calendar.name}, {f'season {period}' if period > 1 else 'no season'} ({how})", *said),
    )


def _missing(series: list[np.ndarray], trailing: list[int], columns: Columns, gaps: int) -> list[str]:
    """What to say on values that are missing within the series, and on rows after their last values."""
    said = []
    missing = sum(int(np.isnan(one).sum()) for one in series)
    if missing:
        said.append(f"{rows.counted(missing, 'value')} missing{' in all' if gaps else ''}")
    if sum(trailing) and not columns.roles.future:
        said.append(f"{rows.counted(sum(trailing), 'row')} without a value at the end: forecasts begin there")
    return said
