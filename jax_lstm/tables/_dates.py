"""Columns as times: dates, months, quarters and weeks as people write them, in one way for a whole column."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from jax_lstm.tables import _words
from jax_lstm.tables._clock import CLOCK, FIELDS, HOUR, in_zone, time_of_day
from jax_lstm.tables._eras import check_calendar, check_unread
from jax_lstm.tables._numbers import is_missing, plain
from jax_lstm.tables._sheet import Sheet, is_text
from jax_lstm.tables._times import WEEKS, ImpossibleError, Times, UnreadableError, compose, in_century, of_numbers

if TYPE_CHECKING:
    import pandas

LONGEST = 100
"""The longest text of a time, in characters."""

ORDERS = {"day-first": ("day", "month"), "month-first": ("month", "day")}

_YEAR, _SHORT, _ANY = r"(?P<year>\d{4})", r"'?(?P<year>\d\d)", r"'?(?P<year>\d{4}|\d\d)"
_NAMED = r"<(?P<month>\d\d)>"
_GAP = r"[^\d<>]*"
_DATES = tuple(
    (style, re.compile(pattern))
    for style, pattern in (
        ("quarter", rf"{_YEAR}[-. ]*(?P<quarter>[1-4])/4"),
        ("day", rf"{_YEAR}[^\d<>]{{1,2}}(?P<month>\d\d?)[^\d<>]{{1,2}}(?P<day>\d\d?)\D?"),
        ("day", rf"{_YEAR}(?P<month>\d\d)(?P<day>\d\d)"),
        ("day", rf"(?P<first>\d\d?)[-/. ]+(?P<other>\d\d?)[-/. ]+{_ANY}\.?"),
        ("day", rf"(?P<day>\d\d?){_GAP}{_NAMED}{_GAP}{_ANY}"),
        ("day", rf"{_NAMED}{_GAP}(?P<day>\d\d?)[^\d<>]+{_YEAR}"),
        ("day", rf"{_YEAR}{_GAP}{_NAMED}{_GAP}(?P<day>\d\d?)"),
        ("month", rf"{_NAMED}{_GAP}{_ANY}"),
        ("span", rf"{_NAMED}\W+<(?P<last>\d\d)>{_GAP}{_ANY}"),
        ("span", rf"{_YEAR}{_GAP}{_NAMED}\W+<(?P<last>\d\d)>"),
        ("month", rf"{_YEAR}{_GAP}{_NAMED}"),
        ("quarter", rf"(?:fy)?\W*{_ANY}\W*q\W*0?(?P<quarter>[1-4])"),
        ("quarter", rf"q\W*(?P<quarter>[1-4])\W*(?:fy)?\W*{_ANY}"),
        ("quarter", rf"(?P<quarter>[1-4])\W*q\W*(?:fy)?\W*{_ANY}"),
        ("quarter", rf"{_YEAR}\W+(?P<quarter>[1-4])\W*q"),
        ("half", rf"(?:fy)?\W*{_ANY}\W*[hs]\W*(?P<part>[12])"),
        ("half", rf"[hs]\W*(?P<part>[12])\W*(?:fy)?\W*{_ANY}"),
        ("half", rf"(?P<part>[12])\W*[hs]\W*(?:fy)?\W*{_ANY}"),
        ("week", rf"{_YEAR}\W*w\W*(?P<week>\d\d?)(?:\W(?P<weekday>[1-7]))?"),
        ("week", rf"[ws]\W*(?P<week>\d\d?)\W+{_ANY}"),
        ("month", rf"{_YEAR}(?:\W*m\W*|[-/.: 年년]+)(?P<month>\d\d?)\D?"),
        ("month", rf"(?:fy)?\W*{_ANY}\W*m\W*(?P<month>\d\d?)"),
        ("month", rf"m?\W*0?(?P<month>\d\d?)[-/. ]+(?:fy)?\W*{_YEAR}"),
        ("month", rf"m\W*(?P<month>\d\d?)\W+(?:fy)?\W*{_ANY}"),
        ("day", rf"{_YEAR}[-/. ](?P<ordinal>\d{{3}})"),
        ("year", rf"(?:(?:fy|cy|y)\W*)?{_YEAR}\D?"),
        ("year", rf"fy\W*{_SHORT}"),
        ("season", rf"(?:fy\W*)?{_YEAR}[-/–](?P<next>\d{{4}}|\d\d)"),
        ("season", rf"fy\W*{_SHORT}[-/–](?P<next>\d\d)"),
    )
)
_WEEK_DATES = (
    ("week", re.compile(rf"{_YEAR}\W*w?\W*(?P<week>\d\d?)")),
    ("week", re.compile(rf"[ws]?\W*(?P<week>\d\d?)\W+{_YEAR}")),
)
_ERA = re.compile(r"(令和|平成|昭和|[rhs](?=\d\d?[./-]\d\d?[./-]\d\d?$))(\d\d?|元)(?:年|[./-])(.*)")
_ERAS = {"令": 2018, "平": 1988, "昭": 1925, "r": 2018, "h": 1988, "s": 1925}
"""The years before the first of Japanese eras."""
_RANGES = (" - ", " – ", "–", "--", " to ", " bis ", " au ", " al ", "/", "..", "~")
_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)?")


def read_times(column: pandas.Series, sheet: Sheet, order: str | None = None) -> Times:
    """A column as times.

    Args:
        column: typed or text, indexed by the line of its source.
        sheet: names the line in messages.
        order: "day-first" or "month-first", for dates such as 01/02/2020; decided by the column where None.

    Raises:
        ValueError: what is no time, or can be read in two ways.

    >>> import pandas
    >>> frame = pandas.DataFrame({"t": ["Jan 2020", "févr. 2020"]})
    >>> read_times(pandas.Series(["2020Q1", "2020Q2"]), Sheet("data.csv", frame)).style
    'quarter'
    """
    import pandas as pd

    if is_text(column):
        codes, _ = pd.factorize(column)
        first = column[~column.duplicated()]
        if is_missing(first).any():
            sheet.refuse(first, is_missing(first), "expected a time in every row")
        try:
            found = _of_texts(first, sheet, order)
        except UnreadableError as error:
            check_unread(first, sheet, error.share)
            raise
        check_calendar(first, found, sheet)
        return found._replace(at=found.at[codes])
    found = _of_typed(column, sheet)
    if column.dtype.kind in "iuf":  # time stamps say by their type that they are of our calendar
        check_calendar(column, found, sheet)
    return found


def _of_typed(column: pandas.Series, sheet: Sheet) -> Times:
    import pandas as pd

    if column.isna().any():
        sheet.refuse(column, column.isna(), "expected a time in every row")
    if isinstance(column.dtype, pd.PeriodDtype):
        style = {"M": "month", "Q": "quarter" if column.dtype.name.endswith("DEC]") else "month", "Y": "year"}
        at = column.dt.start_time.to_numpy("datetime64[us]")
        kind = style.get(column.dtype.freq.rule_code[:1], "day")
        return Times(at, "day" if kind == "year" else kind)
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return Times(column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[us]"), "clock", column.dt.tz)
    if column.dtype.kind == "M":
        at = column.to_numpy("datetime64[us]")
        return Times(at, "day" if (at == at.astype("datetime64[D]")).all() else "clock")
    return of_numbers(column, column.to_numpy(float), plain(column.unique()))


def _fast(texts: Any) -> np.ndarray | None:
    try:
        return np.array([text.replace(" ", "T") for text in texts], "datetime64[us]")
    except ValueError:  # such as 2020-02-30: the general way names the row
        return None


def _of_texts(column: pandas.Series, sheet: Sheet, order: str | None) -> Times:
    """Different texts as times; of ranges the first time."""
    import pandas as pd

    if (column.str.len() > LONGEST).any():  # reading them takes time quadratic in their length
        raise UnreadableError(sheet.refusal(column, column.str.len() > LONGEST, "which is too long for a date"))
    values = pd.to_numeric(column, errors="coerce").to_numpy(float)
    if np.isfinite(values).all():
        return of_numbers(column, values, column.tolist())
    length = len(column.iloc[0])
    if (column.str.len() == length).all() and all(map(_ISO.fullmatch, column)) and (at := _fast(column)) is not None:
        return Times(at, "day" if length == 10 else "clock")
    texts = _words.simple(column)
    eras = texts.str.extract(_ERA)
    if eras[0].notna().all():
        years = eras[1].replace("元", "1").astype(int) + eras[0].str[0].map(_ERAS)
        texts = (years.astype(str) + "-" + eras[2]).str.strip("-")
    try:
        return _of_simple(column, texts, sheet, order)
    except UnreadableError:
        for between in _RANGES:
            ends = texts.str.split(between, n=1, expand=True, regex=False)
            shapes = ends.fillna("").replace(
                {r"\(\w+\)?": "", r"\d{4}": "Y", r"\d+": "9", r"^\s+|\s+$": ""}, regex=True
            )
            if shapes.shape[1] == 2 and (shapes[0] == shapes[1]).all():
                found = _of_simple(column, ends[0].str.strip(" ()"), sheet, order)
                return found._replace(notes=(*found.notes, "ranges of times are read as their beginning"))
        raise


def _of_simple(column: pandas.Series, texts: pandas.Series, sheet: Sheet, order: str | None) -> Times:
    import pandas as pd

    matches = list(map(CLOCK.fullmatch, texts))
    if not all(matches):
        hours = list(map(HOUR.fullmatch, texts))
        matches = hours if all(hours) else matches
    clocks = pd.DataFrame(
        [match.groupdict() if match else {} for match in matches], index=texts.index, columns=FIELDS, dtype=object
    )
    clocked = clocks["hour"].notna().to_numpy()
    dates = texts.where(~clocked, clocks["date"]).fillna("")
    dateless = (dates == "") | dates.str.fullmatch(r"\d\d?:\d\d(:\d\d)?\s*([ap]m)?")
    if dateless.any():
        fault = 'which has no date: name the column of dates too, as in time="date,clock", or give time="none"'
        raise UnreadableError(sheet.refusal(column, dateless, fault))
    zones = clocks["zone"].fillna("")
    readings, style, notes = _days(column, dates, sheet)
    if clocked.any():
        clock, style = time_of_day(column, clocks, sheet), "clock"
        readings = {key: days + clock for key, days in readings.items()}
    at, notes = _choose(column, texts, readings, sheet, order, notes)
    if style == "year":
        at = at.astype("datetime64[Y]").astype(np.int64) + 1970
    if not clocked.any() or (zones == "").all():
        return Times(at, style, notes=notes)
    if (zones == "").any():
        few = zones == "" if (zones == "").mean() <= 0.5 else zones != ""
        sheet.refuse(column, few, "expected a zone such as Z or +01:00 in every row or in none")
    return in_zone(column, at, zones, notes, sheet)


def _days(
    column: pandas.Series, dates: pandas.Series, sheet: Sheet
) -> tuple[dict[str, np.ndarray], str, tuple[str, ...]]:
    """The days, in one or two readings by the order of day and month, from the one pattern that fits all of them."""
    import pandas as pd

    patterns = (*_WEEK_DATES, *_DATES) if WEEKS.fullmatch(str(column.name)) else _DATES
    best = np.zeros(len(dates), bool)
    any_kind, kinds = best, []
    for style, pattern in patterns:
        matches = list(map(pattern.fullmatch, dates))
        fits = np.array([match is not None for match in matches])
        kinds += [style] if (fits & ~any_kind).any() else []
        any_kind = any_kind | fits
        if fits.sum() <= best.sum():
            continue
        parts = pd.DataFrame([match.groupdict() for match in matches if match], index=dates.index[fits], dtype=object)
        try:
            found = _readings(parts, style, dates[fits])
            if fits.all():
                return found
        except ImpossibleError as odd:
            fits[fits] = ~odd.args[0]
        best = max(best, fits, key=np.sum)
    expected = (
        "expected a date as in the other rows, such as 2020-01-31, 31/01/2020, Jan 2020, 2020Q1, 2020-W05 or 2020"
    )
    if any_kind.all() and len(set(kinds)) > 1 and not (best.sum() == len(best) - 1 and len(best) > 3):
        expected = f"but other rows have times of another kind ({', '.join(kinds)}): keep the rows of one kind"
    error = UnreadableError(
        sheet.refusal(column, ~best if 2 * best.sum() >= len(best) else ~np.zeros_like(best), expected)
    )
    error.share = float(best.mean())
    raise error


def _readings(
    parts: pandas.DataFrame, style: str, dates: pandas.Series
) -> tuple[dict[str, np.ndarray], str, tuple[str, ...]]:
    notes = []
    short = parts["year"].str.len() == 2
    if short.any():
        if style == "month" and parts["month"].nunique() == 1 and len(parts) > 1:
            raise ImpossibleError(np.ones(len(parts), bool))  # Jan 10, Jan 11: days without a year
        two = parts["year"].astype(int)
        parts["year"] = np.where(short, in_century(two), two).astype(str)
        first = parts["year"].iloc[int(np.argmax(short))]
        notes.append(f"years of two digits are read as 1940 to 2039, or as one century: {first[2:]} is {first}")
    if style == "season":
        following = parts["next"].str[-2:].astype(int) == (parts["year"].astype(int) + 1) % 100
        if not following.all():
            raise ImpossibleError(~following.to_numpy())
        notes.append("years such as 2019/20 are named by their first year")
    if style == "span":
        wrong = parts["last"].astype(int) <= parts["month"].astype(int)
        if wrong.any():
            raise ImpossibleError(wrong.to_numpy())
        notes.append("spans of months are named by their first month")
    if style == "week":
        notes.append("weeks are ISO weeks, named by their Monday")
    if dates.str.contains("fy", regex=False).any():
        notes.append("fiscal years are counted as they are labeled, as calendar years")
    if style == "month" and len(parts) > 3 and dates.str.fullmatch(r"\d{4}:[1-4]").all():
        style, parts = "quarter", parts.rename(columns={"month": "quarter"})
    written = {"week": "day", "half": "month", "span": "month", "season": "year"}.get(style, style)
    if "first" not in parts:
        at = compose(parts)
        return {"": at}, written, tuple(notes)
    found, faults = {}, []
    for key, names in ORDERS.items():
        try:
            found[key] = compose(parts.rename(columns=dict(zip(("first", "other"), names, strict=True))))
        except ImpossibleError as odd:
            faults.append(odd.args[0])
    if not found:
        raise ImpossibleError(min(faults, key=np.sum))
    return found, written, tuple(notes)


def _choose(
    column: pandas.Series,
    texts: pandas.Series,
    readings: dict[str, np.ndarray],
    sheet: Sheet,
    order: str | None,
    notes: tuple[str, ...],
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Which of day and month comes first: as asked for, as only one order allows, by points, or by even steps."""
    if order in readings:
        return readings[order], (*notes, f"dates are read {order.replace('-', ' ')}")
    if order is not None and "" not in readings:
        wrong = np.ones(len(column), bool)
        sheet.refuse(column, wrong, f"but the dates of this column are not all {order}: leave out dates=")
    if len(readings) == 1:
        [(key, at)] = readings.items()
        return at, (*notes, f"dates are read {key.replace('-', ' ')}") if key else notes
    same = (readings["day-first"] == readings["month-first"]).all()
    even = [key for key, at in readings.items() if _is_even(at)]
    chosen = "day-first" if same or texts.str.contains(r"^\d+\.\d+\.").all() else even[0] if len(even) == 1 else None
    if chosen is not None:
        return readings[chosen], notes if same else (*notes, f"dates are read {chosen.replace('-', ' ')}")
    row = int(np.argmax(readings["day-first"] != readings["month-first"]))
    ways = " or ".join(f'dates="{key}" ({str(at[row])[:10]})' for key, at in readings.items())
    sheet.refuse(column, np.arange(len(column)) == row, f"which can be read in two ways: give {ways}")


def _is_even(at: np.ndarray) -> bool:
    """Whether times are a month or a fixed time apart, all of them, with nothing missing."""
    ordered = np.unique(at)
    months = np.diff(ordered.astype("datetime64[M]").astype(np.int64))
    days = ordered.astype("datetime64[D]") - ordered.astype("datetime64[M]").astype("datetime64[D]")
    if len(np.unique(days)) == 1 and len(np.unique(months)) == 1 and months[0] > 0:
        return True
    return len(ordered) > 2 and len(np.unique(np.diff(ordered))) == 1
