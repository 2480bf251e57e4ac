"""A CSV file as a regular series: columns of numbers, and a calendar of their times. What does not fit is refused by its line."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}
"""What stands for a missing value, in any case."""

_SEASONS = {("M", 1): 12, ("M", 3): 4, ("D", 1): 7, ("s", 86400): 7, ("s", 3600): 24, ("M", 12): 1, ("Y", 1): 1}


class Calendar(NamedTuple):
    """Regular times: row r is at `first + r*step`, in a unit of `numpy.datetime64` or in plain numbers.

    Args:
        unit: "M" for months, "D" for days and so on; "" for numbers.
        first, step: in that unit.
        within: for months whose dates have a day, the days after the first of the month, or -1 for the month's last day; else None.
    """

    unit: str
    first: float
    step: float
    within: int | None = None

    def times(self, rows) -> np.ndarray:
        """The times of some rows: datetime64 or numbers."""
        at = self.first + self.step * np.asarray(rows)
        if not self.unit:
            return at
        dates = at.astype(np.int64).astype(f"datetime64[{self.unit}]")
        if self.within is None:
            return dates
        return (
            (dates + 1).astype("datetime64[D]") - 1 if self.within < 0 else dates.astype("datetime64[D]") + self.within
        )

    @property
    def season(self) -> int | None:
        """The usual period of such a calendar: 12 for months, 4 for quarters, 7 for days, 24 for hours; None where it does not say."""
        return _SEASONS.get((self.unit, int(self.step)))


class Table(NamedTuple):
    """What was read: `values (rows, columns)`, NaN where one is missing, and the calendar, None without a column of times."""

    names: tuple[str, ...]
    values: np.ndarray
    calendar: Calendar | None

    def times(self, rows) -> np.ndarray:
        """The times of some rows, counted from 1 where there is no calendar."""
        return np.asarray(rows) + 1 if self.calendar is None else self.calendar.times(rows)


def read_csv(path: str | os.PathLike, column: str, *, time: str | None = None, inputs: Sequence[str] = ()) -> Table:
    """Read a series, and other columns beside it, from a CSV file with a header; commas, semicolons, tabs or bars may separate.

    Rows that a regular calendar has and the file has not are missing values, as are empty cells and "NA". Rows before the series' first
    value and after its last are left out.

    Args:
        path: the file.
        column: the name of the series' column.
        time: the name of the column of times: numbers, or ISO dates such as 1949-01 or 1949-01-31 12:00.
        inputs: the names of further columns.

    Raises:
        ValueError: a column that is not there, text among numbers, times that are not regular: in one line that names the line of the file.
        OSError: no such file.
    """
    name = os.fspath(path)
    lines, header = _read(name)
    wanted = [column, *inputs]
    for one in [*wanted, *([] if time is None else [time])]:
        if header.count(one) != 1:
            said = "has no column" if one not in header else "has more than one column"
            raise ValueError(f"{name} {said} {one!r}, expected one of {', '.join(header)}")
    values = np.array(
        [[_number(name, number, one, cells[header.index(one)]) for one in wanted] for number, cells in lines]
    )
    calendar = None
    if time is not None:
        texts = [(number, cells[header.index(time)].strip()) for number, cells in lines]
        calendar, places = _regular(name, time, texts)
        spread = np.full((places[-1] + 1, len(wanted)), np.nan)
        spread[places] = values
        values = spread
    known = np.flatnonzero(~np.isnan(values[:, 0]))
    if not known.size:
        raise ValueError(f"{name} has no values in column {column!r}")
    if calendar is not None:
        calendar = calendar._replace(first=calendar.first + int(known[0]) * calendar.step)
    return Table(tuple(wanted), values[known[0] : known[-1] + 1], calendar)


def _read(name: str) -> tuple[list[tuple[int, list[str]]], list[str]]:
    """The rows with the numbers of their lines, and the header."""
    try:
        with open(name, newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(",;\t|", key=first.count), skipinitialspace=True)
            rows = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{name} is not a text file of comma-separated values in UTF-8 ({error})") from error
    if len(rows) < 2:
        raise ValueError(f"{name} has {len(rows)} lines, expected a header and one line for each time")
    (_, header), *lines = rows
    for number, cells in lines:
        if len(cells) != len(header):
            raise ValueError(f"{name} line {number} has {len(cells)} cells, but the header has {len(header)}")
    return lines, [cell.strip() for cell in header]


def _number(name: str, line: int, column: str, text: str) -> float:
    text = text.strip()
    if text.lower() in MISSING:
        return np.nan
    try:
        value = float(re.sub(r"^([-+]?\d+),(\d+)$", r"\1.\2", text))
    except ValueError:
        value = np.inf
    if not np.isfinite(value):
        raise ValueError(
            f"{name} line {line}: {column} is {text!r}, expected a finite number, or an empty cell where it is missing"
        )
    return value


def _regular(name: str, time: str, texts: list[tuple[int, str]]) -> tuple[Calendar, np.ndarray]:
    """The calendar of the times, and the place of each row in it; or a refusal of the first line that does not fit."""
    unit, within, at = _at(name, time, texts)
    steps = np.diff(at)
    for (line, text), step in zip(texts[1:], steps, strict=True):
        if step <= 0:
            said = "is there twice" if step == 0 else "comes after a later time"
            raise ValueError(f"{name} line {line}: {time} {text!r} {said}: keep one row for each time, in order")
    if not steps.size:
        raise ValueError(f"{name} has one row, expected a series")
    kinds, counts = np.unique(np.round(steps, 9), return_counts=True)
    usual = kinds[np.argmax(counts)]
    places = (at - at[0]) / usual
    odd = np.abs(places - np.round(places)) > 1e-6
    if odd.any():
        line, text = texts[int(np.argmax(odd))]
        raise ValueError(
            f"{name} line {line}: {time} {text!r} is not a whole number of steps of {usual:g}{unit} after the first, as most rows are"
        )
    places = np.round(places).astype(int)
    if places[-1] + 1 > 2 * len(places):
        line, text = texts[int(np.argmax(steps)) + 1]
        raise ValueError(
            f"{name} line {line}: before {time} {text!r} more rows are missing than there are: begin the file there"
        )
    return Calendar(unit, at[0].item(), usual.item(), within), places


def _at(name: str, time: str, texts: list[tuple[int, str]]) -> tuple[str, int | None, Any]:
    """The unit of the times, the day within the month, and the times as numbers in that unit."""
    try:
        numbers = np.array([float(text) for _, text in texts])
    except ValueError:
        pass
    else:
        if np.isfinite(numbers).all():
            whole = (numbers == np.round(numbers)).all()
            return "", None, numbers.astype(np.int64) if whole else numbers
    parsed = []
    for line, text in texts:
        try:
            if not re.match(r"\d{4}-\d\d", text) or text.endswith("Z") or "+" in text:
                raise ValueError
            parsed.append(np.datetime64(text))
        except ValueError:
            raise ValueError(
                f"{name} line {line}: {time} is {text!r}, expected a number or an ISO date such as 1949-01 or 1949-01-31 12:00"
            ) from None
    dates = np.array(parsed)
    if np.datetime_data(dates.dtype)[0] == "M":
        return "M", None, dates.astype(np.int64)
    days, months = dates.astype("datetime64[D]"), dates.astype("datetime64[M]")
    if (dates == days).all():
        day = (days - months.astype("datetime64[D]")).astype(np.int64)
        if len(set(months.tolist())) == len(dates):
            if (day == day[0]).all():
                return "M", int(day[0]), months.astype(np.int64)
            if (days + 1 == (months + 1).astype("datetime64[D]")).all():
                return "M", -1, months.astype(np.int64)
        return "D", None, days.astype(np.int64)
    return "s", None, dates.astype("datetime64[s]").astype(np.int64)
