"""The CPU kernel against the float64 oracle and the plain scan, and calls of it that are wrong."""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest

from jax_lstm import init
from jax_lstm.schedules.kernels.cpu import binding, library

pytestmark = pytest.mark.skipif(library.missing() is not None, reason=f"no kernel: {library.missing()}")
LARGEST_ERROR = 4e-6  # of the largest value of an array
FEW_UNITS, LARGEST_ERROR_OF_FEW = 8, 1e-4
"""With few units an array may hold nothing but gradients through saturated gates, which float32 itself rounds."""
LEAST_OF_FEW = 0.1
"""With few units an array may hold one value, the difference of terms of size one: errors are then shares of this."""
LEAST_GRADIENT = 0.02
"""The gradient of the state after a reset may be a single row, and each value a sum of terms of size one that cancel: a
share of this is then one rounding of such a term.
"""


class Shape(NamedTuple):
    """What decides the compiled program."""

    time: int
    rows: int
    features: int
    hidden: int
    given: tuple[str, ...] = ()
    reverse: bool = False
    bias: bool = True


EVERYTHING = ("mask", "resets", "reset_to", "recurrent_mask")
# tiles of every number of rows and panels, one vector and many, less than one chunk of the backward pass and several
SHAPES = (
    Shape(1, 1, 1, 1),
    Shape(9, 2, 3, 5, ("lengths",)),
    Shape(7, 3, 8, 8, EVERYTHING, bias=False),
    Shape(12, 4, 5, 17, ("lengths", "recurrent_mask"), reverse=True),
    Shape(30, 11, 4, 33, EVERYTHING, reverse=True),
    Shape(40, 17, 40, 70, ("lengths", "resets")),
    Shape(5, 1, 33, 40, ("mask",), reverse=True),
    Shape(60, 13, 2, 24),
    Shape(20, 1, 9, 90, ("lengths", "resets", "recurrent_mask")),  # two threads on the same row
    Shape(6, 3, 9, 160, ("mask", "resets", "reset_to")),  # on the same rows
    Shape(6, 0, 3, 4),
)


class Call(NamedTuple):
    floats: binding.Floats
    flags: binding.Flags
    cotangents: tuple


def draw(seed: int, shape: Shape) -> Call:
    """A random call; a row may have no valid step, and all of its steps may be reset."""
    generator = np.random.default_rng(seed)
    time, rows, features, hidden, given, _, bias = shape

    def normal(*sizes, scale=1.0):
        return (scale * generator.standard_normal(sizes)).astype(np.float32)

    weights = normal(features, 4 * hidden, scale=features**-0.5), normal(hidden, 4 * hidden, scale=hidden**-0.5)
    back = [normal(rows, hidden) if "reset_to" in given else None for _ in range(2)]
    mask = 2 * (generator.random((rows, hidden)) < 0.5).astype(np.float32) if "recurrent_mask" in given else None
    state = normal(rows, hidden), normal(rows, hidden)
    floats = binding.Floats(
        normal(time, rows, features), *weights, normal(4 * hidden) if bias else None, *state, *back, mask
    )
    share = generator.random()
    flags = binding.Flags(
        generator.integers(0, time + 1, rows).astype(np.int32) if "lengths" in given else None,
        generator.random((time, rows)) < share if "mask" in given else None,
        generator.random((time, rows)) < share / 2 if "resets" in given else None,
    )
    return Call(floats, flags, (normal(time, rows, hidden), normal(rows, hidden), normal(rows, hidden)))


@cache
def found_by(layer, reverse: bool):
    """The compiled outputs of a layer and its gradient, for cotangents that are given."""

    @jax.jit
    def run(call: Call):
        outputs, pull = jax.vjp(lambda floats: layer(reverse, floats, call.flags), call.floats)
        return outputs, pull(call.cotangents)[0]

    return run


def kernel(shape: Shape, call: Call):
    return jax.tree.map(np.asarray, found_by(binding._layer, shape.reverse)(call))


def exact(shape: Shape, call: Call):
    """The outputs and the gradient in float64, by the scan, which `test_gradients.py` compares with the oracle."""
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: leaf.astype(np.float64) if leaf.dtype == np.float32 else leaf, call)
        return jax.tree.map(np.asarray, found_by(binding._plain, shape.reverse)(wide))


def by_oracle(shape: Shape, call: Call):
    floats, (lengths, valid, reset) = call
    params = init(jax.random.key(0), 1, 1)._replace(w_x=floats.w_x, w_h=floats.w_h, b=floats.b)
    back = None if reset is None else (floats.h_reset, floats.c_reset)
    if reset is not None and floats.h_reset is None:
        back = (np.zeros_like(floats.h_first),) * 2
    options = {
        "lengths": lengths,
        "mask": valid,
        "resets": reset,
        "reset_to": back,
        "recurrent_mask": floats.recurrent_mask,
    }
    result = oracle.lstm(params, floats.x, floats.h_first, floats.c_first, reverse=shape.reverse, **options)
    return result.hs, result.h, result.c


def largest_error(found, expected, least: float) -> float:
    """Of each array the largest error as a share of its largest value, or of `least`; the largest of those."""
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    return max((np.max(np.abs(a - b)) / max(np.max(np.abs(b)), least) for a, b in pairs if b.size), default=0.0)


def check(seed: int, shape: Shape) -> None:
    call = draw(seed, shape)
    few = shape.hidden < FEW_UNITS
    allowed, least = (LARGEST_ERROR_OF_FEW, LEAST_OF_FEW) if few else (LARGEST_ERROR, 1e-6)
    outputs, gradient = kernel(shape, call)
    wide_outputs, wide_gradient = exact(shape, call)
    exact_outputs = by_oracle(shape, Call(call.floats, call.flags, ())[:2])
    assert largest_error(outputs, exact_outputs, least) < LARGEST_ERROR, (seed, shape)
    assert largest_error(outputs, wide_outputs, least) < LARGEST_ERROR, (seed, shape)
    # those of the states are parts of the same products, and one may hold nothing but sums of terms that cancel
    states, wide_states = ((one.h_first, one.c_first, one.h_reset, one.c_reset) for one in (gradient, wide_gradient))
    largest = max(np.max(np.abs(leaf), initial=0.0) for leaf in jax.tree.leaves(wide_states))
    assert largest_error(states, wide_states, max(least, LEAST_GRADIENT, largest)) < allowed, (seed, shape)
    others = [one._replace(h_first=None, c_first=None, h_reset=None, c_reset=None) for one in (gradient, wide_gradient)]
    assert largest_error(*others, max(least, LEAST_GRADIENT)) < allowed, (seed, shape)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients(shape):
    for seed in range(4):
        check(seed, shape)


def test_gates_that_leave_the_caches():
    check(0, Shape(60, 64, 3, 220, ("lengths",)))


@pytest.mark.exhaustive
@pytest.mark.parametrize("part", range(10))
def test_ten_thousand_random_cases(part):
    for seed in range(1000 * part, 1000 * (part + 1)):
        check(seed, SHAPES[seed % len(SHAPES)])


SIZES = {"time": 5, "rows": 2, "features": 3, "hidden": 4}


@pytest.mark.parametrize(
    ("position", "wrong", "message"),
    [
        (0, jnp.zeros((5, 2)), "argument 0 has 2 axes, expected 3"),
        (1, jnp.zeros((4, 16)), "w_x has size 4 in axis 0, expected 3"),
        (2, jnp.zeros((4, 12)), "w_h has size 12 in axis 1, expected 16"),
        (3, jnp.zeros(8), "b has size 8 in axis 0, expected 16"),
        (4, jnp.zeros((2, 4), jnp.float16), "the first h has type 10, expected 11"),
        (6, jnp.zeros(3, jnp.int32), "lengths has size 3 in axis 0, expected 2"),
        (6, jnp.zeros(2, jnp.uint32), "lengths has type 8, expected 4"),
        (7, jnp.zeros((2, 5), bool), "mask has size 2 in axis 0, expected 5"),
        (11, jnp.zeros((1, 2, 4)), "recurrent_mask has 3 axes, expected 2"),
    ],
)
def test_a_wrong_call_is_an_error(position, wrong, message):
    library.load()
    floats, flags, _ = draw(0, Shape(**SIZES))
    arguments = [*floats[:6], *binding._flags(flags), *[jnp.zeros((0, 0))] * 3]
    arguments[position] = wrong
    results = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((5, 2, 4), (2, 4), (2, 4), (0, 0, 0, 0))]
    with pytest.raises(Exception, match=message):
        jax.block_until_ready(jax.ffi.ffi_call(library.FORWARD, results)(*arguments, reverse=np.int32(0)))
