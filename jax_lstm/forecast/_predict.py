"""`predict`: forecasts of a panel, with a fitted model or with none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from jax_lstm.forecast._combine import FEW_SERIES, calibrate, combine, offsets_at
from jax_lstm.forecast._features import Design
from jax_lstm.forecast._inputs import input_features
from jax_lstm.forecast._intermittent import demand
from jax_lstm.forecast._methods import Backtest, row_class, run_methods
from jax_lstm.forecast._model import Forecaster, Tuned
from jax_lstm.forecast._network import DESIGNS, kind
from jax_lstm.forecast._panel import Panel, check_horizon
from jax_lstm.forecast._simple import SIMPLE
from jax_lstm.forecast._transform import Units, align, restore, transform
from jax_lstm.forecast._weights import pretrained

METHODS = ("combined", "lstm", "theta", "level and season", *SIMPLE)
"""What `predict` forecasts with."""

PRIOR = {
    "short": {"lstm": 0.5, "theta": 0.5, "level and season": 0.0, "drift": 0.0},
    "long": {"lstm": 0.5, "theta": 0.25, "level and season": 0.25},
}
"""The shares of the methods before a panel has been tested."""

FEWEST = 4
"""With fewer values than this the last one is held."""

UNSEEN_CHANGE = 0.125
"""The standard deviation of a step of a series that has not changed in so few values: that of changes by a tenth, as
the network's scale has it. One that has not changed in more values is not expected to.
"""

MOST_ORIGINS, MOST_ORIGINS_OF_FEW = 8, 20
"""From how many origins before the end the shares and the intervals are found, and from how many where a panel has few
series: one series has so few windows that eight leave its shares at the prior (sunspots, MASE 1.01 with 8, 0.95 with
20).
"""


class Forecasts(NamedTuple):
    """What is to come, an entry for each series in every tuple.

    Args:
        names: of the series.
        centre: `(horizon,)` each.
        lower, upper: the ends of the interval of each level, `(horizon,)` each.
        notes: what a person should know about a series, or "".
    """

    names: tuple[str, ...]
    centre: tuple[np.ndarray, ...]
    lower: dict[float, tuple[np.ndarray, ...]]
    upper: dict[float, tuple[np.ndarray, ...]]
    notes: tuple[str, ...]


class Group(NamedTuple):
    """Series of one season, transformed and side by side."""

    values: np.ndarray
    units: Units
    season: int
    design: Design
    origins: tuple[int, ...]


def predict(
    panel: Panel,
    horizon: int,
    *,
    levels: Sequence[float] = (0.8, 0.95),
    model: Forecaster | None = None,
    method: str = "combined",
    progress: Callable[[int, int], None] | None = None,
) -> Forecasts:
    """What follows each series of a panel, with intervals; no fitting is needed.

    The default combines an LSTM, trained on synthetic series and perhaps on a panel by `fit`, with the Theta
    method, in shares that are found
    on windows of the panel held out.

    Args:
        panel: from `panel`.
        horizon: how many steps ahead.
        levels: of the intervals, between 0 and 1.
        model: from `fit`; the weights of the package where None.
        method: one of `METHODS`, for the forecast of one of the methods alone.
        progress: told how many series are done, of how many, time and again.

    Raises:
        ValueError: a level or a method that there is not, inputs that do not fit the model.

    >>> from jax_lstm.forecast import panel
    >>> made = predict(panel([10 + np.sin(np.arange(60) * np.pi / 6)], season=12), 3)
    >>> made.centre[0].round(1).tolist()
    [10.0, 10.5, 10.9]
    """
    return predict_by(panel, horizon, [method], levels=levels, model=model, progress=progress)[method]


def predict_by(
    panel: Panel,
    horizon: int,
    methods: Sequence[str],
    *,
    levels: Sequence[float] = (),
    model: Forecaster | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Forecasts]:
    """The same by several methods, from one run of the networks; the arguments are those of `predict`."""
    check_horizon(horizon)
    check_levels(levels)
    for method in methods:
        if method not in METHODS:
            raise ValueError(f"method is {method!r}, expected one of {', '.join(METHODS)}")
    counts: list[int] = []

    def done(count: int) -> None:
        counts.append(count)
        if progress is not None:
            progress(sum(counts), len(panel.names))

    found: dict[int, dict[str, Forecasts]] = {}
    places: dict[int, list[int]] = {}
    for season in sorted(set(panel.season)):
        places[season] = [place for place, period in enumerate(panel.season) if period == season]
        found[season] = _of_season(panel, places[season], season, horizon, levels, model, methods, done)
    order = np.argsort(np.concatenate([places[season] for season in places]))
    return {
        method: _join(panel.names, [found[season][method] for season in places], order, levels) for method in methods
    }


def _join(names: tuple[str, ...], parts: list[Forecasts], order: np.ndarray, levels: Sequence[float]) -> Forecasts:
    """Forecasts of several seasons, in the order of the panel."""

    def put(fields: Iterable[tuple[Any, ...]]) -> tuple[Any, ...]:
        every = [one for field in fields for one in field]
        return tuple(every[place] for place in order)

    return Forecasts(
        names,
        put(part.centre for part in parts),
        {level: put(part.lower[level] for part in parts) for level in levels},
        {level: put(part.upper[level] for part in parts) for level in levels},
        put(part.notes for part in parts),
    )


def check_levels(levels: Sequence[float]) -> None:
    """Refuse levels outside 0 to 1."""
    for level in levels:
        if not 0 < level < 1:
            raise ValueError(f"a level is {level}, expected between 0 and 1, as 0.8 for an interval of 80 %")


def gather(series: Sequence[np.ndarray], season: int, horizon: int) -> Group:
    """Series of one season made ready, with the origins that tests are made from."""
    design = DESIGNS[kind(season)]
    longest = min(max(map(len, series)), max(512, 10 * season))
    rows = row_class(max(longest, design.context))
    values, units = transform(align(series, rows))
    return Group(values, units, season, design, test_origins(horizon, design, longest, len(series)))


def test_origins(horizon: int, design: Design, longest: int, count: int) -> tuple[int, ...]:
    """The origins: 0, and further ones about a third of the horizon apart, as far back as there is something to
    forecast from.
    """
    within = min(horizon, design.horizon)
    apart = max(1, -(-within // 3))
    farthest = min(design.context - 16, longest - 4)
    most = MOST_ORIGINS_OF_FEW if count <= FEW_SERIES else MOST_ORIGINS
    return (0, *range(apart, farthest + 1, apart))[: most + 1]


def _of_season(
    panel: Panel,
    places: Sequence[int],
    season: int,
    horizon: int,
    levels: Sequence[float],
    model: Forecaster | None,
    methods: Sequence[str],
    done: Callable[[int], None],
) -> dict[str, Forecasts]:
    group = gather([panel.series[place] for place in places], season, horizon)
    tuned = None if model is None else model.tuned.get(season)
    networks, inputs = {"lstm": pretrained(kind(season))}, None
    if model is not None:
        inputs = input_features(panel, places, model.inputs, group.design)
    if tuned is not None:
        networks = tuned.networks(networks["lstm"])
    backtest = run_methods(
        group.values, group.units, season, horizon, group.design, networks, group.origins, inputs, done
    )
    found = {}
    for method in methods:
        shares, factors, names = _shares(backtest, season, method, tuned)
        found[method] = _in_units(
            panel, places, group, backtest, combine(backtest.centres, names, shares)[0], factors, levels
        )
    return found


def _shares(
    backtest: Backtest, season: int, method: str, tuned: Tuned | None
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """The shares `(series, methods)`, the factors `(2, series, horizon)` and the methods' names."""
    if method != "combined":
        chosen = "tuned" if method == "lstm" and tuned is not None and tuned.network is not None else method
        calibration, shares, factors = calibrate(backtest, {chosen: 1.0})
        return shares, factors, calibration.methods
    if tuned is None or tuned.network is None:  # the package's networks: this panel itself says how they do on it
        calibration, shares, factors = calibrate(backtest, PRIOR[kind(season)])
        return shares, factors, calibration.methods
    return tuned.shares_of(backtest)


def _in_units(
    panel: Panel,
    places: Sequence[int],
    group: Group,
    backtest: Backtest,
    centre: np.ndarray,
    factors: np.ndarray,
    levels: Sequence[float],
) -> Forecasts:
    """The forecasts in the units of the series, with what is special about some of them."""
    known = (~np.isnan(group.values)).sum(axis=0)
    last = group.values[-1 - (~np.isnan(group.values[::-1])).argmax(axis=0), np.arange(group.values.shape[1])]
    constant = np.nanmax(group.values, axis=0) == np.nanmin(group.values, axis=0)
    held = (known < FEWEST) | constant
    centre = np.where(held[:, None], last[:, None], centre)
    notes = [
        f"{count} value{'s' if count > 1 else ''}: last value held"
        if count < FEWEST
        else "constant: held"
        if same
        else ""
        for count, same in zip(known, constant, strict=True)
    ]

    def back(transformed: np.ndarray) -> np.ndarray:
        return restore(transformed.T, group.units).T

    middle, lower, upper = back(centre), {}, {}
    for level in levels:
        down, up = offsets_at(level, backtest.offsets[:, 0], factors)
        walk = NormalDist().inv_cdf(0.5 + level / 2) * UNSEEN_CHANGE * np.sqrt(np.arange(1, centre.shape[1] + 1))
        still = np.where(known < FEWEST, 1.0, 0.0)[:, None] * walk
        down, up = (np.where(constant[:, None], still, one) for one in (down, up))
        lower[level], upper[level] = back(centre - down), back(centre + up)
    for index in np.flatnonzero(group.units.intermittent & ~held).tolist():
        middle[index], ends = demand(panel.series[places[index]], middle.shape[1], levels)
        for level in levels:
            lower[level][index], upper[level][index] = ends[level]
        notes[index] = "many zeros: the mean of recent values, with their quantiles"
    return Forecasts(
        tuple(panel.names[place] for place in places),
        tuple(middle),
        {level: tuple(ends) for level, ends in lower.items()},
        {level: tuple(ends) for level, ends in upper.items()},
        tuple(notes),
    )
