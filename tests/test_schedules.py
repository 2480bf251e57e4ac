"""Schedules: what each promises beyond the result, which all of them share, and the rule that chooses."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_lstm import LSTMParams, explain_schedule, init, lstm
from jax_lstm.schedules import SCHEDULES, choose, fused


def layer(features=3, hidden=4):
    return init(jax.random.key(0), features=features, hidden=hidden)


@pytest.mark.parametrize(
    ("time", "batch", "features", "hidden", "backend", "expected"),
    [
        (3, (), 1, 1, "cpu", "unrolled"),
        (5, (), 1, 1, "cpu", "deferred"),
        (1000, (1,), 32, 128, "cpu", "deferred"),
        (784, (128,), 1, 128, "cpu", "fused"),
        (365, (4, 4), 32, 256, "cpu", "fused"),
        (365, (256,), 32, 256, "gpu", "deferred"),
    ],
)
def test_the_rule_goes_by_steps_backend_and_size(time, batch, features, hidden, backend, expected):
    params = LSTMParams(*(jnp.zeros(shape) for shape in ((features, 4 * hidden), (hidden, 4 * hidden), (4 * hidden,))))
    choice = choose(params, (time, *batch, features), backend)
    assert choice.schedule == expected
    assert choice.reason


@pytest.mark.parametrize("time", [2, 9])
def test_auto_runs_what_it_says(time):
    params, xs = layer(), jnp.ones((time, 2, 3))
    said = explain_schedule(params, xs).schedule

    def program(schedule):
        return jax.jit(jax.grad(lambda params: lstm(params, xs, schedule=schedule)[1].sum())).lower(params).as_text()

    assert program("auto") == program(said)
    assert program("auto") != program("saving")


def test_unrolled_has_no_loop():
    params, xs = layer(), jnp.ones((3, 2, 3))
    texts = {name: jax.jit(lambda xs, name=name: lstm(params, xs, schedule=name)[1]).lower(xs).as_text() for name in ("scan", "unrolled")}
    assert "stablehlo.while" not in texts["unrolled"]
    assert "stablehlo.while" in texts["scan"]


@pytest.mark.parametrize(("large", "many"), [(0, 2**40), (0, 0)], ids=["in halves", "weights on the left"])
@pytest.mark.parametrize("batch", [(5,), (2, 3)], ids=str)
def test_the_ways_of_a_product_in_the_loop_are_the_same(monkeypatch, batch, large, many):
    params = init(jax.random.key(0), features=3, hidden=5, projection=4)
    xs = jax.random.normal(jax.random.key(1), (7, *batch, 3))

    def gradient(schedule):
        return jax.jit(jax.grad(lambda params, xs: jnp.sum(jnp.sin(lstm(params, xs, schedule=schedule)[1])), argnums=(0, 1)))

    expected = gradient("scan")(params, xs)
    monkeypatch.setattr(fused, "LARGE_BYTES", large)
    monkeypatch.setattr(fused, "MANY_BYTES", many)
    jax.clear_caches()
    for schedule in ("fused", "deferred"):
        lowered = gradient(schedule).lower(params, xs)
        assert ("optimization_barrier" in lowered.as_text()) == (many == 0 or schedule == "fused")
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), lowered.compile()(params, xs), expected)
    jax.clear_caches()


def temporary_bytes(schedule, time):
    def loss(params, xs):
        return jnp.sum(lstm(params, xs, schedule=schedule)[0].h)

    params, xs = layer(features=1, hidden=32), jnp.ones((time, 4, 1))
    return jax.jit(jax.grad(loss)).lower(params, xs).compile().memory_analysis().temp_size_in_bytes


def test_the_memory_of_saving_grows_with_the_square_root_of_the_length():
    short, long = temporary_bytes("saving", 400), temporary_bytes("saving", 6400)
    # sixteen times the steps: four times the carries and gates, and the hidden states of one stretch more; not sixteen times
    assert long < 6 * short
    assert long < temporary_bytes("scan", 6400) / 10


@pytest.mark.parametrize("schedule", ["scan", "unrolled"])
def test_the_plain_schedules_have_a_forward_mode(schedule):
    params, xs = layer(), jnp.ones((4, 2, 3))

    def f(xs):
        return lstm(params, xs, schedule=schedule)[1].sum()

    _, along = jax.jvp(f, (xs,), (xs,))
    assert jnp.allclose(along, (jax.grad(f)(xs) * xs).sum(), rtol=1e-5)


@pytest.mark.parametrize("schedule", [name for name in SCHEDULES if name not in ("scan", "unrolled")])
def test_the_others_refuse_it_and_name_one_that_has(schedule):
    params, xs = layer(), jnp.ones((6, 2, 3))
    with pytest.raises(TypeError, match=f'schedule="{schedule}" has no forward-mode derivative .*ask for schedule="scan"'):
        jax.jvp(lambda xs: lstm(params, xs, schedule=schedule)[1], (xs,), (xs,))
