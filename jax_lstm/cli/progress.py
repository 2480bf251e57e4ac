"""Progress over many series, with the time left, on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MANY = 50
"""From how many series on progress is shown; fewer are done in a moment."""


@contextmanager
def over_series(series: int, what: str, *, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A function that `predict` and `evaluate` call with their progress, or None where no progress is shown.

    Args:
        series: how many there are.
        what: is counted: "series", "forecasts".
        quiet: whether to show nothing.
    """
    if quiet or series < MANY or not sys.stderr.isatty():
        yield None
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        yield None
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn(f"{what}, left"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
