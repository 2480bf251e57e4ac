"""Tables of series, long, wide or of two columns: regular in time, with notes on how they were read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jax_lstm._repr import html_table, series_in_words
from jax_lstm.tables._calendar import Calendar
from jax_lstm.tables._roles import Roles

if TYPE_CHECKING:
    import pandas


class Origin(NamedTuple):
    """What a frame was like, so that forecasts come back alike.

    Args:
        library: that it is of, such as "pandas".
        keys: the columns that name the series, a row for each, or None.
        key_types, time_type: their types in that library.
        levels: the columns that were its index, with their names there.
    """

    library: str = "pandas"
    keys: pandas.DataFrame | None = None
    key_types: tuple[Any, ...] = ()
    time_type: Any = None
    levels: tuple[Any, ...] = ()


class Table(NamedTuple):
    """Series that are regular in time.

    Args:
        roles: which column is what.
        names: of the series.
        series: each `(time,)`, NaN where a value is missing.
        past, future, static: covariates by series, `(time, columns)`, for `future` beyond the series' end, and
            `(columns,)`; or None.
        firsts: the time of the first value of each series.
        calendar: how the times continue from there.
        season: the periods, none for none.
        notes: what a person should know about how the table was read.
        origin: the frame that it came from.
    """

    roles: Roles
    names: tuple[str, ...]
    series: tuple[np.ndarray, ...]
    past: tuple[np.ndarray, ...] | None
    future: tuple[np.ndarray, ...] | None
    static: tuple[np.ndarray, ...] | None
    firsts: tuple[Any, ...]
    calendar: Calendar
    season: tuple[float, ...]
    notes: tuple[str, ...] = ()
    origin: Origin = Origin()

    def __repr__(self) -> str:
        return f"Table({'; '.join([series_in_words(self.series), *self.notes])})"

    def _repr_html_(self) -> str:
        rows = [
            (name, f"{len(one):,}", f"{int(np.isnan(one).sum()):,}", str(first).removesuffix("T00:00:00.000000"))
            for name, one, first in zip(self.names, self.series, self.firsts, strict=True)
        ]
        return html_table(["series", "values", "missing", "first"], rows, repr(self))

    def times(self, number: int) -> pandas.Index:
        """The times of the values of one series."""
        return self.calendar.times(self.firsts[number], np.arange(len(self.series[number])))

    def times_ahead(self, number: int, horizon: int) -> pandas.Index:
        """The times that follow one series."""
        rows = len(self.series[number])
        return self.calendar.times(self.firsts[number], np.arange(rows, rows + horizon))

    def known_ahead(self) -> int:
        """How many steps after their series the future covariates are known, of all series; 0 where there are none."""
        if self.future is None:
            return 0
        return min(len(rows) - len(one) for rows, one in zip(self.future, self.series, strict=True))

    def before_end(self, steps: int, numbers: Sequence[int]) -> Table:
        """The table of some of the series without their last values, to forecast what is known."""

        def of(values: tuple[Any, ...] | None, end: int | None = None) -> tuple[Any, ...] | None:
            return None if values is None else tuple(values[number][:end] for number in numbers)

        keys = self.origin.keys
        return self._replace(
            names=tuple(self.names[number] for number in numbers),
            firsts=tuple(self.firsts[number] for number in numbers),
            series=tuple(self.series[number][:-steps] for number in numbers),
            past=of(self.past, -steps),
            future=of(self.future),
            static=of(self.static),
            origin=self.origin._replace(keys=None if keys is None else keys.iloc[list(numbers)]),
        )
