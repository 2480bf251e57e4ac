"""Mutated files of every format, in processes of their own, and what the harness calls a finding."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=900, check=False
    )


def test_mutants_are_refused_in_one_line_or_read_as_they_were():
    """The formats that need no framework; the gate reads more mutants, of every format."""
    done = run("-m", "tests.fuzz", "--format", "safetensors", "--format", "npz", "--count", "100", "--seconds", "300")
    assert done.stdout.count("100 mutants") == 2, done.stdout + done.stderr
    assert done.returncode == 0, done.stdout


FAULTY = """
import os, sys, time
from tests.fuzz import farm, formats
from tests.fuzz.formats import Format

def read(path):
    if path.parent == formats.SEEDS:  # valid files are read well
        return 1.0
    if kind == "crash":
        os.abort()
    if kind == "hang":
        time.sleep(60)
    if kind == "memory":
        bytearray(400 << 20)[::4096] = bytes(len(range(0, 400 << 20, 4096)))
    if kind == "nameless":
        raise ValueError("it is damaged")
    if kind == "traceback":
        raise KeyError("a")
    if kind == "refused":
        raise ValueError(f"{path} is damaged")
    return 2.0

farm.SECONDS = 2
formats.FORMATS["npz"] = Format(read, has_checksum=True, shown=False)
for kind in sys.argv[1:]:
    findings = [finding for _, finding in farm.read_mutants("npz", 0, 3, time.monotonic() + 60) if finding]
    print(kind, *{finding.fault.strip().splitlines()[-1] for finding in findings}, sep="|")
"""


@pytest.mark.exhaustive
def test_the_harness_sees_each_kind_of_fault():
    done = run("-c", FAULTY, "crash", "hang", "memory", "nameless", "traceback", "other", "refused")
    assert done.returncode == 0, done.stderr
    seen = dict(line.split("|", 1) if "|" in line else (line, "") for line in done.stdout.splitlines())
    assert "memory: " in seen.pop("memory")
    assert seen == {
        "crash": "crash: signal 6",
        "hang": "hang: more than 2 seconds",
        "nameless": "the refusal does not name the file: ValueError('it is damaged')",
        "traceback": "KeyError: 'a'",
        "other": "other content",
        "refused": "",
    }
