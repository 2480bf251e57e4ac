"""Pictures of forecasts: rendered, and read back from the axes."""

from itertools import pairwise

import numpy as np
import pytest

from jax_lstm import Trace, forecast, plot

pd = pytest.importorskip("pandas")
pytest.importorskip("matplotlib")

STEPS = 4


def table_of(count, rows=40, frequency="MS"):
    """This many series in a wide table."""
    at = pd.date_range("2020-01-01", periods=rows, freq=frequency)
    columns = {f"s{number}": 100 + 10 * number + np.arange(rows, dtype=float) for number in range(count)}
    return forecast.read_table(pd.DataFrame({"month": at, **columns}), wide=True)


def made_of(table, steps=STEPS):
    """Forecasts whose intervals are wider from series to series."""
    center = tuple(one[-1] + np.arange(1.0, steps + 1) for one in table.series)
    widths = [1.0 + number for number in range(len(center))]
    lower, upper = (
        {
            level: tuple(one + sign * level * width for one, width in zip(center, widths, strict=True))
            for level in (0.8, 0.95)
        }
        for sign in (-1, 1)
    )
    return forecast.Forecasts(table.names, center, lower, upper, ("",) * len(center))


def evaluated(table):
    count = len(table.names)
    by_series = {name: {"MASE": np.arange(1.0, count + 1) * factor} for name, factor in (("combined", 1), ("naive", 2))}
    scores = {name: {"MASE": float(one["MASE"].mean())} for name, one in by_series.items()}
    cutoffs, coverage = ((30, 33),) * count, {0.8: 0.7, 0.95: 0.9}
    return forecast.Evaluation(table.names, cutoffs, {}, scores, by_series, coverage, {}, {}, "", ())


def render(figure):
    """Draw it, and check that no legend covers axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).draw()
    for axes in figure.axes:
        if axes.get_legend() is not None:
            legend = axes.get_legend().get_window_extent()
            assert not any(legend.overlaps(other.get_window_extent()) for other in figure.axes)
            assert legend.x1 <= figure.bbox.x1
    return figure


def test_a_forecast_goes_on_from_the_last_known_value():
    bands = {"80 %": ([6.0], [7.5])}
    figure = plot.forecast([1, 2, 3], [5.0, 6.0, np.nan], [4], {"forecast": [7.0]}, intervals=bands)
    (axes,) = figure.axes
    _, ahead, mark = axes.lines
    assert mark.get_xdata() == [2, 2]  # where the forecast begins
    np.testing.assert_array_equal(ahead.get_xydata(), [[2, 6], [4, 7]])
    area = axes.collections[0].get_paths()[0].get_extents()
    assert (area.x0, area.x1, area.y0, area.y1) == (2, 4, 6, 7.5)
    render(figure)
    assert all(float(tick).is_integer() for tick in axes.get_xticks())


@pytest.mark.parametrize("frequency", ["h", "D", "W", "MS", "QS", "YS"])
def test_dates_do_not_touch_and_axes_have_names(frequency):
    table = table_of(1, rows=60, frequency=frequency)
    figure = render(plot.forecasts(made_of(table), table))
    (axes,) = figure.axes
    boxes = [
        label.get_window_extent(figure.canvas.get_renderer()) for label in axes.get_xticklabels() if label.get_text()
    ]
    assert len(boxes) >= 2
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("month", "s0")


def test_of_many_series_the_narrowest_the_median_and_the_widest_are_drawn():
    table = table_of(5)
    figure = render(plot.forecasts(made_of(table), table))
    titles = [panel.get_title(loc="left") for panel in figure.axes]
    assert titles == [
        "s0: the narrowest intervals of 5 series",
        "s2: median intervals of 5 series",
        "s4: the widest intervals of 5 series",
    ]


def test_an_evaluation_draws_the_best_the_median_and_the_worst_against_the_actual_values():
    table = table_of(5)
    tested = evaluated(table)
    shown = [0, 2, 4]
    known = table.before_end(STEPS, shown)
    axes = render(plot.evaluation(tested, table, shown, made_of(known))).axes
    covered = next(line for line in axes[0].lines if line.get_label() == "covered")
    np.testing.assert_allclose(covered.get_xydata(), [[80, 70], [95, 90]])
    assert [label.get_text() for label in axes[1].get_yticklabels()] == ["naive", "combined"]
    assert [panel.get_title(loc="left")[:6] for panel in axes[2:]] == ["best o", "median", "worst "]
    actual = next(line for line in axes[2].lines if line.get_label() == "actual")
    np.testing.assert_array_equal(actual.get_ydata()[1:], table.series[0][-STEPS:])


def test_an_explanation_sorts_cells_by_how_long_they_keep():
    table = table_of(1)
    rows = np.arange(10, 40)
    steps = np.linspace(-1, 1, 30)[:, None]
    forget = np.broadcast_to([0.99, 0.5], (30, 2))
    values = Trace(forget, forget, steps * [1, 1], steps * [1, -1], forget, steps * [1, 1])
    parts = {"lstm": np.ones(STEPS), "theta": np.zeros(STEPS)}
    axes = render(plot.explanation(made_of(table), table, 0, parts, rows, values)).axes
    assert [label.get_text() for label in axes[3].get_yticklabels()] == ["1.0", "> 30"]
    shades = axes[3].collections[0].get_array().reshape(2, 30)
    assert shades[0, 0] > 0 > shades[1, 0]  # the one that forgets sooner, whose state falls, is first
    assert [line.get_label() for line in axes[1].lines] == ["forecast", "lstm", "theta"]
    np.testing.assert_allclose(axes[2].lines[0].get_ydata(), np.abs(steps[:, 0]) * 0.745)


def test_one_wide_interval_does_not_squeeze_the_lines():
    series, ahead = np.sin(np.arange(30.0)), np.zeros(3)
    bands = {"80 %": (ahead - 0.5, ahead + 0.5), "95 %": (ahead - 1000, ahead + 3)}
    (axes,) = render(plot.forecast(np.arange(30), series, [30, 31, 32], {"f": ahead}, intervals=bands)).axes
    low, high = axes.get_ylim()
    assert high - low < 2.5 * np.ptp(series)
    assert low < series.min()
    assert high > series.max()
    assert axes.get_legend_handles_labels()[1][:2] == ["95 % (cut)", "80 %"]


def test_intervals_of_a_constant_series_are_drawn_whole():
    figure = plot.forecast([1, 2], [5.0, 5.0], [3], {"f": [5.0]}, intervals={"80 %": ([3.0], [9.0])})
    low, high = figure.axes[0].get_ylim()
    assert low < 3
    assert high > 9


@pytest.mark.parametrize("swapped", [plot.forecasts, lambda *both: plot.one_of(*both, 0)])
def test_forecasts_come_before_their_table(swapped):
    table = table_of(2)
    with pytest.raises(TypeError, match=r"made is a Table, expected the Forecasts that jax_lstm.forecast.predict ret"):
        swapped(table, made_of(table))


def test_forecasts_of_another_table_are_refused():
    with pytest.raises(ValueError, match="made has 3 series and table has 2, or their names differ"):
        plot.forecasts(made_of(table_of(3)), table_of(2))
    with pytest.raises(IndexError, match="number is 2, expected the index of one of the 2 series"):
        plot.one_of(made_of(table_of(2)), table_of(2), 2)


def test_an_explanation_draws_the_methods_that_count_with_their_weights():
    table, rows = table_of(1), np.arange(10, 40)
    values = Trace(*(np.full((30, 2), 0.5),) * 6)
    parts = {"lstm": np.ones(STEPS), "theta": np.zeros(STEPS), "naive": np.ones(STEPS)}
    weights = {"theta": 0.7, "lstm": 0.296, "naive": 0.004}
    figure = plot.explanation(made_of(table), table, 0, parts, rows, values, weights=weights)
    labels = [line.get_label() for line in figure.axes[1].lines]
    assert labels == ["forecast", "theta, weight 70%", "lstm, weight 30%"]


@pytest.mark.parametrize("name", ["US$ in $", r"a $\frac$ b", "\x1b[2J\x00", "x" * 200_000])
def test_any_name_can_be_drawn(name, tmp_path):
    at = pd.date_range("2020-01-01", periods=40, freq="MS")
    table = forecast.read_table(pd.DataFrame({"month": at, name: np.arange(40.0), "other": np.arange(40.0)}), wide=True)
    figure = plot.forecasts(made_of(table), table)
    figure.savefig(tmp_path / "picture.png")
    assert all(len(axes.get_title(loc="left")) < 100 for axes in figure.axes)
