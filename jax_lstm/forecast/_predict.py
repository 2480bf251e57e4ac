"""`predict`: forecasts of every series by itself, a pure function of the series and a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jax_lstm.forecast._backtest import Backtest, alone, backtest
from jax_lstm.forecast._blocks import Block, blocks, side_by_side
from jax_lstm.forecast._endings import held_since
from jax_lstm.forecast._forecasts import Forecasts, in_units, joined
from jax_lstm.forecast._intervals import describe_steps, offsets, sides_of_errors, widening
from jax_lstm.forecast._model import Model, packaged
from jax_lstm.forecast._prepare import completed, prepared
from jax_lstm.forecast._series import Panel, as_panel, check_horizon, horizon_of
from jax_lstm.forecast._transform import Units
from jax_lstm.forecast._weights import describe, methods_of, weights
from jax_lstm.forecast.methods import NAMES, candidates

METHODS = ("combined", *NAMES)
"""What `predict` forecasts with."""


class Combined(NamedTuple):
    """Series of one season and length class, forecast, in transformed values.

    Args:
        tested: the backtest of all candidates.
        weights: of the candidates `(series, candidates, horizon)`.
        forecast: what they combine to `(series, horizon)`.
        sides: the offsets of the intervals `(2, levels, series, horizon)`.
        x: what the combiner saw.
        steps: what the widths saw.
    """

    tested: Backtest
    weights: np.ndarray
    forecast: np.ndarray
    sides: np.ndarray
    x: np.ndarray
    steps: np.ndarray


def predict(
    data: Any,
    horizon: int | None = None,
    *,
    model: Model | None = None,
    levels: Sequence[float] = (0.8, 0.95),
    method: str = "combined",
    future: Any = None,
    season: Any = None,
    progress: Callable[[int, int], None] | None = None,
) -> Forecasts:
    """What follows each series, with intervals; no fitting is needed.

    An LSTM and simple methods forecast from the end of a series and from cutoffs before it. A small network reads how
    each did there and weighs them. All of it is a function of the series alone and of the model: other series in the
    same call, and their order, change nothing.

    Args:
        data: a `Panel`, a `Table`, a data frame, an array `(time,)` or `(time, series)`, or a list of arrays.
        horizon: how many steps ahead; by `default_horizon` where None.
        model: from `fit`, `calibrate` or `load`; the package's where None.
        levels: of the intervals, between 0 and 1.
        method: "combined", or one of `METHODS` alone, at the shortest season.
        future: covariates known ahead, instead of the data's, as in `panel`.
        season: the periods, instead of the data's, as in `panel`; of arrays they are found where None.
        progress: told how many series are done, of how many, time and again.

    Raises:
        ValueError: a level or a method that there is not, covariates that do not fit.

    >>> made = predict([10 + np.sin(np.arange(60) * np.pi / 6)], 3, season=12)
    >>> made.forecast[0].round(1).tolist()
    [10.0, 10.5, 10.9]
    """
    panel = as_panel(data, season, future)
    horizon = horizon_of(panel, horizon, model)
    return predict_by(panel, horizon, [method], levels=levels, model=model, progress=progress)[method]


def predict_by(
    panel: Panel,
    horizon: int,
    methods: Sequence[str],
    *,
    levels: Sequence[float] = (),
    model: Model | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Forecasts]:
    """The same by several methods, from one backtest; the arguments are those of `predict`."""
    check_horizon(horizon)
    check_levels(levels)
    for method in methods:
        if method not in METHODS:
            raise ValueError(f"method is {method!r}, expected one of {', '.join(METHODS)}")
    model = packaged() if model is None else model
    ready = prepared(panel, horizon)
    parts, done = [], 0
    for places, season, rows in blocks(ready.panel):
        series = [ready.panel.series[place] for place in places]
        parts.append((places, _of_block(series, season, rows, horizon, levels, model, methods)))
        done += len(places)
        if progress is not None:
            progress(done, len(panel.names))
    order = np.argsort(np.concatenate([places for places, _ in parts]))
    return {
        method: completed(joined(panel.names, [one[method] for _, one in parts], order, levels), panel, ready)
        for method in methods
    }


def check_levels(levels: Sequence[float]) -> None:
    """Refuse levels outside 0 to 1."""
    for level in levels:
        if not 0 < level < 1:
            raise ValueError(f"a level is {level}, expected between 0 and 1, as 0.8 for an interval of 80 %")


def combine(values: np.ndarray, units: Units, season: tuple[float, ...], horizon: int, model: Model) -> Combined:
    """The combined forecast of transformed series `(rows, series)`."""
    tested = backtest(values, units.logs, season, horizon, model.networks)
    x = describe(tested, values, units.logs)
    shares = weights(model.combiner, x, methods_of(tested), horizon)
    forecast = np.einsum("nkh,knh->nh", shares, tested.ahead)
    floor = np.where(units.logs, -np.inf, (units.floor - units.center) / units.unit)
    steps = describe_steps(tested, shares, forecast, values, units.logs, floor)
    sides = offsets(model.widths, steps).astype(np.float64) * tested.scale[:, None]
    sides = sides * model.factors_for(horizon)[:, None, :]
    sides = np.maximum.accumulate(sides, axis=1)
    return Combined(tested, shares, forecast, widening(sides, season[0] if season else 1), x, steps)


def combine_series(
    series: Sequence[np.ndarray], season: tuple[float, ...], rows: int, horizon: int, model: Model
) -> tuple[Combined, Block]:
    """The combined forecast of some series from `blocks`."""
    block = side_by_side(series, rows)
    return combine(block.values, block.units, season, horizon, model), block


def _of_block(
    series: Sequence[np.ndarray],
    season: tuple[float, ...],
    rows: int,
    horizon: int,
    levels: Sequence[float],
    model: Model,
    methods: Sequence[str],
) -> dict[str, Forecasts]:
    """The forecasts of some series of one season and length class, by every method."""
    ends = [held_since(one, season) for one in series]
    if not {"combined", "lstm"} & set(methods):
        block = side_by_side(series, rows)
        return {method: _by_method(block, season, horizon, levels, method, ends) for method in methods}
    made, block = combine_series(series, season, rows, horizon, model)
    names = [one.method for one in candidates(season)]
    found = {}
    for method in methods:
        forecast = made.forecast if method == "combined" else made.tested.ahead[names.index(method)]
        found[method] = in_units(block, forecast, made.sides, levels, ends)
    return found


def _by_method(
    block: Block, season: tuple[float, ...], horizon: int, levels: Sequence[float], method: str, ends: Sequence[int]
) -> Forecasts:
    """The forecasts of one method that is no network, with intervals from its own errors."""
    made = alone(block.values, block.units.logs, season, horizon, method)
    sides = widening(sides_of_errors(made.error, made.values, horizon), season[0] if season else 1)
    return in_units(block, made.ahead, sides, levels, ends)
