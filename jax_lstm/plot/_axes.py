"""What the pictures have in common: figures that notebooks show, lines that differ without color, axes of times."""

from __future__ import annotations

import io
from functools import partial
from typing import Any

import numpy as np

STYLES = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3)))
"""Line styles in the order they are used: they tell lines apart where colors do not."""


LONGEST = 60
"""Characters of a name that are drawn."""


def drawn(name: str) -> str:
    r"""A name from a table as matplotlib can draw it: short, without control characters, and not as mathematics.

    >>> drawn("price in $\x1b")
    'price in \\$\\x1b'
    """
    short = name if len(name) <= LONGEST else f"{name[: LONGEST - 16]}…{name[-15:]}"
    plain = "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in short)
    return plain.replace("$", r"\$")


def new_figure(size: tuple[float, float]) -> Any:
    """A figure outside pyplot, which a notebook shows when a cell ends with it."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "pictures need matplotlib: pip install matplotlib, or in a clone pip install '.[plot]'"
        ) from error
    figure: Any = Figure(figsize=size, layout="constrained")
    figure._repr_png_ = partial(_png, figure)  # IPython asks for it; pyplot alone registers one for every figure
    return figure


def _png(figure: Any) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue()


def new_axes(axes: Any) -> Any:
    """The axes given, or new ones."""
    if axes is None:
        return new_figure((8, 4)).subplots()
    if not hasattr(axes, "transAxes"):
        raise TypeError(f"axes is a {type(axes).__name__}, expected one matplotlib Axes, as from figure.subplots()")
    return axes


def check_figure(figure: Any) -> None:
    """A figure or subfigure of matplotlib, or None for a new one."""
    if figure is not None and not hasattr(figure, "subfigures"):
        raise TypeError(f"figure is a {type(figure).__name__}, expected a matplotlib Figure or SubFigure")


def ink() -> str:
    """The color of text, black or what a dark style of matplotlib makes of it."""
    from matplotlib import rcParams

    return str(rcParams["text.color"])


def line(axes: Any, x: Any, y: Any, number: int, name: str) -> None:
    """A line in the color and style of its number."""
    axes.plot(x, y, color=f"C{number}", linestyle=STYLES[number % len(STYLES)], linewidth=1.5, label=name)


def name_lines(axes: Any) -> None:
    """A legend to the right of the axes, where it covers nothing."""
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0.2, fontsize="small")


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
    """Ticks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
