"""What only a fresh process shows: the time of the first call, and how much memory a call takes.

`python -m experiments.benchmark.fresh SYSTEM [SHAPE ...]` is one such process.
"""

from __future__ import annotations

import ctypes
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FIRST = "small"


def measure(part: str, names: list[str], seconds: float, processes: int = 3) -> dict[str, Any]:
    """Each system in turn: seconds of its first call, best of several processes, and MiB of the gradient by shape."""
    from experiments.benchmark.peers import PEERS

    first, memory = {}, {}
    for system in ("jax_lstm", *(peer for peer in PEERS if peer != "ONNX Runtime")):
        children = [_child(system, names)] + [_child(system, []) for _ in range(processes - 1)]
        if all(children):
            first[system] = min(child["first"] for child in children)
            memory[system] = children[0]["memory"]
            print(f"{system}, in fresh processes: done", file=sys.stderr)
    return {"first call, seconds": first, "memory of the gradient, MiB": memory}


def _child(system: str, names: list[str]) -> dict[str, Any]:
    """What a fresh process finds; nothing where the system is not installed."""
    command = [sys.executable, "-m", "experiments.benchmark.fresh", system, *names]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main(system: str, names: list[str]) -> dict[str, Any]:
    """The first gradient of a process on the shape `FIRST`, and the memory that gradients take."""
    import jax

    from experiments.benchmark import ours, peers, shapes

    make = {"jax_lstm": ours.plain, **peers.PEERS}[system]
    try:
        call = make(shapes.work_of(FIRST))["gradient"]
    except ImportError:
        return {}
    begin = time.perf_counter()
    jax.block_until_ready(call())
    first = time.perf_counter() - begin
    memory = {name: taken(make(shapes.work_of(shapes.parse(name)))["gradient"]) for name in names}
    return {"first": first, "memory": memory}


def taken(call: Callable[[], Any]) -> float | None:
    """How far a call raises the memory that this process holds (MiB), its result included; None outside of Linux.

    The call before it compiles what it needs, and its memory is given back.
    """
    import jax

    if sys.platform != "linux":
        return None
    c_library = ctypes.CDLL(None)
    c_library.mallopt(-3, 2**16)  # M_MMAP_THRESHOLD: what is freed goes back at once
    jax.block_until_ready(call())
    gc.collect()
    c_library.malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak becomes what is held now
    before = _held("VmRSS")
    jax.block_until_ready(call())
    return (_held("VmHWM") - before) / 2**10


def _held(name: str) -> int:
    """A line of this process's status, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2:])))
