"""`read_table`: a file or a data frame as series that are regular in time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jax_lstm.tables import _arrange as arrange
from jax_lstm.tables import _periods as periods
from jax_lstm.tables._calendar import Calendar
from jax_lstm.tables._dates import ORDERS
from jax_lstm.tables._files import read_file
from jax_lstm.tables._frames import narwhals, sheet_of_frame
from jax_lstm.tables._layouts import unfold
from jax_lstm.tables._numbers import DECIMALS, is_missing, is_numeric, numbers, plain
from jax_lstm.tables._roles import Roles, choose
from jax_lstm.tables._season import season_of
from jax_lstm.tables._sheet import Sheet
from jax_lstm.tables._table import Origin, Table

if TYPE_CHECKING:
    import pandas


def read_table(
    source: Any,
    *,
    value: str | None = None,
    time: str | Sequence[str] | None = None,
    id: str | Sequence[str] | None = None,
    past: str | Sequence[str] = (),
    future: str | Sequence[str] = (),
    static: str | Sequence[str] = (),
    wide: bool = False,
    season: float | Sequence[float] | None = None,
    every: str | None = None,
    duplicates: str | None = None,
    gaps: str | None = None,
    start: Any = None,
    end: Any = None,
    zone: str | None = None,
    dates: str | None = None,
    decimal: str | None = None,
    sheet: str | None = None,
    encoding: str | None = None,
    like: Roles | None = None,
) -> Table:
    """Read one or many series from a file or a data frame.

    Args:
        source: a path ("-" for standard input) of text, Excel, Parquet, Feather or JSON, also packed by gzip or zip;
            or a frame of pandas (an index of dates counts as a column), polars, pyarrow or others that narwhals reads.
        value: the column to forecast; `y`, `value` or the only column of numbers, where None.
        time: the column of times, or several such as year and month; `ds`, or the first column of dates, where None;
            "none" where rows are in order.
        id: the columns that name the series of a row; `unique_id` where None and there; "none" for one series.
        past: past covariates, columns known only up to now.
        future: columns that are known ahead: rows at the end without a value contain their future.
        static: columns that do not change within a series; words become one column of zeros and ones for each.
        wide: every column of numbers is a series.
        season: the period or periods, 1 for none; inferred where None.
        every: the period that times are put into, such as "15min", "1h", "1d", "1w" or "1month".
        duplicates: what is taken of rows of the same time: "sum", "mean", "min", "max", "first" or "last".
        gaps: times without a row are "missing" or "zero"; missing, but refused if they are most, where None.
        start, end: the first and the last time that are read.
        zone: of the times, such as "Europe/Berlin", where they are written without one.
        dates: "day-first" or "month-first", for dates such as 01/02/2020; decided by the column where None.
        decimal: "point" or "comma", as numbers are written; decided by the columns where None.
        sheet: of a workbook, or the file in a zip archive; the first where None.
        encoding: of a text file, such as "shift_jis" or "cp1251"; UTF-8, or else that of Western Europe, where None.
        like: the roles of another table, for what is not asked for, where those columns are there.

    Returns:
        The `Table`.

    Raises:
        ValueError: what cannot be read, or in two ways: one line that names the row or column, and the fix.
        OSError: no such file. ImportError: the library for this kind of file is missing.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "sales.csv")
    >>> _ = path.write_text("month;sales\\nJan 2020;1.010,5\\nFeb 2020;990\\n")
    >>> table = read_table(path)
    >>> table.series[0].tolist(), table.season, table.calendar.name
    ([1010.5, 990.0], (12,), 'monthly')
    """
    narwhals()
    known = (("decimal", decimal, DECIMALS), ("dates", dates, ORDERS), ("gaps", gaps, arrange.GAPS),
             ("duplicates", duplicates, arrange.DUPLICATES))  # fmt: skip
    for option, given, choices in known:
        if given is not None and given not in choices:
            raise ValueError(f"{option}= is {given!r}, expected {' or '.join(choices)}")
    page = read_file(source, sheet, encoding) if isinstance(source, str | os.PathLike) else sheet_of_frame(source)
    if not len(page.frame):
        raise ValueError(f"the {page.name} has no rows, expected one for each time")
    asked = Roles(value, *(_names(given, page) for given in (time, id, past, future, static)))
    if not wide and not asked.time and value is None:
        page, ids = unfold(page, asked.id)
        asked = asked if ids is None else Roles("value", ("time",), ids or ("none",), *asked[3:])
    if like is not None and not wide:
        asked = asked.or_as(like, list(page.frame))
    roles, times, notes = choose(page, asked, wide=wide, dates=dates)
    rows, notes = _rows(page, roles, None if times is None else periods.as_dates(times), decimal, notes)
    if zone is not None:
        rows = periods.in_zone(rows, zone)
    if start is not None or end is not None:
        rows = periods.between(rows, start, end)
    if every is not None:
        rows = periods.resample(rows, every)
    return _assemble(rows, season, duplicates, gaps, (*page.notes, *notes))


def _names(given: str | Sequence[str] | None, page: Sheet) -> tuple[str, ...]:
    """Names of columns; "region,store" are two, unless a column is called so."""
    names = () if given is None else (given,) if isinstance(given, str) else tuple(map(str, given))
    return tuple(
        one.strip() for name in names for one in ([name] if name in page.frame or "," not in name else name.split(","))
    )


def _rows(
    page: Sheet, roles: Roles, times: Any, decimal: str | None, notes: tuple[str, ...]
) -> tuple[arrange.Rows, tuple[str, ...]]:
    """The rows of the columns that have a role, as numbers."""

    frame = page.frame
    lines = frame.index.to_numpy()
    if roles.series:
        values, said = numbers(frame[list(roles.series)], page, decimal)
        cells = values.to_numpy().T.reshape(-1, 1)
        codes = np.repeat(np.arange(len(roles.series)), len(frame))
        at = None if times is None else times._replace(at=np.tile(times.at, len(roles.series)))
        rows = arrange.Rows(page, roles, np.tile(lines, len(roles.series)), codes, roles.series, at, cells)
    else:
        columns = list(dict.fromkeys([roles.value, *roles.past, *roles.future]))
        values, said = numbers(frame[columns], page, decimal)
        codes = np.zeros(len(frame), np.int64)
        names: tuple[str, ...] = (str(roles.value),)
        if roles.id:
            absent = np.all([is_missing(frame[name]) for name in roles.id], axis=0)
            if absent.any():
                page.refuse(frame[roles.id[0]], absent, "expected the name of a series in every row")
            keys = frame[list(roles.id)]
            codes = keys.groupby(list(roles.id), sort=False, dropna=False, observed=True).ngroup().to_numpy()
            firsts = keys.iloc[np.unique(codes, return_index=True)[1]]
            shown = (plain(firsts[name].astype(object).mask(is_missing(firsts[name]), "")) for name in roles.id)
            names = tuple(" / ".join(filter(None, row)) for row in zip(*shown, strict=True))
        static = _fixed(page, roles.static, decimal) if roles.static else None
        rows = arrange.Rows(page, roles, lines, codes, names, times, values[columns].to_numpy(), static)
    return rows, (*notes, *said, *(() if times is None else times.notes))


def _fixed(page: Sheet, names: tuple[str, ...], decimal: str | None) -> pandas.DataFrame:
    """Static covariates: numbers, or one column of zeros and ones for each word."""
    import pandas as pd

    parts = [
        numbers(page.frame[[name]], page, decimal)[0]
        if is_numeric(page.frame[name])
        else pd.get_dummies(page.frame[name], prefix=name, dtype=float)
        for name in names
    ]
    return pd.concat(parts, axis=1)


def _assemble(
    rows: arrange.Rows, season: Any, duplicates: str | None, gaps: str | None, notes: tuple[str, ...]
) -> Table:
    """The table of the rows of all series."""
    origin = _origin(rows)
    rows, sorted_notes = arrange.in_order(rows, duplicates)
    calendar, at, calendar_notes = arrange.calendar_of(rows)
    places = arrange.places_of(rows, calendar, at, gaps)
    blocks = arrange.spread(rows.values, places, 0.0 if gaps == "zero" else np.nan)
    static = None if rows.static is None else arrange.static_values(rows, places.starts)
    present = [rows.codes[start] for start in places.starts]
    begins, ends, kept = [], [], []
    for number, block in enumerate(blocks):
        finite = np.flatnonzero(np.isfinite(block[:, 0]))
        if finite.size:
            begins.append(int(finite[0]))
            ends.append(int(finite[-1]) + 1)
            kept.append(number)
    if not kept:
        raise ValueError(f"{rows.sheet.name} has no values in {rows.roles.value or 'any column'}")
    firsts = [at[places.starts[number]] if rows.times is not None else 1 for number in kept]
    firsts = [_later(calendar, first, begin) for first, begin in zip(firsts, begins, strict=True)]
    blocks = [blocks[number][begin:] for number, begin in zip(kept, begins, strict=True)]
    known = [end - begin for begin, end in zip(begins, ends, strict=True)]
    series = tuple(block[:end, 0] for block, end in zip(blocks, known, strict=True))
    period, how = (_asked_season(season), "as asked for") if season is not None else season_of(calendar, series)
    shown = f"season {' and '.join(f'{one:g}' for one in period)}" if period else "no season"
    past = 1 + len(rows.roles.past)
    codes = [int(present[number]) for number in kept]
    missing = arrange.said_missing(rows, known, blocks, codes, 0 if gaps == "zero" else places.absent)
    if origin.keys is not None:
        origin = origin._replace(keys=origin.keys.iloc[codes])
    return Table(
        rows.roles,
        tuple(rows.names[code] for code in codes),
        series,
        tuple(block[:end, 1:past] for block, end in zip(blocks, known, strict=True)) if rows.roles.past else None,
        tuple(block[:, past:] for block in blocks) if rows.roles.future else None,
        None if static is None else tuple(static[number] for number in kept),
        tuple(firsts),
        calendar,
        period,
        (
            f"{calendar.name}, {shown} ({how})",
            *notes,
            *calendar_notes,
            *sorted_notes,
            *places.notes,
            *missing,
            *arrange.said_ended(rows, places),
        ),
        origin,
    )


def _later(calendar: Calendar, first: Any, steps: int) -> Any:
    """The time some steps after another, as arrays hold it."""
    if not steps:
        return first
    later = calendar._replace(zone="").times(first, [steps])
    return later.to_numpy()[0]


def _asked_season(season: Any) -> tuple[float, ...]:
    """The periods asked for; 1 says that there is none."""
    periods = tuple(season) if isinstance(season, Sequence | np.ndarray) else (season,)
    for period in periods:
        if not np.isfinite(period) or period < 1:
            raise ValueError(f"season= is {period:g}, expected at least 1 (1 for none)")
    return tuple(sorted({int(one) if one == int(one) else float(one) for one in periods} - {1}))


def _origin(rows: arrange.Rows) -> Origin:
    """What the frame was like, with one row of names for each series."""
    import pandas as pd

    roles, native = rows.roles, rows.sheet.native
    frame = rows.sheet.frame if native is None else native.to_native()
    is_pandas = isinstance(frame, pd.DataFrame)
    keys = pd.DataFrame({"series": list(roles.series)}) if roles.series else None
    if roles.id:
        ids, first = list(roles.id), np.unique(rows.codes, return_index=True)[1].tolist()
        keys = frame[ids].iloc[first] if is_pandas else pd.DataFrame({n: native[n][first].to_list() for n in ids})
        keys = keys.reset_index(drop=True)
    if native is None:
        return Origin(keys=keys)
    types = frame.dtypes if is_pandas else native.schema
    time_type = types[roles.time[0]] if len(roles.time) == 1 else None
    if is_pandas:
        return Origin(keys=keys, time_type=time_type, levels=rows.sheet.levels)
    return Origin(str(native.implementation), keys, tuple(types[name] for name in roles.id), time_type)
