"""Refusals by name of a call's arguments, and arguments of unusual types that are accepted."""

import inspect
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparisons import same
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from strategies import usually

from jax_lstm import Clip, LSTMParams, Zoneout, init, init_network, lstm, network, trace, zero_carry
from jax_lstm._foreign import RECIPES
from jax_lstm.parallel import shard_batch

PARAMS = init(jax.random.key(0), 4, 8)
XS = jnp.ones((9, 4, 4))
KEY = jax.random.key(0)
CALLS = {
    "a list for drawn zoneout": (lambda: lstm(PARAMS, XS, zoneout=Zoneout([True], None)), "zoneout.hidden is a list"),
    "an array for norm": (lambda: lstm(PARAMS._replace(norm=jnp.ones(3)), XS), "expected LayerNorm, or None"),
    "a number for clip": (lambda: lstm(PARAMS._replace(clip=3.0), XS), "params.clip is .* expected Clip"),
    "a flag for coupled": (lambda: lstm(PARAMS._replace(coupled=True), XS), "params.coupled is .* expected Coupled"),
    "a number for clip in init": (lambda: init(KEY, 2, 3, clip=3.0), r"clip is 3.0, a float, expected Clip\(cell"),
    "a text for peephole": (lambda: init(KEY, 2, 3, peephole="no"), "peephole is 'no', a str, expected True or False"),
    "a text for reverse": (lambda: lstm(PARAMS, XS, reverse="no"), "reverse is 'no', a str, expected True or False"),
    "an array for reverse": (lambda: trace(PARAMS, XS, reverse=jnp.zeros(4, bool)), "reverse is an array of shape"),
    "a number for bidirectional": (lambda: init_network(KEY, 2, [3], bidirectional=2), "bidirectional is 2, an int"),
    "a list for lengths": (lambda: lstm(PARAMS, XS, lengths=[1, 2, 3, 4]), "lengths is a list, expected an array"),
    "a list for resets": (lambda: lstm(PARAMS, XS, resets=[True]), "resets is a list, expected an array"),
    "an unknown keyword": (lambda: lstm(PARAMS, XS, paddings=3), r"lstm has no paddings: help\(lstm\) lists"),
}


@pytest.mark.parametrize("name", CALLS)
def test_it_is_refused_by_name(name):
    call, message = CALLS[name]
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize(
    "name", usually(RECIPES, ["batch_first", "hidden_size", "num_layers", "seq_lengths", "unroll"])
)
@pytest.mark.parametrize("function", [lstm, trace, network, init, init_network], ids=lambda one: one.__name__)
def test_a_keyword_of_another_framework_is_answered_with_the_recipe(name, function):
    if name in inspect.signature(function).parameters:
        return
    arguments = {lstm: (PARAMS, XS), trace: (PARAMS, XS), network: ((PARAMS,), XS), init: (KEY, 2, 3)}
    with pytest.raises(TypeError, match=f"^{function.__name__} has no {name}: "):
        function(*arguments.get(function, (KEY, 2, [3])), **{name: True})


def test_biases_of_zeros_are_zeros():
    assert not init(KEY, 2, 3, bias_init=jax.nn.initializers.zeros).b.any()
    assert init(KEY, 2, 3).b[3:6].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "share", [np.float64(0.25), jnp.bfloat16(0.25), np.float32(0.25)], ids=lambda one: str(one.dtype)
)
@pytest.mark.parametrize("schedule", ["scan", "chunked"])
def test_a_share_of_zoneout_may_have_any_dtype(share, schedule):
    found = lstm(PARAMS, XS, zoneout=Zoneout(share, None), schedule=schedule)
    same(found, lstm(PARAMS, XS, zoneout=Zoneout(0.25, None), schedule="scan"))


@pytest.mark.parametrize(
    ("dtype", "given", "steps"),
    [
        ("int64", [2**32 + 3, -5, 2**40, -(2**33)], [9, 0, 9, 0]),
        ("int8", [127, -128, 3, 9], [9, 0, 3, 9]),
        ("uint8", [255, 0, 3, 9], [9, 0, 3, 9]),
    ],
)
def test_traced_lengths_are_clamped_and_never_wrap(dtype, given, steps):
    with jax.enable_x64(True):
        run = jax.jit(lambda lengths: lstm(PARAMS, XS, lengths=lengths))
        same(run(jnp.array(given, dtype)), run(jnp.array(steps, dtype)), atol=0)


def test_few_bits_do_not_limit_a_long_sequence():
    run = jax.jit(lambda lengths: lstm(PARAMS, jnp.ones((300, 1, 4)), lengths=lengths)[1])
    valid = jnp.abs(run(jnp.array([127], jnp.int8))).sum(-1) > 0
    assert int(valid.sum()) == 127


@pytest.fixture
def mesh():
    made = jax.make_mesh((4,), ("batch",), axis_types=(AxisType.Explicit,), devices=jax.devices()[:4])
    with jax.set_mesh(made):
        yield made


@pytest.mark.usefixtures("mesh")
def test_what_a_mesh_shards_other_than_rows_is_refused_by_name():
    xs = jnp.ones((8, 4, 4))
    cases = {
        "with time sharded": lambda: lstm(PARAMS, jax.device_put(xs, P("batch"))),
        "with features sharded": lambda: jax.jit(lstm)(PARAMS, jax.device_put(xs, P(None, None, "batch"))),
        r"params.w_x is float32\[4,32@batch\]": lambda: lstm(
            PARAMS._replace(w_x=jax.device_put(PARAMS.w_x, P(None, "batch"))), xs
        ),
        "carry is sharded over the mesh, but xs is not": lambda: lstm(
            PARAMS, xs, jax.device_put(zero_carry(PARAMS, (4,)), P("batch"))
        ),
    }
    for message, call in cases.items():
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.usefixtures("mesh")
@pytest.mark.parametrize("schedule", ["auto", "chunked"])
def test_rows_that_a_mesh_shards_may_be_mapped(schedule):
    xs = jax.random.normal(KEY, (8, 4, 4))

    def squares(params, x):
        return jnp.square(lstm(params, x, schedule=schedule)[1]).sum()

    def run(xs):
        value = jax.vmap(lambda x: lstm(PARAMS, x, schedule=schedule), in_axes=1, out_axes=(0, 1))(xs)
        return value, jax.vmap(jax.grad(squares), in_axes=(None, 1))(PARAMS, xs)

    same(jax.device_get(jax.jit(run)(jax.device_put(xs, P(None, "batch")))), jax.device_get(jax.jit(run)(xs)))


def test_a_negative_axis_of_a_batch_is_refused():
    with pytest.raises(ValueError, match="axis is -1, expected at least 0"):
        shard_batch(XS, axis=-1)


def test_six_frames_from_the_call_to_the_loop(monkeypatch):
    """Of our own: what a reader of a traceback passes between `lstm` and the loop."""
    seen = []
    original = jax.lax.scan

    def spy(*arguments, **options):
        frame, names = sys._getframe(1), []
        while frame is not None:
            if "jax_lstm" in frame.f_code.co_filename and "/tests/" not in frame.f_code.co_filename:
                names.append(frame.f_code.co_name)
            frame = frame.f_back
        seen.append(names)
        return original(*arguments, **options)

    monkeypatch.setattr(jax.lax, "scan", spy)
    lstm(init(KEY, 3, 5, clip=Clip(cell=3.0)), jnp.ones((23, 2, 3)), schedule="scan")
    assert seen
    assert len(seen[0]) <= 6, seen[0]


def test_a_signature_names_every_keyword():
    assert isinstance(PARAMS, LSTMParams)
    names = [name for name in inspect.signature(lstm).parameters if name != "foreign"]
    assert names[:3] == ["params", "xs", "carry"]
    assert names[-1] == "schedule"
