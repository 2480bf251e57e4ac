"""What each framework gives is imported as it is: modules, variables, states, models; several are listed by path."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from peers import CLOSE, assert_same_bits, lenient, peer, random

from jax_lstm import (
    Bidirectional,
    Readout,
    checkpoint,
    chrono,
    drop_connect,
    init_network,
    lstm,
    network,
    readout,
    zero_carries,
)
from jax_lstm.interop import from_equinox, from_flax, from_haiku, from_keras, to_flax, to_keras, to_torch

TIME, BATCH, FEATURES = 5, 3, 4
# Keras asks NumPy for arrays of its variables in a way that NumPy 2 deprecates
pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]


def test_parameters_may_be_wrapped_in_nnx_params(tmp_path):
    nnx, key = peer("flax.nnx"), jax.random.key(0)
    layers, affine = init_network(key, features=FEATURES, hidden=[5, 6]), Readout(random(6, 2), random(2))
    wrapped = jax.tree.map(nnx.Param, (layers, affine))
    xs = random(TIME, BATCH, FEATURES)
    uses = [
        lambda layers, _: lstm(layers[0], xs),
        lambda layers, _: network(layers, xs),
        lambda layers, _: zero_carries(layers, (BATCH,)),
        lambda layers, _: chrono(key, layers[0], 20),
        lambda layers, _: drop_connect(key, layers[0], 0.5),
        lambda _, affine: readout(affine, xs @ jnp.ones((FEATURES, 6), xs.dtype)),
        lambda layers, _: to_flax(layers),
        lambda layers, _: to_keras(layers),
        lambda layers, _: to_torch(layers[:1]),
    ]
    for use in uses:
        jax.tree.map(assert_same_bits, use(*wrapped), use(layers, affine))
    checkpoint.save(tmp_path / "model.safetensors", *wrapped)
    loaded = checkpoint.load(tmp_path / "model.safetensors")
    jax.tree.map(assert_same_bits, (loaded.layers, loaded.readout), (layers, affine))


@pytest.mark.parametrize("name", ["LSTMCell", "OptimizedLSTMCell"])
def test_nnx(name):
    nnx = peer("flax.nnx")

    class Model(nnx.Module):
        def __init__(self, rngs):
            self.embed = nnx.Linear(2, FEATURES, rngs=rngs)
            self.rnn = nnx.RNN(getattr(nnx, name)(FEATURES, 6, rngs=rngs))
            self.gru = nnx.RNN(nnx.GRUCell(6, 6, rngs=rngs))
            self.itself = self  # a module may refer to itself

    with lenient():
        model = Model(nnx.Rngs(0))
        cell = model.rnn.cell
        xs = random(TIME, BATCH, FEATURES)
        expected = nnx.RNN(cell, time_major=True)(jnp.asarray(xs))
        state = nnx.state(cell)
        given = [cell, state, nnx.state(cell, nnx.Param), nnx.to_pure_dict(state), model.rnn, model, nnx.state(model)]
        layers = [from_flax(one, partial=True) for one in given]
        with pytest.raises(ValueError, match="more than its LSTM: 'embed', 'gru/cell/dense_h', 'gru/cell/dense_i'"):
            from_flax(model)
    np.testing.assert_allclose(network(layers[0], xs)[1], expected, **CLOSE)
    for other in layers[1:]:
        assert_same_bits(other, layers[0])


def test_nnx_in_two_directions_and_in_lists():
    nnx = peer("flax.nnx")
    with lenient():
        rngs = nnx.Rngs(0)
        cells = [nnx.OptimizedLSTMCell(features, 3, rngs=rngs) for features in (FEATURES, FEATURES, 6)]
        both = nnx.Bidirectional(nnx.RNN(cells[0]), nnx.RNN(cells[1]), time_major=True, rngs=rngs)
        xs = random(TIME, BATCH, FEATURES)
        expected = both(jnp.asarray(xs))
    (layer,) = from_flax(both)
    assert isinstance(layer, Bidirectional)
    np.testing.assert_allclose(network((layer,), xs)[1], expected, **CLOSE)
    assert_same_bits(from_flax(Bidirectional(*cells[:2])), (layer,))
    assert len(from_flax([both, cells[2]])) == 2
    with pytest.raises(ValueError, match=r"cells holds 2 LSTM cells of Flax, at '0', '1': give one of them, or a list"):
        from_flax(nnx.List(cells[:2]))
    with pytest.raises(ValueError, match=r"cells holds no LSTM cells of Flax, it has 'cell', "):
        from_flax(nnx.RNN(nnx.GRUCell(2, 2, rngs=rngs)))
    for other in (nnx.GRUCell, nnx.SimpleCell):
        with pytest.raises(ValueError, match=r"cells"):
            from_flax(other(2, 2, rngs=rngs))


def test_linen():
    nn = peer("flax.linen")

    class Model(nn.Module):
        layers: int

        @nn.compact
        def __call__(self, xs):
            for k in range(self.layers):
                forward, backward = (nn.RNN(nn.OptimizedLSTMCell(3), name=f"{side}_{k}") for side in ("one", "other"))
                xs = nn.Bidirectional(forward, backward, time_major=True)(xs)
            return nn.Dense(2)(xs)

    xs = random(TIME, BATCH, FEATURES)
    with lenient():
        rnn = nn.RNN(nn.LSTMCell(3), time_major=True)
        variables, expected = rnn.init(jax.random.key(0), xs), None
        expected = rnn.apply(variables, xs)
        both = nn.Bidirectional(nn.RNN(nn.OptimizedLSTMCell(3)), nn.RNN(nn.OptimizedLSTMCell(3)), time_major=True)
        pair = both.init(jax.random.key(1), xs)
        expected_pair = both.apply(pair, xs)
        several = Model(1).init(jax.random.key(2), xs)
    layers = from_flax(variables)
    np.testing.assert_allclose(network(layers, xs)[1], expected, **CLOSE)
    for part in (variables["params"], variables["params"]["cell"]):
        assert_same_bits(from_flax(part), layers)
    np.testing.assert_allclose(network(from_flax(pair), xs)[1], expected_pair, **CLOSE)
    paths = [path for path in several["params"] if "Dense" not in path]
    with pytest.raises(
        ValueError, match=rf"cells holds 2 LSTM cells of Flax, at 'params/{paths[0]}.*', 'params/{paths[1]}.*': give"
    ):
        from_flax(several)
    with pytest.raises(
        ValueError, match="cells holds no LSTM cells of Flax, it has 'params': expected a cell, or a model with one"
    ):
        from_flax({"params": {"Dense_0": {"kernel": np.ones((2, 2), np.float32)}}})


def test_haiku():
    hk = peer("haiku")

    def model(xs, names=(None,)):
        for name in names:
            core = hk.LSTM(6, **({} if name is None else {"name": name}))
            xs, _ = hk.dynamic_unroll(core, xs, core.initial_state(BATCH))
        return hk.Linear(2)(xs), xs

    xs = random(TIME, BATCH, FEATURES)
    with lenient():
        pure = hk.without_apply_rng(hk.transform(model))
        params = pure.init(jax.random.key(0), xs)
        expected = pure.apply(params, xs)[1]
        two, named = (
            hk.transform(lambda xs, names=names: model(xs, names)).init(jax.random.key(0), xs)
            for names in ((None, None), ("encoder",))
        )
    layers = from_haiku(params, partial=True)
    again, head = from_haiku(params, readout="linear")
    assert_same_bits((again, head), (layers, Readout(params["linear"]["w"], params["linear"]["b"])))
    np.testing.assert_allclose(network(layers, xs)[1], expected, **CLOSE)
    assert_same_bits(from_haiku(params["lstm/linear"]), layers)
    with pytest.raises(
        ValueError, match=r"cells holds 2 LSTM cores .*, at 'lstm/linear', 'lstm_1/linear': give one of them, or a list"
    ):
        from_haiku(two)
    assert len(from_haiku([two["lstm/linear"], two["lstm_1/linear"]])) == 2
    with pytest.raises(
        ValueError, match=r"cells holds no LSTM cores of the default name .*, it has 'encoder/linear', 'linear'"
    ):
        from_haiku(named)
    assert from_haiku(named["encoder/linear"])[0].w_x.shape == (FEATURES, 24)


def test_equinox():
    eqx = peer("equinox")
    keys = jax.random.split(jax.random.key(0), 3)

    class Model(eqx.Module):
        cells: list
        gru: eqx.nn.GRUCell
        head: eqx.nn.Linear

    cells = [eqx.nn.LSTMCell(FEATURES, 6, key=keys[0]), eqx.nn.LSTMCell(6, 2, use_bias=False, key=keys[1])]
    rest = {"gru": eqx.nn.GRUCell(2, 2, key=keys[2]), "head": eqx.nn.Linear(2, 1, key=keys[2])}
    xs = random(TIME, BATCH, FEATURES)
    layers = from_equinox(cells)
    carry = jnp.zeros(6), jnp.zeros(6)
    with lenient():
        for x, h in zip(xs[:, 0], np.asarray(network(layers[:1], xs)[1])[:, 0], strict=True):
            carry = cells[0](jnp.asarray(x), carry)
            np.testing.assert_allclose(h, carry[0], **CLOSE)
    for one, layer in zip(cells, from_equinox(cells), strict=True):
        assert_same_bits(from_equinox(one), (layer,))
        assert_same_bits(from_equinox(Model([one], **rest), partial=True), (layer,))
    with pytest.raises(
        ValueError, match=r"cells holds 2 LSTM cells of Equinox, at 'cells\.0', 'cells\.1': give one of them, or a list"
    ):
        from_equinox(Model(cells, **rest))
    with pytest.raises(ValueError, match=r"cells holds no LSTM cells of Equinox, it has 'cells', 'gru', 'head'"):
        from_equinox(Model([], **rest))


def test_keras():
    keras = peer("keras")
    layers = keras.layers
    with lenient():
        first = layers.LSTM(5, return_sequences=True)
        both = layers.Bidirectional(layers.LSTM(2, return_sequences=True))
        model = keras.Sequential([keras.Input((None, FEATURES)), first, layers.Dropout(0.5), both, layers.Dense(1)])
        xs = random(TIME, BATCH, FEATURES)
        expected = np.asarray(both(first(xs.swapaxes(0, 1)))).swapaxes(0, 1)
        stack = from_keras([first.get_weights(), both.get_weights()])
        np.testing.assert_allclose(network(stack, xs)[1], expected, **CLOSE)
        x = keras.Input((None, FEATURES))
        two = [layers.LSTM(5, return_sequences=True), layers.Bidirectional(layers.LSTM(2))]
        functional = keras.Model(x, layers.Dense(1)(two[1](layers.Dropout(0.5)(two[0](x)))))
        functional.set_weights(model.get_weights())
        nested = keras.Sequential([keras.Sequential([first]), layers.Dropout(0.5), both])
        whole = [(given, stack) for given in (nested, [first, both])]
        for given in (model, functional):
            name = given.layers[-1].name
            layer, head = from_keras(given, readout=name)
            assert_same_bits((layer, head), (stack, Readout(*map(jnp.asarray, given.layers[-1].get_weights()))))
            assert_same_bits(from_keras(given, partial=True), stack)
            with pytest.raises(
                ValueError, match=rf"more than its LSTM: Dense '{name}' \(take it with readout='{name}'\)"
            ):
                from_keras(given)
        for given, layer in ((first, stack[:1]), (both, stack[1:]), *whole):
            assert_same_bits(from_keras(given), layer)
        assert_same_bits(from_keras(first.get_weights()), stack[:1])
        assert_same_bits(from_keras(both.get_weights()), stack[1:])


def test_keras_models_whose_lstms_are_no_stack():
    keras = peer("keras")
    layers = keras.layers
    with lenient():
        x = keras.Input((None, FEATURES))
        parallel = keras.Model(x, [layers.LSTM(2, name="one")(x), layers.LSTM(2, name="two")(x)])
        changed = keras.Sequential(
            [
                keras.Input((None, 2)),
                layers.LSTM(2, return_sequences=True, name="one"),
                layers.Dense(2),
                layers.LSTM(2, name="two"),
            ]
        )
        for model in (parallel, changed):
            with pytest.raises(
                ValueError, match="2 LSTM layers that are no stack, 'one', 'two': choose one with prefix="
            ):
                from_keras(model)
        assert len(from_keras(changed.get_layer("two"))) == 1
        with pytest.raises(ValueError, match="the model has no LSTM layer, it has Dense"):
            from_keras(keras.Sequential([keras.Input((2,)), layers.Dense(2)]))
        with pytest.raises(ValueError, match=r"has 0 arrays \(none\), expected 3: build the layer"):
            from_keras(layers.LSTM(2))
        gru = layers.GRU(2, name="gru")
        with pytest.raises(ValueError, match=r"layer 'gru' is a GRU, expected an LSTM"):
            from_keras([gru])


@pytest.mark.parametrize("mode", ["sum", "mul", "ave"])
def test_keras_merge_modes(mode):
    keras = peer("keras")
    xs = random(TIME, BATCH, FEATURES)
    with lenient():
        layer = keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True), merge_mode=mode)
        expected = np.asarray(layer(xs.swapaxes(0, 1))).swapaxes(0, 1)
        with pytest.raises(ValueError, match=rf"merge_mode='{mode}', expected 'concat': give layer.get_weights\(\)"):
            from_keras(layer)
    hs = network(from_keras(layer.get_weights()), xs)[1]
    # the recipe of from_keras's docstring
    forward, backward = jnp.split(hs, 2, axis=-1)
    merged = {"sum": forward + backward, "mul": forward * backward, "ave": (forward + backward) / 2}[mode]
    np.testing.assert_allclose(merged, expected, **CLOSE)


def test_no_framework_is_imported():
    code = """
import sys, numpy as np
from jax_lstm import interop
interop.from_torch({"weight_ih_l0": np.ones((8, 3), "f"), "weight_hh_l0": np.ones((8, 2), "f")})
interop.from_keras([np.ones((3, 8), "f"), np.ones((2, 8), "f")])
interop.from_haiku({"lstm/linear": {"w": np.ones((5, 8), "f"), "b": np.ones(8, "f")}})
interop.from_equinox({"weight_ih": np.ones((8, 3), "f"), "weight_hh": np.ones((8, 2), "f")})
assert not {"torch", "keras", "haiku", "equinox", "flax", "onnx"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True)
