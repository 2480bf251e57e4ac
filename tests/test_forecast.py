"""Forecasts with no fitting: laws that hold for any series, and the series that forecasters trip over."""

import numpy as np
import pytest
from strategies import usually

from jax_lstm import forecast

LEVELS = (0.5, 0.8, 0.95, 0.99)


def wave(rows, season=12, seed=0, level=100.0):
    rng = np.random.default_rng(seed)
    at = np.arange(rows)
    return level + 0.3 * at + 12 * np.sin(2 * np.pi * at / season) + rng.normal(0, 2, rows)


def one(values, season=12, horizon=12, **options):
    """The forecast of one series: its forecast, its ends by level, and its note."""
    made = forecast.predict(forecast.panel(values, season=season), horizon, levels=LEVELS, **options)
    lower, upper = ({level: ends[level][0] for level in LEVELS} for ends in (made.lower, made.upper))
    return made.forecast[0], lower, upper, made.notes[0]


def check_sound(found, horizon):
    """Finite, of the horizon's length, and quantiles in order."""
    middle, lower, upper, _ = found
    rows = [lower[level] for level in LEVELS[::-1]] + [middle] + [upper[level] for level in LEVELS]
    assert all(row.shape == (horizon,) and np.isfinite(row).all() for row in rows)
    assert np.all(np.diff(np.stack(rows), axis=0) >= -1e-9 * np.abs(middle))


@pytest.mark.parametrize("season", [1, 4, 12, 24])
def test_a_seasonal_series_is_forecast_far_better_than_by_its_last_value(season):
    series = wave(132, max(season, 2))
    past, coming = series[:120], series[120:]
    found = one(past, season)
    check_sound(found, 12)
    if season > 1:
        assert np.abs(found[0] - coming).mean() < 0.5 * np.abs(past[-1] - coming).mean()


@pytest.mark.parametrize("factor", [1e-300, 1e-3, 1e6, 1e300])
def test_the_units_do_not_matter(factor):
    series = wave(60)
    for values in (series, series - 100):
        plain, scaled = one(values), one(values * factor)
        np.testing.assert_allclose(scaled[0] / factor, plain[0], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(scaled[2][0.95] / factor, plain[2][0.95], rtol=1e-3, atol=1e-3)
        check_sound(scaled, 12)


def test_a_series_that_is_negative_somewhere_is_forecast_the_same_upside_down_or_elsewhere():
    series = wave(60) - 110
    assert series.min() < 0 < series.max()
    plain, moved = one(series, method="theta"), one(series - 1000, method="theta")
    np.testing.assert_allclose(moved[0] + 1000, plain[0], atol=0.1)


def test_nothing_that_comes_later_changes_an_earlier_forecast():
    series = wave(80)
    changed = series.copy()
    changed[60:] *= 7
    for method in forecast.METHODS:
        before, after = (one(values[:60], method=method) for values in (series, changed))
        np.testing.assert_array_equal(before[0], after[0])


@pytest.mark.parametrize("season", usually([(), (12,), (7, 30.5), (24, 168)], [(12,)]))
def test_a_forecast_depends_on_no_other_series_to_the_bit(season):
    """Permuted, split, and in panels of other sizes: the same numbers."""
    rng = np.random.default_rng(0)
    series = [wave(length, seed=length) for length in rng.integers(3, 250, 70)]
    series[3][-1] = -1e6
    whole = forecast.predict(series, 9, season=season, levels=(0.8,))
    order = rng.permutation(70)
    for places in (order[:1], order[1:9], order[9:]):
        part = forecast.predict([series[place] for place in places], 9, season=season, levels=(0.8,))
        for at, place in enumerate(places):
            for one, other in (
                (whole.forecast[place], part.forecast[at]),
                (whole.lower[0.8][place], part.lower[0.8][at]),
                (whole.upper[0.8][place], part.upper[0.8][at]),
            ):
                np.testing.assert_array_equal(one, other)


def test_a_stream_gives_the_numbers_of_one_call():
    series = [wave(length, seed=length) for length in range(30, 40)]
    whole = forecast.predict(series, 6, season=12).forecast
    batches = (series[begin : begin + 3] for begin in range(0, 10, 3))
    parts = [one for made in forecast.predict_stream(batches, 6, season=12) for one in made.forecast]
    np.testing.assert_array_equal(np.stack(whole), np.stack(parts))


@pytest.mark.parametrize("moved", [1000.0, 1e6])
def test_what_is_added_to_an_additive_series_is_added_to_its_forecast(moved):
    series = wave(120) - 110
    assert series.min() < 0
    plain, other = one(series), one(series + moved)
    np.testing.assert_allclose(other[0] - moved, plain[0], atol=0.05)
    np.testing.assert_allclose(other[2][0.8] - moved, plain[2][0.8], atol=0.05)


@pytest.mark.parametrize("method", [name for name in forecast.METHODS if name not in ("combined", "lstm")])
def test_a_method_alone_runs_no_network_and_is_the_one_that_is_combined(method, monkeypatch):
    from jax_lstm.forecast import _predict, _series
    from jax_lstm.forecast.methods import _lstm

    series = [wave(length, seed=length) for length in (9, 40, 100)]
    panel = _series.as_panel(series, 12)
    together = _predict.predict_by(panel, 9, ["combined", method])[method]
    monkeypatch.setattr(_lstm, "ensemble", None)
    found = [forecast.predict([one], 9, season=12, levels=LEVELS, method=method) for one in series]
    for one, other in zip(found, together.forecast, strict=True):
        np.testing.assert_allclose(one.forecast[0], other, rtol=1e-6)
        lower, upper = ({level: ends[level][0] for level in LEVELS} for ends in (one.lower, one.upper))
        check_sound((one.forecast[0], lower, upper, ""), 9)


def test_series_of_several_seasons_keep_their_order():
    series = [wave(60, 12, 1), wave(50, 4, 2), wave(70, 12, 3), wave(20, 2, 4)]
    together = forecast.predict(forecast.panel(series, season=[12, 4, 12, 1]), 3, method="theta")
    for place, season in enumerate((12, 4, 12, 1)):
        np.testing.assert_allclose(
            together.forecast[place], one(series[place], season, 3, method="theta")[0], rtol=1e-5
        )


@pytest.mark.parametrize("season", [1, 12, 365])
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 13, 23])
def test_short_series_are_never_refused(rows, season):
    found = one(wave(rows), season)
    check_sound(found, 12)
    if rows < 4:
        assert found[3] == f"{rows} value{'s' * (rows > 1)}: last value held"
        np.testing.assert_allclose(found[0], wave(rows)[-1])


@pytest.mark.parametrize("horizon", [1, 24, 60])
def test_any_horizon_with_intervals_that_widen(horizon):
    found = one(wave(100), horizon=horizon)
    check_sound(found, horizon)
    width = found[2][0.8] - found[1][0.8]
    if horizon == 60:
        assert np.all(width[36:48] <= width[48:60])
        # the season goes on, and so does the level
        assert np.corrcoef(found[0][24:36], found[0][:12])[0, 1] > 0.9


def test_a_constant_series_is_held():
    for value in (7.0, 0.0, -3.0):
        found = one(np.full(50, value))
        check_sound(found, 12)
        for ends in (found[0], *found[1].values(), *found[2].values()):
            np.testing.assert_allclose(ends, value)
        assert found[3] == "constant: held"


def test_one_value_says_little_about_the_next():
    found = one(np.array([5.0]))
    width = found[2][0.8] - found[1][0.8]
    assert 1 < width[0] < 3
    assert np.all(np.diff(width) > 0)


def test_a_periodic_series_goes_on():
    series = np.tile([5.0, 9, 2, 7], 15)
    found = one(series, 4, 8)
    check_sound(found, 8)
    np.testing.assert_allclose(found[0], np.tile([5.0, 9, 2, 7], 2), rtol=0.02)


def test_gaps_are_bridged():
    series = wave(90)
    holes = series.copy()
    holes[[3, 20, 21, 22, 50, 88, 89]] = np.nan
    found = one(holes)
    check_sound(found, 12)
    np.testing.assert_allclose(found[0], one(series)[0], rtol=0.08)
    long_gap = series.copy()
    long_gap[50:75] = np.nan
    check_sound(one(long_gap), 12)


def test_a_series_that_is_never_negative_is_never_forecast_to_be():
    falling = np.maximum(100 - 2.0 * np.arange(48) + np.random.default_rng(0).normal(0, 5, 48), 0)
    for values in (falling, falling + 1):
        assert min(ends.min() for ends in one(values)[1].values()) >= 0


def test_an_intermittent_series_is_forecast_near_its_mean():
    rng = np.random.default_rng(0)
    series = np.where(rng.random(200) < 0.3, rng.poisson(5, 200), 0).astype(float)
    middle, lower, upper, note = one(series, 7)
    check_sound((middle, lower, upper, note), 12)
    assert middle.mean() < 2 * series.mean()
    assert min(ends.min() for ends in lower.values()) >= 0
    assert np.mean(series <= upper[0.95].mean()) > 0.85


def test_the_band_does_not_jump_after_a_level_shift():
    series = wave(120)
    series[100:] += 60
    found = one(series)
    width = found[2][0.95] - found[1][0.95]
    assert np.all(width[1:] / width[:-1] < 1.4)


def test_no_warning_reaches_the_user_whatever_the_series():
    rng = np.random.default_rng(0)
    for values in (
        np.r_[np.zeros(30), 1e-300],
        np.r_[np.ones(20), 1e300],
        rng.normal(0, 1e300, 40),
        1e-308 * np.ones(9),
    ):
        check_sound(one(values, 4, 6), 6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"horizon": 0}, "horizon is 0, expected a whole number of steps from 1 to 10,000"),
        ({"levels": [95]}, "a level is 95, expected between 0 and 1"),
        ({"method": "magic"}, "method is 'magic', expected one of combined, lstm"),
    ],
)
def test_refusals_of_predict(change, said):
    given = {"horizon": 3, "levels": [0.8]} | change
    with pytest.raises(ValueError, match=said):
        forecast.predict(forecast.panel(wave(20), season=4), **given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"values": np.ones((2, 2, 2)), "season": 1}, r"values have shape \(2, 2, 2\)"),
        ({"values": [np.ones(3), np.full(2, np.nan)], "season": 1}, "series 1 has no values"),
        ({"values": [1.0, np.inf], "season": 1}, "series 0 is infinite at row 1"),
        ({"values": np.ones(4), "season": 0}, "the season of series 0 is 0"),
        ({"values": np.ones(4), "season": [4, 4]}, "season has 2 entries, expected one for each of the 1 series"),
        ({"values": np.ones(4), "season": 1, "past": np.ones((3, 2))}, "past of series 0 has 3 rows, expected 4"),
        ({"values": np.ones(4), "season": 1, "static": [np.ones(2), np.ones(2)]}, "static has 2 entries"),
        (
            {"values": np.ones(4), "season": 1, "future": np.full((6, 1), np.nan)},
            "future of series 0 has values that are missing",
        ),
    ],
)
def test_refusals_of_panels(given, said):
    with pytest.raises(ValueError, match=said):
        forecast.panel(**given)


def test_explain_gives_the_steps_of_one_member():
    series = wave(40)
    rows, steps = forecast.explain(forecast.panel([series[:30], series], season=12), series=1, member=2)
    assert rows.tolist() == list(range(40))
    assert steps.hidden_state.shape == steps.forget_gate.shape
    assert len(steps.hidden_state) == 40
    with pytest.raises(IndexError):
        forecast.explain(forecast.panel(series, season=12), member=99)
