"""Progress on a terminal, with rich."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np


@contextmanager
def showing(progress: bool | None, steps: int, done: int) -> Iterator[Callable[[int, Any], None]]:
    """A function `(done, losses)` that shows the progress of a run, or does nothing.

    Args:
        progress: whether to show it; None where standard error is a terminal and rich is installed.
        steps: the steps of the run.
        done: the steps already taken.
    """
    if progress is False or jax.process_index() or (progress is None and not sys.stderr.isatty()):
        yield lambda done, losses: None
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError as error:
        if progress is None:
            yield lambda done, losses: None
            return
        raise ImportError(
            "progress needs rich: pip install rich, or in a clone pip install '.[train]'; or give progress=False"
        ) from error

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}  {task.fields[loss]}  left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=steps, completed=done, rate="", loss="")

        def show(done: int, losses: Any) -> None:
            last = np.asarray(losses)[..., done - 1]
            loss = np.median(last[np.isfinite(last)]) if np.isfinite(last).any() else np.nan
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, rate=f"{speed:.1f} steps/s" if speed else "", loss=f"loss {loss:.4g}")

        yield show
