"""Pictures of forecasts: rendered, and read back from the axes."""

from itertools import pairwise

import numpy as np
import pytest

from jax_lstm import Trace, forecast, plot

pd = pytest.importorskip("pandas")
pytest.importorskip("matplotlib")

STEPS = 4


def table_of(count, rows=40, frequency="MS"):
    """So many series in a wide table."""
    at = pd.date_range("2020-01-01", periods=rows, freq=frequency)
    columns = {f"s{number}": 100 + 10 * number + np.arange(rows, dtype=float) for number in range(count)}
    return forecast.from_frame(pd.DataFrame({"month": at, **columns}), wide=True)


def made_of(table, steps=STEPS):
    """Forecasts whose intervals are wider from series to series."""
    centre = tuple(one[-1] + np.arange(1.0, steps + 1) for one in table.series)
    widths = [1.0 + number for number in range(len(centre))]
    lower, upper = (
        {
            level: tuple(one + sign * level * width for one, width in zip(centre, widths, strict=True))
            for level in (0.8, 0.95)
        }
        for sign in (-1, 1)
    )
    return forecast.Forecasts(table.names, centre, lower, upper, ("",) * len(centre))


def evaluated(table):
    count = len(table.names)
    by_series = {name: {"MASE": np.arange(1.0, count + 1) * factor} for name, factor in (("combined", 1), ("naive", 2))}
    scores = {name: {"MASE": float(one["MASE"].mean())} for name, one in by_series.items()}
    return forecast.Evaluation(table.names, ((30, 33),) * count, scores, by_series, {0.8: 0.7, 0.95: 0.9}, {}, "", ())


def render(axes):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = axes.figure.figure
    FigureCanvasAgg(figure).draw()
    return figure


def test_a_forecast_goes_on_from_the_last_known_value():
    axes = plot.forecast([1, 2, 3], [5.0, 6.0, np.nan], [4], {"forecast": [7.0]}, intervals={"80 %": ([6.0], [9.0])})
    _, ahead = axes.lines
    np.testing.assert_array_equal(ahead.get_xydata(), [[2, 6], [4, 7]])
    area = axes.collections[0].get_paths()[0].get_extents()
    assert (area.x0, area.x1, area.y0, area.y1) == (2, 4, 6, 9)
    render(axes)
    assert all(float(tick).is_integer() for tick in axes.get_xticks())


@pytest.mark.parametrize("frequency", ["h", "D", "W", "MS", "QS", "YS"])
def test_dates_do_not_touch_and_axes_have_names(frequency):
    table = table_of(1, rows=60, frequency=frequency)
    [axes] = plot.forecasts(table, made_of(table))
    figure = render(axes)
    boxes = [
        label.get_window_extent(figure.canvas.get_renderer()) for label in axes.get_xticklabels() if label.get_text()
    ]
    assert len(boxes) >= 2
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("month", "s0")


def test_of_many_series_the_narrowest_the_median_and_the_widest_are_drawn():
    table = table_of(5)
    panels = plot.forecasts(table, made_of(table))
    render(panels[0])
    titles = [panel.get_title(loc="left") for panel in panels]
    assert titles == [
        "s0: the narrowest intervals of 5 series",
        "s2: median intervals of 5 series",
        "s4: the widest intervals of 5 series",
    ]


def test_an_evaluation_draws_the_best_the_median_and_the_worst_beside_what_came():
    table = table_of(5)
    tested = evaluated(table)
    shown = [0, 2, 4]
    known = table.before_end(STEPS, shown)
    axes = plot.evaluation(table, tested, shown, made_of(known))
    render(axes[0])
    held = next(line for line in axes[0].lines if line.get_label() == "held")
    np.testing.assert_allclose(held.get_xydata(), [[80, 70], [95, 90]])
    assert [label.get_text() for label in axes[1].get_yticklabels()] == ["naive", "combined"]
    assert [panel.get_title(loc="left")[:6] for panel in axes[2:]] == ["best o", "median", "worst "]
    came = next(line for line in axes[2].lines if line.get_label() == "what came")
    np.testing.assert_array_equal(came.get_ydata()[1:], table.series[0][-STEPS:])


def test_an_explanation_sorts_cells_by_how_long_they_keep():
    table = table_of(1)
    rows = np.arange(10, 40)
    steps = np.linspace(-1, 1, 30)[:, None]
    forget = np.broadcast_to([0.99, 0.5], (30, 2))
    values = Trace(forget, forget, steps * [1, 1], steps * [1, -1], forget, steps * [1, 1])
    parts = {"lstm": np.ones(STEPS), "theta": np.zeros(STEPS)}
    axes = plot.explanation(table, 0, made_of(table), parts, rows, values)
    render(axes[0])
    assert [label.get_text() for label in axes[3].get_yticklabels()] == ["1.0", "69"]
    shades = axes[3].collections[0].get_array().reshape(2, 30)
    assert shades[0, 0] > 0 > shades[1, 0]  # the one that forgets sooner, whose state falls, stands first
    assert [line.get_label() for line in axes[1].lines] == ["forecast", "lstm alone", "theta alone"]
    np.testing.assert_allclose(axes[2].lines[0].get_ydata(), np.abs(steps[:, 0]) * 0.745)
