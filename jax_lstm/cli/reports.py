"""Forecasts and evaluations as a person reads them in a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jax_lstm.forecast import Evaluation, Forecasts, Table

FEW = 3
"""Up to how many series are printed step by step; more are summed up."""


def numbers_alike(*groups: Any) -> list[list[str]]:
    """Numbers with as many decimals as tell them apart, the same for all: about four digits of how far they lie apart.

    >>> numbers_alike([1234.5678, 1300.0], [1200.0])
    [['1,234.6', '1,300.0'], ['1,200.0']]
    """
    every = np.array([value for group in groups for value in group if math.isfinite(value)])
    largest = np.abs(every).max(initial=0.0)
    if largest >= 1e15 or 0 < largest < 1e-6:
        return [[f"{value:.6g}" for value in group] for group in groups]
    span = np.ptp(every) if every.size and np.ptp(every) > 1e-9 * largest else largest
    decimals = int(np.clip(3 - math.floor(math.log10(span)), 0, 9)) if span > 0 else 0
    return [[f"{value:,.{decimals}f}" if math.isfinite(value) else "" for value in group] for group in groups]


def lines_up(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as text: the first column to the left, the others to the right."""
    cells = [header, *rows]
    widths = [max(len(row[place]) for row in cells) for place in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if not place else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def percent(level: float) -> str:
    """A share as per cent: "80 %"."""
    return f"{100 * level:g} %"


def forecast_table(made: Forecasts, table: Table, number: int) -> str:
    """The forecasts of one series, step by step."""
    centre = made.centre[number]
    columns = {"forecast": centre}
    for level in made.lower:
        columns |= {
            f"low {percent(level)}": made.lower[level][number],
            f"high {percent(level)}": made.upper[level][number],
        }
    times = table.calendar.texts(table.times_ahead(number, len(centre)))
    texts = numbers_alike(*columns.values())
    rows = [list(row) for row in zip(times, *texts, strict=True)]
    return lines_up([table.roles.time or "row", *columns], rows)


def forecast_summary(made: Forecasts, table: Table, most: int = 10) -> str:
    """The forecasts of many series: a few of them by their last value, the next and the last forecast."""
    horizon = len(made.centre[0])
    level = min(made.lower, default=None)
    header = [table.roles.id or "series", "values", "last value", "next", f"step {horizon}"]
    header += [] if level is None else [f"its {percent(level)} interval"]
    rows = []
    for number in range(min(most, len(made.names))):
        series, centre = table.series[number], made.centre[number]
        ends = () if level is None else (made.lower[level][number][-1], made.upper[level][number][-1])
        [texts] = numbers_alike([series[np.isfinite(series)][-1], centre[0], centre[-1], *ends])
        row = [made.names[number], f"{len(series):,}", *texts[:3]]
        rows.append(row + ([] if level is None else [f"{texts[3]} to {texts[4]}"]))
    more = len(made.names) - len(rows)
    return lines_up(header, rows) + (f"\nand {more:,} more: all of them with --csv OUT.csv" if more else "")


def forecast_report(made: Forecasts, table: Table) -> str:
    """The forecasts of a table."""
    parts = []
    if len(made.names) > FEW:
        parts = [forecast_summary(made, table)]
    else:
        for number, name in enumerate(made.names):
            parts.append(("" if len(made.names) == 1 else f"{name}\n") + forecast_table(made, table, number))
    by_note: dict[str, list[str]] = {}
    for name, note in zip(made.names, made.notes, strict=True):
        if note:
            by_note.setdefault(note, []).append(name)
    notes = [
        f"{', '.join(names[:3])}{f' and {len(names) - 3:,} more' if len(names) > 3 else ''}: {note}"
        for note, names in by_note.items()
    ]
    return "\n\n".join(parts) + "".join(f"\n{note}" for note in notes)


def evaluation_report(tested: Evaluation) -> str:
    """Scores by method, the coverage of the intervals, and the verdict."""
    metrics = list(next(iter(tested.scores.values())))
    rows = []
    for metric in metrics:
        [texts] = (
            numbers_alike([scores[metric] for scores in tested.scores.values()])
            if metric == "MAE"
            else [
                [f"{scores[metric]:.3f}" if math.isfinite(scores[metric]) else "" for scores in tested.scores.values()]
            ]
        )
        rows.append(texts)
    table = lines_up(["method", *metrics], [list(row) for row in zip(tested.scores, *rows, strict=True)])
    held = ", ".join(f"{percent(level)} intervals held {share:.0%}" for level, share in tested.coverage.items())
    counts = [len(origins) for origins in tested.origins]
    first = f"{len(tested.names):,} series, " if len(tested.names) > 1 else ""
    first += f"{min(counts)} to {max(counts)} origins each" if min(counts) < max(counts) else f"{max(counts)} origins"
    return "\n".join(
        [f"{first}, each forecast from what was known then:", "", table, "", held, tested.verdict, *tested.warnings]
    )
