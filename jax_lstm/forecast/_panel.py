"""A panel: any number of series of any lengths, each with its season, and with inputs beside it where there are any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Panel(NamedTuple):
    """Series to forecast, one entry each in every tuple.

    Args:
        series: float64 `(time,)`, NaN where a value is missing.
        season: the period of each, 1 for none.
        names: what each is called.
        past: inputs known up to now, `(time, inputs)`, or None.
        future: inputs known ahead of time, `(time + horizon, inputs)` or longer, or None.
        static: inputs that do not change, `(inputs,)`, or None.
    """

    series: tuple[np.ndarray, ...]
    season: tuple[int, ...]
    names: tuple[str, ...]
    past: tuple[np.ndarray, ...] | None = None
    future: tuple[np.ndarray, ...] | None = None
    static: tuple[np.ndarray, ...] | None = None


def panel(
    values: Any,
    *,
    season: int | Sequence[int],
    names: Sequence[str] | None = None,
    past: Any = None,
    future: Any = None,
    static: Any = None,
) -> Panel:
    """A panel from arrays.

    Args:
        values: `(time,)` for one series, `(time, series)` with one in each column, or a list of arrays `(time,)`
            of any lengths.
        season: the period, 1 for none: one for all series, or one for each.
        names: one for each; "series 0", "series 1" and so on where None.
        past, future, static: as in `Panel`; an array for one series, or a list with one for each.

    Raises:
        ValueError: shapes that do not fit, infinite values, or a series without any value.

    >>> panel([[1.0, 2.0, 3.0], [5.0, 4.0]], season=1).names
    ('series 0', 'series 1')
    """
    series = _series(values)
    seasons = (season,) * len(series) if isinstance(season, int | np.integer) else tuple(season)
    labels = tuple(f"series {place}" for place in range(len(series))) if names is None else tuple(map(str, names))
    for argument, given in (("season", seasons), ("names", labels)):
        if len(given) != len(series):
            raise ValueError(f"{argument} has {len(given)} entries, expected one for each of the {len(series)} series")
    for label, one, period in zip(labels, series, seasons, strict=True):
        if int(period) != period or period < 1:
            raise ValueError(f"the season of {label} is {period}, expected a whole number of steps, 1 for none")
        if np.isinf(one).any():
            raise ValueError(
                f"{label} is infinite at row {int(np.isinf(one).argmax())}: use NaN where a value is missing"
            )
        if np.isnan(one).all():
            raise ValueError(f"{label} has no values: leave it out of the panel")
    lengths = [len(one) for one in series]
    return Panel(
        series,
        tuple(int(period) for period in seasons),
        labels,
        _inputs("past", past, labels, 2, lengths, exact=True),
        _inputs("future", future, labels, 2, lengths, exact=False),
        _inputs("static", static, labels, 1, lengths, exact=False),
    )


def check_horizon(horizon: int) -> None:
    """Refuse a horizon that is not a whole number from 1 on."""
    if int(horizon) != horizon or horizon < 1:
        raise ValueError(f"horizon is {horizon}, expected a whole number of steps from 1 on")


def take(given: Panel, places: Sequence[int]) -> Panel:
    """The panel of some of the series."""
    fields: Any = (None if field is None else tuple(field[place] for place in places) for field in given)
    return Panel(*fields)


def cut(given: Panel, known: Sequence[int]) -> Panel:
    """The panel as it was when only the first `known` values of each series were there; future inputs stay."""
    series = tuple(one[:count] for one, count in zip(given.series, known, strict=True))
    past = given.past and tuple(one[:count] for one, count in zip(given.past, known, strict=True))
    return given._replace(series=series, past=past)


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


def _inputs(
    argument: str, given: Any, names: Sequence[str], rank: int, lengths: list[int], *, exact: bool
) -> tuple[np.ndarray, ...] | None:
    """The inputs of every series, checked."""
    if given is None:
        return None
    many = isinstance(given, list | tuple) and len(given) > 0 and np.ndim(given[0]) == rank
    found = tuple(np.asarray(one, np.float64) for one in (given if many else [given]))
    if len(found) != len(names):
        raise ValueError(f"{argument} has {len(found)} entries, expected one for each of the {len(names)} series")
    shape = "(time, inputs)" if rank == 2 else "(inputs,)"
    for name, one, length in zip(names, found, lengths, strict=True):
        if one.ndim != rank or one.shape[-1] != found[0].shape[-1]:
            raise ValueError(
                f"{argument} of {name} has shape {one.shape}, expected {shape} with as many inputs for every series"
            )
        if rank == 2 and (len(one) != length if exact else len(one) < length):
            raise ValueError(
                f"{argument} of {name} has {len(one)} rows, expected {length}{'' if exact else ' or more'}, "
                "as the series has"
            )
        if not np.isfinite(one).all():
            raise ValueError(f"{argument} of {name} has values that are missing or infinite: fill them in")
    return found
