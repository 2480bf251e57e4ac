"""The forecaster: laws of the preparation, no look-ahead, intervals, files, and scores against their definitions."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jax_lstm import checkpoint, forecast, init, readout
from jax_lstm._layer import lstm
from jax_lstm.forecast import _backtest, _series, _smoothing

pytestmark = pytest.mark.usefixtures("optimized")

SEASON, HORIZON, ROWS = 6, 3, 60
OPTIONS = {"season": SEASON, "horizon": HORIZON, "members": 3, "steps": 20, "progress": False}


def series(rows=ROWS, seed=0):
    """Growth by a half in five years, a strong season, and noise: what a logarithm makes simple."""
    steps = np.arange(rows)
    noise = np.random.default_rng(seed).normal(size=rows)
    return np.exp(3 + 0.02 * steps + 0.5 * np.sin(2 * np.pi * steps / SEASON) + 0.05 * noise)


@pytest.fixture(scope="module")
def model():
    return forecast.fit(series(), **OPTIONS)[0]


@pytest.fixture
def few_steps(monkeypatch):
    """The options of a backtest whose models are trained for a moment only, and without the slowest simple method."""
    monkeypatch.delitem(_backtest.BASELINES, "exponential smoothing")
    return OPTIONS


def test_preparing_and_undoing_gives_the_series_back_at_any_start():
    values = series()
    preparation = _series.prepare(values[:, None], SEASON)
    assert preparation.power == 0
    assert np.ptp(preparation.seasonal) > 0.5
    for start in (0, 4):
        prepared = _series.apply(preparation, values[start:, None], start)[:, 0]
        np.testing.assert_allclose(_series.undo(preparation, prepared, start), values[start:], rtol=1e-12)


@given(
    st.sampled_from([1, 4, 12]),
    st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=20, max_size=60),
    st.sampled_from([lambda x: x, np.abs, lambda x: np.exp(x / 1e5)]),
)
def test_undo_is_the_inverse_of_apply(season, values, shape):
    values = shape(np.array(values))
    preparation = _series.prepare(values[:, None], season)
    back = _series.undo(preparation, _series.apply(preparation, values[:, None])[:, 0], 0)
    np.testing.assert_allclose(back, values, rtol=1e-9, atol=1e-9 * np.abs(values).max())


def test_the_power_follows_how_the_spread_grows_with_the_level():
    steps, noise = np.arange(240), np.random.default_rng(0).normal(size=240)
    level = 5 + steps / 10
    for power, spread in ((1.0, 1.0), (0.5, np.sqrt(level)), (0.0, level)):
        assert _series.prepare((level + 0.15 * spread * noise)[:, None], 12).power == power
    assert _series.prepare((level * (1 + 0.15 * noise) - 15)[:, None], 12).power == 1.0  # negative values have no logarithm


def test_seasonal_means_are_taken_off_only_where_they_are_strong():
    rng, steps = np.random.default_rng(0), np.arange(96)
    pattern = rng.normal(size=12)
    pattern -= pattern.mean()
    found = _series.prepare((0.3 * steps + pattern[steps % 12])[:, None], 12).seasonal
    np.testing.assert_allclose(found, pattern, atol=1e-9)
    assert not np.any(_series.prepare(rng.normal(size=96)[:, None], 12).seasonal)


def test_windows_are_relative_to_their_last_row():
    rows = np.column_stack([np.arange(9.0) ** 2, -np.arange(9.0)])
    seen, after = _series.windows(rows, window=4, horizon=3)
    assert seen.shape == (3, 4, 2)
    np.testing.assert_array_equal(seen[1], rows[1:5] - rows[4])
    np.testing.assert_array_equal(after[1], rows[5:8, 0] - rows[4, 0])


def test_changing_the_future_changes_no_forecast_made_before():
    values, changed = series(), series()
    changed[45:] = -1e3 * changed[45:] + 7  # of another sign, so that another power would be chosen as well
    origins = [45, 35, *range(39, 58, 2), ROWS]  # as many as a backtest has, from the same on, so that both compile once
    (early, *_, late), (same, *_, other) = (forecast.fit(one, origins=origins, **OPTIONS) for one in (values, changed))
    jax.tree.map(np.testing.assert_array_equal, early, same)
    jax.tree.map(np.testing.assert_array_equal, forecast.predict(early, values[:45]), forecast.predict(same, changed[:45]))
    assert late.preparation != other.preparation
    assert np.any(late.readout.w != other.readout.w)


def test_a_backtest_does_not_look_ahead(few_steps):
    values, changed = series(), series()
    changed[-HORIZON:] = changed[-HORIZON:] * 5
    (_, before), (_, after) = (forecast.backtest(one, **few_steps) for one in (values, changed))
    assert before.origins == after.origins
    assert before.origins[-1] == ROWS - HORIZON
    for name, made in before.forecasts.items():
        np.testing.assert_array_equal(made, after.forecasts[name], err_msg=name)
    np.testing.assert_array_equal(before.truths[-1], values[-HORIZON:])
    np.testing.assert_array_equal(after.truths[-1], changed[-HORIZON:])
    assert before.scores[forecast.OURS]["MAE"] < before.scores["naive"]["MAE"]


def test_a_backtest_at_chosen_origins(few_steps):
    values = series()
    every = forecast.rolling_origins(ROWS, SEASON, HORIZON)
    assert (every[0], every[-1]) == (ROWS // 2, ROWS - HORIZON)
    _, test = forecast.backtest(values, origins=every[:2], **few_steps)
    assert test.origins == [30, 31]
    np.testing.assert_array_equal(test.truths, [values[30:33], values[31:34]])
    with pytest.raises(ValueError, match="an origin is 58, expected at most 57: 3 of the 60 values must follow it"):
        forecast.backtest(values, origins=[40, 58], **few_steps)
    with pytest.raises(ValueError, match="origins is empty, expected at least one"):
        forecast.backtest(values, origins=[], **few_steps)


def test_a_forecast_is_what_lstm_and_readout_give(model):
    values = series()
    prepared = _series.apply(model.preparation, values[:, None])
    window = (prepared[-model.window :] - prepared[-1:]).astype(np.float32) / 3
    ahead = []
    for member in range(3):
        layer, out = jax.tree.map(lambda leaf, member=member: leaf[member], (model.layer, model.readout))
        carry, _ = lstm(layer, window)
        ahead.append(readout(out, np.concatenate([carry.h, window[:, 0]])))
    made = forecast.predict(model, values)
    expected = _series.undo(model.preparation, prepared[-1, 0] + np.stack(ahead), ROWS)
    np.testing.assert_allclose(made.members, expected, rtol=1e-5)
    smoothed = np.log(made.smoothed)  # the series is prepared by a logarithm, in which the two are combined
    np.testing.assert_allclose(np.log(made.values), model.share * np.log(expected).mean(axis=0) + (1 - model.share) * smoothed, rtol=1e-5)


def test_the_unit_of_the_series_does_not_matter():
    values = series()
    one, thousand = (forecast.predict(forecast.fit(scale * values, **OPTIONS)[0], scale * values) for scale in (1, 1024))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(1024 * a, b, rtol=1e-4), one, thousand)


def test_data_that_start_later_keep_their_season(model):
    values = series()
    whole, part, wrong = (forecast.predict(model, values[start:], start=said) for start, said in ((0, 0), (20, 20), (20, 21)))
    np.testing.assert_allclose(part.members, whole.members, rtol=1e-6)
    # smoothing has less to begin with, but begins at the right phase
    assert np.abs(part.values - whole.values).max() < 0.2 * np.abs(wrong.values - whole.values).max()


def test_intervals_hold_the_share_of_held_out_errors_they_name(model):
    made = forecast.predict(model, series())
    for low, high in made.intervals.values():
        assert np.all(low < high)
    (low80, high80), (low95, high95) = (made.intervals[level] for level in (80, 95))
    assert np.all(low95 <= low80)
    assert np.all(high80 <= high95)
    np.testing.assert_array_equal(model.widths.shape, (2, HORIZON))


def test_what_is_missing_is_neither_learned_nor_judged(few_steps):
    values = series()
    values[[10, 58]] = np.nan
    model, test = forecast.backtest(values, **few_steps)
    assert np.isfinite(forecast.predict(model, values).values).all()
    assert all(np.isfinite(list(one.values())).all() for one in test.scores.values())


def reckoned(series, form, horizon):
    """Forecasts after the last row by the equations of one form, with gains that do not depend on how much was seen."""
    period, level, slope, seasonal = form.period, 0.0, 0.0, np.zeros(form.period)
    for row, value in enumerate(series):
        error = value - level - form.damping * slope - seasonal[row % period]
        level, slope = level + form.damping * slope + form.level * error, form.damping * slope + form.trend * error
        seasonal[row % period] += form.seasonal * error
    ahead = np.arange(1, horizon + 1)
    return level + slope * np.cumsum(form.damping**ahead) + seasonal[(len(series) - 1 + ahead) % period]


@pytest.mark.parametrize(
    "form",
    [
        _smoothing.Form(1, 0.3, 0.0, 0.0, 0.0),
        _smoothing.Form(1, 0.5, 0.9, 0.15, 0.0),
        _smoothing.Form(4, 0.4, 0.98, 0.08, 0.2),
    ],
)
def test_smoothing_follows_its_equations_once_the_beginning_is_forgotten(form):
    values = np.random.default_rng(0).normal(size=400)
    np.testing.assert_allclose(_smoothing.smooth(values, [form], 5)[-1, 0], reckoned(values, form, 5), atol=1e-6)


def test_smoothing_that_forgets_nothing_is_the_mean_and_the_straight_line():
    values = np.random.default_rng(0).normal(size=30)
    mean, line = (_smoothing.Form(1, 0.0, damping, 0.0, 0.0) for damping in (0.0, 1.0))
    rows, made = np.arange(30), _smoothing.smooth(values, [mean, line], 3)[-1]
    np.testing.assert_allclose(made[0], values.mean())
    np.testing.assert_allclose(made[1], np.polyval(np.polyfit(rows, values, 1), [30, 31, 32]))


def test_a_line_with_a_season_is_smoothed_without_error():
    values = 3 + 2 * np.arange(40.0) + np.tile([0.0, 5, 1, 2], 10)
    form = _smoothing.choose(values[:-6], 4, 6)
    assert form.period == 4
    np.testing.assert_allclose(_smoothing.smooth(values[:-6], [form], 6)[-1, 0], values[-6:])


def test_a_leading_input_is_learned_from():
    rng = np.random.default_rng(0)
    early = rng.normal(size=160)
    late = np.concatenate([np.zeros(2), early[:-2]]) + 0.1 * rng.normal(size=160)
    options = OPTIONS | {"season": 1, "steps": 300}
    known, errors = 150, []
    for other in (rng.permutation(early), early):
        values = np.column_stack([late, other])
        model = forecast.fit(values, origins=[known], **options)[0]
        made = [forecast.predict(model, values[: known + step]).values[1] for step in range(9)]
        errors.append(np.abs(np.array(made) - late[known + 1 :]).mean())
    # two steps ahead the input tells all but the noise: nearer to that than to knowing nothing
    noise = 0.1 * np.sqrt(2 / np.pi)
    assert errors[1] - noise < errors[0] - errors[1]


def test_explain_ends_with_the_state_the_forecast_reads(model):
    values = series()
    prepared = _series.apply(model.preparation, values[:, None])
    window = (prepared[-model.window :] - prepared[-1:]).astype(np.float32) / 3
    for member in (0, 2):
        carry, _ = lstm(jax.tree.map(lambda leaf, member=member: leaf[member], model.layer), window)
        thought = forecast.explain(model, values, member=member)
        assert thought.hidden_state.shape == (ROWS - model.window + 1, 16)
        np.testing.assert_allclose(thought.hidden_state[-1], carry.h, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(thought.cell_state[-1], carry.c, rtol=1e-5, atol=1e-6)


def test_a_saved_forecaster_forecasts_the_same_to_the_bit(model, tmp_path):
    forecast.save(tmp_path / "model.safetensors", model._replace(about={"column": "sales"}))
    loaded = forecast.load(tmp_path / "model.safetensors")
    assert loaded.about == {"column": "sales"}
    assert loaded.preparation == model.preparation
    assert (loaded.horizon, loaded.window) == (HORIZON, model.window)
    jax.tree.map(np.testing.assert_array_equal, forecast.predict(loaded, series()), forecast.predict(model, series()))
    checkpoint.save(tmp_path / "other.safetensors", (init(jax.random.key(0), 1, 2),))
    with pytest.raises(ValueError, match="holds a network but no forecaster"):
        forecast.load(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"values": series(13)}, "3 steps ahead need at least 14 values to train on, but there are 13"),
        ({"values": np.full(40, 5.0)}, "the series is 5 throughout in its first 40 rows"),
        ({"values": np.full(40, np.nan)}, "the series has no values in its first 40 rows"),
        ({"values": np.zeros((2, 3, 4))}, r"values have shape \(2, 3, 4\)"),
        ({"season": 0}, "season is 0, expected at least 1"),
        ({"horizon": 0}, "horizon is 0, expected at least 1"),
        ({"members": 0}, "members is 0, expected at least 1"),
    ],
)
def test_refusals_of_fit(change, said):
    with pytest.raises(ValueError, match=said):
        forecast.fit(**({"values": series()} | OPTIONS | change))


def test_refusals_of_predict(model):
    with pytest.raises(ValueError, match="values have 2 columns, but the model was fitted to 1"):
        forecast.predict(model, np.ones((40, 2)))
    with pytest.raises(ValueError, match=f"the series has 5 values, but the model looks at the last {model.window}"):
        forecast.predict(model, np.ones(5))
    with pytest.raises(ValueError, match="the series is -1 at row 39, expected positive"):
        forecast.predict(model, np.r_[np.ones(39), -1])
    with pytest.raises(ValueError, match="the series has 15 values, expected at least 17 to test 3 steps ahead"):
        forecast.backtest(series(15), season=SEASON, horizon=HORIZON)


def test_baselines_on_a_series_one_can_reckon():
    past = np.array([1.0, 2, 3, 1, 2, 9])
    assert forecast.BASELINES["naive"](past, 3, 4).tolist() == [9, 9, 9, 9]
    assert forecast.BASELINES["seasonal naive"](past, 3, 4).tolist() == [1, 2, 9, 1]
    np.testing.assert_allclose(forecast.BASELINES["drift"](past, 3, 2), [10.6, 12.2])
    line = np.arange(40.0) + np.tile([0.0, 5, 1, 2], 10)
    np.testing.assert_allclose(
        forecast.BASELINES["exponential smoothing"](line, 4, 6), np.arange(40, 46) + np.tile([0.0, 5, 1, 2], 2)[:6], atol=0.05
    )


def test_scores_are_their_definitions():
    truths, made = np.array([[1.0, np.nan], [4.0, 8.0]]), np.array([[2.0, 5.0], [4.0, 5.0]])
    found = forecast.scores(truths, made, [2.0, 4.0])
    assert found == pytest.approx({"MAE": 4 / 3, "RMSE": np.sqrt(10 / 3), "MASE": (1 / 2 + 0 + 3 / 4) / 3})
    assert _backtest.scale(np.array([1.0, 5, 2, np.nan, 7]), 2) == pytest.approx(np.mean([1, 5]))
