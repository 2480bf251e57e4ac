"""`calibrate`: a model whose intervals have their nominal coverage on a sample of series."""

from __future__ import annotations

from typing import Any

import numpy as np

from jax_lstm.forecast._blocks import blocks
from jax_lstm.forecast._intervals import LEVELS, finite_quantile
from jax_lstm.forecast._model import Model, packaged
from jax_lstm.forecast._predict import combine_series
from jax_lstm.forecast._prepare import prepared
from jax_lstm.forecast._series import Panel, as_panel, cut, horizon_of, take

MOST_WINDOWS, PRIOR_WINDOWS, LEAST_KNOWN = 4, 20.0, 8
"""How many windows of a series count, at most; as how many the model's own factors count; and how many values have to
be known before a window.
"""

WIDEST = 5.0
"""The largest factor, and one over the smallest."""


def calibrate(
    data: Any, horizon: int | None = None, *, model: Model | None = None, season: Any = None, future: Any = None
) -> Model:
    """A model whose intervals have their nominal coverage on a sample of series.

    The last windows of each series, which do not overlap, are forecast from the values before them. At every level and
    step the factor on the widths is the finite-sample quantile of the errors relative to the widths, over the step and
    its neighbors in all windows, shrunk toward one as if by `PRIOR_WINDOWS` more windows.

    Args:
        data: the sample, as in `predict`.
        horizon: how many steps ahead it is calibrated for; by `default_horizon` where None.
        model: the model to calibrate; the package's where None.
        season, future: as in `predict`.

    Returns:
        The model with other factors.

    Raises:
        ValueError: no series is long enough.

    Source: Vovk, Gammerman and Shafer, "Algorithmic learning in a random world", 2005.

    >>> model = calibrate([np.sin(np.arange(40.0) * np.pi / 2) + 5], 4, season=4)
    >>> model.factors.shape, model.horizon
    ((3, 4), 4)
    """
    panel = as_panel(data, season, future)
    horizon = horizon_of(panel, horizon, model)
    model = packaged() if model is None else model
    ratios = relative_errors(panel, horizon, model)
    if not len(ratios):
        raise ValueError(
            f"the longest series has {max(map(len, panel.series))} values, expected at least {horizon + LEAST_KNOWN} "
            f"to calibrate {horizon} steps ahead"
        )
    factors = found_factors(ratios) * model.factors_for(horizon)
    report = f"calibrated on {len(ratios):,} windows of {len(panel.names):,} series, {horizon} steps ahead"
    return model._replace(factors=factors, horizon=horizon, report=f"{model.report}; {report}".lstrip("; "))


def relative_errors(panel: Panel, horizon: int, model: Model) -> np.ndarray:
    """The sizes of errors over the widths on their side, `(windows, levels, horizon)`, NaN where nothing came."""
    found = []
    for back in range(horizon, (MOST_WINDOWS + 1) * horizon, horizon):
        places = [
            place
            for place, one in enumerate(panel.series)
            if np.isfinite(one[: max(0, len(one) - back)]).sum() >= LEAST_KNOWN
        ]
        if not places:
            break
        ready = prepared(cut(take(panel, places), [len(panel.series[place]) - back for place in places]), horizon)
        for inner, periods, rows in blocks(ready.panel):
            made, values = combine_series([ready.panel.series[place] for place in inner], periods, rows, horizon, model)
            came = []
            for place in inner:
                one, effect = panel.series[places[place]], ready.effects[place]
                came.append(one[len(one) - back :][:horizon] - (0.0 if effect is None else effect.coming))
            actual = np.stack(came)
            error = values.transformed(actual) - made.forecast[: len(inner)]
            sides = np.where(error > 0, made.sides[1][:, : len(inner)], made.sides[0][:, : len(inner)])
            found.append((np.abs(error) / np.maximum(sides, 1e-300)).transpose(1, 0, 2))
    return np.concatenate(found) if found else np.zeros((0, len(LEVELS), horizon))


def found_factors(ratios: np.ndarray) -> np.ndarray:
    """The factors of relative errors, `(levels, horizon)`."""
    windows, levels, horizon = ratios.shape
    found = np.ones((levels, horizon))
    share = windows / (windows + PRIOR_WINDOWS)
    for step in range(horizon):
        about = ratios[..., (step + 1) // 2 : min(2 * step + 2, horizon)]
        for place, level in enumerate(LEVELS):
            sizes = about[:, place].ravel()
            if np.isfinite(sizes).any():
                found[place, step] = finite_quantile(sizes, level)
    return np.clip(found, 1 / WIDEST, WIDEST) ** share
