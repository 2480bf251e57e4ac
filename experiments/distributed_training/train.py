"""Train a small network on all devices of all processes: one machine, several GPU hosts or a TPU slice."""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from jax_lstm import Readout, init, lstm, readout
from jax_lstm.parallel import batch_mesh
from jax_lstm.train import Checkpoints, Fitted, fit


def mean_squared_error(params, batch, key):
    xs, targets = batch
    carry, _ = lstm(params["layer"], xs)
    return jnp.mean((readout(params["readout"], carry.h) - targets) ** 2)


def task(length: int = 12):
    """Parameters, and data of a short adding problem: sequences, and the sums of their marked values."""
    random = np.random.default_rng(0)
    values, marks = random.uniform(size=(length, 256)), random.integers(0, 2, size=(length, 256))
    data = np.stack([values, marks], axis=-1), (values * marks).sum(axis=0)[:, None]
    params = {"layer": init(jax.random.key(0), 2, 16), "readout": Readout(jnp.zeros((16, 1)), jnp.zeros(1))}
    return params, jax.tree.map(jnp.asarray, data)  # in JAX's default float


def train(params, data, steps: int, mesh: Mesh, checkpoints: Checkpoints | None = None) -> Fitted:
    """Learn the task, the batch sharded over a mesh."""
    return fit(
        mean_squared_error,
        params,
        data,
        optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2)),
        key=jax.random.key(1),
        steps=steps,
        batch_size=64,
        batch_axis=(1, 0),
        mesh=mesh,
        checkpoints=checkpoints,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.distributed_training.train", description=__doc__)
    parser.add_argument(
        "--cluster",
        action="store_true",
        help="let JAX find the other processes (Slurm, Open MPI, Kubernetes, TPU slices)",
    )
    parser.add_argument(
        "--coordinator", metavar="HOST:PORT", help="where process 0 listens, if the cluster cannot be found"
    )
    parser.add_argument("--processes", type=int, help="how many there are, with --coordinator")
    parser.add_argument("--process", type=int, help="which this is, from 0, with --coordinator")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--float64", action="store_true", help="compute in float64")
    parser.add_argument(
        "--checkpoints", metavar="FOLDER", help="where to keep checkpoints and go on from; all processes must see it"
    )
    parser.add_argument("--output", metavar="FILE.npz", help="where process 0 writes the parameters")
    given = parser.parse_args()
    jax.config.update("jax_enable_x64", given.float64)
    if given.cluster or given.coordinator:
        jax.config.update(
            "jax_cpu_collectives_implementation", "gloo"
        )  # of no effect on GPUs and TPUs, which bring their own
        jax.distributed.initialize(given.coordinator, given.processes, given.process)
    checkpoints = Checkpoints(given.checkpoints, every=25) if given.checkpoints else None
    fitted = train(*task(), given.steps, batch_mesh(), checkpoints)
    if jax.process_index() == 0:
        where = f"{jax.process_count()} processes, {jax.device_count()} devices"
        print(f"{where}: loss {fitted.history.loss[-1]:.6f} after {fitted.steps} steps")
        if given.output:
            np.savez(
                given.output, *map(np.asarray, jax.tree.leaves(fitted.params)), loss=np.asarray(fitted.history.loss)
            )


if __name__ == "__main__":
    main()
