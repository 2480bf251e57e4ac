"""The command: forecast many made-up monthly series in a stream of batches, and keep series per second and memory."""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.report import markdown, table
from experiments.results import results_folder, write_file
from jax_lstm import forecast

SEASON = 12


class Work(NamedTuple):
    """The part of the series that one process forecasts.

    Args:
        first: the number of its first batch, which seeds it.
        batches: how many batches.
        batch: series in a batch.
        length: values of a series.
        horizon: steps to forecast.
    """

    first: int
    batches: int
    batch: int
    length: int
    horizon: int


class Found(NamedTuple):
    """What one process did.

    Args:
        series: how many were forecast.
        seconds: of its clock from the first batch that was made to the last one that was forecast.
        cpu: seconds of CPU over the same time.
        peak: the most memory that it had, MiB.
        total: the sum of all forecasts, the same however the work is divided.
    """

    series: int
    seconds: float
    cpu: float
    peak: float
    total: float


def batches(work: Work) -> Iterator[np.ndarray]:
    """Batches of series `(length, batch)`, made when they are asked for: random walks with a season, positive."""
    for number in range(work.first, work.first + work.batches):
        rng = np.random.default_rng(number)
        level = np.cumsum(rng.normal(0, 0.03, (work.length, work.batch)), axis=0)
        season = np.resize(rng.normal(0, 0.2, (SEASON, work.batch)), (work.length, work.batch))
        yield np.exp(level + season + rng.normal(0, 0.05, (work.length, work.batch))) * 100


def run(work: Work) -> Found:
    """Forecast a part of the series, in a process of its own or in this one."""
    begin, cpu, count, total = time.perf_counter(), time.process_time(), 0, 0.0
    for made in forecast.predict_stream(batches(work), work.horizon, season=SEASON):
        count += len(made.names)
        total += float(np.sum(made.forecast))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Found(count, time.perf_counter() - begin, time.process_time() - cpu, peak, total)


def divided(work: Work, processes: int) -> list[Work]:
    """Nearly equal parts, of whole batches."""
    ends = [work.first + work.batches * place // processes for place in range(processes + 1)]
    parts = [work._replace(first=begin, batches=end - begin) for begin, end in itertools.pairwise(ends)]
    return [part for part in parts if part.batches]


def measure(work: Work, processes: int) -> tuple[list[Found], float]:
    """What each process did, and the seconds of all of it, starts of processes and compilation included."""
    begin = time.perf_counter()
    if processes == 1:
        return [run(work)], time.perf_counter() - begin
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(run, divided(work, processes)))
    return found, time.perf_counter() - begin


def report(found: list[Found], seconds: float, work: Work) -> str:
    """One row in Markdown."""
    count = sum(one.series for one in found)
    made = table("series", "length", "horizon", "processes", "seconds", "series a second", "CPU s", "peak MiB")
    made.add_row(
        f"{count:,}",
        str(work.length),
        str(work.horizon),
        str(len(found)),
        f"{seconds:.0f}",
        f"{count / seconds:.0f}",
        f"{sum(one.cpu for one in found):.0f}",
        f"{sum(one.peak for one in found):.0f}",
    )
    return f"{markdown(made)}\n{os.cpu_count()} cores, batches of {work.batch:,} series.\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.scale", description=__doc__)
    parser.add_argument(
        "--series", type=int, default=1_000_000, help="how many, in whole batches (default: %(default)s)"
    )
    parser.add_argument("--length", type=int, default=72, help="values of a series (default: %(default)s)")
    parser.add_argument("--horizon", type=int, default=12, help="steps to forecast (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=4096, help="series at a time (default: %(default)s)")
    parser.add_argument(
        "--processes", type=int, default=1, help="each with a part of the series (default: %(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="two small batches, to see whether it runs")
    parser.add_argument("--out", type=Path, help="the folder for results.md (default: here; a temporary one if quick)")
    given = parser.parse_args(arguments)
    count, batch = (128, 64) if given.quick else (given.series, min(given.batch, given.series))
    work = Work(0, max(1, round(count / batch)), batch, given.length, given.horizon)
    text = report(*measure(work, given.processes), work)
    print(text)
    folder = results_folder(given.out, Path(__file__).parent, quick=given.quick)
    write_file(folder / "results.md", text)


if __name__ == "__main__":
    main()
