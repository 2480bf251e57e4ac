"""What holds for every format, without any of the frameworks: round trips to the bit, and refusals by name."""

import re
from functools import partial
from typing import NamedTuple

import jax
import ml_dtypes
import numpy as np
import pytest
from layouts import FEATURES, HIDDEN, STACKS, make, without
from peers import assert_same_bits, random

from jax_lstm import Bidirectional, Clip, LSTMParams, init_network, interop, network
from jax_lstm.interop import from_haiku, from_torch, to_haiku, to_torch


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


HELD = [
    (name, stack)
    for name, form in FORMATS.items()
    for stack in STACKS
    if stack not in ("peephole", "projection") or stack in form.holds
]


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
@pytest.mark.parametrize("variant", ["peephole", "projection", "norm", "coupled", "clip", "diagonal", "heads"])
def test_a_variant_that_the_format_cannot_hold_is_refused_by_name(name, variant):
    form = FORMATS[name]
    option = {"projection": 2, "clip": Clip(cell=1.0), "heads": 1}.get(variant, True)
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


def test_two_directions_of_cells():
    layers = make("two directions")
    weights = to_haiku(layers)
    assert isinstance(weights[0], Bidirectional)
    assert_same_bits(from_haiku(weights[0]), layers[:1])
    with pytest.raises(ValueError, match=r"cells\[0\]\.backward has no key 'b'"):
        from_haiku([Bidirectional(weights[0].forward, without(weights[0].backward, "b"))])


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
