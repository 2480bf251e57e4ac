"""Forecasts and evaluations as a person reads them in a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jax_lstm.cli.printing import plain

if TYPE_CHECKING:
    from jax_lstm.forecast import Evaluation, Forecasts, Table

WIDEST = 60
"""Characters of one cell that are printed."""

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
    """A table as text: the first column to the left, the others to the right; long cells are cut."""
    cells = [[plain(cell, WIDEST) for cell in row] for row in (header, *rows)]
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
    center = made.forecast[number]
    columns = {"forecast": center}
    for level in made.lower:
        columns |= {
            f"low {percent(level)}": made.lower[level][number],
            f"high {percent(level)}": made.upper[level][number],
        }
    times = table.calendar.texts(table.times_ahead(number, len(center)))
    texts = numbers_alike(*columns.values())
    rows = [list(row) for row in zip(times, *texts, strict=True)]
    return lines_up([table.roles.time_name, *columns], rows)


def forecast_summary(made: Forecasts, table: Table, most: int = 10) -> str:
    """The forecasts of many series: a few of them by their last value, the next and the last forecast."""
    horizon = len(made.forecast[0])
    level = min(made.lower, default=None)
    header = [" / ".join(table.roles.id) or "series", "values", "last value", "next", f"step {horizon}"]
    header += [] if level is None else [f"its {percent(level)} interval"]
    rows = []
    for number in range(min(most, len(made.names))):
        series, center = table.series[number], made.forecast[number]
        ends = () if level is None else (made.lower[level][number][-1], made.upper[level][number][-1])
        [texts] = numbers_alike([series[np.isfinite(series)][-1], center[0], center[-1], *ends])
        row = [made.names[number], f"{len(series):,}", *texts[:3]]
        rows.append(row + ([] if level is None else [f"{texts[3]} to {texts[4]}"]))
    more = len(made.names) - len(rows)
    return lines_up(header, rows) + (f"\nand {more:,} more: all of them with --csv OUT.csv" if more else "")


def forecast_columns(made: Forecasts, table: Table) -> dict[str, list[Any]]:
    """The forecasts as columns for a file, a row for each series and time; times as text that reads back."""
    sizes = [len(one) for one in made.forecast]
    columns = key_columns(table, sizes)
    columns[table.roles.time_name] = [
        time for number, size in enumerate(sizes) for time in table.calendar.texts(table.times_ahead(number, size))
    ]
    columns["forecast"] = np.concatenate(made.forecast).tolist()
    for level in made.lower:
        columns[f"low {percent(level)}"] = np.concatenate(made.lower[level]).tolist()
        columns[f"high {percent(level)}"] = np.concatenate(made.upper[level]).tolist()
    return columns


def key_columns(table: Table, sizes: Sequence[int]) -> dict[str, list[Any]]:
    """The columns that name the series, each name as often as its series has rows; none for one series."""
    keys = table.origin.keys
    if keys is None:
        return {}
    rows = np.repeat(np.arange(len(sizes)), sizes)
    return {name: keys[name].iloc[rows].tolist() for name in keys}


def evaluation_columns(tested: Evaluation, table: Table) -> dict[str, list[Any]]:
    """The cross-validation as columns for a file: a row for each series, cutoff and step, with their times."""
    number = {name: place for place, name in enumerate(table.names)}
    times = [table.calendar.texts(table.times(place)) for place in range(len(table.names))]
    series = [number[name] for name in tested.rows["series"]]
    cutoffs, steps = (tested.rows[name].astype(int).tolist() for name in ("cutoff", "step"))
    columns = key_columns(table, np.bincount(series, minlength=len(table.names)).tolist())
    columns["cutoff"] = [times[one][cutoff - 1] for one, cutoff in zip(series, cutoffs, strict=True)]
    ends = zip(series, cutoffs, steps, strict=True)
    columns[table.roles.time_name] = [times[one][cutoff + step - 1] for one, cutoff, step in ends]
    others = (name for name in tested.rows if name not in ("series", "cutoff", "step"))
    return columns | {name: tested.rows[name].tolist() for name in others}


def forecast_report(made: Forecasts, table: Table) -> str:
    """The forecasts of a table."""
    parts = []
    if len(made.names) > FEW:
        parts = [forecast_summary(made, table)]
    else:
        for number, name in enumerate(made.names):
            parts.append(("" if len(made.names) == 1 else f"{plain(name)}\n") + forecast_table(made, table, number))
    by_note: dict[str, list[str]] = {}
    for name, note in zip(made.names, made.notes, strict=True):
        if note:
            by_note.setdefault(note, []).append(name)
    notes = []
    for note, names in by_note.items():
        shown = ", ".join(plain(name, WIDEST) for name in names[:3])
        notes.append(f"\n{shown}{f' and {len(names) - 3:,} more' if len(names) > 3 else ''}: {note}")
    return "\n\n".join(parts) + "".join(notes)


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
    held = ", ".join(
        f"{percent(level)} intervals covered {share:.0%} of the values" for level, share in tested.coverage.items()
    )
    counts = [len(cutoffs) for cutoffs in tested.cutoffs]
    first = f"{len(tested.names):,} series, " if len(tested.names) > 1 else ""
    first += f"{min(counts)} to {max(counts)} cutoffs each" if min(counts) < max(counts) else f"{max(counts)} cutoffs"
    said = map(plain, (tested.verdict, *tested.warnings))
    return "\n".join([f"{first}, each forecast from the values known then:", "", table, "", held, *said])
