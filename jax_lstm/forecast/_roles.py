"""Which column of a table is what: as asked for, by the names of the long format, or because nothing else fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from jax_lstm.forecast._cells import listed
from jax_lstm.forecast._dates import are_times
from jax_lstm.forecast._numbers import is_numeric

if TYPE_CHECKING:
    import pandas

    from jax_lstm.forecast._cells import Cells

LONG = ("unique_id", "ds", "y")
"""The columns of the long format: series, time and value."""

_TIME_NAMES = (
    "ds",
    "date",
    "time",
    "datetime",
    "timestamp",
    "month",
    "year",
    "quarter",
    "week",
    "day",
    "period",
    "index",
)


class Roles(NamedTuple):
    """The columns by what they are.

    Args:
        column: what to forecast; None in a wide table.
        time: None where rows are in order.
        id: the name of the series of a row.
        inputs, future, static: past inputs, inputs known ahead, and inputs that do not change within a series.
        series: the columns of a wide table.
        words: columns that are neither numbers nor the times, such as could name the series.
    """

    column: str | None
    time: str | None = None
    id: str | None = None
    inputs: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    def or_as(self, like: Roles, columns: Sequence[str]) -> Roles:
        """These roles, and those of another table where nothing is asked for and the columns are there."""

        def there(given: Any, usual: Any) -> Any:
            names = [usual] if isinstance(usual, str) else usual or []
            return usual if not given and names and all(name in columns for name in names) else given

        return Roles(*map(there, self[:6], like[:6]))


def choose(cells: Cells, asked: Roles, *, wide: bool = False) -> Roles:
    """The roles asked for, and what is left open, filled in.

    Raises:
        ValueError: a column that is not there, or several that could be meant.
    """
    name, frame = cells.name, cells.frame
    named: dict[str, Sequence[str | None]] = {"--column": [asked.column], "--time": [asked.time], "--id": [asked.id]}
    named |= {"--inputs": asked.inputs, "--future": asked.future, "--static": asked.static}
    for option, columns in named.items():
        for column in columns:
            if column is not None and column not in frame and (option, column) != ("--time", "none"):
                raise ValueError(
                    f"{name} has no column {column!r}, which {option} names: expected one of {', '.join(frame)}"
                )
    if wide and (asked.column or asked.id or asked.inputs or asked.future or asked.static):
        raise ValueError(
            "--wide takes every column as a series: leave out --column, --id, --inputs, --future and --static"
        )
    series_id, value = asked.id, asked.column
    if not wide and series_id is None and LONG[0] in frame and LONG[0] != value:
        series_id = LONG[0]
    if not wide and value is None and LONG[2] in frame:
        value = LONG[2]
    taken = {series_id, value, *asked.inputs, *asked.future, *asked.static} - {None}
    free = [column for column in frame if column not in taken]
    time = (
        None
        if asked.time == "none"
        else asked.time or _time(frame, free, alone=len(frame.columns) == 2 and value is None)
    )
    words = tuple(column for column in free if column != time and not is_numeric(frame[column]))
    free = [column for column in free if column != time and column not in words]
    for option, columns in list(named.items())[2:]:
        if value is not None and value in columns:
            raise ValueError(f"{option} names {value!r}, which is what is forecast: choose another column")
    if wide:
        if not free:
            raise ValueError(f"{name} has no column of numbers beside the times: expected one for each series")
        return Roles(None, time, series=tuple(free))
    if value is None:
        value = _value(name, frame, free, time)
    return asked._replace(column=value, time=time, id=series_id, words=words)


def _time(frame: pandas.DataFrame, free: list[str], *, alone: bool) -> str | None:
    """The column of times: by its name, else the first column of dates; of two columns also the first, if it counts."""
    for column in sorted(free, key=lambda column: (column != LONG[1], column.lower() not in _TIME_NAMES)):
        if are_times(frame[column]) or (
            column.lower() in _TIME_NAMES and len(free) + (not alone) > 1 and is_numeric(frame[column])
        ):
            return column
    if alone and is_numeric(frame[free[0]]):
        counts = frame[free[0]].iloc[:1000]
        try:
            steps = counts.astype(float).diff().dropna()
        except ValueError:
            return None
        if len(steps) and steps.min() > 0 and steps.max() - steps.min() < 1e-6 * steps.max():
            return free[0]
    return None


def _value(name: str, frame: pandas.DataFrame, free: list[str], time: str | None) -> str:
    if len(free) == 1:
        return free[0]
    if free:
        raise ValueError(
            f"{name} has {len(free)} columns of numbers ({listed(free, 8)}): choose one with --column,"
            " or take each as a series with --wide"
        )
    beside = f" beside the times {time!r}" if time else ""
    raise ValueError(f"{name} has no column of numbers{beside}: found {', '.join(frame)}")
