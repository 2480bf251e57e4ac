"""Columns of text as times: numbers, or dates as people write them, in one way for the whole column."""

from __future__ import annotations

import re
from datetime import timezone
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from jax_lstm.forecast._cells import MISSING

if TYPE_CHECKING:
    import pandas

ORDERS = {"day-first": "%d-%m", "month-first": "%m-%d"}

_CLOCKS = ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%H", "%I:%M %p", "%I:%M:%S %p", "%I:%M%p", "%I %p", "%I%p")
_NAMED = ("%b %Y", "%Y %b", "%d %b %Y", "%b %d %Y", "%Y %b %d", "%b %y", "%d %b %y")
_WEEKDAY = re.compile(r"^(mon|tue|wed|thu|fri|sat|sun)[a-z]*[,\s]+", re.IGNORECASE)
_CLOCK = re.compile(r"^(?P<date>.*\S)(?:[T\s]\s*)(?P<clock>\d{1,2}:\d\d.*)$")
_HOUR = re.compile(r"^(?P<date>\d+[-/.]\d+[-/.]\d+|\d{8})[T\s]\s*(?P<clock>\d{1,2}(?:\s*[AaPp]\.?[Mm]\.?)?)$")
_MIDNIGHT = re.compile(r"24(:00)*")
_ZONE = re.compile(r"(?::\d\d(?:\.\d+)?|T\d\d)\s*(Z|[-+]\d\d(?::?\d\d)?)$")
_QUARTER = re.compile(r"^(?:(?P<a>\d{4})[-\s/]?[qQ](?P<b>[1-4])|[qQ](?P<c>[1-4])[-\s/]*(?P<d>\d{4}))$")
_MONTH = re.compile(r"^(\d{4})(?:[-/.]|[-\s]?M)(\d{1,2})$")
_WEEK = re.compile(r"^(\d{4})-?W(\d\d)$")
_EPOCHS = (("s", 1e8, 4.2e9), ("ms", 1e11, 4.2e12), ("us", 1e14, 4.2e15), ("ns", 1e17, 4.2e18))
_YEARS = (1000, 2999)


class Times(NamedTuple):
    """The times of the rows.

    Args:
        at: numbers or pandas time stamps, indexed by the line of the file.
        style: how they are written: "number", "year", "quarter", "month", "day" or "clock".
        notes: what a person should know about how they were read.
    """

    at: pandas.Series
    style: str
    notes: tuple[str, ...] = ()


class _UnreadableError(Exception):
    """The line of a text that is not like the others."""

    def __init__(self, line: Any, fault: str = "") -> None:
        self.line, self.fault = line, fault


def times(texts: pandas.Series, place: str, order: str | None = None) -> Times:
    """A column of text as times.

    Args:
        texts: stripped text, indexed by the line of the file.
        place: what the index counts, such as "data.csv line", for messages.
        order: "day-first" or "month-first", for dates such as 01/02/2020; decided by the column where None.

    Raises:
        ValueError: text that is no time, or dates that can be read in two ways.

    >>> import pandas
    >>> times(pandas.Series(["2020Q1", "2020Q2"]), "data.csv line").style
    'quarter'
    """

    def refuse(line: Any, fault: str) -> NoReturn:
        raise ValueError(f"{place} {line}: {texts.name or 'time'} is {texts[line]!r}, {fault}")

    empty = texts.str.lower().isin(MISSING)
    if empty.any():
        refuse(empty.idxmax(), "expected a time in every row")
    for read in (_read_numbers, _read_periods):
        found = read(texts)
        if found is not None:
            return found
    try:
        return _read_dates(texts, order)
    except _UnreadableError as odd:
        refuse(
            odd.line,
            odd.fault
            or "expected a date as in the other rows, such as 2020-01-31, 31/01/2020, Jan 2020 or 2020Q1, or a number",
        )


def are_times(texts: pandas.Series) -> bool:
    """Whether a column of text holds dates, as far as its first rows say; of numbers, those that look like dates."""
    first = texts.iloc[:20]
    first = first[~first.str.lower().isin(MISSING)]
    if first.empty:
        return False
    numbered = _read_numbers(first)
    if numbered is not None:
        return numbered.style not in ("number", "year")
    if not first.str.contains(r"\d", regex=True).all():
        return False
    return _is_time(first) or sum(_is_time(first.iloc[[row]]) for row in range(len(first))) > len(first) / 2


def _is_time(texts: pandas.Series) -> bool:
    try:
        times(texts, "")
    except ValueError as error:
        return "two ways" in str(error)
    return True


def _read_numbers(texts: pandas.Series) -> Times | None:
    """Numbers: compact dates, years, months as fractions of a year, seconds since 1970, or plain numbers."""
    import pandas as pd

    values = pd.to_numeric(texts, errors="coerce")
    if not np.isfinite(values).all():
        return None
    whole = bool((values == np.round(values)).all())
    for pattern, form, style in (
        (r"(1[6-9]|2[01])\d{6}", "%Y%m%d", "day"),
        (r"(1[6-9]|2[01])\d{4}", "%Y%m", "month"),
        (r"(1[6-9]|2[01])\d{2}\.(0[1-9]|1[0-2])", "%Y.%m", "month"),
        (r"(19|20)\d{8}", "%Y%m%d%H", "clock"),
        (r"(19|20)\d{10}", "%Y%m%d%H%M", "clock"),
        (r"(19|20)\d{12}", "%Y%m%d%H%M%S", "clock"),
    ):
        if texts.str.fullmatch(pattern).all():
            at = pd.to_datetime(texts, format=form, errors="coerce")
            if at.notna().all() and (whole or (texts.str.len().nunique() == 1 and _are_months(at))):
                return Times(at, style)
    if whole:
        values = values.astype(np.int64)
        if values.between(*_YEARS).all():
            return Times(values, "year")
        for unit, low, high in _EPOCHS:
            if values.between(low, high).all():
                name = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}[unit]
                return Times(
                    pd.to_datetime(values, unit=unit, utc=True), "clock", (f"times are {name} since 1970, in UTC",)
                )
        return Times(values, "number")
    if values.between(*_YEARS).all():
        for parts, style in ((12, "month"), (4, "quarter")):
            places = values * parts
            if (
                values.nunique() > 2
                and (abs(places - np.round(places)) < 0.007 * parts).all()
                and np.round(places).nunique() == values.nunique()
            ):
                months = (np.round(places) * (12 // parts)).astype(np.int64) - 1970 * 12
                at = pd.Series(months.to_numpy().astype("datetime64[M]").astype("datetime64[s]"), index=texts.index)
                return Times(at, style, (f"times are years with {style}s as fractions",))
    return Times(values, "number")


def _are_months(at: pandas.Series) -> bool:
    """Whether times are months one after the other, which tells 1960.10 the month from 1960.1 the number."""
    months = (at.dt.year * 12 + at.dt.month).drop_duplicates().sort_values().diff().dropna()
    return len(months) > 2 and bool((months == 1).all())


def _read_periods(texts: pandas.Series) -> Times | None:
    """Quarters, months and weeks."""
    import pandas as pd

    if texts.str.fullmatch(_QUARTER).all():
        parts = texts.str.extract(_QUARTER)
        year, quarter = (parts[a].fillna(parts[b]).astype(int) for a, b in (("a", "d"), ("b", "c")))
        return Times(pd.to_datetime({"year": year, "month": 3 * quarter - 2, "day": 1}), "quarter")
    if texts.str.fullmatch(_MONTH).all():
        parts = texts.str.extract(_MONTH).astype(int)
        at = pd.to_datetime({"year": parts[0], "month": parts[1], "day": 1}, errors="coerce")
        return Times(at, "month") if at.notna().all() else None
    if texts.str.fullmatch(_WEEK).all():
        at = pd.to_datetime(texts.str.replace("-", "") + "-1", format="%GW%V-%u", errors="coerce")
        return Times(at, "day", ("weeks are named by their Monday",)) if at.notna().all() else None
    return None


def _read_dates(texts: pandas.Series, order: str | None) -> Times:
    """Dates, with or without a time of the day and a zone."""
    texts = texts.str.replace(_WEEKDAY, "", regex=True)
    zones = texts.str.extract(_ZONE)[0]
    if zones.notna().any() and zones.isna().any():
        line = (zones.isna() if zones.notna().mean() >= 0.5 else zones.notna()).idxmax()
        raise _UnreadableError(line, "expected a zone such as Z or +01:00 in every row or in none")
    zoned = bool(zones.notna().all())
    if zoned:
        texts = texts.str.replace(r"\s*(Z|[-+]\d\d:?\d*)$", "", regex=True)
    parts = texts.str.extract(_HOUR if texts.str.fullmatch(_HOUR).all() else _CLOCK)
    clocks = parts["clock"].fillna("00:00")
    clock = _clock(clocks)
    days, notes = _days(parts["date"].fillna(texts), clock, order)
    at = days + clock
    style = "day" if parts["clock"].isna().all() else "clock"
    if style == "day" and (texts.str.fullmatch(r"[A-Za-z]+[-.,/\s]*\d+|\d{4}[-.,/\s]*[A-Za-z]+")).all():
        style = "month"
    if not zoned:
        return Times(at, style, notes)
    return _place(at, zones, notes)


def _days(dates: pandas.Series, clock: pandas.Series, order: str | None) -> tuple[pandas.Series, tuple[str, ...]]:
    """The days, from the one format that reads all of them."""
    import pandas as pd

    named = dates.str.contains(r"[A-Za-z]", regex=True)
    if named.all():
        plain = (
            dates.str.replace(r"[-/.,\s]+", " ", regex=True)
            .str.strip()
            .str.replace(r"([A-Za-z]{3})[a-z]*", r"\1", regex=True)
        )
        return _first_that_reads(plain, _NAMED), ()
    plain = dates.str.replace(r"[-/.]\s*", "-", regex=True)
    if plain.str.fullmatch(r"\d{8}").all():
        return _first_that_reads(plain, ("%Y%m%d",)), ()
    if plain.str.match(r"\d{4}-").mean() >= 0.5:
        return _first_that_reads(plain, ("%Y-%m-%d", "%Y-%m")), ()
    year = "%Y" if plain.str.fullmatch(r"\d+-\d+-\d{4}").mean() >= 0.5 else "%y"
    readings = {key: pd.to_datetime(plain, format=f"{form}-{year}", errors="coerce") for key, form in ORDERS.items()}
    if order is None:
        order = _order(dates, clock, readings)
    if readings[order].isna().any():
        raise _UnreadableError(readings[order].isna().idxmax())
    same = readings["day-first"].equals(readings["month-first"])
    return readings[order], () if same else (f"dates are read {order.replace('-', ' ')}",)


def _order(dates: pandas.Series, clock: pandas.Series, readings: dict[str, pandas.Series]) -> str:
    """Which of day and month stands first, as the column says."""
    whole = [order for order, at in readings.items() if at.notna().all()]
    if not whole:
        return max(readings, key=lambda order: readings[order].notna().sum())
    if len(whole) == 1:
        return whole[0]
    if dates.str.contains(".", regex=False).all() or readings["day-first"].equals(readings["month-first"]):
        return "day-first"
    even = [order for order in whole if _is_even(readings[order] + clock)]
    if len(even) == 1:
        return even[0]
    line = (readings["day-first"] != readings["month-first"]).idxmax()
    ways = " or ".join(f"--dates {order} ({readings[order][line]:%Y-%m-%d})" for order in readings)
    raise _UnreadableError(line, f"which can be read in two ways: give {ways}")


def _is_even(at: pandas.Series) -> bool:
    """Whether times are a month or a fixed time apart, all of them, with nothing missing."""
    ordered = at.drop_duplicates().sort_values()
    months = (ordered.dt.year * 12 + ordered.dt.month).diff().dropna()
    if ordered.dt.day.nunique() == 1 and months.nunique() == 1 and months.iloc[0] > 0:
        return True
    return len(ordered) > 2 and ordered.diff().dropna().nunique() == 1


def _first_that_reads(texts: pandas.Series, forms: tuple[str, ...]) -> pandas.Series:
    import pandas as pd

    readings = [pd.to_datetime(texts, format=form, errors="coerce") for form in forms[:1]]
    for form in forms[1:]:
        if readings[-1].notna().all():
            break
        readings.append(pd.to_datetime(texts, format=form, errors="coerce"))
    best = max(readings, key=lambda at: at.notna().sum())
    if best.isna().any():
        raise _UnreadableError(best.isna().idxmax())
    return best


def _clock(texts: pandas.Series) -> pandas.Series:
    """The time of the day of each row, as what is added to its day."""
    import pandas as pd

    if texts.nunique() == 1 and texts.iloc[0] == "00:00":
        return pd.Series(pd.Timedelta(0), index=texts.index)
    unique = pd.Series(texts.unique())
    midnight = unique.str.fullmatch(_MIDNIGHT)
    try:
        at = _first_that_reads(
            unique.str.replace("^24", "00", regex=True)
            .where(midnight, unique)
            .str.replace(",", ".")
            .str.upper()
            .str.replace("A.M.", "AM")
            .str.replace("P.M.", "PM"),
            _CLOCKS,
        )
    except _UnreadableError as odd:
        raise _UnreadableError((texts == unique[odd.line]).idxmax()) from None
    at = at - pd.Timestamp(1900, 1, 1) + pd.to_timedelta(midnight.astype(int), unit="D")
    return texts.map(dict(zip(unique, at, strict=True)))


def _place(at: pandas.Series, zones: pandas.Series, notes: tuple[str, ...]) -> Times:
    """Local times in their zone where it is one; dates where all are midnights; else in UTC, with a note."""
    import pandas as pd

    offsets = {zone: pd.Timestamp(f"2000-01-01T00:00{zone}").utcoffset() for zone in zones.unique()}
    if len(set(offsets.values())) == 1:
        return Times(at.dt.tz_localize(timezone(next(iter(offsets.values())))), "clock", notes)
    kinds = " and ".join(sorted(offsets))
    if (at == at.dt.normalize()).all():
        return Times(at, "day", (*notes, f"times are midnights of the zones {kinds}: read as dates"))
    return Times(
        (at - zones.map(offsets)).dt.tz_localize("UTC"),
        "clock",
        (*notes, f"times of the zones {kinds} are brought to UTC"),
    )
