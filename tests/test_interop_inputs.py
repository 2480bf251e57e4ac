"""What real models have in front of an LSTM: an embedding or a normalization gives the numbers of the whole model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from onnx_models import BATCH, FEATURES, TIME, make, onnx, run
from peers import CLOSE, lenient, peer, random

from jax_lstm import Readout, init, init_network, lstm, network, readout
from jax_lstm.interop import (
    fold_inputs,
    from_equinox,
    from_flax,
    from_haiku,
    from_keras,
    from_onnx,
    from_torch,
    read_keras,
    read_torch,
    to_onnx,
)

KEY = jax.random.key(0)
TOKENS = np.random.default_rng(0).integers(0, 9, (TIME, BATCH))


@pytest.mark.parametrize(
    "options", [{}, {"bidirectional": True}, {"bias": False}, {"peephole": True, "projection": 2}, {"coupled": True}]
)
def test_folded_inputs(options):
    layers = init_network(KEY, features=FEATURES, hidden=[4, 3], **options)
    xs, shift, scale = random(TIME, BATCH, FEATURES), random(FEATURES, seed=1), 1 + random(FEATURES, seed=2) ** 2
    lengths = np.array([TIME, 1, 3], np.int32)
    for given in ((shift, scale), (2.0, 3.0), (shift,), (0.0, scale)):
        folded = fold_inputs(layers, *given)
        normalized = (xs - given[0]) / (given[1] if len(given) > 1 else 1)
        expected = network(layers, jnp.asarray(normalized, jnp.float32), lengths=lengths)
        jax.tree.map(
            lambda one, other: np.testing.assert_allclose(one, other, **CLOSE),
            network(folded, xs, lengths=lengths),
            expected,
        )
    assert jax.tree.structure(fold_inputs(layers, 0.0, 2.0)) == jax.tree.structure(layers)


def test_a_layer_alone_and_one_of_another_kind():
    xs = random(TIME, BATCH, FEATURES)
    for params in (init(KEY, FEATURES, 4), init(KEY, FEATURES, 4, diagonal=True)):
        (folded,) = fold_inputs(params, 2.0, 3.0)
        np.testing.assert_allclose(lstm(folded, xs)[1], lstm(params, (xs - 2.0) / 3.0)[1], **CLOSE)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((0.0, 0.0), "scale has a number that is zero or not finite"),
        ((np.nan,), r"numbers of shape \(\), expected finite ones"),
        (
            (np.zeros(2),),
            r"numbers of shape \(2,\), expected finite ones, \(\) or \(3,\) for the 3 inputs of layers\[0\]",
        ),
        ((0.0, 1e-60), r"the weights of layers\[0\] times the normalization are not finite float32 numbers"),
    ],
)
def test_a_normalization_that_does_not_fit_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        fold_inputs(init(KEY, FEATURES, 4), *given)


def test_a_layer_that_normalizes_its_inputs_is_refused():
    with pytest.raises(ValueError, match=r"layers\[0\] has norm"):
        fold_inputs(init(KEY, FEATURES, 4, norm=True), 1.0)


def torch_model(torch):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.embed = torch.nn.Embedding(9, FEATURES, padding_idx=0)
            self.lstm = torch.nn.LSTM(FEATURES, 4, num_layers=2)
            self.fc = torch.nn.Linear(4, 2)

        def forward(self, tokens):
            return self.fc(self.lstm(self.embed(tokens))[0])

    return Model().eval()


def whole(read):
    """What a whole model that was imported computes of tokens."""
    return readout(read.readout, network(read.layers, read.embedding[TOKENS])[1])


def test_an_embedding_of_pytorch(tmp_path):
    torch = peer("torch")
    model = torch_model(torch)
    expected = model(torch.from_numpy(TOKENS)).detach().numpy()
    torch.save({"state_dict": model.state_dict()}, tmp_path / "model.pt")
    options = {"readout": "fc", "embedding": "embed"}
    for read in (from_torch(model, **options), read_torch(tmp_path / "model.pt", **options)):
        assert read.left_out == ()
        np.testing.assert_allclose(whole(read), expected, **CLOSE)
    with pytest.raises(ValueError, match=r"more than its LSTM: embed\.weight; .* an embedding with embedding="):
        from_torch(model, readout="fc")
    with pytest.raises(ValueError, match=r"embedding is 'fc', a Linear, expected the path of an nn\.Embedding"):
        from_torch(model, embedding="fc")
    with pytest.raises(ValueError, match=r"embed.weight'\] has shape \(9, 5\), expected \(tokens, 3\)"):
        from_torch(model.state_dict() | {"embed.weight": torch.ones(9, 5)}, **options)
    model.embed.max_norm = 1.0
    with pytest.raises(ValueError, match=r"module 'embed' has max_norm=1\.0, which changes rows"):
        from_torch(model, **options)


@pytest.mark.exhaustive
def test_an_embedding_of_flax():
    nnx, nn = peer("flax.nnx"), peer("flax.linen")

    class Model(nnx.Module):
        def __init__(self, rngs):
            self.embed = nnx.Embed(9, FEATURES, rngs=rngs)
            self.rnn = nnx.RNN(nnx.LSTMCell(FEATURES, 4, rngs=rngs), time_major=True)
            self.head = nnx.Linear(4, 2, rngs=rngs)

        def __call__(self, tokens):
            return self.head(self.rnn(self.embed(tokens)))

    class Linen(nn.Module):
        @nn.compact
        def __call__(self, tokens):
            return nn.Dense(2)(nn.RNN(nn.LSTMCell(4), time_major=True)(nn.Embed(9, FEATURES)(tokens)))

    with lenient():
        model, linen = Model(nnx.Rngs(0)), Linen()
        variables = linen.init(KEY, TOKENS)
        cases = [
            (model, {"readout": "head", "embedding": "embed"}, model(jnp.asarray(TOKENS))),
            (variables, {"readout": "Dense_0", "embedding": "Embed_0"}, linen.apply(variables, TOKENS)),
        ]
    for given, options, expected in cases:
        read = from_flax(given, **options)
        assert read.left_out == ()
        np.testing.assert_allclose(whole(read), expected, **CLOSE)


@pytest.mark.exhaustive
def test_an_embedding_of_equinox_and_of_haiku():
    eqx, hk = peer("equinox"), peer("haiku")

    class Model(eqx.Module):
        embed: eqx.nn.Embedding
        cell: eqx.nn.LSTMCell
        head: eqx.nn.Linear

    # as wide as the hidden state: either could be the other by its shape
    model = Model(eqx.nn.Embedding(9, 4, key=KEY), eqx.nn.LSTMCell(4, 4, key=KEY), eqx.nn.Linear(4, 2, key=KEY))
    read = from_equinox(model, readout="head", embedding="embed")
    np.testing.assert_array_equal(read.embedding, model.embed.weight)
    np.testing.assert_array_equal(read.readout.w, model.head.weight.T)
    for options in ({"readout": "embed"}, {"embedding": "head"}):
        with pytest.raises(ValueError, match=r"expected the path of a.* of the model: there are '(head|embed)'$"):
            from_equinox(model, partial=True, **options)

    def compute(tokens):
        core = hk.LSTM(4)
        hs, _ = hk.dynamic_unroll(core, hk.Embed(9, FEATURES)(tokens), core.initial_state(BATCH))
        return hk.Linear(2)(hs)

    with lenient():
        pure = hk.without_apply_rng(hk.transform(compute))
        params = pure.init(KEY, TOKENS)
        expected = pure.apply(params, TOKENS)
    read = from_haiku(params, readout="linear", embedding="embed")
    assert read.left_out == ()
    np.testing.assert_allclose(whole(read), expected, **CLOSE)


NORMALIZATIONS = {
    "adapted": lambda k: [k.Normalization()],
    "given": lambda k: [k.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 1.0, 0.0])],
    "inverted": lambda k: [k.Normalization(mean=1.0, variance=4.0, axis=None, invert=True)],
    "rescaled": lambda k: [k.Rescaling(1 / 3, offset=-2 / 3)],
    "batch normalization": lambda k: [k.BatchNormalization(), k.Dropout(0.5)],
    "batch normalization without parts": lambda k: [k.BatchNormalization(scale=False, epsilon=0.5)],
    "several": lambda k: [k.Rescaling(2.0), k.Normalization(), k.BatchNormalization(center=False)],
}


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_a_normalization_of_keras(name, suffix, tmp_path):
    keras = peer("keras")
    xs = 2 * random(BATCH, TIME, FEATURES) + 1
    with lenient():
        before = NORMALIZATIONS[name](keras.layers)
        layers = [
            *before,
            keras.layers.Bidirectional(keras.layers.LSTM(4, return_sequences=True)),
            keras.layers.Dense(2),
        ]
        model = keras.Sequential([keras.Input((None, FEATURES)), *layers])
        for layer in before:
            if isinstance(layer, keras.layers.Normalization) and layer.input_mean is None:
                layer.adapt(xs)
            elif isinstance(layer, keras.layers.BatchNormalization):
                layer.set_weights([0.5 + random(FEATURES, seed=k) ** 2 for k in range(len(layer.get_weights()))])
        expected = np.asarray(model(xs))
        model.save(tmp_path / f"model{suffix}")
    read = read_keras(tmp_path / f"model{suffix}")
    assert read.left_out == ()
    live = from_keras(model, readout=model.layers[-1].name)
    for layers, head in ((read.layers, read.readout), live):
        ys = readout(head, network(layers, xs.swapaxes(0, 1))[1])
        np.testing.assert_allclose(ys.swapaxes(0, 1), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
@pytest.mark.parametrize("kind", ["LayerNormalization", "Normalization of time"])
def test_another_normalization_of_keras_is_named(kind):
    keras = peer("keras")
    K = keras.layers  # noqa: N806
    with lenient():
        before = K.LayerNormalization() if kind == "LayerNormalization" else K.BatchNormalization(axis=1)
        model = keras.Sequential([keras.Input((TIME, FEATURES)), before, K.LSTM(4, return_sequences=True)])
    with pytest.raises(ValueError, match=r"more than its LSTM: (Layer|Batch)Normalization '"):
        from_keras(model)


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_an_embedding_of_keras(tmp_path):
    keras = peer("keras")
    K = keras.layers  # noqa: N806
    with lenient():
        layers = [K.Embedding(9, FEATURES, name="embed"), K.LSTM(4, return_sequences=True), K.Dense(2, name="head")]
        model = keras.Sequential([keras.Input((None,), dtype="int32"), *layers])
        expected = np.asarray(model(TOKENS.T)).swapaxes(0, 1)
        model.save(tmp_path / "model.keras")
    for read in (read_keras(tmp_path / "model.keras"), from_keras(model, readout="head", embedding="embed")):
        assert read.left_out == ()
        np.testing.assert_allclose(whole(read), expected, **CLOSE)
    with pytest.raises(ValueError, match=r"Embedding 'embed' \(take it with embedding='embed'\)"):
        from_keras(model, readout="head")
    with pytest.raises(
        ValueError, match="embedding is 'head', expected the Embedding in front of the LSTM: there is 'em"
    ):
        from_keras(model, embedding="head")


def fronted(nodes, constants, name, tokens=False):
    """An ONNX model of ours with operators in front of its first LSTM, from "xs" or "tokens" to a value."""
    helper = onnx.helper
    head = Readout(random(4, 2), random(2))
    model = to_onnx(make((4,)), readout=head)
    model.graph.node[0].input[0] = name
    for node in reversed(nodes):
        model.graph.node.insert(0, helper.make_node(*node))
    if tokens:
        given = helper.make_tensor_value_info("tokens", onnx.TensorProto.INT64, ["time", "batch"])
        model.graph.input[0].CopyFrom(given)
    arrays = {key: np.asarray(array) for key, array in constants.items()}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, key) for key, array in arrays.items())
    return model


VECTOR, COLUMN = np.float32([1, 2, 3]), np.float32([[1], [2], [3], [4], [5], [6]])
FRONTS = {
    "(x - 2) / v": (
        [("Sub", ["xs", "a"], ["s"]), ("Div", ["s", "v"], ["y"])],
        {"a": np.float32(2), "v": VECTOR},
    ),
    "b - v x": ([("Mul", ["v", "xs"], ["s"]), ("Sub", ["b", "s"], ["y"])], {"v": VECTOR, "b": np.float32([[[5]]])}),
    "v / x": ([("Div", ["v", "xs"], ["y"])], {"v": VECTOR}),
    "x + time": ([("Add", ["xs", "t"], ["y"])], {"t": COLUMN[:, :, None]}),
    "x x": ([("Mul", ["xs", "xs"], ["y"])], {}),
    "tanh(x + v)": ([("Add", ["xs", "v"], ["s"]), ("Tanh", ["s"], ["y"])], {"v": VECTOR}),
}


@pytest.mark.parametrize("name", FRONTS)
def test_a_normalization_of_onnx(name):
    nodes, constants = FRONTS[name]
    model, xs = fronted(nodes, constants, "y"), random(TIME, BATCH, FEATURES)
    if name in ("(x - 2) / v", "b - v x"):
        read = from_onnx(model)
        assert read.left_out == ()
        ys = readout(read.readout, network(read.layers, xs)[1])
        np.testing.assert_allclose(run(model, xs=xs)["ys"], ys, rtol=1e-4, atol=1e-5)
    else:
        run(model, xs=xs)
        with pytest.raises(ValueError, match=f"computes more than its LSTM: before it .*{nodes[-1][0]} 'y'"):
            from_onnx(model)


ROWS = {
    "rows": ([("Gather", ["table", "tokens"], ["y"])], {}),
    "scaled rows": ([("Gather", ["table", "tokens"], ["r"]), ("Mul", ["r", "v"], ["y"])], {"v": VECTOR}),
    "rows of other tokens": (
        [("Add", ["tokens", "one"], ["t"]), ("Gather", ["table", "t"], ["y"])],
        {"one": np.int64(1)},
    ),
    "rows and places": ([("Gather", ["table", "tokens"], ["r"]), ("Add", ["r", "p"], ["y"])], {"p": COLUMN[:, None]}),
}


@pytest.mark.parametrize("name", ROWS)
def test_an_embedding_of_onnx(name):
    nodes, constants = ROWS[name]
    model = fronted(nodes, constants | {"table": random(10, FEATURES, seed=3)}, "y", tokens=True)
    expected = run(model, tokens=TOKENS)["ys"]
    if name in ("rows", "scaled rows"):
        read = from_onnx(model)
        assert read.left_out == ()
        np.testing.assert_allclose(whole(read), expected, rtol=1e-4, atol=1e-5)
    else:
        with pytest.raises(ValueError, match=r"computes more than its LSTM: before it .*(Add|Gather) '"):
            from_onnx(model)
