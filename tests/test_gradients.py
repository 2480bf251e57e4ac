"""Gradients by every schedule against central differences of the oracle, and gradients of gradients against those of
gradients.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import CASES, SCHEDULES, USUAL, USUAL_CASES, Call, as_jax, by_oracle, calls, usual_pairs, valid

from jax_lstm import lstm

pytestmark = pytest.mark.usefixtures("x64")
# layer normalization bends within 3e-3, the root of the number added to its variances: the step is a thousandth of that
EPSILON = 3e-6
CONTAINED = ("peephole", "coupled", "clip", "norm")  # in the cases of all variants but one
# what rounding leaves of a central difference: 1e-15, times the size of the sums, divided by EPSILON
TOLERANCE = {"rtol": 1e-6, "atol": 1e-7}


def differentiable(call: Call):
    return call.params, call.xs, call.carry, call.recurrent_mask


def outputs(hs, last):
    return hs, last.h, last.c


def loss(arguments, weights, options, *, reverse, schedule):
    """A random linear function of all that a layer returns."""
    params, xs, carry, recurrent_mask = arguments
    last, hs = lstm(params, xs, carry, recurrent_mask=recurrent_mask, reverse=reverse, schedule=schedule, **options)
    return inner(weights, outputs(hs, last))


def inner(a, b):
    """The inner product of two trees; NaN in padding is never multiplied, as both have to be zero there or absent."""
    return sum(
        jnp.sum(jnp.where(jnp.isnan(x), 0, x) * y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


@cache
def gradient(schedule, reverse, share):
    """The compiled gradient with respect to parameters, inputs, carry and recurrent mask."""
    fixed = {} if share is None else {"zoneout": share}

    @jax.jit
    def of(arguments, weights, options):
        return jax.grad(loss)(arguments, weights, options | fixed, reverse=reverse, schedule=schedule)

    return of


@cache
def curvature(schedule, reverse, share):
    """The compiled product of the Hessian and a direction."""

    @jax.jit
    def of(arguments, weights, options, direction):
        return jax.grad(lambda a: inner(gradient(schedule, reverse, share)(a, weights, options), direction))(arguments)

    return of


def central_difference(function):
    """The derivative of `function` at zero, from two central differences; a case with a kink of a clip within them is
    drawn again.
    """
    near, far = ((function(by) - function(-by)) / (2 * by) for by in (EPSILON, 2 * EPSILON))
    # without a kink they differ by 1e-6, the square of EPSILON over the width of the bend; what a kink adds is of the
    # size of the error that it makes
    assume(np.allclose(near, far, rtol=1e-5, atol=1e-6))
    return near + (near - far) / 3


def prepare(data, case, schedule):
    """A drawn call, random weights of its outputs, a direction, and the arguments of `gradient` for it."""
    call = data.draw(calls(case))
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    expected = by_oracle(call)
    weights = tuple(generator.standard_normal(value.shape) for value in (expected.hs, expected.h, expected.c))
    direction = jax.tree.map(lambda leaf: generator.standard_normal(np.shape(leaf)), differentiable(call))
    options = {name: value for name, value in call.options.items() if name != "reverse"}
    share = options.pop("zoneout") if "shares" in case.options else None
    return call, weights, direction, options, (schedule, call.options["reverse"], share)


def moved(call: Call, direction, by: float) -> Call:
    params, xs, carry, recurrent_mask = jax.tree.map(
        lambda leaf, step: leaf + by * step, differentiable(call), direction
    )
    return Call(params, xs, carry, recurrent_mask, call.options)


# but for many steps unrolled: the compiler takes longer over them than over everything else here
PAIRS = [
    (s, case) for case in CASES if case.variant not in CONTAINED for s in SCHEDULES if s != "unrolled" or case.time <= 5
]
USUAL_PAIRS = [(s, case) for s in USUAL for case in USUAL_CASES]


@pytest.mark.parametrize(("schedule", "case"), usual_pairs(PAIRS, USUAL_PAIRS), ids=str)
@given(st.data())
def test_gradients(schedule, case, data):
    call, weights, direction, options, static = prepare(data, case, schedule)
    found = gradient(*static)(as_jax(differentiable(call)), weights, options)

    def value(by):
        result = by_oracle(moved(call, direction, by))
        return sum(np.vdot(w, out) for w, out in zip(weights, (result.hs, result.h, result.c), strict=True))

    np.testing.assert_allclose(inner(found, direction), central_difference(value), **TOLERANCE)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))
    assert not np.asarray(found[1])[~valid(call.options, call.xs)].any()


# three cases for the two schedules whose code differs, one for the others
TWICE = [
    (s, case)
    for s in SCHEDULES
    for case in (CASES[2], CASES[8], CASES[-1])
    if s in ("scan", "chunked") or case is CASES[2]
]


@pytest.mark.parametrize(("schedule", "case"), usual_pairs(TWICE, [("chunked", CASES[2])]), ids=str)
@given(st.data())
def test_gradients_of_gradients(schedule, case, data):
    call, weights, direction, options, static = prepare(data, case, schedule)
    found = curvature(*static)(as_jax(differentiable(call)), weights, options, direction)

    def first(by):
        gradients = gradient(*static)(as_jax(differentiable(moved(call, direction, by))), weights, options)
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradients)])

    second = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(found)])
    np.testing.assert_allclose(second, central_difference(first), rtol=1e-6, atol=1e-6)
