"""Fitting to a panel, files, and evaluation at rolling origins."""

import jax
import numpy as np
import pytest

from jax_lstm import forecast
from jax_lstm.forecast import _fit, _predict

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
    assert model.season == (1,)
    series = [saw(70, seed) for seed in range(100, 108)]
    panel = forecast.panel([one[:-6] for one in series], season=1)
    actuals = np.stack([one[-6:] for one in series])
    with_model, without = (np.stack(forecast.predict(panel, 6, model=one).centre) for one in (model, None))
    assert np.abs(with_model - actuals).mean() < 0.9 * np.abs(without - actuals).mean()


@pytest.mark.exhaustive
def test_the_same_key_gives_the_same_model_and_a_file_gives_it_back(panel, model, tmp_path):
    again = fit_briefly(panel)
    jax.tree.map(np.testing.assert_array_equal, again.tuned[1].network, model.tuned[1].network)
    path = tmp_path / "model.safetensors"
    forecast.save(path, model._replace(about={"column": "y"}))
    loaded = forecast.load(path)
    assert loaded.about == {"column": "y"}
    assert (loaded.horizon, loaded.report, loaded.season) == (model.horizon, model.report, model.season)
    for one, other in zip(
        forecast.predict(panel, 6, model=model).centre, forecast.predict(panel, 6, model=loaded).centre, strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_files_that_hold_no_forecaster_are_refused(tmp_path):
    for name, data in (("empty", b""), ("text", b"x" * 100), ("short", (100).to_bytes(8, "little") + b"{}")):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(ValueError, match=f"{name} holds no forecaster, or is damaged: make one with jax-lstm fit"):
            forecast.load(path)


def test_the_network_that_is_judged_learns_nothing_that_is_held_back(panel):
    def lesson(given):
        group = _predict.gather(given.series, 1, 6)
        return _fit._lesson(_fit.Task(group, None, held=12), np.arange(8))

    changed = panel._replace(series=tuple(np.r_[one[:-12], one[-12:] * 1.5] for one in panel.series))
    before, after = lesson(panel), lesson(changed)
    learnt = ~np.isnan(before.early.y)
    assert 0 < learnt.sum() < (~np.isnan(before.final.y)).sum()
    rows = learnt.any(axis=2)
    np.testing.assert_allclose(before.early.y[learnt], after.early.y[learnt], atol=1e-3)
    np.testing.assert_allclose(before.early.x[rows], after.early.x[rows], atol=1e-3)


@pytest.mark.exhaustive
@pytest.mark.exhaustive
def test_all_windows_say_how_much_is_the_networks_and_those_held_back_which_one(panel, monkeypatch):
    said, plain = [], _fit.calibrate

    def spy(backtest, prior):
        found = plain(backtest, prior)
        said.append((backtest.origins, prior, found[0]))
        return found

    monkeypatch.setattr(_fit, "calibrate", spy)
    assert "trained further" in fit_briefly(panel).report
    (origins, _, whole), (held_back, prior, _) = said
    assert len(origins) > len(held_back) > 1
    assert held_back == tuple(back for back in origins if back <= 12)
    share = dict(zip(whole.methods, whole.shares, strict=True))
    assert prior["lstm"] + prior["tuned"] == pytest.approx(share["lstm"])
    assert prior["theta"] == pytest.approx(share["theta"])
    assert share["lstm"] != _predict.PRIOR["short"]["lstm"]


def test_inputs_are_used():
    rng = np.random.default_rng(0)
    series, future = [], []
    for _ in range(6):
        given = rng.normal(0, 1, (90, 1))
        future.append(given)
        series.append(50 + 8 * given[:84, 0] + rng.normal(0, 0.3, 84))
    panel = forecast.panel([one[:80] for one in series], season=1, future=future, past=[one[:80] for one in future])
    model = forecast.fit(panel, 4, key=KEY, effort="thorough", progress=False)
    actuals = np.stack([one[80:84] for one in series])
    with_inputs = np.stack(forecast.predict(panel, 4, model=model).centre)
    without = np.stack(forecast.predict(panel._replace(past=None, future=None), 4).centre)
    assert np.abs(with_inputs - actuals).mean() < 0.7 * np.abs(without - actuals).mean()
    with pytest.raises(ValueError, match="the panel has 0 past inputs, but the model was fitted with 1"):
        forecast.predict(panel._replace(past=None), 4, model=model)


def test_a_series_too_short_to_train_on_gets_the_package_s_weights():
    model = forecast.fit(forecast.panel([np.arange(5.0)], season=4), 3, **OPTIONS)
    assert model.report == "too short to train on: the package's weights as they are"


def test_one_horizon_held_back_is_too_little_to_train_by():
    said = [forecast.fit(forecast.panel([saw(count, 1)], season=1), 6, **OPTIONS).report for count in (25, 26)]
    assert said[0] == "too short to train on: the package's weights as they are"
    assert "too short" not in said[1]


def test_refusals_of_fit(panel):
    with pytest.raises(ValueError, match="effort is 'huge', expected one of quick, normal, thorough"):
        forecast.fit(panel, 6, key=KEY, effort="huge")


def test_an_evaluation_is_what_it_says():
    rng = np.random.default_rng(0)
    series = [10 + np.cumsum(rng.normal(0, 1, rows)) for rows in (40, 9, 60)]
    series[2][50] = np.nan
    found = forecast.evaluate(forecast.panel([*series, [1.0, 2.0]], season=1), 6, origins=3)
    assert found.origins[0] == (30, 32, 34)
    assert found.origins[1] == (3,)
    assert found.origins[3] == ()
    assert "1 series are too short to test 6 steps ahead" in found.warnings[0]
    for place in (0, 2):
        errors, units = [], []
        for origin in found.origins[place]:
            known = series[place][:origin]
            errors.append(np.abs(series[place][origin : origin + 6] - known[~np.isnan(known)][-1]))
            units.append(np.nanmean(np.abs(np.diff(known))))
        assert found.by_series["naive"]["MAE"][place] == pytest.approx(np.nanmean(errors))
        assert found.by_series["naive"]["MASE"][place] == pytest.approx(
            np.nanmean(np.array(errors) / np.array(units)[:, None])
        )
    assert np.isnan(found.by_series["naive"]["MAE"][3])
    assert found.scores["naive"]["MAE"] == pytest.approx(np.nanmean(found.by_series["naive"]["MAE"]))
    assert found.verdict.startswith(("no different", "better", "worse"))
    assert set(found.coverage) == {0.8, 0.95}


def test_an_origin_within_the_first_season_compares_with_the_right_values():
    series = np.r_[5.0, 7, 9, 11, 13, 15, 17, 19]
    found = forecast.evaluate(forecast.panel(series, season=12), 3, origins=1)
    assert found.origins == ((5,),)
    # no season is known yet: the seasonal naive forecast is the last value
    assert found.by_series["seasonal naive"]["MAE"][0] == pytest.approx(np.mean([2, 4, 6]))


def test_noise_is_no_different_from_a_simple_method_and_zeros_are_not_compared():
    rng = np.random.default_rng(1)
    noise = forecast.evaluate(forecast.panel([100 + rng.normal(0, 1, 50) for _ in range(4)], season=1), 4, origins=6)
    assert noise.verdict.startswith("no different")
    exact = forecast.evaluate(forecast.panel(np.full(40, 3.0), season=4), 4, origins=4)
    assert "are both exact: there is nothing to compare" in exact.verdict
    assert np.isnan(exact.scores["combined"]["MASE"])


def test_intervals_far_off_are_warned_of():
    rng = np.random.default_rng(0)
    calm = rng.normal(0, 0.01, (60, 30)).cumsum(axis=0) + 100
    calm[40:] += rng.normal(0, 30, (20, 30))
    found = forecast.evaluate(forecast.panel(calm, season=1), 5, origins=1, step=1, levels=[0.8])
    early = forecast.panel(calm[:45], season=1)
    found = forecast.evaluate(early, 5, origins=1, levels=[0.8])
    assert any("the 80% interval held" in said and "too narrow" in said for said in found.warnings)


def test_refusals_of_evaluate():
    panel = forecast.panel(np.arange(8.0), season=1)
    with pytest.raises(ValueError, match="the longest series has 8 values, expected at least 10 to test 7 steps ahead"):
        forecast.evaluate(panel, 7)
    with pytest.raises(ValueError, match="origins is 0"):
        forecast.evaluate(panel, 2, origins=0)
