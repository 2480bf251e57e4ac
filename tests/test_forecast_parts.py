"""The parts of the forecaster: causal features and seasons, Theta against its reference, shares and intervals."""

import jax
import numpy as np
import pytest

from jax_lstm.forecast import (
    _backtest,
    _features,
    _network,
    _pattern,
    _transform,
    _weights,
    _windows,
    training,
)
from jax_lstm.forecast.methods import NAMES, _theta, candidates

DESIGN = _features.Design(window=6, horizon=4, context=20, fading=0.5, drift=0.3)


def series(rows=60, count=3, season=4, seed=0):
    rng = np.random.default_rng(seed)
    at = np.arange(rows)[:, None]
    return 3 + 0.01 * at + 0.2 * np.sin(2 * np.pi * at / season + np.arange(count)) + rng.normal(0, 0.02, (rows, count))


@pytest.mark.parametrize("season", [1, 4, 26])
def test_features_never_see_what_comes_later(season):
    values = series(rows=90)
    changed = values.copy()
    changed[80:] += 5
    logs = np.array([True, False, True])
    before, after = (_features.features(one, logs, season, DESIGN) for one in (values, changed))
    for name in ("x", "level", "scale", "base"):
        one, other = getattr(before, name), getattr(after, name)
        np.testing.assert_array_equal(one[:10], other[:10])
        assert not np.array_equal(one[10:], other[10:])


def test_features_do_not_depend_on_what_stands_before_the_beginning():
    values = series()
    late = np.concatenate([np.full((25, 3), np.nan), values])
    short, long = (_features.features(one, np.ones(3, bool), 4, DESIGN, (0, 3)) for one in (values, late))
    np.testing.assert_allclose(short.x, long.x, atol=1e-5)
    for back in (0, 3):
        np.testing.assert_allclose(short.patterns[back], long.patterns[back])


def test_a_shift_of_logarithms_changes_the_level_alone():
    values = series()
    plain, moved = (_features.features(one, np.ones(3, bool), 4, DESIGN) for one in (values, values + 10))
    np.testing.assert_allclose(plain.x, moved.x, atol=1e-4)
    np.testing.assert_allclose(plain.level + 10, moved.level)


def test_the_seasonal_pattern_is_found_and_noise_is_not_taken_for_one():
    at = np.arange(80)[:, None]
    pattern = np.array([1.0, -2, 0.5, 0.5])
    rng = np.random.default_rng(0)
    values = np.concatenate(
        [0.3 * at + pattern[at % 4] + rng.normal(0, 0.05, (80, 1)), rng.normal(0, 1, (80, 40))], axis=1
    )
    *_, last = _pattern.factors(values, np.ones(values.shape, bool), 4, 1)
    np.testing.assert_allclose(last.pattern[:, 0], pattern, atol=0.1)
    assert last.strength[0] > 0.99
    assert np.median(last.strength[1:]) < 0.6


def test_gaps_are_filled_from_the_season_before():
    values = np.array([1.0, 2, 3, 4, np.nan, 6, np.nan, np.nan])[:, None]
    assert _pattern.fill(values, 4)[:, 0].tolist() == [1, 2, 3, 4, 1, 6, 3, 4]
    assert _pattern.fill(values, 1)[:, 0].tolist() == [1, 2, 3, 4, 4, 6, 6, 6]


def theta_by_hand(y, alpha, theta, first, horizon):
    """The recursion of Fiorucci et al., one value at a time."""
    level, mean, intercept, slope = first, 0.0, 0.0, 0.0
    values, errors = list(y), []
    for count in range(len(y) + horizon):
        pull = intercept * (1 - alpha) ** count + slope * (1 - (1 - alpha) ** (count + 1)) / alpha
        made = level + (1 - 1 / theta) * pull
        if count >= len(y):
            values.append(made)
        errors.append(values[count] - made)
        level = alpha * values[count] + (1 - alpha) * level
        mean = np.mean(values[: count + 1])
        if count:
            slope, intercept = np.polyfit(np.arange(1, count + 2), values[: count + 1], 1)
        else:
            intercept = mean
    return np.array(values[len(y) :]), np.array(errors[: len(y)])


@pytest.mark.parametrize("seed", range(3))
def test_theta_is_its_recursion_at_the_least_squared_error(seed):
    rng = np.random.default_rng(seed)
    y = 1 + np.cumsum(rng.normal(0.02, 0.05, 40)) + rng.normal(0, 0.03, 40)
    padded = np.r_[np.full(7, np.nan), y][:, None]
    found = _theta.fit_theta(padded, horizon=6, prior=0)
    alpha, theta, first = (float(leaf[0]) for leaf in (found.alpha, found.theta, found.first_level))
    forecasts, errors = theta_by_hand(y, alpha, theta, first, 6)
    np.testing.assert_allclose(found.forecasts[:, 0], forecasts, atol=2e-3)
    for other in (
        (alpha, theta * 1.3 + 0.1, first),
        (alpha, theta, first + 0.3),
        (0.3, theta, first),
        (0.9, theta, first),
    ):
        assert np.sum(theta_by_hand(y, *other, 6)[1][3:] ** 2) >= np.sum(errors[3:] ** 2) * (1 - 1e-3)


@pytest.mark.parametrize("rows", [8, 16])
def test_theta_is_drawn_towards_two_as_by_a_prior(rows):
    """A regression of the errors on the first level and the line, with a row for the prior."""
    rng = np.random.default_rng(3)
    y, alpha = 1 + np.cumsum(rng.normal(0.1, 0.05, rows)), 0.4

    def errors(first, weight):
        return theta_by_hand(y, alpha, 1 / (1 - weight) if weight < 1 else np.inf, first, 0)[1][3:]

    none = errors(0.0, 0.0)
    columns = np.stack([none - errors(1.0, 0.0), none - errors(0.0, 1.0)], axis=1)
    strength = _theta.PRIOR / rows * np.sqrt(np.sum(columns[:, 1] ** 2))
    expected = np.linalg.lstsq(np.vstack([columns, [0, strength]]), np.r_[none, strength / 2], rcond=None)[0]
    found = _theta.fit_theta(y[:, None], horizon=1, alphas=[alpha])
    np.testing.assert_allclose([found.first_level[0], 1 - 1 / found.theta[0]], expected, rtol=2e-3)
    assert abs(1 - 1 / _theta.fit_theta(y[:, None], horizon=1, alphas=[alpha], prior=0).theta[0] - expected[1]) > 0.02


def test_theta_of_a_series_does_not_depend_on_rows_before_it():
    rng = np.random.default_rng(5)
    y = 1 + np.cumsum(rng.normal(0.02, 0.05, (32, 9)), axis=0)
    y[:7] = np.nan
    known = rng.random(y.shape) > 0.1
    padded, bare = (_theta.fit_theta(y[rows:], horizon=4, known=known[rows:]) for rows in (0, 7))
    np.testing.assert_allclose(padded.forecasts, bare.forecasts, rtol=1e-5)
    np.testing.assert_array_equal(padded.alpha, bare.alpha)


# statsforecast 2.1.1, which needs an older pandas and so an environment of its own:
# `theta.forecast_theta(theta.thetamodel(y, 1, "DOTM", nan, nan, nan, 3), 8)["mean"]` of the series below
STATSFORECAST = {
    30: [36.3782, 36.421, 36.4613, 36.4994, 36.5354, 36.5697, 36.6023, 36.6334],
    60: [45.1891, 45.3925, 45.5963, 45.8006, 46.0051, 46.2098, 46.4147, 46.6195],
    100: [41.3877, 41.3973, 41.4068, 41.4163, 41.4257, 41.435, 41.4443, 41.4536],
}


def test_theta_is_that_of_statsforecast():
    rng = np.random.default_rng(1)
    for rows, expected in STATSFORECAST.items():
        y = 30 + np.cumsum(rng.normal(0.3, 1, rows)) + rng.normal(0, 1, rows)
        alphas = np.linspace(0.1, 0.99, 90)
        found = _theta.fit_theta(y[:, None] / y.mean(), horizon=8, alphas=alphas, prior=0).forecasts[:, 0] * y.mean()
        np.testing.assert_allclose(found, expected, rtol=0.02)


def test_transformed_values_come_back():
    values = np.array([[1.0, -5, 0, 1e300], [4.0, 3, 2, 1e299], [2.0, np.nan, 1, 1e300]])
    made, units = _transform.transform(values)
    np.testing.assert_allclose(_transform.restore(made, units), values, rtol=1e-12)
    assert units.logs.tolist() == [True, False, False, True]
    assert _transform.restore(np.full((1, 4), -0.5), units)[0, 2] == 0
    assert np.isfinite(_transform.restore(np.full((1, 4), 1e3), units)).all()


def test_a_backtest_knows_nothing_that_comes_after_a_cutoff():
    values = series(rows=96, season=12)
    changed = values.copy()
    changed[90:] += 3
    networks, logs = training.packaged().networks, np.array([True, False, True])
    before, after = (_backtest.backtest(one, logs, (12,), 6, networks) for one in (values, changed))
    assert before.candidates == candidates((12,))
    cutoffs = _backtest.cutoffs_of(6, (12,), 96)[1:]
    early = [place for place, back in enumerate(cutoffs) if back >= 6]
    np.testing.assert_array_equal(before.earlier[:, early], after.earlier[:, early])
    assert not np.array_equal(before.ahead, after.ahead)
    for place, back in enumerate(cutoffs[:3]):
        rows = slice(96 - back, min(96 - back + 6, 96))
        np.testing.assert_array_equal(before.actuals[place][:, : rows.stop - rows.start], values[rows].T)


def test_the_forecast_of_a_cutoff_is_that_of_the_series_that_ends_there():
    values = series(rows=96, season=12)
    networks, logs = training.packaged().networks, np.ones(3, bool)
    whole = _backtest.backtest(values, logs, (12,), 6, networks)
    cutoffs = _backtest.cutoffs_of(6, (12,), 96)[1:]
    padded = np.concatenate([np.full((cutoffs[0], 3), np.nan), values[: -cutoffs[0]]])
    short = _backtest.backtest(padded, logs, (12,), 6, networks)
    for place, one in enumerate(whole.candidates):
        np.testing.assert_allclose(whole.earlier[place, 0], short.ahead[place], rtol=1e-3, atol=1e-3, err_msg=str(one))


def test_weights_add_up_to_one_and_favor_the_candidate_of_small_errors():
    model, rng = training.packaged(), np.random.default_rng(0)
    values = np.cumsum(rng.normal(0, 1, (96, 16)), axis=0)
    tested = _backtest.backtest(values, np.zeros(16, bool), (), 6, model.networks)
    place = [one.method for one in tested.candidates].index("median")

    def weight(earlier):
        x = _weights.describe(tested._replace(earlier=earlier), values, np.zeros(16, bool))
        assert x.shape == (16, len(tested.candidates), _weights.FEATURES)
        found = _weights.weights(model.combiner, x, _weights.methods_of(tested), 6)
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
        return found[:, place].mean()

    perfect = tested.earlier.copy()
    perfect[place] = np.nan_to_num(tested.actuals)
    assert weight(perfect) > weight(tested.earlier) + 0.1


def test_the_combiner_learns_which_method_is_right():
    """One of three methods continues each series, and a feature says which."""
    rng, count = np.random.default_rng(0), 400
    methods = np.arange(3)
    x = np.zeros((count, 3, _weights.FEATURES), np.float32)
    right = rng.integers(0, 3, count)
    x[np.arange(count), right, 0] = 1
    error = rng.normal(0, 3, (count, 3, 4)).astype(np.float32)
    error[np.arange(count), right] = rng.normal(0, 0.1, (count, 4))
    data = training.Examples(
        x, error, np.full(count, 0.1, np.float32), np.ones(count, np.float32), methods, *[None] * 4
    )
    combiner = jax.tree.map(np.asarray, training.learn_combiner([data], key=jax.random.key(0), steps=12, rate=1e-2))
    found = _weights.weights(combiner, x, methods, 4)
    assert found[np.arange(count), right].mean() > 0.4 > 1 / 3  # of three, after a few steps
    assert len(combiner.prior) == len(NAMES)


@pytest.mark.parametrize("period", [7, 30.5, 365.25])
def test_phases_and_lags_of_any_period(period):
    at = _pattern.phases(period, 800, 40)
    ahead = np.arange(1, 41)
    source = 800 + ahead - 1 - _pattern.lags(period, ahead)
    assert source.max() <= 799
    apart = np.abs(at[800:] - at[source])
    assert np.all(np.minimum(apart, np.ceil(period) - apart) <= 1)


def test_a_phase_that_never_has_a_value_leaves_the_season_of_the_others():
    rng, at = np.random.default_rng(0), np.arange(140)[:, None]
    pattern = np.array([1.0, -2, 0.5, 3, -1, 0.2, 0])
    values = pattern[at % 7] + rng.normal(0, 0.05, (140, 1))
    values[6::7] = np.nan
    *_, last = _pattern.factors(_pattern.fill(values, 7), ~np.isnan(values), 7, 1)
    found = last.pattern[:6, 0]
    np.testing.assert_allclose(found - found.mean(), pattern[:6] - pattern[:6].mean(), atol=0.15)
    assert last.strength[0] > 0.9


def test_the_quantiles_of_a_network_never_cross_and_its_center_takes_no_gradient_from_them():
    key = jax.random.key(0)
    network = _network.start(key, design=DESIGN, hidden=5, members=2)
    network = jax.tree.map(lambda leaf: leaf + 0.5 * jax.random.normal(key, leaf.shape), network)
    x = jax.random.normal(key, (20, 3, DESIGN.features))
    valid = np.ones((20, 3), bool)
    center, quantiles = map(np.asarray, _network.ensemble(network, x, valid, np.arange(20)))
    rows = np.stack([*quantiles[:2], center, *quantiles[2:]])
    assert np.all(np.diff(rows, axis=0) > 0)


def test_the_windows_are_what_followed():
    values = series()
    made = _windows.windows(values, np.ones(3, bool), 4, DESIGN)
    steps = _features.features(values, np.ones(3, bool), 4, DESIGN)
    row, horizon = 10, 3
    again = steps.level[row] + steps.base[row, :, horizon - 1] + steps.scale[row] * made.y[row, :, horizon - 1]
    np.testing.assert_allclose(again, values[len(values) - DESIGN.context + row + horizon], rtol=1e-5)
    assert np.isnan(made.y[-1]).all()


def test_what_is_missing_is_not_learned():
    key = jax.random.key(0)
    network = _network.start(key, design=DESIGN, hidden=5, members=1)
    made = _windows.windows(series(), np.ones(3, bool), 4, DESIGN)
    gone = made._replace(y=np.where(np.arange(20)[:, None, None] == 7, np.nan, made.y).astype(np.float32))
    full, less = (float(_network.loss(network, one, key)) for one in (made, gone))
    assert np.isfinite(less)
    assert full != less
