"""Series made ready for the methods, and their forecasts completed: covariates and wild last values."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jax_lstm.forecast._covariates import Effects, without_effects
from jax_lstm.forecast._endings import without_wild_end
from jax_lstm.forecast._forecasts import Forecasts
from jax_lstm.forecast._series import Panel


class Prepared(NamedTuple):
    """Series as the methods forecast them: without what covariates add, and without a wild last value.

    Args:
        panel: of these series.
        effects: what covariates add, None where nothing.
        notes: what was done to a series, or "".
    """

    panel: Panel
    effects: list[Effects | None]
    notes: list[str]


def prepared(panel: Panel, horizon: int) -> Prepared:
    """A panel made ready, each series by itself."""
    less, effects = without_effects(panel, horizon)
    cleaned = [without_wild_end(one, season) for one, season in zip(less.series, less.season, strict=True)]
    idle = "the covariates do not lower the error on held-out values: they are left out"
    static = "static covariates have no effect" if panel.static is not None else ""
    given = panel.past is not None or panel.future is not None
    notes = [
        "; ".join(filter(None, (wild, idle if given and effect is None else "", static)))
        for (_, wild), effect in zip(cleaned, effects, strict=True)
    ]
    return Prepared(less._replace(series=tuple(one for one, _ in cleaned)), effects, notes)


def completed(made: Forecasts, panel: Panel, ready: Prepared) -> Forecasts:
    """Forecasts with what covariates add to them, and all notes."""

    def added(values: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        found = []
        for one, effect, series in zip(values, ready.effects, panel.series, strict=True):
            if effect is None:
                found.append(one)
            else:
                floor = 0.0 if np.nanmin(series) >= 0 else -np.inf
                found.append(np.maximum(one + effect.coming, floor))
        return tuple(found)

    notes = tuple("; ".join(filter(None, pair)) for pair in zip(ready.notes, made.notes, strict=True))
    return Forecasts(
        made.names,
        added(made.forecast),
        {level: added(ends) for level, ends in made.lower.items()},
        {level: added(ends) for level, ends in made.upper.items()},
        notes,
    )
