"""A run that is killed again and again ends with the bits of the run that was not."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

CHILD = Path(__file__).with_name("train_child.py")
KILLS = 20


def start(folder, every, tmp_path, output) -> subprocess.Popen:
    arguments = [sys.executable, str(CHILD), str(folder), str(every), str(tmp_path / "compiled"), str(tmp_path / output)]
    return subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()


def latest(names: list[str]) -> int:
    return max((int(name) for name in names if name.isdigit()), default=0)


def test_a_run_killed_at_random_times_ends_as_if_it_had_not_been(tmp_path):
    finish(start("", 1, tmp_path, "whole.npz"))
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    half_written, newest = 0, 0
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    for kill in range(KILLS):
        process = start(folder, 1, tmp_path, "killed.npz")
        wanted = newest + dice.randint(0, 3)
        while process.poll() is None:
            names = os.listdir(folder)
            # a checkpoint a step; every other kill waits until one is being written
            if latest(names) >= wanted and (kill % 2 or any(name.endswith("-tmp") for name in names)):
                break
            time.sleep(0.001)
        time.sleep(dice.uniform(0, 0.03))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "the run ended before it was killed"
        names = os.listdir(folder)
        half_written += any(name.endswith("-tmp") for name in names)
        assert latest(names) >= newest
        newest = latest(names)
    assert half_written > 0
    assert 0 < newest < 300

    finish(start(folder, 1000, tmp_path, "killed.npz"))
    with np.load(tmp_path / "whole.npz") as whole, np.load(tmp_path / "killed.npz") as killed:
        assert whole.files == killed.files
        for name in whole.files:
            np.testing.assert_array_equal(killed[name], whole[name], err_msg=name)
