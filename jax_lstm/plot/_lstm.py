"""Pictures of gates, weights and losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jax_lstm._cell import recurrent
from jax_lstm._checks import check_params
from jax_lstm._types import GATES, BlockDiagonalParams, Params, Trace
from jax_lstm.plot._axes import STYLES, as_axis, line, name_times, new_axes, new_figure, whole_numbers


def gates(values: Trace, series: Any = None, *, times: Any = None, figure: Any = None) -> Any:
    """The six values of every step over time, one panel each, below the series where it is given.

    Up to as many units as there are `STYLES` are drawn as lines, more as one row of shades a unit.

    Args:
        values: the trace of one sequence, each field `(time, hidden)`.
        series: `(time,)` or `(time, columns)`, drawn in a panel above.
        times: `(time,)`, what stands on the axis of time; 1, 2, … where None.
        figure: the matplotlib figure or subfigure to draw on; a new one where None.

    Returns:
        An array of axes, one a panel, from the top down.

    Raises:
        ValueError: a trace with batch axes, or a series or times of another length. ImportError: matplotlib is missing.

    >>> import jax, jax.numpy as jnp
    >>> from jax_lstm import init, trace
    >>> _, values = trace(init(jax.random.key(0), features=1, hidden=2), jnp.ones((5, 1)))
    >>> [panel.get_ylabel() for panel in gates(values)][:2]
    ['forget gate', 'input gate']
    """
    panels = {
        name.replace("_", " "): np.asarray(value, float) for name, value in zip(values._fields, values, strict=True)
    }
    shape = panels["cell state"].shape
    if len(shape) != 2:
        raise ValueError(f"values have shape {shape}, expected (time, hidden): choose one sequence of the batch")
    times = np.arange(1, shape[0] + 1) if times is None else as_axis(times)
    rows: list[tuple[str, Any]] = list(panels.items())
    if series is not None:
        series = np.asarray(series, float)
        rows.insert(0, ("series", series[:, None] if series.ndim == 1 else series))
    for name, value in [("times", times), *rows]:
        if value.shape[0] != shape[0]:
            raise ValueError(f"{name} has {value.shape[0]} steps, but values have {shape[0]}: give one entry per step")
    figure = new_figure((8, 1.4 * len(rows))) if figure is None else figure
    axes = figure.subplots(len(rows), sharex=True)
    for panel, (name, value) in zip(axes, rows, strict=True):
        panel.set_ylabel(name)
        if value.shape[1] <= len(STYLES):
            for number, unit in enumerate(value.T):
                panel.plot(
                    times, unit, color="black", linestyle=STYLES[number], linewidth=1, label=f"unit {number + 1}"
                )
        else:
            low = -1 if name in ("candidate", "cell state", "hidden state") else 0
            bound = max(1, np.abs(value).max()) if name == "cell state" else 1
            shades = panel.pcolormesh(
                times, np.arange(1, value.shape[1] + 1), value.T, cmap="cividis", vmin=low * bound, vmax=bound
            )
            figure.colorbar(shades, ax=panel)
            panel.set_ylabel(f"{name}\n(unit)")
    if 1 < shape[1] <= len(STYLES):
        axes[-1].legend(frameon=False, ncols=shape[1], fontsize="small")
    name_times(axes[-1], times)
    return axes


def weights(params: Params, *, figure: Any = None) -> Any:
    """The weights of a layer by gate, in a column each: input and recurrent weights and biases on one scale.

    Args:
        params: the layer; of a bidirectional one, a direction.
        figure: the matplotlib figure or subfigure to draw on; a new one where None.

    Returns:
        An array of axes `(rows, gates)`.

    Raises:
        ImportError: matplotlib is missing.

    >>> import jax
    >>> from jax_lstm import init
    >>> weights(init(jax.random.key(0), features=3, hidden=4)).shape
    (3, 4)
    """
    sizes = check_params(params)
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
    bound = max(np.abs(block).max() for row in blocks.values() for block in row)
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
    return axes


def losses(curves: Mapping[str, Any], *, axes: Any = None) -> Any:
    """Loss curves on a logarithmic scale: of several runs the median and the 10th to the 90th percentile.

    Args:
        curves: by name, `(steps,)` or `(runs, steps)`; NaN where there is no value at a step.
        axes: the matplotlib axes to draw on; new ones where None.

    Returns:
        The axes.

    Raises:
        ValueError: no curves, or a curve of another rank. ImportError: matplotlib is missing.

    >>> losses({"training": [1.0, 0.5, 0.25], "validation": [1.1, float("nan"), 0.4]}).get_yscale()
    'log'
    """
    if not curves:
        raise ValueError("curves is empty, expected at least one name with its losses")
    axes = new_axes(axes)
    for number, (name, runs) in enumerate(curves.items()):
        runs = np.atleast_2d(np.asarray(runs, float))
        if runs.ndim != 2:
            raise ValueError(f"curves[{name!r}] has shape {runs.shape}, expected (steps,) or (runs, steps)")
        seen = ~np.isnan(runs).all(axis=0)
        steps = np.arange(1, runs.shape[1] + 1)[seen]
        line(axes, steps, np.nanmedian(runs[:, seen], axis=0), number, name)
        if len(runs) > 1:
            axes.fill_between(
                steps, *np.nanpercentile(runs[:, seen], [10, 90], axis=0), color=f"C{number}", alpha=0.2, linewidth=0
            )
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    whole_numbers(axes.xaxis)
    axes.legend(frameon=False)
    return axes
