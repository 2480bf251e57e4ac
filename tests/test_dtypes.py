"""float32 and bfloat16 against float64: the result has the dtype of the inputs, and stays within a stated bound of the
exact one.
"""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import EVERYTHING, LONG, Case, as_jax, by_oracle, calls, every_schedule, make_params, usually

from jax_lstm import LSTMParams, init, lstm, network, readout, trace
from jax_lstm import Readout as Linear

HALF = 2.0**-8  # half a unit in the last place of bfloat16, relative


def to64(tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


@every_schedule
# a few roundings a step, over 17 steps, where the state is of size one
@pytest.mark.parametrize(
    ("dtype", "bound"), [(jnp.float32, 2e-5), (jnp.bfloat16, 32 * HALF)], ids=["float32", "bfloat16"]
)
@given(st.data())
def test_values(schedule, dtype, bound, data):
    call = data.draw(calls(Case("projection", EVERYTHING, time=17)))
    params, xs, carry, recurrent_mask, options = as_jax(call, dtype)
    rounded = call._replace(params=to64(params), xs=to64(xs), carry=to64(carry))
    last, hs = lstm(params, xs, carry, recurrent_mask=recurrent_mask, schedule=schedule, **options)
    expected = by_oracle(rounded)
    assert {leaf.dtype for leaf in (hs, last.h, last.c)} == {jnp.dtype(dtype)}
    for found, exact in ((hs, expected.hs), (last.h, expected.h), (last.c, expected.c)):
        np.testing.assert_allclose(np.asarray(found, float), exact, rtol=0, atol=bound * max(1, np.abs(exact).max()))


@pytest.mark.parametrize("schedule", LONG)
def test_float32_over_ten_thousand_steps(schedule):
    """The cell forgets its rounding errors as it forgets: over 10,000 steps float32 stays within 1e-5 of float64."""
    generator = np.random.default_rng(0)
    params = make_params(generator, "plain", 2, 3, scale=0.5)
    params, xs = as_jax((params, generator.standard_normal((10_000, 2))), jnp.float32)
    _, hs = lstm(params, xs, schedule=schedule)
    np.testing.assert_allclose(hs, oracle.lstm(to64(params), to64(xs)).hs, rtol=0, atol=1e-5)


def products(function, *arguments):
    """Every matrix product in the program of a function, by the type of its result, in which it is added up."""
    text = jax.jit(function).lower(*arguments).as_text()
    return re.findall(r"stablehlo\.dot_general.*-> tensor<(?:\d+x)*(\w+)>", text)


@every_schedule
def test_bfloat16_products_are_added_up_in_float32(schedule):
    params = init(jax.random.key(0), 2, 3, projection=2, dtype=jnp.bfloat16)
    found = products(partial(lstm, schedule=schedule), params, jnp.ones((5, 4, 2), jnp.bfloat16))
    assert set(found) == {"f32"}


@every_schedule
def test_bfloat16_does_not_stall_over_many_features(schedule):
    """4096 terms of 2⁻¹¹ are 2; added up in bfloat16 they would stop at 2⁻³, where a term is half of the last place."""
    ones = jnp.ones((1, 4096), jnp.bfloat16)
    params = LSTMParams(jnp.full((4096, 4), 2.0**-11, jnp.bfloat16), jnp.zeros((1, 4), jnp.bfloat16), None)
    _, hs = lstm(params, ones, schedule=schedule)
    exact = oracle.lstm(to64(params), to64(ones)).hs
    np.testing.assert_allclose(to64(hs), exact, rtol=2 * HALF)


@pytest.mark.parametrize("schedule", usually(LONG, ("chunked",)))
def test_bfloat16_gradients_do_not_stall_over_many_steps(schedule):
    """The gradient of a bias, a sum of as many terms as there are steps and rows, is right to a few bits, and in
    bfloat16.
    """
    generator = np.random.default_rng(0)
    params = make_params(generator, "plain", 2, 3, scale=0.5)
    xs = generator.standard_normal((1024, 4, 2))

    def gradient(dtype):
        given_params, given_xs = as_jax(as_jax((params, xs), jnp.bfloat16), dtype)
        given_params, given_xs = jax.tree.map(lambda leaf: leaf.astype(dtype), (given_params, given_xs))
        return jax.grad(lambda p: lstm(p, given_xs, schedule=schedule)[1].astype(jnp.float32).sum())(given_params)

    exact, found = gradient(jnp.float32), gradient(jnp.bfloat16)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(exact), strict=True):
        assert one.dtype == jnp.bfloat16
        np.testing.assert_allclose(to64(one), to64(other), rtol=0, atol=0.03 * np.abs(to64(other)).max())


@pytest.mark.parametrize("dtype", usually(("bfloat16", "float32", "float64"), ("bfloat16",)))
def test_the_result_has_the_dtype_of_the_inputs(dtype):
    with jax.enable_x64(True):
        params = init(jax.random.key(0), 2, 3, peephole=True, norm=True, projection=3, dtype=dtype)
        second = init(jax.random.key(0), 3, 3, diagonal=True, dtype=dtype)
        xs = jnp.ones((5, 4, 2), dtype)
        results = [
            trace(params, xs, lengths=jnp.array([5, 3, 0, 1])),
            network((params, second), xs, dropout=0.5, recurrent_dropout=0.5, key=jax.random.key(1)),
            readout(Linear(jnp.ones((2, 1), dtype)), xs),
        ]
        assert {leaf.dtype for leaf in jax.tree.leaves(results)} == {jnp.dtype(dtype)}


def test_float64_inputs_without_64_bit_types_are_float32():
    _, hs = lstm(init(jax.random.key(0), 2, 3), jnp.asarray(np.ones((5, 2))))
    assert hs.dtype == jnp.float32
