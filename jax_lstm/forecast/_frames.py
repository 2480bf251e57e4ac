"""Data frames of pandas, polars and whatever else narwhals reads: in as tables, out as forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jax_lstm.forecast._cells import Cells
from jax_lstm.forecast._roles import Roles
from jax_lstm.forecast._table import Table, read

if TYPE_CHECKING:
    import pandas

    from jax_lstm.forecast._predict import Forecasts


def from_frame(
    frame: Any,
    column: str | None = None,
    *,
    time: str | None = None,
    id: str | None = None,
    inputs: Sequence[str] = (),
    future: Sequence[str] = (),
    static: Sequence[str] = (),
    wide: bool = False,
    season: int | None = None,
) -> Table:
    """The table that a data frame holds: `read_csv` for what is in memory, with the same rules and refusals.

    Args:
        frame: of pandas (an index of dates counts as a column), polars or anything else that narwhals reads; or a
            series of pandas.
        column, time, id, inputs, future, static, wide, season: as in `read_csv`.

    Returns:
        The `Table`.

    Raises:
        ValueError: as in `read_csv`. ImportError: narwhals or pandas is missing.

    >>> import pandas
    >>> days = pandas.date_range("2020-01-01", periods=3)
    >>> table = from_frame(pandas.DataFrame({"ds": days, "y": [1.0, 2.0, 4.0]}))
    >>> table.calendar.name, table.panel().series[0].tolist()
    ('daily', [1.0, 2.0, 4.0])
    """
    nw = _narwhals()
    import pandas as pd

    given = nw.from_native(_with_index(frame), eager_only=True)
    text = pd.DataFrame({name: _texts(given[name]) for name in given.columns}, dtype=object)
    asked = Roles(column, time, id, tuple(inputs), tuple(future), tuple(static))
    return read(Cells("data frame", text, unit="row"), asked, wide=wide, season=season, decimal="point")


def to_frame(forecasts: Forecasts, table: Table, *, backend: str = "pandas") -> Any:
    """Forecasts as a data frame: a row for each series and time, with `forecast` and both ends of every level.

    Args:
        forecasts: what `predict` made of `table.panel()`.
        table: the series; its names of the columns are used.
        backend: "pandas", "polars" or another one that narwhals makes.

    Returns:
        The data frame: the series' names where there is a column of them, the time, `forecast`, `low 80 %`,
        `high 80 %` and so on.

    Raises:
        ValueError: forecasts of other series. ImportError: narwhals or the backend is missing.
    """
    nw = _narwhals()
    return nw.from_dict(columns_of(forecasts, table), backend=backend).to_native()


def columns_of(forecasts: Forecasts, table: Table, *, text: bool = False) -> dict[str, list[Any]]:
    """The columns of `to_frame`, by name; times as text where asked for."""
    if forecasts.names != table.names:
        raise ValueError(
            f"forecasts are of {len(forecasts.names)} series, expected the {len(table.names)} of the table, named alike"
        )
    roles = table.roles
    columns: dict[str, list[Any]] = {}
    if roles.id is not None or roles.series:
        columns[roles.id or "series"] = [
            name for name, centre in zip(table.names, forecasts.centre, strict=True) for _ in centre
        ]
    ahead = [table.times_ahead(number, len(centre)) for number, centre in enumerate(forecasts.centre)]
    columns[roles.time or "row"] = [
        time for times in ahead for time in (table.calendar.texts(times) if text else times.tolist())
    ]
    columns["forecast"] = np.concatenate(forecasts.centre).tolist()
    for level in forecasts.lower:
        columns[f"low {100 * level:g} %"] = np.concatenate(forecasts.lower[level]).tolist()
        columns[f"high {100 * level:g} %"] = np.concatenate(forecasts.upper[level]).tolist()
    return columns


def _narwhals() -> Any:
    try:
        import narwhals
        import pandas  # noqa: F401
    except ImportError as error:
        raise ImportError("data frames need narwhals and pandas: pip install 'jax_lstm[forecast]'") from error
    return narwhals


def _with_index(frame: Any) -> Any:
    """A frame of pandas with its dates as a column, where they are its index."""
    import pandas as pd

    if isinstance(frame, pd.Series):
        frame = frame.to_frame("value" if frame.name is None else str(frame.name))
    if isinstance(frame, pd.DataFrame):
        if (
            isinstance(frame.index, pd.DatetimeIndex | pd.PeriodIndex)
            or frame.index.name is not None
            or frame.index.nlevels > 1
        ):
            frame = frame.rename_axis(index=[name or "time" for name in frame.index.names]).reset_index()
        frame = frame.rename(columns=str)
        periods = [name for name in frame if isinstance(frame[name].dtype, pd.PeriodDtype)]
        frame = frame.assign(**{name: _period_texts(frame[name]) for name in periods})
    return frame


def _period_texts(column: pandas.Series) -> pandas.Series:
    months = column.dt.freq.rule_code[:1] in ("M", "Q", "Y", "A")
    return column.astype(str) if months else column.dt.start_time.astype(str)


def _texts(column: Any) -> list[str]:
    """A column as text that says exactly the same."""
    values = column.to_list()
    if all(hasattr(value, "isoformat") for value in values if value is not None):
        midnight = all(
            getattr(value, "tzinfo", None) is None and str(value)[11:] in ("", "00:00:00") for value in values
        )
        return [
            "" if value is None or value != value else str(value)[:10] if midnight else value.isoformat(sep=" ")
            for value in values
        ]
    return [
        "" if value is None or value != value else str(int(value)) if isinstance(value, bool) else str(value).strip()
        for value in values
    ]
