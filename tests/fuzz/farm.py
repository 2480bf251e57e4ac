"""Processes that read mutants: forked once the libraries are loaded, replaced when one crashes or hangs."""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias

from . import worker
from .formats import FORMATS, found

SECONDS = 10
"""The longest that reading one file may take, in processor time."""

WAITING = 4
"""How many times as long it may take by the clock, as other programs run on the machine too."""

STARTING = 120
"""The longest that a new process may take to read the valid files."""

READY = "ready"
Report: TypeAlias = Callable[[Any], None]

BATCH = 500
"""Mutants after which a process is replaced, so that what libraries keep does not add up."""


class Finding(NamedTuple):
    """A mutant that was not read as it should be.

    Args:
        name: of its file: the format, the seed and the number of the mutant.
        fault: what happened.
        data: the mutant.
    """

    name: str
    fault: str
    data: bytes


def available(name: str) -> str | None:
    """The library that reading a format needs and that is missing, or None; the others are loaded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import jax_lstm.cli.formats  # noqa: F401

        for library in FORMATS[name].needs:
            try:
                importlib.import_module(library)
            except ImportError:
                return library
    return None


def read_kept(name: str) -> list[Finding]:
    """The findings among the mutants of a format that once failed."""
    left, findings = found(name), []
    while left:
        done, fault = _run(name, partial(_read_kept, name, left))
        findings += [Finding(left[place].name, text, left[place].read_bytes()) for place, text in done if text]
        if fault is None:
            break
        findings.append(Finding(left[len(done)].name, fault, left[len(done)].read_bytes()))
        left = left[len(done) + 1 :]
    return findings


def _read_kept(name: str, files: list[Path], report: Report) -> None:
    """The task of a process that reads files that are kept."""
    worker.fork_hdf5()
    contents = worker.read_seeds(name)
    worker.limit_memory()
    report(READY)
    for place, path in enumerate(files):
        report(place)
        has_truth = FORMATS[name].has_checksum and "signed" not in path.name
        report(worker.reading_fault(FORMATS[name], path, contents if has_truth else None))


def read_mutants(name: str, seed: int, count: int, deadline: float) -> Iterator[tuple[int, Finding | None]]:
    """Read up to `count` mutants of a format until a time, one after the other: the number of each, and its finding."""
    start = 0
    with tempfile.TemporaryDirectory(prefix="jax_lstm-fuzz-") as made:
        folder = Path(made)
        while start < count and time.monotonic() < deadline:
            numbers = range(start, min(start + BATCH, count))
            done, fault = _run(name, partial(_read_mutants, name, seed, numbers, folder, deadline))
            for number, text in done:
                yield number, _finding(name, seed, number, text, folder) if text else None
            start += len(done)
            if fault is not None:
                yield start, _finding(name, seed, start, fault, folder)
                start += 1


def _read_mutants(name: str, seed: int, numbers: range, folder: Path, deadline: float, report: Report) -> None:
    """The task of a process that reads mutants."""
    worker.fork_hdf5()
    contents = worker.read_seeds(name)
    worker.limit_memory()
    report(READY)
    for number, path, signed in worker.mutants(name, seed, numbers, folder):
        if time.monotonic() > deadline:
            return
        report(number)
        has_truth = FORMATS[name].has_checksum and not signed
        report(worker.reading_fault(FORMATS[name], path, contents if has_truth else None))


def _finding(name: str, seed: int, number: int, fault: str, folder: Path) -> Finding:
    """A finding with its mutant, which is made again."""
    ((_, path, signed),) = worker.mutants(name, seed, [number], folder)
    return Finding(f"{name}-{seed}-{number}{'-signed' if signed else ''}{path.suffix}", fault, path.read_bytes())


def _run(name: str, task: Callable[[Report], None]) -> tuple[list[tuple[int, str | None]], str | None]:
    """Run a task in a forked process.

    Args:
        name: of the format.
        task: it reports `READY` once it has started, and then what it begins and how that ended, by turns.

    Returns:
        What was reported, in pairs, and how the process failed in what it had begun; None if it did not.
    """
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX's threads, of which none runs before the fork
        child = os.fork()
    if child == 0:
        _child(reader, writer, task)
    os.close(writer)
    reports: list[Any] = []
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        fault = _listen(pipe, reports, child)
    _, status = os.waitpid(child, 0)
    if fault is None and status:
        ended = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"
        fault = f"crash: {ended}"
    if not reports:
        raise RuntimeError(f"the process that reads {name} does not start: {fault}")
    del reports[0]
    return list(zip(reports[::2], reports[1::2], strict=False)), fault


def _child(reader: int, writer: int, task: Callable[[Report], None]) -> None:
    """The forked process: the task, and then its end."""
    code = 1
    try:
        os.close(reader)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1):
            os.dup2(null, descriptor)
        with os.fdopen(writer, "wb", buffering=0) as pipe:
            task(lambda value: pipe.write(json.dumps(value).encode() + b"\n") and None)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _listen(pipe: IO[bytes], reports: list[Any], child: int) -> str | None:
    """Collect reports until the process ends; one that is silent for too long is killed."""
    rest, since, used = b"", time.monotonic(), _processor_seconds(child)
    while True:
        if select.select([pipe], [], [], 0.5)[0]:
            piece = pipe.read(1 << 16)
            if not piece:
                return None
            *lines, rest = (rest + piece).split(b"\n")
            reports += map(json.loads, lines)
            since, used = time.monotonic(), _processor_seconds(child)
            continue
        patience = SECONDS if reports else STARTING
        if _processor_seconds(child) - used > patience or time.monotonic() - since > WAITING * patience:
            os.kill(child, signal.SIGKILL)
            return f"hang: more than {patience} seconds"


def _processor_seconds(process: int) -> float:
    """The processor time that a process has taken; none once it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    user, system = fields[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
