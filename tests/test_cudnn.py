"""The cuDNN schedule, with JAX's own reference of cuDNN's LSTM in the place of the calls, which need a GPU."""

from functools import partial

import comparisons
import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from jax.experimental import rnn

from jax_lstm import Carry, explain_schedule, init, init_network, lstm, network, zero_carries
from jax_lstm.schedules import SCHEDULES, register
from jax_lstm.schedules.kernels import cudnn
from jax_lstm.schedules.problem import Problem

TIME, BATCH, FEATURES, HIDDEN = 6, (2, 3), 3, 5
PARAMS = init(jax.random.key(0), FEATURES, HIDDEN)
XS = jax.random.normal(jax.random.key(1), (TIME, *BATCH, FEATURES))
CARRY = Carry(*jax.random.normal(jax.random.key(2), (2, *BATCH, HIDDEN)))
LENGTHS = jnp.array([[0, 6, 1], [3, 0, 5]], jnp.int32)


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """Puts the reference in the place of cuDNN, and returns the list of what each forward call is asked for: features,
    hidden, layers, dropout, both directions, precision."""
    asked = []

    def reference(x, h, c, weights, lengths, features, hidden, layers, dropout, both):
        assert (x.dtype, lengths.dtype) == (jnp.float32, jnp.int32), "what cuDNN takes"
        parts = rnn.unpack_lstm_weights(weights, features, hidden, layers, both)
        return rnn.lstm_ref(x, h, c, *parts, lengths, features, hidden, layers, dropout, both)

    def forward(x, h, c, weights, lengths, *static):
        asked.append(static)
        *sizes, _precision = static
        out = reference(x, h, c, weights, lengths, *sizes)
        return out, (x, h, c, weights, lengths, out[0], jnp.zeros(1))

    def backward(*arguments):
        *sizes, _precision, (x, h, c, weights, lengths, _y, _reserve), cotangents = arguments
        _, pull = jax.vjp(lambda *given: reference(*given, lengths, *sizes), x, h, c, weights)
        return (*pull(cotangents), None)

    monkeypatch.setattr(rnn, "lstm_fwd", forward)
    monkeypatch.setattr(rnn, "lstm_bwd", backward)
    for name, operation in (("CUDNN", cudnn.CUDNN), ("STACKS", cudnn.STACKS)):
        here = jax.tree.map(
            lambda one: one._replace(runs_on=None), operation, is_leaf=lambda one: hasattr(one, "runs_on")
        )
        monkeypatch.setattr(cudnn, name, here)
    before = SCHEDULES["cudnn"]
    register("cudnn", before._replace(unsupported=lambda problem: None))
    yield asked
    register("cudnn", before)


def loss(arrays, fixed, schedule):
    carry, hs = lstm(*arrays, schedule=schedule, **fixed)
    weights = jax.random.normal(jax.random.key(5), hs.shape)
    return jnp.sum(weights * jnp.sin(hs)) + jnp.sum(carry.h * carry.c), (carry, hs)


def gradient(schedule, **fixed):
    return jax.jit(jax.grad(partial(loss, fixed=fixed, schedule=schedule), has_aux=True))


same = partial(comparisons.same, rtol=1e-5, atol=1e-5, least=None)


@pytest.mark.parametrize(
    "carry", [pytest.param(CARRY, id="a carry"), pytest.param(None, id="no carry", marks=pytest.mark.exhaustive)]
)
@pytest.mark.parametrize(
    "fixed",
    [
        {},
        pytest.param({"reverse": True}, marks=pytest.mark.exhaustive),
        pytest.param({"lengths": LENGTHS}, marks=pytest.mark.exhaustive),
        {"lengths": LENGTHS, "reverse": True},
    ],
    ids=" ".join,
)
def test_values_are_those_of_the_oracle_and_gradients_those_of_the_scan(fixed, carry):
    gradients, (last, hs) = gradient("cudnn", **fixed)((PARAMS, XS, carry))
    h, c = (None, None) if carry is None else carry
    expected = oracle.lstm(jax.tree.map(np.float64, PARAMS), np.asarray(XS), h, c, **fixed)
    same((hs, *last), (expected.hs, expected.h, expected.c))
    same(gradients, gradient("scan", **fixed)((PARAMS, XS, carry))[0])


@pytest.mark.exhaustive
def test_a_layer_without_biases():
    arrays = PARAMS._replace(b=None), XS, CARRY
    same(gradient("cudnn")(arrays), gradient("scan")(arrays))


def test_nothing_in_padding_reaches_a_value_or_a_gradient():
    times = jnp.arange(TIME, dtype=jnp.int32).reshape(TIME, 1, 1)
    poisoned = jnp.where((times < LENGTHS[None])[..., None], XS, jnp.nan)
    run = gradient("cudnn", lengths=LENGTHS)
    jax.tree.map(np.testing.assert_array_equal, run((PARAMS, poisoned, CARRY)), run((PARAMS, XS, CARRY)))


@pytest.mark.exhaustive
def test_vmap_over_data_and_over_parameters():
    def one(params, xs, lengths):
        gradients, _ = jax.grad(partial(loss, fixed={"lengths": lengths}, schedule="cudnn"), has_aux=True)(
            (params, xs, None)
        )
        return gradients[0]

    def by_loop(params):
        return [one(jax.tree.map(lambda a, n=n: a[n], params), XS[:, n], LENGTHS[n]) for n in range(BATCH[0])]

    several = jax.tree.map(lambda *leaves: jnp.stack(leaves), PARAMS, init(jax.random.key(3), FEATURES, HIDDEN))
    repeated = jax.tree.map(lambda leaf: jnp.stack([leaf] * 2), PARAMS)
    for params, axis in ((several, 0), (repeated, None)):
        given = params if axis == 0 else PARAMS
        found = jax.jit(jax.vmap(one, in_axes=(axis, 1, 0)))(given, XS, LENGTHS)
        same([jax.tree.map(lambda a, n=n: a[n], found) for n in range(BATCH[0])], by_loop(params))


@pytest.mark.exhaustive
def test_second_derivatives_are_those_of_the_scan():
    def twice(schedule):
        def size(arrays):
            return sum(jnp.sum(leaf * leaf) for leaf in jax.tree.leaves(gradient(schedule, lengths=LENGTHS)(arrays)[0]))

        return jax.jit(jax.grad(size))((PARAMS, XS, CARRY))

    same(twice("cudnn"), twice("scan"))


@pytest.mark.parametrize(
    ("precision", "expected"),
    [(None, "HIGH"), ("bfloat16", "HIGH"), ("high", "HIGH"), ("highest", "HIGHEST"), ("float32", "HIGHEST")],
)
def test_the_precision_is_the_one_asked_for(asked, precision, expected):
    with jax.default_matmul_precision(precision):
        lstm(PARAMS, XS[:4], schedule="cudnn")  # a shape of its own, so that it is traced
    assert asked[-1][-1] == (jax.lax.Precision[expected],) * 2
    assert rnn._lstm_cudnn_allow_tf32(asked[-1][-1]) == (expected == "HIGH")


def stack(hidden, **options):
    """Layers, and carries that are not zeros."""
    layers = init_network(jax.random.key(7), FEATURES, hidden, **options)
    carries = zero_carries(layers, BATCH)
    leaves, tree = jax.tree.flatten(carries)
    keys = jax.random.split(jax.random.key(8), len(leaves))
    return layers, tree.unflatten([jax.random.normal(key, a.shape) for key, a in zip(keys, leaves, strict=True)])


def stack_gradient(schedule, **fixed):
    def loss(arrays):
        layers, carries, xs = arrays
        ends, hs = network(layers, xs, carries, schedule=schedule, **fixed)
        return sum(jnp.sum(jnp.sin(a)) for a in jax.tree.leaves((hs, ends))), (ends, hs)

    return jax.jit(jax.grad(loss, has_aux=True))


@pytest.mark.parametrize(
    ("bidirectional", "fixed"),
    [
        (False, {"lengths": LENGTHS, "reverse": True}),
        *(
            pytest.param(both, fixed, marks=pytest.mark.exhaustive)
            for both, fixed in [
                (True, {"lengths": LENGTHS, "reverse": True}),
                (False, {}),
                (True, {"lengths": LENGTHS}),
            ]
        ),
    ],
    ids=["one reversed, ragged", "both reversed, ragged", "one", "both, ragged"],
)
def test_one_call_runs_a_whole_stack(asked, bidirectional, fixed):
    layers, carries = stack([HIDDEN] * 2, bidirectional=bidirectional)
    found = stack_gradient("cudnn", **fixed)((layers, carries, XS))
    assert {static[:-1] for static in asked} == {(FEATURES, HIDDEN, 2, 0.0, bidirectional)}
    same(found, stack_gradient("scan", **fixed)((layers, carries, XS)))


def mixed():
    return (*stack([7])[0], *init_network(jax.random.key(1), 7, [7], bidirectional=True))


def half_with_biases():
    first, second = stack([9, 9])[0]
    return first._replace(b=None), second


# each of a size of its own, so that it is traced
@pytest.mark.parametrize(
    ("layers", "fixed", "in_a_call"),
    [
        pytest.param(stack([4, 6])[0], {}, 1, id="two sizes"),
        pytest.param(mixed(), {}, 1, id="one direction and two"),
        pytest.param(stack([8, 8])[0], {"dropout": 0.5, "key": jax.random.key(2)}, 1, id="dropout"),
        pytest.param(
            half_with_biases(), {"key": jax.random.key(2)}, 2, id="a bias, and a key that nothing is drawn from"
        ),
    ],
)
def test_layers_that_do_not_fit_one_call_have_one_each(asked, layers, fixed, in_a_call):
    found = network(layers, XS, schedule="cudnn", **fixed)
    assert {static[2] for static in asked} == {in_a_call}
    same(found, network(layers, XS, schedule="scan", **fixed))


@pytest.mark.exhaustive
def test_second_derivatives_of_a_stack():
    layers, carries = stack([HIDDEN] * 2, bidirectional=True)

    def twice(schedule):
        def size(arrays):
            gradients, _ = stack_gradient(schedule, lengths=LENGTHS)(arrays)
            return sum(jnp.mean(leaf * leaf) for leaf in jax.tree.leaves(gradients))

        return jax.jit(jax.grad(size))((layers, carries, XS))

    same(twice("cudnn"), twice("scan"))


def test_forward_mode_of_a_layer_and_of_a_stack():
    layers, _ = stack([HIDDEN] * 2)

    def along(schedule):
        def run(xs):
            return lstm(PARAMS, xs, schedule=schedule)[1], network(layers, xs, schedule=schedule)[1]

        return jax.jvp(run, (XS,), (XS,))

    same(along("cudnn"), along("scan"))


PLAIN = Problem(
    time=10,
    batch=(4, 2),
    features=3,
    hidden=32,
    out=32,
    dtype=jnp.dtype("float32"),
    platform="gpu",
    kind="LSTMParams",
    fields=frozenset({"w_x", "w_h"}),
    options=frozenset({"lengths"}),
    reverse=True,
)
REFUSED = {
    "is a call of cuDNN, and the platform is tpu": {"platform": "tpu"},
    "supports the plain LSTM with lengths, but not projection": {"fields": frozenset({"w_x", "projection"})},
    "supports the plain LSTM with lengths, but not DiagonalParams": {"kind": "DiagonalParams"},
    "supports the plain LSTM with lengths, but not mask, resets": {"options": frozenset({"mask", "resets"})},
    "computes in float32, not in bfloat16": {"dtype": jnp.dtype("bfloat16")},
    "asks for its workspace when it is traced, and a size is symbolic": {"batch": ("rows",)},
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_it_cannot_run_it_refuses_by_name(monkeypatch, reason):
    assert "needs CUDA" in cudnn.unsupported(PLAIN) or any(map(cudnn.importlib.util.find_spec, cudnn.PLUGINS))
    monkeypatch.setattr(cudnn, "PLUGINS", ("jax",))
    assert cudnn.unsupported(PLAIN) is None
    assert cudnn.unsupported(PLAIN._replace(**REFUSED[reason])) == reason


def test_it_is_asked_for_by_name_and_only_on_a_gpu(monkeypatch):
    register("cudnn", SCHEDULES["cudnn"]._replace(unsupported=cudnn.unsupported))
    with pytest.raises(ValueError, match=r'^schedule="cudnn" is a call of cuDNN, and the platform is cpu'):
        lstm(PARAMS, XS[:5], schedule="cudnn")
    monkeypatch.setattr(cudnn, "PLUGINS", ("jax",))
    choice = explain_schedule(PARAMS, XS, platform="gpu")
    assert choice.schedule != "cudnn"
    assert "not timed" in choice.passed_over["cudnn"]
