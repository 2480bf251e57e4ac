"""What the statistical methods forecast from: series as they were known at their cutoffs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Past(NamedTuple):
    """Series as they were known, a column for each series and cutoff, in transformed values.

    Args:
        filled: without gaps, each ending in the last row, `(rows, columns)`.
        known: which values were there.
        begin: the first row of each, `(columns,)`.
        about: `filled` less the seasonal pattern.
        coming: the seasonal pattern of the steps ahead, `(columns, horizon)`.
        logs: whether the values are logarithms, `(columns,)`.
        season: the period, 1 for none.
    """

    filled: np.ndarray
    known: np.ndarray
    begin: np.ndarray
    about: np.ndarray
    coming: np.ndarray
    logs: np.ndarray
    season: float

    @property
    def horizon(self) -> int:
        """How many steps ahead are to be forecast."""
        return self.coming.shape[1]

    @property
    def started(self) -> np.ndarray:
        """Which rows are not before a series began, `(rows, columns)`."""
        return np.arange(len(self.filled))[:, None] >= self.begin

    @property
    def ages(self) -> np.ndarray:
        """How many rows each series has had, `(columns,)`."""
        return len(self.filled) - self.begin

    def plain(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values `(rows, columns)` that are no logarithms, in units of the greatest; and those units as logarithms."""
        top = np.where(self.logs, np.max(np.where(self.started, values, -np.inf), axis=0), 0.0)
        return np.where(self.logs, np.exp(np.where(self.logs, np.minimum(values - top, 0.0), 0.0)), values), top

    def transformed(self, forecasts: np.ndarray, top: np.ndarray, least: np.ndarray) -> np.ndarray:
        """Forecasts of plain values `(columns, steps)` as the methods return them, positive ones at least `least`."""
        logs = self.logs[:, None]
        positive = np.maximum(np.where(logs, forecasts, 1.0), np.where(logs, least[:, None], 1.0))
        return np.where(logs, np.log(positive) + top[:, None], forecasts)

    def columns(self, some: slice) -> Past:
        """Some of the columns."""
        return Past(
            self.filled[:, some],
            self.known[:, some],
            self.begin[some],
            self.about[:, some],
            self.coming[some],
            self.logs[some],
            self.season,
        )
