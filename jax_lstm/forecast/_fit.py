"""`fit`: the package's networks trained further on a panel, as far as held-out windows say that it helps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm.forecast._combine import calibrate
from jax_lstm.forecast._features import features
from jax_lstm.forecast._inputs import Inputs, input_features, standards
from jax_lstm.forecast._methods import Backtest, row_class, run_methods, size_class
from jax_lstm.forecast._model import Forecaster, Tuned
from jax_lstm.forecast._network import Network, Windows, kind, loss, losses
from jax_lstm.forecast._panel import Panel, check_horizon
from jax_lstm.forecast._predict import PRIOR, Group, gather
from jax_lstm.forecast._weights import pretrained
from jax_lstm.forecast._windows import follow, join

if TYPE_CHECKING:
    import optax

EFFORTS = {"quick": 2, "normal": 8, "thorough": 24}
"""The most stages of training further; after each the held-back windows are looked at."""

STAGE, PATIENCE, RATE, BATCH = 15, 2, 1e-3, 128
"""The steps of a stage, the stages without a gain before training ends, the learning rate, and the series in a batch.

Each stage starts the optimiser anew (Loshchilov and Hutter 2017), so that all stages are one compiled program.
"""

MOST_SERIES, MOST_CROPS = 4096, 6
"""How many series are learnt from, and from how many segments of a long one."""


def fit(
    panel: Panel, horizon: int, *, key: jax.Array, effort: str = "normal", progress: bool | None = None
) -> Forecaster:
    """A forecaster that knows a panel: the package's networks, trained further on it where that helps.

    The last two horizons of each series are held back, and a network is trained on what came before them. How long, and
    whether it is used at all, is decided by its forecasts of the held-back values from several origins, as are the
    widths of the intervals; the networks' share beside the other methods is found on earlier windows too. Where it
    helps, the network is then trained for as long on all values. Where most series are too short for that, the
    package's weights stay as they are, but for a panel with inputs, which are further features of the network.

    Args:
        panel: from `panel`; one series is a panel of one.
        horizon: how many steps ahead it is to forecast.
        key: of `jax.random`, for the minibatches.
        effort: "quick", "normal" or "thorough".
        progress: as in `jax_lstm.train.fit`.

    Returns:
        A `Forecaster`, for these series and for others of the same seasons.

    Raises:
        ValueError: an effort that there is not.

    >>> import jax, numpy as np
    >>> from jax_lstm.forecast import panel, predict
    >>> waves = panel([np.sin(np.arange(40) * np.pi / 2) + 5], season=4)
    >>> model = fit(waves, 4, key=jax.random.key(0), effort="quick", progress=False)
    >>> len(predict(waves, 4, model=model).centre[0])
    4
    """
    check_horizon(horizon)
    if effort not in EFFORTS:
        raise ValueError(f"effort is {effort!r}, expected one of {', '.join(EFFORTS)}")
    inputs = standards(panel, min(horizon, 24))
    tuned, reports = {}, []
    for season in sorted(set(panel.season)):
        places = [place for place, period in enumerate(panel.season) if period == season]
        tuned[season], report = _fit_season(
            panel, places, horizon, inputs, jax.random.fold_in(key, season), EFFORTS[effort], progress
        )
        reports.append(report if len(set(panel.season)) == 1 else f"season {season}: {report}")
    return Forecaster(tuned, inputs, horizon, {}, "; ".join(reports))


class Task(NamedTuple):
    """The series of one season, with their inputs as features, and how many of the last rows are held back."""

    group: Group
    inputs: np.ndarray | None
    held: int


class Lesson(NamedTuple):
    """What is learnt from: the windows without the targets that are held back, and with them."""

    early: Windows
    final: Windows


def _fit_season(
    panel: Panel,
    places: Sequence[int],
    horizon: int,
    inputs: Inputs,
    key: jax.Array,
    stages: int,
    progress: bool | None,
) -> tuple[Tuned, str]:
    season = panel.season[places[0]]
    group = gather([panel.series[place] for place in places], season, horizon)
    within = min(horizon, group.design.horizon)
    lengths = (~np.isnan(group.values)).sum(axis=0)
    two = np.median(lengths) >= 4 * within + 2 * season  # horizons can be held back
    held = int(min(2 * within, group.design.context // 2) if two else within)
    task = Task(group, input_features(panel, places, inputs, group.design), held)
    untouched = pretrained(kind(season))
    usable = np.flatnonzero((~np.isnan(group.values[: len(group.values) - held])).sum(axis=0) >= max(6, season + 4))
    if not two and inputs.size == 0:
        # one horizon is one period, which all series share: training that helped on it made M3's yearly and quarterly
        # series worse on the values that followed, by 2.3 and 3.0 % in sMAPE (`experiments.m3 --validate`). New inputs
        # cannot be used without.
        usable = usable[:0]
    outcome, networks = "too short to train on", {"lstm": untouched}
    if usable.size:
        chosen = np.sort(np.random.default_rng(0).permutation(usable)[:MOST_SERIES])
        lesson, start = _lesson(task, chosen), widened(untouched, inputs.size)
        networks["tuned"], best = _train(start, lesson.early, _held_back(task, chosen), key, stages, progress)
    backtest = run_methods(
        group.values, group.units, season, horizon, group.design, networks, group.origins, task.inputs
    )
    prior, held_back = PRIOR[kind(season)], backtest.since(held)
    gains = _gains(held_back) if usable.size else np.zeros(0)
    if usable.size:
        outcome = "no training lowers the error on held-out values"
        if best > 0:
            outcome = f"{best} steps of training change the error on held-out values by {-100 * gains.mean():+.1f} %"
    helps = (
        gains.size > 0 and best > 0 and gains.mean() > (gains.std() / np.sqrt(gains.size) if gains.size >= 8 else 0.0)
    )
    whole = calibrate(backtest, prior)[0]
    if not helps:
        return Tuned(None, whole), f"{outcome}: the package's weights as they are"
    prior = dict(zip(whole.methods, whole.shares.tolist(), strict=True))
    prior |= {"lstm": prior["lstm"] / 4, "tuned": 3 * prior["lstm"] / 4}
    final = jax.tree.map(jnp.asarray, start)
    for stage in range(1, best // STAGE + 1):
        final = _stage(final, lesson.final, key, stage, progress)
    return Tuned(final, calibrate(held_back, prior)[0]), f"{outcome}: trained further"


def _gains(backtest: Backtest) -> np.ndarray:
    """By how much the trained network's errors on each series are less than the untouched one's, in shares of the
    mean error.
    """
    known = ~np.isnan(backtest.actuals[1:])
    counts = known.sum(axis=(0, 2))
    unit = backtest.unit[1:][..., None]
    before, after = (
        np.where(known, np.tanh(np.abs(backtest.actuals[1:] - backtest.centres[name][1:]) / unit / 2), 0.0).sum(
            axis=(0, 2)
        )
        / np.maximum(counts, 1)
        for name in ("lstm", "tuned")
    )
    mean = before[counts > 0].mean() if (counts > 0).any() else 0.0
    return (before - after)[counts > 0] / mean if mean > 0 else np.zeros(0)


def widened(network: Network, inputs: int) -> Network:
    """The network with further features that it does not look at yet."""
    if inputs == 0:
        return network
    members = network.readout.w.shape[0]
    layer, out = network
    rows = jnp.zeros((members, inputs, layer.w_x.shape[-1]), layer.w_x.dtype)
    more = jnp.zeros((members, inputs, out.w.shape[-1]), out.w.dtype)
    return Network(
        layer._replace(w_x=jnp.concatenate([layer.w_x, rows], axis=1)),
        out._replace(w=jnp.concatenate([out.w, more], axis=1)),
    )


def _windows(task: Task, chosen: np.ndarray, back: int) -> Windows:
    """What is to be learnt from the rows of some series but the last `back`."""
    group, design = task.group, task.group.design
    values = group.values[: len(group.values) - back, chosen]
    short = design.context - len(values)
    values = np.concatenate([np.full((max(0, short), len(chosen)), np.nan), values])
    empty = np.isnan(values).all(axis=0)
    values[-1, empty] = 0.0
    logs = group.units.logs[chosen]
    made = follow(features(values, logs, group.season, design), values, logs, design, least=min(4, group.season + 3))
    if task.inputs is None:
        return made
    shifted = np.concatenate(
        [np.zeros((back, len(chosen), task.inputs.shape[-1])), task.inputs[: design.context - back, chosen]]
    )
    return made._replace(x=np.concatenate([made.x, shifted.astype(np.float32)], axis=-1))


def _lesson(task: Task, chosen: np.ndarray) -> Lesson:
    """What is learnt from: the last rows of every series, and of a few long series earlier segments of them too."""
    context, held = task.group.design.context, task.held
    longest = int((~np.isnan(task.group.values)).sum(axis=0).max())
    backs = [0]
    if task.inputs is None and len(chosen) < BATCH:
        backs += list(range(context // 3, longest - context // 2, context // 3))[: MOST_CROPS - 1]
    parts = [_windows(task, chosen, back) for back in backs]
    ahead = np.arange(1, task.group.design.horizon + 1)
    early = []
    for back, part in zip(backs, parts, strict=True):
        left = back + context - 1 - np.arange(context)[:, None] - ahead  # rows that follow the target
        early.append(np.where((left >= held)[:, None], part.y, np.nan).astype(np.float32))
    count = sum(part.x.shape[1] for part in parts)
    size = size_class(count) if count <= BATCH else row_class(count)
    final = join(parts)
    return Lesson(_padded(final._replace(y=np.concatenate(early, axis=1)), size), _padded(final, size))


def _padded(windows: Windows, size: int) -> Windows:
    """The windows with further series, from which nothing is to be learnt."""
    count = windows.x.shape[1]
    padded = jax.tree.map(
        lambda field: np.pad(field, [(0, 0), (0, size - count)] + [(0, 0)] * (field.ndim - 2)), windows
    )
    padded.y[:, count:] = np.nan
    return padded


def _held_back(task: Task, chosen: np.ndarray) -> Windows:
    """What a network that has not seen the last rows is judged by."""
    found, count = _windows(task, chosen, 0), len(chosen)
    rows = np.arange(len(found.x))[:, None, None]
    y = np.where(rows >= len(found.x) - 1 - task.held, found.y, np.nan).astype(np.float32)
    return _padded(found._replace(y=y), row_class(count) if count > BATCH else size_class(count))


def _train(
    start: Network, windows: Windows, held_back: Windows, key: jax.Array, stages: int, progress: bool | None
) -> tuple[Network, int]:
    """The network trained up to the step at which it forecasts what is held back best, and that step."""
    held_back = jax.tree.map(jnp.asarray, held_back)
    network = kept = jax.tree.map(jnp.asarray, start)
    best, least = 0, float(_judge(kept, held_back))
    for stage in range(1, stages + 1):
        if stage - best > PATIENCE:
            break
        network = _stage(network, windows, key, stage, progress)
        outcome = float(_judge(network, held_back))
        if outcome < least:
            best, least, kept = stage, outcome, network
    return kept, best * STAGE


def _stage(network: Network, windows: Windows, key: jax.Array, stage: int, progress: bool | None) -> Network:
    """The network after one more stage of training."""
    from jax_lstm import train  # here, as forecasts start sooner without Optax

    fitted = train.fit(
        loss,
        network,
        windows,
        _optimizer(network.readout.w.shape[0]),
        key=jax.random.fold_in(key, stage),
        steps=STAGE,
        batch_size=min(BATCH, windows.x.shape[1]),
        batch_axis=1,
        progress=progress,
    )
    return fitted.params


@jax.jit
def _judge(network: Network, held_back: Windows) -> jax.Array:
    """The loss on what is held back."""
    return jax.vmap(losses, (0, None))(network, held_back).mean()


@lru_cache
def _optimizer(members: int) -> optax.GradientTransformation:
    import optax

    schedule = optax.linear_schedule(0.1 * RATE, RATE, STAGE // 2)
    return optax.chain(optax.clip_by_global_norm(1.0 * members), optax.adam(schedule))
