"""The forecaster: LSTMs, each with a linear readout of its last hidden state and of the window itself; and beside them smoothing.

The part of the readout that sees the window is an autoregression beside the recurrent network (Lai et al. 2018). Each member is trained
without one block of windows. What it says there, where it was not trained, tells how much of the forecast to leave to exponential smoothing
(a combination by past errors: Bates and Granger 1969), and the errors of the combination there give the intervals (Xu and Xie 2021).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jax_lstm import checkpoint, train
from jax_lstm._init import init, uniform
from jax_lstm._layer import lstm, trace
from jax_lstm._readout import readout
from jax_lstm._types import Bidirectional, Params, Readout, Trace
from jax_lstm.forecast._series import Preparation, apply, pattern, prepare, undo, windows
from jax_lstm.forecast._smoothing import Form, choose, smooth_ahead

LEVELS = (80, 95)
"""The intervals of a forecast, in per cent."""

HIDDEN, WINDOW, STEPS, BATCH = 16, 24, 300, 32
"""The units of each LSTM, the longest window, the steps of training and the windows in a minibatch."""

SHARES = np.linspace(0, 1, 21)
"""The LSTMs' shares of the forecast that are tried."""

LEARNING_RATE, DECAY, SCALE = 1e-2, 0.3, 3.0
"""The first learning rate, which falls to zero as a cosine; AdamW's decay; and what a window is divided by, to lie near ±1."""


class Forecaster(NamedTuple):
    """A fitted ensemble.

    Args:
        layer: the members' LSTMs, every array with the members' axis in front.
        readout: their readouts, `w (members, hidden + window*columns, horizon)`.
        preparation: how the series is prepared.
        form: the exponential smoothing beside them.
        share: how much of the forecast is the LSTMs', from 0 to 1; the rest is the smoothing's.
        widths: from the forecast to the ends of each interval of `LEVELS`, in prepared units, `(levels, horizon)`.
        about: what the model was fitted to, anything that JSON keeps.
    """

    layer: Params
    readout: Readout
    preparation: Preparation
    form: Form
    share: float
    widths: np.ndarray
    about: dict[str, Any]

    @property
    def horizon(self) -> int:
        """How many steps ahead it forecasts."""
        return self.readout.w.shape[-1]

    @property
    def window(self) -> int:
        """How many of the last values it looks at."""
        return (self.readout.w.shape[-2] - self.layer.w_h.shape[-2]) // self.layer.w_x.shape[-2]


class Forecast(NamedTuple):
    """What is to come.

    Args:
        values: the combined forecast `(horizon,)`.
        intervals: by level in per cent, each `(low, high)`.
        members: what each LSTM says by itself `(members, horizon)`.
        smoothed: what exponential smoothing says by itself `(horizon,)`.
    """

    values: np.ndarray
    intervals: dict[int, tuple[np.ndarray, np.ndarray]]
    members: np.ndarray
    smoothed: np.ndarray


def shortest(horizon: int) -> int:
    """How many values there must be to train on."""
    return 2 * horizon + 8


def fit(
    values,
    *,
    season: int = 12,
    horizon: int = 12,
    origins: Sequence[int] | None = None,
    members: int = 6,
    steps: int = STEPS,
    seed: int = 0,
    progress: bool | None = None,
) -> list[Forecaster]:
    """Forecasters for a series, one for each origin, that know nothing of what lies behind it; all are trained together by `vmap`.

    Args:
        values: `(time,)`, or `(time, columns)` with the series first and other inputs after it; NaN where a value is missing.
        season: the period of the series, 1 for none.
        horizon: how many steps ahead to forecast.
        origins: the forecaster of origin t is trained on `values[:t]`; only on all of them where None.
        members: the size of the ensemble.
        steps: steps of training.
        seed: of the initial weights and the minibatches.
        progress: as in `jax_lstm.train.fit`.

    Returns:
        One `Forecaster` an origin.

    Raises:
        ValueError: a series that is too short or constant, or a size below one.

    >>> import numpy as np
    >>> series = 10 + np.sin(np.arange(60) * np.pi / 6)
    >>> [model] = fit(series, horizon=3, members=2, steps=5, progress=False)
    >>> predict(model, series).values.shape
    (3,)
    """
    values = _columns(values)
    origins = [len(values)] if origins is None else list(origins)
    _check(values, season, horizon, origins, members)
    window = min(WINDOW, (min(origins) - horizon) // 3)
    count = max(origins) - window - horizon + 1
    features = np.zeros((len(origins), count, window, values.shape[1]), np.float32)
    targets = np.zeros((len(origins), count, horizon), np.float32)
    use = np.zeros((len(origins), count, members, horizon), np.float32)
    known = _follow(~np.isnan(values[:, 0]), window, horizon)
    preparations = [prepare(values[:origin], season) for origin in origins]
    prepared = [apply(preparation, values[:origin]) for preparation, origin in zip(preparations, origins, strict=True)]
    blocks = []
    for place, columns in enumerate(prepared):
        rows = len(columns) - window - horizon + 1
        features[place, :rows], targets[place, :rows] = windows(columns, window, horizon)
        use[place, :rows] = known[:rows, None]
        blocks.append(np.array_split(np.arange(rows), members))
        for member, block in enumerate(blocks[-1]):
            # neighbours of the block have targets in common with it, so that half a horizon of them is left out as well
            use[place, max(0, block[0] - horizon // 2) : block[-1] + 1 + horizon // 2, member] = 0

    keys = jax.random.split(jax.random.key(seed), (len(origins), members))
    params = _start(keys, columns=values.shape[1], window=window, horizon=horizon)
    fitted = train.fit(
        _loss,
        params,
        (features, targets, use),
        _optimizer(steps),
        key=jax.random.key(seed),
        steps=steps,
        batch_size=min(BATCH, count),
        batch_axis=1,
        progress=progress,
    )
    layers, readouts = jax.tree.map(np.asarray, fitted.params)
    said = np.asarray(_per_origin(fitted.params, features))
    models = []
    for place, (preparation, columns) in enumerate(zip(preparations, prepared, strict=True)):
        held_out = np.concatenate([said[place, member, block] for member, block in enumerate(blocks[place])])
        truth = np.where(known[: len(held_out)], targets[place, : len(held_out)], np.nan)
        form = choose(columns[:, 0] + pattern(preparation, np.arange(len(columns))), season, horizon)
        smoothed = smooth_ahead(form, preparation, columns, horizon)[window - 1 : -horizon]
        candidates = [truth - share * held_out - (1 - share) * smoothed for share in SHARES]
        best = int(np.argmin([np.nanmean(np.abs(errors)) for errors in candidates]))
        widths = np.nanpercentile(np.abs(candidates[best]), LEVELS, axis=0)
        layer, out = jax.tree.map(lambda leaf, place=place: leaf[place], (layers, readouts))
        models.append(Forecaster(layer, out, preparation, form, float(SHARES[best]), widths, {}))
    return models


def predict(model: Forecaster, values, *, start: int = 0) -> Forecast:
    """What follows `values`: the LSTMs' mean and exponential smoothing in their shares, with intervals.

    Args:
        model: from `fit` or `load`.
        values: as in `fit`, at least the window's length.
        start: which row of the values the model was fitted to the first one here is; the phases of the season are counted from there.

    Raises:
        ValueError: fewer values than the window, other columns than the model has, or values that its power cannot take.
    """
    values = _columns(values)
    prepared = _prepared(model, values, start)
    last = prepared[-1:, :]
    members = np.asarray(_per_member((model.layer, model.readout), (prepared[-model.window :] - last)[None].astype(np.float32)))[:, 0]
    smoothed = smooth_ahead(model.form, model.preparation, prepared, model.horizon, start)[-1]
    centre = model.share * members.mean(axis=0) + (1 - model.share) * smoothed

    def in_units(ahead):
        return undo(model.preparation, last[0, 0] + ahead, start + len(values))

    intervals = {level: (in_units(centre - width), in_units(centre + width)) for level, width in zip(LEVELS, model.widths, strict=True)}
    return Forecast(in_units(centre), intervals, in_units(members), in_units(smoothed))


def explain(model: Forecaster, values, *, start: int = 0, member: int = 0) -> Trace:
    """What one member's LSTM thinks at every time: the six values at the last step of the window that ends there.

    Args:
        model, values, start: as in `predict`.
        member: which one of the ensemble.

    Returns:
        A `Trace` of `(time - window + 1, hidden)`, ready for `jax_lstm.plot.gates`; the first entry belongs to row `window - 1`.
    """
    seen, _ = windows(_prepared(model, _columns(values), start), model.window, 0)
    layer = jax.tree.map(lambda leaf: jnp.asarray(leaf[member]), model.layer)
    _, steps = trace(layer, jnp.asarray(seen.swapaxes(0, 1) / SCALE, jnp.float32))
    return Trace(*(value[-1] for value in steps))


def save(path: str | os.PathLike, model: Forecaster) -> None:
    """Write a forecaster to a safetensors file that `load` and `jax_lstm.checkpoint.load` read."""
    facts = {
        "preparation": model.preparation._asdict(),
        "form": model.form._asdict(),
        "share": model.share,
        "widths": model.widths.tolist(),
        "about": model.about,
    }
    checkpoint.save(path, (model.layer,), model.readout, {"forecaster": facts})


def load(path: str | os.PathLike) -> Forecaster:
    """Read what `save` wrote.

    Raises:
        ValueError: a file that holds no forecaster, or is damaged.
    """
    (layer, *_), out, metadata = checkpoint.load(path)
    facts = (metadata or {}).get("forecaster")
    if facts is None or out is None or isinstance(layer, Bidirectional):
        raise ValueError(f"{os.fspath(path)} holds a network but no forecaster: make one with jax-lstm fit")
    preparation, form = Preparation(**facts["preparation"]), Form(**facts["form"])
    return Forecaster(layer, out, preparation, form, facts["share"], np.array(facts["widths"]), facts["about"])


@partial(jax.jit, static_argnames=("columns", "window", "horizon"))
def _start(keys, *, columns: int, window: int, horizon: int) -> tuple[Params, Readout]:
    """The members before training: their readouts are zero, so that they begin as the naive forecast of the prepared series."""
    one = partial(init, features=columns, hidden=HIDDEN, recurrent_init=uniform(HIDDEN), dtype=jnp.float32)
    w = jnp.zeros((*keys.shape, HIDDEN + window * columns, horizon), jnp.float32)
    return jax.vmap(jax.vmap(one))(keys), Readout(w, w[..., 0, :])


def _predict(params, features):
    """One member's forecasts `(windows, horizon)` of `features (windows, window, columns)`."""
    layer, out = params
    carry, _ = lstm(layer, features.swapaxes(0, 1) / SCALE)
    return readout(out, jnp.concatenate([carry.h, features.reshape(len(features), -1) / SCALE], axis=1))


_per_member = jax.jit(jax.vmap(_predict, (0, None)))
_per_origin = jax.jit(jax.vmap(jax.vmap(_predict, (0, None))))


def _loss(params, batch, key):
    """The mean absolute error of every member, over the windows it may use; summed, so that each trains as if it were alone."""
    features, targets, use = batch
    errors = jnp.abs(jax.vmap(jax.vmap(_predict, (0, None)))(params, features) - targets[:, None])
    use = use.transpose(0, 2, 1, 3)
    return jnp.sum(jnp.sum(errors * use, axis=(2, 3)) / jnp.maximum(jnp.sum(use, axis=(2, 3)), 1.0))


@lru_cache
def _optimizer(steps: int) -> optax.GradientTransformation:
    return optax.adamw(optax.cosine_decay_schedule(LEARNING_RATE, steps), weight_decay=DECAY)


def _follow(rows: np.ndarray, window: int, horizon: int) -> np.ndarray:
    """The `(count, horizon)` entries that follow each window of a series."""
    return np.lib.stride_tricks.sliding_window_view(rows[window:], horizon)


def _prepared(model: Forecaster, values: np.ndarray, start: int) -> np.ndarray:
    columns = model.layer.w_x.shape[-2]
    if values.shape[1] != columns:
        raise ValueError(f"values have {values.shape[1]} columns, but the model was fitted to {columns}: give the same ones")
    if len(values) < model.window:
        raise ValueError(f"the series has {len(values)} values, but the model looks at the last {model.window}: give it more")
    return apply(model.preparation, values, start)


def _columns(values) -> np.ndarray:
    values = np.asarray(values, float)
    if values.ndim not in (1, 2) or not values.size:
        raise ValueError(f"values have shape {values.shape}, expected (time,) or (time, columns)")
    return values.reshape(len(values), -1)


def _check(values: np.ndarray, season: int, horizon: int, origins: list[int], members: int) -> None:
    for name, value in (("season", season), ("horizon", horizon), ("members", members)):
        if value < 1:
            raise ValueError(f"{name} is {value}, expected at least 1")
    least = max(shortest(horizon), members + 1)
    if min(origins) < least or max(origins) > len(values):
        raise ValueError(
            f"{horizon} steps ahead need at least {least} values to train on, but there are {min(origins)}: choose a shorter horizon"
        )
    first = values[: min(origins)]
    for column in first.T:
        known = column[~np.isnan(column)]
        if known.size < 2 or np.ptp(known) == 0:
            said = f"is {known[0]:g} throughout" if known.size else "has no values"
            raise ValueError(f"the series {said} in its first {len(first)} rows: there is nothing to learn from it")
