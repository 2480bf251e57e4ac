"""One matrix at the settings that are shipped: the real size of a chunk, several chunks and a rest, and all of LLVM's
passes.
"""

import os

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from strategies import VARIANTS, make_carry, make_params, usual_pairs

from jax_lstm import lstm
from jax_lstm.schedules import _plan

pytestmark = pytest.mark.usefixtures("as_shipped")
SCHEDULES = ("auto", "scan", "deferred", "chunked", "checkpointed")
EMITTERS = {"xla_cpu_use_fusion_emitters": True} if "emitters=false" in os.environ.get("XLA_FLAGS", "") else {}
TIME, ROWS = 40, 18  # two chunks and a rest, and enough rows for chunks
USUAL = [("auto", "plain"), ("chunked", "plain"), ("deferred", "plain")]
CASES = usual_pairs([(schedule, variant) for schedule in SCHEDULES for variant in VARIANTS], USUAL)


def call(variant):
    generator = np.random.default_rng(0)
    params = make_params(generator, variant, 2, 4)
    carry = make_carry(generator, params, (ROWS,))
    options = {"lengths": np.arange(ROWS) * 2 + 6, "resets": generator.random((TIME, ROWS)) < 0.1}
    options["lengths"][0] = 0
    return params, generator.standard_normal((TIME, ROWS, 2)), carry, options


def test_the_settings_are_those_that_are_shipped():
    assert TIME > _plan.CHUNK > 2
    assert not jax.config.read("jax_disable_most_optimizations")


@pytest.mark.parametrize(("schedule", "variant"), CASES)
def test_values_and_gradients_against_the_oracle(schedule, variant):
    """In float32 to a few roundings per step; the gradient against a difference of the float64 oracle."""
    params, xs, carry, options = call(variant)
    generator = np.random.default_rng(1)
    direction = jax.tree.map(lambda leaf: generator.standard_normal(leaf.shape), (params, xs, carry))
    direction[1][np.arange(TIME)[:, None] >= options["lengths"]] = 0

    def loss(params, xs, carry):
        last, hs = lstm(params, xs, carry, schedule=schedule, **options)
        return jnp.sum(jnp.sin(hs)) + jnp.sum(jnp.cos(last.h)) + jnp.sum(jnp.sin(last.c)), (last, hs)

    def exact(by):
        moved = jax.tree.map(lambda leaf, step: leaf + by * step, (params, xs, carry), direction)
        found = oracle.lstm(moved[0], moved[1], *moved[2], **options)
        return np.sin(found.hs).sum() + np.cos(found.h).sum() + np.sin(found.c).sum()

    arguments = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), (params, xs, carry))
    program = jax.jit(jax.grad(loss, argnums=(0, 1, 2), has_aux=True), compiler_options=EMITTERS)
    gradients, (last, hs) = program(*arguments)
    expected = oracle.lstm(params, xs, *carry, **options)
    for found, value in ((hs, expected.hs), (last.h, expected.h), (last.c, expected.c)):
        np.testing.assert_allclose(found, value, rtol=0, atol=1e-5 * max(1, np.abs(value).max()))
    along = sum(np.vdot(a, b) for a, b in zip(jax.tree.leaves(gradients), jax.tree.leaves(direction), strict=True))
    size = sum(
        np.abs(np.asarray(a) * b).sum() for a, b in zip(*map(jax.tree.leaves, (gradients, direction)), strict=True)
    )
    # the difference errs by its step squared, float32 by a few of its roundings of the terms of the inner product
    np.testing.assert_allclose(along, (exact(1e-6) - exact(-1e-6)) / 2e-6, rtol=0, atol=2e-6 * size + 1e-6)
