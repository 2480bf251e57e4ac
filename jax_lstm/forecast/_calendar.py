"""Regular times: the frequency that a column of times has, the season that comes with it, and the times that follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jax_lstm.forecast._dates import Times

if TYPE_CHECKING:
    import pandas

DAY = 86400
_MONTHLY = {1: "monthly", 2: "two-monthly", 3: "quarterly", 6: "half-yearly", 12: "yearly"}
_TIMED = {
    1: "every second",
    60: "every minute",
    1800: "half-hourly",
    3600: "hourly",
    DAY: "daily",
    7 * DAY: "weekly",
    14 * DAY: "two-weekly",
    28 * DAY: "four-weekly",
}


class Calendar(NamedTuple):
    """Regular times, without their beginning; only numbers and words, so that a file keeps it.

    Args:
        kind: "rows" (no times), "numbers", "months" (every so many), "business days" or "seconds" (every so many).
        step: how many of them.
        day: of months the day: 1 to 31, "last", "last business" or "first business".
        style: how times are written, as in `Times`.
    """

    kind: str
    step: float = 1
    day: int | str = 1
    style: str = "number"

    @property
    def name(self) -> str:
        """The frequency in words, such as "monthly" or "every 15 minutes"."""
        step = int(self.step)
        if self.kind == "rows":
            return "rows in order, without times"
        if self.kind == "numbers":
            years = "yearly" if step == 1 else f"every {step} years"
            return years if self.style == "year" else f"steps of {self.step:g}"
        if self.kind == "business days":
            return "business days"
        if self.kind == "months":
            return _MONTHLY.get(step) or (f"every {step // 12} years" if step % 12 == 0 else f"every {step} months")
        if step == self.step and step in _TIMED:
            return _TIMED[step]
        for size, unit in ((DAY, "days"), (3600, "hours"), (60, "minutes")):
            if self.step % size == 0:
                return f"every {step // size} {unit}"
        return f"every {self.step:g} seconds"

    def ordinals(self, at: pandas.Series) -> np.ndarray:
        """Times as numbers that are a `step` apart from one time of the calendar to the next."""
        if self.kind in ("rows", "numbers"):
            return at.to_numpy()
        if self.kind == "seconds":
            return (at - at.iloc[0]).dt.total_seconds().to_numpy()
        if self.kind == "months":
            return (at.dt.year * 12 + at.dt.month).to_numpy()
        return np.busday_count(np.datetime64("1970-01-01"), at.dt.tz_localize(None).to_numpy().astype("datetime64[D]"))

    def times(self, first: Any, places: Any) -> pandas.Index:
        """The times some steps after `first`: time stamps, or numbers.

        >>> import pandas
        >>> Calendar("months", 1, "last", "day").times(pandas.Timestamp("2020-01-31"), [0, 1]).astype(str).tolist()
        ['2020-01-31', '2020-02-29']
        """
        import pandas as pd

        places = np.asarray(places)
        if self.kind in ("rows", "numbers"):
            return pd.Index(
                first + self.step * places if self.step != int(self.step) else first + int(self.step) * places
            )
        if self.kind == "seconds":
            return first + pd.to_timedelta(places * self.step, unit="s")
        zone, first = first.tzinfo, first.tz_localize(None)
        if self.kind == "business days":
            days = pd.DatetimeIndex(np.busday_offset(np.datetime64(first, "D"), places))
        else:
            months = pd.PeriodIndex.from_ordinals(
                first.to_period("M").ordinal + (places * self.step).astype(int), freq="M"
            )
            days = _on(months, self.day)
        return (days + (first - first.normalize())).tz_localize(zone)

    def texts(self, times: pandas.Index) -> list[str]:
        """Times as text that reads back as the same times."""
        if self.kind in ("rows", "numbers"):
            return [str(time) for time in times.tolist()]
        if self.style == "quarter":
            return [f"{time.year}Q{(time.month + 2) // 3}" for time in times]
        form = {"month": "%Y-%m", "day": "%Y-%m-%d"}.get(self.style)
        if form is not None:
            return times.strftime(form).tolist()
        exact = (
            "auto"
            if any(time.microsecond for time in times)
            else "seconds"
            if any(time.second for time in times)
            else "minutes"
        )
        return [time.isoformat(sep=" ", timespec=exact).replace("+00:00", "Z") for time in times]


def infer(times: Times, ids: pandas.Series) -> Calendar:
    """The calendar that the times of all series have in common, from how far apart most of them are.

    Args:
        times: sorted within each series, without duplicates.
        ids: the series of each row.

    >>> import pandas
    >>> at = pandas.Series(pandas.to_datetime(["2020-01-31", "2020-02-28", "2020-03-31"]))
    >>> infer(Times(at, "day"), pandas.Series([0, 0, 0]))
    Calendar(kind='months', step=1, day='last business', style='day')
    """
    at = times.at
    same = ids.to_numpy()[1:] == ids.to_numpy()[:-1]
    if not same.any():
        return Calendar(
            "numbers" if times.style in ("number", "year") else "seconds",
            1 if times.style in ("number", "year") else DAY,
            style=times.style,
        )
    if times.style in ("number", "year"):
        return Calendar("numbers", _usual(np.round(np.diff(at.to_numpy())[same], 9)), style=times.style)
    local = at.dt.tz_localize(None)
    seconds = at.diff().dt.total_seconds().to_numpy()[1:][same]
    middle = np.median(seconds) / DAY
    months = np.diff((local.dt.year * 12 + local.dt.month).to_numpy())[same]
    if (
        middle >= 28
        and months.min() > 0
        and not (_usual(seconds) == 28 * DAY and (seconds % (28 * DAY) == 0).all() and len(seconds) > 2)
    ):
        return Calendar("months", int(_usual(months)), _day(local), times.style)
    step = _usual(seconds)
    if (
        step == DAY
        and (local.dt.day_of_week < 5).all()
        and (seconds == 3 * DAY).any()
        and (local == local.dt.normalize()).all()
    ):
        return Calendar("business days", 1, style=times.style)
    return Calendar("seconds", int(step) if step == int(step) else step, style=times.style)


def _usual(steps: np.ndarray) -> Any:
    kinds, counts = np.unique(steps, return_counts=True)
    return kinds[np.argmax(counts)].item()


def _day(local: pandas.Series) -> int | str:
    """What the days within the months have in common."""
    import pandas as pd

    days = pd.DatetimeIndex(local).normalize()
    months = days.to_period("M")
    if (days.day == days.day.max()).all():
        return int(days.day.max())
    for day in ("last", "last business", "first business", int(days.day.max())):
        if (days == _on(months, day)).all():
            return day
    return 1  # days vary: the months count


def _on(months: pandas.PeriodIndex, day: int | str) -> pandas.DatetimeIndex:
    """A day of each month."""
    import pandas as pd

    first = months.to_timestamp()
    if day == "first business":
        return pd.DatetimeIndex(np.busday_offset(first.to_numpy().astype("datetime64[D]"), 0, roll="forward"))
    last = first + pd.to_timedelta(months.days_in_month - 1, unit="D")
    if day == "last business":
        return pd.DatetimeIndex(np.busday_offset(last.to_numpy().astype("datetime64[D]"), 0, roll="backward"))
    return last if day == "last" else first + pd.to_timedelta(np.minimum(day, months.days_in_month) - 1, unit="D")
