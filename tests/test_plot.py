"""Pictures: rendered, and read back from the axes."""

import builtins
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_lstm import Trace, init, plot, trace
from jax_lstm._types import GATES

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def values():
    return {hidden: trace(init(jax.random.key(0), 1, hidden), jnp.ones((5, 1)))[1] for hidden in (2, 9)}


def pixels(figure):
    """The picture as gray levels, after rendering it."""
    file = io.BytesIO()
    figure.savefig(file, format="rgba", dpi=50)
    return np.frombuffer(file.getvalue(), np.uint8).reshape(-1, 4)[:, :3].mean(axis=1)


def test_gates_of_few_units_are_lines_told_apart_by_their_style(values):
    figure = plot.gates(values[2], series=np.arange(5), times=np.arange(1950, 1955))
    axes = figure.axes
    assert [panel.get_ylabel() for panel in axes] == ["series", *(name.replace("_", " ") for name in Trace._fields)]
    for panel, value in zip(axes[1:], values[2], strict=True):
        np.testing.assert_array_equal(np.stack([line.get_ydata() for line in panel.lines], axis=1), value)
        np.testing.assert_array_equal(panel.lines[0].get_xdata(), np.arange(1950, 1955))
        assert len({line.get_linestyle() for line in panel.lines}) == 2
    assert pixels(figure).std() > 0


def test_gates_of_many_units_are_shades(values):
    figure = plot.gates(values[9])
    for panel, value in zip(figure.axes[:6], values[9], strict=True):
        np.testing.assert_array_equal(panel.collections[0].get_array(), np.asarray(value).T)
    assert pixels(figure).std() > 0


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": False},
        {"coupled": True},
        {"diagonal": True},
        pytest.param({"heads": 2}, marks=pytest.mark.exhaustive),
    ],
    ids=str,
)
def test_weights_stand_in_the_column_of_their_gate(options):
    params = init(jax.random.key(0), 3, 4, **options)
    figure = plot.weights(params)
    gates = 3 if "coupled" in options else 4
    *panels, bar = figure.axes
    assert bar.get_ylabel() == "weight"
    axes = np.reshape(panels, (2 if "bias" in options else 3, gates))
    assert [panel.get_title() for panel in axes[0]] == [gate for gate in GATES if gates == 4 or gate != "forget"]
    drawn = np.concatenate([panel.images[0].get_array() for panel in axes[0]], axis=1)
    np.testing.assert_array_equal(drawn, params.w_x)
    assert len({panel.images[0].get_clim() for panel in axes.flat}) == 1
    assert pixels(figure).std() > 0


def test_weights_can_be_drawn_side_by_side():
    figure = plot.weights(init(jax.random.key(0), 3, 4))
    left, right = figure.__class__(figsize=(8, 3), layout="constrained").subfigures(1, 2)
    for part in (left, right):
        assert plot.weights(init(jax.random.key(0), 3, 4), figure=part) is part


def test_losses_are_the_median_of_the_runs():
    runs = np.array([[1.0, 0.5, 0.1], [2.0, 0.7, 0.2], [9.0, 0.6, 0.3]])
    figure = plot.losses({"training": runs, "validation": [1.0, np.nan, 0.3]})
    first, second = figure.axes[0].lines
    np.testing.assert_allclose(first.get_ydata(), [2.0, 0.6, 0.2])
    np.testing.assert_array_equal(second.get_xdata(), [1, 3])
    assert first.get_linestyle() != second.get_linestyle()
    assert pixels(figure).std() > 0


def test_forecast_draws_the_widest_interval_first_and_lightest():
    low, high = np.zeros(2), np.ones(2)
    bands = {"80 %": (low, high), "95 %": (low - 1, high + 1)}
    times = np.array(["1960-01", "1960-02", "1960-03", "1960-04"], "datetime64[M]")
    figure = plot.forecast(times[:2], [1.0, 2.0], times[2:], {"forecast": low, "actual": high}, intervals=bands)
    (axes,) = figure.axes
    wide, narrow = axes.collections
    assert (wide.get_label(), narrow.get_label()) == ("95 %", "80 %")
    assert wide.get_facecolor()[0, 3] < narrow.get_facecolor()[0, 3]
    assert len({line.get_linestyle() for line in axes.lines if line.get_label()[0] != "_"}) == 3
    assert pixels(figure).std() > 0


def test_no_global_state_is_touched(values):
    before = dict(matplotlib.rcParams)
    plot.gates(values[2])
    plot.losses({"training": [1.0, 0.5]})
    assert dict(matplotlib.rcParams) == before


def test_a_missing_matplotlib_names_the_extra(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **named):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install matplotlib, or in a clone pip install '\.\[plot\]'"):
        plot.losses({"training": [1.0]})


def test_a_notebook_shows_what_a_function_returns(values):
    for figure in (plot.gates(values[2]), plot.losses({"training": [1.0, 0.5]}), plot.calibration({0.8: 0.7})):
        assert figure._repr_png_().startswith(b"\x89PNG")


PARAMS = init(jax.random.key(0), 1, 2)
BATCH = Trace(*(np.ones((5, 3, 2)),) * 6)
ONE = Trace(*(np.ones((5, 2)),) * 6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot.gates(PARAMS), r"values is a LSTMParams, expected the Trace that jax_lstm.trace\(params, xs\)"),
        (lambda: plot.gates(np.ones((5, 2))), r"values is an array of shape \(5, 2\), expected the Trace"),
        (lambda: plot.gates(BATCH), r"values have shape \(5, 3, 2\), expected \(time, hidden\)"),
        (lambda: plot.gates(ONE, np.ones(4)), "series has 4 steps, but values has 5"),
        (lambda: plot.gates(ONE, "abc"), "series is 'abc', a str, expected numbers"),
        (lambda: plot.gates(ONE, times=[1, 2]), "times has 2 steps, but values has 5"),
        (lambda: plot.gates(ONE, figure=3), "figure is a int, expected a matplotlib Figure or SubFigure"),
        (lambda: plot.weights(ONE), "params is a Trace, expected LSTMParams"),
        (lambda: plot.losses([1.0, 0.5]), "curves is a list, expected a dictionary of losses by name"),
        (lambda: plot.losses({}), "curves is empty"),
        (lambda: plot.losses({"a": np.ones((2, 2, 2))}), r"curves\['a'\] has shape \(2, 2, 2\), expected \(steps,\)"),
        (lambda: plot.losses({"a": []}), r"curves\['a'\] has shape \(0,\), expected .* at least one value"),
        (lambda: plot.losses({"a": [1.0]}, axes="left"), "axes is a str, expected one matplotlib Axes"),
        (lambda: plot.calibration([0.8]), "coverage is a list, expected a dictionary of shares by name"),
        (lambda: plot.calibration({80: 76}), "coverage has 76 at level 80, expected both between 0 and 1"),
        (lambda: plot.scores({}), "tested is a dict, expected the Evaluation that jax_lstm.forecast.evaluate returns"),
        (lambda: plot.forecast([1], [1.0, 2.0], [3], {"a": [1.0]}), "times has 1 steps, but series has 2"),
        (lambda: plot.forecast([1], [1.0], [2], [1.0]), r"forecasts is a list, expected a dictionary"),
        (lambda: plot.forecast([1], [1.0], [2], {"a": np.ones(3)}), "a has 3 steps, but future_times has 1"),
        (
            lambda: plot.forecast([1], [1.0], [2], {"a": [1.0]}, intervals={"80 %": [1.0]}),
            r"intervals\['80 %'\] has 1 entries, expected the pair \(low, high\)",
        ),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_a_dark_style_of_matplotlib_is_followed(values):
    with matplotlib.rc_context({"text.color": "white"}):
        figure = plot.gates(values[2])
    assert {line.get_color() for line in figure.axes[0].lines} == {"white"}
