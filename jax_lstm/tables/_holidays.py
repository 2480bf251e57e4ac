"""Public holidays as a covariate that is known ahead."""

from __future__ import annotations

import numpy as np

from jax_lstm.tables._calendar import DAY
from jax_lstm.tables._sheet import INSTALL
from jax_lstm.tables._table import Table


def with_holidays(table: Table, country: str, horizon: int) -> Table:
    """A table with one more future covariate: how many public holidays each step has.

    Args:
        table: with dates.
        country: its code, such as "DE", or with a part of it, such as "DE-BY".
        horizon: how many steps after its last value they are added.

    Returns:
        The table; steps shorter than a day have 1 on holidays.

    Raises:
        ValueError: no dates, an unknown country, or other future covariates that end before the horizon.
        ImportError: the library holidays is missing.

    >>> from jax_lstm.tables import read_table
    >>> import pandas
    >>> days = pandas.date_range("2023-12-22", periods=3)
    >>> table = with_holidays(read_table(pandas.DataFrame({"ds": days, "y": [1.0, 2.0, 4.0]})), "DE", 2)
    >>> table.future[0].ravel().tolist()
    [0.0, 0.0, 0.0, 1.0, 1.0]
    """
    try:
        import holidays
    except ImportError as error:
        raise ImportError(f"holidays need the library holidays: {INSTALL}") from error
    if table.calendar.kind not in ("seconds", "months", "sessions"):
        raise ValueError(f"holidays= is {country!r}, but the times are {table.calendar.name}: they need dates")
    if table.future is not None and table.known_ahead() < horizon:
        raise ValueError(
            f"the future covariates end {table.known_ahead()} steps after the series, expected {horizon}, the horizon, "
            "so that holidays can be added to them"
        )
    code, _, part = country.upper().partition("-")
    columns = []
    for number, one in enumerate(table.series):
        steps = len(one) + horizon if table.future is None else len(table.future[number])
        times = table.calendar.times(table.firsts[number], np.arange(steps + 1)).tz_localize(None)
        days = times.to_numpy("datetime64[D]")
        try:
            found = holidays.country_holidays(code, subdiv=part or None, years=range(times[0].year, times[-1].year + 1))
        except NotImplementedError as error:
            raise ValueError(f"holidays= is {country!r}: {str(error).split('.')[0]}") from None
        dates = np.sort(np.array(list(found), "datetime64[D]"))
        if (table.calendar.kind == "seconds" and table.calendar.step < DAY) or len(table.calendar.slots) > 1:
            counts = np.isin(days[:-1], dates)
        else:
            counts = np.searchsorted(dates, days[1:]) - np.searchsorted(dates, days[:-1])
        columns.append(counts.astype(float)[:, None])
    future = columns if table.future is None else [np.hstack(pair) for pair in zip(table.future, columns, strict=True)]
    roles = table.roles._replace(future=(*table.roles.future, f"holidays {country}"))
    return table._replace(future=tuple(future), roles=roles)
