"""cuDNN's buffer against `jax.experimental.rnn`, and TensorFlow 1 against its documented equations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import rnn
from peers import CLOSE, assert_same_bits, lenient, random

from jax_lstm import Bidirectional, Carry, init_network, network
from jax_lstm.interop import from_cudnn, from_tf1, to_cudnn, to_tf1

TIME, BATCH, FEATURES, HIDDEN = 6, 3, 4, 5
LENGTHS = np.array([4, 6, 1], np.int32)


@pytest.mark.exhaustive
@pytest.mark.parametrize("bidirectional", [False, True])
def test_cudnns_buffer(bidirectional):
    sizes, directions = (FEATURES, HIDDEN, 2, bidirectional), 1 + bidirectional
    buffer = rnn.init_lstm_weight(jax.random.key(0), *sizes)
    states = [jnp.asarray(random(2 * directions, BATCH, HIDDEN, seed=seed)) for seed in (1, 2)]
    xs = jnp.asarray(random(TIME, BATCH, FEATURES))

    def theirs(buffer):
        ys, h, c = rnn.lstm_ref(
            xs.swapaxes(0, 1),
            *states,
            *rnn.unpack_lstm_weights(buffer, *sizes),
            jnp.asarray(LENGTHS),
            *sizes[:3],
            0.0,
            bidirectional,
        )
        return (ys**2).sum() + (c**2).sum(), (ys.swapaxes(0, 1), h, c)

    carries = [Carry(h, c) for h, c in zip(*states, strict=True)]
    carries = tuple(map(Bidirectional, carries[::2], carries[1::2])) if bidirectional else tuple(carries)

    def ours(layers):
        last, hs = network(layers, xs, carries, lengths=LENGTHS)
        ends = [end for both in last for end in (both if bidirectional else (both,))]
        h, c = (jnp.stack([getattr(end, field) for end in ends]) for field in ("h", "c"))
        return (hs**2).sum() + (c**2).sum(), (hs, h, c)

    layers = from_cudnn(buffer, features=FEATURES, hidden=HIDDEN, layers=2, bidirectional=bidirectional)
    with lenient():
        (_, expected), grads = jax.jit(jax.value_and_grad(theirs, has_aux=True))(buffer)
    (_, got), our_grads = jax.jit(jax.value_and_grad(ours, has_aux=True))(layers)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, **CLOSE)
    matrices = (
        buffer.size - 8 * HIDDEN * 2 * directions
    )  # the biases after them are two here for one of ours, compared by sums elsewhere
    np.testing.assert_allclose(to_cudnn(our_grads)[:matrices], grads[:matrices], rtol=1e-4, atol=1e-5)
    first = np.asarray(grads[matrices:]).reshape(2 * directions, 2, -1)[:, 0]
    np.testing.assert_allclose(
        to_cudnn(our_grads)[matrices:].reshape(2 * directions, 2, -1)[:, 0], first, rtol=1e-4, atol=1e-5
    )
    again = from_cudnn(to_cudnn(layers), features=FEATURES, hidden=HIDDEN, layers=2, bidirectional=bidirectional)
    assert_same_bits(again, layers)


def tf1_lstm_cell(variables, c, h, x, forget_bias):
    """One step of tf.nn.rnn_cell.LSTMCell as documented: i, j, f, o of one product; peepholes; projection."""

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    i, j, f, o = np.split(np.concatenate([x, h], axis=1) @ variables["kernel"] + variables["bias"], 4, axis=1)
    w_i, w_f, w_o = (variables.get(f"w_{gate}_diag", 0.0) for gate in "ifo")
    c_prev = c
    c = sigmoid(f + forget_bias + w_f * c_prev) * c_prev + sigmoid(i + w_i * c_prev) * np.tanh(j)
    m = sigmoid(o + w_o * c) * np.tanh(c)
    return c, m @ variables["projection/kernel"] if "projection/kernel" in variables else m


@pytest.mark.parametrize("forget_bias", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("variants", [{}, {"peephole": True}, {"peephole": True, "projection": 2}], ids=str)
def test_tensorflow_1(variants, forget_bias):
    # sizes, keys and shapes as a checkpoint has them, written out by hand
    out = variants.get("projection", HIDDEN)
    variables = {"kernel": random(FEATURES + out, 4 * HIDDEN), "bias": random(4 * HIDDEN, seed=1)}
    if "peephole" in variants:
        variables |= {f"w_{gate}_diag": random(HIDDEN, seed=seed) for seed, gate in enumerate("ifo", 2)}
    if "projection" in variants:
        variables |= {"projection/kernel": random(HIDDEN, out, seed=5)}
    xs, h, c = random(TIME, BATCH, FEATURES), random(BATCH, out, seed=6), random(BATCH, HIDDEN, seed=7)
    layers = from_tf1(variables, forget_bias=forget_bias)
    (last,), hs = network(layers, xs, (Carry(h, c),))
    for x, expected in zip(xs, hs, strict=True):
        c, h = tf1_lstm_cell(variables, c, h, x, forget_bias)
        np.testing.assert_allclose(expected, h, **CLOSE)
    np.testing.assert_allclose(last.c, c, **CLOSE)
    (back,) = to_tf1(layers, forget_bias=forget_bias)
    assert back.keys() == variables.keys()
    np.testing.assert_allclose(back["bias"], variables["bias"], rtol=0, atol=2.0**-22)  # 2.5 came and went
    assert init_network(jax.random.key(0), FEATURES, [HIDDEN], **variants)[0].w_h.shape == layers[0].w_h.shape
