"""Years of the Buddhist, Persian and Islamic calendars, which are refused: they would be read as years of ours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from jax_lstm.tables import _words
from jax_lstm.tables._numbers import plain
from jax_lstm.tables._sheet import Sheet
from jax_lstm.tables._times import Times, UnreadableError

if TYPE_CHECKING:
    import pandas

_BUDDHIST = 2401, 2700
_PERSIAN = 1300, 1500
"""In years of ours before anybody wrote series by month or day."""
_DIGITS = re.compile(r"(?P<year>1[34]\d\d)(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])?")


def check_calendar(column: pandas.Series, found: Times, sheet: Sheet) -> None:
    """Refuse times that were read, where their years are those of another calendar.

    Raises:
        UnreadableError: which year, and how to write it. Bare years are refused only if they are Buddhist.
    """
    if found.at.dtype.kind == "M":
        _check(column, found.at.astype("datetime64[Y]").astype(np.int64) + 1970, sheet, 1.0)
    elif not _words.is_time_name(column.name):
        return
    elif found.style == "year":
        _check(column, np.maximum(found.at, _PERSIAN[1]), sheet, 1.0)
    else:
        matches = [_DIGITS.fullmatch(text) for text in plain(column)]
        years = [int(match["year"]) for match in matches if match]
        if len(years) == len(matches):
            _check(column, np.array(years), sheet, 1.0)


def check_unread(column: pandas.Series, sheet: Sheet, share: float) -> None:
    """Refuse texts that were not read for their year, where all have one of another calendar.

    Args:
        column: of texts.
        sheet: names the line in messages.
        share: of the texts that could be read.

    Raises:
        UnreadableError: which year, and how to write it.
    """
    years = column.str.extract(r"(?<!\d)(2[4-6]\d\d|1[34]\d\d)(?!\d)")[0]
    if years.notna().all():
        _check(column, years.astype(int).to_numpy(), sheet, share)


def _check(column: pandas.Series, years: np.ndarray, sheet: Sheet, share: float) -> None:
    late = (years >= _BUDDHIST[0]) & (years < _BUDDHIST[1])
    early = (years >= _PERSIAN[0]) & (years < _PERSIAN[1])
    if late.any():
        year = int(years[np.argmax(late)])
        fault = f"whose year {year} is one of the Buddhist calendar: write {year - 543}"
    elif early.all():
        fault = f"whose year {years[0]} is one of the Persian or Islamic calendar: write dates such as 2020-01-31"
    else:
        return
    error = UnreadableError(sheet.refusal(column, late if late.any() else early, fault))
    error.share = share
    raise error
