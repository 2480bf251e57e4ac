"""The command line on files, for the tests."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from peers import lenient

from jax_lstm import Readout, init_network
from jax_lstm.checkpoint import Checkpoint
from jax_lstm.cli import main


def filled(make, dtype="float32"):
    """What `make()` would return, with random arrays throughout."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(jnp.dtype(dtype)), jax.eval_shape(make))


def made(dtype="float32", **options) -> Checkpoint:
    """Two layers and a readout."""

    def make():
        layers = init_network(jax.random.key(0), 3, [4, 4], **options)
        width = options.get("projection", 4) * (2 if options.get("bidirectional") else 1)
        return layers, Readout(jnp.zeros((width, 2)), jnp.zeros(2))

    return Checkpoint(*filled(make, dtype))


def run(capsys, *arguments, code=0):
    with lenient():
        assert main([*map(str, arguments)]) == code
    return capsys.readouterr()


FRAMEWORK = {".pt": "torch", ".onnx": "onnx", ".keras": "keras", ".h5": "keras"}
