"""A run that is killed again and again ends with the bits of the run that was not."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import train_child

CHILD = Path(__file__).with_name("train_child.py")


def start(folder, steps: int, every: int, tmp_path, output: str) -> subprocess.Popen:
    arguments = [folder, steps, every, tmp_path / "compiled", tmp_path / output]
    return subprocess.Popen(
        [sys.executable, str(CHILD), *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()


def latest(names: list[str]) -> int:
    return max((int(name) for name in names if name.isdigit()), default=0)


def kill_at_random(process: subprocess.Popen, folder: Path, after: int, dice: random.Random, *, writing: bool) -> bool:
    """Kill a run soon after it has saved the step `after`, or while it is `writing` another.

    Returns:
        Whether a checkpoint was left half written.
    """
    while process.poll() is None:
        names = os.listdir(folder)
        if latest(names) >= after and (not writing or any(name.endswith("-tmp") for name in names)):
            break
        time.sleep(0.001)
    time.sleep(dice.uniform(0, 0.03))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "the run ended before it was killed"
    return any(name.endswith("-tmp") for name in os.listdir(folder))


def killed(folder: Path, kills: int, steps: int, tmp_path: Path) -> int:
    """Start a run and kill it, `kills` times; how many kills left a checkpoint half written."""
    folder.mkdir()
    half_written, newest = 0, 0
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    for kill in range(kills):
        process = start(folder, steps, 1, tmp_path, "killed.npz")  # a checkpoint at every step
        after = newest + dice.randint(0 if kill else 1, 3)
        half_written += kill_at_random(process, folder, after, dice, writing=kill % 2 == 0)
        assert latest(os.listdir(folder)) >= newest
        newest = latest(os.listdir(folder))
    assert 0 < newest < steps
    return half_written


def assert_same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.exhaustive
def test_a_run_killed_twice_ends_as_if_it_had_not_been(tmp_path):
    """Killed in processes of its own, and finished in this one, which spares it two starts."""
    whole = train_child.leaves(train_child.run(None, 1, steps=60))
    killed(tmp_path / "checkpoints", 2, 60, tmp_path)
    assert_same(train_child.leaves(train_child.run(tmp_path / "checkpoints", 1000, steps=60)), whole)


@pytest.mark.exhaustive
def test_a_run_killed_twenty_times_ends_as_if_it_had_not_been(tmp_path):
    finish(start("", 300, 1, tmp_path, "whole.npz"))
    assert killed(tmp_path / "checkpoints", 20, 300, tmp_path) > 0
    finish(start(tmp_path / "checkpoints", 300, 1000, tmp_path, "killed.npz"))
    with np.load(tmp_path / "whole.npz") as whole, np.load(tmp_path / "killed.npz") as resumed:
        assert_same(resumed, whole)
