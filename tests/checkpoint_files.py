"""Checkpoints for the tests: every variant, arrays of any bits, and what a file says of itself."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import safe_open

from jax_lstm import Clip, init

VARIANTS = {
    "plain": {},
    "no bias": {"bias": False},
    "peephole": {"peephole": True},
    "projection": {"projection": 2},
    "norm": {"norm": True},
    "coupled": {"coupled": True, "peephole": True},
    "diagonal": {"diagonal": True},
    "heads": {"heads": 2},
    "exponential": {"heads": 1, "exponential": True},
    "clipped": {"clip": Clip(cell=0.1, gates=3)},
    "both ways": {"bidirectional": True},
    "everything": {"bidirectional": True, "peephole": True, "projection": 3, "norm": True, "clip": Clip(gates=1e-300)},
}


def filled(tree, dtype, seed=0):
    """The same structure with arrays of every kind of bits: subnormals, infinities, negative zeros, NaN payloads."""
    rng = np.random.default_rng(seed)
    dtype = jnp.dtype(dtype)
    return jax.tree.map(
        lambda leaf: np.frombuffer(rng.bytes(leaf.size * dtype.itemsize), dtype).reshape(leaf.shape), tree
    )


def bits(tree):
    return jax.tree.structure(tree), [
        (leaf.dtype, leaf.shape, np.asarray(leaf).tobytes()) for leaf in jax.tree.leaves(tree)
    ]


def described(path):
    with safe_open(path, "np") as file:
        return json.loads(file.metadata()["jax_lstm"])


PLAIN = init(jax.random.key(0), 3, 4)
