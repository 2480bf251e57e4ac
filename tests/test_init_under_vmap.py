"""Initializing many members at once: the same arrays as one by one.

And no batched factorization, which can hang jaxlib's CPU pool.
"""

import jax
import numpy as np

from jax_lstm import init


def test_members_initialized_together_equal_those_initialized_alone():
    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.vmap(lambda key: init(key, 2, 4))(keys)
    for member, key in enumerate(keys):
        for one, alone in zip(jax.tree.leaves(together), jax.tree.leaves(init(key, 2, 4)), strict=True):
            np.testing.assert_allclose(one[member], alone, rtol=1e-6, atol=1e-7)


def test_the_compiled_program_factorises_one_matrix_at_a_time():
    program = jax.jit(jax.vmap(lambda key: init(key, 2, 4))).lower(jax.random.split(jax.random.key(0), 3)).as_text()
    factorizations = [line for line in program.splitlines() if "geqrf" in line]
    assert factorizations
    assert not any("tensor<3x4x4x" in line for line in factorizations)
