"""Kinds of series that forecasters fail on: each compared with the best simple method or with least squares."""

import jax
import numpy as np
import pytest

from jax_lstm import forecast
from jax_lstm.forecast import _covariates

MOST = 1.15
"""The largest error relative to that of the best simple method."""


def error(series, horizon, season, **options):
    """The mean absolute error on the last values of some series, NaN apart."""
    made = forecast.predict([one[:-horizon] for one in series], horizon, season=season, levels=(), **options)
    return np.nanmean([np.abs(one[-horizon:] - f) for one, f in zip(series, made.forecast, strict=True)])


def seasonal_naive(series, horizon, lag):
    return np.nanmean([np.abs(one[-horizon:] - np.resize(one[-horizon - lag : -horizon], horizon)) for one in series])


def draws(make, count=8):
    return [make(np.random.default_rng(seed)) for seed in range(count)]


def test_zeros_at_night():
    def make(rng):
        hours = np.arange(24 * 20)
        clear = np.maximum(np.sin(2 * np.pi * (hours - 6) / 24), 0)
        return 100 * clear * np.repeat(rng.uniform(0.7, 1, 20), 24)

    series = draws(make)
    assert error(series, 24, 24) <= MOST * seasonal_naive(series, 24, 24)


def test_a_shop_that_is_closed_on_sundays():
    def make(rng):
        day = np.arange(140) % 7
        sales = 50 + 8 * day + rng.normal(0, 3, 140)
        return np.where(day == 6, 0.0, sales)

    series = draws(make)
    assert error(series, 14, 7) <= MOST * seasonal_naive(series, 14, 7)


def test_a_phase_of_the_season_without_rows():
    def make(rng):
        day = np.arange(150) % 7
        return np.where(day == 6, np.nan, 100 + 20 * np.sin(day) + rng.normal(0, 2, 150))

    series = draws(make)
    assert error(series, 14, 7) <= MOST * seasonal_naive(series, 14, 7)


@pytest.mark.parametrize("growth", [0.0, 0.01])
def test_a_long_season_with_a_trend(growth):
    """Fewer than two years of weeks that rise, by one a week or by a share."""

    def make(rng):
        week = np.arange(70)
        return (100 + week if growth == 0 else 100 * (1 + growth) ** week) + rng.normal(0, 0.5, 70)

    series = draws(make)
    week = np.arange(70)
    fits = []
    for one in series:
        y = one if growth == 0 else np.log(one)
        line = np.polyval(np.polyfit(week[:-6], y[:-6], 1), week[-6:])
        fits.append(np.abs(one[-6:] - (line if growth == 0 else np.exp(line))))
    assert error(series, 6, 52) <= max(MOST * np.mean(fits), 0.8)


def test_a_level_large_next_to_the_changes():
    def make(rng, level):
        at = np.arange(120)
        return 10 * np.sin(2 * np.pi * at / 12) + rng.normal(0, 1, 120) + level

    errors = [error(draws(lambda rng, level=level: make(rng, level)), 12, 12) for level in (0, 1e3, 1e6)]
    assert max(errors) <= MOST * errors[0]
    made = forecast.predict([make(np.random.default_rng(0), 1e6)], 12, season=12, levels=(0.8,))
    assert np.max(made.upper[0.8][0] - made.lower[0.8][0]) < 10


def test_two_seasons_at_once():
    def make(rng):
        hour = np.arange(24 * 7 * 5)
        week = np.repeat(np.tile([0.0, 0, 0, 0, 0, 15, 20], 5), 24)
        return 100 + 20 * np.sin(2 * np.pi * hour / 24) + week + rng.normal(0, 2, len(hour))

    series = draws(make, 4)
    assert error(series, 48, (24, 168)) <= MOST * seasonal_naive(series, 48, 168)
    assert forecast.panel(series).season[0] == (24, 168)


def test_a_wild_last_value_is_said_and_forecast_past():
    rng = np.random.default_rng(0)
    series = 100 + 10 * np.sin(np.arange(72) * np.pi / 6) + rng.normal(0, 2, 72)
    typo = np.r_[series[:59], 10 * series[59]]
    made = forecast.predict([typo, series[:60]], 12, season=12)
    errors = [np.abs(one - series[60:]).mean() for one in made.forecast]
    assert errors[0] <= 1.3 * errors[1]
    assert "an outlier?" in made.notes[0]
    assert made.notes[1] == ""


def test_a_series_that_ended_is_held_at_zero_and_said():
    rng = np.random.default_rng(0)
    made = forecast.predict([np.r_[rng.poisson(10, 60), np.zeros(30)]], 6, season=1)
    assert made.forecast[0].max() == 0
    assert "the same for the last 30 values: held; has the series ended?" in made.notes[0]


@pytest.mark.parametrize("model", ["package", pytest.param("fitted", marks=pytest.mark.exhaustive)])
def test_a_clean_effect_of_a_covariate_is_learned(model):
    series, covariates, fits = [], [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        days = np.arange(200)
        sale, weekend = (rng.random(200) < 0.2).astype(float), (days % 7 >= 5).astype(float)
        y = 80 + 8 * weekend + 40 * sale + rng.normal(0, 2, 200)
        columns = np.stack([np.ones(200), weekend, sale], axis=1)
        weights = np.linalg.lstsq(columns[:-14], y[:-14], rcond=None)[0]
        fits.append(np.abs(columns[-14:] @ weights - y[-14:]).mean())
        series.append(y)
        covariates.append(np.stack([sale, weekend], axis=1))
    options = {"future": covariates}
    if model == "fitted":
        past = [one[:-14] for one in series]
        options["model"] = forecast.fit(
            past, 14, season=7, future=covariates, key=jax.random.key(0), effort="quick", progress=False
        )
    assert error(series, 14, 7, **options) <= MOST * np.mean(fits)


def test_a_covariate_of_no_use_costs_little():
    walks = draws(lambda rng: 100 + np.cumsum(rng.normal(0, 1, 120)))
    noise = [np.random.default_rng(seed + 50).normal(0, 1, (120, 3)) for seed in range(8)]
    assert error(walks, 10, 1, future=noise) <= 1.02 * error(walks, 10, 1)


def test_covariates_of_a_long_series_count_in_its_last_values_alone(monkeypatch):
    rng = np.random.default_rng(0)
    driver = rng.normal(0, 1, 2012)
    y = 50 + np.where(np.arange(2012) < 1500, -5, 10) * driver + rng.normal(0, 0.5, 2012)
    monkeypatch.setattr(_covariates, "MOST_ROWS", 500)
    [made] = forecast.predict([y[:2000]], 12, season=1, future=[driver[:, None]]).forecast
    assert np.abs(made - y[2000:]).mean() < 0.7
    short = forecast.panel([y[1500:2000]], season=1, future=[driver[1500:, None]])
    np.testing.assert_array_equal(made, forecast.predict(short, 12).forecast[0])


def test_static_covariates_are_said_to_have_no_effect():
    series = draws(lambda rng: 10 + rng.normal(0, 1, 30), 2)
    made = forecast.predict(forecast.panel(series, season=1, static=[["north"], ["south"]]), 3)
    assert made.notes == ("static covariates have no effect",) * 2
    np.testing.assert_array_equal(made.forecast, forecast.predict(series, 3, season=1).forecast)
