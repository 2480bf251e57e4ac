"""Pictures of evaluations: whether intervals hold what they say, and how good the methods are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jax_lstm.plot._axes import new_axes, new_figure
from jax_lstm.plot._forecasts import one_of

if TYPE_CHECKING:
    from jax_lstm.forecast import Evaluation, Forecasts, Table


def calibration(coverage: Mapping[float, float], *, axes: Any = None) -> Any:
    """How often intervals held beside how often they say they do: on the diagonal they are right, below it too narrow.

    Args:
        coverage: the share held, by level, both between 0 and 1.
        axes: the matplotlib axes to draw on; new ones where None.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is missing.

    >>> calibration({0.8: 0.76, 0.95: 0.94}).get_xlabel()
    'level of the interval (%)'
    """
    axes = new_axes(axes)
    levels = sorted(coverage)
    shares = [100 * coverage[level] for level in levels]
    axes.fill_between([0, 100], [-5, 95], [5, 105], color="0.9", linewidth=0, label="within 5 points")
    axes.plot([0, 100], [0, 100], color="0.5", linewidth=1, label="as they say")
    axes.plot([100 * level for level in levels], shares, color="C0", marker="o", linewidth=1.5, label="held")
    axes.set(
        xlim=(0, 100),
        ylim=(0, 100),
        xlabel="level of the interval (%)",
        ylabel="values that it held (%)",
        aspect="equal",
    )
    axes.text(97, 3, "too narrow", ha="right", va="bottom", color="0.4")
    axes.text(3, 97, "too wide", ha="left", va="top", color="0.4")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(0.0, 0.75))
    return axes


def scores(tested: Evaluation, metric: str = "MASE", *, axes: Any = None) -> Any:
    """A metric of every method, its mean over the series, the best on top.

    Args:
        tested: from `jax_lstm.forecast.evaluate`.
        metric: one of its metrics.
        axes: the matplotlib axes to draw on; new ones where None.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is missing.
    """
    axes = new_axes(axes)
    methods = sorted(tested.scores, key=lambda method: -np.nan_to_num(tested.scores[method][metric], nan=np.inf))
    means = [tested.scores[method][metric] for method in methods]
    axes.barh(methods, means, color=["C0" if method == "combined" else "0.8" for method in methods], height=0.6)
    for place, mean in enumerate(means):
        axes.annotate(f" {mean:.2f}", (mean, place), va="center", fontsize="small")
    axes.set_xlabel(f"{metric} (mean over {len(tested.names):,} series)" if len(tested.names) > 1 else metric)
    axes.set_xlim(0, 1.15 * np.nanmax(means))
    return axes


def evaluation(table: Table, tested: Evaluation, shown: Sequence[int], made: Forecasts, *, figure: Any = None) -> Any:
    """An evaluation: whether intervals hold what they say, how good the methods are, and forecasts beside what came.

    Args:
        table: the series.
        tested: from `jax_lstm.forecast.evaluate`.
        shown: which series to draw, from the best forecast to the worst.
        made: forecasts of their last steps, from what was known before.
        figure: the matplotlib figure or subfigure to draw on; a new one where None.

    Returns:
        An array of axes: the calibration, the scores, and one for each series drawn.

    Raises:
        ImportError: matplotlib is missing.
    """
    horizon = len(made.centre[0])
    figure = new_figure((9, 4 + 2.8 * len(shown))) if figure is None else figure
    above, below = figure.subfigures(2, height_ratios=(4, 2.8 * len(shown)))
    left, right = above.subplots(1, 2)
    calibration(tested.coverage, axes=left)
    scores(tested, axes=right)
    panels = below.subplots(len(shown), squeeze=False)[:, 0]
    known = table.before_end(horizon, shown)
    words = ("best", "median", "worst") if len(shown) == 3 else ("",) * len(shown)
    errors = tested.by_series["combined"]["MASE"]
    for place, (axes, number, word) in enumerate(zip(panels, shown, words, strict=True)):
        one_of(known, made, place, truth=table.series[number][-horizon:], axes=axes)
        lead = f"{word} of {len(tested.names):,} series: " if word else ""
        axes.set_title(f"{lead}{tested.names[number]}, MASE {errors[number]:.2f}", loc="left", fontsize="medium")
        if place:
            axes.get_legend().remove()
    return np.array([left, right, *panels])
