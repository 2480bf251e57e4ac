"""Schedules: what each promises beyond the result, which all of them share, and the rule that chooses."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from strategies import usually

from jax_lstm import Carry, Clip, explain_schedule, init, lstm
from jax_lstm.schedules import SCHEDULES, Choice, Schedule, Verdict, registry, rules
from jax_lstm.schedules.deferred import Plan, Plans, deferred

PORTABLE = ("scan", "unrolled", "deferred", "chunked", "checkpointed")


def layer(features=3, hidden=4):
    return init(jax.random.key(0), features=features, hidden=hidden)


def gradient(schedule, **options):
    def loss(params, xs):
        last, hs = lstm(params, xs, schedule=schedule, **options)
        return jnp.sum(jnp.sin(hs)) + jnp.sum(last.c)

    return jax.jit(jax.grad(loss, argnums=(0, 1)))


def same(found, expected):
    def close(a, b):
        # a sum's rounding is a share of its terms, which may be as large as the array's largest value, 110 in one case
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6 * max(10.0, np.max(np.abs(b), initial=0.0)))

    jax.tree.map(close, found, expected)


def loops(program: str) -> int:
    return program.count("stablehlo.while")


@pytest.mark.parametrize("platform", ["cpu", "gpu", "tpu"])
@pytest.mark.parametrize("shape", [(2, 5, 3), (40, 3), (40, 64, 3), (40, 4, 16, 3)], ids=str)
def test_every_schedule_is_chosen_or_has_a_reason_why_not(shape, platform):
    choice = explain_schedule(layer(), jnp.ones(shape), platform=platform)
    assert {choice.schedule, *choice.passed_over} == set(SCHEDULES)
    assert choice.schedule not in choice.passed_over
    assert choice.reason
    assert all(choice.passed_over.values())


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", PORTABLE)
def test_auto_runs_what_it_chose(monkeypatch, name):
    """With one schedule alone in the registry, the program of `"auto"` is the program of that schedule."""
    taken = SCHEDULES[name]._replace(auto=lambda problem: Verdict(True, "the only one"))
    params, xs = layer(), jnp.ones((9, 20, 3))
    jax.clear_caches()
    monkeypatch.setattr(registry, "SCHEDULES", {name: taken})
    assert explain_schedule(params, xs).schedule == name
    by_auto = gradient("auto").lower(params, xs).as_text()
    monkeypatch.undo()
    jax.clear_caches()
    by_name = gradient(name).lower(params, xs).as_text()
    if name in ("chunked", "deferred"):  # those hold a program for each kind of platform: compare what they compute
        same(gradient("auto")(params, xs), gradient(name)(params, xs))
    else:
        assert by_auto == by_name


@pytest.fixture
def without_kernel(monkeypatch):
    """The choice among the schedules that XLA compiles."""
    monkeypatch.setenv("JAX_LSTM_NATIVE", "0")
    jax.clear_caches()
    yield
    jax.clear_caches()


@pytest.mark.exhaustive
@pytest.mark.usefixtures("without_kernel")
def test_a_short_sequence_has_no_loop_and_a_long_one_has():
    for time, looped in ((rules.FEW_STEPS, False), (rules.FEW_STEPS + 1, True)):
        assert (loops(gradient("auto").lower(layer(), jnp.ones((time, 1, 3))).as_text()) > 0) == looped


@pytest.mark.usefixtures("without_kernel")
def test_an_accelerator_makes_the_products_after_the_loop_and_a_cpu_in_chunks():
    """The same call, lowered for two platforms: the gradient on a CPU has loops over chunks inside a loop, that on a
    TPU has not.
    """
    traced = gradient("auto").trace(layer(), jnp.ones((9, 20, 3)))
    found = {platform: loops(traced.lower(lowering_platforms=(platform,)).as_text()) for platform in ("cpu", "tpu")}
    assert found["cpu"] > found["tpu"] >= 2


def test_what_is_unsupported_is_refused_by_name_and_passed_over_by_auto(monkeypatch):
    refusing = Schedule(
        None, lambda problem: f"needs more than {problem.rows} rows", lambda problem: Verdict(True, "fast")
    )
    monkeypatch.setattr(registry, "SCHEDULES", {"picky": refusing, **SCHEDULES})
    monkeypatch.setattr("jax_lstm._layer.SCHEDULES", registry.SCHEDULES)
    params, xs = layer(), jnp.ones((9, 20, 3))
    with pytest.raises(ValueError, match=r'^schedule="picky" needs more than 20 rows: use schedule="auto"'):
        lstm(params, xs, schedule="picky")
    choice = explain_schedule(params, xs)
    assert isinstance(choice, Choice)
    assert choice.schedule != "picky"
    assert choice.passed_over["picky"] == "needs more than 20 rows"


def test_the_options_of_a_call_are_part_of_the_problem(monkeypatch):
    seen = []
    spy = SCHEDULES["scan"]._replace(unsupported=lambda problem: seen.append(problem))
    monkeypatch.setattr(registry, "SCHEDULES", SCHEDULES | {"scan": spy})
    params = init(jax.random.key(0), 3, 4, peephole=True, projection=2, bias=False)
    xs, flags = jnp.ones((9, 5, 3)), jnp.zeros((9, 5), bool)
    carry = Carry(jnp.zeros((5, 2)), jnp.zeros((5, 4)))
    explain_schedule(
        params, xs, lengths=jnp.arange(5), resets=flags, reset_to=carry, recurrent_mask=jnp.ones((5, 2)), reverse=True
    )
    explain_schedule(params, xs, mask=flags, platform="tpu")
    first, second = seen
    assert first.variant == {"peephole", "projection", "no bias"}
    assert first.options == {"lengths", "resets", "reset_to", "recurrent_mask"}
    assert (first.time, first.batch, first.rows, first.features, first.hidden, first.out) == (9, (5,), 5, 3, 4, 2)
    assert (first.platform, first.reverse, second.platform, second.reverse) == ("cpu", True, "tpu", False)
    assert second.options == {"mask"}


@pytest.mark.parametrize("schedule", usually(["auto", *PORTABLE], ["auto"]))
def test_a_symbolic_batch_and_other_platforms(schedule):
    """A program with a symbolic batch, exported for three platforms from a machine that has one of them."""
    params = layer()
    (rows,) = export.symbolic_shape("rows")
    spec = jax.ShapeDtypeStruct((7, rows, 3), jnp.float32)
    for run in (jax.jit(lambda params, xs: lstm(params, xs, schedule=schedule)), gradient(schedule)):
        exported = export.export(run, platforms=["cpu", "cuda", "tpu"])(params, spec)
        for count in (1, 20):
            xs = jax.random.normal(jax.random.key(count), (7, count, 3))
            same(exported.call(params, xs), run(params, xs))


def test_an_exported_program_is_written_and_read_back():
    pytest.importorskip("flatbuffers")  # what jax.export writes with
    params, xs = layer()._replace(clip=Clip(cell=2.0)), jax.random.normal(jax.random.key(1), (7, 5, 3))
    run = jax.jit(lambda params, xs: lstm(params, xs, lengths=jnp.array([7, 3, 0, 1, 2])))
    program = export.deserialize(export.export(run)(params, xs).serialize())
    same(program.call(params, xs), run(params, xs))


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_export_for_an_accelerator_from_a_machine_without_one(platform):
    exported = export.export(gradient("auto"), platforms=[platform])(layer(), jnp.ones((9, 20, 3)))
    assert exported.platforms == (platform,)
    assert loops(exported.mlir_module()) >= 2


def test_unrolled_has_no_loop():
    params, xs = layer(), jnp.ones((3, 2, 3))
    texts = {
        name: jax.jit(lambda xs, name=name: lstm(params, xs, schedule=name)[1]).lower(xs).as_text()
        for name in ("scan", "unrolled")
    }
    assert "stablehlo.while" not in texts["unrolled"]
    assert "stablehlo.while" in texts["scan"]


LAYOUTS = {"plain": (2**40, 2**40), "halves": (0, 2**40), "weights left": (0, 0)}


@pytest.mark.exhaustive
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("batch", [(5,), (2, 3)], ids=str)
def test_the_layouts_of_a_product_in_the_loop_are_the_same(monkeypatch, batch, layout):
    params = init(jax.random.key(0), features=3, hidden=5, projection=4)
    xs = jax.random.normal(jax.random.key(1), (7, *batch, 3))
    expected = gradient("scan")(params, xs)
    large, many = LAYOUTS[layout]
    monkeypatch.setattr(rules, "LARGE_BYTES", large)
    monkeypatch.setattr(rules, "MANY_BYTES", many)
    jax.clear_caches()
    for schedule in ("chunked", "deferred"):
        same(gradient(schedule)(params, xs), expected)
    monkeypatch.setattr(rules, "FEW_ROWS", 1)
    assert f"products in the loop: {layout}" in explain_schedule(params, xs).details
    jax.clear_caches()


def temporary_bytes(schedule, time):
    def loss(params, xs):
        return jnp.sum(lstm(params, xs, schedule=schedule)[0].h)

    params, xs = layer(features=1, hidden=32), jnp.ones((time, 4, 1))
    return jax.jit(jax.grad(loss)).lower(params, xs).compile().memory_analysis().temp_size_in_bytes


@pytest.mark.exhaustive
def test_the_memory_of_checkpointed_grows_with_the_square_root_of_the_length():
    short, long = temporary_bytes("checkpointed", 400), temporary_bytes("checkpointed", 6400)
    # sixteen times the steps: four times the carries and gates, and the hidden states of one segment more; not sixteen
    # times
    assert long < 6 * short
    assert long < temporary_bytes("scan", 6400) / 10


@pytest.mark.parametrize("schedule", ["scan", "unrolled"])
def test_the_plain_schedules_have_a_forward_mode(schedule):
    params, xs = layer(), jnp.ones((4, 2, 3))

    def f(xs):
        return lstm(params, xs, schedule=schedule)[1].sum()

    _, along = jax.jvp(f, (xs,), (xs,))
    assert jnp.allclose(along, (jax.grad(f)(xs) * xs).sum(), rtol=1e-5)


@pytest.mark.parametrize("schedule", ["deferred", "chunked", "checkpointed"])
def test_the_others_refuse_it_and_name_one_that_has(schedule):
    params, xs = layer(), jnp.ones((6, 2, 3))
    with pytest.raises(TypeError, match=f'schedule="{schedule}" has no forward mode .*ask for schedule="scan"'):
        jax.jvp(lambda xs: lstm(params, xs, schedule=schedule)[1], (xs,), (xs,))


def test_auto_takes_the_plain_scan_for_forward_mode():
    params, xs = layer(), jax.random.normal(jax.random.key(1), (6, 20, 3))

    def jacobian(schedule):
        return jax.jacfwd(lambda xs: lstm(params, xs, schedule=schedule)[0].c.sum())(xs)

    same(jacobian("auto"), jacobian("scan"))


@pytest.mark.exhaustive
@pytest.mark.parametrize("schedule", usually(["auto", "deferred", "chunked"], ["chunked"]))
def test_hessians_by_forward_over_reverse(schedule):
    params, xs = layer(features=2, hidden=3), jax.random.normal(jax.random.key(1), (6, 20, 2))

    def loss(w_h, schedule):
        return jnp.sum(lstm(params._replace(w_h=w_h), xs, schedule=schedule)[1] ** 2)

    same(
        jax.hessian(partial(loss, schedule=schedule))(params.w_h),
        jax.hessian(partial(loss, schedule="scan"))(params.w_h),
    )


@pytest.mark.parametrize("schedule", ["auto", *PORTABLE])
def test_a_batch_of_no_rows(schedule):
    params, xs = layer(), jnp.ones((6, 0, 3))
    last, hs = lstm(params, xs, lengths=jnp.zeros(0, int), schedule=schedule)
    assert (hs.shape, last.c.shape) == ((6, 0, 4), (0, 4))
    of_params, of_xs = gradient(schedule)(params, xs)
    assert of_xs.shape == xs.shape
    assert not of_params.w_h.any()


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "variant",
    [{}, {"peephole": True, "projection": 2}, {"peephole": True, "projection": 2, "norm": True}],
    ids=["plain", "projected", "rich"],
)
def test_the_loops_for_accelerators_give_the_same(monkeypatch, variant):
    """The input's product before the loop, the gates made again after it, a step's gradients padded as for a GPU: on a
    CPU, masked, with resets, reversed.
    """
    monkeypatch.setattr("jax_lstm.schedules._products._on_gpu", lambda function, value: function(value))

    def run(problem, *arguments):
        plan = Plan(layout="one kernel", hoisted=True)
        return deferred(*arguments, plans=Plans(plan, plan), reverse=problem.reverse)

    monkeypatch.setitem(SCHEDULES, "for accelerators", SCHEDULES["deferred"]._replace(run=run))
    params, xs = init(jax.random.key(0), 3, 4, **variant), jax.random.normal(jax.random.key(1), (11, 5, 3))
    mask, resets = jax.random.bernoulli(jax.random.key(2), 0.6, (2, 11, 5))
    options = {"mask": mask, "resets": resets, "reverse": True}
    same(gradient("for accelerators", **options)(params, xs), gradient("scan", **options)(params, xs))
