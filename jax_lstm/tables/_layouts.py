"""Tables whose times run across the columns, or lie in several columns, as tables of one row for each time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from jax_lstm.tables import _words
from jax_lstm.tables._dates import read_times
from jax_lstm.tables._numbers import is_missing, is_numeric, plain
from jax_lstm.tables._sheet import Sheet, is_text, listed
from jax_lstm.tables._times import UnreadableError

if TYPE_CHECKING:
    import pandas

_YEAR_IN_NAME = re.compile(r".*(?<!\d)(1[5-9]|20|21)\d\d.*|.*<\d\d>.*\d.*|\d\d?[-/.]\d\d?[-/.]\d\d")
_ACROSS = (
    ("month", re.compile(r"<(\d\d)>"), 3),
    ("month", re.compile(r"m?(\d\d?)"), 12),
    ("quarter", re.compile(r"q\W*([1-4])|([1-4])\W*q"), 3),
    ("week", re.compile(r"w\W*(\d\d?)"), 52),
    ("clock", re.compile(r"(\d\d?)[:h.](\d\d)(?:\W.*)?"), 20),
    ("hour", re.compile(r"(?:h|hour|he|hh|hr|sp)?\W*(\d\d?)h?"), 20),
)
"""Columns by what they are, how they are called, and how many there are at least."""
_PARTS = {
    "year": "year yr yyyy jahr annee ano anno jaar fy gjahr exercice ejercicio rok ar vuosi yil год 年 年度 연도 년",
    "month": "month mon mm mo monat mois mes mese maand miesiac manad maned maaned kuukausi ay месяц 月 月份 월",
    "day": "day dd dy tag jour dia giorno dag dayofmonth",
    "ordinal": "doy yday dayofyear day_of_year julian julianday",
    "period": "period periode periodo buchungsperiode poper",
    "quarter": "quarter qtr quartal trimestre kwartaal",
    "week": "week wk kw woche semaine semana settimana isoweek",
    "hour": "hour hr hh he stunde heure hora ora uur",
    "clock": "time clock zeit uhrzeit heure hora ora tijd hour",
}
PARTS = {kind: frozenset(names.split()) for kind, names in _PARTS.items()}


def unfold(sheet: Sheet, ids: tuple[str, ...]) -> tuple[Sheet, tuple[str, ...] | None]:
    """The sheet with one row for each time, where its times run across the columns, and the columns that
    name its series; or the sheet and None.

    Args:
        sheet: of any layout.
        ids: the columns asked for as names of the series.
    """
    import pandas as pd

    frame = sheet.frame
    keys = [name for name in frame if "\\" in name]
    if keys and sheet.unit == "line":  # Eurostat: "freq,unit,geo\TIME_PERIOD", and flags after the values
        names = keys[0].split("\\")[0].split(",")
        parts = frame[keys[0]].str.split(",", n=len(names) - 1, expand=True).set_axis(names, axis=1)
        others = frame.drop(columns=keys[0])
        flagged = others.apply(lambda column: column.str.contains(r"\d\s*[a-z]+$")).to_numpy().any()
        cells = others.apply(lambda column: column.str.replace(r"\s*[a-z]+$", "", regex=True))
        sheet = sheet._replace(notes=(*sheet.notes, "flags after the values are left out")) if flagged else sheet
        frame = parts.join(cells)
    if len(frame.columns) < 4:
        return sheet._replace(frame=frame), None
    labels = frame.columns.to_series()
    simple = dict(zip(frame, _words.simple(labels), strict=True))
    if not any("<" in label for label in simple.values()):  # some tables have seasons next to months
        simple = dict(zip(frame, _words.simple(_words.seasons_as_months(labels)), strict=True))
    if any(_is_dated(frame[name]) for name in frame):
        return _parts_across(sheet, frame, simple, ids)
    dated = [name for name in frame if _YEAR_IN_NAME.fullmatch(re.sub(r"\s*\[.*\]", "", simple[name]))]
    others = [name for name in frame if name not in dated]
    if len(dated) < 3 or len(dated) < len([name for name in others if is_numeric(frame[name])]):
        return _parts_across(sheet, frame, simple, ids)
    labels = frame[dated].columns.to_series(name="time").str.replace(r"\s*\[.*\]", "", regex=True)
    try:
        times = read_times(labels.reset_index(drop=True), sheet)
    except ValueError:
        return sheet._replace(frame=frame), None
    if times.style == "number":
        return sheet._replace(frame=frame), None
    within = next(
        (
            name
            for name in others
            if times.style == "year" and is_within_year(frame[name], _words.without_accents(name))
        ),
        None,
    )
    cells = pd.DataFrame({"year": np.tile(labels.to_numpy(), len(frame))})
    if within is not None:
        others.remove(within)
        cells[within] = np.repeat(frame[within].to_numpy(), len(dated))
    return _melted(sheet, frame, dated, time_column(cells, tuple(cells)).to_numpy(), others, ids)


def is_within_year(column: pandas.Series, name: str) -> bool:
    """Whether the rows are the months, quarters, weeks or days of years that run across the columns."""
    kind = next((kind for kind in ("month", "quarter", "week", "ordinal") if name in PARTS[kind]), None)
    cells = _words.simple(_as_text(column))
    return len(column) > 1 and bool(
        cells.str.fullmatch(r"<\d\d>").all()
        or cells.str.fullmatch(r"q\W*[1-4]|[1-4]\W*q").all()
        or (kind and cells.str.fullmatch(r"w?\W*\d{1,3}").all())
    )


def _as_text(column: pandas.Series) -> pandas.Series:
    """A column as text, without what only a float or a time stamp adds to it."""
    import pandas as pd

    texts = pd.Series(plain(column), index=column.index, name=column.name, dtype=object)
    return texts.str.replace(r" 00:00:00$|(?<=\d)\.0$", "", regex=True)


def _is_dated(column: pandas.Series) -> bool:
    """Whether a column holds dates of its own."""
    if not is_text(column):
        return column.dtype.kind == "M" or column.dtype.name.startswith("period")
    return not is_numeric(column) and reads_as_times(column)


def reads_as_times(column: pandas.Series) -> bool:
    """Whether the first cells of a column can be read as times; of numbers, whether they look like dates."""
    first = column.iloc[:1000]
    first = first[~is_missing(first)].iloc[:20]
    if first.empty or (is_text(first) and not first.astype(str).str.contains(r"\d|元", regex=True).all()):
        return False
    try:
        return read_times(first, Sheet("", first.to_frame())).style not in (
            "number",
            "" if is_text(first) and not is_numeric(first) else "year",
        )
    except UnreadableError as error:
        return error.share > 0.5
    except ValueError as error:
        return "two ways" in str(error) or "several meanings" in str(error)


def _parts_across(
    sheet: Sheet, frame: pandas.DataFrame, simple: dict[str, str], ids: tuple[str, ...]
) -> tuple[Sheet, tuple[str, ...] | None]:
    """Rows of years with a column for each month or quarter, or of days with a column for each hour."""
    for kind, pattern, least in _ACROSS:
        found = {name: match for name in frame if (match := pattern.fullmatch(simple[name]))}
        others = [name for name in frame if name not in found]
        if len(found) < least:
            continue
        of_base = _is_dated if kind in ("clock", "hour") else are_years
        bases = [name for name in others if of_base(frame[name])]
        marks = [next(one for one in match.groups() if one) for match in found.values()]
        if kind in ("clock", "hour"):
            marks = _clocks([match.groups() for match in found.values()])
        if not bases or len(set(marks)) < len(marks):
            continue
        base = np.repeat(_as_text(frame[bases[0]]).to_numpy(), len(found))
        form = {"month": "{}-{}", "quarter": "{}-Q{}", "week": "{}-W{}"}.get(kind, "{} {}")
        labels = [form.format(one, mark) for one, mark in zip(base, np.tile(marks, len(frame)), strict=True)]
        others.remove(bases[0])
        return _melted(sheet, frame, list(found), np.array(labels, object), others, ids)
    return _steps_across(sheet, frame, ids)


def _clocks(groups: list[tuple[str, ...]]) -> list[str]:
    """Times of the day of columns: hours with minutes, hours, or the 48 or 96 parts of a day, counted from 1."""
    numbers = [60 * int(group[0]) + int(group[1] if len(group) > 1 else 0) for group in groups]
    parts = len(numbers)
    if (
        len(groups[0]) == 1
        and parts > 25
        and numbers == [60 * part for part in range(1, parts + 1)]
        and 1440 % parts == 0
    ):
        numbers = [part * 1440 // parts for part in range(parts)]
    if numbers[-1] == 0 < numbers[0]:
        numbers[-1] = 1440  # the last column ends at midnight
    return [f"{number // 60}:{number % 60:02}" for number in numbers]


def _steps_across(sheet: Sheet, frame: pandas.DataFrame, ids: tuple[str, ...]) -> tuple[Sheet, tuple[str, ...] | None]:
    """Rows of series, named by a column of words, with a column for each step, such as d_1, d_2, d_3."""
    numbered = {name: match for name in frame if (match := re.fullmatch(r"([^\W\d]*)[_ .-]?(\d+)", name))}
    found = [name for name, match in numbered.items() if is_numeric(frame[name])]
    others = [name for name in frame if name not in found]
    steps = [int(numbered[name][2]) for name in found]
    alike = len({numbered[name][1] for name in found}) == 1 and steps == list(
        range(min(steps), min(steps) + len(steps))
    )
    words = [name for name in others if not is_numeric(frame[name])]
    labeled = any(frame[name].is_unique for name in words) and not any(map(_is_dated, (frame[name] for name in others)))
    if len(found) < 4 or not alike or not labeled:
        return sheet._replace(frame=frame), None
    return _melted(sheet, frame, found, np.tile(steps, len(frame)), others, ids)


def are_years(column: pandas.Series) -> bool:
    import pandas as pd

    values = pd.to_numeric(column, errors="coerce") if is_text(column) or column.dtype.kind in "iuf" else pd.Series([0])
    return bool(values.between(1500, 2199).all() and (values == values.round()).all())


def _melted(
    sheet: Sheet,
    frame: pandas.DataFrame,
    columns: list[str],
    times: np.ndarray,
    others: list[str],
    ids: tuple[str, ...],
) -> tuple[Sheet, tuple[str, ...]]:
    """One row for each cell of some columns, with its time; the series are named by the words of the others."""
    import pandas as pd

    words = [name for name in others if not is_numeric(frame[name]) and frame[name].nunique() > 1]
    unique = [name for name in words if frame[name].is_unique and not is_missing(frame[name]).any()]
    if not ids:
        ids = tuple(unique[:1] or words)
    rows = np.repeat(np.arange(len(frame)), len(columns))
    long = frame[others].iloc[rows]
    cells = frame[columns].to_numpy(object).ravel()
    long = long.assign(time=times, value=pd.Series(cells, index=long.index, dtype=object).infer_objects())
    notes = f"times run across the columns {listed([columns[0], columns[-1]])}: {len(columns)} for each row"
    return sheet._replace(frame=long, notes=(*sheet.notes, notes), native=None, levels=()), ids


def time_column(frame: pandas.DataFrame, names: tuple[str, ...]) -> pandas.Series:
    """The times of the rows: one column, or several put together, such as year and month, or date and hour."""
    if len(names) == 1:
        return frame[names[0]]
    texts = [_words.seasons_as_months(_as_text(frame[name])) for name in names]
    kinds = [_words.without_accents(name) for name in names]
    found = texts[0]
    for kind, text in zip(kinds[1:], texts[1:], strict=True):
        digits = text.str.extract(r"^\D*(\d+)\D*$")[0].fillna("")
        if kind in PARTS["period"] and not text.str.fullmatch(r"0?\d{1,2}").all():
            found = found + " " + text
        elif kind in PARTS["period"]:
            found = found + "-" + text.str[-2:]
        elif kind in PARTS["ordinal"]:
            found = found + "-" + digits.str.zfill(3)
        elif kind in PARTS["quarter"]:
            found = found + "-Q" + digits
        elif kind in PARTS["week"]:
            found = found + "-W" + digits
        elif text.str.fullmatch(r"\d{1,2}").all() and kind not in PARTS["hour"] | PARTS["clock"]:
            found = found + "-" + text
        else:
            found = found + " " + text.where(~text.str.fullmatch(r"\d{1,2}"), text + ":00")
    return found.rename(" ".join(names))
