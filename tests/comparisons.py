"""How results are compared."""

import jax
import numpy as np


def same(found, expected, *, atol=2e-5, rtol=0.0, least=1.0):
    """Trees of arrays that differ by rounding alone: at most by `atol` times the largest value of an array, or times
    `least` where that is larger; by `atol` itself where `least` is None.
    """
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        size = 1.0
        if least is not None:
            size = max(least, float(np.max(np.abs(other), initial=0.0)))
        np.testing.assert_allclose(one, other, rtol=rtol, atol=atol * size)
