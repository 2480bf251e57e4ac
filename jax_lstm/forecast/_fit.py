"""`fit`: the package's networks trained further on a panel, as far as held-out windows say that it helps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jax_lstm import train
from jax_lstm.forecast._combine import calibrate
from jax_lstm.forecast._features import Design, features
from jax_lstm.forecast._inputs import Inputs, input_features, standards
from jax_lstm.forecast._methods import say, size_class
from jax_lstm.forecast._model import Forecaster, Tuned
from jax_lstm.forecast._network import Network, Windows, kind, loss, losses
from jax_lstm.forecast._panel import Panel, check_horizon
from jax_lstm.forecast._predict import PRIOR, Group, gather
from jax_lstm.forecast._weights import pretrained
from jax_lstm.forecast._windows import follow, join

EFFORTS = {"quick": 40, "normal": 160, "long": 480}
"""The most steps of training further."""

RATE, BATCH, LOOK_EVERY = 1e-3, 128, 10
"""The learning rate, the series in a batch, and the steps between looks at the held-out windows."""

MOST_SERIES, MOST_CROPS = 4096, 6
"""How many series are learnt from, and from how many stretches of a long one."""


def fit(panel: Panel, horizon: int, *, key: jax.Array, effort: str = "normal", progress: bool | None = None) -> Forecaster:
    """A forecaster that knows a panel: the package's networks, trained further on it where that helps.

    The last values of each series are held back, and a network is trained on what came before them. How long, and whether it is used at all, is
    decided by its forecasts of the held-back values from several origins, as are the shares of the methods and the widths of the
    intervals. Then the network is trained for as long on all values. Inputs of the panel are further features of the network.

    Args:
        panel: from `panel`; one series is a panel of one.
        horizon: how many steps ahead it is to forecast.
        key: of `jax.random`, for the minibatches.
        effort: "quick", "normal" or "long".
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
        tuned[season], said = _fit_season(panel, places, horizon, inputs, jax.random.fold_in(key, season), EFFORTS[effort], progress)
        reports.append(said if len(set(panel.season)) == 1 else f"season {season}: {said}")
    return Forecaster(tuned, inputs, horizon, {}, "; ".join(reports))


class Task(NamedTuple):
    """The series of one season, with their inputs as features, and what is held back."""

    group: Group
    inputs: np.ndarray | None
    held: int


def _fit_season(
    panel: Panel, places: Sequence[int], horizon: int, inputs: Inputs, key: jax.Array, steps: int, progress: bool | None
) -> tuple[Tuned, str]:
    season = panel.season[places[0]]
    group = gather([panel.series[place] for place in places], season, horizon)
    within = min(horizon, group.design.horizon)
    lengths = (~np.isnan(group.values)).sum(axis=0)
    held = int(min(2 * within, group.design.context // 2) if np.median(lengths) >= 4 * within + 2 * season else within)
    task = Task(group, input_features(panel, places, inputs, group.design), held)
    start = widened(pretrained(kind(season)), inputs.size)
    early = group.values[: len(group.values) - held]
    usable = np.flatnonzero((~np.isnan(early)).sum(axis=0) >= max(6, season + 4))
    prior = PRIOR[kind(season)]
    if usable.size == 0:
        origins = group.origins
        calibration, _, _ = calibrate(say(group.values, group.units, season, horizon, group.design, {"lstm": pretrained(kind(season))}, origins), prior)
        return Tuned(None, calibration), "too short to train on: the package's weights as they are"
    chosen = np.sort(np.random.default_rng(0).permutation(usable)[:MOST_SERIES])
    validation = _held_back(task, chosen)
    trained = _train(start, _stretches(task, chosen, held), validation, key, steps, progress)
    before, after = (np.asarray(_each(network, validation)).mean(axis=0) for network in (start, trained.params))
    gain = (before - after) / before.mean()
    sure = gain.mean() > (gain.std() / np.sqrt(len(gain)) if len(gain) >= 8 else 0.0)
    best = LOOK_EVERY * (1 + int(np.nanargmin(np.asarray(trained.history.validation))))
    networks = {"lstm": pretrained(kind(season))}
    if sure:
        prior = {"lstm": prior["lstm"] / 2, "tuned": prior["lstm"] / 2, **{name: share for name, share in prior.items() if name != "lstm"}}
        networks["tuned"] = trained.params
    origins = tuple(back for back in group.origins if back <= held)
    said = say(group.values, group.units, season, horizon, group.design, networks, origins, task.inputs)
    calibration, _, _ = calibrate(said, prior)
    told = f"{best} steps of training change the held-out loss by {-100 * gain.mean():+.1f} %"
    if not sure:
        return Tuned(None, calibration), f"{told}: the package's weights as they are"
    everything = np.flatnonzero(lengths >= max(6, season + 4))[:MOST_SERIES]
    final = _train(start, _stretches(task, everything, 0), None, key, best, progress)
    return Tuned(final.params, calibration), f"{told}: trained further"


def widened(network: Network, inputs: int) -> Network:
    """The network with further features that it does not look at yet."""
    if inputs == 0:
        return network
    members = network.readout.w.shape[0]
    layer, out = network
    rows = jnp.zeros((members, inputs, layer.w_x.shape[-1]), layer.w_x.dtype)
    more = jnp.zeros((members, inputs, out.w.shape[-1]), out.w.dtype)
    return Network(layer._replace(w_x=jnp.concatenate([layer.w_x, rows], axis=1)), out._replace(w=jnp.concatenate([out.w, more], axis=1)))


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
    shifted = np.concatenate([np.zeros((back, len(chosen), task.inputs.shape[-1])), task.inputs[: design.context - back, chosen]])
    return made._replace(x=np.concatenate([made.x, shifted.astype(np.float32)], axis=-1))


def _stretches(task: Task, chosen: np.ndarray, held: int) -> Windows:
    """What is learnt from: the rows before those held back, and where they are many, earlier stretches of them too."""
    context, rows = task.group.design.context, len(task.group.values)
    longest = int((~np.isnan(task.group.values)).sum(axis=0).max())
    backs = [held]
    if task.inputs is None and len(chosen) < BATCH:
        backs += list(range(held + context // 3, min(longest, rows) - context // 2, context // 3))[: MOST_CROPS - 1]
    return join([_windows(task, chosen, back) for back in backs])


def _held_back(task: Task, chosen: np.ndarray) -> Windows:
    """What the network is judged by: the held-back values, from every origin from their beginning on."""
    found = _windows(task, chosen, 0)
    rows = np.arange(len(found.x))[:, None, None]
    return found._replace(y=np.where(rows >= len(found.x) - 1 - task.held, found.y, np.nan).astype(np.float32))


def _train(start: Network, windows: Windows, validation: Windows | None, key: jax.Array, steps: int, progress: bool | None):
    """The network trained further, up to the step at which the held-back windows are forecast best."""
    count = windows.x.shape[1]
    size = size_class(count) if count <= BATCH else count
    padded = Windows(*(np.pad(field, [(0, 0), (0, size - count)] + [(0, 0)] * (field.ndim - 2)) for field in windows))
    padded.y[:, count:] = np.nan
    options = {}
    if validation is not None:
        options = {"validation": jax.tree_util.Partial(_judge, validation), "validate_every": LOOK_EVERY, "patience": 4}
    return train.fit(
        loss, start, padded, _optimizer(start.readout.w.shape[0]), key=key, steps=steps, batch_size=min(BATCH, size), batch_axis=1,
        progress=progress, **options,
    )  # fmt: skip


def _judge(validation: Windows, network: Network) -> jax.Array:
    return jax.vmap(losses, (0, None))(network, validation).mean()


_each = jax.jit(jax.vmap(losses, (0, None)))


def _optimizer(members: int) -> optax.GradientTransformation:
    schedule = optax.linear_schedule(0.1 * RATE, RATE, 20)
    return optax.chain(optax.clip_by_global_norm(1.0 * members), optax.adam(schedule))
