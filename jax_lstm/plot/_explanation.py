"""A picture of what a forecast is made of: the forecast of each method, and what the LSTM writes and keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jax_lstm._types import Trace
from jax_lstm.forecast import Forecasts, Table
from jax_lstm.plot._axes import as_axis, check_figure, drawn, ink, line, name_lines, name_times, new_figure
from jax_lstm.plot._checks import check_type
from jax_lstm.plot._forecasts import check_forecasts, one_of

LEAST_WEIGHT = 0.01
"""Methods with less weight are not drawn."""


def explanation(
    made: Forecasts,
    table: Table,
    number: int,
    parts: Mapping[str, Any],
    rows: Any,
    values: Trace,
    *,
    weights: Mapping[str, float] | None = None,
    figure: Any = None,
) -> Any:
    """What the forecast of a series is made of, from the top down.

    The forecast with its intervals; the forecast of each method alone, without those whose weight is under 1 %; how
    much the LSTM writes into its cells at each step, `mean(i |g|)`; and its cells, each in units of its own spread,
    from those that forget soonest to those that keep longest, by their half-life, `log(1/2) / log(mean(f))`.

    Args:
        made: from `jax_lstm.forecast.predict`.
        table: the table whose series were forecast.
        number: the index of the series.
        parts: by method, its forecast alone, `(steps,)`.
        rows: `(time,)`, the rows of the series that the LSTM ran over.
        values: the trace of those steps, each field `(time, hidden)`; both from `jax_lstm.forecast.explain`.
        weights: by method, its weight in the combined forecast, from `jax_lstm.forecast.method_weights`.
        figure: the matplotlib figure or subfigure to draw on; a new one where None.

    Returns:
        The figure, of four panels.

    Raises:
        TypeError: something else than forecasts, a table or a trace. ImportError: matplotlib is missing.
    """
    check_forecasts(made, table)
    check_type(values, Trace, "values", "jax_lstm.forecast.explain")
    check_figure(figure)
    figure = new_figure((9, 11)) if figure is None else figure
    axes = figure.subplots(4, height_ratios=(3, 3, 2, 4))
    one_of(made, table, number, axes=axes[0])
    axes[0].set_title(f"forecast of {drawn(table.names[number])}", loc="left", fontsize="medium")
    if weights is not None:
        shown = [name for name in sorted(weights, key=weights.__getitem__, reverse=True) if name in parts]
        shown = [name for name in shown if weights[name] >= LEAST_WEIGHT]
        parts = {f"{name}, weight {weights[name]:.0%}": parts[name] for name in shown}
    _parts(axes[1], table, number, made, parts)
    times = as_axis(table.times(number))[np.asarray(rows)]
    written = np.mean(np.asarray(values.input_gate) * np.abs(np.asarray(values.candidate)), axis=1)
    axes[2].plot(times, written, color=ink(), linewidth=1)
    axes[2].set_ylabel("written into cells")
    axes[2].set_title("how much the LSTM takes in at each step", loc="left", fontsize="medium")
    _cells(axes[3], times, values)
    for panel in axes[2:]:
        name_times(panel, times, drawn(table.roles.time_name))
        if len(times) > 1:
            panel.set_xlim(times[0], times[-1])
    return figure


def _parts(axes: Any, table: Table, number: int, made: Forecasts, parts: Mapping[str, Any]) -> None:
    """The forecast of each method, and the one that combines them."""
    ahead = as_axis(table.times_ahead(number, len(made.forecast[number])))
    axes.plot(ahead, made.forecast[number], color=ink(), linewidth=2, marker=".", label="forecast")
    for place, (name, part) in enumerate(parts.items(), start=1):
        line(axes, ahead, part, place, name)
    name_times(axes, ahead, drawn(table.roles.time_name))
    axes.set_ylabel(drawn(table.roles.value or table.names[number]))
    axes.set_title("what it is made of: the forecast of each method alone", loc="left", fontsize="medium")
    name_lines(axes)


def _cells(axes: Any, times: np.ndarray, values: Trace) -> None:
    """The cells as rows of shades, sorted by how long they keep what is in them."""
    kept = np.clip(np.mean(np.asarray(values.forget_gate, float), axis=0), 1e-6, 1 - 1e-6)
    lives = np.log(0.5) / np.log(kept)
    order = np.argsort(lives)
    states = np.asarray(values.cell_state, float)[:, order]
    spread = states.std(axis=0)
    states = (states - states.mean(axis=0)) / np.where(spread > 0, spread, 1)
    shades = axes.pcolormesh(times, np.arange(len(order)), states.T, cmap="cividis", vmin=-2.5, vmax=2.5)
    bar = {"location": "bottom", "shrink": 0.4, "aspect": 40}
    axes.figure.colorbar(shades, ax=axes, label="state, in standard deviations of the cell", **bar)
    shown = np.unique(np.linspace(0, len(order) - 1, 6).astype(int))
    axes.set_yticks(shown, [_steps(life, len(times)) for life in lives[order[shown]]])
    axes.set_ylabel("half-life of a cell (steps)")
    axes.set_title(
        "its cells, from those that forget soonest to those that keep longest", loc="left", fontsize="medium"
    )


def _steps(life: float, longest: int) -> str:
    """A half-life as a tick: of those longer than the series, only that they are."""
    if life > longest:
        return f"> {longest}"
    return f"{life:.0f}" if life >= 10 else f"{life:.1f}"
