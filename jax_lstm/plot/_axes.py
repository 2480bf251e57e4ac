"""What the pictures have in common: figures, lines that differ without colour, and axes of times that can be read."""

from __future__ import annotations

from typing import Any

import numpy as np

STYLES = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3)))
"""Line styles in the order they are used: what tells lines apart where colours do not."""


def new_figure(size: tuple[float, float]) -> Any:
    """A figure of its own."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("pictures need matplotlib: pip install 'jax_lstm[plot]'") from error
    return Figure(figsize=size, layout="constrained")


def new_axes(axes: Any) -> Any:
    """The axes given, or new ones."""
    return new_figure((8, 4)).subplots() if axes is None else axes


def line(axes: Any, x: Any, y: Any, number: int, name: str) -> None:
    """A line in the colour and style of its number."""
    axes.plot(x, y, color=f"C{number}", linestyle=STYLES[number % len(STYLES)], linewidth=1.5, label=name)


def name_lines(axes: Any) -> None:
    """A legend that can be read where it lies over lines."""
    axes.legend(framealpha=0.85, edgecolor="none")


def as_axis(times: Any) -> np.ndarray:
    """Times as matplotlib draws them: numbers, or dates in their own zone."""
    if getattr(times, "tz", None) is not None:
        times = times.tz_localize(None)
    return np.asarray(times)


def name_times(axes: Any, times: np.ndarray, name: str | None = None) -> None:
    """Name an axis of times and place its ticks: whole numbers, or dates that leave room for each other."""
    if times.dtype.kind == "M":
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        locator = AutoDateLocator(minticks=3, maxticks=8)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    elif times.dtype.kind in "iu":
        whole_numbers(axes.xaxis)
    axes.set_xlabel(name or ("step" if times.dtype.kind in "iu" else "time"))


def whole_numbers(axis: Any) -> None:
    """Ticks at whole numbers alone."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
