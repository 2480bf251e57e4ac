"""The parts of the forecaster: causal features and seasons, Theta against its reference, shares and intervals."""

import jax
import numpy as np
import pytest

from jax_lstm.forecast import _combine, _features, _model, _network, _predict, _season, _theta, _transform, _windows
from jax_lstm.forecast._methods import Backtest

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
    *_, last = _season.factors(values, np.ones(values.shape, bool), 4, 1)
    np.testing.assert_allclose(last.pattern[:, 0], pattern, atol=0.1)
    assert last.strength[0] > 0.99
    assert np.median(last.strength[1:]) < 0.6


def test_gaps_are_filled_from_the_season_before():
    values = np.array([1.0, 2, 3, 4, np.nan, 6, np.nan, np.nan])[:, None]
    assert _season.fill(values, 4)[:, 0].tolist() == [1, 2, 3, 4, 1, 6, 3, 4]
    assert _season.fill(values, 1)[:, 0].tolist() == [1, 2, 3, 4, 4, 6, 6, 6]


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
    found = _theta.theta(padded, horizon=6, prior=0)
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
    found = _theta.theta(y[:, None], horizon=1, alphas=[alpha])
    np.testing.assert_allclose([found.first_level[0], 1 - 1 / found.theta[0]], expected, rtol=2e-3)
    assert abs(1 - 1 / _theta.theta(y[:, None], horizon=1, alphas=[alpha], prior=0).theta[0] - expected[1]) > 0.02


def test_theta_of_many_series_is_that_of_few():
    rng = np.random.default_rng(5)
    y = 1 + np.cumsum(rng.normal(0.02, 0.05, (32, _theta.FEW + 1)), axis=0)
    y[:7, ::2] = np.nan
    known = rng.random(y.shape) > 0.1
    many = _theta.theta(y, horizon=4, known=known)
    for part in (slice(0, 5), slice(60, None)):
        few = _theta.theta(y[:, part], horizon=4, known=known[:, part])
        np.testing.assert_allclose(few.forecasts, many.forecasts[:, part], rtol=1e-5)
        np.testing.assert_array_equal(few.alpha, many.alpha[part])
    padding_left_out = _theta.theta(y[7:, :1], horizon=4, known=known[7:, :1])
    np.testing.assert_allclose(padding_left_out.first_level, many.first_level[:1], rtol=1e-5)


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
        found = _theta.theta(y[:, None] / y.mean(), horizon=8, alphas=alphas, prior=0).forecasts[:, 0] * y.mean()
        np.testing.assert_allclose(found, expected, rtol=0.02)


def test_transformed_values_come_back():
    values = np.array([[1.0, -5, 0, 1e300], [4.0, 3, 2, 1e299], [2.0, np.nan, 1, 1e300]])
    made, units = _transform.transform(values)
    np.testing.assert_allclose(_transform.restore(made, units), values, rtol=1e-12)
    assert units.logs.tolist() == [True, False, False, True]
    assert _transform.restore(np.full((1, 4), -0.5), units)[0, 2] == 0
    assert np.isfinite(_transform.restore(np.full((1, 4), 1e3), units)).all()


def backtest(errors_of_a, errors_of_b, origins=6, count=40, horizon=4, seed=0):
    rng = np.random.default_rng(seed)
    shape = (origins + 1, count, horizon)
    actuals = rng.normal(0, 1, shape)
    centres = {name: actuals + rng.normal(0, size, shape) for name, size in (("a", errors_of_a), ("b", errors_of_b))}
    offsets = np.ones((4, *shape)) * np.array([2.0, 1, 1, 2])[:, None, None, None]
    return Backtest(tuple(range(0, 2 * (origins + 1), 2)), centres, offsets, actuals, np.ones(shape[:2]))


def test_a_backtest_since_some_rows_is_that_of_its_origins():
    whole = backtest(0.1, 1.0)
    found = whole.since(5)
    assert found.origins == (0, 2, 4)
    np.testing.assert_array_equal(found.centres["b"], whole.centres["b"][:3])
    np.testing.assert_array_equal(found.offsets, whole.offsets[:, :3])
    np.testing.assert_array_equal(found.actuals, whole.actuals[:3])
    assert len(found.unit) == 3


def test_few_series_are_tested_from_more_origins():
    design = _network.DESIGNS["short"]
    assert len(_predict.test_origins(12, design, 200, 1)) == 21
    assert len(_predict.test_origins(12, design, 200, 1000)) == 9
    assert _predict.test_origins(12, design, 20, 1) == (0, 4, 8, 12, 16)


def test_the_better_method_gets_the_larger_share():
    calibration, each, _ = _combine.calibrate(backtest(0.1, 1.0), {"a": 0.5, "b": 0.5})
    assert calibration.shares[0] > 0.85
    np.testing.assert_allclose(each.sum(axis=1), 1)
    even, _, _ = _combine.calibrate(backtest(0.5, 0.5), {"a": 0.5, "b": 0.5})
    assert 0.3 < even.shares[0] < 0.7


def test_many_series_count_as_few_windows_unless_the_gain_is_clear():
    prior = {"a": 0.5, "b": 0.5}
    alike = backtest(1.0, 1.0, count=400)
    alike.centres["b"] = alike.actuals + 1.05 * (alike.centres["a"] - alike.actuals)
    slight, _, _ = _combine.calibrate(alike, prior)
    np.testing.assert_allclose(slight.shares, [0.75, 0.25])
    clear, _, _ = _combine.calibrate(backtest(0.1, 1.0, count=400), prior)
    assert clear.shares[0] > 0.98


def test_a_fitted_model_has_shares_for_each_series_from_what_it_has_not_learnt():
    given = backtest(0.1, 1.0)
    odd = np.arange(40) % 2 == 1
    given.centres["theta"] = np.where(odd[:, None], given.centres["a"], given.centres["b"])
    given.centres["lstm"] = np.where(odd[:, None], given.centres["b"], given.centres["a"])
    given.centres["tuned"] = given.actuals
    methods = ("lstm", "tuned", "theta")
    calibration = _combine.Calibration(methods, np.array([0.1, 0.4, 0.5]), np.full((2, 3), 1.5))
    shares, factors, names = _model.Tuned(None, calibration).shares_of(given)
    assert names == methods
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_allclose(shares[:, 1], 4 * shares[:, 0])
    assert shares[odd, 2].min() > 0.55 > 0.45 > shares[~odd, 2].max()
    np.testing.assert_allclose(factors, np.full((2, 40, 4), 1.5))


def test_without_windows_the_prior_stands():
    nothing = backtest(0.1, 1.0)
    calibration, each, factors = _combine.calibrate(
        nothing._replace(actuals=np.full_like(nothing.actuals, np.nan)), {"a": 0.3, "b": 0.7}
    )
    np.testing.assert_allclose(calibration.shares, [0.3, 0.7])
    np.testing.assert_allclose(each, [[0.3, 0.7]] * 40)
    np.testing.assert_allclose(factors, 1)


def test_intervals_are_scaled_until_they_hold_what_they_say():
    given = backtest(3.0, 3.0, count=200)
    _, shares, factors = _combine.calibrate(given, {"a": 1.0})
    centre = _combine.combine(given.centres, ("a",), shares)[1:]
    for level in (0.5, 0.8, 0.9, 0.95):
        down, up = _combine.offsets_at(level, given.offsets[:, 1:], factors[:, None])
        held = np.mean((given.actuals[1:] >= centre - down) & (given.actuals[1:] <= centre + up))
        assert held == pytest.approx(level, abs=0.05)


def test_the_quantiles_of_a_network_never_cross_and_its_centre_takes_no_gradient_from_them():
    key = jax.random.key(0)
    network = _network.start(key, design=DESIGN, hidden=5, members=2)
    network = jax.tree.map(lambda leaf: leaf + 0.5 * jax.random.normal(key, leaf.shape), network)
    x = jax.random.normal(key, (20, 3, DESIGN.features))
    valid = np.ones((20, 3), bool)
    centre, quantiles = map(np.asarray, _network.ensemble(network, x, valid))
    rows = np.stack([*quantiles[:2], centre, *quantiles[2:]])
    assert np.all(np.diff(rows, axis=0) > 0)


def test_the_windows_are_what_followed():
    values = series()
    made = _windows.windows(values, np.ones(3, bool), 4, DESIGN)
    steps = _features.features(values, np.ones(3, bool), 4, DESIGN)
    row, horizon = 10, 3
    again = steps.level[row] + steps.base[row, :, horizon - 1] + steps.scale[row] * made.y[row, :, horizon - 1]
    np.testing.assert_allclose(again, values[len(values) - DESIGN.context + row + horizon], rtol=1e-5)
    assert np.isnan(made.y[-1]).all()


def test_what_is_missing_is_not_learnt():
    key = jax.random.key(0)
    network = _network.start(key, design=DESIGN, hidden=5, members=1)
    made = _windows.windows(series(), np.ones(3, bool), 4, DESIGN)
    gone = made._replace(y=np.where(np.arange(20)[:, None, None] == 7, np.nan, made.y).astype(np.float32))
    full, less = (float(_network.loss(network, one, key)) for one in (made, gone))
    assert np.isfinite(less)
    assert full != less
