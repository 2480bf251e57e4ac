"""Situations from reports of users: what the series are, and what simple forecasts of them there are.

Each situation is one function of a random generator that returns one `Case`. The simple methods are given what a person
would know on seeing the series: the season, or the columns of a regression.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from experiments.collections.metrics import seasonal_naive


class Case(NamedTuple):
    """One series and what follows it.

    Args:
        past: the known values, NaN where one is missing.
        actuals: the values after them, `(horizon,)`.
        season: the periods that the forecaster is told.
        future: inputs known ahead, `(time + horizon, inputs)`, or None.
    """

    past: np.ndarray
    actuals: np.ndarray
    season: tuple[float, ...]
    future: np.ndarray | None = None


def case(values: np.ndarray, horizon: int, season: tuple[float, ...], future: np.ndarray | None = None) -> Case:
    """The last values held back."""
    return Case(values[:-horizon], values[-horizon:], season, future)


def solar_power(rng: np.random.Generator) -> Case:
    """Three weeks of hours, zero at night."""
    day, hour = np.divmod(np.arange(24 * 23), 24)
    sun = np.clip(np.sin(np.pi * (hour - 5.5) / 13), 0, None)
    return case(80 * sun * rng.beta(6, 2, 23)[day] * np.exp(rng.normal(0, 0.05, len(day))), 48, (24,))


def closed_weekends(rng: np.random.Generator) -> Case:
    """Thirty weeks of a shop that sells nothing at weekends."""
    day = np.arange(7 * 32) % 7
    return case(np.where(day < 5, 200 + 20 * day + rng.normal(0, 12, len(day)), 0.0), 14, (7,))


def summer_product(rng: np.random.Generator) -> Case:
    """Seven years of months of a product that sells from May to August."""
    month = np.arange(12 * 8) % 12
    return case(np.where((month > 3) & (month < 8), 500 * np.exp(rng.normal(0, 0.1, len(month))), 0.0), 12, (12,))


def sundays_without_rows(rng: np.random.Generator) -> Case:
    """Twenty weeks without a row on Sundays."""
    day = np.arange(7 * 22) % 7
    values = 50 + np.array([0, 5, 8, 6, 30, 60, 0])[day] + rng.normal(0, 4, len(day))
    return case(np.where(day == 6, np.nan, values), 14, (7,))


def weekly_line(rng: np.random.Generator) -> Case:
    """Sixty weeks on a line, told a season of 52."""
    return case(100 + np.arange(64.0) + rng.normal(0, 0.1, 64), 4, (52,))


def weekly_growth(rng: np.random.Generator) -> Case:
    """Fifty-two weeks that grow by one per cent a week."""
    return case(1000 * 1.01 ** np.arange(60) * np.exp(rng.normal(0, 0.01, 60)), 8, (52,))


def flattened_curve(rng: np.random.Generator) -> Case:
    """Months of an S-curve that has flattened near 10,000."""
    curve = 10_000 / (1 + np.exp(-(np.arange(72) - 30) / 5))
    return case(curve * np.exp(rng.normal(0, 0.005, 72)), 12, (12,))


def promotion(rng: np.random.Generator) -> Case:
    """236 days with a weekend of 10 and a promotion of 60, both known ahead."""
    days = np.arange(236 + 28)
    inputs = np.stack([days % 7 >= 5, rng.random(len(days)) < 0.1], axis=1).astype(float)
    inputs[-20:-1:6, 1] = 1
    return case(100 + inputs @ [10, 60] + rng.normal(0, 3, len(days)), 28, (7,), inputs)


def known_driver(rng: np.random.Generator) -> Case:
    """120 values that are 50 + 10 x, with x known ahead."""
    x = rng.standard_normal((132, 1))
    return case(50 + 10 * x[:, 0] + rng.normal(0, 1, 132), 12, (1,), x)


def irrelevant_input(rng: np.random.Generator) -> Case:
    """Monthly values with a season, and an input that has nothing to do with them."""
    at = np.arange(96)
    values = 100 + 20 * np.sin(2 * np.pi * at / 12) + rng.normal(0, 5, 96)
    return case(values, 12, (12,), rng.standard_normal((96, 1)))


def large_level(rng: np.random.Generator) -> Case:
    """A monthly wave of 10 on a level of a million."""
    at = np.arange(108)
    return case(1e6 + 10 * np.sin(2 * np.pi * at / 12) + rng.normal(0, 1, 108), 12, (12,))


def days_and_weeks(rng: np.random.Generator) -> Case:
    """Six weeks of hours with a day and a week."""
    at = np.arange(168 * 7)
    day = np.sin(2 * np.pi * at / 24) + 0.5 * np.cos(4 * np.pi * at / 24)
    weekend = (at // 24) % 7 >= 5
    values = np.where(weekend, 60 + 5 * day, 100 + 30 * day) * np.exp(rng.normal(0, 0.04, len(at)))
    return case(values, 168, (24, 168))


def weeks_and_years(rng: np.random.Generator) -> Case:
    """Five years of days with a week and a year."""
    at = np.arange(5 * 365 + 60)
    year = 30 * np.sin(2 * np.pi * at / 365.25)
    return case(100 + year + np.array([0, 2, 4, 4, 8, 15, -10])[at % 7] + rng.normal(0, 3, len(at)), 60, (7, 365.25))


def quarter_hours(rng: np.random.Generator) -> Case:
    """Four weeks of quarter hours with a day and a week."""
    at = np.arange(672 * 4 + 96)
    day = np.sin(2 * np.pi * at / 96)
    values = np.where((at // 96) % 7 >= 5, 40 + 5 * day, 80 + 25 * day) + rng.normal(0, 2, len(at))
    return case(values, 96, (96, 672))


def end_of_life(rng: np.random.Generator) -> Case:
    """A level of ten, and then thirty zeros."""
    values = np.concatenate([rng.poisson(10, 120), np.zeros(30 + 14)]).astype(float)
    return case(values, 14, (7,))


def typing_error(rng: np.random.Generator) -> Case:
    """Eight years of months whose last value is ten times too high."""
    at = np.arange(108)
    values = (100 + at + 20 * np.sin(2 * np.pi * at / 12)) * np.exp(rng.normal(0, 0.03, 108))
    made = case(values, 12, (12,))
    made.past[-1] *= 10
    return made


SITUATIONS: tuple[Callable[[np.random.Generator], Case], ...] = (
    solar_power,
    closed_weekends,
    summer_product,
    sundays_without_rows,
    weekly_line,
    weekly_growth,
    flattened_curve,
    promotion,
    known_driver,
    irrelevant_input,
    large_level,
    days_and_weeks,
    weeks_and_years,
    quarter_hours,
    end_of_life,
    typing_error,
)
"""All situations."""


def simple_forecasts(given: Case) -> dict[str, np.ndarray]:
    """What a person would try: the value of one season before, means, lines, and least squares."""
    past, horizon = given.past, len(given.actuals)
    known = past[~np.isnan(past)]
    found = {"last value": np.full(horizon, known[-1]), "mean": np.full(horizon, known.mean())}
    found["drift"] = known[-1] + (known[-1] - known[0]) / (len(known) - 1) * np.arange(1, horizon + 1)
    for period in {round(one) for one in given.season if 1 < one <= len(past) / 2}:
        found[f"season of {period}"] = seasonal_naive(past, horizon, period)
        found[f"mean of seasons of {period}"] = seasonal_mean(past, horizon, period)
    if given.future is not None:
        found["least squares"] = least_squares(given)
    return found


def seasonal_mean(past: np.ndarray, horizon: int, period: int) -> np.ndarray:
    """The mean of each phase of the season over the last four cycles; of the known values where a phase has none."""
    rows = past[-min(4, len(past) // period) * period :].reshape(-1, period)
    known = ~np.isnan(rows)
    count = known.sum(axis=0)
    mean = np.where(known, rows, 0).sum(axis=0) / np.maximum(count, 1)
    return np.resize(np.where(count > 0, mean, np.nanmean(past)), horizon)


def least_squares(given: Case) -> np.ndarray:
    """A regression on the inputs, a constant, and the phases of a season of up to twelve."""
    rows = len(given.past) + len(given.actuals)
    columns = [np.ones((rows, 1)), given.future[:rows]]
    if 1 < given.season[0] <= 12:
        columns.append(np.eye(round(given.season[0]))[np.arange(rows) % round(given.season[0])][:, 1:])
    design = np.concatenate(columns, axis=1)
    weights = np.linalg.lstsq(design[: len(given.past)], given.past, rcond=None)[0]
    return design[len(given.past) :] @ weights
