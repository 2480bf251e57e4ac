"""Every mode of differentiation, by every schedule, inside every transformation: all against the plain scan."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import pytest
from comparisons import same
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads
from strategies import usual_pairs, usually

from jax_lstm import Carry, Zoneout, init, lstm
from jax_lstm.schedules.kernels.cpu import library

SCHEDULES = ["auto", "unrolled", "chunked", "deferred", "scan", "checkpointed"]
if library.missing() is None:
    SCHEDULES.append("native")
TIME, ROWS, FEATURES, HIDDEN = 5, 4, 2, 3
PARAMS = init(jax.random.key(0), FEATURES, HIDDEN)
XS = jax.random.normal(jax.random.key(1), (TIME, ROWS, FEATURES))
ALONG = jax.tree.map(lambda leaf: jnp.cos(7 * leaf), (PARAMS, XS))


def layer(params, xs, *, schedule, **options):
    carry, hs = lstm(params, xs, schedule=schedule, **options)
    return jnp.sin(hs).sum(axis=(0, 2)) + carry.c.sum(axis=-1)


def loss(params, xs, *, schedule, **options):
    return jnp.square(layer(params, xs, schedule=schedule, **options)).sum()


# the third order takes minutes to compile: it is taken of the schedules with rules of their own
ORDERS = [(1, one) for one in SCHEDULES] + [(2, one) for one in SCHEDULES]
ORDERS += [(3, one) for one in SCHEDULES if one in ("deferred", "native")]


@pytest.mark.parametrize(("order", "schedule"), usual_pairs(ORDERS, [(1, "native")]))
@pytest.mark.usefixtures("x64")
def test_derivatives_of_every_order_in_both_modes(schedule, order):
    params, xs = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), (PARAMS, XS[:3, :2]))
    check_grads(
        jax.jit(partial(loss, schedule=schedule)), (params, xs), order, modes=("fwd", "rev"), rtol=1e-5, atol=1e-5
    )


def along(function, *arguments):
    return jax.jvp(function, arguments, ALONG)[1]


def derivatives(function):
    """Of a scalar function of parameters and inputs: forward, reverse, and each of each."""

    def slope(params, xs):
        return jax.jvp(function, (params, xs), ALONG)[1]

    gradient = jax.grad(function, (0, 1))
    return {
        "value": function,
        "forward": slope,
        "reverse": gradient,
        "reverse over forward": jax.grad(slope, (0, 1)),
        "forward over reverse": lambda params, xs: jax.jvp(gradient, (params, xs), ALONG)[1],
        "forward over forward": lambda params, xs: jax.jvp(slope, (params, xs), ALONG)[1],
        "linearized": lambda params, xs: jax.linearize(function, params, xs)[1](*ALONG),
    }


MODES = list(derivatives(loss))


def by_scan_over_time(function):
    """A loop around the layer."""

    def looped(params, xs):
        def body(total, scale):
            return total + function(params, xs * scale), None

        return jax.lax.scan(body, jnp.zeros((), jnp.float32), jnp.array([1.0, 0.5], jnp.float32))[0]

    return looped


def by_cond(function):
    def branched(params, xs):
        return jax.lax.cond(xs.sum() > -1e9, function, lambda params, xs: 0.0 * xs.sum(), params, xs)

    return branched


def by_vmap_over_rows(function):
    return lambda params, xs: jax.vmap(function, in_axes=(None, 1))(params, xs[:, :, None]).sum()


def by_vmap_over_parameters(function):
    def ensemble(params, xs):
        several = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.5 * leaf]), params)
        return jax.vmap(function, in_axes=(0, None))(several, xs).sum()

    return ensemble


def by_vmap_over_both(function):
    def ensemble(params, xs):
        several = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.5 * leaf]), params)
        over_rows = jax.vmap(function, in_axes=(None, 1))
        return jax.vmap(over_rows, in_axes=(0, None))(several, xs[:, :, None]).sum()

    return ensemble


def by_custom_vjp(function):
    @jax.custom_vjp
    def wrapped(params, xs):
        return function(params, xs)

    def forward(params, xs):
        value, pull = jax.vjp(function, params, xs)
        return value, pull

    wrapped.defvjp(forward, lambda pull, d: pull(d))
    return wrapped


def by_custom_jvp(function):
    @jax.custom_jvp
    def wrapped(params, xs):
        return function(params, xs)

    wrapped.defjvp(lambda primals, tangents: jax.jvp(function, primals, tangents))
    return wrapped


def by_shard_map(function):
    def spread(params, xs):
        mesh = jax.make_mesh((2,), ("devices",), devices=jax.devices()[:2], axis_types=(jax.sharding.AxisType.Auto,))

        def one(params, xs):
            return jax.lax.psum(function(params, xs), "devices")

        return jax.shard_map(one, mesh=mesh, in_specs=(P(), P(None, "devices")), out_specs=P())(params, xs)

    return spread


NESTINGS = {
    "jit": jax.jit,
    "remat": jax.checkpoint,
    "remat of jit": lambda function: jax.checkpoint(jax.jit(function)),
    "remat that saves products": partial(jax.checkpoint, policy=jax.checkpoint_policies.dots_saveable),
    "scan": by_scan_over_time,
    "cond": by_cond,
    "vmap over rows": by_vmap_over_rows,
    "vmap over parameters": by_vmap_over_parameters,
    "vmap over both": by_vmap_over_both,
    "shard_map": by_shard_map,
    "custom_jvp": by_custom_jvp,
    "custom_vjp": by_custom_vjp,
}
USUAL = [("auto", "scan")]
OTHERS = [one for one in SCHEDULES if one != "scan"]  # which is what they are compared with
EVERY = [(schedule, nesting) for schedule in OTHERS for nesting in NESTINGS]
PAIRS = [
    pytest.param(*pair, marks=[] if pair in USUAL else pytest.mark.exhaustive, id=" in ".join(pair)) for pair in EVERY
]


def modes(nesting):
    if nesting == "custom_vjp":  # JAX refuses the others for any function
        return [mode for mode in MODES if "forward" not in mode and mode != "linearized"]
    return MODES


@cache
def of_scan(nesting):
    expected = derivatives(NESTINGS[nesting](partial(loss, schedule="scan")))
    return {mode: jax.jit(expected[mode])(PARAMS, XS) for mode in modes(nesting)}


@pytest.mark.parametrize(("schedule", "nesting"), PAIRS)
def test_every_mode_in_every_nesting(schedule, nesting):
    found = derivatives(NESTINGS[nesting](partial(loss, schedule=schedule)))
    for mode, expected in of_scan(nesting).items():
        same(jax.jit(found[mode])(PARAMS, XS), expected, atol=2e-4)


OPTIONS = {
    "lengths": {"lengths": jnp.array([5, 0, 3, 1])},
    "mask and resets": {
        "mask": jax.random.bernoulli(jax.random.key(2), 0.7, (TIME, ROWS)),
        "resets": jax.random.bernoulli(jax.random.key(3), 0.3, (TIME, ROWS)),
        "reset_to": Carry(*jax.random.normal(jax.random.key(4), (2, ROWS, HIDDEN))),
        "reverse": True,
    },
    "recurrent mask": {"recurrent_mask": jax.random.normal(jax.random.key(5), (ROWS, HIDDEN))},
}


@cache
def of_scan_with_options(name):
    expected = derivatives(partial(loss, schedule="scan", **OPTIONS[name]))
    return {mode: jax.jit(expected[mode])(PARAMS, XS) for mode in MODES}


@pytest.mark.parametrize("schedule", usually(OTHERS, ["auto"]))
@pytest.mark.parametrize("name", usually(OPTIONS, ["mask and resets"]))
def test_every_mode_with_options(schedule, name):
    found = derivatives(partial(loss, schedule=schedule, **OPTIONS[name]))
    for mode, expected in of_scan_with_options(name).items():
        same(jax.jit(found[mode])(PARAMS, XS), expected, atol=2e-4)


@pytest.mark.parametrize("schedule", usually(["deferred", "chunked"], ["chunked"]))
def test_the_shares_of_zoneout_have_a_gradient(schedule):
    def of(shares):
        return loss(PARAMS, XS, schedule=schedule, zoneout=Zoneout(*shares))

    shares = (jnp.float32(0.3), jnp.float32(0.2))
    found, slope = jax.grad(of)(shares), jax.jvp(of, (shares,), (shares,))[1]
    same(found, jax.grad(lambda shares: loss(PARAMS, XS, schedule="scan", zoneout=Zoneout(*shares)))(shares))
    same(slope, sum(d * share for d, share in zip(found, shares, strict=True)))


@pytest.mark.parametrize("schedule", usually(SCHEDULES, ["native"]))
def test_gradients_per_example(schedule):
    def of_each(schedule):
        one = jax.grad(partial(loss, schedule=schedule), (0, 1))
        return jax.jit(jax.vmap(one, in_axes=(None, 1)))(PARAMS, XS[:, :, None])

    same(of_each(schedule), of_each("scan"))


@pytest.mark.parametrize("schedule", usually(SCHEDULES, []))
def test_jacobians_and_hessians(schedule):
    def of(b, schedule):
        return loss(PARAMS._replace(b=b), XS, schedule=schedule)

    def states(b, schedule):
        return lstm(PARAMS._replace(b=b), XS, schedule=schedule)[1]

    for derivative, function in ((jax.jacfwd, states), (jax.jacrev, states), (jax.hessian, of)):
        found, expected = (derivative(partial(function, schedule=name))(PARAMS.b) for name in (schedule, "scan"))
        same(found, expected, atol=2e-4)


@pytest.mark.parametrize("schedule", usually(SCHEDULES, ["native"]))
def test_forward_mode_through_a_while_loop(schedule):
    def found(schedule):
        def body(state):
            count, total = state
            return count + 1, 0.1 * loss(PARAMS, XS * total, schedule=schedule)

        def last(total):
            return jax.lax.while_loop(lambda state: state[0] < 3, body, (0, total))[1]

        return jax.jit(jax.jacfwd(last))(jnp.float32(1))

    same(found(schedule), found("scan"))


@pytest.mark.parametrize("schedule", usually(SCHEDULES, ["native"]))
def test_the_transpose_of_the_linearized_layer_is_its_gradient(schedule):
    function = partial(loss, schedule=schedule)
    _, linear = jax.linearize(function, PARAMS, XS)
    found = jax.linear_transpose(linear, PARAMS, XS)(jnp.float32(1))
    same(found, jax.grad(partial(loss, schedule="scan"), (0, 1))(PARAMS, XS))


@pytest.mark.parametrize("schedule", usually(SCHEDULES, ["native"]))
def test_derivatives_without_jit(schedule):
    with jax.disable_jit():
        found = jax.vmap(jax.grad(partial(loss, schedule=schedule)), in_axes=(None, 1))(PARAMS, XS[:, :, None])
    by_scan = jax.vmap(jax.grad(partial(loss, schedule="scan")), in_axes=(None, 1))
    same(found, jax.jit(by_scan)(PARAMS, XS[:, :, None]))


def primitives(program) -> list[str]:
    return [line.split(" = ")[1].split("[")[0].strip() for line in str(program).splitlines() if " = jax_lstm_" in line]


def test_the_gradient_takes_the_fast_backward_pass():
    gradient = jax.jit(jax.grad(partial(loss, schedule="deferred")))
    found = primitives(gradient.trace(PARAMS, XS).jaxpr)
    assert "jax_lstm_pullback" in found
    assert "jax_lstm_tangent" not in found


def test_forward_mode_and_values_keep_nothing():
    value = jax.jit(partial(loss, schedule="deferred")).trace(PARAMS, XS).jaxpr
    assert primitives(value) == ["jax_lstm_value"]
