"""Stacks of layers: what a network is, in terms of its layers run one by one."""

from functools import partial

import comparisons
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import every_schedule, make_params

from jax_lstm import (
    Bidirectional,
    Carry,
    FinalCarries,
    Zoneout,
    lstm,
    network,
    network_step,
    trace,
    trace_network,
    zero_carries,
    zero_carry,
)

pytestmark = pytest.mark.usefixtures("x64")
TIME, ROWS, FEATURES, HIDDEN = 5, 3, 2, 3
seeds = st.integers(0, 2**32 - 1)
masks = st.lists(st.booleans(), min_size=TIME * ROWS, max_size=TIME * ROWS).map(
    lambda flags: jnp.array(flags).reshape(TIME, ROWS)
)


def layer(generator, variant="plain", features=FEATURES):
    return jax.tree.map(jnp.asarray, make_params(generator, variant, features, HIDDEN))


def inputs(generator):
    return jnp.asarray(generator.standard_normal((TIME, ROWS, FEATURES)))


def carry(generator):
    return Carry(*jnp.asarray(generator.standard_normal((2, ROWS, HIDDEN))))


same = partial(comparisons.same, atol=1e-12, least=None)


@every_schedule
@pytest.mark.parametrize("reverse", [False, True])
@given(seeds, masks, masks)
def test_a_network_is_its_layers_one_after_the_other(schedule, reverse, seed, mask, resets):
    generator = np.random.default_rng(seed)
    first, second = layer(generator), layer(generator, "diagonal", HIDDEN)
    xs, carries = inputs(generator), (carry(generator), carry(generator))
    options = {"mask": mask, "resets": resets, "reverse": reverse, "schedule": schedule}
    found = network((first, second), xs, carries, **options)
    end, hs = lstm(first, xs, carries[0], **options)
    last, hs = lstm(second, hs, carries[1], **options)
    same(found, ((end, last), hs))


@pytest.mark.parametrize("reverse", [False, True])
@given(seeds, masks, masks)
def test_both_directions_are_two_single_passes_side_by_side(reverse, seed, mask, resets):
    generator = np.random.default_rng(seed)
    both = Bidirectional(layer(generator), layer(generator))
    xs, pair = inputs(generator), Bidirectional(carry(generator), carry(generator))
    options = {"mask": mask, "resets": resets}
    (found,), hs = network((both,), xs, (pair,), reverse=reverse, **options)
    end_f, hs_f = lstm(both.forward, xs, pair.forward, reverse=reverse, **options)
    end_b, hs_b = lstm(both.backward, xs, pair.backward, reverse=not reverse, **options)
    assert isinstance(found, FinalCarries)
    same((found, hs), (FinalCarries(end_f, end_b), jnp.concatenate([hs_f, hs_b], axis=-1)))


@every_schedule
@given(seeds, masks, masks, st.integers(1, TIME - 1))
def test_a_stack_streams(schedule, seed, mask, resets, start):
    """Chunks equal the whole, also with dropout, whose masks come from the key."""
    generator = np.random.default_rng(seed)
    layers = (layer(generator), layer(generator, "peephole", HIDDEN))
    xs, carries = inputs(generator), (carry(generator), carry(generator))
    fixed = {"dropout": 0.5, "recurrent_dropout": 0.25, "key": jax.random.key(seed), "schedule": schedule}
    whole = network(layers, xs, carries, mask=mask, resets=resets, **fixed)
    now, outs = carries, []
    for part in (slice(None, start), slice(start, None)):
        now, hs = network(layers, xs[part], now, mask=mask[part], resets=resets[part], **fixed)
        outs.append(hs)
    same((now, jnp.concatenate(outs)), whole)


@given(seeds, masks)
def test_the_trace_of_every_layer(seed, mask):
    generator = np.random.default_rng(seed)
    layers = (Bidirectional(layer(generator), layer(generator)), layer(generator, "plain", 2 * HIDDEN))
    xs = inputs(generator)
    ends, traces = trace_network(layers, xs, mask=mask)
    expected_ends, hs = network(layers, xs, mask=mask)
    same((ends, traces[1].hidden_state), (expected_ends, hs))
    same(traces[0].forward, trace(layers[0].forward, xs, mask=mask)[1])
    same(traces[0].backward, trace(layers[0].backward, xs, mask=mask, reverse=True)[1])


@given(seeds)
def test_dropout_stands_between_layers_and_drops_the_same_units_at_all_steps(seed):
    generator = np.random.default_rng(seed)
    first, second = layer(generator), layer(generator, "plain", HIDDEN)
    xs, key = inputs(generator), jax.random.key(seed)
    # nothing is dropped before the first layer or after the last
    _, hs = lstm(first, xs)
    same(network((first,), xs, dropout=0.5, key=key)[1], hs)
    # the second layer alone tells which of its rows' inputs were dropped: one of the 2³ masks explains all its steps
    _, found = network((first, second), xs, dropout=0.5, key=key)
    masks = 2.0 * np.array(list(np.ndindex(2, 2, 2)))
    explained = np.array([lstm(second, hs * jnp.asarray(mask)[None, None])[1] for mask in masks])
    assert (np.abs(explained - found[None]).max(axis=(1, 3)).min(axis=0) < 1e-12).all()


@given(seeds)
def test_regularisers_depend_on_the_key_and_rest_without_one(seed):
    generator = np.random.default_rng(seed)
    layers = (layer(generator), layer(generator, "plain", HIDDEN))
    xs, key = inputs(generator), jax.random.key(seed)
    options = {"dropout": 0.5, "recurrent_dropout": 0.5, "zoneout": Zoneout(0.3, 0.3)}
    one, again, other = (network(layers, xs, key=k, **options)[1] for k in (key, key, jax.random.fold_in(key, 1)))
    same(one, again)
    assert not np.allclose(one, other)
    evaluated = network(layers, xs, zoneout=Zoneout(0.3, 0.3))[1]
    _, hs = lstm(layers[0], xs, zoneout=Zoneout(0.3, 0.3))
    same(evaluated, lstm(layers[1], hs, zoneout=Zoneout(0.3, 0.3))[1])
    same(network(layers, xs, dropout=0.0, key=key)[1], network(layers, xs)[1])


def test_carries_default_to_zero_and_lists_are_taken():
    generator = np.random.default_rng(0)
    layers = [layer(generator), layer(generator, "plain", HIDDEN)]
    xs = inputs(generator)
    zeros = list(zero_carries(layers, xs.shape[1:-1]))
    same(network(layers, xs, zeros), network(tuple(layers), xs))


@given(seeds)
def test_a_scan_over_single_steps_is_the_network(seed):
    generator = np.random.default_rng(seed)
    layers = (layer(generator, "projection"), layer(generator, "diagonal", 2), layer(generator, "peephole", HIDDEN))
    xs = inputs(generator)
    same(jax.lax.scan(partial(network_step, layers), zero_carries(layers, (ROWS,)), xs), network(layers, xs))


def test_zero_carries_have_the_shape_of_final_carries():
    generator = np.random.default_rng(0)
    layers = (Bidirectional(layer(generator), layer(generator, "projection")), layer(generator, features=HIDDEN + 2))
    found, ends = zero_carries(layers, (4, 2), jnp.float32), network(layers, jnp.ones((2, 4, 2, FEATURES)))[0]
    assert [leaf.shape for leaf in jax.tree.leaves(found)] == [leaf.shape for leaf in jax.tree.leaves(ends)]
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype("float32")}
    assert zero_carry(layers[1]).h.shape == (HIDDEN,)
