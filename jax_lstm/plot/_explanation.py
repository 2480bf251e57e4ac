"""A picture of what a forecast is made of: what each method says, and what an LSTM takes in and keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jax_lstm._types import Trace
from jax_lstm.plot._axes import as_axis, line, name_lines, name_times, new_figure
from jax_lstm.plot._forecasts import one_of

if TYPE_CHECKING:
    from jax_lstm.forecast import Forecasts, Table


def explanation(
    table: Table,
    number: int,
    made: Forecasts,
    parts: Mapping[str, Any],
    rows: Any,
    values: Trace,
    *,
    figure: Any = None,
) -> Any:
    """What the forecast of a series is made of, from the top down.

    The forecast with its intervals; what each method alone says of the same steps; how much the LSTM writes into its
    cells at each step, `mean(i |g|)`; and its cells, each in units of its own spread, from those that forget soonest to
    those that keep longest, by the half-life of what is in them, `log(1/2) / log(mean(f))`.

    Args:
        table: the series.
        number: which of them.
        made: what `jax_lstm.forecast.predict` says of the table.
        parts: by method, what it says alone, `(steps,)`.
        rows: `(time,)`, the rows of the series that the LSTM ran over.
        values: the trace of those steps, each field `(time, hidden)`; both from `jax_lstm.forecast.explain`.
        figure: the matplotlib figure or subfigure to draw on; a new one where None.

    Returns:
        An array of four axes.

    Raises:
        ImportError: matplotlib is missing.
    """
    figure = new_figure((9, 11)) if figure is None else figure
    axes = figure.subplots(4, height_ratios=(3, 3, 2, 4))
    one_of(table, made, number, axes=axes[0])
    axes[0].set_title(f"forecast of {table.names[number]}", loc="left", fontsize="medium")
    _parts(axes[1], table, number, made, parts)
    times = as_axis(table.times(number))[np.asarray(rows)]
    written = np.mean(np.asarray(values.input_gate) * np.abs(np.asarray(values.candidate)), axis=1)
    axes[2].plot(times, written, color="black", linewidth=1)
    axes[2].set_ylabel("written into cells")
    axes[2].set_title("how much the LSTM takes in at each step", loc="left", fontsize="medium")
    _cells(axes[3], times, values)
    for panel in axes[2:]:
        name_times(panel, times, table.roles.time)
        if len(times) > 1:
            panel.set_xlim(times[0], times[-1])
    return axes


def _parts(axes: Any, table: Table, number: int, made: Forecasts, parts: Mapping[str, Any]) -> None:
    """What each method says, and the forecast that combines them."""
    ahead = as_axis(table.times_ahead(number, len(made.centre[number])))
    axes.plot(ahead, made.centre[number], color="black", linewidth=2, marker=".", label="forecast")
    for place, (name, part) in enumerate(parts.items(), start=1):
        line(axes, ahead, part, place, f"{name} alone")
    name_times(axes, ahead, table.roles.time)
    axes.set_ylabel(table.roles.column or table.names[number])
    axes.set_title("what it is made of: the same steps by each method alone", loc="left", fontsize="medium")
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
    axes.figure.colorbar(shades, ax=axes, label="state (own spreads)")
    shown = np.unique(np.linspace(0, len(order) - 1, 6).astype(int))
    axes.set_yticks(shown, [f"{life:.0f}" if life >= 10 else f"{life:.1f}" for life in lives[order[shown]]])
    axes.set_ylabel("half-life of a cell (steps)")
    axes.set_title(
        "its cells, from those that forget soonest to those that keep longest", loc="left", fontsize="medium"
    )
