"""The CPU kernel on every variant of the layer and in both dtypes, and what a row's result may depend on."""

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from comparisons import same

from jax_lstm import Carry, Clip, Zoneout, init, lstm, zero_carry
from jax_lstm.schedules.kernels.cpu import library

pytestmark = pytest.mark.skipif(library.missing() is not None, reason=f"no kernel: {library.missing()}")
TIME, ROWS, FEATURES = 9, 7, 5
VARIANTS = {
    "plain": {},
    "no bias": {"bias": False},
    "peephole": {"peephole": True},
    "coupled": {"coupled": True},
    "coupled peephole": {"coupled": True, "peephole": True},
    "clip cell": {"clip": Clip(cell=0.4)},
    "clip gates": {"clip": Clip(gates=0.5), "peephole": True},
    "clip both, coupled": {"clip": Clip(0.4, 0.5), "coupled": True},
    "diagonal": {"diagonal": True},
    "diagonal, all": {"diagonal": True, "coupled": True, "peephole": True, "clip": Clip(0.4, 0.5)},
    "heads": {"heads": 4},
    "heads, all": {"heads": 2, "coupled": True, "peephole": True, "clip": Clip(0.4, 0.5)},
    "sLSTM": {"heads": 4, "exponential": True},
    "projection": {"projection": 7},
    "wide projection": {"projection": 70, "clip": Clip(gates=0.5)},
    "projection, all": {"projection": 7, "coupled": True, "peephole": True, "clip": Clip(0.4, 0.5)},
}


def each(*often):
    """Every variant, of which those that are not named wait for the gate."""
    return [name if name in often else pytest.param(name, marks=pytest.mark.exhaustive) for name in VARIANTS]


def layer(options, hidden, dtype, seed=0):
    """Weights, of which none is zero, and everything that a call can be given."""
    params = init(jax.random.key(seed), FEATURES, hidden, **options)
    generator = np.random.default_rng(seed)

    def normal(*shape, scale=1.0):
        return jnp.asarray(scale * generator.standard_normal(shape), dtype)

    params = jax.tree.map(lambda leaf: leaf.astype(dtype) + normal(*leaf.shape, scale=0.3), params)
    xs = normal(TIME, ROWS, FEATURES)
    like = zero_carry(params, (ROWS,), dtype=dtype)

    def carry():
        c = normal(*like.c.shape)
        if options.get("exponential"):  # a normalizer of one at least, but for a row in which nothing is remembered
            n = jnp.abs(c[:, hidden : 2 * hidden]) + 1
            c = c.at[:, hidden : 2 * hidden].set(n.at[0].set(0))
        return Carry(normal(*like.h.shape), c)

    keep = [jnp.asarray(generator.random((TIME, ROWS, size)) < 0.3) for size in (params.out, hidden)]
    zoneout = Zoneout(keep[0], None if options.get("exponential") else keep[1])
    mask = jnp.asarray(2.0 * (generator.random(like.h.shape) < 0.5), dtype)
    conditions = {
        "mask": jnp.asarray(generator.random((TIME, ROWS)) < 0.8),
        "resets": jnp.asarray(generator.random((TIME, ROWS)) < 0.2),
    }
    return (
        params,
        xs,
        {"carry": carry(), "reset_to": carry(), "recurrent_mask": mask},
        {"zoneout": zoneout, **conditions},
    )


def outputs_and_gradients(params, xs, floats, options, schedule):
    """The last carry, the hidden states, and the gradients of a function of them all."""

    def loss(arguments):
        params, xs, floats = arguments
        last, hs = lstm(params, xs, schedule=schedule, **floats, **options)
        return jnp.sin(hs).sum() + jnp.sin(3 * last.h).sum() + jnp.sin(last.c).sum(), (last, hs)

    gradients, found = jax.jit(jax.grad(loss, has_aux=True))((params, xs, floats))
    return found, gradients


@pytest.mark.parametrize("hidden", [12, pytest.param(40, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("name", each("clip gates", "diagonal, all", "heads, all", "sLSTM", "projection, all"))
def test_values_and_gradients(name, hidden):
    params, xs, floats, options = layer(VARIANTS[name], hidden, jnp.float32)
    found = outputs_and_gradients(params, xs, floats, options, "native")
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), (params, xs, floats))
        exact = jax.tree.map(np.asarray, outputs_and_gradients(*wide, options, "scan"))
        double = outputs_and_gradients(*wide, options, "native")
        same(double, exact, atol=1e-12)
    same(found, exact, atol=2e-5)


@pytest.mark.parametrize("name", each("clip both, coupled", "heads, all", "sLSTM", "projection, all"))
def test_values_of_the_oracle(name):
    params, xs, floats, options = layer(VARIANTS[name], 20, jnp.float32, seed=3)
    last, hs = lstm(params, xs, schedule="native", **floats, **options)
    h, c = floats["carry"]
    rest = {key: value for key, value in floats.items() if key != "carry"}
    expected = oracle.lstm(*jax.tree.map(np.asarray, (params, xs, h, c)), **jax.tree.map(np.asarray, rest | options))
    same((hs, last.h, last.c), (expected.hs, expected.h, expected.c), atol=1e-5)


@pytest.mark.parametrize("name", ["peephole", "sLSTM"])
def test_shares_of_zoneout(name):
    params, xs, floats, options = layer(VARIANTS[name], 20, jnp.float32)
    shares = Zoneout(0.3, None if name == "sLSTM" else 0.2)

    def total(shares, schedule):
        last, hs = lstm(params, xs, schedule=schedule, zoneout=shares, resets=options["resets"], **floats)
        return jnp.square(hs).sum() + last.c.sum()

    found, expected = (jax.value_and_grad(total)(shares, schedule) for schedule in ("native", "scan"))
    same(found, expected)


@pytest.mark.parametrize("dtype", [jnp.float32, pytest.param(jnp.float64, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("name", each("plain", "projection, all"))
def test_a_row_does_not_depend_on_its_batch(name, dtype):
    """Bit for bit: values, and the gradients of the row's own inputs and carry."""
    with jax.enable_x64(True):
        params, xs, floats, options = layer(VARIANTS[name], 40, dtype)

        def run(rows):
            def of(array, axis):
                return jnp.take(array, np.array(rows), axis)

            conditions = jax.tree.map(lambda leaf: of(leaf, 1), options)
            some = jax.tree.map(lambda leaf: of(leaf, 0), floats)
            found, (_, d_xs, d_floats) = outputs_and_gradients(params, of(xs, 1), some, conditions, "native")
            return found[1], d_xs, found[0], d_floats

        whole = run(range(ROWS))
        for rows in ([2], [0, 5], [3, 1, 6], [4] * 20, list(range(ROWS)) * 6):
            for place, (all_rows, some) in enumerate(zip(whole, run(rows), strict=True)):
                axis = 1 if place < 2 else 0
                for one, other in zip(jax.tree.leaves(all_rows), jax.tree.leaves(some), strict=True):
                    np.testing.assert_array_equal(np.take(one, rows, axis), other)


@pytest.mark.parametrize("name", each("plain", "diagonal, all", "sLSTM", "projection"))
def test_chunks_of_time_are_the_whole(name):
    params, xs, floats, _ = layer(VARIANTS[name], 20, jnp.float32)
    last, hs = lstm(params, xs, floats["carry"], schedule="native")
    carry, parts = floats["carry"], []
    for begin, end in ((0, 1), (1, 5), (5, 9)):
        carry, part = lstm(params, xs[begin:end], carry, schedule="native")
        parts.append(part)
    np.testing.assert_array_equal(jnp.concatenate(parts), hs)
    jax.tree.map(np.testing.assert_array_equal, carry, last)


@pytest.mark.parametrize("hidden", [16, 20])
def test_an_infinity_spreads_as_in_the_plain_loop(hidden):
    """Whatever the hidden size: there are lanes beyond the last unit."""
    params = init(jax.random.key(0), FEATURES, hidden)
    xs = jax.random.normal(jax.random.key(1), (TIME, 3, FEATURES)).at[4, 1, 2].set(jnp.inf)
    resets = jnp.zeros((TIME, 3), bool).at[6].set(True)

    def gradients(schedule):
        return jax.grad(lambda arguments: lstm(*arguments, schedule=schedule, resets=resets)[1].sum())((params, xs))

    found, expected = (jax.tree.map(jnp.isfinite, gradients(schedule)) for schedule in ("native", "scan"))
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert not found[0].w_x.all()
    assert found[0].w_h.all()


def test_a_gate_that_is_nearly_closed_lets_through_what_the_plain_loop_does():
    params = init(jax.random.key(0), 1, 20)
    params = params._replace(b=params.b.at[20:40].set(-60.0))  # of the forget gate
    start = Carry(jnp.zeros((1, 20)), jnp.full((1, 20), 1e20))
    xs = jnp.zeros((1, 1, 1))
    found, expected = (lstm(params, xs, start, schedule=schedule)[0].c for schedule in ("native", "scan"))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("scale", [1e10, 1e30])
def test_large_weights(scale):
    """Their gates are saturated: exactly one or zero, so that their gradients are zero, as in the plain loop."""
    params = init(jax.random.key(0), FEATURES, 20)
    params = jax.tree.map(lambda leaf: scale * leaf, params)
    xs = jax.random.normal(jax.random.key(1), (TIME, 3, FEATURES))

    def run(schedule):
        def loss(params):
            return jnp.sin(lstm(params, xs, schedule=schedule)[1]).sum()

        return jax.value_and_grad(loss)(params)

    found, expected = run("native"), run("scan")
    same(found, expected)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))
