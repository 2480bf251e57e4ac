"""Pictures of forecasts: one series, some, or the overview of a panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jax_lstm.plot._axes import as_axis, line, name_lines, name_times, new_axes, new_figure

if TYPE_CHECKING:
    from jax_lstm.forecast import Forecasts, Table

FEW = 3
"""Up to how many series have a panel each; of more an overview is drawn."""


def forecast(
    times: Any,
    series: Any,
    future_times: Any,
    forecasts: Mapping[str, Any],
    *,
    intervals: Mapping[str, Sequence[Any]] | None = None,
    truth: Any = None,
    axes: Any = None,
) -> Any:
    """A series and forecasts that go on from it, with their intervals, the widest in the lightest grey.

    Args:
        times: `(time,)`, numbers or dates.
        series: `(time,)`, the values known; NaN where one is missing.
        future_times: `(steps,)`, the times of the forecasts.
        forecasts: by name, `(steps,)`, each drawn in a line style of its own.
        intervals: by name, the pair `(low, high)`, each `(steps,)`.
        truth: `(steps,)`, what came, where it is known.
        axes: the matplotlib axes to draw on; new ones where None.

    Returns:
        The axes.

    Raises:
        ValueError: a forecast or an interval of another length than its times. ImportError: matplotlib is missing.

    >>> bands = {"80 %": ([6.5, 7.0], [7.5, 9.0])}
    >>> axes = forecast([1, 2], [5.0, 6.0], [3, 4], {"forecast": [7.0, 8.0]}, intervals=bands)
    >>> axes.get_legend_handles_labels()[1]
    ['80 %', 'series', 'forecast']
    """
    intervals = {} if intervals is None else intervals
    named = [*forecasts.items(), *((f"the interval {name}", side) for name, pair in intervals.items() for side in pair)]
    for name, values in [*named, *([] if truth is None else [("truth", truth)])]:
        if np.shape(values) != np.shape(future_times):
            expected = f"expected {np.shape(future_times)}, one value for each of future_times"
            raise ValueError(f"{name} has shape {np.shape(values)}, {expected}")
    axes = new_axes(axes)
    times, ahead, series = as_axis(times), as_axis(future_times), np.asarray(series, float)
    known = np.flatnonzero(np.isfinite(series))
    joint = known[-1:]  # forecasts begin at the last known value, so that one step of them shows as well
    reach = np.concatenate([times[joint], ahead])

    def joined(values: Any) -> np.ndarray:
        return np.concatenate([series[joint], np.asarray(values, float)])

    widest_first = sorted(intervals.items(), key=lambda item: -np.sum(np.subtract(item[1][1], item[1][0])))
    for number, (name, (low, high)) in enumerate(widest_first):
        grey = str(0.88 - 0.16 * number)
        axes.fill_between(reach, joined(low), joined(high), color=grey, linewidth=0, label=name)
    axes.plot(times, series, color="black", linewidth=1, marker="." if len(known) < 20 else None, label="series")
    if truth is not None:
        axes.plot(reach, joined(truth), color="black", linewidth=1, linestyle=":", label="what came")
    for number, (name, values) in enumerate(forecasts.items(), start=1):
        line(axes, reach, joined(values), number, name)
    name_times(axes, np.concatenate([times, ahead]), None)
    name_lines(axes)
    return axes


def forecasts(table: Table, made: Forecasts, *, figure: Any = None) -> Any:
    """The forecasts of a table: every series of few; of many those with the narrowest and widest intervals.

    Args:
        table: from `jax_lstm.forecast.read_csv` or `from_frame`.
        made: what `jax_lstm.forecast.predict` says of it.
        figure: the matplotlib figure or subfigure to draw on; a new one where None.

    Returns:
        An array of axes, from the top down.

    Raises:
        ImportError: matplotlib is missing.
    """
    count = len(made.names)
    shown, titles = list(range(count)), list(made.names) if count > 1 else [""]
    if count > FEW:
        shown, titles = _by_width(table, made)
    figure = new_figure((8, 1 + 3 * len(shown))) if figure is None else figure
    panels = figure.subplots(len(shown), squeeze=False)[:, 0]
    for axes, number, title in zip(panels, shown, titles, strict=True):
        one_of(table, made, number, axes=axes)
        axes.set_title(title, loc="left", fontsize="medium")
    for axes in panels[1:]:
        axes.get_legend().remove()
    return panels


def one_of(table: Table, made: Forecasts, number: int, *, truth: Any = None, axes: Any = None) -> Any:
    """The forecast of one series of a table, after as much of its past as can be read beside it.

    Args:
        table, made: as in `forecasts`.
        number: which series.
        truth: `(steps,)`, what came, where it is known.
        axes: the matplotlib axes to draw on; new ones where None.

    Returns:
        The axes.
    """
    series, centre = table.series[number], made.centre[number]
    past = min(len(series), max(4 * len(centre), 3 * table.season, 30))
    bands = {f"{100 * level:g} %": (made.lower[level][number], made.upper[level][number]) for level in made.lower}
    times, ahead = table.times(number)[-past:], table.times_ahead(number, len(centre))
    axes = forecast(times, series[-past:], ahead, {"forecast": centre}, intervals=bands, truth=truth, axes=axes)
    zone = getattr(times, "tz", None)
    name = table.roles.time or ("row" if table.calendar.kind == "rows" else "time")
    axes.set_xlabel(f"{name} ({zone})" if zone is not None else name)
    axes.set_ylabel(table.roles.column or table.names[number])
    return axes


def _by_width(table: Table, made: Forecasts) -> tuple[list[int], list[str]]:
    """The series with the narrowest, a middle and the widest interval, by each series' mean, and their titles."""
    level = min(made.lower)
    widths = []
    for number, series in enumerate(table.series):
        size = np.nanmean(np.abs(series))
        width = np.mean(made.upper[level][number] - made.lower[level][number])
        widths.append(width / size if size > 0 else np.inf)
    order = [
        number for number in np.argsort(widths, kind="stable") if np.isfinite(widths[number]) and widths[number] > 0
    ]
    order = order or list(range(len(widths)))
    shown = [order[0], order[len(order) // 2], order[-1]]
    words = ("the narrowest intervals", "median intervals", "the widest intervals")
    return shown, [
        f"{made.names[number]}: {word} of {len(widths):,} series" for number, word in zip(shown, words, strict=True)
    ]
