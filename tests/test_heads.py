"""Layers of heads: the dense layer of their blocks, and the exponential gates of an sLSTM."""

from functools import partial

import comparisons
import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from strategies import make_params, usual_pairs

from jax_lstm import Bidirectional, Carry, cell, dense, explain_schedule, init, lstm, network, trace, zero_carry
from jax_lstm.schedules.kernels.cpu import library

pytestmark = pytest.mark.usefixtures("x64")


WAYS = [(way, variant) for way in ("chunked", "scan", "deferred") for variant in ("heads", "heads and all else")]


def drawn(variant, seed=0):
    generator = np.random.default_rng(seed)
    return jax.tree.map(jnp.asarray, (make_params(generator, variant, 2, 4), generator.standard_normal((5, 3, 2))))


same = partial(comparisons.same, rtol=1e-12, atol=1e-12, least=None)


def loss(params, xs, schedule, form=lambda params: params):
    last, hs = lstm(form(params), xs, lengths=jnp.array([5, 3, 0]), schedule=schedule)
    return jnp.sum(jnp.sin(hs)) + jnp.sum(last.h * last.c[..., : params.hidden])


@pytest.mark.parametrize(("schedule", "variant"), usual_pairs(WAYS, [WAYS[0]]))
def test_heads_are_the_dense_layer_of_their_blocks(variant, schedule):
    params, xs = drawn(variant)
    single = dense(params)
    blocks = np.asarray(single.w_h).reshape(2, 2, -1, 2, 2)  # head, unit that is seen, gate, head, unit that sees
    assert not blocks[0, :, :, 1].any()
    assert not blocks[1, :, :, 0].any()
    np.testing.assert_array_equal(blocks[1, :, :, 1].reshape(2, -1), params.w_h[1])
    found, expected = (
        jax.jit(jax.value_and_grad(partial(loss, schedule=way, form=form), argnums=(0, 1)))(params, xs)
        for way, form in ((schedule, lambda params: params), ("scan", dense))
    )
    same(found, expected)


@pytest.mark.exhaustive
def test_by_the_cell_in_both_directions_and_in_half_precision():
    params, xs = drawn("exponential")
    same(jax.lax.scan(partial(cell, params), zero_carry(params, (3,)), xs)[1], trace(params, xs)[1])
    _, hs = network((Bidirectional(params, params),), xs)
    sides = [lstm(params, xs, reverse=reverse)[1] for reverse in (False, True)]
    same(hs, jnp.concatenate(sides, axis=-1))
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), (params, xs))
    gradient = jax.grad(lambda params, xs: lstm(params, xs, schedule="deferred")[1].astype(float).sum())(*half)
    assert gradient.w_h.dtype == jnp.bfloat16
    np.testing.assert_allclose(lstm(*half, schedule="deferred")[1].astype(float), sides[0], rtol=0, atol=0.05)


@pytest.mark.parametrize("schedule", ["scan", "chunked"])
def test_exponential_gates(schedule):
    """Against the oracle, and against the sums without normalizer and stabilizer that they stand for."""
    params, xs = drawn("exponential")
    last, hs = lstm(params, xs, schedule=schedule)
    as_numpy, xs = jax.tree.map(np.asarray, (params, xs))
    expected = oracle.lstm(as_numpy, xs)
    same((last.h, last.c, hs), (expected.h, expected.c, expected.hs))
    h = c = n = np.zeros((3, 4))
    for x, found in zip(xs, hs, strict=True):
        z_h = np.stack([oracle.recurrent(as_numpy.w_h, row) for row in h])
        i, f, g, o = np.split(x @ as_numpy.w_x + z_h + as_numpy.b, 4, axis=-1)
        c, n = (oracle.sigmoid(f) * old + np.exp(i) * new for old, new in ((c, np.tanh(g)), (n, 1)))
        h = oracle.sigmoid(o) * c / n
        same(found, h)
    if schedule == "chunked":  # by hand, from the pre-activations; by JAX
        found, by_jax = (jax.jit(jax.grad(partial(loss, schedule=way)))(params, xs) for way in (schedule, "scan"))
        same(found, by_jax)


@pytest.mark.exhaustive
def test_exponential_gates_do_not_overflow_and_start_from_nothing_at_a_reset():
    params = init(jax.random.key(0), 1, 2, heads=1, exponential=True, dtype=jnp.float32)
    xs = jnp.array([[[-1e4]], [[1e4]], [[-3.0]]], jnp.float32)
    huge = params._replace(w_x=jnp.zeros_like(params.w_x).at[:, :2].set(1))  # of the input gate alone
    value, gradient = jax.value_and_grad(lambda params: lstm(params, xs)[1].sum())(huge)
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    carry = Carry(jnp.ones((1, 2), jnp.float32), jnp.full((1, 6), 3, jnp.float32))
    started, _ = lstm(params, xs[2:], carry, resets=jnp.ones((1, 1), bool))
    same(started, lstm(params, xs[2:])[0])


def test_auto_without_the_kernel_chunks_plain_products(monkeypatch):
    monkeypatch.setattr(library, "missing", lambda: "it is switched off")
    choice = explain_schedule(drawn("exponential")[0], jnp.ones((9, 20, 2)))
    assert choice.schedule == "chunked"
    assert choice.details.startswith("products in the loop: plain")
