"""Stacks of random weights for the tests of layouts."""

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm import init_network

FEATURES, HIDDEN = 3, 4


STACKS = {
    "one layer": {"hidden": [HIDDEN]},
    "three layers": {"hidden": [HIDDEN] * 3},
    "two directions": {"hidden": [HIDDEN] * 2, "bidirectional": True},
    "no bias": {"hidden": [HIDDEN] * 2, "bias": False},
    "peephole": {"hidden": [HIDDEN], "peephole": True},
    "projection": {"hidden": [HIDDEN] * 2, "projection": 2, "bidirectional": True},
}


def make(stack):
    """Random weights with zeros of both signs; biases on a grid on which adding and subtracting 1 is exact."""
    layers = jax.eval_shape(lambda: init_network(jax.random.key(0), FEATURES, **STACKS[stack]))
    generator = np.random.default_rng(len(stack))

    def draw(leaf):
        values = (
            generator.integers(-3000, 3000, leaf.shape) / 1024
            if len(leaf.shape) == 1
            else generator.standard_normal(leaf.shape)
        )
        values = values.astype(np.float32)
        values.flat[:2] = 0.0, -0.0
        return jnp.asarray(values)

    return jax.tree.map(draw, layers)


def without(mapping, key):
    """A nested mapping without the array at `key`."""
    head, _, tail = key.partition("/")
    return {
        name: without(value, tail) if name == head else value for name, value in mapping.items() if name != head or tail
    }
