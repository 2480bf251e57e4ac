"""Lengths and masks, by every schedule: padding is inert, in values and in every gradient, whatever it contains."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Case, as_jax, calls, every_schedule, valid

from jax_lstm import Bidirectional, init, lstm, network, trace

pytestmark = pytest.mark.usefixtures("x64")
RAGGED = Case("peephole", ("carry", "lengths"))
HOLES = Case("plain", ("carry", "mask", "resets", "reverse"))
GARBAGE = [np.nan, np.inf, -np.inf, 1e300, -5.0]


@cache
def everything(schedule, reverse):
    """Outputs, last carry, and the gradient of a function of all of them, compiled once."""

    def loss(arguments, options):
        params, xs, carry = arguments
        last, hs = lstm(params, xs, carry, reverse=reverse, schedule=schedule, **options)
        return jnp.sum(jnp.sin(hs)) + jnp.sum(last.h * last.h) + jnp.sum(jnp.cos(last.c)), (last, hs)

    return jax.jit(jax.grad(loss, has_aux=True))


def filled(call, garbage):
    return np.where(valid(call.options, call.xs)[..., None], call.xs, garbage)


@every_schedule
@pytest.mark.parametrize("case", [RAGGED, HOLES], ids=str)
@given(st.data())
def test_padding_reaches_neither_a_value_nor_a_gradient(schedule, case, data):
    call = data.draw(calls(case))
    options = dict(call.options)
    run = everything(schedule, options.pop("reverse"))
    clean = run((call.params, filled(call, 0.0), call.carry), options)
    dirty = run((call.params, filled(call, data.draw(st.sampled_from(GARBAGE))), call.carry), options)
    jax.tree.map(np.testing.assert_array_equal, clean, dirty)
    (_, of_xs, _), (_, hs) = dirty
    padding = ~valid(call.options, call.xs)
    assert not np.asarray(of_xs)[padding].any()
    assert not np.asarray(hs)[padding].any()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(dirty))


@every_schedule
@given(st.data())
def test_a_padded_row_equals_the_row_without_its_padding(schedule, data):
    call = data.draw(calls(RAGGED))
    params, xs, carry, _, options = as_jax(call)
    last, hs = lstm(params, xs, carry, schedule=schedule, **options)
    for row, length in enumerate(call.options["lengths"]):
        initial = jax.tree.map(lambda leaf, row=row: leaf[row], carry)
        end, outs = (
            lstm(params, xs[:length, row], initial, schedule=schedule) if length else (initial, jnp.zeros((0, 3)))
        )
        np.testing.assert_allclose(hs[:length, row], outs, rtol=0, atol=1e-12)
        np.testing.assert_allclose(last.h[row], end.h, rtol=0, atol=1e-12)
        np.testing.assert_allclose(last.c[row], end.c, rtol=0, atol=1e-12)


@every_schedule
@given(st.data())
def test_lengths_are_a_mask(schedule, data):
    call = data.draw(calls(RAGGED))
    params, xs, carry, _, options = as_jax(call)
    mask = jnp.asarray(valid(call.options, call.xs))
    by_lengths = lstm(params, xs, carry, schedule=schedule, **options)
    by_mask = lstm(params, xs, carry, mask=mask, schedule=schedule)
    jax.tree.map(np.testing.assert_array_equal, by_lengths, by_mask)


@every_schedule
@pytest.mark.parametrize("reverse", [False, True])
@given(st.data())
def test_length_zero_returns_the_initial_carry(schedule, reverse, data):
    call = data.draw(calls(RAGGED))
    params, xs, carry, _, _ = as_jax(call._replace(xs=np.full_like(call.xs, np.nan)))
    last, hs = lstm(params, xs, carry, lengths=jnp.zeros(3, jnp.int32), reverse=reverse, schedule=schedule)
    jax.tree.map(np.testing.assert_array_equal, last, carry)
    assert not hs.any()


@every_schedule
@given(st.data())
def test_a_reset_acts_where_the_step_is_masked_too(schedule, data):
    call = data.draw(calls(Case("plain", ("carry", "mask", "resets"))))
    params, xs, carry, _, options = as_jax(call)
    options["mask"][-1] = False
    options["resets"][-1] = True
    last, _ = lstm(params, xs.at[-1].set(jnp.nan), carry, schedule=schedule, **options)
    assert not last.h.any()
    assert not last.c.any()


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.int16, jnp.int64], ids=lambda dtype: dtype.__name__)
def test_lengths_of_any_integer_type(dtype):
    """A small type, too, where the number of steps is more than it can hold."""
    params = init(jax.random.key(0), 2, 3)
    xs = jax.random.normal(jax.random.key(1), (300, 2, 2))
    found = lstm(params, xs, lengths=jnp.array([100, 7], dtype))
    expected = lstm(params, xs, lengths=jnp.array([100, 7], jnp.int32))
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_traces_are_zero_in_padding():
    params = init(jax.random.key(0), 2, 3)
    xs = jnp.full((5, 2, 2), jnp.nan).at[:2, 0].set(1.0)
    _, values = trace(params, xs, lengths=jnp.array([2, 0]))
    for value in values:
        assert value[:2, 0].all()
        assert not value[2:, 0].any()
        assert not value[:, 1].any()


def test_a_bidirectional_network_keeps_padding_at_the_end():
    keys = jax.random.split(jax.random.key(0), 2)
    layers = (Bidirectional(*(init(key, 2, 3) for key in keys)),)
    xs = jnp.full((5, 2, 2), jnp.nan).at[:3, 0].set(jax.random.normal(jax.random.key(1), (3, 2)))
    (last,), hs = network(layers, xs, lengths=jnp.array([3, 0]))
    (alone,), expected = network(layers, xs[:3, 0])
    np.testing.assert_allclose(hs[:3, 0], expected, rtol=0, atol=1e-12)
    assert not hs[3:, 0].any()
    assert not hs[:, 1].any()
    for found, wanted in zip(jax.tree.leaves(last), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(found[0], wanted, rtol=0, atol=1e-12)
        assert not found[1].any()
