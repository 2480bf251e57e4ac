"""The methods that a forecast combines: each takes a `Past` and returns forecasts `(columns, horizon)`.

The LSTM is the exception: it runs over a series once and forecasts from every row of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from jax_lstm.forecast.methods._intermittent import intermittent
from jax_lstm.forecast.methods._level import level, median, naive, zero
from jax_lstm.forecast.methods._past import Past as Past
from jax_lstm.forecast.methods._seasonal import seasonal_drift, seasonal_mean, seasonal_naive
from jax_lstm.forecast.methods._theta import fit_theta as fit_theta
from jax_lstm.forecast.methods._theta import theta
from jax_lstm.forecast.methods._trend import damped_trend, drift, line

Method = Callable[[Past], np.ndarray]

WITH_SEASON: Mapping[str, Method] = MappingProxyType(
    {
        "theta": theta,
        "level and season": level,
        "seasonal naive": seasonal_naive,
        "seasonal mean": seasonal_mean,
        "seasonal drift": seasonal_drift,
        "damped trend": damped_trend,
        "line": line,
    }
)
"""Methods that know of a season: they run once for each."""

WITHOUT_SEASON: Mapping[str, Method] = MappingProxyType(
    {"naive": naive, "drift": drift, "median": median, "zero": zero, "intermittent": intermittent}
)
"""Methods that know of none: they run once."""

TRENDS = ("theta", "damped trend", "line")
"""Methods with a season that also run without it, for series whose season is weak."""

NAMES = ("lstm", *WITH_SEASON, *WITHOUT_SEASON)
"""The names of all methods."""


class Candidate(NamedTuple):
    """A method at a season; 1 for none.

    >>> str(Candidate("theta", 24, 24)), str(Candidate("theta", 168, 24)), str(Candidate("theta", 1, 24))
    ('theta', 'theta (168)', 'theta (no season)')
    """

    method: str
    season: float
    shortest: float

    def __str__(self) -> str:
        if self.season == self.shortest or self.method in WITHOUT_SEASON:
            return self.method
        return f"{self.method} ({'no season' if self.season == 1 else f'{self.season:g}'})"


def candidates(season: tuple[float, ...]) -> tuple[Candidate, ...]:
    """What is combined for series of these seasons, in the order in which a backtest has it."""
    periods = season or (1,)
    found = [Candidate(name, period, periods[0]) for period in periods for name in ("lstm", *WITH_SEASON)]
    if season:
        found += [Candidate(name, 1, periods[0]) for name in TRENDS]
    return (*found, *(Candidate(name, periods[0], periods[0]) for name in WITHOUT_SEASON))
