"""One mutant read in a process of its own: what it may do, and what is a finding."""

from __future__ import annotations

import contextlib
import io
import os
import random
import re
import resource
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .formats import FORMATS, Format, seeds
from .mutate import mutant

ALLOWANCE, MULTIPLE = 300 << 20, 10
"""Bytes that reading may take beyond what the process has: the allowance, and this many times the file."""

HARD = 3 << 30
"""Bytes after which the system refuses more, to protect the machine that this runs on."""


def read_seeds(name: str) -> list[Any]:
    """The content of the valid files of a format; they make the libraries load what they load late."""
    warnings.simplefilter("ignore")
    contents = [fingerprint(FORMATS[name].read(path)) for path in seeds(name)]
    for path in seeds(name):
        fault = reading_fault(FORMATS[name], path, contents)
        if fault:
            raise AssertionError(f"the valid file {path} fails: {fault}")
    return contents


def mutants(name: str, seed: int, numbers: Iterable[int], folder: Path) -> Iterator[tuple[int, Path, bool]]:
    """Write mutants one after the other: their number, their path and whether their checksums are right."""
    valid = [path.read_bytes() for path in seeds(name)]
    suffix = "".join(seeds(name)[0].suffixes)
    path = folder / f"mutant{suffix}"
    for number in numbers:
        dice = random.Random(f"{name} {seed} {number}")
        made = mutant(dice, dice.choice(valid), dice.choice(valid))
        path.write_bytes(made.data)
        yield number, path, made.signed


def limit_memory() -> None:
    """Let the system refuse what would exhaust the machine."""
    used = _status("VmData")
    resource.setrlimit(resource.RLIMIT_DATA, (used + HARD, resource.RLIM_INFINITY))


def fork_hdf5() -> None:
    """Read HDF5 files in forks of this process: a new interpreter for each takes most of the time of a mutant."""
    from jax_lstm.interop import _hdf5, _hdf5_child

    last: list[Any] = [None, None]  # a mutant is read twice, by the reader and by the command

    def run(command: list[str], seconds: float) -> tuple[int, bytes]:
        content = Path(command[-4]).read_bytes()
        if content != last[0]:
            last[:] = content, forked(command, seconds)
        result: tuple[int, bytes] = last[1]
        return result

    def forked(command: list[str], seconds: float) -> tuple[int, bytes]:
        path, size, memory, processor = command[-4:]
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(reader)
                os.dup2(writer, 1)
                sys.stdout = io.TextIOWrapper(open(1, "wb", closefd=False))  # noqa: SIM115
                # two seconds less, as h5py is there already
                _hdf5_child.limit(_status("VmSize") + int(memory), int(processor) - 2)
                _hdf5_child.main(path, int(size))
                sys.stdout.flush()
                os._exit(0)
            finally:
                os._exit(1)
        os.close(writer)
        alarm = threading.Timer(seconds, os.kill, (child, signal.SIGKILL))
        alarm.start()
        with os.fdopen(reader, "rb") as pipe:
            output = pipe.read()
        alarm.cancel()
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), output

    _hdf5.run_child = run


def reading_fault(form: Format, path: Path, contents: list[Any] | None) -> str | None:
    """What is wrong with how a file is read, or None.

    Args:
        form: its format.
        path: the file.
        contents: what its content may be; None for anything.
    """
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory starts from here
    before = _status("VmRSS")
    fault = _fault(form, path, contents)
    taken, allowed = _status("VmHWM") - before, MULTIPLE * path.stat().st_size + ALLOWANCE
    if fault is None and taken > allowed:
        return f"memory: {taken:,} bytes for a file of {path.stat().st_size:,}"
    return fault


def _fault(form: Format, path: Path, contents: list[Any] | None) -> str | None:
    try:
        content = form.read(path)
    except (ValueError, OSError) as error:
        if str(path) not in str(error) and path != getattr(error, "filename", None):
            return f"the refusal does not name the file: {error!r}"[:400]
    except BaseException:
        return traceback.format_exc()[-3000:]
    else:
        if contents is not None and fingerprint(content) not in contents:
            return "other content"
    return _command_fault(path) if form.shown else None


def _command_fault(path: Path) -> str | None:
    """What is wrong with how `jax-lstm show` prints or refuses a file, or None."""
    from jax_lstm.cli import main

    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(["show", str(path)])
    except BaseException:
        return traceback.format_exc()[-3000:]
    said = out.getvalue() + err.getvalue()
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", said):
        return f"control characters reach the terminal: {said[:400]!r}"
    if code not in (0, 2) or (code == 2 and (out.getvalue() or err.getvalue().count("\n") != 1)):
        return f"exit code {code}, expected one line: {said[:400]!r}"
    return None


def fingerprint(content: Any) -> Any:
    """What two readings of the same content have in common, to the bit."""
    import jax
    import numpy as np

    leaves, structure = jax.tree.flatten(content)
    arrays = [np.asarray(leaf) if hasattr(leaf, "dtype") else repr(leaf) for leaf in leaves]
    return str(structure), [
        one if isinstance(one, str) else (str(one.dtype), one.shape, one.tobytes()) for one in arrays
    ]


def _status(field: str) -> int:
    """A field of the process's memory, in bytes."""
    with open("/proc/self/status", encoding="ascii") as lines:
        for line in lines:
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    raise LookupError(field)
