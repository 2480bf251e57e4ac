"""Pictures of evaluations: the coverage of intervals and the errors of methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jax_lstm.forecast import Evaluation, Forecasts, Table
from jax_lstm.plot._axes import check_figure, drawn, ink, name_lines, new_axes, new_figure
from jax_lstm.plot._checks import check_named, check_type
from jax_lstm.plot._forecasts import one_of


def calibration(coverage: Mapping[float, float], *, axes: Any = None) -> Any:
    """Empirical against nominal coverage: intervals are right on the diagonal, too narrow below it.

    Args:
        coverage: by level, the share of values that its intervals covered, both between 0 and 1.
        axes: the matplotlib axes to draw on; new ones where None.

    Returns:
        The figure.

    Raises:
        TypeError: something else than a dictionary. ValueError: a level or a share outside 0 to 1.
        ImportError: matplotlib is missing.

    >>> calibration({0.8: 0.76, 0.95: 0.94}).axes[0].get_xlabel()
    'level of the interval (%)'
    """
    check_named(coverage, "coverage", "shares")
    for level, share in coverage.items():
        if not 0 < level < 1 or not (0 <= share <= 1 or np.isnan(share)):
            raise ValueError(f"coverage has {share} at level {level}, expected both between 0 and 1, as 0.8: 0.76")
    axes = new_axes(axes)
    levels = sorted(coverage)
    shares = [100 * coverage[level] for level in levels]
    axes.fill_between([0, 100], [-5, 95], [5, 105], color=ink(), alpha=0.1, linewidth=0, label="within 5 points")
    axes.plot([0, 100], [0, 100], color=ink(), alpha=0.5, linewidth=1, label="nominal")
    axes.plot([100 * level for level in levels], shares, color="C0", marker="o", linewidth=1.5, label="covered")
    axes.set(
        xlim=(0, 100),
        ylim=(0, 100),
        xlabel="level of the interval (%)",
        ylabel="values covered (%)",
        aspect="equal",
    )
    axes.text(97, 3, "too narrow", ha="right", va="bottom", color=ink(), alpha=0.7)
    axes.text(3, 97, "too wide", ha="left", va="top", color=ink(), alpha=0.7)
    name_lines(axes)
    return axes.figure


def scores(tested: Evaluation, metric: str = "MASE", *, axes: Any = None) -> Any:
    """A metric of every method, its mean over the series, the best on top.

    Args:
        tested: from `jax_lstm.forecast.evaluate`.
        metric: one of its metrics.
        axes: the matplotlib axes to draw on; new ones where None.

    Returns:
        The figure.

    Raises:
        TypeError: no evaluation. ValueError: a metric that it does not have. ImportError: matplotlib is missing.
    """
    check_type(tested, Evaluation, "tested", "jax_lstm.forecast.evaluate")
    metrics = next(iter(tested.scores.values()))
    if metric not in metrics:
        raise ValueError(f"metric is {metric!r}, expected one of {', '.join(metrics)}")
    axes = new_axes(axes)
    methods = sorted(tested.scores, key=lambda method: -np.nan_to_num(tested.scores[method][metric], nan=np.inf))
    means = [tested.scores[method][metric] for method in methods]
    axes.barh(methods, means, color=["C0" if method == "combined" else "0.6" for method in methods], height=0.6)
    for place, mean in enumerate(means):
        axes.annotate(f" {mean:.2f}", (mean, place), va="center", fontsize="small")
    axes.set_xlabel(f"{metric} (mean over {len(tested.names):,} series)" if len(tested.names) > 1 else metric)
    axes.set_xlim(0, 1.15 * np.nanmax(means))
    return axes.figure


def evaluation(tested: Evaluation, table: Table, shown: Sequence[int], made: Forecasts, *, figure: Any = None) -> Any:
    """An evaluation: the coverage of the intervals, the errors of the methods, and forecasts against actual values.

    Args:
        tested: from `jax_lstm.forecast.evaluate`.
        table: the table that was evaluated.
        shown: the indices of the series to draw, from the best forecast to the worst.
        made: forecasts of their last steps, from the values before.
        figure: the matplotlib figure or subfigure to draw on; a new one where None.

    Returns:
        The figure; its `axes` are the calibration, the scores, and one for each series drawn.

    Raises:
        TypeError: no evaluation. ImportError: matplotlib is missing.
    """
    check_type(tested, Evaluation, "tested", "jax_lstm.forecast.evaluate")
    check_figure(figure)
    horizon = len(made.forecast[0])
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
        one_of(made, known, place, truth=table.series[number][-horizon:], axes=axes)
        lead = f"{word} of {len(tested.names):,} series: " if word else ""
        axes.set_title(f"{lead}{drawn(tested.names[number])}, MASE {errors[number]:.2f}", loc="left", fontsize="medium")
        if place:
            axes.get_legend().remove()
    return figure
