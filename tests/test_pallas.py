"""The TPU kernel, interpreted: values against the oracle, gradients against the plain scan, and what it refuses."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from jax.experimental.pallas import tpu as pltpu
from jax.sharding import AxisType, PartitionSpec

from jax_lstm import Carry, explain_schedule, init, lstm
from jax_lstm.schedules import Schedule, register, registry
from jax_lstm.schedules.kernels import tpu
from jax_lstm.schedules.primitives import run as run_operation
from jax_lstm.schedules.problem import Problem

# plain JAX, and the interpreter that has a TPU's memories: what was not written in VMEM is NaN there
INTERPRETERS = ("interpreted", "as on a TPU")
TIME, BATCH, FEATURES, HIDDEN = 11, (2, 9), 3, 20
OPTIONS = [
    "",
    "reverse",
    "carry lengths",
    "carry lengths reverse",
    "resets",
    "carry mask resets reset_to",
    "lengths resets without_bias",
    "carry mask resets reset_to reverse",
]
RICH = OPTIONS[-1]
# the richest case by one interpreter; all others in the gate
PAIRS = [
    pytest.param(name, given, marks=[] if (name, given) == ("as on a TPU", RICH) else pytest.mark.exhaustive)
    for name in INTERPRETERS
    for given in OPTIONS
]


def by_custom_vjp(problem, params, shared, steps):
    """The kernels in the TPU interpreter, whose ordered effects the rules of `primitives` do not know."""
    operation = tpu.operation(pltpu.InterpretParams())

    @jax.custom_vjp
    def layer(*arguments):
        return operation.value(problem, *arguments, stack=True)

    def forward(*arguments):
        outputs, kept = operation.keeping(problem, *arguments)
        return outputs, (arguments, kept)

    def backward(residuals, cotangents):
        arguments, kept = residuals
        found = operation.pullback(problem, *arguments, None, kept, cotangents, None)
        floats = [jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(arguments)]
        leaves = jax.tree.structure(arguments).flatten_up_to(found)
        gradients = [leaf if is_float else None for leaf, is_float in zip(leaves, floats, strict=True)]
        return jax.tree.unflatten(jax.tree.structure(arguments), gradients)

    layer.defvjp(forward, backward)
    return layer(params, shared, steps)


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    """The kernel on this machine, once for each interpreter, in several blocks of rows and of time, the last of which
    is cut short."""
    before = dict(registry._schedules)
    register("interpreted", Schedule(partial(run_operation, tpu.operation(True))))
    register("as on a TPU", Schedule(by_custom_vjp))
    monkeypatch.setattr(tpu, "MOST_ROWS_AND_STEPS", 64)
    monkeypatch.setattr(tpu, "MOST_ROWS", 16)
    yield
    registry._schedules.clear()
    registry._schedules.update(before)


def arguments(given, dtype=jnp.float32, batch=BATCH, hidden=HIDDEN):
    keys = iter(jax.random.split(jax.random.key(len(given)), 9))
    normal = partial(jax.random.normal, dtype=dtype)
    params = init(next(keys), FEATURES, hidden, bias="without_bias" not in given)
    params = jax.tree.map(lambda leaf: (leaf + 0.1 * jax.random.normal(next(keys), leaf.shape)).astype(dtype), params)
    carry, reset_to = (Carry(*normal(next(keys), (2, *batch, hidden))) for _ in range(2))
    flags = jax.random.bernoulli(next(keys), 0.5, (2, TIME, *batch))
    lengths = jnp.arange(np.prod(batch, dtype=int), dtype=jnp.int32).reshape(batch) * 3 % (TIME + 1)
    everything = {"mask": flags[0], "resets": flags[1], "lengths": lengths, "reset_to": reset_to}
    chosen = {name: value for name, value in everything.items() if name in given.split()}
    xs = normal(jax.random.key(99), (TIME, *batch, FEATURES))
    return (params, xs, carry if "carry" in given else None), chosen | {"reverse": "reverse" in given}


def loss(arrays, fixed, schedule):
    carry, out = lstm(*arrays, schedule=schedule, **fixed)
    weights = jax.random.normal(jax.random.key(5), out.shape)
    hs, h, c = (a.astype(jnp.float32) for a in (out, *carry))
    return jnp.sum(weights * jnp.sin(hs)) + jnp.sum(h * c), (carry, out)


def error(found, expected):
    """The greatest error of any array, as a share of its greatest value."""

    def one(a, b):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        return np.abs(a - b).max() / max(np.abs(b).max(), 1e-6)

    return max(jax.tree.leaves(jax.tree.map(one, found, expected)))


def mean_error(found, expected):
    """The greatest root mean square error of any array, as a share of its root mean square: a greatest error of single
    values is mostly luck in half precision."""

    def one(a, b):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        return np.sqrt(np.mean((a - b) ** 2) / np.mean(b**2))

    return max(jax.tree.leaves(jax.tree.map(one, found, expected)))


@pytest.mark.parametrize(("schedule", "given"), PAIRS)
def test_values_are_those_of_the_oracle_and_gradients_those_of_the_scan(schedule, given):
    arrays, fixed = arguments(given)
    run = jax.jit(jax.grad(partial(loss, fixed=fixed, schedule=schedule), has_aux=True))
    gradients, (last, hs) = run(arrays)
    params, xs, carry = arrays
    h, c = (None, None) if carry is None else carry
    zeros = {"reset_to": (np.zeros((*BATCH, HIDDEN)),) * 2} if "resets" in given else {}
    as_numpy = zeros | {name: jax.tree.map(np.asarray, value) for name, value in fixed.items()}
    expected = oracle.lstm(jax.tree.map(np.float64, params), np.asarray(xs), h, c, **as_numpy)
    assert error((hs, *last), (expected.hs, expected.h, expected.c)) < 1e-5
    by_scan = jax.jit(jax.grad(partial(loss, fixed=fixed, schedule="scan"), has_aux=True))
    assert error(gradients, by_scan(arrays)[0]) < 1e-5


def as_float32(tree):
    return jax.tree.map(lambda a: a.astype(jnp.float32) if jnp.result_type(a) == jnp.bfloat16 else a, tree)


@pytest.mark.exhaustive
@pytest.mark.parametrize("given", ["carry lengths", RICH])
def test_half_precision_is_as_close_as_the_scan_is(given):
    arrays, fixed = arguments(given, jnp.bfloat16, batch=(16,), hidden=32)

    def results(schedule, arrays, fixed):
        gradients, (carry, hs) = jax.jit(jax.grad(partial(loss, fixed=fixed, schedule=schedule), has_aux=True))(arrays)
        assert hs.dtype == carry.c.dtype == arrays[1].dtype
        return carry, hs, gradients

    exact = results("scan", as_float32(arrays), as_float32(fixed))
    scan, kernel = (results(schedule, arrays, fixed) for schedule in ("scan", "interpreted"))
    (*values, by_scan), (*found, by_kernel), (*expected, gradients) = scan, kernel, exact
    for of_scan, of_kernel, one in zip(*map(jax.tree.leaves, (values, found, expected)), strict=True):
        assert mean_error(of_kernel, one) < 1.1 * mean_error(of_scan, one)
    # the kernel keeps the gates and the gradients of the pre-activations in half precision, which the scan, fused on a
    # CPU, does not round: with that it has 1.07 to 1.54 times the scan's error, over all of OPTIONS
    assert mean_error(by_kernel, gradients) < 1.6 * mean_error(by_scan, gradients)


@pytest.mark.exhaustive
def test_second_derivatives_are_those_of_the_scan():
    arrays, fixed = arguments("resets")

    def twice(schedule):
        def size(arrays):
            gradients, _ = jax.grad(partial(loss, fixed=fixed, schedule=schedule), has_aux=True)(arrays)
            return sum(jnp.sum(leaf * leaf) for leaf in jax.tree.leaves(gradients))

        return jax.jit(jax.grad(size))(arrays)

    assert error(twice("interpreted"), twice("scan")) < 1e-5


def test_nothing_in_padding_reaches_a_value_or_a_gradient():
    (params, xs, carry), fixed = arguments("carry lengths")
    times = jnp.arange(TIME, dtype=jnp.int32).reshape(TIME, 1, 1)
    poisoned = jnp.where((times < fixed["lengths"][None])[..., None], xs, jnp.nan)
    run = jax.jit(jax.grad(partial(loss, fixed=fixed, schedule="as on a TPU"), has_aux=True))
    jax.tree.map(np.testing.assert_array_equal, run((params, poisoned, carry)), run((params, xs, carry)))


def test_vmap_and_batch_axes_give_the_same():
    (params, xs, _), _ = arguments("")

    def run(xs):
        return lstm(params, xs, schedule="interpreted")

    carry, hs = jax.vmap(run, in_axes=1, out_axes=(0, 1))(xs)
    assert error((carry, hs), run(xs)) < 1e-6


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "kind",
    [AxisType.Auto, pytest.param(AxisType.Explicit, marks=pytest.mark.exhaustive)],
    ids=["automatic axes", "explicit axes"],
)
def test_a_sharded_batch_gives_what_one_device_gives(kind):
    arrays, _ = arguments("", batch=(16,))
    gradient = jax.jit(jax.grad(partial(loss, fixed={}, schedule="interpreted"), has_aux=True))
    expected = gradient(arrays)
    mesh = jax.make_mesh((2,), ("batch",), axis_types=(kind,), devices=jax.devices()[:2])
    with jax.set_mesh(mesh):
        xs = jax.device_put(arrays[1], jax.NamedSharding(mesh, PartitionSpec(None, "batch")))
        params = jax.device_put(arrays[0], jax.NamedSharding(mesh, PartitionSpec()))
        found = gradient((params, xs, None))
    assert error(jax.device_get(found), jax.device_get(expected)) < 1e-5


PLAIN = Problem(
    time=10,
    batch=(4, 2),
    features=3,
    hidden=32,
    out=32,
    dtype=jnp.dtype("float32"),
    platform="tpu",
    kind="LSTMParams",
    fields=frozenset({"w_x", "w_h"}),
    options=frozenset({"lengths", "mask", "resets"}),
    reverse=True,
)
REFUSED = {
    "is a kernel for TPUs, and the platform is cpu": {"platform": "cpu"},
    "supports only the plain LSTM, not norm, peephole": {"fields": frozenset({"peephole", "norm"})},
    "supports only the plain LSTM, not zoneout": {"options": frozenset({"zoneout"})},
    "computes in float32 and bfloat16, not in float64": {"dtype": jnp.dtype("float64")},
    "chooses its blocks by sizes, of which one is symbolic": {"batch": ("rows",)},
    "needs 268 MiB of VMEM for its weights and one step, and may use 40 MiB": {"hidden": 4096, "out": 4096},
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_it_cannot_run_it_refuses_by_name(reason):
    assert tpu.unsupported(PLAIN) is None
    assert reason in tpu.unsupported(PLAIN._replace(**REFUSED[reason]))


def test_it_is_asked_for_by_name_and_only_on_a_tpu():
    (params, xs, _), _ = arguments("")
    with pytest.raises(ValueError, match=r'^schedule="pallas" is a kernel for TPUs, and the platform is cpu'):
        lstm(params, xs, schedule="pallas")
    choice = explain_schedule(params, xs, platform="tpu")
    assert choice.schedule != "pallas"
    assert "not timed" in choice.passed_over["pallas"]


@pytest.mark.parametrize("rows", [1, 3, 10, 64, 300, 5000])
@pytest.mark.parametrize("hidden", [32, 256, 1024])
@pytest.mark.parametrize("itemsize", [2, 4])
def test_blocks_fit(monkeypatch, rows, hidden, itemsize):
    monkeypatch.undo()
    blocks = tpu.choose_blocks(100, rows, 64, hidden, itemsize, tpu.LEAST_VMEM)
    assert blocks.rows % tpu.SUBLANES[itemsize] == 0
    assert tpu.loop_bytes(blocks, 64, hidden, itemsize) <= tpu.usable(tpu.LEAST_VMEM)
    # no more than a block is padding
    assert -(-rows // blocks.rows) * blocks.rows - rows < blocks.rows
