"""Two processes over `jax.distributed` find what one process finds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.exhaustive
def test_two_processes_find_what_one_finds():
    # each process starts JAX for itself, with one device; what the tests set for theirs does not hold there
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_"))} | {
        "JAX_PLATFORMS": "cpu"
    }
    command = [sys.executable, "-m", "experiments.distributed_training", "--steps", "30"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 processes, 2 devices" in done.stdout
    assert "within 1e-06" in done.stdout
