"""A panel: any number of series of any lengths, each with its seasons and, where there are any, its covariates."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jax_lstm._repr import html_table, series_in_words
from jax_lstm.tables import Table, find_seasons, read_table

FARTHEST = 10_000
"""The longest horizon."""


class Panel(NamedTuple):
    """Series to forecast, one entry for each in every tuple.

    Args:
        names: what each is called.
        series: float64 `(time,)`, NaN where a value is missing.
        season: the periods of each, in steps, ascending; `()` for none. They need not be whole: `(7, 365.25)`.
        past: covariates known up to the last value, `(time, covariates)`, or None.
        future: covariates known ahead of time, `(time + horizon, covariates)` or longer, or None.
        static: covariates that do not change, `(covariates,)`, or None.
    """

    names: tuple[str, ...]
    series: tuple[np.ndarray, ...]
    season: tuple[tuple[float, ...], ...]
    past: tuple[np.ndarray, ...] | None = None
    future: tuple[np.ndarray, ...] | None = None
    static: tuple[np.ndarray, ...] | None = None

    def __repr__(self) -> str:
        given = [name for name in ("past", "future", "static") if getattr(self, name) is not None]
        return f"Panel({', '.join([series_in_words(self.series), *given])})"

    def _repr_html_(self) -> str:
        rows = [
            (
                name,
                f"{len(one):,}",
                f"{int(np.isnan(one).sum()):,}",
                ", ".join(f"{period:g}" for period in season) or "–",
            )
            for name, one, season in zip(self.names, self.series, self.season, strict=True)
        ]
        return html_table(["series", "values", "missing", "season"], rows, repr(self))


def panel(
    values: Any,
    *,
    season: Any = None,
    names: Sequence[str] | None = None,
    past: Any = None,
    future: Any = None,
    static: Any = None,
) -> Panel:
    """A panel from arrays.

    Args:
        values: `(time,)` for one series, `(time, series)` with one in each column, or a list of arrays `(time,)`
            of any lengths.
        season: a period, or a tuple of periods, for all series (1 or `()` for none); or a list with one entry for each
            series. Found in the values of each where None.
        names: one for each; "series 0", "series 1" and so on where None.
        past, future, static: as in `Panel`; an array for one series, or a list with one for each. A static covariate
            may be words: each word becomes a column of zeros and ones.

    Raises:
        ValueError: shapes that do not fit, infinite values, or a series without any value.

    >>> panel([[1.0, 2.0, 3.0], [5.0, 4.0]], season=1).names
    ('series 0', 'series 1')
    >>> panel(np.arange(5.0), season=(24, 168)).season
    ((24, 168),)
    """
    series = _series(values)
    labels = tuple(f"series {place}" for place in range(len(series))) if names is None else tuple(map(str, names))
    seasons = _seasons(season, series)
    for argument, given in (("season", seasons), ("names", labels)):
        if len(given) != len(series):
            raise ValueError(f"{argument} has {len(given)} entries, expected one for each of the {len(series)} series")
    for label, one in zip(labels, series, strict=True):
        if np.isinf(one).any():
            raise ValueError(
                f"{label} is infinite at row {int(np.isinf(one).argmax())}: use NaN where a value is missing"
            )
        if np.isnan(one).all():
            raise ValueError(f"{label} has no values: leave it out of the panel")
    lengths = [len(one) for one in series]
    return Panel(
        labels,
        series,
        tuple(periods(one, label) for one, label in zip(seasons, labels, strict=True)),
        _covariates("past", past, labels, 2, lengths, exact=True),
        _covariates("future", future, labels, 2, lengths, exact=False),
        _covariates("static", _encoded(static), labels, 1, lengths, exact=False),
    )


def as_panel(data: Any, season: Any = None, future: Any = None) -> Panel:
    """The panel of a `Panel`, a `Table`, a data frame, a file, an array or a list of arrays.

    Args:
        data: the series.
        season: replaces the seasons of the data, as in `panel`.
        future: replaces the covariates known ahead, as in `panel`.
    """
    if isinstance(data, Panel):
        found = data
    elif isinstance(data, Table):
        found = _of_table(data)
    elif isinstance(data, str | os.PathLike) or hasattr(type(data), "columns") or hasattr(data, "to_frame"):
        found = _of_table(read_table(data))
    else:
        return panel(data, season=season, future=future)
    if season is not None:
        seasons = _seasons(season, found.series)
        found = found._replace(season=tuple(periods(one, name) for one, name in zip(seasons, found.names, strict=True)))
    if future is not None:
        lengths = [len(one) for one in found.series]
        found = found._replace(future=_covariates("future", future, found.names, 2, lengths, exact=False))
    return found


def _of_table(table: Table) -> Panel:
    """The panel of a table."""
    covariates = {name: getattr(table, name) for name in ("past", "future", "static")}
    seasons = [table.season] * len(table.names)
    return panel(list(table.series), season=seasons, names=table.names, **covariates)


def periods(season: Any, label: str = "the series") -> tuple[float, ...]:
    """One season or several as ascending periods; those of a step or less are none.

    >>> periods(12), periods((168, 24)), periods(1)
    ((12,), (24, 168), ())
    """
    given = tuple(season) if isinstance(season, list | tuple | np.ndarray) else (season,)
    for period in given:
        if isinstance(period, bool) or not isinstance(period, int | float | np.number) or not 1 <= period < np.inf:
            raise ValueError(f"the season of {label} is {period!r}, expected a number of steps from 1 (none) on")
    plain = (int(period) if period == int(period) else float(period) for period in given)
    return tuple(sorted({period for period in plain if period > 1}))


def default_horizon(data: Any, fitted: int | None = None) -> int:
    """How many steps are forecast by default.

    As many as future covariates are known, else the horizon of a fitted model, else a season; more where that is
    short, fewer where it is long.

    Args:
        data: the series, as in `predict`.
        fitted: the horizon of a model, where there is one.

    >>> [default_horizon(panel(np.arange(500.0), season=season)) for season in (1, 4, 7, 12, 52, 168)]
    [6, 8, 14, 12, 52, 48]
    """
    given = as_panel(data)
    future = [0] if given.future is None else map(len, given.future)
    known = min(ahead - len(one) for ahead, one in zip(future, given.series, strict=given.future is not None))
    season = round(min((periods[-1] for periods in given.season if periods), default=1))
    usual = 6 if season == 1 else 2 * season if season < 12 else season if season <= 52 else 48
    return known if known > 0 else fitted or usual


def horizon_of(data: Panel, horizon: int | None, model: Any = None) -> int:
    """The horizon that is asked for, checked, or the default one for the data and the model."""
    if horizon is None:
        return default_horizon(data, None if model is None else model.horizon)
    check_horizon(horizon)
    return horizon


def unused_covariates(data: Any, model: Any = None) -> tuple[str, ...]:
    """Which of the kinds of covariates of some data, "past", "future" and "static", have no effect on forecasts.

    Past and future covariates have one where they lower the error on held-out values of a series. Static ones tell
    series apart, and a series is forecast by itself.

    Args:
        data: the series, as in `predict`.
        model: that forecasts them; the package's where None.
    """
    return ("static",) if as_panel(data).static is not None else ()


def check_horizon(horizon: int) -> None:
    """Refuse a horizon that is not a whole number from 1 to `FARTHEST`."""
    if int(horizon) != horizon or not 1 <= horizon <= FARTHEST:
        raise ValueError(
            f"horizon is {horizon}, expected a whole number of steps from 1 to {FARTHEST:,}: "
            "time and memory grow with it"
        )


def take(given: Panel, places: Sequence[int]) -> Panel:
    """The panel of some of the series."""
    fields: Any = (None if field is None else tuple(field[place] for place in places) for field in given)
    return Panel(*fields)


def cut(given: Panel, known: Sequence[int]) -> Panel:
    """The panel as it was when only the first `known` values of each series were there; future covariates stay."""
    series = tuple(one[:count] for one, count in zip(given.series, known, strict=True))
    past = given.past and tuple(one[:count] for one, count in zip(given.past, known, strict=True))
    return given._replace(series=series, past=past)


def _seasons(season: Any, series: Sequence[np.ndarray]) -> tuple[Any, ...]:
    """The seasons of every series: found, the same for all, or one entry for each."""
    if season is None:
        return tuple(find_seasons(one)[0] for one in series)
    each = isinstance(season, list) or (
        isinstance(season, tuple) and any(isinstance(one, list | tuple) for one in season)
    )
    return tuple(season) if each else (season,) * len(series)


def _series(values: Any) -> tuple[np.ndarray, ...]:
    if isinstance(values, list | tuple) and len(values) and np.ndim(values[0]) == 1:
        found = tuple(np.asarray(one, np.float64) for one in values)
    else:
        array = np.asarray(values, np.float64)
        if array.ndim not in (1, 2):
            raise ValueError(
                f"values have shape {array.shape}, expected (time,), (time, series) or a list of arrays (time,)"
            )
        found = (array,) if array.ndim == 1 else tuple(array.T)
    for one in found:
        if one.ndim != 1:
            raise ValueError(f"a series has shape {one.shape}, expected (time,)")
    if not found:
        raise ValueError("values hold no series, expected at least one")
    return found


def _encoded(static: Any) -> Any:
    """Static covariates as numbers: a column of words becomes one of zeros and ones for each word, sorted."""
    if static is None:
        return None
    table = np.atleast_2d(np.asarray(static, dtype=object))
    columns = []
    for column in table.T:
        if any(isinstance(value, str) for value in column):
            words = sorted({str(value) for value in column})
            columns += [[float(str(value) == word) for value in column] for word in words]
        else:
            columns.append(column)
    rows = np.array(columns, np.float64).T
    return list(rows)


def _covariates(
    argument: str, given: Any, names: Sequence[str], rank: int, lengths: list[int], *, exact: bool
) -> tuple[np.ndarray, ...] | None:
    """The covariates of every series, checked."""
    if given is None:
        return None
    many = isinstance(given, list | tuple) and len(given) > 0 and np.ndim(given[0]) == rank
    found = tuple(np.asarray(one, np.float64) for one in (given if many else [given]))
    if len(found) != len(names):
        raise ValueError(f"{argument} has {len(found)} entries, expected one for each of the {len(names)} series")
    shape = "(time, covariates)" if rank == 2 else "(covariates,)"
    for name, one, length in zip(names, found, lengths, strict=True):
        if one.ndim != rank or one.shape[-1] != found[0].shape[-1]:
            raise ValueError(
                f"{argument} of {name} has shape {one.shape}, expected {shape} with as many covariates for every series"
            )
        if rank == 2 and (len(one) != length if exact else len(one) < length):
            raise ValueError(
                f"{argument} of {name} has {len(one)} rows, expected {length}{'' if exact else ' or more'}, "
                "as the series has"
            )
        if not np.isfinite(one).all():
            raise ValueError(f"{argument} of {name} has values that are missing or infinite: fill them in")
    return found
