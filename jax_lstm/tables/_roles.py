"""Which column of a table is what: as asked for, by the names of the long format, or because nothing else fits."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jax_lstm.tables import _words
from jax_lstm.tables._dates import read_times
from jax_lstm.tables._layouts import PARTS, are_years, is_within_year, reads_as_times, time_column
from jax_lstm.tables._numbers import is_missing, is_numeric
from jax_lstm.tables._sheet import Sheet, is_text, listed
from jax_lstm.tables._times import Times

if TYPE_CHECKING:
    import pandas

LONG = ("unique_id", "ds", "y")
"""The columns of the long format: series, time and value."""

_EPOCHS = frozenset({"ts", "t", "unix", "epoch", "stamp", "utc", "created", "updated", "ticks", "ms", "unixtime"})
VALUES = frozenset(["value", "obs_value", "valeur", "valor", "valore", "wert", "waarde"])
"""What agencies and monitors call the column of values, next to columns of codes."""


class Roles(NamedTuple):
    """The columns by what they are.

    Args:
        value: what to forecast; None in a wide table.
        time: empty where rows are in order; several, such as year and month, where they make a time together.
        id: the names of the series of a row.
        past, future, static: past covariates, covariates known ahead, and those that do not change within a series.
        series: the columns of a wide table.
    """

    value: str | None = None
    time: tuple[str, ...] = ()
    id: tuple[str, ...] = ()
    past: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    series: tuple[str, ...] = ()

    @property
    def time_name(self) -> str:
        """What the times are called: the name of their column, where they have one of their own."""
        return self.time[0] if len(self.time) == 1 else "time" if self.time else "row"

    def or_as(self, like: Roles, columns: Sequence[str]) -> Roles:
        """These roles, and those of another table where nothing is asked for and the columns are there."""

        def there(given: Any, usual: Any) -> Any:
            names = [usual] if isinstance(usual, str) else usual or []
            return usual if not given and names and all(name in columns for name in names) else given

        return Roles(*map(there, self[:6], like[:6]))


def choose(
    sheet: Sheet, asked: Roles, *, wide: bool = False, dates: str | None = None
) -> tuple[Roles, Times | None, tuple[str, ...]]:
    """The roles asked for, and what is left open, filled in; the times; and notes on what was chosen.

    Raises:
        ValueError: a column that is not there, or several that could be meant.
    """
    frame = sheet.frame
    named: dict[str, Sequence[str | None]] = {"value": [asked.value], "time": asked.time, "id": asked.id}
    named |= {"past": asked.past, "future": asked.future, "static": asked.static}
    for option, columns in named.items():
        for column in columns:
            none = column == "none" and option in ("time", "id")
            if column is not None and column not in frame and not none:
                near = difflib.get_close_matches(column, list(frame), 1)
                hint = f"did you mean {near[0]!r}" if near else f"expected one of {listed(list(frame), 12)}"
                raise ValueError(f"{sheet.name} has no column {column!r}, which {option}= names: {hint}")
            if option in ("past", "future", "static") and column is not None and column in (asked.value, *asked.time):
                raise ValueError(f"{option}= names {column!r}, which has another role: choose another column")
    if wide and (asked.value or asked.id or asked.past or asked.future or asked.static):
        raise ValueError("wide=True takes every column as a series: leave out value=, id=, past=, future= and static=")
    ids = asked.id if asked.id or wide or LONG[0] not in frame or asked.value == LONG[0] else (LONG[0],)
    value = asked.value or (LONG[2] if LONG[2] in frame and not wide else None)
    taken = {value, *ids, *asked.past, *asked.future, *asked.static}
    free = [column for column in frame if column not in taken]
    time = asked.time or _time(sheet, free, alone=len(frame.columns) == 2 and value is None)
    time = () if time == ("none",) else time
    for name in time:
        if is_missing(frame[name]).any():
            sheet.refuse(frame[name], is_missing(frame[name]), "expected a time in every row")
    times = read_times(time_column(frame, time), sheet, dates) if time else None
    free = [column for column in free if column not in time and frame[column].nunique() > 1]
    numeric = [column for column in frame if column not in {*taken, *time} and is_numeric(frame[column])]
    notes = []
    if not ids and not wide and times is not None:
        ids = _ids(sheet, free, numeric if value is None else [*numeric, value], value, times.at)
        if ids:
            notes.append(f"series are named by {' and '.join(ids)}, as their times repeat")
    numeric = [column for column in numeric if column not in ids]
    measured = [name for name in numeric if not (time and _words.is_time_name(name) and _is_whole(frame[name]))]
    if wide:
        if not numeric:
            raise ValueError(f"{sheet.name} has no column of numbers next to the times: expected one for each series")
        roles = Roles(None, time, series=tuple(numeric))
    else:
        value = value or _value(sheet, measured or numeric, time)
        roles = asked._replace(value=value, time=time, id=() if ids == ("none",) else ids)
    used = {value, *time, *ids, *asked.past, *asked.future, *asked.static, *roles.series}
    unused = [column for column in frame if column not in used and column in {*free, *measured}]
    if unused:
        notes.append(f"not used: {', '.join(unused)} (past=, future=, static= or id= give a column a role)")
    return roles, times, tuple(notes)


def _time(sheet: Sheet, free: list[str], *, alone: bool) -> tuple[str, ...]:
    """The columns of times: by name, else the first column of dates; of two columns also the first, if it counts."""
    frame = sheet.frame
    alike = {name for name in free if frame[name].nunique() < 2}  # such as when a file was written
    order = sorted(free, key=lambda name: (name != LONG[1], name in alike, not _words.is_time_name(name)))
    named = any(_words.is_time_name(name) and is_numeric(frame[name]) for name in order if name not in alike)
    dated = [name for name in order if reads_as_times(frame[name]) and _is_no_measure(frame[name], named)]
    parts = {kind: name for kind, names in PARTS.items() for name in free if _words.without_accents(name) in names}
    parts |= _unnamed_parts(frame, free)
    if dated:
        clocks = (name for name in free if name != dated[0] and _is_clock(frame[name]))
        clock = parts.get("hour", parts.get("clock")) or next(clocks, None)
        if clock is not None and clock != dated[0] and not frame[dated[0]].is_unique:
            hours = frame[clock].astype(str).str.fullmatch(r"([01]?\d|2[0-4])(\.0)?").all()
            if hours or _is_clock(frame[clock]):
                return dated[0], clock
        return (dated[0],)
    groups = (("month", "day"), ("quarter", "week"), ("ordinal",), ("period",))
    rest = next((names for group in groups if (names := [parts[kind] for kind in group if kind in parts])), [])
    if "year" in parts and rest and frame[parts["year"]].duplicated().any():
        return tuple(dict.fromkeys((parts["year"], *rest)))
    for name in order:
        if _words.is_time_name(name) and len(free) + (not alone) > 1 and is_numeric(frame[name]):
            return (name,)
    for name in order:
        if frame[name].dtype.kind == "m":
            raise ValueError(
                f"{sheet.name}: column {name!r} holds durations: add them to the date when they begin, or give "
                'time="none" to take the rows in order'
            )
    _refuse_unread(sheet, order)
    for name in order:
        if name not in alike and (name in parts.values() or _words.is_time_name(name)):
            raise ValueError(
                f"{sheet.name}: column {name!r} seems to be a part of the times: name their columns with time=, as in "
                'time="year,month", or give time="none" to take the rows in order'
            )
    if alone and free and is_numeric(frame[free[0]]):
        import pandas as pd

        steps = pd.to_numeric(frame[free[0]].iloc[:1000], errors="coerce").diff().iloc[1:]
        if len(steps) and steps.min() > 0 and steps.max() - steps.min() < 1e-6 * steps.max():
            return (free[0],)
    return ()


def _unnamed_parts(frame: pandas.DataFrame, free: list[str]) -> dict[str, str]:
    """Columns of years, and of months next to them, that are known by their cells."""
    parts: dict[str, str] = {}
    for name, following in zip(free, [*free[1:], ""][: len(free)], strict=True):
        unnamed = name.startswith("column ") and following.startswith("column ")
        if unnamed and are_years(frame[name]) and is_within_year(frame[following], "month"):
            parts |= {"year": name, "month": following}
        if is_text(frame[name]) and _words.are_seasons(frame[name]):
            parts["month"] = name
        elif re.fullmatch(r".*(year|jahr)", _words.without_accents(name)) and are_years(frame[name]):
            parts["year"] = name
    return parts


def _is_no_measure(column: pandas.Series, named: bool) -> bool:
    """Whether digits that could be times are no measurements, such as the inhabitants of a country by year.

    Args:
        column: of any type.
        named: whether a column of numbers is called as times are.
    """
    words = re.split(r"[\W_]+", _words.without_accents(column.name))
    if not is_numeric(column) or any(map(_words.is_time_name, words)) or _EPOCHS & set(words):
        return True
    found = read_times(column[~is_missing(column)].iloc[:20], Sheet("", column.to_frame()))
    if named or found.zone is None:
        return not named
    steps = np.diff(np.unique(found.at)).astype(np.int64)
    return steps.size > 0 and int(np.gcd.reduce(steps)) % 60_000_000 == 0  # whole minutes since 1970


def _is_clock(column: pandas.Series) -> bool:
    """Whether all cells are times of the day, such as 14:30 or 2 PM, and not all the same."""
    clock = r"([01]?\d|2[0-4])((:\d\d){1,2}(\.0*)?( ?[AaPp]\.?[Mm]\.?)?| ?[AaPp]\.?[Mm]\.?)"
    head = column.iloc[:20].astype(str)
    return (
        bool(head.str.fullmatch(clock).all())
        and column.nunique() > 1
        and bool(column.astype(str).str.fullmatch(clock).all())
    )


def _refuse_unread(sheet: Sheet, names: list[str]) -> None:
    """Refuse a column that seems to hold times but cannot be read, rather than take the rows in their order."""
    for name in names:
        column = sheet.frame[name]
        if not is_text(column) or is_numeric(column):
            continue
        cells = column[~is_missing(column)].iloc[:20]
        simple = _words.simple(cells)
        likely = simple.str.contains(
            r"<\d\d>|(?<!\d)(?:19|20)\d\d(?:(?:0[1-9]|1[0-2])\d{2,10})?(?!\d)|\d\d?:\d\d", regex=True
        ) | (simple == "")
        if column.is_unique:  # years of other calendars
            likely |= simple.str.contains(r"(?<!\d)(?:1[34]|2[456])\d\d(?!\d)", regex=True)
        named = any(map(_words.is_time_name, re.split(r"[\W_]+", name)))
        if len(cells) and (likely.mean() > 0.5 or (named and column.is_unique)):
            try:
                read_times(column[~is_missing(column)], sheet)
            except ValueError as error:
                hint = "" if 'time="none"' in str(error) else '; time="none" takes the rows in order'
                raise ValueError(f"{error}{hint}") from None


def _ids(sheet: Sheet, free: list[str], numeric: list[str], value: str | None, at: np.ndarray) -> tuple[str, ...]:
    """The columns that tell rows of the same time apart, if any do.

    Raises:
        ValueError: times do not repeat, but a column of words splits them into blocks as series would.
    """
    import pandas as pd

    frame, times = sheet.frame, pd.Series(at)
    words = [name for name in free if not (name in numeric or reads_as_times(frame[name]) or _is_clock(frame[name]))]
    codes = {name: pd.Series(pd.factorize(frame[name])[0]) for name in words}
    if not times.duplicated().any():
        order = np.argsort(at, kind="stable")
        for name in words:
            count = codes[name].nunique()
            changes = int((np.diff(codes[name].to_numpy()[order]) != 0).sum())
            if 3 * count <= len(frame) and changes == count - 1:
                shown = listed(list(frame[name].unique()))
                raise ValueError(f'{sheet.name}: column {name!r} may name {count} series ({shown}): give id="{name}", '
                                 'or id="none" if all rows are one series')  # fmt: skip
        return ()
    whole = [name for name in numeric if (name != value and frame[name].dtype.kind in "iu") or _digits(frame[name])]
    whole = [name for name in whole if name != value and len(numeric) > 1 and 3 * frame[name].nunique() <= len(frame)]
    for names in (*([name] for name in words + whole), words, words + whole):
        if (
            names
            and not pd.concat([*(frame[name].reset_index(drop=True) for name in names), times], axis=1)
            .duplicated()
            .any()
        ):
            return tuple(names) if frame[names].drop_duplicates().shape[0] < len(frame) else ()
    return ()


def _is_whole(column: pandas.Series) -> bool:
    import pandas as pd

    return bool((pd.to_numeric(column, errors="coerce").dropna() % 1 == 0).all())


def _digits(column: pandas.Series) -> bool:
    return is_text(column) and all(column.iloc[:20].str.isdigit()) and bool(column.str.fullmatch(r"\d{1,9}").all())


def _value(sheet: Sheet, numeric: list[str], time: tuple[str, ...]) -> str:
    varying = [name for name in numeric if sheet.frame[name].nunique() > 1]
    named = [name for name in varying if _words.without_accents(name).strip("_") in VALUES]
    varying = named if len(named) == 1 else varying
    if len(numeric) == 1 or len(varying) == 1:
        return (varying or numeric)[0]
    if numeric:
        raise ValueError(
            f"{sheet.name} has {len(numeric)} columns of numbers ({listed(numeric, 8)}): choose one with value=,"
            " or take each as a series with wide=True"
        )
    there = f" next to the times {' and '.join(time)!r}" if time else ""
    raise ValueError(f"{sheet.name} has no column of numbers{there}: found {listed(list(sheet.frame), 12)}")
