"""`fit`: a model whose networks are trained further on a panel where held-out windows show that it helps."""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm.forecast._backtest import row_class
from jax_lstm.forecast._calibrate import LEAST_KNOWN, calibrate
from jax_lstm.forecast._covariates import without_effects
from jax_lstm.forecast._model import Model, packaged
from jax_lstm.forecast._network import DESIGNS, Network, Windows, kind, loss, losses
from jax_lstm.forecast._predict import predict
from jax_lstm.forecast._series import Panel, as_panel, cut, horizon_of, take
from jax_lstm.forecast._transform import align, transform
from jax_lstm.forecast._windows import join, windows

if TYPE_CHECKING:
    import optax

EFFORTS = {"quick": 2, "normal": 8, "thorough": 24}
"""The most stages of training; after each the windows that choose are looked at."""

STAGE, PATIENCE, RATE, BATCH = 15, 2, 1e-3, 128
"""The steps of a stage, the stages without a gain before training ends, the learning rate, and the series in a batch.

Each stage starts the optimizer from nothing (Loshchilov and Hutter 2017), so that all stages are one compiled program.
"""

MOST_SERIES, MOST_CROPS = 4096, 6
"""How many series are learned from, and from how many segments of a long one."""

NEEDED, CHANCE = 8, 0.05
"""How many windows it takes to accept a network, and how likely one of no use may be accepted."""


class Split(NamedTuple):
    """How many of the last values are held back, for the purposes whose windows do not overlap.

    Args:
        calibrating: for the widths, the last ones.
        accepting: for the decision whether the trained network is used, those before them.
        choosing: for how long it is trained, those before these.
    """

    calibrating: int
    accepting: int
    choosing: int


def fit(
    data: Any,
    horizon: int | None = None,
    *,
    key: jax.Array,
    effort: str = "normal",
    model: Model | None = None,
    season: Any = None,
    future: Any = None,
    progress: bool | None = None,
) -> Model:
    """A model that knows a panel: networks trained further on it where that helps, and calibrated intervals.

    The last values of each series are held back in three parts that do not overlap: on the first the length of the
    training is chosen, on the second it is decided whether the network is used, by a test that accepts one of no use in
    at most one of twenty panels, and on the third the widths of the intervals are calibrated. An accepted network is
    trained for as long on all values. Where series are too short for that, the networks stay as they are.

    Args:
        data: the series, as in `predict`; one series is a panel of one.
        horizon: how many steps ahead it is to forecast; by `default_horizon` where None.
        key: of `jax.random`, for the minibatches.
        effort: "quick", "normal" or "thorough".
        model: what to start from; the package's where None.
        season, future: as in `predict`.
        progress: as in `jax_lstm.train.fit`.

    Returns:
        A complete `Model`, for these series and for others.

    Raises:
        ValueError: an effort that there is not, or no series that is long enough.

    >>> waves = [np.sin(np.arange(40) * np.pi / 2) + 5]
    >>> model = fit(waves, 4, season=4, key=jax.random.key(0), effort="quick", progress=False)
    >>> len(predict(waves, 4, season=4, model=model).forecast[0])
    4
    """
    if effort not in EFFORTS:
        raise ValueError(f"effort is {effort!r}, expected one of {', '.join(EFFORTS)}")
    panel = as_panel(data, season, future)
    horizon = horizon_of(panel, horizon, model)
    base = packaged() if model is None else model
    networks, reports = dict(base.networks), []
    kinds, bare = [kind(one) for one in panel.season], without_effects(panel, horizon)[0]
    bare = bare._replace(past=None, future=None)
    for name in sorted(set(kinds)):
        some = take(bare, [place for place, one in enumerate(kinds) if one == name])
        draws = jax.random.fold_in(key, len(name))
        networks[name], report = _trained(some, name, horizon, base, draws, EFFORTS[effort], progress)
        reports.append(report if len(set(kinds)) == 1 else f"{name} seasons: {report}")
    fitted = base._replace(networks=networks, report="; ".join(reports), horizon=horizon)
    enough = any(np.isfinite(one[: max(0, len(one) - horizon)]).sum() >= LEAST_KNOWN for one in panel.series)
    return calibrate(panel, horizon, model=fitted) if enough else fitted


def _trained(
    panel: Panel, name: str, horizon: int, base: Model, key: jax.Array, stages: int, progress: bool | None
) -> tuple[Network, str]:
    """The network of a kind trained on series of that kind, or as it was; and why."""
    before, design = base.networks[name], DESIGNS[name]
    within = min(horizon, design.horizon)
    windows_each = max(1, -(-NEEDED // len(panel.names)))
    split = Split(within, windows_each * within, within)
    held = sum(split)
    usable = [
        place
        for place, (one, season) in enumerate(zip(panel.series, panel.season, strict=True))
        if len(one) - held >= max(8, 2 * within, 2 * round(season[0]) if season else 0)
    ]
    if len(usable) * windows_each < NEEDED:
        return before, "too short to train on: the networks stay as they are"
    chosen = np.sort(np.random.default_rng(0).permutation(usable)[:MOST_SERIES]).tolist()
    some = take(panel, chosen)
    early = _cut_back(some, held)
    lesson, judged = _lesson(early, name), _judged(_cut_back(some, held - split.choosing), name, split.choosing)
    network, best = _train(before, lesson, judged, key, stages, progress)
    if best == 0:
        return before, "no training lowers the error on held-out values: the networks stay as they are"
    after = base._replace(networks={**base.networks, name: network})
    gains = _gains(some, within, windows_each, split, base, after)
    outcome = f"{best * STAGE} steps of training change the error on held-out values by {-100 * gains.mean():+.1f} %"
    critical = NormalDist().inv_cdf(1 - CHANCE) * (1 + 1.5 / gains.size)  # about Student's quantile
    if not gains.mean() > critical * gains.std(ddof=1) / np.sqrt(gains.size):
        return before, f"{outcome}, which may be chance: the networks stay as they are"
    final, whole = jax.tree.map(jnp.asarray, before), _lesson(some, name)
    for stage in range(1, best + 1):
        final = _stage(final, whole, key, stage, progress)
    return final, f"{outcome}: trained further"


def _cut_back(panel: Panel, back: int) -> Panel:
    return cut(panel, [len(one) - back for one in panel.series])


def _gains(panel: Panel, within: int, each: int, split: Split, before: Model, after: Model) -> np.ndarray:
    """By how much the errors of one model are less than those of another on the windows that accept, relative to their
    mean.
    """
    errors = {}
    for name, model in (("before", before), ("after", after)):
        found = []
        for window in range(1, each + 1):
            back = split.calibrating + window * within
            made = predict(_cut_back(panel, back), within, model=model, levels=())
            for one, forecast in zip(panel.series, made.forecast, strict=True):
                actual = one[len(one) - back :][:within]
                known = np.isfinite(one[: len(one) - back])
                past = one[: len(one) - back][known]
                unit = (np.abs(np.diff(past)).mean() if len(past) > 1 else 1.0) or 1.0
                came = np.isfinite(actual)
                found.append(np.abs(actual - forecast)[came].mean() / unit if came.any() else np.nan)
        errors[name] = np.array(found)
    known = np.isfinite(errors["before"]) & np.isfinite(errors["after"])
    difference = (errors["before"] - errors["after"])[known]
    return difference / max(errors["before"][known].mean(), 1e-12)


def _windows(panel: Panel, name: str, back: int, least: int = 4) -> Windows:
    """What there is to learn in the last rows of every series but `back`, at each of its seasons."""
    design, parts = DESIGNS[name], []
    for season in sorted(set(panel.season)):
        series = [one for one, own in zip(panel.series, panel.season, strict=True) if own == season]
        series = [one[: len(one) - back] for one in series if np.isfinite(one[: max(0, len(one) - back)]).sum() >= 4]
        if not series:
            continue
        longest = min(max(map(len, series)), max(512, 5 * round(season[-1]) if season else 0))
        values, units = transform(align(series, row_class(max(longest, design.context))))
        for period in season or (1,):
            if kind((period,)) == name:
                parts.append(windows(values, units.logs, period, design, least=least))
    return join(parts)


def _lesson(panel: Panel, name: str) -> Windows:
    """What is learned from: the last rows of every series, and of few long series earlier segments of them too."""
    context, longest = DESIGNS[name].context, max(map(len, panel.series))
    backs = [0]
    if len(panel.names) < BATCH:
        backs += list(range(context // 3, longest - context // 2, context // 3))[: MOST_CROPS - 1]
    return _padded(join([_windows(panel, name, back) for back in backs]))


def _judged(panel: Panel, name: str, steps: int) -> Windows:
    """What a network is judged by that has not seen the last steps: forecasts of these alone."""
    found = _windows(panel, name, 0)
    rows = np.arange(len(found.x))[:, None, None]
    ahead = np.arange(1, found.y.shape[-1] + 1)
    return _padded(found._replace(y=np.where(rows + ahead >= len(found.x) - steps, found.y, np.nan).astype(np.float32)))


def _padded(windows: Windows) -> Windows:
    """The windows with further series from which nothing is to be learned, so that few programs are compiled."""
    count = windows.x.shape[1]
    size = 8 if count <= 8 else row_class(count)
    padded = jax.tree.map(
        lambda field: np.pad(field, [(0, 0), (0, size - count)] + [(0, 0)] * (field.ndim - 2)), windows
    )
    padded.y[:, count:] = np.nan
    return padded


def _train(
    start: Network, windows: Windows, judged: Windows, key: jax.Array, stages: int, progress: bool | None
) -> tuple[Network, int]:
    """The network after the stage at which it forecasts what is held back best, and which stage that is."""
    judged = jax.tree.map(jnp.asarray, judged)
    network = kept = jax.tree.map(jnp.asarray, start)
    best, least = 0, float(_judge(kept, judged))
    for stage in range(1, stages + 1):
        if stage - best > PATIENCE:
            break
        network = _stage(network, windows, key, stage, progress)
        outcome = float(_judge(network, judged))
        if outcome < least:
            best, least, kept = stage, outcome, network
    return kept, best


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
def _judge(network: Network, judged: Windows) -> jax.Array:
    """The loss on what is held back."""
    return jax.vmap(losses, (0, None))(network, judged).mean()


@lru_cache
def _optimizer(members: int) -> optax.GradientTransformation:
    import optax

    schedule = optax.linear_schedule(0.1 * RATE, RATE, STAGE // 2)
    return optax.chain(optax.clip_by_global_norm(1.0 * members), optax.adam(schedule))
