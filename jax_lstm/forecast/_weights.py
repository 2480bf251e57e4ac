"""The networks that come with the package, trained on synthetic series alone by `python -m experiments.pretrain`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm import checkpoint
from jax_lstm.forecast._network import Network

FOLDER = Path(__file__).parent / "weights"


def write(path: Path, network: Network, about: dict) -> None:
    """Keep a network in float16."""
    layer, readout = jax.tree.map(lambda leaf: np.asarray(leaf, np.float16), network)
    checkpoint.save(path, (layer,), readout, about)


@cache
def pretrained(name: str) -> Network:
    """The network of a design, "short" or "long", in float32."""
    return read(FOLDER / f"{name}.safetensors")


def read(path: Path) -> Network:
    """A network that `write` kept."""
    (layer,), readout, _ = checkpoint.load(path)
    return Network(*jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), (layer, readout)))
