"""Times as arrays, and numbers that are times: compact dates, years, seconds since 1970, the days of Excel."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jax_lstm.tables import _words
from jax_lstm.tables._numbers import plain
from jax_lstm.tables._sheet import is_text

if TYPE_CHECKING:
    import pandas

WEEKS = re.compile(r"week|yearweek|yw|kw|woche|semaine|settimana|semana|weeknr|isoweek|year_?week|epi_?week", re.I)
"""Names of columns where 202053 is a week."""

_YEARS = (1000, 2999)
_EPOCHS = (("seconds", 1e8, 4.2e9, 1e6), ("milliseconds", 1e11, 4.2e12, 1e3), ("microseconds", 1e14, 4.2e15, 1.0),
           ("nanoseconds", 1e17, 4.2e18, 1e-3))  # fmt: skip
_TICKS = 6.3e17, 6.5e17
"""From 1997 to 2060 in .NET's units; nanoseconds since 1970 of the first half of 1990 are taken for them."""
_DAY = 86_400_000_000


class Times(NamedTuple):
    """The times of the rows.

    Args:
        at: `datetime64[us]`, in UTC where there is a zone, or numbers.
        style: how they are written: "number", "year", "quarter", "month", "day" or "clock".
        zone: of the times, None for local times and dates.
        notes: how they were read.
    """

    at: np.ndarray
    style: str
    zone: Any = None
    notes: tuple[str, ...] = ()


class UnreadableError(ValueError):
    """A column that holds something else than times in a row; `share` of its rows are times."""

    share = 0.0


class ImpossibleError(Exception):
    """A date that no calendar has; its argument says in which rows."""


class _Form(NamedTuple):
    """Digits that are a date.

    Args:
        style: as in `Times`, or "week".
        pattern: of all texts of a column, with the parts of the date.
        fits: whether a column of this name, with these days and texts, is meant so.
        notes: how it was read.
    """

    style: str
    pattern: str
    fits: Callable[[pandas.Series, np.ndarray, list[str]], bool] = lambda column, at, texts: True
    notes: tuple[str, ...] = ()


def _is_named(column: pandas.Series, at: np.ndarray, texts: list[str]) -> bool:
    return _words.is_time_name(column.name)


def _is_week(column: pandas.Series, at: np.ndarray, texts: list[str]) -> bool:
    return WEEKS.fullmatch(str(column.name)) is not None


def _are_quarters(column: pandas.Series, at: np.ndarray, texts: list[str]) -> bool:
    steps = np.diff(at.astype("datetime64[M]").astype(np.int64))
    return len(steps) > 2 and bool((np.abs(steps) == 3).all())


def _are_days(column: pandas.Series, at: np.ndarray, texts: list[str]) -> bool:
    steps = np.diff(at.astype("datetime64[D]").astype(np.int64))
    return len(steps) > 2 and bool((np.abs(steps) == 1).all())


def _are_months(column: pandas.Series, at: np.ndarray, texts: list[str]) -> bool:
    """Whether times are months one after the other, which tells 1960.10 the month from 1960.1 the number."""
    months = np.unique(at.astype("datetime64[M]").astype(np.int64))
    return len(months) > 3 and bool((np.diff(months) == 1).all()) and len(set(map(len, texts))) == 1


_YEAR, _CENTURIES = r"(?P<year>1[6-9]\d\d|2[01]\d\d)", r"(?P<year>(?:19|20)\d\d)"
_MONTH, _DAY_OF_MONTH, _WEEK = (
    r"(?P<month>0[1-9]|1[0-2])",
    r"(?P<day>0[1-9]|[12]\d|3[01])",
    r"(?P<week>0[1-9]|[1-4]\d|5[0-3])",
)
_MONTHS_AND_YEAR = re.compile(r"(?:1[6-9]\d\d|2[01]\d\d)(?:0[1-9]|1[0-3])")
_MONDAYS = ("weeks are ISO weeks, named by their Monday",)
_SIX = ("dates in six digits are read as year, month and day",)
_FORMS = (
    _Form("day", rf"(?P<year>1[5-9]\d\d|2\d{{3}}){_MONTH}{_DAY_OF_MONTH}"),
    _Form("week", rf"{_YEAR}{_WEEK}", _is_week, _MONDAYS),
    _Form("month", rf"{_YEAR}{_MONTH}"),
    _Form("month", rf"{_MONTH}{_CENTURIES}", _is_named),
    _Form("day", rf"(?P<short>\d\d){_MONTH}{_DAY_OF_MONTH}", _is_named, _SIX),
    _Form("quarter", rf"{_CENTURIES}(?P<quarter>[1-4])", _are_quarters),
    _Form("week", rf"{_YEAR}{_WEEK}", notes=_MONDAYS),
    _Form("month", rf"{_YEAR}\.{_MONTH}", _are_months),
    _Form("month", rf"0?(?P<month>0?[1-9]|1[0-2])\.{_CENTURIES}"),
    _Form("day", rf"{_CENTURIES}(?P<ordinal>00[1-9]|0[1-9]\d|[12]\d\d|3[0-5]\d|36[0-6])"),
    _Form("day", rf"{_CENTURIES}\.(?P<ordinal>\d{{3}})", _are_days),
    _Form("day", rf"(?P<day>0?[1-9]|[12]\d|3[01]){_MONTH}{_CENTURIES}", _is_named),
    _Form("day", rf"(?P<month>0?[1-9]|1[0-2]){_DAY_OF_MONTH}{_CENTURIES}", _is_named),
)


def of_numbers(column: pandas.Series, values: np.ndarray, texts: list[str]) -> Times:
    """Numbers as times: dates in digits, years, fractions of years, seconds since 1970, Excel's days; or as numbers."""
    import pandas as pd

    whole = bool((values == np.round(values)).all() and np.abs(values).max() < 2**62)
    text = pd.Series(plain(values)) if not is_text(column) else column.reset_index(drop=True)
    if not _is_week(column, values, texts) and all(map(_MONTHS_AND_YEAR.fullmatch, texts)):
        total = next((one for one in texts if one.endswith("13")), None)
        if total is not None:
            error = UnreadableError(
                f"{column.name} is {total}, a month 13 as of yearly totals: remove those rows, or name weeks week"
            )
            error.share = 12 / 13
            raise error
    for form in _FORMS:
        if not all(re.fullmatch(form.pattern, one) for one in texts):
            continue
        parts = text.str.extract(f"^{form.pattern}$")
        if "short" in parts:
            parts["year"] = in_century(parts.pop("short").astype(int)).astype(str)
        try:
            at = compose(parts)
        except ImpossibleError:
            continue
        if form.fits(column, at, texts):
            if form.pattern.startswith("(?P<day>"):
                _check_order(column, parts, at)
            return Times(at, "day" if form.style == "week" else form.style, notes=form.notes)
    if all(re.fullmatch(r"(19|20)\d{8}(\d\d){0,2}", one) for one in texts):
        at = pd.to_datetime(text.str.ljust(14, "0"), format="%Y%m%d%H%M%S", errors="coerce")
        if at.notna().all():
            return Times(at.to_numpy("datetime64[us]"), "clock")
    if whole and _YEARS[0] <= values.min() and values.max() <= _YEARS[1]:
        return Times(values.astype(np.int64), "year")
    if whole:
        for unit, low, high, scale in _EPOCHS:
            if low <= values.min() and values.max() <= high:
                if _TICKS[0] <= values.min() and values.max() <= _TICKS[1]:
                    at = np.datetime64("0001-01-01", "us") + (values // 10).astype(np.int64)
                    return Times(at, "clock", notes=("times are ticks of 100 nanoseconds since the year 1",))
                return Times(
                    (values * scale).astype("datetime64[us]"),
                    "clock",
                    UTC,
                    (f"times are {unit} since 1970, in UTC",),
                )
    excel = _excel(column, values)
    return excel or _fractions(values) or Times(values.astype(np.int64) if whole else values, "number")


def in_century(two: pandas.Series) -> np.ndarray:
    """Years of two digits as 1940 to 2039, or all as of the twentieth century if that brings them closer together.

    >>> import pandas
    >>> in_century(pandas.Series([99, 0])).tolist(), in_century(pandas.Series([30, 60])).tolist()
    ([1999, 2000], [1930, 1960])
    """
    years = np.where(two < 40, 2000, 1900) + two.to_numpy()
    return 1900 + two.to_numpy() if np.ptp(two) < np.ptp(years) else years


def _check_order(column: pandas.Series, parts: pandas.DataFrame, at: np.ndarray) -> None:
    """Refuse dates of digits, read day first, that can be read month first too."""
    try:
        other = compose(parts.rename(columns={"day": "month", "month": "day"}))
    except ImpossibleError:
        return
    if (other != at).any():
        row = int(np.argmax(other != at))
        raise ValueError(
            f"{column.name} is {column.iloc[row]!s}, which can be read in two ways, {str(at[row])[:10]} or "
            f"{str(other[row])[:10]}: write dates such as 2020-01-31"
        )


def _excel(column: pandas.Series, values: np.ndarray) -> Times | None:
    """Days since 1899-12-30, in a column that is called a date."""
    if not _words.is_time_name(column.name, dates=True) or not (values.min() >= 20000 and values.max() < 75000):
        return None
    at = np.datetime64("1899-12-30", "us") + np.round(values * _DAY / 1e6).astype(np.int64) * 1_000_000
    whole = bool((values == np.round(values)).all())
    return Times(at, "day" if whole else "clock", notes=("numbers are Excel's dates, days since 1899-12-30",))


def _fractions(values: np.ndarray) -> Times | None:
    """Months or quarters as fractions of a year."""
    if not (_YEARS[0] <= values.min() and values.max() <= _YEARS[1]):
        return None
    count = len(np.unique(values))
    for parts, style in ((12, "month"), (4, "quarter")):
        places = np.round(values * parts)
        if count > 2 and (abs(values * parts - places) < 0.007 * parts).all() and len(np.unique(places)) == count:
            months = (places * (12 // parts)).astype(np.int64) - 1970 * 12
            at = months.astype("datetime64[M]").astype("datetime64[us]")
            return Times(at, style, notes=(f"times are years with {style}s as fractions",))
    return None


def compose(parts: pandas.DataFrame) -> np.ndarray:
    """Days from their parts, which are text.

    Raises:
        ImpossibleError: with a mask of the days that no calendar has.
    """
    one = {name: parts[name].fillna("1").astype(int).to_numpy() for name in parts if name not in ("next", "last")}
    one |= {name: np.ones(len(parts), int) for name in ("month", "quarter", "part") if name not in one}
    years = (one["year"] - 1970).astype("datetime64[Y]").astype("datetime64[M]")
    month = one["month"] + 3 * (one["quarter"] - 1) + 6 * (one["part"] - 1)
    days = (years + (month - 1)).astype("datetime64[D]")
    wrong = (month < 1) | (month > 12)
    if "week" in one:
        fourth = years.astype("datetime64[D]") + 3  # the 4th of January is always in week 1
        monday = fourth - (fourth.astype(np.int64) + 3) % 7
        days = monday + 7 * (one["week"] - 1) + (one.get("weekday", 1) - 1)
        following = (years + 12).astype("datetime64[D]") + 3
        wrong = (one["week"] < 1) | (monday + 7 * one["week"] > following - (following.astype(np.int64) + 3) % 7)
    elif "ordinal" in one:
        days = days + (one["ordinal"] - 1)
        wrong = days.astype("datetime64[Y]") != years.astype("datetime64[Y]")
    elif "day" in one:
        days = days + (one["day"] - 1)
        wrong |= (one["day"] < 1) | (days.astype("datetime64[M]") != years + (month - 1))
    if wrong.any():
        raise ImpossibleError(wrong)
    return days.astype("datetime64[us]")
