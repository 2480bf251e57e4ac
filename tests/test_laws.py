"""Laws of one layer, by every schedule: what must hold between two calls, or of one call by itself."""

from functools import partial

import comparisons
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import EVERYTHING, Case, as_jax, calls, every_schedule

from jax_lstm import Carry, Clip, cell, init, lstm, trace

pytestmark = pytest.mark.usefixtures("x64")

PLAIN = Case("plain", ("carry",))
RICH = Case("all but diagonal", EVERYTHING)
jit_cell = jax.jit(cell)


# the compiler may order sums differently in two programs
same = partial(comparisons.same, atol=1e-12, least=None)


def arguments(data, case):
    params, xs, carry, recurrent_mask, options = as_jax(data.draw(calls(case)))
    return params, xs, carry, options if recurrent_mask is None else options | {"recurrent_mask": recurrent_mask}


def each(options, of_time, of_batch):
    """The options with one function on what has a time axis in front, and another on what begins with the batch."""

    def fit(name, value):
        if name in ("mask", "resets", "zoneout"):
            return jax.tree.map(lambda leaf: of_time(leaf) if np.ndim(leaf) else leaf, value)
        return jax.tree.map(of_batch, value) if name in ("lengths", "recurrent_mask", "reset_to") else value

    return {name: fit(name, value) for name, value in options.items()}


@every_schedule
@given(st.data())
def test_forget_one_and_input_zero_keep_the_cell_state(schedule, data):
    params, xs, carry, options = arguments(data, PLAIN)
    # sigmoid(±1000) is one and zero to the last bit
    b = params.b.at[:3].set(-1000.0).at[3:6].set(1000.0)
    last, _ = lstm(params._replace(b=b), xs, carry, schedule=schedule, **options)
    np.testing.assert_array_equal(last.c, carry.c)


@every_schedule
@given(st.data(), st.sampled_from([0.01, 1.0, 100.0]))
def test_the_hidden_state_is_less_than_one(schedule, data, scale):
    params, xs, carry, options = arguments(data, PLAIN)
    # |c| grows by at most one a step, and tanh(8) is less than one in floating point too
    last, hs = lstm(
        jax.tree.map(lambda leaf: scale * leaf, params),
        xs,
        Carry(carry.h, jnp.clip(carry.c, -3, 3)),
        schedule=schedule,
        **options,
    )
    assert (abs(hs) < 1).all()
    assert (abs(last.c) <= 3 + xs.shape[0]).all()


@every_schedule
@given(st.data())
def test_a_clipped_cell_state_stays_in_its_bound(schedule, data):
    params, xs, carry, options = arguments(data, PLAIN)
    last, hs = lstm(params._replace(clip=Clip(cell=0.25)), xs, carry, schedule=schedule, **options)
    assert (abs(last.c) <= 0.25).all()
    assert (abs(hs) <= np.tanh(0.25)).all()


@every_schedule
@given(st.data(), st.integers(1, 4))
def test_a_sequence_with_resets_equals_its_segments_run_apart(schedule, data, start):
    """Each segment after the first starts from zeros, or from `reset_to`, whatever the carry of the call is."""
    params, xs, carry, options = arguments(data, PLAIN)
    resets = jnp.zeros(xs.shape[:-1], bool).at[start].set(True)
    run = partial(lstm, params, schedule=schedule, **options)
    _, before = run(xs[:start], carry)
    for back in (None, Carry(carry.c, carry.h)):
        last, hs = run(xs, carry, resets=resets, reset_to=back)
        end, after = run(xs[start:], back)
        same((last, hs), (end, jnp.concatenate([before, after])))


@every_schedule
@pytest.mark.parametrize(
    "case",
    [RICH, Case("plain", ("carry", "lengths", "resets")), Case("diagonal", ("carry", "mask", "shares"))],
    ids=str,
)
@given(st.data(), st.integers(1, 4))
def test_chunks_equal_the_whole(schedule, case, data, start):
    params, xs, carry, options = arguments(data, case)
    whole = lstm(params, xs, carry, schedule=schedule, **options)
    now, outs = carry, []
    for part in (slice(None, start), slice(start, None)):
        given = each(options, lambda leaf, part=part: leaf[part], lambda leaf: leaf)
        if "lengths" in options:
            given["lengths"] = jnp.clip(options["lengths"] - (part.start or 0), 0, xs[part].shape[0])
        now, hs = lstm(params, xs[part], now, schedule=schedule, **given)
        outs.append(hs)
    same((now, jnp.concatenate(outs)), whole)


@every_schedule
@given(st.data())
def test_reversed_twice_is_the_identity_arrangement(schedule, data):
    """To take the steps of a reversed sequence from its end is to take those of the sequence from its beginning."""
    params, xs, carry, options = arguments(data, RICH)
    last, hs = lstm(params, xs, carry, schedule=schedule, **options)
    turned = each(options, partial(jnp.flip, axis=0), lambda leaf: leaf) | {"reverse": True}
    again, turned_hs = lstm(params, jnp.flip(xs, axis=0), carry, schedule=schedule, **turned)
    same((again, jnp.flip(turned_hs, axis=0)), (last, hs))


@every_schedule
@given(st.data())
def test_reverse_begins_at_the_end_of_the_valid_part(schedule, data):
    params, xs, carry, options = arguments(data, Case("plain", ("carry", "lengths", "reverse")))
    last, hs = lstm(params, xs, carry, schedule=schedule, **options)
    for row, length in enumerate(options["lengths"].tolist()):
        now, expected = jax.tree.map(lambda leaf, row=row: leaf[row], carry), np.zeros(hs[:, row].shape)
        for t in reversed(range(length)):
            now, _ = jit_cell(params, now, xs[t, row])
            expected[t] = now.h
        same((hs[:, row], last.h[row], last.c[row]), (expected, *now))


@every_schedule
@given(st.data())
def test_permuting_the_batch_permutes_the_result(schedule, data):
    params, xs, carry, options = arguments(data, RICH)
    order = jnp.array(data.draw(st.permutations(range(xs.shape[1]))))
    last, hs = lstm(params, xs, carry, schedule=schedule, **options)
    mixed = each(options, lambda leaf: leaf[:, order], lambda leaf: leaf[order])
    again, mixed_hs = lstm(
        params, xs[:, order], jax.tree.map(lambda leaf: leaf[order], carry), schedule=schedule, **mixed
    )
    same((again.h, again.c, mixed_hs), (last.h[order], last.c[order], hs[:, order]))


@every_schedule
@given(st.data())
def test_batch_axes_equal_vmap_equal_a_python_loop(schedule, data):
    params, xs, carry, options = arguments(data, Case("plain", (*EVERYTHING, "reverse")))
    axes = [name for name in options if name != "reverse"]

    def one(xs, carry, given):
        return lstm(params, xs, carry, reverse=True, schedule=schedule, **given)

    given = {name: options[name] for name in axes}
    where = {name: 0 if name == "recurrent_mask" else 1 for name in axes}
    whole = one(xs, carry, given)
    mapped = jax.vmap(one, in_axes=(1, 0, where), out_axes=(0, 1))(xs, carry, given)
    same(mapped, whole)
    rows = [
        one(
            xs[:, row],
            jax.tree.map(lambda leaf, row=row: leaf[row], carry),
            each(given, lambda leaf, row=row: leaf[:, row], lambda leaf, row=row: leaf[row]),
        )
        for row in range(xs.shape[1])
    ]
    same((jnp.stack([last.h for last, _ in rows]), jnp.stack([last.c for last, _ in rows])), tuple(whole[0]))
    same(jnp.stack([hs for _, hs in rows], axis=1), whole[1])


@every_schedule
@given(st.data())
def test_batch_axes_can_be_flattened(schedule, data):
    params, xs, carry, options = arguments(data, Case("projection", ("carry", "lengths", "resets"), batch=(2, 2)))
    last, hs = lstm(params, xs, carry, schedule=schedule, **options)
    flat = each(options, lambda leaf: leaf.reshape(leaf.shape[0], 4), lambda leaf: leaf.reshape(4))
    flat_carry = jax.tree.map(lambda leaf: leaf.reshape(4, -1), carry)
    again, flat_hs = lstm(params, xs.reshape(xs.shape[0], 4, -1), flat_carry, schedule=schedule, **flat)
    same((flat_hs.reshape(hs.shape), again.h.reshape(last.h.shape), again.c.reshape(last.c.shape)), (hs, *last))


@every_schedule
@given(st.data())
def test_vmap_over_parameters_equals_a_python_loop(schedule, data):
    first, xs, carry, options = arguments(data, RICH)
    second = jax.tree.map(lambda leaf: -0.5 * leaf, first)
    run = partial(lstm, schedule=schedule, **options)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), first, second)
    mapped = jax.vmap(lambda params: run(params, xs, carry))(stacked)
    for position, params in enumerate((first, second)):
        same(jax.tree.map(lambda leaf, position=position: leaf[position], mapped), run(params, xs, carry))


@every_schedule
@given(st.data())
def test_inside_a_scan_it_streams(schedule, data):
    """`lax.scan` over chunks of equal length, the carry handed on, equals one call."""
    params, xs, carry, _ = arguments(data, Case("peephole", ("carry",), time=6))
    last, hs = jax.lax.scan(
        lambda now, chunk: lstm(params, chunk, now, schedule=schedule), carry, xs.reshape(3, 2, *xs.shape[1:])
    )
    same((last, hs.reshape(6, *hs.shape[2:])), lstm(params, xs, carry, schedule=schedule))


@every_schedule
@given(st.data())
def test_the_trace_agrees_with_the_outputs(schedule, data):
    params, xs, carry, options = arguments(data, RICH)
    last, values = trace(params, xs, carry, **options)
    same((last, values.hidden_state), lstm(params, xs, carry, schedule=schedule, **options))


@every_schedule
def test_the_default_carry_is_zero(schedule):
    params = init(jax.random.key(0), 2, 3)
    xs = jax.random.normal(jax.random.key(1), (5, 3, 2))
    zero = Carry(jnp.zeros((3, 3)), jnp.zeros((3, 3)))
    same(lstm(params, xs, schedule=schedule), lstm(params, xs, zero, schedule=schedule), atol=0)
