"""Every option of Flax, Haiku and Equinox is honored or refused by name, and whole models give layers and head."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pages import framework_options, layer_options
from peers import assert_same_bits, lenient, peer, random

from jax_lstm import Clip, checkpoint, init, network, readout
from jax_lstm.interop import from_equinox, from_flax

TIME, BATCH, FEATURES = 5, 3, 4
TIGHT = {"rtol": 1e-5, "atol": 1e-6}
KINDS = {
    "flax.nnx": ("LSTMCell", "OptimizedLSTMCell", "RNN", "Bidirectional"),
    "flax.linen": ("LSTMCell", "OptimizedLSTMCell", "RNN", "Bidirectional"),
    "equinox.nn": ("LSTMCell",),
    "haiku": ("LSTM",),
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("module", KINDS)
def test_the_page_has_every_option(module):
    package = peer(module)
    for kind in KINDS[module]:
        assert layer_options(getattr(package, kind)) <= framework_options("Flax, Equinox and Haiku").keys(), kind


def test_the_page_has_every_attribute_of_onnx():
    """In every version of the operator."""
    onnx = peer("onnx")
    found = set()
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.name == "LSTM" and schema.domain == "":
            found |= set(schema.attributes)
            names = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"]
            assert [one.name for one in schema.inputs] == names
    assert found == framework_options("ONNX").keys()


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", ["LSTMCell", "OptimizedLSTMCell"])
@pytest.mark.filterwarnings("ignore:carry_init is provided:UserWarning")
def test_options_of_nnx_that_change_the_numbers_are_refused(kind):
    nnx = peer("flax.nnx")

    def make(**options):
        return getattr(nnx, kind)(FEATURES, 3, rngs=nnx.Rngs(0), **options)

    class Own(getattr(nnx, kind)):
        def __call__(self, carry, inputs):
            return super().__call__(carry, 2 * inputs)

    with lenient():
        plain = make()
        cases = {
            "a gate_fn of its own, expected sigmoid": make(gate_fn=nnx.hard_sigmoid),
            "a activation_fn of its own, expected tanh": make(activation_fn=nnx.relu),
            "a carry_init of its own, expected zeros": make(carry_init=nnx.initializers.ones),
            "is a Own, which has a __call__ of its own": Own(FEATURES, 3, rngs=nnx.Rngs(0)),
            r"has reverse=True, .*hs\[::-1\]": nnx.RNN(plain, reverse=True),
            "has reverse=True": nnx.RNN(plain, reverse=True, keep_order=True),
            "a merge_fn of its own": nnx.Bidirectional(nnx.RNN(plain), nnx.RNN(make()), merge_fn=jnp.add),
        }
        for said, given in cases.items():
            with pytest.raises(ValueError, match=said):
                from_flax(given)
        # wrapped, but the same function
        same = make(activation_fn=lambda x: jnp.tanh(x), gate_fn=jax.jit(jax.nn.sigmoid))
        assert_same_bits(from_flax(same), from_flax(plain))
        # Bidirectional sets the directions of its two itself
        pair = nnx.Bidirectional(nnx.RNN(plain), nnx.RNN(make(), reverse=True), time_major=True)
        xs = random(TIME, BATCH, FEATURES)
        np.testing.assert_allclose(network(from_flax(pair), xs)[1], pair(jnp.asarray(xs)), **TIGHT)


@pytest.mark.exhaustive
def test_layers_and_head_of_flax():
    nnx, nn = peer("flax.nnx"), peer("flax.linen")

    class Module(nnx.Module):
        def __init__(self, rngs):
            self.rnn = nnx.RNN(nnx.LSTMCell(FEATURES, 3, rngs=rngs), time_major=True)
            self.head = nnx.Linear(3, 2, rngs=rngs)

        def __call__(self, xs):
            return self.head(self.rnn(xs))

    class Linen(nn.Module):
        @nn.compact
        def __call__(self, xs):
            init = nn.with_partitioning(nn.initializers.lecun_normal(), (None, "model"))
            xs = nn.RNN(nn.OptimizedLSTMCell(3, kernel_init=init), time_major=True)(xs)
            return nn.Dense(2, kernel_init=init)(xs)

    xs = random(TIME, BATCH, FEATURES)
    with lenient():
        module, linen = Module(nnx.Rngs(0)), Linen()
        variables = linen.init(jax.random.key(0), xs)
        cases = {
            "head": (module, module(jnp.asarray(xs))),
            "Dense_0": (variables, linen.apply(variables, xs)),
        }
    for name, (given, expected) in cases.items():
        layers, head = from_flax(given, readout=name)
        np.testing.assert_allclose(readout(head, network(layers, xs)[1]), expected, **TIGHT)
        with pytest.raises(
            ValueError, match=f"more than its LSTM: '.*{name}'; take a linear layer on top with readout="
        ):
            from_flax(given)
        with pytest.raises(ValueError, match="readout is 'none', expected the path of a linear layer"):
            from_flax(given, readout="none")


@pytest.mark.exhaustive
def test_layers_and_head_of_equinox():
    eqx = peer("equinox")

    class Model(eqx.Module):
        cell: eqx.nn.LSTMCell
        head: eqx.nn.Linear

    class Own(eqx.nn.LSTMCell):
        def __call__(self, x, state):
            return super().__call__(2 * x, state)

    keys = jax.random.split(jax.random.key(0))
    model = Model(eqx.nn.LSTMCell(FEATURES, 3, key=keys[0]), eqx.nn.Linear(3, 2, key=keys[1]))
    layers, head = from_equinox(model, readout="head")
    np.testing.assert_array_equal(head.w, model.head.weight.T)
    assert_same_bits(layers, from_equinox(model.cell))
    with pytest.raises(ValueError, match="is a Own, which has a __call__ of its own"):
        from_equinox(Own(FEATURES, 3, key=keys[0]))


@pytest.mark.exhaustive
def test_modules_without_arrays_are_named():
    """A norm without scales has no arrays, and still computes."""
    nnx, eqx = peer("flax.nnx"), peer("equinox")

    class Flax(nnx.Module):
        def __init__(self, rngs):
            self.rnn = nnx.RNN(nnx.LSTMCell(FEATURES, 3, rngs=rngs))
            self.drop = nnx.Dropout(0.5, rngs=rngs)
            self.norm = nnx.LayerNorm(3, use_bias=False, use_scale=False, rngs=rngs)
            self.head = nnx.Linear(3, 2, rngs=rngs)

    class Equinox(eqx.Module):
        cell: eqx.nn.LSTMCell
        drop: eqx.nn.Dropout
        norm: eqx.nn.LayerNorm
        head: eqx.nn.Linear

    key = jax.random.key(0)
    norm = eqx.nn.LayerNorm(3, use_weight=False, use_bias=False)
    model = Equinox(eqx.nn.LSTMCell(FEATURES, 3, key=key), eqx.nn.Dropout(), norm, eqx.nn.Linear(3, 2, key=key))
    with lenient():
        cases = ((from_flax, Flax(nnx.Rngs(0))), (from_equinox, model))
        for read, given in cases:
            with pytest.raises(ValueError, match="more than its LSTM: LayerNorm 'norm'; take"):
                read(given, readout="head")
            assert read(given, readout="head", partial=True)[1].w.shape == (3, 2)


@pytest.mark.parametrize("number", [np.float64, np.float32, np.float16])
def test_a_bound_that_is_a_numpy_number_is_saved_and_loaded(number, tmp_path):
    params = init(jax.random.key(0), 3, 4, clip=Clip(cell=number(3.0), gates=np.int64(2)))
    checkpoint.save(tmp_path / "a.safetensors", (params,))
    loaded = checkpoint.load(tmp_path / "a.safetensors").layers[0]
    assert loaded.clip == Clip(3.0, 2)
    assert jax.tree.structure(loaded) == jax.tree.structure(params)
