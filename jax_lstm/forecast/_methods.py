"""What every method says, at the end of series and at origins before it, from what was known there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jax_lstm.forecast._features import Design, Steps, features
from jax_lstm.forecast._network import Network, ensemble
from jax_lstm.forecast._season import fill
from jax_lstm.forecast._simple import simple
from jax_lstm.forecast._theta import FEW, theta
from jax_lstm.forecast._transform import Units

CHUNK = 512
"""How many series are worked on at once."""

LONGEST_RISE = 0.6
"""The largest power of the horizon by which intervals widen beyond what a network was made for."""


class Backtest(NamedTuple):
    """Forecasts of series in transformed values from every origin.

    Args:
        origins: how many of the last rows were not known, 0 first.
        centres: by method `(origins, series, horizon)`.
        offsets: from a centre down to its 2.5 % and 10 % and up to its 90 % and 97.5 % quantiles, `(4, origins,
            series, horizon)`.
        actuals: what came, NaN where unknown or where too little was known for a test, `(origins, series, horizon)`.
        unit: what errors are compared in, `(origins, series)`.
    """

    origins: tuple[int, ...]
    centres: dict[str, np.ndarray]
    offsets: np.ndarray
    actuals: np.ndarray
    unit: np.ndarray

    def since(self, held: int) -> Backtest:
        """The forecasts from the end and from the last `held` rows."""
        some = sum(back <= held for back in self.origins)
        return Backtest(
            self.origins[:some],
            {name: centre[:some] for name, centre in self.centres.items()},
            self.offsets[:, :some],
            self.actuals[:some],
            self.unit[:some],
        )


def run_methods(
    values: np.ndarray,
    units: Units,
    season: int,
    horizon: int,
    design: Design,
    networks: Mapping[str, Network],
    origins: tuple[int, ...],
    inputs: np.ndarray | None = None,
    done: Callable[[int], None] = lambda count: None,
) -> Backtest:
    """What the networks, Theta, level with season and the simple methods forecast from every origin.

    Args:
        values: transformed series `(rows, series)`, NaN where missing or not started.
        units: of the transformation.
        season: their period.
        horizon: how many steps ahead.
        design: of the networks.
        networks: by name; the offsets are the last one's.
        origins: how many of the last rows are unknown at each, 0 first.
        inputs: further features `(context, series, inputs)`.
        done: told how many more series are done, time and again.
    """
    portions = []
    for begin in range(0, values.shape[1], CHUNK):
        part = slice(begin, begin + CHUNK)
        some = None if inputs is None else inputs[:, part]
        portion = Units(*(field[part] for field in units))
        portions.append(_say(values[:, part], portion, season, horizon, design, networks, origins, some))
        done(len(portion.logs))
    if len(portions) == 1:
        return portions[0]
    return Backtest(
        origins,
        {name: np.concatenate([one.centres[name] for one in portions], axis=1) for name in portions[0].centres},
        np.concatenate([one.offsets for one in portions], axis=2),
        np.concatenate([one.actuals for one in portions], axis=1),
        np.concatenate([one.unit for one in portions], axis=1),
    )


def _say(
    values: np.ndarray,
    units: Units,
    season: int,
    horizon: int,
    design: Design,
    networks: Mapping[str, Network],
    origins: tuple[int, ...],
    inputs: np.ndarray | None,
) -> Backtest:
    """The same of at most `CHUNK` series."""
    seen = features(values, units.logs, season, design, origins)
    step_rows = [design.context - 1 - back for back in origins]
    centres: dict[str, np.ndarray] = {}
    for name, network in networks.items():
        centres[name], offsets = _network_says(network, seen, step_rows, inputs)
    if horizon > design.horizon:
        centres, offsets = _roll(values, units, season, horizon, design, networks, centres, offsets, inputs)
    centres = {name: one[..., :horizon] for name, one in centres.items()}
    offsets = offsets[..., :horizon]
    before = [_deseasonalised(values, season, horizon, back, seen.patterns[back]) for back in origins]
    lines = _theta_from(before, units.logs, horizon)
    statistical = [
        {"theta": line + one.coming} | _statistics(one, units, season, horizon)
        for line, one in zip(lines, before, strict=True)
    ]
    for name in statistical[0]:
        centres[name] = np.stack([one[name] for one in statistical])
    unit = np.where(units.logs, 1.0, 10 * seen.scale[step_rows])
    actuals = _actuals(values, season, horizon, origins)
    actuals[..., design.horizon :] = np.nan  # not forecast by the networks from the origins before the end
    return Backtest(origins, centres, offsets, actuals, unit)


def _network_says(
    network: Network, seen: Steps, rows: list[int], inputs: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """The centres and offsets at some of the rows, the series padded to one of a few numbers."""
    x, index = seen.x, np.asarray(rows)
    if inputs is not None and network.layer.w_x.shape[-2] > x.shape[-1]:  # the package's networks know of no inputs
        x = np.concatenate([x, inputs.astype(np.float32)], axis=-1)
    size = x.shape[1]
    spare = size_class(size) - size
    x, valid = (np.pad(array, [(0, 0), (0, spare)] + [(0, 0)] * (array.ndim - 2)) for array in (x, seen.valid))
    centre, quantiles = ensemble(network, jnp.asarray(x), jnp.asarray(valid))
    chosen = np.asarray(centre)[index][:, :size]
    scale = seen.scale[index][..., None]
    offsets = scale * np.abs(np.asarray(quantiles)[:, index][:, :, :size] - chosen)
    return seen.level[index][..., None] + seen.base[index] + scale * chosen, offsets


def size_class(size: int) -> int:
    """The size that a number of series is padded to: 1, 8, 64, 512."""
    return next(limit for limit in (1, 8, 64, CHUNK) if size <= limit)


def _roll(
    values: np.ndarray,
    units: Units,
    season: int,
    horizon: int,
    design: Design,
    networks: Mapping[str, Network],
    centres: dict[str, np.ndarray],
    offsets: np.ndarray,
    inputs: np.ndarray | None,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Forecasts beyond what the networks are made for: their own centre is taken as known, and they go on from there.

    The offsets go on as the power of the horizon by which they rise over the second half of what the networks say.
    """
    rolled = {}
    for name, network in networks.items():
        made = [centres[name]]
        longer = values
        while sum(one.shape[-1] for one in made) < horizon:
            longer = np.concatenate([longer, made[-1][0].T])[design.horizon :]
            shift = None if inputs is None else _held_inputs(inputs, sum(one.shape[-1] for one in made))
            again = features(longer, units.logs, season, design)
            following, _ = _network_says(network, again, [design.context - 1], shift)
            made.append(np.concatenate([following, np.zeros_like(centres[name][1:])]))
        rolled[name] = np.concatenate(made, axis=-1)
    last, middle = offsets[..., -1:], offsets[..., design.horizon // 2 - 1 : design.horizon // 2]
    power = np.clip(np.log(np.maximum(last, 1e-30) / np.maximum(middle, 1e-30)) / np.log(2), 0.05, LONGEST_RISE)
    beyond = np.arange(design.horizon + 1, horizon + 1) / design.horizon
    return rolled, np.concatenate([offsets, last * beyond**power], axis=-1)


def _held_inputs(inputs: np.ndarray, steps: int) -> np.ndarray:
    """The inputs some steps later, the last ones held."""
    return np.concatenate([inputs[steps:], np.repeat(inputs[-1:], min(steps, len(inputs)), axis=0)])


def _actuals(values: np.ndarray, season: int, horizon: int, origins: tuple[int, ...]) -> np.ndarray:
    """What came after each origin, where enough was known at it: four values, and a season with two more."""
    rows, count = values.shape
    padded = np.concatenate([values, np.full((horizon, count), np.nan)])
    known = np.cumsum(~np.isnan(values), axis=0)
    found = []
    for back in origins:
        coming = padded[rows - back : rows - back + horizon].T
        enough = known[rows - back - 1] >= max(4, season + 2) if back < rows else np.zeros(count, bool)
        found.append(np.where(enough[:, None], coming, np.nan))
    return np.stack(found)


class _Deseasonalised(NamedTuple):
    """Series as they were known at an origin.

    Args:
        filled: without gaps, `(rows, series)`.
        about: the same less the season.
        known: which values were there.
        begin: the first row of each series, `(series,)`.
        started: which rows are not before it.
        coming: the season of what is to come, `(series, horizon)`.
    """

    filled: np.ndarray
    about: np.ndarray
    known: np.ndarray
    begin: np.ndarray
    started: np.ndarray
    coming: np.ndarray


def _deseasonalised(values: np.ndarray, season: int, horizon: int, back: int, pattern: np.ndarray) -> _Deseasonalised:
    """The series when the last `back` rows were not known."""
    known = values[: len(values) - back]
    rows = len(known)
    known = np.where(np.isnan(known).all(axis=0), 0.0, known)
    filled = fill(known, season)
    begin = (~np.isnan(known)).argmax(axis=0)
    seasonal = pattern[(np.arange(-rows, horizon) - back) % season]
    started = np.arange(rows)[:, None] >= begin
    return _Deseasonalised(filled, filled - seasonal[:rows], ~np.isnan(known), begin, started, seasonal[rows:].T)


def _statistics(before: _Deseasonalised, units: Units, season: int, horizon: int) -> dict[str, np.ndarray]:
    """The forecasts `(series, horizon)` of level with season and the simple methods."""
    filled, rows = before.filled, len(before.filled)
    span = np.arange(rows)[-season if season > 1 else -1 :]
    weight = before.started[span].astype(float)
    level = (before.about[span] * weight).sum(axis=0) / weight.sum(axis=0)
    made = {"level and season": level[:, None] + before.coming}
    in_units = np.where(units.logs, np.exp(np.where(units.logs, filled, 0.0)), filled)
    for name, one in simple(in_units, rows - before.begin, season, horizon).items():
        least = 1e-3 * np.min(np.where(before.started, np.abs(in_units), np.inf), axis=0)[:, None]
        logs = units.logs[:, None]
        made[name] = np.where(logs, np.log(np.maximum(np.where(logs, one, 1.0), least)) if logs.any() else one, one)
    return made


def _theta_from(origins: list[_Deseasonalised], logs: np.ndarray, horizon: int) -> list[np.ndarray]:
    """Theta's forecasts from every origin, those of few series from several origins at once."""
    together = max(1, CHUNK // len(logs))
    found: list[np.ndarray] = []
    for begin in range(0, len(origins), together):
        some = origins[begin : begin + together]
        rows = max(len(one.about) for one in some)
        about, started, known = (
            np.concatenate([np.pad(part, [(rows - len(part), 0), (0, 0)]) for part in parts], axis=1)
            for parts in zip(*((one.about, one.started, one.known) for one in some), strict=True)
        )
        found += np.split(_theta_says(about, started, known, np.tile(logs, len(some)), horizon), len(some))
    return found


def _theta_says(
    about: np.ndarray, started: np.ndarray, known: np.ndarray, logs: np.ndarray, horizon: int
) -> np.ndarray:
    """Theta's forecasts `(series, horizon)` of deseasonalised series, not in logarithms."""
    rows, count = about.shape
    top = np.max(np.where(started, about, -np.inf), axis=0)
    plain = np.where(logs, np.exp(np.where(logs, about - top, 0.0)), about)
    middle = np.where(logs, 0.0, plain[-1])
    spread = np.abs(np.where(started, plain - middle, 0.0)).sum(axis=0) / started.sum(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    scaled = np.where(started, (plain - middle) / spread, np.nan)
    if count > FEW:  # compiled, for a few sizes only
        spare = [(row_class(rows) - rows, 0), (0, CHUNK - count)]
        scaled, known = np.pad(scaled, spare, constant_values=np.nan), np.pad(known, spare)
    steps = horizon if count <= FEW else row_class(horizon)
    made = np.asarray(theta(scaled, horizon=steps, known=known).forecasts, np.float64)
    forecasts = made[:horizon, :count] * spread + middle
    least = 1e-2 * plain[-1]
    logged = np.log(np.maximum(np.where(logs, forecasts, 1.0), np.where(logs, least, 1.0))) + top
    return np.where(logs, logged, forecasts).T


def row_class(rows: int) -> int:
    """The number of rows that series are padded to, so that a program is compiled for a few numbers only."""
    size = 32
    while size < rows:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size
