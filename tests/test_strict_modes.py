"""JAX's checks turned on: NaN is an error, 64-bit types on and off; and what a layer costs in memory."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from strategies import LONG, VARIANTS, every_schedule, make_params

from jax_lstm import Zoneout, init_network, lstm, network, trace


def test_the_tests_run_under_strict_types_and_ranks():
    assert jax.config.jax_numpy_dtype_promotion == "strict"
    assert jax.config.jax_numpy_rank_promotion == "raise"
    assert len(jax.devices()) == 8


def arguments(dtype, variant):
    """A ragged batch with one empty sequence, its padding filled with zeros, as `jax_debug_nans` looks at arguments
    too.
    """
    generator = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), make_params(generator, variant, 2, 4))
    return params, jnp.asarray(generator.standard_normal((5, 3, 2)), dtype), jnp.array([5, 2, 0])


@every_schedule
@pytest.mark.parametrize("wide", [pytest.param(False, marks=pytest.mark.exhaustive), True], ids=["32 bits", "64 bits"])
@pytest.mark.parametrize("variant", ["plain", "all but diagonal"])
def test_no_nan_on_the_way(schedule, wide, variant):
    """Also where every weight is zero, or the states saturate, no step of a value or a gradient makes a NaN."""
    with jax.enable_x64(wide), jax.debug_nans(True):
        params, xs, lengths = arguments(jnp.float64 if wide else jnp.float32, variant)
        assert xs.dtype == (jnp.float64 if wide else jnp.float32)

        @jax.jit
        def gradient(params, xs):
            return jax.grad(
                lambda params, xs: lstm(params, xs, lengths=lengths, schedule=schedule)[1].sum(), argnums=(0, 1)
            )(params, xs)

        for factor in (0.0, 1.0, 1e4):
            scaled = jax.tree.map(lambda leaf, factor=factor: factor * leaf, params)
            assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient(scaled, xs)))


@every_schedule
def test_nan_in_padding_under_debug_nans(schedule):
    """The padding may hold NaN: it is replaced before it is used."""
    params, xs, lengths = arguments(jnp.float32, "plain")
    xs = xs.at[2:, 1:].set(jnp.nan)
    with jax.debug_nans(True):
        last, _ = jax.jit(partial(lstm, schedule=schedule))(params, xs, lengths=lengths)
    assert np.isfinite(last.c).all()


@pytest.mark.parametrize("wide", [False, True], ids=["32 bits", "64 bits"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_float32_with_and_without_64_bit_types(wide, variant):
    with jax.enable_x64(wide):
        params, xs, lengths = arguments(jnp.float32, variant)
        last, values = trace(params, xs, lengths=lengths)
        assert {leaf.dtype for leaf in jax.tree.leaves((last, values))} == {jnp.dtype(jnp.float32)}
    expected = oracle.lstm(jax.tree.map(np.float64, params), np.float64(xs), lengths=np.asarray(lengths))
    np.testing.assert_allclose(values.hidden_state, expected.hs, rtol=0, atol=1e-5)


@pytest.mark.exhaustive
def test_networks_with_every_regulariser_under_strict_modes():
    layers = init_network(jax.random.key(0), 2, [3, 3], bidirectional=True, norm=True)
    options = {"dropout": 0.5, "recurrent_dropout": 0.5, "zoneout": Zoneout(0.1, 0.1), "key": jax.random.key(1)}
    with jax.debug_nans(True):
        gradient = jax.jit(jax.grad(lambda layers: network(layers, jnp.ones((5, 4, 2)), **options)[1].sum()))(layers)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert any(leaf.any() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("schedule", LONG)
def test_the_final_carry_costs_no_stacked_history(schedule):
    """Where only the last carry is used, the compiled program holds no hidden state of every step."""
    params, _, _ = arguments(jnp.float32, "plain")
    time, rows = 1000, 16
    xs = jax.ShapeDtypeStruct((time, rows, 2), jnp.float32)
    history = time * rows * 3 * 4  # bytes

    def last(params, xs):
        return lstm(params, xs, schedule=schedule)[0]

    def everything(params, xs):
        return lstm(params, xs, schedule=schedule)

    memory = {run: jax.jit(run).lower(params, xs).compile().memory_analysis() for run in (last, everything)}
    used = {run: analysis.temp_size_in_bytes + analysis.output_size_in_bytes for run, analysis in memory.items()}
    assert used[everything] >= history
    assert used[last] < history


def test_the_values_of_a_trace_that_are_not_used_cost_nothing():
    """The forget gate's history alone is one sixth of the whole trace."""
    params, _, _ = arguments(jnp.float32, "plain")
    xs = jax.ShapeDtypeStruct((1000, 16, 2), jnp.float32)

    def used(pick):
        analysis = jax.jit(lambda params, xs: pick(trace(params, xs)[1])).lower(params, xs).compile().memory_analysis()
        return analysis.temp_size_in_bytes + analysis.output_size_in_bytes

    assert used(lambda values: values.forget_gate) < used(tuple) / 4
