"""Times of the day and zones in text."""

from __future__ import annotations

import re
from datetime import UTC, timedelta, timezone
from typing import TYPE_CHECKING

import numpy as np

from jax_lstm.tables._sheet import Sheet
from jax_lstm.tables._times import Times

if TYPE_CHECKING:
    import pandas

_ZONE_NAME = r"(?<=[\d ])\(?(?:[a-z]{3,4}|[a-z]+(?:/[a-z_]+)+|(?:[a-z]+ )+time)"
_ZONE = rf"(?P<zone>z|utc|gmt|[+-]\d\d(?::?\d\d)?|{_ZONE_NAME})?(?:\[.*\])?"
CLOCK = re.compile(
    r"(?P<date>.*?\S)?(?:(?<=\d)t|,?\s+|\s*-\s+|\s*_|(?<=\d\d\d\d):)"
    r"(?P<hour>\d{1,2})(?:[:h.](?P<minute>\d\d)(?:[:.](?P<second>\d\d)(?:[.,](?P<fraction>\d+))?)?\s*|h|"
    r"(?=\s*[ap]\.?\s?m)\s*)(?P<half>[ap])?\.?\s?(?(half)m\.?)\s*" + _ZONE
)
HOUR = re.compile(
    r"(?P<date>\d+[-/.]\d+[-/.]\d+(?=[t\s])|\d{8})[-_t\s]\s*(?P<hour>\d\d?)(?P<minute>\d\d)?(?P<second>\d\d)?" + _ZONE
)
FIELDS = ["date", "hour", "minute", "second", "fraction", "half", "zone"]
"""The groups of the patterns."""


def time_of_day(column: pandas.Series, clocks: pandas.DataFrame, sheet: Sheet) -> np.ndarray:
    """What each row's clock adds to its day; 24:00 is the end of the day."""
    hour, minute, second = (clocks[name].fillna("0").astype(int).to_numpy() for name in ("hour", "minute", "second"))
    fraction = clocks["fraction"].fillna("").str[:6].str.ljust(6, "0").astype(int)
    half = clocks["half"].fillna("")
    wrong = (hour > 24) | ((hour == 24) & ((minute > 0) | (second > 0))) | (minute > 59) | (second > 60)
    wrong |= (half != "") & ((hour > 12) | (hour < 1))
    if wrong.any():
        sheet.refuse(column, wrong, "which no clock shows")
    hour = np.where(half != "", hour % 12 + 12 * (half == "p"), hour)
    total = (hour * 3600 + minute * 60 + second) * 1_000_000 + np.asarray(fraction)
    return total.astype("timedelta64[us]")


def in_zone(column: pandas.Series, at: np.ndarray, zones: pandas.Series, notes: tuple[str, ...], sheet: Sheet) -> Times:
    """Times in their zone where it is one; dates where all are midnights; else in UTC, with a note."""
    named = zones.str.fullmatch(r"\(?[a-z/_ ]+") & ~zones.isin(["z", "utc", "gmt"])
    if named.any():
        zone = zones[named].iloc[0].strip("(")
        written = re.search(re.escape(zone), column[named].iloc[0], re.IGNORECASE)
        zone = written[0] if written else zone
        full = "/" in zone
        fault = f"whose zone {zone} {'follows every time' if full else 'has several meanings'}"
        fix = f'zone="{zone}"' if full else 'its full name as zone=, such as zone="Europe/Berlin"'
        sheet.refuse(column, named, f"{fault}: remove it and give {fix}{'' if full else ', or write +01:00'}")
    digits = zones.str.replace(":", "").where(~zones.isin(["z", "utc", "gmt"]), "+0000").str.ljust(5, "0")
    minutes = digits.str[1:3].astype(int) * 60 + digits.str[3:5].astype(int)
    minutes = (minutes * np.where(digits.str[0] == "-", -1, 1)).to_numpy()
    if len(set(minutes)) == 1:
        shift = timedelta(minutes=int(minutes[0]))
        return Times(at - np.timedelta64(shift), "clock", timezone(shift) if shift else UTC, notes)
    kinds = " and ".join(sorted(set(column.str.extract(r"(Z|[-+]\d\d:?\d*)$")[0].dropna())))
    if (at == at.astype("datetime64[D]")).all():
        return Times(at, "day", notes=(*notes, f"times are midnights of the zones {kinds}: read as dates"))
    instants = at - (minutes * 60_000_000).astype("timedelta64[us]")
    return Times(instants, "clock", UTC, (*notes, f"times of the zones {kinds} are brought to UTC"))
