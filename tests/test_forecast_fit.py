"""Fitting to a panel, files, and evaluation at rolling cutoffs."""

import jax
import numpy as np
import pytest

from jax_lstm import forecast
from jax_lstm.forecast import _calibrate, _fit

KEY = jax.random.key(0)
OPTIONS = {"key": KEY, "effort": "quick", "progress": False}


def saw(rows, seed):
    """What no smoothing continues well: a line that turns every nine steps, with a little noise."""
    rng = np.random.default_rng(seed)
    at = np.arange(rows) + rng.integers(0, 18)
    return 50 + 5 * np.abs(at % 18 - 9) + rng.normal(0, 0.3, rows)


@pytest.fixture(scope="module")
def panel():
    return forecast.panel([saw(70 + place, place) for place in range(8)], season=1)


@pytest.fixture(scope="module")
def model(panel):
    return fit_briefly(panel)


def fit_briefly(panel):
    """A fit to no more than the end of every series."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_fit, "MOST_CROPS", 1)
        return forecast.fit(panel, 6, **OPTIONS)


@pytest.mark.exhaustive
def test_a_fitted_model_forecasts_series_that_it_never_saw_better(model):
    assert "trained further" in model.report
    series = [saw(70, seed) for seed in range(100, 108)]
    panel = forecast.panel([one[:-6] for one in series], season=1)
    actuals = np.stack([one[-6:] for one in series])
    with_model, without = (np.stack(forecast.predict(panel, 6, model=one).forecast) for one in (model, None))
    assert np.abs(with_model - actuals).mean() < 0.9 * np.abs(without - actuals).mean()


@pytest.mark.exhaustive
def test_the_same_key_gives_the_same_model_and_a_file_gives_it_back(panel, model, tmp_path):
    again = fit_briefly(panel)
    jax.tree.map(np.testing.assert_array_equal, again.networks, model.networks)
    path = tmp_path / "model.safetensors"
    forecast.save(path, model._replace(about={"column": "y"}))
    loaded = forecast.load(path)
    assert loaded.about == {"column": "y"}
    assert (loaded.horizon, loaded.report) == (model.horizon, model.report)
    for one, other in zip(
        forecast.predict(panel, 6, model=model).forecast, forecast.predict(panel, 6, model=loaded).forecast, strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_files_that_hold_no_model_are_refused(tmp_path):
    for name, data in (("empty", b""), ("text", b"x" * 100), ("short", (100).to_bytes(8, "little") + b"{}")):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(ValueError, match=name):
            forecast.load(path)


def test_a_damaged_model_is_refused_by_name(tmp_path):
    from jax_lstm.checkpoint import Content, load_arrays, save_arrays

    path, kind = tmp_path / "model.safetensors", {"kind": "jax_lstm.forecast", "version": 2}
    forecast.save(path, forecast.calibrate([saw(60, 1)], 4, season=1))
    data = bytearray(path.read_bytes())
    data[-500:-400] = bytes(100)
    (tmp_path / "flipped").write_bytes(data)
    facts, arrays = load_arrays(path, **kind)
    less = {name: array for name, array in arrays.items() if name != "widths.w_in"}
    bent = arrays | {"combiner.w_in": arrays["combiner.w_in"][:, :-1]}
    save_arrays(tmp_path / "less", Content(facts, less), **kind)
    save_arrays(tmp_path / "bent", Content(facts, bent), **kind)
    save_arrays(tmp_path / "other", Content(facts | {"levels": [0.5]}, arrays), **kind)
    save_arrays(tmp_path / "newer", Content(facts, arrays), kind=kind["kind"], version=99)
    for name, said in (
        ("flipped", "flipped"),
        ("less", "has no array 'widths.w_in'"),
        ("bent", "shapes do not fit each other"),
        ("other", "a model of another design"),
        ("newer", "version"),
    ):
        with pytest.raises(ValueError, match=said):
            forecast.load(tmp_path / name)


def test_training_sees_nothing_that_is_held_back(panel):
    changed = panel._replace(series=tuple(np.r_[one[:-12], one[-12:] * 1.5] for one in panel.series))
    before, after = (_fit._lesson(_fit._cut_back(one, 12), "short") for one in (panel, changed))
    jax.tree.map(np.testing.assert_array_equal, before, after)


def test_what_a_network_is_judged_by_lies_in_the_window_that_chooses(panel):
    judged = _fit._judged(_fit._cut_back(panel, 6), "short", 6)
    known = ~np.isnan(judged.y[:, :8])
    rows, _, steps = np.nonzero(known)
    assert (rows + steps + 1).min() == len(judged.y) - 6
    assert (rows + steps + 1).max() == len(judged.y) - 1


def test_calibration_makes_intervals_hold_what_they_say():
    rng = np.random.default_rng(0)
    walks = [100 + np.cumsum(rng.standard_t(2.2, 60)) for _ in range(120)]
    model = forecast.calibrate([one[:-5] for one in walks], 5, season=1)
    made = forecast.predict([one[:-5] for one in walks], 5, season=1, model=model)
    actual = np.stack([one[-5:] for one in walks])
    for level in (0.8, 0.95):
        held = np.mean((actual >= np.stack(made.lower[level])) & (actual <= np.stack(made.upper[level])))
        assert held == pytest.approx(level, abs=0.06)


def test_the_windows_of_a_calibration_do_not_overlap():
    panel = forecast.panel([saw(60, 1), saw(13, 2)], season=1)
    found = _calibrate.relative_errors(panel, 5, forecast.calibrate(panel, 5))
    assert len(found) == 4 + 1  # of the short series one window has enough before it


def test_no_series_is_long_enough_to_calibrate():
    with pytest.raises(ValueError, match="the longest series has 9 values, expected at least 14 to calibrate 6 steps"):
        forecast.calibrate([np.arange(9.0)], 6, season=1)


@pytest.mark.exhaustive
def test_random_walks_are_trained_on_no_more_often_than_by_chance():
    accepted = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        walks = [100 + np.cumsum(rng.normal(0, 1, 60)) for _ in range(20)]
        accepted += "trained further" in forecast.fit(walks, 6, season=1, **OPTIONS).report
    assert accepted <= 2


def test_a_series_too_short_to_train_on_gets_the_package_s_weights():
    model = forecast.fit(forecast.panel([np.arange(5.0)], season=4), 3, **OPTIONS)
    assert model.report.startswith("too short to train on: the networks stay as they are")


def test_refusals_of_fit(panel):
    with pytest.raises(ValueError, match="effort is 'huge', expected one of quick, normal, thorough"):
        forecast.fit(panel, 6, key=KEY, effort="huge")


def test_an_evaluation_is_what_it_says():
    rng = np.random.default_rng(0)
    series = [10 + np.cumsum(rng.normal(0, 1, rows)) for rows in (40, 9, 60)]
    series[2][50] = np.nan
    found = forecast.evaluate(forecast.panel([*series, [1.0, 2.0]], season=1), 6, cutoffs=3)
    assert found.cutoffs[0] == (30, 32, 34)
    assert found.cutoffs[1] == (3,)
    assert found.cutoffs[3] == ()
    assert "1 series are too short to test 6 steps ahead" in found.warnings[0]
    for place in (0, 2):
        errors, units = [], []
        for cutoff in found.cutoffs[place]:
            known = series[place][:cutoff]
            errors.append(np.abs(series[place][cutoff : cutoff + 6] - known[~np.isnan(known)][-1]))
            units.append(np.nanmean(np.abs(np.diff(known))))
        assert found.by_series["naive"]["MAE"][place] == pytest.approx(np.nanmean(errors))
        assert found.by_series["naive"]["MASE"][place] == pytest.approx(
            np.nanmean(np.array(errors) / np.array(units)[:, None])
        )
    assert np.isnan(found.by_series["naive"]["MAE"][3])
    assert found.scores["naive"]["MAE"] == pytest.approx(np.nanmean(found.by_series["naive"]["MAE"]))
    assert found.verdict.startswith(("no clear winner", "better", "worse"))
    assert set(found.coverage) == {0.8, 0.95}


def test_a_cutoff_within_the_first_season_compares_with_the_right_values():
    series = np.r_[5.0, 7, 9, 11, 13, 15, 17, 19]
    found = forecast.evaluate(forecast.panel(series, season=12), 3, cutoffs=1)
    assert found.cutoffs == ((5,),)
    # no season is known yet: the seasonal naive forecast is the last value
    assert found.by_series["seasonal naive"]["MAE"][0] == pytest.approx(np.mean([2, 4, 6]))


def test_noise_is_no_different_from_a_simple_method_and_zeros_are_not_compared():
    rng = np.random.default_rng(1)
    noise = forecast.evaluate(forecast.panel([100 + rng.normal(0, 1, 50) for _ in range(4)], season=1), 4, cutoffs=6)
    assert noise.verdict.startswith("no clear winner")
    exact = forecast.evaluate(forecast.panel(np.full(40, 3.0), season=4), 4, cutoffs=4)
    assert "are both exact: there is nothing to compare" in exact.verdict
    assert np.isnan(exact.scores["combined"]["MASE"])


def test_intervals_far_off_are_warned_of():
    rng = np.random.default_rng(0)
    calm = rng.normal(0, 0.01, (60, 30)).cumsum(axis=0) + 100
    calm[40:] += rng.normal(0, 30, (20, 30))
    found = forecast.evaluate(forecast.panel(calm, season=1), 5, cutoffs=1, step=1, levels=[0.8])
    early = forecast.panel(calm[:45], season=1)
    found = forecast.evaluate(early, 5, cutoffs=1, levels=[0.8])
    assert any("the 80% interval held" in said and "too narrow" in said for said in found.warnings)


def test_refusals_of_evaluate():
    panel = forecast.panel(np.arange(8.0), season=1)
    with pytest.raises(ValueError, match="the longest series has 8 values, expected at least 10 to test 7 steps ahead"):
        forecast.evaluate(panel, 7)
    with pytest.raises(ValueError, match="cutoffs is 0"):
        forecast.evaluate(panel, 2, cutoffs=0)
