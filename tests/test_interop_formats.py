"""What is special to one format each: its keys, its list, its buffer, its biases; without any of the frameworks."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layouts import make, without
from peers import assert_same_bits, random

from jax_lstm import Bidirectional, interop
from jax_lstm.interop import from_haiku, from_keras, from_torch, to_haiku, to_keras, to_torch


def test_torchs_keys():
    weights = to_torch(make("three layers"), prefix="a.")
    for key in ("a.weight_hh_l1", "a.bias_ih_l2", "a.bias_hh_l0"):
        with pytest.raises(ValueError, match=f"state_dict has no key '{key}'"):
            from_torch(without(weights, key))
        with pytest.raises(ValueError, match=rf"state_dict\['{key}'\] has shape \(.*\), expected \("):
            from_torch(weights | {key: weights[key][:-1]})
    with pytest.raises(ValueError, match="no key that ends in 'weight_ih_l0'"):
        from_torch({key: array for key, array in weights.items() if "l0" not in key})
    with pytest.raises(ValueError, match=r"state_dict has no key 'a.weight_ih_l1'"):
        from_torch({key: array for key, array in weights.items() if "l1" not in key})
    with pytest.raises(ValueError, match=r"unknown key 'a.weight_ih_l01', of shape \(2,\)"):
        from_torch(weights | {"a.weight_ih_l01": np.zeros(2)})
    with pytest.raises(ValueError, match=r"state_dict has no key 'a.weight_ih_l0_reverse'"):
        from_torch(weights | {"a.weight_hh_l0_reverse": weights["a.weight_hh_l0"]})
    both = weights | to_torch(make("one layer"), prefix="b.")
    with pytest.raises(ValueError, match=r"state_dict has 2 LSTMs, at 'a', 'b': choose one with prefix= \(--prefix\)"):
        from_torch(both)
    for prefix in ("b.", "b"):
        assert_same_bits(from_torch(both, prefix=prefix), make("one layer"))
    assert to_torch(make("one layer"), prefix="b").keys() == to_torch(make("one layer"), prefix="b.").keys()
    with pytest.raises(ValueError, match=r"prefix is 'c', expected the path of an LSTM .* there are 'a', 'b'"):
        from_torch(both, prefix="c.")
    with pytest.raises(TypeError, match="state_dict is a list, expected a mapping or a module"):
        from_torch([weights])


def test_keras_lists():
    one, two = to_keras(make("two directions"))
    with pytest.raises(ValueError, match=r"weights\[1\] has 5 arrays, expected 2 or 3"):
        from_keras([one, two[:5]])
    with pytest.raises(ValueError, match=r"weights\[1\]\[0\] has shape \(7, 16\), expected \(8, 16\)"):
        from_keras([one, [two[0][:-1], *two[1:]]])
    assert_same_bits(from_keras(one), from_keras([one]))
    with pytest.raises(TypeError, match="weights is a int, expected a model, a layer"):
        from_keras(3)
    with pytest.raises(TypeError, match=r"weights\[1\] is a int, expected a layer or its get_weights"):
        from_keras([one, 3])
    forward, backward = make("two directions")[0]
    with pytest.raises(ValueError, match="biases in one direction alone"):
        to_keras((Bidirectional(forward, backward._replace(b=None)),))


def test_cudnns_buffer_has_one_size():
    with pytest.raises(
        ValueError, match=r"weights has shape \(143,\), expected \(144,\) for features=3, hidden=4, layers=1"
    ):
        interop.from_cudnn(np.zeros(143, np.float32), features=3, hidden=4)
    with pytest.raises(ValueError, match="layers is 0"):
        interop.from_cudnn(np.zeros(0, np.float32), features=3, hidden=4, layers=0)


def test_torchs_two_biases_are_added():
    weights = to_torch(make("one layer"))
    first, second = random(16), random(16, seed=1)
    (layer,) = from_torch(weights | {"bias_ih_l0": first, "bias_hh_l0": second})
    np.testing.assert_array_equal(layer.b, first + second)
    again = to_torch((layer,))
    np.testing.assert_array_equal(again["bias_ih_l0"], first + second)
    assert not again["bias_hh_l0"].any()


@given(st.lists(st.floats(-(2.0**23), 2.0**23, width=32), min_size=4, max_size=4))
def test_a_forget_bias_that_has_been_through_haiku_stays_as_it_is(values):
    stored = np.zeros(16, np.float32)
    stored[2 * 4 : 3 * 4] = values  # the forget block is the third there
    layers = from_haiku({"w": np.ones((7, 16), np.float32), "b": stored})
    forget = np.asarray(layers[0].b)[4:8]
    np.testing.assert_array_equal(forget, np.float32(values) + np.float32(1))
    assert_same_bits(from_haiku(to_haiku(layers)), layers)
    # and one of ours is rounded by half a step of the stored number at most
    ours = (layers[0]._replace(b=jnp.asarray(stored[np.r_[0:4, 8:12, 4:8, 12:16]])),)
    lost = np.abs(np.asarray(from_haiku(to_haiku(ours))[0].b, np.float64) - np.asarray(ours[0].b, np.float64))
    assert (lost[4:8] <= np.maximum(2.0**-24, np.abs(values) * 2.0**-23)).all()
    assert not np.delete(lost, range(4, 8)).any()


def test_tf1_says_its_forget_bias():
    layers = make("one layer")
    weights = interop.to_tf1(layers, forget_bias=0.0)
    np.testing.assert_array_equal(weights[0]["bias"][8:12], layers[0].b[4:8])
    assert_same_bits(interop.from_tf1(weights, forget_bias=0.0), layers)


def test_flax_cells_have_four_names():
    with pytest.raises(ValueError, match=r"cell is 'LSTMCell', expected one of 'linen\.LSTMCell'"):
        interop.to_flax(make("one layer"), "LSTMCell")
