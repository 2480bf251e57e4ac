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


def pixels(axes):
    """The picture as grey levels, after rendering it."""
    file = io.BytesIO()
    axes.figure.savefig(file, format="rgba", dpi=50)
    return np.frombuffer(file.getvalue(), np.uint8).reshape(-1, 4)[:, :3].mean(axis=1)


def test_gates_of_few_units_are_lines_told_apart_by_their_style(values):
    axes = plot.gates(values[2], series=np.arange(5), times=np.arange(1950, 1955))
    assert [panel.get_ylabel() for panel in axes] == ["series", *(name.replace("_", " ") for name in Trace._fields)]
    for panel, value in zip(axes[1:], values[2], strict=True):
        np.testing.assert_array_equal(np.stack([line.get_ydata() for line in panel.lines], axis=1), value)
        np.testing.assert_array_equal(panel.lines[0].get_xdata(), np.arange(1950, 1955))
        assert len({line.get_linestyle() for line in panel.lines}) == 2
    assert pixels(axes[0]).std() > 0


def test_gates_of_many_units_are_shades(values):
    axes = plot.gates(values[9])
    for panel, value in zip(axes, values[9], strict=True):
        np.testing.assert_array_equal(panel.collections[0].get_array(), np.asarray(value).T)
    assert pixels(axes[0]).std() > 0


def test_gates_refuses_a_batch_and_a_series_of_another_length(values):
    with pytest.raises(ValueError, match=r"values have shape \(5, 1, 2\), expected \(time, hidden\)"):
        plot.gates(Trace(*(value[:, None] for value in values[2])))
    with pytest.raises(ValueError, match="series has 4 steps, but values have 5"):
        plot.gates(values[2], series=np.ones(4))


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
    axes = plot.weights(params)
    gates = 3 if "coupled" in options else 4
    assert axes.shape == (2 if "bias" in options else 3, gates)
    assert [panel.get_title() for panel in axes[0]] == [gate for gate in GATES if gates == 4 or gate != "forget"]
    drawn = np.concatenate([panel.images[0].get_array() for panel in axes[0]], axis=1)
    np.testing.assert_array_equal(drawn, params.w_x)
    assert len({panel.images[0].get_clim() for panel in axes.flat}) == 1
    assert pixels(axes[0, 0]).std() > 0


def test_weights_can_be_drawn_side_by_side():
    figure = plot.weights(init(jax.random.key(0), 3, 4))[0, 0].figure
    left, right = figure.__class__(figsize=(8, 3), layout="constrained").subfigures(1, 2)
    for part in (left, right):
        assert plot.weights(init(jax.random.key(0), 3, 4), figure=part)[0, 0].figure is part


def test_losses_are_the_median_of_the_runs():
    runs = np.array([[1.0, 0.5, 0.1], [2.0, 0.7, 0.2], [9.0, 0.6, 0.3]])
    axes = plot.losses({"training": runs, "validation": [1.0, np.nan, 0.3]})
    first, second = axes.lines
    np.testing.assert_allclose(first.get_ydata(), [2.0, 0.6, 0.2])
    np.testing.assert_array_equal(second.get_xdata(), [1, 3])
    assert first.get_linestyle() != second.get_linestyle()
    assert pixels(axes).std() > 0
    with pytest.raises(ValueError, match="curves is empty"):
        plot.losses({})


def test_forecast_draws_the_widest_interval_first_and_lightest():
    low, high = np.zeros(2), np.ones(2)
    bands = {"80 %": (low, high), "95 %": (low - 1, high + 1)}
    times = np.array(["1960-01", "1960-02", "1960-03", "1960-04"], "datetime64[M]")
    axes = plot.forecast(times[:2], [1.0, 2.0], times[2:], {"forecast": low, "truth": high}, intervals=bands)
    wide, narrow = axes.collections
    assert (wide.get_label(), narrow.get_label()) == ("95 %", "80 %")
    assert wide.get_facecolor()[0, 0] > narrow.get_facecolor()[0, 0]
    assert len({line.get_linestyle() for line in axes.lines}) == 3
    assert pixels(axes).std() > 0
    with pytest.raises(ValueError, match=r"forecast has shape \(3,\), expected \(2,\)"):
        plot.forecast(times[:2], [1.0, 2.0], times[2:], {"forecast": np.ones(3)})


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
    with pytest.raises(ImportError, match=r"pip install 'jax_lstm\[plot\]'"):
        plot.losses({"training": [1.0]})
