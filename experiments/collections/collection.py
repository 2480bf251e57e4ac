"""What is forecast: the known part of each series, what followed, and how it is scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Collection(NamedTuple):
    """Series whose last values are held back.

    Args:
        past: the known part of each from its first value on, NaN where a value is missing.
        actuals: what followed, `(series, horizon)`, NaN where a value is missing.
        season: the periods that the forecaster is told, the shortest first; `(1,)` for none.
        naive: the period of the seasonal naive forecast, and of the scale of MASE.
        future: inputs known ahead, `(time + horizon, inputs)` for each series, or None.
    """

    past: list[np.ndarray]
    actuals: np.ndarray
    season: tuple[float, ...]
    naive: int
    future: list[np.ndarray] | None = None

    @property
    def horizon(self) -> int:
        """How many steps are forecast."""
        return self.actuals.shape[1]


def hold_back(
    series: Sequence[np.ndarray],
    horizon: int,
    season: tuple[float, ...],
    *,
    naive: int | None = None,
    windows: int = 1,
    skip: int = 0,
    future: Sequence[np.ndarray] | None = None,
) -> Collection:
    """A collection whose actuals are the last windows of the series.

    Args:
        series: whole series.
        horizon: values in one window.
        season: as in `Collection`.
        naive: as in `Collection`; the first season where None.
        windows: how many windows, one after the other without overlap.
        skip: values at the end that are not used.
        future: inputs of each series, `(time, inputs)`.

    Returns:
        For each window every series that has a value in it, and at least four before it.
    """
    past, actuals, inputs = [], [], []
    for window in range(windows):
        for place, one in enumerate(series):
            end = len(one) - skip - window * horizon
            known, coming = one[: end - horizon], one[max(0, end - horizon) : end]
            if len(coming) < horizon or np.isnan(coming).all() or (~np.isnan(known)).sum() < 4:
                continue
            begin = int((~np.isnan(known)).argmax())
            past.append(known[begin:])
            actuals.append(coming)
            if future is not None:
                inputs.append(future[place][begin:end])
    if not past:
        raise ValueError(f"no series is long enough for a window of {horizon} values")
    period = round(season[0]) if naive is None else naive
    return Collection(past, np.stack(actuals), season, period, inputs if future is not None else None)


def some_of(collection: Collection, most: int | None) -> Collection:
    """At most this many series, evenly spaced."""
    if most is None or len(collection.past) <= most:
        return collection
    places = np.linspace(0, len(collection.past) - 1, most).round().astype(int)
    return collection._replace(
        past=[collection.past[place] for place in places],
        actuals=collection.actuals[places],
        future=collection.future and [collection.future[place] for place in places],
    )
