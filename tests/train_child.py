"""A small training that keeps checkpoints, for the tests that kill it."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jax_lstm import Clip, Readout, init, lstm, readout
from jax_lstm.train import Checkpoints, fit

XS = np.random.default_rng(0).normal(size=(6, 20, 1)).astype(np.float32)
BATCH = XS, XS.sum(axis=0)
OPTIMIZER = optax.chain(
    optax.add_noise(0.01, 0.5, key=jax.random.key(3)), optax.adam(optax.cosine_decay_schedule(0.05, 300))
)


def loss(params, batch, key):
    """Noise from the key and a clipped cell, so that a lost key, row or field would be seen."""
    xs, targets = batch
    carry, _ = lstm(params["layer"], xs + 0.1 * jax.random.normal(key, xs.shape))
    return jnp.mean((readout(params["readout"], carry.h) - targets) ** 2)


def held_out(params):
    return loss(params, BATCH, jax.random.key(5))


def run(folder, every, steps=300):
    """Train, from the newest checkpoint in the folder if there is one."""
    params = {
        "layer": init(jax.random.key(0), 1, 3)._replace(clip=Clip(cell=2.0)),
        "readout": Readout(jnp.ones((3, 1)), None),
    }
    return fit(
        loss, params, BATCH, OPTIMIZER, key=jax.random.key(1), steps=steps, batch_size=6, batch_axis=(1, 0),
        validation=held_out, validate_every=7,
        checkpoints=None if folder is None else Checkpoints(folder, every, keep=3),
    )  # fmt: skip


def leaves(fitted) -> dict[str, np.ndarray]:
    """The result as plain arrays, by name."""
    plain = jax.tree.map(
        lambda leaf: jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf, fitted
    )
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree.leaves_with_path(plain)}


def main(folder: str, steps: int, every: int, compiled: str, output: str) -> None:
    """Run to the end and write the result; compiled programs are cached, so that the next process starts soon."""
    # compiling with all passes takes longer than these few steps
    jax.config.update("jax_disable_most_optimizations", steps < 100)
    jax.config.update("jax_compilation_cache_dir", compiled)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    outcome = leaves(run(folder or None, every, steps))
    with open(f"{output}.part", "wb") as file:
        np.savez(file, **outcome)
    os.replace(f"{output}.part", output)


if __name__ == "__main__":
    import sys

    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
