"""Intervals: they hold near their levels, whatever the evidence."""

import jax
import numpy as np
import pytest

from jax_lstm import forecast
from jax_lstm.forecast import _intervals, training


@pytest.mark.exhaustive
def test_the_widths_learn_to_hold_what_they_say():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 0.5, (600, 5, _intervals.FEATURES)).astype(np.float32)
    error = (np.exp(x[..., 1]) * rng.normal(0, 1, (600, 5))).astype(np.float32)
    data = [training.StepExamples(x, error)]
    widths = training.learn_widths(data, key=jax.random.key(0), steps=400, rate=1e-2)
    for level, share in training.held(widths, data).items():
        assert share == pytest.approx(level, abs=0.03)


def test_an_interval_between_the_levels_lies_between_theirs():
    sides = np.array([[[1.0], [2.0], [4.0]], [[1.0], [3.0], [5.0]]])
    for place, level in enumerate(_intervals.LEVELS):
        np.testing.assert_allclose(_intervals.at_level(level, sides), sides[:, place])
    ends = [_intervals.at_level(level, sides)[1][0] for level in (0.1, 0.4, 0.5, 0.8, 0.9, 0.95, 0.99)]
    assert np.all(np.diff(ends) > 0)


@pytest.mark.parametrize("count", [3, 9, 19, 99])
def test_a_finite_quantile_holds_its_share_of_new_values(count):
    """Of n and one more exchangeable values the last is held with at least the level's probability, if n is enough."""
    rng = np.random.default_rng(0)
    sizes = np.abs(rng.normal(0, 1, (count + 1, 4000)))
    held = np.mean(sizes[-1] <= _intervals.finite_quantile(sizes[:-1], 0.8))
    assert held >= min(0.8, count / (count + 1)) - 0.02
    assert held <= 0.8 + 1 / (count + 1) + 0.02


def test_widths_never_shrink_from_a_season_to_the_next():
    found = _intervals.widening(np.array([3.0, 1, 2, 4, 0.5, 1]), 3)
    assert found.tolist() == [3, 1, 2, 4, 1, 2]
    assert _intervals.widening(np.array([3.0, 1, 4]), 1).tolist() == [3, 3, 4]


@pytest.mark.parametrize("method", ["theta", "naive", "damped trend"])
def test_intervals_of_one_method_hold_near_their_level_on_a_few_values(method):
    """Twelve to 18 years that grow; a steep fall before them sends a trend of the first few values astray."""
    rng = np.random.default_rng(0)
    series = []
    for rows in rng.integers(16, 23, 150):
        growth = np.r_[rng.normal(-0.5, 0.3, 5), rng.normal(0.03, 0.12, rows - 5)]
        series.append(1000 * np.exp(np.cumsum(growth) + rng.normal(0, 0.05, rows)))
    made = forecast.predict([one[:-4] for one in series], 4, season=1, levels=(0.8, 0.95), method=method)
    actuals = np.stack([one[-4:] for one in series])
    for level, least, most in ((0.8, 0.75, 0.95), (0.95, 0.92, 1.0)):
        low, high = np.stack(made.lower[level]), np.stack(made.upper[level])
        assert least <= np.mean((low <= actuals) & (actuals <= high)) <= most
        needed = np.quantile(np.abs(actuals - np.stack(made.forecast)) / actuals, level)
        assert np.mean((high - low) / 2 / actuals) <= 3 * needed


def test_more_errors_count_more_and_none_leaves_the_changes():
    rng = np.random.default_rng(0)
    values = np.cumsum(rng.normal(0, 1, (60, 8)), axis=0)
    error = np.full((12, 8, 5), 0.1) * np.sqrt(np.arange(1, 6))
    none = _intervals.sides_of_errors(np.full((12, 8, 5), np.nan), values, 5)
    np.testing.assert_array_equal(none, _intervals.sides_of_errors(np.zeros((0, 8, 5)), values, 5))
    np.testing.assert_allclose(
        none[0, 1, :, 0], 1.2816 * 1.25 * np.abs(np.diff(values, axis=0)).mean(axis=0), rtol=1e-4
    )
    few = _intervals.sides_of_errors(np.where(np.arange(12)[:, None, None] < 2, error, np.nan), values, 5)
    many = _intervals.sides_of_errors(error, values, 5)
    assert np.all((many < few) & (few < none))
