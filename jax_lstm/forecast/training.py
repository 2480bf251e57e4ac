"""What `experiments.pretrain` makes a model with: windows for the networks, and examples for the networks that weigh
methods and make intervals.

A model is made in four steps: `windows` and `learn` train the LSTMs; `examples` runs all methods over series whose end
is held back; `learn_combiner` finds how to weigh them; `learn_widths` how far the intervals reach. The series are
synthetic, so nothing real is learned from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jax_lstm.forecast._backtest import Backtest, backtest
from jax_lstm.forecast._backtest import row_class as row_class
from jax_lstm.forecast._blocks import longest_for, usable_season
from jax_lstm.forecast._endings import without_wild_end
from jax_lstm.forecast._features import Design as Design
from jax_lstm.forecast._features import features as features
from jax_lstm.forecast._files import load as load
from jax_lstm.forecast._files import save as save
from jax_lstm.forecast._intervals import FEATURES as STEP_FEATURES
from jax_lstm.forecast._intervals import HIDDEN as STEP_HIDDEN
from jax_lstm.forecast._intervals import LEVELS as LEVELS
from jax_lstm.forecast._intervals import Widths, describe_steps, offsets
from jax_lstm.forecast._model import PACKAGED as PACKAGED
from jax_lstm.forecast._model import Model as Model
from jax_lstm.forecast._model import packaged as packaged
from jax_lstm.forecast._network import DESIGNS as DESIGNS
from jax_lstm.forecast._network import Network as Network
from jax_lstm.forecast._network import Windows as Windows
from jax_lstm.forecast._network import ensemble as ensemble
from jax_lstm.forecast._network import learn as learn
from jax_lstm.forecast._network import start as start
from jax_lstm.forecast._series import panel
from jax_lstm.forecast._transform import Units
from jax_lstm.forecast._transform import align as align
from jax_lstm.forecast._transform import transform as transform
from jax_lstm.forecast._weights import FEATURES, HIDDEN, Combiner, describe, methods_of, weights
from jax_lstm.forecast._windows import join as join
from jax_lstm.forecast._windows import windows as windows
from jax_lstm.forecast.methods import NAMES

RATE, DECAY, BATCH, STEPS = 3e-3, 1e-3, 256, 4096
"""The learning rate, the weight decay, the series of a batch, and its steps where those are learned from."""

FARTHEST = 60.0
"""As how many scales an error counts at most."""


class Examples(NamedTuple):
    """Series of one season and horizon with their actuals, in transformed values.

    Args:
        x: what the combiner sees, `(series, candidates, features)`.
        error: of each candidate in units of the scale, `(series, candidates, horizon)`.
        size: the scale as a share of the values, a tenth where they are not logarithms, `(series,)`.
        unit: the mean absolute difference of values a season apart, in units of the scale, `(series,)`.
        methods: the place in `NAMES` of each candidate's method.
        tested, values, units, actual: what the widths are described from.
    """

    x: np.ndarray
    error: np.ndarray
    size: np.ndarray
    unit: np.ndarray
    methods: np.ndarray
    tested: Backtest
    values: np.ndarray
    units: Units
    actual: np.ndarray


def examples(
    series: Sequence[np.ndarray], season: tuple[float, ...], horizon: int, networks: Mapping[str, Network]
) -> list[Examples]:
    """Examples from series whose last `horizon` values are held back.

    Args:
        series: `(time,)` each, in any units.
        season: their periods.
        horizon: how many steps are held back.
        networks: "short" and "long".
    """
    found = []
    past = panel([one[:-horizon] for one in series], season=season)
    groups: dict[tuple[float, ...], list[int]] = {}
    for place, (one, every) in enumerate(zip(past.series, past.season, strict=True)):
        groups.setdefault(usable_season(every, len(one)), []).append(place)
    for periods, places in groups.items():
        # all of one length class, the longest: only the time that it takes depends on it
        some = [without_wild_end(past.series[place], periods)[0] for place in places]
        rows = row_class(min(max(map(len, some)), longest_for(periods)))
        values, units = transform(align(some, rows))
        actual = np.stack([series[place][-horizon:] for place in places])
        with np.errstate(invalid="ignore", divide="ignore"):
            scaled = (actual.T - units.center) / units.unit
            actual = np.where(units.logs, np.log(np.where(units.logs, scaled, 1.0)), scaled).T
        tested = backtest(values, units.logs, periods, horizon, networks)
        lag = round(periods[0]) if periods else 1
        change = np.abs(values[lag:] - values[:-lag])
        known = ~np.isnan(change)
        unit = np.where(known, change, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1) / tested.scale
        error = ((tested.ahead - actual) / tested.scale[:, None]).transpose(1, 0, 2)
        x = describe(tested, values, units.logs)
        keep = np.isfinite(x).all((1, 2)) & np.isfinite(error).any((1, 2))
        keep &= np.nanmax(values, axis=0) > np.nanmin(values, axis=0)
        found.append(
            _kept(
                Examples(
                    x,
                    np.clip(error, -FARTHEST, FARTHEST).astype(np.float32),
                    np.where(units.logs, tested.scale, 0.1).astype(np.float32),
                    np.maximum(unit, 0.3).astype(np.float32),
                    methods_of(tested),
                    tested,
                    values,
                    units,
                    actual,
                ),
                keep,
            )
        )
    return found


def _kept(found: Examples, keep: np.ndarray) -> Examples:
    """Some of the series, what is large in float32."""
    tested = found.tested._replace(
        ahead=found.tested.ahead[:, keep],
        earlier=found.tested.earlier[:, :, keep].astype(np.float32),
        actuals=found.tested.actuals[:, keep],
        offsets=found.tested.offsets[:, keep],
        scale=found.tested.scale[keep],
    )
    units = Units(*(field[keep] for field in found.units))
    return Examples(
        found.x[keep],
        found.error[keep],
        found.size[keep],
        found.unit[keep],
        found.methods,
        tested,
        found.values[:, keep],
        units,
        found.actual[keep],
    )


def start_combiner(key: jax.Array) -> Combiner:
    """A combiner before training: half LSTM, half Theta, and little of the rest."""
    keys = jax.random.split(key, 3)
    prior = jnp.zeros(len(NAMES)).at[jnp.array([NAMES.index("lstm"), NAMES.index("theta")])].set(2.0)
    inputs = FEATURES + len(NAMES)
    return Combiner(
        jax.random.normal(keys[0], (inputs, HIDDEN)) / np.sqrt(inputs),
        jnp.zeros(HIDDEN),
        jax.random.normal(keys[1], (2 * HIDDEN, HIDDEN)) / np.sqrt(2 * HIDDEN),
        jnp.zeros(HIDDEN),
        0.1 * jax.random.normal(keys[2], (HIDDEN, 2)) / np.sqrt(HIDDEN),
        jnp.zeros(2),
        prior,
    )


def start_widths(key: jax.Array) -> Widths:
    """Widths before training: those that the LSTM says."""
    keys = jax.random.split(key, 2)
    outputs = 2 * len(LEVELS)
    return Widths(
        jax.random.normal(keys[0], (STEP_FEATURES, STEP_HIDDEN)) / np.sqrt(STEP_FEATURES),
        jnp.zeros(STEP_HIDDEN),
        jax.random.normal(keys[1], (STEP_HIDDEN, STEP_HIDDEN)) / np.sqrt(STEP_HIDDEN),
        jnp.zeros(STEP_HIDDEN),
        jnp.zeros((STEP_HIDDEN, outputs)),
        jnp.full(outputs, -0.7),
    )


def learn_combiner(data: Sequence[Examples], *, key: jax.Array, steps: int, rate: float = RATE) -> Combiner:
    """The combiner of the least error of the combined forecast: half its sMAPE in per cent, over ten, and its MASE."""

    def loss(combiner: Combiner, batch: tuple[jax.Array, ...], methods: tuple[int, ...]) -> jax.Array:
        x, error, size, unit = batch
        known = (~jnp.isnan(error).any(axis=1)).astype(jnp.float32)
        shares = weights(combiner, x, np.array(methods), error.shape[-1], np=jnp)
        e = jnp.abs((shares * jnp.nan_to_num(error)).sum(axis=1))
        each = 10 * jnp.tanh(e * size[:, None] / 2) + 3 * jnp.tanh(e / unit[:, None] / 3)
        return jnp.sum(each * known) / jnp.maximum(known.sum(), 1.0)

    sets: dict[tuple[tuple[int, ...], int], list[tuple[np.ndarray, ...]]] = {}
    for one in data:
        alike = (tuple(one.methods.tolist()), one.error.shape[-1])
        sets.setdefault(alike, []).append((one.x, one.error, one.size, one.unit))
    batches = [_concatenated(parts) for parts in sets.values()]
    return _learned(loss, start_combiner(key), batches, [methods for methods, _ in sets], key, steps, rate)


class StepExamples(NamedTuple):
    """What the widths learn from: `x (series, horizon, features)`, and the combined forecast's error in units of the
    scale `(series, horizon)`.
    """

    x: np.ndarray
    error: np.ndarray


def step_examples(combiner: Combiner, data: Sequence[Examples]) -> list[StepExamples]:
    """The steps of examples, as a combiner forecasts them."""
    combiner = jax.tree.map(np.asarray, combiner)
    found = []
    for one in data:
        shares = weights(combiner, one.x, one.methods, one.error.shape[-1])
        forecast = np.einsum("nkh,knh->nh", shares, one.tested.ahead)
        floor = np.where(one.units.logs, -np.inf, (one.units.floor - one.units.center) / one.units.unit)
        x = describe_steps(one.tested, shares, forecast, one.values, one.units.logs, floor)
        error = (one.actual - forecast) / one.tested.scale[:, None]
        found.append(StepExamples(x, error.astype(np.float32)))
    return found


def learn_widths(data: Sequence[StepExamples], *, key: jax.Array, steps: int, rate: float = RATE) -> Widths:
    """The widths of least pinball loss at the quantiles of `LEVELS`, relative to what the LSTM says."""
    quantiles = jnp.array([[0.5 - level / 2 for level in LEVELS], [0.5 + level / 2 for level in LEVELS]])

    def loss(widths: Widths, batch: tuple[jax.Array, ...], _: tuple[int, ...]) -> jax.Array:
        x, error = batch
        known = (~jnp.isnan(error)).astype(jnp.float32)
        sides = offsets(widths, x, np=jnp)
        ends = sides * jnp.array([-1.0, 1.0])[:, None, None, None]
        over = jnp.nan_to_num(error) - ends
        level = quantiles[..., None, None]
        pinball = jnp.maximum(level * over, (level - 1) * over).sum(axis=(0, 1))
        return jnp.sum(known * pinball / jnp.exp(x[..., 0])) / jnp.maximum(known.sum(), 1.0)

    flat = [(one.x.reshape(-1, 1, one.x.shape[-1]), one.error.reshape(-1, 1)) for one in data]
    return _learned(loss, start_widths(key), [_concatenated(flat)], [()], key, steps, rate, batch=STEPS)


def held(widths: Widths, data: Sequence[StepExamples]) -> dict[float, float]:
    """The share of values within the interval of each level."""
    widths = jax.tree.map(np.asarray, widths)
    inside: dict[float, list[np.ndarray]] = {level: [] for level in LEVELS}
    for one in data:
        sides, known = offsets(widths, one.x), ~np.isnan(one.error)
        for place, level in enumerate(LEVELS):
            within = (one.error >= -sides[0, place]) & (one.error <= sides[1, place])
            inside[level].append(within[known])
    return {level: float(np.concatenate(found).mean()) for level, found in inside.items()}


def _concatenated(parts: Sequence[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    return tuple(np.concatenate(fields) for fields in zip(*parts, strict=True))


def _learned(
    loss: Callable[..., jax.Array],
    params: Any,
    batches: list[tuple[np.ndarray, ...]],
    static: list[tuple[int, ...]],
    key: jax.Array,
    steps: int,
    rate: float,
    batch: int = BATCH,
) -> Any:
    """Parameters after some steps of training, each on a batch of one set of examples, drawn by its size."""
    optimizer = optax.adamw(optax.cosine_decay_schedule(rate, steps), weight_decay=DECAY)

    @partial(jax.jit, static_argnums=3)
    def step(params: Any, state: Any, batch: tuple[jax.Array, ...], fixed: tuple[int, ...]) -> Any:
        value, gradient = jax.value_and_grad(loss)(params, batch, fixed)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, value

    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    sizes = np.array([len(one[0]) for one in batches], float)
    state = optimizer.init(params)
    # the networks are written for NumPy too, which promotes ranks; the schedule of Optax divides its count
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        for place in rng.choice(len(batches), steps, p=sizes / sizes.sum()).tolist():
            chosen = rng.integers(0, len(batches[place][0]), batch)
            params, state, _ = step(params, state, tuple(part[chosen] for part in batches[place]), static[place])
    return params
