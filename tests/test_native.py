"""The CPU kernel against the float64 oracle and the plain scan, and calls of it that are wrong."""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest

from jax_lstm import Carry, LSTMParams
from jax_lstm._step import Shared, Steps
from jax_lstm.schedules.kernels.cpu import binding, library
from jax_lstm.schedules.problem import problem_of
from jax_lstm.schedules.scan import scan

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


class Floats(NamedTuple):
    """What has a gradient."""

    params: LSTMParams
    x: np.ndarray
    initial: Carry
    reset_to: Carry | None
    recurrent_mask: np.ndarray | None


class Flags(NamedTuple):
    """What has none."""

    lengths: np.ndarray | None
    mask: np.ndarray | None
    resets: np.ndarray | None


class Call(NamedTuple):
    floats: Floats
    flags: Flags
    cotangents: tuple


def draw(seed: int, shape: Shape) -> Call:
    """A random call; a row may have no valid step, and all of its steps may be reset."""
    generator = np.random.default_rng(seed)
    time, rows, features, hidden, given, _, bias = shape

    def normal(*sizes, scale=1.0):
        return (scale * generator.standard_normal(sizes)).astype(np.float32)

    weights = normal(features, 4 * hidden, scale=features**-0.5), normal(hidden, 4 * hidden, scale=hidden**-0.5)
    back = Carry(normal(rows, hidden), normal(rows, hidden)) if "reset_to" in given else None
    mask = 2 * (generator.random((rows, hidden)) < 0.5).astype(np.float32) if "recurrent_mask" in given else None
    state = Carry(normal(rows, hidden), normal(rows, hidden))
    x, b = normal(time, rows, features), normal(4 * hidden) if bias else None
    floats = Floats(LSTMParams(*weights, b), x, state, back, mask)
    share = generator.random()
    flags = Flags(
        generator.integers(0, time + 1, rows).astype(np.int32) if "lengths" in given else None,
        generator.random((time, rows)) < share if "mask" in given else None,
        generator.random((time, rows)) < share / 2 if "resets" in given else None,
    )
    return Call(floats, flags, (normal(time, rows, hidden), normal(rows, hidden), normal(rows, hidden)))


@cache
def found_by(schedule, reverse: bool):
    """The compiled outputs of a layer and its gradient, for cotangents that are given."""

    def layer(floats: Floats, flags: Flags):
        params, x, initial, reset_to, recurrent_mask = floats
        shared = Shared(initial, recurrent_mask, None, reset_to, flags.lengths)
        steps = Steps(x, flags.mask, flags.resets)
        problem = problem_of(params, shared, steps, reverse=reverse, platform="cpu")
        carry, hs = schedule(problem, params, shared, steps)
        return hs, *carry

    @jax.jit
    def run(call: Call):
        outputs, pull = jax.vjp(lambda floats: layer(floats, call.flags), call.floats)
        return outputs, pull(call.cotangents)[0]

    return run


def kernel(shape: Shape, call: Call):
    return jax.tree.map(np.asarray, found_by(binding.native, shape.reverse)(call))


def exact(shape: Shape, call: Call):
    """The outputs and the gradient in float64, by the scan, which `test_gradients.py` compares with the oracle."""
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: leaf.astype(np.float64) if leaf.dtype == np.float32 else leaf, call)
        return jax.tree.map(np.asarray, found_by(scan, shape.reverse)(wide))


def by_oracle(shape: Shape, call: Call):
    floats, flags = call.floats, call.flags
    back = floats.reset_to
    if flags.resets is not None and back is None:
        back = (np.zeros_like(floats.initial.h),) * 2
    options = flags._asdict() | {
        "reset_to": None if flags.resets is None else back,
        "recurrent_mask": floats.recurrent_mask,
    }
    result = oracle.lstm(floats.params, floats.x, *floats.initial, reverse=shape.reverse, **options)
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
    exact_outputs = by_oracle(shape, call)
    assert largest_error(outputs, exact_outputs, least) < LARGEST_ERROR, (seed, shape)
    assert largest_error(outputs, wide_outputs, least) < LARGEST_ERROR, (seed, shape)
    # those of the states are parts of the same products, and one may hold nothing but sums of terms that cancel
    states, wide_states = ((one.initial, one.reset_to) for one in (gradient, wide_gradient))
    largest = max(np.max(np.abs(leaf), initial=0.0) for leaf in jax.tree.leaves(wide_states))
    assert largest_error(states, wide_states, max(least, LEAST_GRADIENT, largest)) < allowed, (seed, shape)
    others = [one._replace(initial=None, reset_to=None) for one in (gradient, wide_gradient)]
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
    ("name", "wrong", "message"),
    [
        ("x", jnp.zeros((5, 2)), "argument 0 has 2 axes, expected 3"),
        ("w_x", jnp.zeros((4, 16)), "w_x has size 4 in axis 0, expected 3"),
        ("w_h", jnp.zeros((4, 12)), "w_h has size 12 in axis 1, expected 16"),
        ("w_h", jnp.zeros((2, 3, 12)), "heads of 3 units in a layer of 4"),
        ("peephole", jnp.zeros((2, 4)), "peephole has size 2 in axis 0, expected 3"),
        ("c", jnp.zeros((2, 12)), "the first c has size 12 in axis 1, expected 4"),
        ("keep_c", jnp.zeros((5, 2, 3), bool), "zoneout.cell has size 3 in axis 2, expected 4"),
        ("b", jnp.zeros(8), "b has size 8 in axis 0, expected 16"),
        ("h", jnp.zeros((2, 4), jnp.float16), "the first h has type 10, expected 11"),
        ("lengths", jnp.zeros(3, jnp.int32), "lengths has size 3 in axis 0, expected 2"),
        ("lengths", jnp.zeros(2, jnp.uint32), "lengths has type 8, expected 4"),
        ("mask", jnp.zeros((2, 5), bool), "mask has size 2 in axis 0, expected 5"),
        ("recurrent_mask", jnp.zeros((1, 2, 4)), "recurrent_mask has 3 axes, expected 2"),
    ],
)
def test_a_wrong_call_is_an_error(name, wrong, message):
    library.load()
    floats = draw(0, Shape(**SIZES)).floats
    named = floats.params._asdict() | floats.initial._asdict() | {"x": floats.x, name: wrong}
    operands = []
    for field in binding.Operands._fields:
        empty = jnp.zeros((0,) * binding.AXES.get(field, 2), binding.DTYPES.get(field, jnp.float32))
        operands.append(empty if named.get(field) is None else named[field])
    results = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((5, 2, 4), (2, 4), (2, 4), (0, 0, 0, 0))]
    target = library.target(library.FORWARD, jnp.float32)
    words = ("reverse", "coupled", "exponential", "clip_cell", "clip_gates")
    attributes = {word: np.float64(0) for word in words}
    with pytest.raises(Exception, match=message):
        jax.block_until_ready(jax.ffi.ffi_call(target, results)(*operands, **attributes))


def test_both_sides_have_the_same_arguments():
    assert library.arguments() == binding.Operands._fields
