"""Schedules: what each promises beyond the result, which all of them share, and the rule that chooses."""

import re
import subprocess
import sys
from functools import partial

import comparisons
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from strategies import usually

from jax_lstm import Carry, Clip, explain_schedule, init, lstm, network
from jax_lstm.schedules import SCHEDULES, Choice, Schedule, Verdict, _plan, register, registry, rules
from jax_lstm.schedules.kernels.cpu import library

PORTABLE = ("scan", "unrolled", "deferred", "chunked", "checkpointed")


def layer(features=3, hidden=4):
    return init(jax.random.key(0), features=features, hidden=hidden)


def gradient(schedule, **options):
    def loss(params, xs):
        last, hs = lstm(params, xs, schedule=schedule, **options)
        return jnp.sum(jnp.sin(hs)) + jnp.sum(last.c)

    return jax.jit(jax.grad(loss, argnums=(0, 1)))


# a sum's rounding is a share of its terms, which may be as large as the array's largest value, 110 in one case
same = partial(comparisons.same, rtol=1e-5, atol=1e-6, least=10.0)


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


@pytest.fixture
def registry_of_its_own():
    before = dict(registry._schedules)
    yield
    registry._schedules.clear()
    registry._schedules.update(before)
    jax.clear_caches()


@pytest.mark.exhaustive
@pytest.mark.usefixtures("registry_of_its_own")
@pytest.mark.parametrize("name", PORTABLE)
def test_auto_runs_what_it_chose(name):
    """With a schedule that takes everything in front of all others, the program of `"auto"` is that schedule's."""
    params, xs = layer(), jnp.ones((9, 20, 3))
    by_name = gradient(name).lower(params, xs).as_text()
    register("taken", SCHEDULES[name]._replace(auto=lambda problem: Verdict(True, "the first one")))
    assert explain_schedule(params, xs).schedule == "taken"
    assert gradient("auto").lower(params, xs).as_text() == by_name


@pytest.mark.usefixtures("registry_of_its_own")
def test_a_schedule_that_is_registered_again_is_the_one_that_runs():
    params, xs = layer(), jnp.ones((9, 20, 3))

    def scaled(factor):
        def run(problem, params, shared, steps):
            carry, hs = SCHEDULES["scan"].run(problem, params, shared, steps)
            return carry, factor * hs

        return Schedule(run)

    expected = lstm(params, xs, schedule="scan")[1]
    for factor in (2.0, 3.0):
        register("scaled", scaled(factor))
        same(lstm(params, xs, schedule="scaled")[1], factor * expected)
    assert "scaled" in explain_schedule(params, xs).passed_over


def test_the_registry_is_a_view_and_register_refuses_what_is_no_schedule():
    with pytest.raises(TypeError, match="does not support item assignment"):
        SCHEDULES["mine"] = SCHEDULES["scan"]
    with pytest.raises(ValueError, match="name is 'auto'"):
        register("auto", SCHEDULES["scan"])
    with pytest.raises(TypeError, match="schedule is a function, expected a Schedule"):
        register("mine", lambda problem, params, shared, steps: None)
    with pytest.raises(TypeError, match="name is a int, expected a str"):
        register(3, SCHEDULES["scan"])


@pytest.fixture
def without_kernel(monkeypatch):
    """The choice among the schedules that XLA compiles."""
    monkeypatch.setattr(library, "load", lambda: "the test has none")
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


@pytest.mark.usefixtures("registry_of_its_own")
def test_what_is_unsupported_is_refused_by_name_and_passed_over_by_auto():
    def unsupported(problem):
        return f"needs more than {problem.rows} rows"

    register("picky", Schedule(None, unsupported, lambda problem: Verdict(True, "fast")))
    params, xs = layer(), jnp.ones((9, 20, 3))
    with pytest.raises(ValueError, match=r'^schedule="picky" needs more than 20 rows: use schedule="auto"'):
        lstm(params, xs, schedule="picky")
    choice = explain_schedule(params, xs)
    assert isinstance(choice, Choice)
    assert choice.schedule != "picky"
    assert choice.passed_over["picky"] == "needs more than 20 rows"


@pytest.mark.usefixtures("registry_of_its_own")
def test_the_problem_follows_from_the_fields_that_are_there():
    seen = []
    register("spy", SCHEDULES["scan"]._replace(unsupported=lambda problem: seen.append(problem)))
    params = init(jax.random.key(0), 3, 4, peephole=True, projection=2, bias=False, clip=Clip(gates=2.0))
    xs, flags = jnp.ones((9, 5, 3)), jnp.zeros((9, 5), bool)
    carry = Carry(jnp.zeros((5, 2)), jnp.zeros((5, 4)))
    explain_schedule(
        params, xs, lengths=jnp.arange(5), resets=flags, reset_to=carry, recurrent_mask=jnp.ones((5, 2)), reverse=True
    )
    explain_schedule(init(jax.random.key(0), 3, 4, diagonal=True), xs, mask=flags, platform="tpu")
    first, second = seen
    assert first.fields == {"w_x", "w_h", "peephole", "projection", "clip.gates"}
    assert first.options == {"lengths", "resets", "reset_to", "recurrent_mask"}
    assert (first.time, first.batch, first.rows, first.features, first.hidden, first.out) == (9, (5,), 5, 3, 4, 2)
    assert (first.platform, first.reverse, second.platform, second.reverse) == ("cpu", True, "tpu", False)
    assert (first.kind, second.kind, second.options) == ("LSTMParams", "DiagonalParams", {"mask"})


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


def exported(run, *arguments, **options) -> bytes:
    pytest.importorskip("flatbuffers")  # what jax.export writes with
    return bytes(export.export(jax.jit(run), **options)(*arguments).serialize(vjp_order=1))


CALL = """
import sys, jax, numpy as np
from jax import export
program = export.deserialize(bytearray(open(sys.argv[1], "rb").read()))
arrays = np.load(sys.argv[2])
if sys.argv[4] == "gradient":
    found = jax.grad(lambda *given: sum(leaf.sum() for leaf in jax.tree.leaves(program.call(*given))))(arrays["xs"])
else:
    found = jax.tree.leaves(program.call(arrays["xs"]))[-1]
np.save(sys.argv[3], found)
assert not any(name.startswith("jax_lstm") for name in sys.modules)
"""


@pytest.mark.parametrize("what", ["value", "gradient"])
@pytest.mark.parametrize("call", usually(["lstm", "network", "ragged"], ["ragged"]))
def test_an_exported_program_runs_where_the_package_was_never_imported(tmp_path, call, what):
    params, xs = layer(hidden=8), jax.random.normal(jax.random.key(1), (9, 5, 3))
    runs = {
        "lstm": lambda xs: lstm(params, xs)[1],
        "network": lambda xs: network((params, layer(8, 8)), xs)[1],
        "ragged": lambda xs: lstm(params, xs, lengths=jnp.array([9, 3, 0, 1, 2]))[1],
    }
    run = runs[call]
    (tmp_path / "program").write_bytes(exported(run, xs, platforms=["cpu", "cuda"]))
    np.savez(tmp_path / "arrays.npz", xs=xs)
    names = [str(tmp_path / name) for name in ("program", "arrays.npz", "found.npy")]
    subprocess.run([sys.executable, "-c", CALL, *names, what], check=True, cwd=tmp_path)
    expected = run(xs) if what == "value" else jax.grad(lambda xs: run(xs).sum())(xs)
    same(np.load(names[-1]), np.asarray(expected))


def test_the_default_call_is_exported_without_the_kernel():
    params, xs = layer(hidden=8)._replace(clip=None), jnp.ones((9, 5, 3))
    for run in (jax.jit(lambda params, xs: lstm(params, xs)), gradient("auto")):
        text = export.export(run)(params, xs).mlir_module()
        assert "custom_call @jax_lstm" not in text
        assert loops(text) >= 1


def test_containers_of_an_exported_program_are_read_back():
    params, xs = layer()._replace(clip=Clip(cell=2.0)), jax.random.normal(jax.random.key(1), (7, 5, 3))
    run = jax.jit(lambda params, xs: lstm(params, xs, lengths=jnp.array([7, 3, 0, 1, 2])))
    program = export.deserialize(bytearray(exported(run, params, xs)))
    same(program.call(params, xs), run(params, xs))


@pytest.mark.parametrize("schedule", usually(["auto", "deferred", "chunked", "scan"], ["auto"]))
def test_symbolic_sizes(schedule):
    """One program for every number of steps and rows, with its gradient."""
    params = layer()
    time, rows = export.symbolic_shape("time, rows")
    spec = jax.ShapeDtypeStruct((time, rows, 3), jnp.float32)
    for run in (jax.jit(lambda params, xs: lstm(params, xs, schedule=schedule)), gradient(schedule)):
        program = export.export(run, platforms=["cpu", "tpu"])(params, spec)
        for sizes in ((1, 1), (7, 20)):
            xs = jax.random.normal(jax.random.key(1), (*sizes, 3))
            same(program.call(params, xs), run(params, xs))


@pytest.mark.parametrize("schedule", ["unrolled", "checkpointed"])
def test_a_symbolic_time_is_refused_by_name_where_it_cannot_be(schedule):
    (time,) = export.symbolic_shape("time")
    with pytest.raises(ValueError, match=f'schedule="{schedule}" .*symbolic'):
        export.export(jax.jit(lambda xs: lstm(layer(), xs, schedule=schedule)[1]))(
            jax.ShapeDtypeStruct((time, 3), jnp.float32)
        )


@pytest.mark.parametrize("derivative", [False, True], ids=["value", "gradient"])
@pytest.mark.parametrize("options", [{}, {"peephole": True}], ids=["plain", "peephole"])
def test_a_batch_axis_and_vmap_are_one_program(options, derivative):
    """The compiled program of `jax.vmap` over rows is that of a batch axis, for as many rows as make chunks."""
    params, xs = init(jax.random.key(0), 3, 8, **options), jnp.ones((40, 32, 3))

    def by_axis(params, xs):
        return jnp.sum(lstm(params, xs)[1] ** 2)

    def by_vmap(params, xs):
        return jnp.sum(jax.vmap(lambda xs: lstm(params, xs)[1], 1, 1)(xs) ** 2)

    texts = []
    for run in (by_axis, by_vmap):
        compiled = jax.jit(jax.grad(run) if derivative else run).lower(params, xs).compile()
        operations = re.findall(r" = \S+ ([\w-]+)\(", compiled.as_text())
        texts.append(
            (sorted(set(operations)), operations.count("while"), compiled.memory_analysis().temp_size_in_bytes)
        )
    assert texts[0] == texts[1]


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_export_for_an_accelerator_from_a_machine_without_one(platform):
    program = export.export(gradient("auto"), platforms=[platform])(layer(), jnp.ones((9, 20, 3)))
    assert program.platforms == (platform,)
    assert loops(program.mlir_module()) >= 2


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
    monkeypatch.setattr(_plan, "LARGE_BYTES", large)
    monkeypatch.setattr(_plan, "MANY_BYTES", many)
    jax.clear_caches()
    for schedule in ("chunked", "deferred"):
        same(gradient(schedule)(params, xs), expected)
    monkeypatch.setattr(_plan, "FEW_ROWS", 1)
    monkeypatch.setattr(library, "missing", lambda: "it is switched off")
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
    """The input's product before the loop, the gates made after it, a step's gradients padded as for a GPU: on a CPU,
    masked, with resets, reversed.
    """
    arranged = _plan.Plan(layout="one kernel", hoisted=True)
    monkeypatch.setattr("jax_lstm.schedules.deferred.plan", lambda problem, in_chunks: arranged)
    jax.clear_caches()
    params, xs = init(jax.random.key(0), 3, 4, **variant), jax.random.normal(jax.random.key(1), (11, 5, 3))
    mask, resets = jax.random.bernoulli(jax.random.key(2), 0.6, (2, 11, 5))
    options = {"mask": mask, "resets": resets, "reverse": True}
    same(gradient("deferred", **options)(params, xs), gradient("scan", **options)(params, xs))
    jax.clear_caches()
