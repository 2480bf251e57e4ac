"""What holds for every format, without any of the frameworks: round trips to the bit, and refusals by name."""

import re
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from peers import assert_same_bits, random

from jax_lstm import Bidirectional, Clip, LSTMParams, init_network, interop, network
from jax_lstm.interop import from_haiku, from_keras, from_torch, to_haiku, to_torch

FEATURES, HIDDEN = 3, 4


def from_cudnn(weights, layers):
    sizes = {"features": FEATURES, "hidden": HIDDEN, "layers": len(layers)}
    return interop.from_cudnn(weights, **sizes, bidirectional=isinstance(layers[0], Bidirectional))


class Format(NamedTuple):
    to: object
    back: object
    needs_bias: bool = False
    holds: tuple[str, ...] = ()
    mixed: bool = True


def _format(name, **options):
    back = getattr(interop, f"from_{name}")
    return Format(getattr(interop, f"to_{name}"), lambda weights, _: back(weights), **options)


FORMATS = {
    "torch": _format("torch", holds=("projection",), mixed=False),
    "keras": _format("keras"),
    "haiku": _format("haiku", needs_bias=True),
    "equinox": _format("equinox"),
    "tf1": _format("tf1", needs_bias=True, holds=("peephole", "projection")),
    "cudnn": Format(interop.to_cudnn, from_cudnn, needs_bias=True, mixed=False),
} | {
    cell: Format(partial(interop.to_flax, cell=cell), lambda weights, _: interop.from_flax(weights), needs_bias=True)
    for cell in ("linen.LSTMCell", "linen.OptimizedLSTMCell", "nnx.LSTMCell", "nnx.OptimizedLSTMCell")
}
STACKS = {
    "one layer": {"hidden": [HIDDEN]},
    "three layers": {"hidden": [HIDDEN] * 3},
    "two directions": {"hidden": [HIDDEN] * 2, "bidirectional": True},
    "no bias": {"hidden": [HIDDEN] * 2, "bias": False},
    "peephole": {"hidden": [HIDDEN], "peephole": True},
    "projection": {"hidden": [HIDDEN] * 2, "projection": 2, "bidirectional": True},
}
HELD = [
    (name, stack)
    for name, form in FORMATS.items()
    for stack in STACKS
    if stack not in ("peephole", "projection") or stack in form.holds
]


def make(stack):
    """Random weights with zeros of both signs; biases on a grid on which adding and subtracting 1 is exact."""
    layers = jax.eval_shape(lambda: init_network(jax.random.key(0), FEATURES, **STACKS[stack]))
    generator = np.random.default_rng(len(stack))

    def draw(leaf):
        values = (
            generator.integers(-3000, 3000, leaf.shape) / 1024
            if len(leaf.shape) == 1
            else generator.standard_normal(leaf.shape)
        )
        values = values.astype(np.float32)
        values.flat[:2] = 0.0, -0.0
        return jnp.asarray(values)

    return jax.tree.map(draw, layers)


@pytest.mark.parametrize(("name", "stack"), HELD)
def test_our_layers_come_back_to_the_bit(name, stack):
    form, layers = FORMATS[name], make(stack)
    weights = form.to(layers)
    back = form.back(weights, layers)
    if stack == "no bias" and form.needs_bias:
        assert all(layer.b.shape == (4 * HIDDEN,) and not layer.b.any() for layer in back)
        back = tuple(layer._replace(b=None) for layer in back)
    assert_same_bits(back, layers)
    for array in jax.tree.leaves(weights):
        assert type(array) is np.ndarray
        assert array.flags.c_contiguous
        assert array.flags.writeable
        array[...] = 7  # a copy: the layers do not change with it
    assert_same_bits(back, layers)


@pytest.mark.parametrize(("name", "stack"), HELD)
def test_their_weights_come_back_to_the_bit(name, stack):
    form, layers = FORMATS[name], make(stack)
    generator = np.random.default_rng(0)
    weights = form.to(layers)  # for the keys and shapes alone
    weights = jax.tree.map(
        lambda array: (generator.integers(-3000, 3000, array.shape) / 1024).astype(np.float32), weights
    )
    if name == "torch":  # all in the first of the two biases
        weights |= {key: np.zeros_like(array) for key, array in weights.items() if "bias_hh" in key}
    if name == "cudnn":  # the same: the second biases of the cells stand at the end, in turn with the first
        cells = sum(2 if isinstance(layer, Bidirectional) else 1 for layer in layers)
        weights[-8 * HIDDEN * cells :].reshape(cells, 2, -1)[:, 1] = 0
    assert_same_bits(form.to(form.back(weights, layers)), weights)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("variant", ["peephole", "projection", "norm", "coupled", "clip", "diagonal"])
def test_a_variant_that_the_format_cannot_hold_is_refused_by_name(name, variant):
    form = FORMATS[name]
    option = {"projection": 2, "clip": Clip(cell=1.0)}.get(variant, True)
    layers = init_network(jax.random.key(0), FEATURES, [HIDDEN], **{variant: option})
    if variant in form.holds:
        assert form.to(layers) is not None
        return
    with pytest.raises(ValueError, match=rf"layers\[0\] has .*{variant}.*cannot hold"):
        form.to(layers)


@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if not form.mixed])
def test_layers_that_differ_are_refused_where_the_format_says_it_once(name):
    def make(key, *args, **options):
        return init_network(jax.random.key(key), *args, **options)

    for layers, said in {
        "units": make(0, 3, [4, 5]),
        "direction": (*make(0, 3, [4]), *make(1, 4, [4], bidirectional=True)),
    }.items():
        with pytest.raises(ValueError, match=rf"layers\[1\] has .*{layers}"):
            FORMATS[name].to(said)
    with pytest.raises(ValueError, match="only one has 'bias_ih'"):
        to_torch((*make(0, 3, [4]), *make(1, 4, [4], bias=False)))


def test_a_stack_is_a_tuple_of_layers():
    (params,) = make("one layer")
    for form in FORMATS.values():
        for wrong in ((), None, {"w_x": 1}):
            with pytest.raises(TypeError, match="expected a tuple of layers"):
                form.to(wrong)
        for layer in (params, Bidirectional(params, params)):
            assert_same_bits(form.to(layer), form.to((layer,)))


KEYS = {
    "linen.LSTMCell": ["ii/kernel", "if/kernel", "hg/kernel", "ho/bias"],
    "nnx.LSTMCell": ["ig/kernel", "hi/kernel", "hf/bias"],
    "nnx.OptimizedLSTMCell": ["dense_h/kernel", "dense_h/bias"],
    "haiku": ["w", "b"],
    "equinox": ["weight_ih", "weight_hh"],
    "tf1": ["kernel", "bias"],
}


def without(mapping, key):
    """A nested mapping without the array at `key`."""
    head, _, tail = key.partition("/")
    return {
        name: without(value, tail) if name == head else value for name, value in mapping.items() if name != head or tail
    }


def replaced(mapping, key, change):
    head, _, tail = key.partition("/")
    return {
        name: (replaced(value, tail, change) if tail else change(value)) if name == head else value
        for name, value in mapping.items()
    }


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, keys in KEYS.items() for key in keys])
def test_a_wrong_mapping_is_refused_by_its_key(name, key):
    form, layers = FORMATS[name], make("three layers")
    first, second, third = form.to(layers)
    where = rf"cells\[1\]{re.escape(f'[{key!r}]')}"
    with pytest.raises(ValueError, match=rf"cells\[1\] has no key '{key}': .* needs .*, and this one has '.*' \(\d"):
        form.back([first, without(second, key), third], layers)
    with pytest.raises(ValueError, match=rf"cells\[1\].*'{key}'.* has shape \(.*\)"):
        form.back([first, replaced(second, key, lambda array: array[..., :-1]), third], layers)
    with pytest.raises(TypeError, match=where + " is int32, expected a floating-point array"):
        form.back([first, replaced(second, key, lambda array: array.astype(np.int32)), third], layers)
    with pytest.raises(TypeError, match=r"is float16, but .* is float32|is float32, but .* is float16"):
        form.back([first, replaced(second, key, lambda array: array.astype(np.float16)), third], layers)
    with pytest.raises(ValueError, match=r"has an unknown key '.*extra.*', of shape \(2,\)"):
        form.back([first, {**second, "extra": np.zeros(2, np.float32)}, third], layers)
    with pytest.raises(TypeError, match=r"cells\[1\] is a list, expected a mapping"):
        form.back([first, [second], third], layers)


@pytest.mark.parametrize("name", KEYS)
def test_layers_that_do_not_fit_each_other_are_refused(name):
    layers = init_network(jax.random.key(0), FEATURES, [4, 4, 3])
    first, _, third = FORMATS[name].to(layers)
    with pytest.raises(ValueError, match=r"cells\[1\]\['.*'\] has shape .*, expected .*, for 2 inputs|for 4 inputs"):
        FORMATS[name].back([first, FORMATS[name].to(init_network(jax.random.key(0), 2, [4]))[0], third], layers)
    with pytest.raises(TypeError, match="cells is a int, expected a mapping"):
        FORMATS[name].back(3, layers)


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
    with pytest.raises(ValueError, match=r"state_dict has 2 LSTMs, at 'a', 'b': choose one with prefix="):
        from_torch(both)
    for prefix in ("b.", "b"):
        assert_same_bits(from_torch(both, prefix=prefix), make("one layer"))
    assert to_torch(make("one layer"), prefix="b").keys() == to_torch(make("one layer"), prefix="b.").keys()
    with pytest.raises(ValueError, match=r"state_dict has no key 'c.weight_ih_l0'"):
        from_torch(both, prefix="c.")
    with pytest.raises(TypeError, match="state_dict is a list, expected a mapping or a module"):
        from_torch([weights])


def test_keras_lists():
    one, two = FORMATS["keras"].to(make("two directions"))
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
        FORMATS["keras"].to((Bidirectional(forward, backward._replace(b=None)),))


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


def test_two_directions_of_cells():
    layers = make("two directions")
    weights = to_haiku(layers)
    assert isinstance(weights[0], Bidirectional)
    assert_same_bits(from_haiku(weights[0]), layers[:1])
    with pytest.raises(ValueError, match=r"cells\[0\]\.backward has no key 'b'"):
        from_haiku([Bidirectional(weights[0].forward, without(weights[0].backward, "b"))])


def test_flax_cells_have_four_names():
    with pytest.raises(ValueError, match=r"cell is 'LSTMCell', expected one of 'linen\.LSTMCell'"):
        interop.to_flax(make("one layer"), "LSTMCell")


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16, np.float64])
def test_other_dtypes_stay_what_they_are(dtype):
    weights = {key: array.astype(dtype) for key, array in to_torch(make("one layer")).items()}
    if dtype is np.float64:
        with pytest.raises(ValueError, match=r"state_dict\['weight_ih_l0'\] is float64, which JAX would round"):
            from_torch(weights)
    with jax.enable_x64(True):
        layers = from_torch(weights)
        assert layers[0].w_x.dtype == dtype
        assert_same_bits(to_torch(layers), weights)


def test_three_lines_are_enough():
    layers = from_torch(to_torch(make("two directions")))
    carries, hs = network(layers, random(5, 2, FEATURES))
    assert hs.shape == (5, 2, 2 * HIDDEN)
    assert isinstance(layers[0].forward, LSTMParams)
    assert len(carries) == 2
