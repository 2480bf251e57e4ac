"""Exponential smoothing with a damped trend and a season (Holt 1957, Winters 1960, Gardner and McKenzie 1985), of many forms at once."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from jax_lstm.forecast._series import Preparation, pattern

LEVELS = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0)
TRENDS = ((0.0, 0.0), (1.0, 0.0), (0.98, 0.1), (0.9, 0.1), (0.9, 0.3), (0.8, 0.3))
SEASONALS = (0.0, 0.05, 0.1, 0.2, 0.4)


class Form(NamedTuple):
    """A way to smooth; plain numbers, so that JSON keeps it.

    Args:
        period: of the season, 1 for none.
        level, trend, seasonal: which share of a one-step error goes to each; more at the beginning, as in the mean of what there is.
        damping: what is left of the trend a step later, 0 for no trend.
    """

    period: int
    level: float
    damping: float
    trend: float
    seasonal: float


def choose(series: np.ndarray, season: int, horizon: int) -> Form:
    """The form of least error on a series: of one step (root mean square) times that of all steps up to the horizon (mean absolute)."""
    forms = [Form(1, level, damping, level * share, 0.0) for level, (damping, share) in itertools.product(LEVELS, TRENDS)]
    first = 1
    if season > 1 and len(series) >= 2 * season + season // 2 + horizon:
        first = 2 * season - 1
        forms += [form._replace(period=season, seasonal=(1 - form.level) * share) for form, share in itertools.product(forms, SEASONALS)]
    made = np.concatenate([smooth(series, list(same), horizon) for _, same in itertools.groupby(forms, lambda form: form.period)], axis=1)
    # errors of forecasts from the same rows, whatever the form
    errors = [series[first + step :, None] - made[first : len(series) - step, :, step - 1] for step in range(1, horizon + 1)]
    far = np.mean([np.abs(error).mean(axis=0) for error in errors], axis=0)
    return forms[int(np.argmin(np.sqrt((errors[0] ** 2).mean(axis=0)) * far))]


def smooth(series: np.ndarray, forms: list[Form], horizon: int) -> np.ndarray:
    """Forecasts `(rows, forms, horizon)` from each row, by forms of one period; NaN before there are two periods to begin with."""
    period = forms[0].period
    _, alpha, phi, beta, gamma = np.array(forms, float).T
    trending, first = phi > 0, 2 * period
    # the two periods' means give the trend, and what is left the season
    slope = np.where(trending, (series[period:first].mean() - series[:period].mean()) / period, 0.0)
    rest = series[:first, None] - slope * np.arange(1 - first, 1)[:, None]
    level = rest.mean(axis=0)
    seasonal = (rest - level).reshape(2, period, len(forms)).mean(axis=0)
    steps = np.arange(1, horizon + 1)
    damped = np.cumsum(phi[:, None] ** steps, axis=1)
    made = np.full((len(series), len(forms), horizon), np.nan)
    for row in range(first - 1, len(series)):
        if row >= first:
            seen, phase = row + 1, row % period
            error = series[row] - level - phi * slope - seasonal[phase]
            # not less than the mean, or the straight line, of what has been seen would learn
            gain = np.maximum(alpha, np.where(trending, 2 * (2 * seen - 1) / (seen * (seen + 1)), 1 / seen))
            level = level + phi * slope + gain * error
            slope = phi * slope + np.where(trending, np.maximum(beta, 6 / (seen * (seen + 1))), 0.0) * error
            if period > 1:
                seasonal[phase] += np.maximum(gamma, (1 - gain) / (row // period + 1)) * error
        made[row] = level[:, None] + slope[:, None] * damped + seasonal[(row + steps) % period].T
    return made


def smooth_ahead(form: Form, preparation: Preparation, prepared: np.ndarray, horizon: int, start: int = 0) -> np.ndarray:
    """Forecasts `(rows, horizon)` of prepared columns, relative to each row as the network's targets are."""
    seasonal = pattern(preparation, start + np.arange(len(prepared))[:, None] + np.arange(horizon + 1))
    # the seasonal means were taken from all rows: put back, so that smoothing finds the season from what was known at each row
    made = smooth(prepared[:, 0] + seasonal[:, 0], [form], horizon)[:, 0]
    return made - seasonal[:, 1:] - prepared[:, :1]
