"""The times of rows as asked for: in a zone, in periods, from one time to another."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from jax_lstm.tables._arrange import Rows
from jax_lstm.tables._calendar import DAY
from jax_lstm.tables._times import Times

_SECONDS = {"s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hour": 3600}
_DAYS = {"d": 1, "day": 1, "w": 7, "week": 7}
_MONTHS = {"mo": 1, "m": 1, "ms": 1, "me": 1, "month": 1, "q": 3, "qs": 3, "qe": 3, "quarter": 3, "y": 12, "ys": 12,
           "year": 12}  # fmt: skip


def as_dates(times: Times) -> Times:
    """Local midnights that are written in UTC, whose hour changes in summer, as the dates that they are."""
    if times.at.dtype.kind != "M" or len(times.at) < 3:
        return times
    seconds = (times.at - times.at.astype("datetime64[D]")).astype(np.int64) // 1_000_000
    hours = np.unique(seconds)
    steps = np.abs(np.diff(np.unique(times.at)).astype(np.int64)) / 3.6e9
    if (
        len(hours) != 2
        or hours[1] - hours[0] != 3600
        or np.median(steps) < 23
        or str(times.zone) not in ("UTC", "None")
    ):
        return times
    days = times.at.astype("datetime64[D]") + (1 if hours[0] >= 12 * 3600 else 0)
    kinds = " and ".join(f"{hour // 3600:02}:{hour % 3600 // 60:02}" for hour in hours)
    return Times(
        days.astype("datetime64[us]"),
        "day",
        None,
        (*times.notes, f"times at {kinds} are local midnights: read as dates"),
    )


def in_zone(rows: Rows, zone: str) -> Rows:
    """Local times in their zone; of an hour that a clock repeats, the first row of a series is summer time."""
    import pandas as pd

    times = rows.times
    if times is None or times.at.dtype.kind != "M":
        raise ValueError(f"zone= is {zone!r}, but the table has no times that could be in it")
    try:
        index = pd.DatetimeIndex(times.at).tz_localize("UTC" if times.zone else None)
        if times.zone is not None:
            index.tz_convert(zone)
            return rows._replace(times=times._replace(zone=zone))
        first = ~pd.DataFrame({"code": rows.codes, "at": times.at}).duplicated().to_numpy()
        found = index.tz_localize(zone, ambiguous=first, nonexistent="NaT")
    except Exception as error:  # a library of time zones raises its own
        raise ValueError(
            f"zone= is {zone!r}, expected the name of a time zone such as Europe/Berlin ({error})"
        ) from None
    if found.isna().any():
        row = int(found.isna().argmax())
        raise ValueError(f"{rows.place(row)}: the time {index[row]} does not exist in {zone}, where clocks skip it")
    return rows._replace(
        times=times._replace(at=found.tz_convert("UTC").tz_localize(None).to_numpy("datetime64[us]"), zone=zone)
    )


def resample(rows: Rows, every: str) -> Rows:
    """Times at the beginning of their period, such as "1h" or "1month"; those close to a beginning go to it."""
    match = re.fullmatch(r"(\d*)\s*([A-Za-z]+)", every.strip())
    unit = match[2].lower() if match else ""
    unit = unit.removesuffix("s") if len(unit) > 2 else unit
    if not match or unit not in {**_SECONDS, **_DAYS, **_MONTHS} or int(match[1] or 1) < 1:
        raise ValueError(
            f"every= is {every!r}, expected a number and s, min, h, d, w, month, quarter or year, such as 15min"
        )
    if rows.times is None or rows.times.at.dtype.kind != "M":
        raise ValueError(f"every= is {every!r}, but the table has no dates: name their column with time=")
    count, times = int(match[1] or 1), rows.times
    if unit in _MONTHS:
        step = count * _MONTHS[unit]
        months = rows.local().astype("datetime64[M]").astype(np.int64) // step * step
        return rows._replace(times=times._replace(at=months.astype("datetime64[M]").astype("datetime64[us]"),
                                                  style="month", zone=None))  # fmt: skip
    at = times.at if unit in _SECONDS else rows.local()
    step = 1_000_000 * count * (_SECONDS[unit] if unit in _SECONDS else _DAYS[unit] * DAY)
    monday = np.datetime64("1970-01-05", "us")
    places = (at - monday).astype(np.int64) / step
    near = bool(np.abs(places - np.round(places)).max() <= 0.1)
    found = monday + (np.round(places) if near else np.floor(places)).astype(np.int64) * np.timedelta64(step, "us")
    if unit in _DAYS:
        times = times._replace(zone=None)
    style = "day" if step % (DAY * 1_000_000) == 0 else times.style
    return rows._replace(times=times._replace(at=found, style=style))


def between(rows: Rows, start: Any, end: Any) -> Rows:
    """The rows from one time to another, both included."""
    at = rows.times.at if rows.times is not None and rows.times.zone is None else rows.local()
    kept = np.ones(len(rows.codes), bool)
    for bound, name, compare in ((start, "start", np.greater_equal), (end, "end", np.less_equal)):
        if bound is None:
            continue
        if rows.times is None:
            raise ValueError(f"{name}= is {bound!r}, but the table has no times: name their column with time=")
        try:
            edge = (
                float(bound) if at.dtype.kind != "M" else np.datetime64(str(bound).replace(" ", "T").removesuffix("Z"))
            )
        except ValueError:
            raise ValueError(f"{name}= is {bound!r}, expected a time such as 2020-01-31") from None
        unit = "" if isinstance(edge, float) else np.datetime_data(edge.dtype)[0]
        kept &= compare(at.astype(f"datetime64[{unit}]") if unit else at, edge)
    if not kept.any():
        raise ValueError(f"{rows.sheet.name} has no rows from {start or 'its first'} to {end or 'its last'}")
    return rows.take(np.flatnonzero(kept))
