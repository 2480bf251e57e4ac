"""Pictures of forecasts: one series, some, or the overview of a panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jax_lstm.forecast import Forecasts, Table
from jax_lstm.plot._axes import as_axis, check_figure, drawn, ink, line, name_lines, name_times, new_axes, new_figure
from jax_lstm.plot._checks import as_numbers, check_named, check_steps, check_type

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
    """A series and its forecasts with their intervals, the widest in the lightest gray; a line marks the last value.

    The axis is as high as twice the lines need: an interval that is wider is cut at its edge and marked as cut.

    Args:
        times: `(time,)`, numbers or dates.
        series: `(time,)`, the known values; NaN where one is missing.
        future_times: `(steps,)`, the times of the forecasts.
        forecasts: by name, `(steps,)`, each drawn in a line style of its own.
        intervals: by name, the pair `(low, high)`, each `(steps,)`.
        truth: `(steps,)`, the actual values, where they are known.
        axes: the matplotlib axes to draw on; new ones where None.

    Returns:
        The figure.

    Raises:
        TypeError: something else than a dictionary or an array. ValueError: a forecast or an interval of another length
        than its times. ImportError: matplotlib is missing.

    >>> bands = {"80 %": ([6.5, 7.0], [7.5, 9.0])}
    >>> figure = forecast([1, 2], [5.0, 6.0], [3, 4], {"forecast": [7.0, 8.0]}, intervals=bands)
    >>> figure.axes[0].get_legend_handles_labels()[1]
    ['80 %', 'series', 'forecast']
    """
    times, ahead = as_axis(times), as_axis(future_times)
    series = as_numbers(series, "series", "(time,)", (1,))
    check_steps(len(times), len(series), "times", "series")
    check_named(forecasts, "forecasts", "values (steps,)")
    lines = {name: _steps(values, name, ahead) for name, values in forecasts.items()}
    if truth is not None:
        truth = _steps(truth, "truth", ahead)
    bands = _bands({} if intervals is None else intervals, ahead)
    axes = new_axes(axes)
    known = np.flatnonzero(np.isfinite(series))
    last = known[-1:]  # forecasts begin at the last known value, so that one step of them shows as well
    reach = np.concatenate([times[last], ahead])

    def joined(values: np.ndarray) -> np.ndarray:
        return np.concatenate([series[last], values])

    low, high = _limits([series, *lines.values(), *([] if truth is None else [truth])], list(bands.values()))
    for number, (name, (below, above)) in enumerate(bands.items()):
        cut = " (cut)" if np.nanmin(below) < low or np.nanmax(above) > high else ""
        shade = {"color": ink(), "alpha": min(0.12 + 0.12 * number, 1), "linewidth": 0}
        axes.fill_between(reach, joined(below), joined(above), label=f"{name}{cut}", **shade)
    axes.plot(times, series, color=ink(), linewidth=1, marker="." if len(known) < 20 else None, label="series")
    if truth is not None:
        axes.plot(reach, joined(truth), color=ink(), linewidth=1, linestyle=":", label="actual")
    for number, (name, values) in enumerate(lines.items(), start=1):
        line(axes, reach, joined(values), number, name)
    for start in times[last]:
        axes.axvline(start, color=ink(), alpha=0.4, linewidth=0.8, zorder=0)
    if np.isfinite([low, high]).all() and low < high:
        margin = 0.05 * (high - low)
        axes.set_ylim(low - margin, high + margin)
    name_times(axes, np.concatenate([times, ahead]), None)
    name_lines(axes)
    return axes.figure


def _steps(values: Any, name: str, ahead: np.ndarray) -> np.ndarray:
    """The values of every step ahead."""
    values = as_numbers(values, name, f"({len(ahead)},), one value for each of future_times", (1,))
    check_steps(len(values), len(ahead), name, "future_times")
    return values


def _bands(intervals: Any, ahead: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The intervals, the widest first."""
    if intervals:
        check_named(intervals, "intervals", "pairs (low, high)")
    bands = {}
    for name, pair in intervals.items():
        if len(pair) != 2:
            raise ValueError(f"intervals[{name!r}] has {len(pair)} entries, expected the pair (low, high)")
        low, high = (_steps(side, f"the interval {name}", ahead) for side in pair)
        bands[name] = low, high
    return dict(sorted(bands.items(), key=lambda item: -np.nansum(item[1][1] - item[1][0])))


def _limits(lines: list[np.ndarray], bands: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """The ends of the axis: room for all lines, and for intervals up to as much again above and below together."""
    drawn = np.concatenate(lines)
    drawn = drawn[np.isfinite(drawn)]
    sides = np.concatenate([side for band in bands for side in band] or [drawn])
    sides = sides[np.isfinite(sides)]
    if not drawn.size or not sides.size:
        return -np.inf, np.inf
    low, high = drawn.min(), drawn.max()
    room = (high - low) / 2 if high > low else np.inf  # a constant series sets no scale
    return min(low, max(sides.min(), low - room)), max(high, min(sides.max(), high + room))


def forecasts(made: Forecasts, table: Table, *, figure: Any = None) -> Any:
    """The forecasts of a table: every series of up to three; of more, those with the narrowest and widest intervals.

    Args:
        made: from `jax_lstm.forecast.predict`.
        table: the table whose series were forecast.
        figure: the matplotlib figure or subfigure to draw on; a new one where None.

    Returns:
        The figure; its `axes` are the panels from the top down.

    Raises:
        TypeError: something else than forecasts or a table. ValueError: forecasts of another table.
        ImportError: matplotlib is missing.
    """
    check_forecasts(made, table)
    check_figure(figure)
    count = len(made.names)
    shown, titles = list(range(count)), list(map(drawn, made.names)) if count > 1 else [""]
    if count > FEW:
        shown, titles = _by_width(made, table)
    figure = new_figure((8, 1 + 3 * len(shown))) if figure is None else figure
    panels = figure.subplots(len(shown), squeeze=False)[:, 0]
    for axes, number, title in zip(panels, shown, titles, strict=True):
        one_of(made, table, number, axes=axes)
        axes.set_title(title, loc="left", fontsize="medium")
    for axes in panels[1:]:
        axes.get_legend().remove()
    return figure


def one_of(made: Forecasts, table: Table, number: int, *, truth: Any = None, axes: Any = None) -> Any:
    """The forecast of one series of a table, after its last seasons.

    Args:
        made, table: as in `forecasts`.
        number: the index of the series.
        truth: `(steps,)`, the actual values, where they are known.
        axes: the matplotlib axes to draw on; new ones where None.

    Returns:
        The figure.

    Raises:
        TypeError, ImportError: as in `forecasts`. IndexError: no series has this index.
    """
    check_forecasts(made, table)
    if not 0 <= number < len(made.names):
        raise IndexError(f"number is {number}, expected the index of one of the {len(made.names):,} series, from 0")
    axes = new_axes(axes)
    series, center = table.series[number], made.forecast[number]
    past = min(len(series), max(4 * len(center), 3 * round(max(table.season, default=1)), 30))
    bands = {f"{100 * level:g} %": (made.lower[level][number], made.upper[level][number]) for level in made.lower}
    times, ahead = table.times(number)[-past:], table.times_ahead(number, len(center))
    forecast(times, series[-past:], ahead, {"forecast": center}, intervals=bands, truth=truth, axes=axes)
    zone = getattr(times, "tz", None)
    name = drawn(table.roles.time_name)
    axes.set_xlabel(f"{name} ({zone})" if zone is not None else name)
    axes.set_ylabel(drawn(table.roles.value or table.names[number]))
    return axes.figure


def check_forecasts(made: Forecasts, table: Table) -> None:
    """Forecasts of a table, in this order."""
    check_type(made, Forecasts, "made", "jax_lstm.forecast.predict")
    check_type(table, Table, "table", "jax_lstm.forecast.read_table")
    if made.names != table.names:
        raise ValueError(
            f"made has {len(made.names):,} series and table has {len(table.names):,}, or their names differ: give the "
            "table that was forecast"
        )


def _by_width(made: Forecasts, table: Table) -> tuple[list[int], list[str]]:
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
        f"{drawn(made.names[number])}: {word} of {len(widths):,} series"
        for number, word in zip(shown, words, strict=True)
    ]
