"""What the tests of training share: a linear regression, a stream, and comparisons of results."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

KEY = jax.random.key(0)
KEYS = jax.random.split(KEY, 3)
X = jax.random.normal(jax.random.key(1), (24, 2))
Y = jnp.dot(X, jnp.array([1.0, -2.0])) + 0.1 * jax.random.normal(jax.random.key(2), (24,))
ADAM = optax.adam(0.1)


def squares(w, batch, key):
    """A linear regression, with noise from the key, so that a wrong key is seen."""
    x, y = batch
    return jnp.mean((jnp.dot(x, w) - y + 0.01 * jax.random.normal(key, y.shape)) ** 2)


def exact(w, batch, key):
    return jnp.mean((jnp.dot(batch[0], w) - batch[1]) ** 2)


def held_out(w):
    return exact(w, (X, Y), None)


def leaky(w, carry, chunk, key):
    """A stream through one leaky unit, whose loss depends on the carry."""

    def step(h, x):
        h = jnp.tanh(w[0] * h + w[1] * x)
        return h, h

    carry, hs = jax.lax.scan(step, carry, chunk)
    return jnp.mean((hs - 0.1) ** 2), carry


def assert_same(one, other):
    """The same bits, NaN included."""
    jax.tree.map(np.testing.assert_array_equal, one, other)


def assert_close(one, other, rtol=1e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6), one, other)
