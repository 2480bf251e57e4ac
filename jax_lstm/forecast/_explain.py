"""What a network thinks while it reads a series."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm._layer import trace
from jax_lstm._types import Trace
from jax_lstm.forecast._features import features
from jax_lstm.forecast._inputs import input_features
from jax_lstm.forecast._model import Forecaster
from jax_lstm.forecast._network import kind
from jax_lstm.forecast._panel import Panel
from jax_lstm.forecast._predict import gather
from jax_lstm.forecast._weights import pretrained


def explain(
    panel: Panel, *, series: int = 0, member: int = 0, model: Forecaster | None = None
) -> tuple[np.ndarray, Trace]:
    """The six values of every step of one LSTM of the ensemble.

    Args:
        panel: from `panel`.
        series: which series of it.
        member: which member of the ensemble.
        model: a fitted model; the package's weights where None, or where it was not trained further.

    Returns:
        The rows of the series that the LSTM runs over `(steps,)`, and a `Trace` of `(steps, hidden)`, for
        `jax_lstm.plot.gates`.

    Raises:
        IndexError: a series or a member that there is not.

    >>> from jax_lstm.forecast import panel
    >>> rows, steps = explain(panel([np.arange(30.0)], season=1))
    >>> len(rows), steps.hidden_state.shape[0]
    (30, 30)
    """
    season, values = panel.season[series], panel.series[series]
    group = gather([values], season, 1)
    tuned = None if model is None else model.tuned.get(season)
    x = features(group.values, group.units.logs, season, group.design).x[:, 0]
    network = pretrained(kind(season))
    if model is not None and tuned is not None and tuned.network is not None:
        network = tuned.network
        inputs = input_features(panel, [series], model.inputs, group.design)
        x = x if inputs is None else np.concatenate([x, inputs[:, 0].astype(np.float32)], axis=1)
    steps = min(len(values), group.design.context)
    layer = jax.tree.map(lambda leaf: leaf[range(leaf.shape[0])[member]], network.layer)
    _, found = trace(layer, jnp.asarray(x[len(x) - steps :]))
    return np.arange(len(values) - steps, len(values)), found
