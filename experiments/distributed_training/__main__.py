"""Run the training in one process, then in two over `jax.distributed`, and compare the parameters."""

import argparse
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from experiments.distributed_training import tpu_slice

TOLERANCE = 1e-6


def run(processes: int, folder: Path, arguments: list[str], time_limit: float) -> dict[str, np.ndarray]:
    """The parameters and losses of a run in this many processes on this machine, each with one device."""
    output = folder / f"{processes}.npz"
    command = [sys.executable, "-m", "experiments.distributed_training.train", "--output", str(output), *arguments]
    if processes > 1:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            command += ["--coordinator", f"127.0.0.1:{free.getsockname()[1]}", "--processes", str(processes)]
    started = []
    try:
        for process in range(processes):
            started.append(subprocess.Popen([*command, "--process", str(process)], stderr=subprocess.PIPE, text=True))
        for process in started:
            _, errors = process.communicate(timeout=time_limit)
            if process.returncode:
                raise RuntimeError(f"a process of {processes} ended with code {process.returncode}: {errors[-2000:]}")
    finally:
        for process in started:
            process.kill()
            process.wait()
    with np.load(output) as arrays:
        return dict(arrays)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.distributed_training", description=__doc__)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--time-limit", type=float, default=300, metavar="SECONDS", help="for each of the two runs")
    parser.add_argument(
        "--tpu-slice", action="store_true", help="instead, compile a step for four TPUs: no TPU is needed"
    )
    given = parser.parse_args()
    if given.tpu_slice:
        return tpu_slice.main()
    with tempfile.TemporaryDirectory() as folder:
        one, two = (
            run(count, Path(folder), ["--float64", "--steps", str(given.steps)], given.time_limit) for count in (1, 2)
        )
    difference = max(float(np.abs(one[name] - two[name]).max()) for name in one)
    agree = difference <= TOLERANCE
    verdict = f"{'within' if agree else 'beyond'} {TOLERANCE:.0e}"
    print(f"greatest difference of a parameter or a loss: {difference:.1e}, {verdict}")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
