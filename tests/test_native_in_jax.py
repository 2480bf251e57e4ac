"""The CPU kernel as a schedule: under JAX's transformations, from many threads, with NaN, and turned off."""

import subprocess
import sys
import threading
from functools import partial

import comparisons
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_lstm import Carry, explain_schedule, init, lstm, zero_carry
from jax_lstm.schedules import rules
from jax_lstm.schedules.kernels.cpu import library

pytestmark = pytest.mark.skipif(library.missing() is not None, reason=f"no kernel: {library.missing()}")


def layer_and_input(time=9, batch=(3,), features=4, hidden=6):
    params = init(jax.random.key(0), features, hidden)
    return params, jax.random.normal(jax.random.key(1), (time, *batch, features))


def loss(params, xs, schedule="native", **options):
    last, hs = lstm(params, xs, schedule=schedule, **options)
    return jnp.square(hs).sum() + (last.h * last.c).sum()


same = partial(comparisons.same, least=None)


def test_nan_in_padding_reaches_nothing_and_nan_in_data_comes_out():
    params, xs = layer_and_input()
    lengths = jnp.array([9, 4, 0])
    valid = jnp.arange(9)[:, None] < lengths[None]
    for bad in (jnp.nan, jnp.inf):
        padded = jnp.where(valid[..., None], xs, bad)
        same(loss(params, padded, lengths=lengths), loss(params, xs, lengths=lengths), atol=0)
        same(
            jax.grad(loss, (0, 1))(params, padded, lengths=lengths),
            jax.grad(loss, (0, 1))(params, xs, lengths=lengths),
            atol=0,
        )
    last, hs = lstm(params, xs.at[3, 1, 0].set(jnp.nan), schedule="native")
    assert jnp.isnan(hs[3:, 1]).all()
    assert jnp.isnan(last.c[1]).all()
    assert jnp.isfinite(hs[:3]).all()
    assert jnp.isfinite(hs[:, 0]).all()


def test_inputs_of_any_size_give_what_the_scan_gives():
    params, xs = layer_and_input()
    with np.errstate(all="ignore"):
        for scale in (0.0, 1e-6, 1e3, 1e30):
            found, expected = (lstm(params, scale * xs, schedule=name) for name in ("native", "scan"))
            # pre-activations in the thousands are rounded to 1e-4, which a gate that is not saturated passes on
            same(found, expected, atol=1e-4 if scale == 1e3 else 1e-6)


def test_batch_axes_vmap_and_a_loop_agree():
    params, xs = layer_and_input(batch=(2, 3))
    lengths = jnp.array([[9, 4, 0], [1, 2, 3]])
    whole = jax.grad(loss)(params, xs, lengths=lengths)
    mapped = jax.grad(
        lambda params: jax.vmap(lambda xs, lengths: loss(params, xs, lengths=lengths), (1, 0))(xs, lengths).sum()
    )
    same(mapped(params), whole)
    rows = [jax.grad(loss)(params, xs[:, i, j], lengths=lengths[i, j]) for i in range(2) for j in range(3)]
    same(jax.tree.map(lambda *leaves: sum(leaves), *rows), whole)


def test_vmap_over_parameters_equals_a_loop():
    params, xs = layer_and_input()
    several = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf, -leaf]), params)
    apart = [jax.tree.map(lambda leaf, k=k: leaf[k], several) for k in range(3)]
    shared = jax.vmap(jax.value_and_grad(loss, (0, 1)), (0, None))(several, xs)
    same(
        shared,
        jax.tree.map(lambda *leaves: jnp.stack(leaves), *(jax.value_and_grad(loss, (0, 1))(one, xs) for one in apart)),
    )
    # two maps at once: over parameters, and over inputs inside
    both = jax.vmap(jax.vmap(loss, (None, 1)), (0, None))(several, xs)
    same(both, jnp.stack([jnp.stack([loss(one, xs[:, row]) for row in range(3)]) for one in apart]))


@pytest.mark.exhaustive
def test_derivatives_of_derivatives():
    params, xs = layer_and_input(time=4)

    def curvature(schedule):
        def of(params, xs):
            gradients = jax.grad(loss, (0, 1))(params, xs, schedule=schedule)
            return sum(jnp.sin(leaf).sum() for leaf in jax.tree.leaves(gradients))

        return jax.grad(of, (0, 1))(params, xs)

    def hessian(schedule):
        return jax.jacfwd(jax.jacrev(lambda b: loss(params._replace(b=b), xs, schedule=schedule)))(params.b)

    same(curvature("native"), curvature("scan"))
    same(hessian("native"), hessian("scan"))


def test_inside_scan_checkpoint_shard_map_and_with_donation():
    params, xs = layer_and_input(time=8, batch=(4,))
    expected = jax.grad(loss)(params, xs, schedule="scan")
    same(jax.grad(jax.checkpoint(loss))(params, xs), expected)
    parts = xs.reshape(4, 2, 4, 4)
    last, hs = jax.lax.scan(
        lambda carry, part: lstm(params, part, carry, schedule="native"), zero_carry(params, (4,)), parts
    )
    same((last, hs.reshape(8, 4, 6)), lstm(params, xs, schedule="scan"))
    mesh = jax.make_mesh((2,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec
    with jax.set_mesh(mesh):
        spread = jax.device_put(xs, jax.sharding.NamedSharding(mesh, spec(None, "batch")))
        same(jax.jit(jax.grad(loss))(params, spread), expected)
        rows = spec(None, "batch")
        mapped = jax.shard_map(lambda xs: lstm(params, xs, schedule="native")[1], in_specs=rows, out_specs=rows)
        same(jax.jit(mapped)(spread), lstm(params, xs, schedule="scan")[1])
    given = Carry(jnp.ones((4, 6)), jnp.ones((4, 6)))
    step = jax.jit(lambda carry: lstm(params, xs, carry, schedule="native")[0], donate_argnums=0)
    same(step(jax.tree.map(jnp.copy, given)), lstm(params, xs, given, schedule="scan")[0])


def lowered(function, *arguments) -> list[str]:
    """The types of the results of every call of the kernel in a program."""
    text = jax.jit(function).lower(*arguments).as_text()
    return [line.split("->")[-1].strip(" ()") for line in text.splitlines() if "@jax_lstm_" in line]


def test_nothing_is_made_that_nobody_reads():
    params, xs = layer_and_input()
    (both,) = lowered(lambda params, xs: lstm(params, xs, schedule="native"), params, xs)
    (last,) = lowered(lambda params, xs: lstm(params, xs, schedule="native")[0], params, xs)
    assert both == "tensor<9x3x6xf32>, tensor<3x6xf32>, tensor<3x6xf32>, tensor<0x0x0x0xf32>"
    assert last == "tensor<0x0x0xf32>, tensor<3x6xf32>, tensor<3x6xf32>, tensor<0x0x0x0xf32>"
    _, of_weights = lowered(jax.grad(loss), params, xs)
    _, of_both = lowered(jax.grad(loss, (0, 1)), params, xs)
    assert of_weights.startswith("tensor<0x0x0xf32>, tensor<4x24xf32>")
    assert of_both.startswith("tensor<9x3x4xf32>, tensor<4x24xf32>")


def test_a_program_for_another_platform_has_a_plain_loop():
    params, xs = layer_and_input()
    exported = jax.export.export(jax.jit(jax.grad(loss)), platforms=["cuda"])(params, xs)
    assert "jax_lstm_" not in exported.mlir_module()
    assert "stablehlo.while" in exported.mlir_module()


def test_lengths_beyond_the_sequence_are_the_sequence():
    params, xs = layer_and_input()
    run = jax.jit(lambda lengths: lstm(params, xs, lengths=lengths, schedule="native"))
    same(run(jnp.array([2**31 - 1, -5, 9])), run(jnp.array([9, 0, 9])), atol=0)


def test_calls_from_many_threads_at_once():
    params, xs = layer_and_input(time=200, batch=(16,), hidden=32)
    run = jax.jit(jax.grad(loss, (0, 1)))
    expected, found = jax.tree.map(np.asarray, run(params, xs)), []

    def work():
        found.extend(jax.tree.map(np.asarray, run(params, xs)) for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 40
    for one in found:
        same(one, expected)


def test_more_calls_at_once_than_the_pool_has_threads():
    """One program with many calls that do not wait for each other: XLA begins them from every thread of its pool."""
    params, xs = layer_and_input(time=50, batch=(8,), hidden=32)

    @jax.jit
    def run(params, xs):
        return [lstm(params, xs + shift, schedule="native")[0].h for shift in range(64)]

    for _ in range(3):
        found = jax.block_until_ready(run(params, xs))
    same(found[7], lstm(params, xs + 7, schedule="scan")[0].h)


def test_the_variant_is_the_widest_that_the_processor_has(monkeypatch):
    with open("/proc/cpuinfo") as file:
        flags = set(next((line for line in file if line.startswith("flags")), "").split())
    wanted = (
        "avx512"
        if {"avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl"} <= flags
        else "avx2"
        if "avx2" in flags
        else "neon"
    )
    assert library.variant() == wanted
    monkeypatch.setattr(rules, "RELIED_ON", (wanted,))
    assert wanted in explain_schedule(*layer_and_input(hidden=8)).details


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"norm": True}, "does not support norm"),
        ({"norm": True, "peephole": True}, "does not support norm"),
    ],
)
def test_what_it_cannot_run_it_refuses(options, reason):
    params = init(jax.random.key(0), 4, 6, **options)
    _, xs = layer_and_input()
    with pytest.raises(ValueError, match=reason):
        lstm(params, xs, schedule="native")
    assert reason in explain_schedule(params, xs).passed_over["native"]


def test_half_precision_is_refused():
    params, xs = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), layer_and_input())
    with pytest.raises(ValueError, match="computes in float32 and float64, not in bfloat16"):
        lstm(params, xs, schedule="native")


@pytest.mark.parametrize(
    ("time", "features", "hidden", "reason"),
    [
        (5, 1, 4, None),
        (5, 1, 3, "3 units"),
        (4, 1, 8, "4 steps"),
        (5, 128, 512, None),
        (5, 512, 512, "8,388,608 bytes"),
    ],
)
def test_auto_takes_it_where_it_is_as_fast(monkeypatch, time, features, hidden, reason):
    monkeypatch.setattr(rules, "RELIED_ON", (library.variant(),))  # whatever this processor has
    params = init(jax.random.key(0), features, hidden, bias=False, recurrent_init=jax.nn.initializers.zeros)
    choice = explain_schedule(params, jnp.zeros((time, 2, features)))
    assert (choice.schedule == "native") == (reason is None)
    assert reason is None or reason in choice.passed_over["native"]


def test_the_environment_variable_turns_it_off(monkeypatch):
    monkeypatch.setenv("JAX_LSTM_NATIVE", "0")
    code = "from jax_lstm.schedules.kernels.cpu import library; print(library.missing())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "the environment variable JAX_LSTM_NATIVE is 0"


@pytest.mark.parametrize("name", ["narrowest", "sse"])
def test_the_environment_variable_names_the_instruction_set(monkeypatch, name):
    narrowest = "neon" if library.variant() == "neon" else "avx2"
    monkeypatch.setenv("JAX_LSTM_NATIVE", narrowest if name == "narrowest" else name)
    code = "from jax_lstm.schedules.kernels.cpu import library; print(library.variant(), library.missing())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    if name == "narrowest":
        assert done.stdout.strip() == f"{narrowest} None"
    else:
        assert "JAX_LSTM_NATIVE is 'sse', and this processor has no such variant" in done.stdout


@pytest.mark.parametrize(("variant", "lanes", "least"), [("avx2", 8, 4), ("avx512", 16, 4), ("neon", 4, None)])
def test_auto_relies_on_what_was_timed(monkeypatch, variant, lanes, least):
    monkeypatch.setattr(library, "variant", lambda: variant)
    monkeypatch.setattr(library, "units", lambda dtype: lanes)
    for hidden in (1, 3, 4, 5, 8, 16):
        params = init(jax.random.key(0), 1, hidden, recurrent_init=jax.nn.initializers.zeros)
        choice = explain_schedule(params, jnp.zeros((5, 2, 1)))
        assert (choice.schedule == "native") == (least is not None and hidden >= least)
        if choice.schedule == "native":
            assert choice.details == f"instruction set: {variant}"
    if least is None:
        assert choice.passed_over["native"] == f"it was built for {variant} but not timed with it: ask for it by name"


def test_a_jaxlib_that_refuses_the_library_is_a_reason_against_it(monkeypatch):
    def refuse(*arguments, **options):
        raise jax.errors.JaxRuntimeError("the handler is\ntoo new")

    monkeypatch.setattr(jax.ffi, "register_ffi_target", refuse)
    reason = "this jaxlib does not take the compiled library: the handler is too new"
    with pytest.warns(RuntimeWarning, match=reason):
        assert library.load.__wrapped__() == reason
