"""With `--device`: check and time every schedule on this machine's GPU or TPU, and write a report for an issue.

Without it: count the instruction bundles of a step on a TPU, of XLA's loop for a schedule and of the TPU kernel's loop.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

CHIPS = {"v5e": "v5e:2x2", "v6e": "v6e:2x2", "v5p": "v5p:2x2x1", "tpu7x": "tpu7x:2x2x1"}
COUNTED = "fusion|custom-call|convolution|copy|dynamic-update-slice|dynamic-slice|copy-start"


def compile_program(chip: str, schedule: str, sizes: list[int], dtype: str, features: int) -> str:
    """The text of a layer's gradient program; libtpu writes its instructions where LIBTPU_INIT_ARGS says."""
    import jax
    import jax.numpy as jnp
    from jax.experimental import topologies
    from jax.sharding import AxisType, NamedSharding, PartitionSpec

    from jax_lstm import init, lstm

    devices = topologies.get_topology_desc(platform="tpu", topology_name=CHIPS[chip]).devices[:1]
    mesh = jax.make_mesh((1,), ("chip",), axis_types=(AxisType.Auto,), devices=devices)
    time, batch, hidden = sizes
    params = jax.eval_shape(lambda: init(jax.random.key(0), features, hidden))
    arrays = params, jax.ShapeDtypeStruct((time, batch, features), dtype)
    place = NamedSharding(mesh, PartitionSpec())
    arrays = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, dtype, sharding=place), arrays)

    def loss(arrays):
        return jnp.sum(jnp.square(lstm(*arrays, schedule=schedule)[1].astype(jnp.float32)))

    with jax.set_mesh(mesh):
        return jax.jit(jax.grad(loss)).trace(arrays).lower().compile().as_text()


def bundles(path: Path) -> dict[int, int]:
    """The number of bundles at each depth of loops, from a final listing of libtpu."""
    counts: dict[int, int] = {}
    for line in path.read_text(errors="replace").splitlines():
        if match := re.match(r"\s*(?:0x[0-9a-f]+|0)\s+(?:\w\w)?\s*:\s*((?:> ?)*)\s*\{", line):
            depth = match[1].count(">")
            counts[depth] = counts.get(depth, 0) + 1
    return counts


def listings(folder: Path) -> dict[str, Path]:
    """The final listing of every operation that was compiled, by its name."""
    found = folder.glob("*final_bundles.txt")
    return {
        re.sub(r"^\d+-(.*)-\d+-final_bundles.txt$", r"\1", path.name): path
        for path in found
        if "schedule" not in path.name
    }


def loop_bundles(program: str, folder: Path) -> list[int]:
    """For every loop of XLA's program, the bundles of one pass: of what its body runs, inner loops counted once."""
    bodies = re.findall(r" while\(.*?body=%?([\w.\-]+)", program)
    blocks = dict(re.findall(r"^%?([\w.\-]+) \([^\n]*\{\n(.*?)^\}", program, re.MULTILINE | re.DOTALL))
    files = listings(folder)
    totals = []
    for body in bodies:
        names = re.findall(rf"%([\w.\-]+) = [^\n]*? (?:{COUNTED})\(", blocks[body])
        totals.append(sum(sum(bundles(files[name]).values()) for name in names if name in files))
    return totals


def kernel_bundles(folder: Path, time: int) -> dict[str, str]:
    """For both kernels the bundles of a step: of the loop over steps, and a step's share of the loop over blocks."""
    found = {}
    for name, path in listings(folder).items():
        for kernel in ("lstm_forward", "lstm_backward"):
            if kernel in name:
                counts = bundles(path)
                found[kernel] = f"{counts[max(counts)]} + {counts.get(1, 0) / time:.0f}"
    return found


def measure(chip: str, schedule: str, sizes: list[int], dtype: str, features: int) -> str:
    """One line of the table."""
    with tempfile.TemporaryDirectory() as folder:
        child = [sys.executable, "-m", "experiments.accelerators", "--child", schedule, "--chip", chip]
        child += ["--sizes", *map(str, sizes), "--dtype", dtype, "--features", str(features)]
        dump = f"--xla_jf_dump_to={folder} --xla_jf_dump_llo_text=true"
        settings = {
            "LIBTPU_INIT_ARGS": dump,
            "JAX_PLATFORMS": "cpu",
            "TPU_SKIP_MDS_QUERY": "1",
            "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
        }
        program = subprocess.run(child, env=os.environ | settings, capture_output=True, text=True, check=True).stdout
        if schedule != "pallas":
            return " ".join(map(str, loop_bundles(program, Path(folder))))
        from jax_lstm.schedules.kernels import tpu

        time, batch, hidden = sizes
        blocks = tpu.choose_blocks(time, batch, features, hidden, 2 if dtype == "bfloat16" else 4, tpu.LEAST_VMEM)
        counted = kernel_bundles(Path(folder), blocks.time)
        return ", ".join(f"{name} {count}" for name, count in sorted(counted.items()))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.accelerators", description=__doc__)
    parser.add_argument("--device", action="store_true", help="check and time every schedule on this machine's device")
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="with --device, how long it may take (default: %(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("device.json"), help="with --device, where to write (default: %(default)s)"
    )
    parser.add_argument("--chip", choices=CHIPS, default="v5e")
    parser.add_argument("--sizes", type=int, nargs=3, default=[128, 64, 256], metavar=("TIME", "BATCH", "HIDDEN"))
    parser.add_argument("--features", type=int, default=128)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.device:
        from experiments.accelerators import device

        return device.run(given.minutes, given.out)
    if given.child:
        print(compile_program(given.chip, given.child, given.sizes, given.dtype, given.features))
        return 0
    for schedule in ("scan", "deferred", "pallas"):
        print(
            given.chip,
            given.sizes,
            given.dtype,
            schedule,
            measure(given.chip, schedule, given.sizes, given.dtype, given.features),
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
