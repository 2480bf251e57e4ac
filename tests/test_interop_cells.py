"""Flax, Haiku, Equinox and Keras, live: values, carries and gradients of what they compute with the same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from peers import CLOSE, assert_close, assert_same_bits, lenient, peer, random

from jax_lstm import Bidirectional, Carry, interop, network

# Keras asks NumPy for arrays of its variables in a way that NumPy 2 gives up; it concerns Keras alone
pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]
TIME, BATCH, FEATURES = 6, 3, 4
LENGTHS = np.array([4, 6, 1], np.int32)


def flax_linen(name):
    nn = peer("flax.linen")

    def build(features, hidden, seed):
        cell = getattr(nn, name)(features=hidden)
        carry = (jnp.zeros((BATCH, hidden)),) * 2
        params = cell.init(jax.random.key(seed), carry, jnp.zeros((BATCH, features)))["params"]
        return params, lambda params, carry, x: cell.apply({"params": params}, carry, x)

    return build


def flax_nnx(name):
    nnx = peer("flax.nnx")

    def build(features, hidden, seed):
        cell = getattr(nnx, name)(features, hidden, rngs=nnx.Rngs(seed))
        graph, state = nnx.split(cell, nnx.Param)

        def step(params, carry, x):
            filled = jax.tree.map(lambda array: array, state)
            nnx.replace_by_pure_dict(filled, params)
            return nnx.merge(graph, filled)(carry, x)

        return nnx.to_pure_dict(state), step

    return build


def haiku(_):
    hk = peer("haiku")

    def build(features, hidden, seed):
        def core(carry, x):
            h, (last_h, last_c) = hk.LSTM(hidden)(x, hk.LSTMState(*carry[::-1]))
            return (last_c, last_h), h

        pure = hk.without_apply_rng(hk.transform(core))
        carry = (jnp.zeros((BATCH, hidden)),) * 2
        params = pure.init(jax.random.key(seed), carry, jnp.zeros((BATCH, features)))["lstm/linear"]
        return params, lambda params, carry, x: pure.apply({"lstm/linear": params}, carry, x)

    return build


def equinox(use_bias):
    eqx = peer("equinox")

    def build(features, hidden, seed):
        cell = eqx.nn.LSTMCell(features, hidden, use_bias=use_bias, key=jax.random.key(seed))
        names = ["weight_ih", "weight_hh", *["bias"] * use_bias]

        def step(params, carry, x):
            filled = eqx.tree_at(
                lambda cell: [getattr(cell, name) for name in names], cell, [params[name] for name in names]
            )
            h, c = jax.vmap(filled)(x, carry[::-1])
            return (c, h), h

        return {name: getattr(cell, name) for name in names}, step

    return build


# how to make a cell: (features, hidden, seed) -> its arrays, and (arrays, (c, h), x) -> ((c, h), h), as Flax has it
PEERS = {
    "linen.LSTMCell": (flax_linen, "LSTMCell", interop.from_flax, interop.to_flax),
    "linen.OptimizedLSTMCell": (flax_linen, "OptimizedLSTMCell", interop.from_flax, interop.to_flax),
    "nnx.LSTMCell": (flax_nnx, "LSTMCell", interop.from_flax, lambda layers: interop.to_flax(layers, "nnx.LSTMCell")),
    "nnx.OptimizedLSTMCell": (
        flax_nnx,
        "OptimizedLSTMCell",
        interop.from_flax,
        lambda layers: interop.to_flax(layers, "nnx.OptimizedLSTMCell"),
    ),
    "haiku": (haiku, None, interop.from_haiku, interop.to_haiku),
    "equinox": (equinox, True, interop.from_equinox, interop.to_equinox),
    "equinox without bias": (equinox, False, interop.from_equinox, interop.to_equinox),
}


# their siblings have the same equations, under other names
SIBLINGS = {"linen.LSTMCell", "nnx.LSTMCell", "equinox without bias"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.exhaustive] * (name in SIBLINGS)) for name in PEERS]
)
def test_a_stack_with_values_carries_and_gradients(name):
    make, option, read, write = PEERS[name]
    build, sizes = make(option), (5, 2) if name == "haiku" else (5,)
    with lenient():
        cells = [
            build(features, hidden, seed)
            for seed, (features, hidden) in enumerate(zip((FEATURES, *sizes), sizes, strict=False))
        ]
    weights = tuple(
        # random biases too, as training leaves them; on a grid, so that Haiku's 1 comes and goes exactly
        jax.tree.map(
            lambda leaf: jnp.asarray(np.round(64 * random(*leaf.shape)) / 64) if leaf.ndim == 1 else leaf, dict(params)
        )
        for params, _ in cells
    )
    xs, weigh = jnp.asarray(random(TIME, BATCH, FEATURES)), jnp.asarray(random(TIME, BATCH, sizes[-1], seed=1))
    initial = [Carry(random(BATCH, size, seed=size), random(BATCH, size, seed=size + 9)) for size in sizes]

    def theirs(weights, xs):
        last = []
        for params, (_, step), (h, c) in zip(weights, cells, initial, strict=True):
            (c, h), xs = jax.lax.scan(lambda carry, x, params=params, step=step: step(params, carry, x), (c, h), xs)
            last.append(Carry(h, c))
        return (xs * weigh).sum(), (tuple(last), xs)

    def ours(layers, xs):
        last, hs = network(layers, xs, initial)
        return (hs * weigh).sum(), (last, hs)

    with lenient():
        (_, expected), (grads, grad_xs) = jax.jit(jax.value_and_grad(theirs, (0, 1), has_aux=True))(weights, xs)
    layers = read(weights)
    (_, got), (our_grads, our_grad_xs) = jax.jit(jax.value_and_grad(ours, (0, 1), has_aux=True))(layers, xs)
    assert_close(got, expected)
    np.testing.assert_allclose(our_grad_xs, grad_xs, **CLOSE)
    our_grads = write(our_grads)
    if name == "haiku":  # an export takes 1 off, from a gradient too
        for core, size in zip(our_grads, sizes, strict=True):
            core["b"][2 * size : 3 * size] += 1
    assert_close(our_grads, jax.tree.map(np.asarray, tuple(dict(one) for one in grads)), rtol=1e-4, atol=1e-5)
    assert_same_bits(write(layers), jax.tree.map(np.array, weights))


def test_flax_returns_the_carry_before_the_padding_but_for_length_zero():
    nn = peer("flax.linen")
    cell = nn.RNN(nn.OptimizedLSTMCell(features=5), time_major=True, return_carry=True)
    xs, lengths = jnp.asarray(random(TIME, BATCH, FEATURES)), jnp.array([4, 6, 0])
    with lenient():
        params = cell.init(jax.random.key(0), xs)
        (c, h), ys = cell.apply(params, xs, seq_lengths=lengths)
    (last,), hs = network(interop.from_flax(params["params"]["cell"]), xs, lengths=lengths)
    for theirs, carried in ((h, last.h), (c, last.c)):
        np.testing.assert_allclose(theirs[:2], carried[:2], **CLOSE)
    valid = np.arange(TIME)[:, None] < lengths[None]
    np.testing.assert_allclose(np.asarray(ys)[valid], np.asarray(hs)[valid], **CLOSE)
    # theirs evolve over the padding, and no step is as many as all of them; ours are zero there, and the initial carry
    assert np.abs(np.asarray(ys)[~valid]).min() > 0
    assert not np.asarray(hs)[~valid].any()
    np.testing.assert_allclose(h[2], ys[-1, 2], **CLOSE)
    assert not last.h[2].any()


@pytest.mark.parametrize("reverse", [False, True])
def test_flax_in_reverse_keeps_the_order_and_the_padding_at_the_end(reverse):
    nn = peer("flax.linen")
    cell = nn.RNN(nn.LSTMCell(features=5), time_major=True, reverse=reverse, keep_order=True)
    xs = jnp.asarray(random(TIME, BATCH, FEATURES))
    with lenient():
        params = cell.init(jax.random.key(0), xs)
        ys = cell.apply(params, xs, seq_lengths=jnp.asarray(LENGTHS))
    hs = network(interop.from_flax(params["params"]["cell"]), xs, lengths=LENGTHS, reverse=reverse)[1]
    valid = np.arange(TIME)[:, None] < LENGTHS
    np.testing.assert_allclose(np.asarray(ys)[valid], np.asarray(hs)[valid], **CLOSE)


KERAS = {
    "stack": [{"units": 5}, {"units": 2, "use_bias": False}],
    "two directions": [{"units": 3, "bidirectional": True}, {"units": 2, "bidirectional": True, "use_bias": False}],
}


def keras_layers(stack):
    keras = peer("keras")
    layers = []
    for seed, options in enumerate(KERAS[stack]):
        options = dict(options)
        both = options.pop("bidirectional", False)
        layer = keras.layers.LSTM(return_sequences=True, bias_initializer="random_normal", **options)
        layers.append(keras.layers.Bidirectional(layer) if both else layer)
        keras.utils.set_random_seed(seed)
    return layers


@pytest.mark.parametrize("stack", KERAS)
def test_keras(stack):
    with lenient():
        layers = keras_layers(stack)
        ys = random(BATCH, TIME, FEATURES)
        xs = ys.swapaxes(0, 1)
        for layer in layers:
            layer.build(ys.shape)
            ys = jax.jit(lambda ys, layer=layer: layer(ys))(ys)
    weights = [layer.get_weights() for layer in layers]
    ours = interop.from_keras(weights)
    np.testing.assert_allclose(np.asarray(ys).swapaxes(0, 1), network(ours, xs)[1], **CLOSE)
    assert_same_bits(interop.to_keras(ours), weights)
    for layer, arrays in zip(layers, interop.to_keras(ours), strict=True):
        layer.set_weights(arrays)  # of the shapes that Keras wants
    assert isinstance(ours[0], Bidirectional) == (stack == "two directions")


def test_kerass_gradients():
    with lenient():
        (layer, _) = keras_layers("stack")
        layer.build((BATCH, TIME, FEATURES))
        xs = random(TIME, BATCH, FEATURES)
        variables = [variable.value for variable in layer.trainable_variables]

        others = [variable.value for variable in layer.non_trainable_variables]

        def theirs(variables):
            return (layer.stateless_call(variables, others, jnp.asarray(xs).swapaxes(0, 1))[0] ** 2).sum()

        expected = jax.jit(jax.grad(theirs))(variables)
    grads = jax.jit(jax.grad(lambda layers: (network(layers, xs)[1] ** 2).sum()))(
        interop.from_keras([layer.get_weights()])
    )
    assert_close(interop.to_keras(grads), [[np.asarray(grad) for grad in expected]], rtol=1e-4, atol=1e-5)


def test_keras_repeats_its_output_over_masked_steps_and_we_emit_zeros():
    with lenient():
        (layer, _) = keras_layers("stack")
        layer.build((BATCH, TIME, FEATURES))
        xs, mask = random(TIME, BATCH, FEATURES), np.random.default_rng(0).random((TIME, BATCH)) < 0.6
        mask[0] = True
        repeated = np.asarray(layer(xs.swapaxes(0, 1), mask=mask.T)).swapaxes(0, 1)
        layer.zero_output_for_mask = True
        zeros = np.asarray(layer(xs.swapaxes(0, 1), mask=mask.T)).swapaxes(0, 1)
    hs = network(interop.from_keras([layer.get_weights()]), xs, mask=mask)[1]
    np.testing.assert_allclose(zeros, hs, **CLOSE)
    np.testing.assert_allclose(repeated[mask], np.asarray(hs)[mask], **CLOSE)
    for t, row in np.argwhere(~mask):
        np.testing.assert_array_equal(repeated[t, row], repeated[t - 1, row])
