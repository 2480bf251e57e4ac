"""What a network computes while it reads a series."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm._layer import trace
from jax_lstm._types import Trace
from jax_lstm.forecast._blocks import blocks
from jax_lstm.forecast._features import features
from jax_lstm.forecast._model import Model, packaged
from jax_lstm.forecast._network import DESIGNS, kind
from jax_lstm.forecast._predict import combine_series
from jax_lstm.forecast._series import as_panel, take
from jax_lstm.forecast._transform import align, transform


def explain(
    data: Any, *, series: int = 0, member: int = 0, model: Model | None = None, season: Any = None
) -> tuple[np.ndarray, Trace]:
    """The six values of every step of one LSTM of the ensemble, at the shortest season.

    Args:
        data: the series, as in `predict`.
        series: which series of it.
        member: which member of the ensemble.
        model: from `fit`; the package's where None.
        season: as in `predict`.

    Returns:
        The rows of the series that the LSTM runs over `(steps,)`, and a `Trace` of `(steps, hidden)`, for
        `jax_lstm.plot.gates`.

    Raises:
        IndexError: a series or a member that there is not.

    >>> rows, steps = explain([np.arange(30.0)], season=1)
    >>> len(rows), steps.hidden_state.shape[0]
    (30, 30)
    """
    one = take(as_panel(data, season), [series])
    [(_, periods, rows)] = blocks(one)
    name, values = kind(periods), one.series[0]
    design = DESIGNS[name]._replace(context=min(DESIGNS[name].context, rows))
    transformed, units = transform(align([values], rows))
    x = features(transformed, units.logs, periods[0] if periods else 1, design).x[:, 0]
    network = (packaged() if model is None else model).networks[name]
    steps = min(len(values), design.context)
    layer = jax.tree.map(lambda leaf: leaf[range(leaf.shape[0])[member]], network.layer)
    _, found = trace(layer, jnp.asarray(x[len(x) - steps :]))
    return np.arange(len(values) - steps, len(values)), found


def method_weights(
    data: Any, horizon: int, *, series: int = 0, model: Model | None = None, season: Any = None
) -> dict[str, float]:
    """How much each method counts in the combined forecast of a series: its mean weight over the steps, largest first.

    Args:
        data: the series, as in `predict`.
        horizon: how many steps ahead.
        series: which series of it.
        model: from `fit`; the package's where None.
        season: as in `predict`.

    Returns:
        By method its weight; they add up to one.

    Raises:
        IndexError: a series that there is not.

    >>> found = method_weights([10 + np.sin(np.arange(60) * np.pi / 6)], 3, season=12)
    >>> round(sum(found.values()), 3)
    1.0
    """
    one = take(as_panel(data, season), [series])
    [(_, periods, rows)] = blocks(one)
    made, _ = combine_series(one.series, periods, rows, horizon, packaged() if model is None else model)
    found: dict[str, float] = {}
    for candidate, weight in zip(made.tested.candidates, made.weights[0].mean(axis=-1), strict=True):
        found[candidate.method] = found.get(candidate.method, 0.0) + float(weight)
    return dict(sorted(found.items(), key=lambda item: -item[1]))
