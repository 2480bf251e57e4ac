"""Pictures of gates, weights and losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jax_lstm._cell import recurrent
from jax_lstm._checks import check_params
from jax_lstm._types import GATES, BlockDiagonalParams, Params, Trace
from jax_lstm.plot._axes import (
    STYLES,
    as_axis,
    check_figure,
    ink,
    line,
    name_lines,
    name_times,
    new_axes,
    new_figure,
    whole_numbers,
)
from jax_lstm.plot._checks import as_numbers, check_named, check_steps, check_type

SIGNED = ("candidate", "cell state", "hidden state")
"""The values of a step that can be negative; the gates lie between 0 and 1."""


def gates(values: Trace, series: Any = None, *, times: Any = None, figure: Any = None) -> Any:
    """The six values of every step over time, one panel each, below the series where it is given.

    Up to as many units as there are `STYLES` are drawn as lines, more as one row of shades a unit.

    Args:
        values: the trace of one sequence, each field `(time, hidden)`.
        series: `(time,)` or `(time, columns)`, drawn in a panel above.
        times: `(time,)`, the axis of time; 1, 2, … where None.
        figure: the matplotlib figure or subfigure to draw on; a new one where None.

    Returns:
        The figure; its `axes` are the panels from the top down.

    Raises:
        TypeError: no trace. ValueError: a trace with batch axes, or a series or times of another length.
        ImportError: matplotlib is missing.

    >>> import jax, jax.numpy as jnp
    >>> from jax_lstm import init, trace
    >>> _, values = trace(init(jax.random.key(0), features=1, hidden=2), jnp.ones((5, 1)))
    >>> [panel.get_ylabel() for panel in gates(values).axes][:2]
    ['forget gate', 'input gate']
    """
    check_type(values, Trace, "values", "jax_lstm.trace(params, xs)[1]")
    panels = {name.replace("_", " "): np.asarray(value, float) for name, value in values._asdict().items()}
    shape = panels["cell state"].shape
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"values have shape {shape}, expected (time, hidden): choose one sequence of the batch")
    times = np.arange(1, shape[0] + 1) if times is None else as_axis(times)
    check_steps(len(times), shape[0], "times", "values")
    if series is not None:
        series = as_numbers(series, "series", "(time,) or (time, columns)", (1, 2))
        check_steps(len(series), shape[0], "series", "values")
        panels = {"series": series[:, None] if series.ndim == 1 else series} | panels
    check_figure(figure)
    figure = new_figure((8, 1.4 * len(panels))) if figure is None else figure
    axes = figure.subplots(len(panels), sharex=True)
    for panel, (name, value) in zip(axes, panels.items(), strict=True):
        if value.shape[1] <= len(STYLES):
            _lines(panel, times, name, value)
        else:
            _shades(panel, times, name, value)
    if 1 < shape[1] <= len(STYLES):
        name_lines(axes[-6])  # the first panel of the trace
    name_times(axes[-1], times)
    return figure


def _lines(panel: Any, times: np.ndarray, name: str, value: np.ndarray) -> None:
    """A line for each unit."""
    panel.set_ylabel(name)
    for number, unit in enumerate(value.T):
        panel.plot(times, unit, color=ink(), linestyle=STYLES[number], linewidth=1, label=f"unit {number + 1}")


def _shades(panel: Any, times: np.ndarray, name: str, value: np.ndarray) -> None:
    """A row of shades for each unit."""
    panel.set_ylabel(f"{name}\n(unit)")
    bound = np.nanmax(np.abs(value)) if name == "series" else max(1, np.abs(value).max())
    units = np.arange(1, value.shape[1] + 1)
    low = -bound if name in SIGNED or np.nanmin(value) < 0 else 0
    shades = panel.pcolormesh(times, units, value.T, cmap="cividis", vmin=low, vmax=bound)
    panel.figure.colorbar(shades, ax=panel)


def weights(params: Params, *, figure: Any = None) -> Any:
    """The weights of a layer by gate, in a column each: input and recurrent weights and biases on one scale.

    Args:
        params: the layer; of a bidirectional one, a direction.
        figure: the matplotlib figure or subfigure to draw on; a new one where None.

    Returns:
        The figure; its `axes` are the panels row by row, and the color bar.

    Raises:
        TypeError: no layer. ImportError: matplotlib is missing.

    >>> import jax
    >>> from jax_lstm import init
    >>> figure = weights(init(jax.random.key(0), features=3, hidden=4))
    >>> [panel.get_title() for panel in figure.axes[:4]]
    ['input', 'forget', 'candidate', 'output']
    """
    sizes = check_params(params)
    check_figure(figure)
    names = [gate for gate in GATES if gate != "forget" or params.coupled is None]
    w_h = params.w_h
    if isinstance(params, BlockDiagonalParams):  # as one matrix
        w_h = recurrent(params, jnp.eye(sizes.hidden, dtype=w_h.dtype))
    rows = {"w_x": params.w_x, "w_h": w_h, "b": params.b}
    blocks = {
        name: np.split(np.atleast_2d(np.asarray(value, float)), sizes.gates, axis=1)
        for name, value in rows.items()
        if value is not None
    }
    bound = max(np.abs(block).max(initial=0) for row in blocks.values() for block in row)
    heights = [max(row[0].shape[0], 0.15 * sizes.hidden) for row in blocks.values()]
    figure = new_figure((2 * sizes.gates, 2 * len(blocks))) if figure is None else figure
    axes = figure.subplots(len(blocks), sizes.gates, squeeze=False, sharex=True, height_ratios=heights)
    for panels, (name, row) in zip(axes, blocks.items(), strict=True):
        panels[0].set_ylabel(name)
        for panel, block in zip(panels, row, strict=True):
            shades = panel.imshow(
                block, cmap="cividis", vmin=-bound, vmax=bound, aspect="auto", interpolation="nearest"
            )
            panel.set_xticks([])
            panel.set_yticks([])
    for panel, gate in zip(axes[0], names, strict=True):
        panel.set_title(gate)
    figure.colorbar(shades, ax=axes, label="weight")
    return figure


def losses(curves: Mapping[str, Any], *, axes: Any = None) -> Any:
    """Loss curves on a logarithmic scale: of several runs the median and the 10th to the 90th percentile.

    Args:
        curves: by name, `(steps,)` or `(runs, steps)`; NaN where there is no value at a step.
        axes: the matplotlib axes to draw on; new ones where None.

    Returns:
        The figure.

    Raises:
        TypeError: something else than a dictionary. ValueError: no curves, or a curve of another rank.
        ImportError: matplotlib is missing.

    >>> figure = losses({"training": [1.0, 0.5, 0.25], "validation": [1.1, float("nan"), 0.4]})
    >>> figure.axes[0].get_yscale()
    'log'
    """
    check_named(curves, "curves", "losses")
    runs = {
        name: np.atleast_2d(as_numbers(values, f"curves[{name!r}]", "(steps,) or (runs, steps)", (1, 2)))
        for name, values in curves.items()
    }
    axes = new_axes(axes)
    for number, (name, values) in enumerate(runs.items()):
        seen = ~np.isnan(values).all(axis=0)
        steps = np.arange(1, values.shape[1] + 1)[seen]
        line(axes, steps, np.nanmedian(values[:, seen], axis=0), number, name)
        if len(values) > 1:
            band = np.nanpercentile(values[:, seen], [10, 90], axis=0)
            axes.fill_between(steps, *band, color=f"C{number}", alpha=0.2, linewidth=0)
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    whole_numbers(axes.xaxis)
    name_lines(axes)
    return axes.figure
