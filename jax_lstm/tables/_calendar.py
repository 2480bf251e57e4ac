"""Regular times: the frequency of a column of times, and the times that follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas

DAY = 86400
_MONTHLY = {1: "monthly", 2: "two-monthly", 3: "quarterly", 6: "half-yearly", 12: "yearly"}
_TIMED = {1: "every second", 60: "every minute", 1800: "half-hourly", 3600: "hourly", DAY: "daily", 7 * DAY: "weekly",
          14 * DAY: "two-weekly", 28 * DAY: "four-weekly"}  # fmt: skip
_MICRO = 1_000_000


class Calendar(NamedTuple):
    """Regular times, without their beginning; only numbers and words, so that a file stores it.

    Args:
        kind: "rows" (no times), "numbers", "months", "sessions" (some hours of some weekdays) or "seconds".
        step: in the unit of the kind.
        day: of months the day: 1 to 31, "last", "last business" or "first business".
        style: how times are written: "number", "year", "quarter", "month", "day" or "clock".
        zone: of the times, "" for local times and dates.
        weekdays: of sessions, such as "1111100" for Monday to Friday.
        slots: of sessions, the seconds of the day.
    """

    kind: str
    step: float = 1
    day: int | str = 1
    style: str = "number"
    zone: str = ""
    weekdays: str = "1111111"
    slots: tuple[int, ...] = (0,)

    @property
    def name(self) -> str:
        """The frequency in words, such as "monthly" or "every 15 minutes"."""
        step = int(self.step)
        if self.kind == "rows":
            return "rows in order, without times"
        if self.kind == "numbers":
            years = "yearly" if step == 1 else f"every {step} years"
            return years if self.style == "year" else f"steps of {self.step:g}"
        if self.kind == "sessions":
            days = "business days" if self.weekdays == "1111100" else f"{self.weekdays.count('1')} days a week"
            if len(self.slots) == 1:
                return days
            first, last = (f"{slot // 3600:02}:{slot % 3600 // 60:02}" for slot in (self.slots[0], self.slots[-1]))
            return f"{self._replace(kind='seconds').name} from {first} to {last}, {days}"
        if self.kind == "months":
            return _MONTHLY.get(step) or (f"every {step // 12} years" if step % 12 == 0 else f"every {step} months")
        if step == self.step and step in _TIMED:
            return _TIMED[step]
        for size, unit in ((DAY, "days"), (3600, "hours"), (60, "minutes")):
            if self.step % size == 0:
                return f"every {step // size} {unit}"
        return f"every {self.step:g} seconds"

    @property
    def is_local(self) -> bool:
        """Whether steps are days and months of a zone, which need not have 24 hours."""
        return self.kind in ("months", "sessions") or (self.kind == "seconds" and self.step % DAY == 0)

    def ordinals(self, at: np.ndarray) -> np.ndarray:
        """Times as numbers that are a `step` apart from one time of the calendar to the next; NaN off a session."""
        if self.kind in ("rows", "numbers"):
            return at.astype(float)
        if self.kind == "seconds":
            return (at - at.min()).astype(np.int64) / _MICRO
        if self.kind == "months":
            return at.astype("datetime64[M]").astype(np.int64).astype(float)
        days = at.astype("datetime64[D]")
        seconds = (at - days).astype(np.int64) // _MICRO
        slot = np.minimum(np.searchsorted(self.slots, seconds), len(self.slots) - 1)
        counted = np.busday_count("1970-01-01", days, weekmask=self.weekdays) * len(self.slots) + slot
        fits = (np.asarray(self.slots)[slot] == seconds) & np.is_busday(days, weekmask=self.weekdays)
        return np.where(fits, counted * self.step, np.nan)

    def times(self, first: Any, places: Any) -> pandas.Index:
        """The times some steps after `first`: time stamps, or numbers.

        >>> Calendar("months", 1, "last", "day").times(np.datetime64("2020-01-31"), [0, 1]).astype(str).tolist()
        ['2020-01-31', '2020-02-29']
        """
        import pandas as pd

        places = np.asarray(places)
        if self.kind in ("rows", "numbers"):
            step = int(self.step) if self.step == int(self.step) else self.step
            return pd.Index(first + step * places)
        first = np.datetime64(first, "us")
        if self.kind == "seconds":
            at = first + np.round(places * self.step * _MICRO).astype("timedelta64[us]")
        elif self.kind == "sessions":
            day = first.astype("datetime64[D]")
            slot = self.slots.index(int((first - day).astype(np.int64) // _MICRO))
            days, slots = np.divmod(slot + places, len(self.slots))
            at = np.busday_offset(day, days, weekmask=self.weekdays).astype("datetime64[us]")
            at = at + (np.asarray(self.slots)[slots] * _MICRO).astype("timedelta64[us]")
        else:
            months = first.astype("datetime64[M]") + (places * self.step).astype(int)
            at = on_day(months, self.day) + (first - first.astype("datetime64[D]"))
        index = pd.DatetimeIndex(at)
        if not self.zone:
            return index
        if not self.is_local:
            return index.tz_localize("UTC").tz_convert(self.zone)
        return index.tz_localize(self.zone, ambiguous=np.ones(len(at), bool), nonexistent="shift_forward")

    def texts(self, times: pandas.Index) -> list[str]:
        """Times as text that reads back as the same times."""
        if self.kind in ("rows", "numbers"):
            return [str(time) for time in times.tolist()]
        if self.style == "quarter":
            return [f"{time.year}Q{(time.month + 2) // 3}" for time in times]
        form = {"month": "%Y-%m", "day": "%Y-%m-%d"}.get(self.style)
        if form is not None:
            return [f"{time.year:04}-{time.month:02}{f'-{time.day:02}' * (self.style == 'day')}" for time in times]
        exact = "seconds" if any(time.second for time in times) else "minutes"
        exact = "auto" if any(time.microsecond for time in times) else exact
        return [time.isoformat(sep=" ", timespec=exact).replace("+00:00", "Z") for time in times]


def infer(at: np.ndarray, same: np.ndarray, style: str, zone: str, local: np.ndarray) -> tuple[Calendar, str]:
    """The calendar that the times of all series have in common, from how far apart most of them are; and a note.

    Args:
        at: sorted within each series, without duplicates; in UTC where there is a zone.
        same: whether each time but the first belongs to the series of the one before.
        style, zone: as in `Calendar`.
        local: the times as clocks of the zone show them.

    >>> at = np.array(["2020-01-31", "2020-02-28", "2020-03-31"], "datetime64[us]")
    >>> infer(at, np.ones(2, bool), "day", "", at)[0]
    Calendar(kind='months', step=1, day='last business', style='day', zone='', weekdays='1111111', slots=(0,))
    """
    if style in ("number", "year"):
        return Calendar("numbers", _usual(np.round(np.diff(at)[same], 9)) if same.any() else 1, style=style), ""
    if not same.any():
        return Calendar("seconds", DAY, style=style, zone=zone), ""
    seconds = (np.diff(local)[same]).astype(np.int64) / _MICRO
    months = np.diff(local.astype("datetime64[M]").astype(np.int64))[same]
    exact = len(seconds) > 2 and _usual(seconds) == 28 * DAY and (seconds % (28 * DAY) == 0).all()
    if np.median(seconds) >= 28 * DAY and months.min() > 0 and not exact:
        day = _day(local)
        varies = day is None and style == "day"
        note = "the days of the months vary: each row counts as its month" if varies else ""
        return Calendar("months", int(_usual(months)), day or 1, "month" if varies else style, zone), note
    step = _usual(seconds)
    step = step if step % DAY == 0 else _usual((np.diff(at)[same]).astype(np.int64) / _MICRO)
    step = int(step) if step == int(step) else step
    found = _sessions(local, seconds, step, style, zone)
    return found or Calendar("seconds", step, style=style, zone=zone), ""


def _sessions(local: np.ndarray, seconds: np.ndarray, step: float, style: str, zone: str) -> Calendar | None:
    """Some hours of some weekdays, such as those of an exchange or of a shop, where nearly all of them have rows."""
    days = local.astype("datetime64[D]")
    slots = np.unique((local - days).astype(np.int64) // _MICRO)
    every = np.unique(days)
    weekday = (every.astype(np.int64) + 3) % 7
    weeks = (every[-1] - every[0]).astype(int) / 7
    used = np.bincount(weekday, minlength=7) > 0
    business = not used[5:].any() and (weeks >= 2 or (seconds >= 3 * DAY).any())
    mask = "1111100" if business else "".join(map(str, used.astype(int))) if weeks >= 3 else "1111111"
    if step == DAY and len(slots) == 1:
        regular = len(every) >= 0.7 * np.busday_count(every[0], every[-1] + 1, weekmask=mask)
        if mask == "1111111" or used.sum() < 4 or not regular:
            return None
    else:
        whole = len(slots) > 1 and (np.diff(slots) == step).all() and len(slots) * step <= 0.75 * DAY
        if not whole or len(every) < 3 or len(local) < 0.8 * len(slots) * len(every):
            return None
    return Calendar("sessions", step, style=style, zone=zone, weekdays=mask, slots=tuple(slots.tolist()))


def _usual(steps: np.ndarray) -> Any:
    kinds, counts = np.unique(steps, return_counts=True)
    return kinds[np.argmax(counts)].item()


def _day(local: np.ndarray) -> int | str | None:
    """What the days within the months have in common, None for nothing."""
    months, days = local.astype("datetime64[M]"), local.astype("datetime64[D]")
    numbers = (days - months.astype("datetime64[D]")).astype(int) + 1
    latest = int(numbers.max())
    if (numbers == latest).all():
        return latest
    for day in ("last", "last business", "first business", latest):
        if (days == on_day(months, day).astype("datetime64[D]")).all():
            return day
    return None


def on_day(months: np.ndarray, day: int | str) -> np.ndarray:
    """A day of each month."""
    first = months.astype("datetime64[D]")
    last = (months + 1).astype("datetime64[D]") - 1
    if day == "first business":
        found = np.busday_offset(first, 0, roll="forward")
    elif day == "last business":
        found = np.busday_offset(last, 0, roll="backward")
    else:
        found = last if isinstance(day, str) else np.minimum(first + (day - 1), last)
    return found.astype("datetime64[us]")
