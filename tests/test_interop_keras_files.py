"""Keras files: read without Keras, in value as Keras runs them, and refused by name where layers do not say all."""

import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from pages import framework_options, layer_options
from peers import lenient, peer, random

from jax_lstm import network, readout
from jax_lstm.interop import _keras_layer as options
from jax_lstm.interop import from_keras, read_keras

h5py = peer("h5py")
TIME, BATCH, FEATURES = 5, 3, 4
TIGHT = {"rtol": 1e-5, "atol": 1e-6}
# Keras asks NumPy for arrays of its variables in a way that NumPy 2 deprecates, and advises against .h5
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:keras"),
]


def functional(keras, x, *layers):
    y = x
    for layer in layers:
        y = layer(y)
    return keras.Model(x, y)


def models(keras):
    """Models by name: how to make one, its input, whether it has a mask, and what is left out."""
    K = keras.layers  # noqa: N806
    x = lambda: keras.Input((None, FEATURES))  # noqa: E731
    seq = {"return_sequences": True}
    return {
        "sequential": lambda: keras.Sequential([x(), K.LSTM(3, **seq), K.Dropout(0.5), K.LSTM(2, **seq), K.Dense(2)]),
        "last step": lambda: functional(keras, x(), K.LSTM(3), K.Dense(2, use_bias=False)),
        "masking": lambda: functional(keras, x(), K.Masking(), K.LSTM(3, zero_output_for_mask=True, **seq), K.Dense(2)),
        "embedding": lambda: functional(
            keras, keras.Input((None,), dtype="int32"), K.Embedding(7, FEATURES, mask_zero=True), K.LSTM(3), K.Dense(2)
        ),
        "nested": lambda: functional(
            keras,
            x(),
            functional(keras, x(), K.LSTM(3, **seq)),
            keras.Sequential([K.Bidirectional(K.LSTM(2, **seq)), K.LSTM(3, **seq)]),
            K.TimeDistributed(K.Dense(2)),
        ),
        "cells": lambda: functional(
            keras, x(), K.RNN(K.LSTMCell(3, use_bias=False), **seq), K.RNN([K.LSTMCell(2), K.LSTMCell(3)])
        ),
        "two directions of cells": lambda: functional(keras, x(), K.Bidirectional(K.RNN(K.LSTMCell(3))), K.Dense(2)),
        "backwards": lambda: functional(keras, x(), K.LSTM(3, go_backwards=True, **seq), K.LSTM(2), K.Dense(1)),
        "backwards, all steps": lambda: functional(keras, x(), K.LSTM(3, go_backwards=True, **seq)),
        "many": lambda: functional(keras, x(), *[K.RNN(K.StackedRNNCells([K.LSTMCell(2) for _ in range(12)]), **seq)]),
    }


MODELS = tuple(models(type("Keras", (), {"layers": None})))


def randomized(keras, model):
    """The model with every weight random, biases too."""
    model.set_weights([0.5 * random(*array.shape, seed=k) for k, array in enumerate(model.get_weights())])
    return model


@pytest.mark.exhaustive
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", MODELS)
def test_a_file_gives_the_numbers_of_keras(name, suffix, tmp_path):
    keras = peer("keras")
    with lenient():
        model = randomized(keras, models(keras)[name]())
        model.save(tmp_path / f"model{suffix}")
        tokens = np.array([[1, 2, 3, 0, 0], [4, 5, 6, 1, 2], [6, 0, 0, 0, 0]])
        xs, mask = random(BATCH, TIME, FEATURES), None
        if name == "masking":
            xs[0, 3:], xs[2, 1] = 0, 0
            mask = (xs != 0).any(-1).T
        expected = np.asarray(model(tokens if name == "embedding" else xs))
    read = read_keras(tmp_path / f"model{suffix}")
    if name == "embedding":
        xs, mask = model.layers[1].get_weights()[0][tokens], (tokens != 0).T
    expected_left_out = {"masking": ["Masking"], "embedding": ["mask_zero"]}.get(name, [])
    assert [one.split(" ")[0] for one in read.left_out] == expected_left_out
    carries, hs = network(read.layers, xs.swapaxes(0, 1), mask=mask, reverse=read.reverse)
    last = carries[-1]
    final = np.concatenate([last.forward.h, last.backward.h], -1) if hasattr(last, "forward") else last.h
    ours = {"hs": hs, "hs[::-1]": hs[::-1], "carry.h": final}[read.reads]
    ours = np.asarray(ours if read.readout is None else readout(read.readout, ours))
    ours = ours if read.reads == "carry.h" else ours.swapaxes(0, 1)
    valid = slice(None) if name != "masking" else mask.T
    np.testing.assert_allclose(ours[valid], expected[valid], **TIGHT)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("output", "reads"), [(0, "hs"), (1, "carry.h"), (2, "carry.c")])
def test_a_model_that_returns_states(output, reads, tmp_path):
    keras = peer("keras")
    K, xs = keras.layers, random(BATCH, TIME, FEATURES)  # noqa: N806
    with lenient():
        x = keras.Input((None, FEATURES))
        model = keras.Model(x, K.LSTM(3, return_sequences=True, return_state=True)(x)[output])
        expected = np.asarray(randomized(keras, model)(xs))
        model.save(tmp_path / "model.keras")
        both = keras.Model(x, K.Bidirectional(K.LSTM(3, return_sequences=True, return_state=True))(x)[1 + output])
        both.save(tmp_path / "both.keras")
    read = read_keras(tmp_path / "model.keras")
    assert (read.reads, read.left_out) == (reads, ())
    carries, hs = network(read.layers, xs.swapaxes(0, 1))
    ours = {"hs": hs.swapaxes(0, 1), "carry.h": carries[0].h, "carry.c": carries[0].c}[reads]
    np.testing.assert_allclose(ours, expected, **TIGHT)
    (said,) = read_keras(tmp_path / "both.keras").left_out
    assert said.startswith("which states of 'bidirectional")


@pytest.mark.exhaustive
def test_a_quantized_head_is_refused(tmp_path):
    keras = peer("keras")
    K = keras.layers  # noqa: N806
    with lenient():
        layers = [keras.Input((None, FEATURES)), K.LSTM(3, return_sequences=True), K.Dense(2)]
        model = keras.Sequential(layers)
        model.layers[-1].quantize("int8")
        model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="expected a kernel and perhaps a bias: a quantized layer is not read"):
        read_keras(tmp_path / "model.keras")


@pytest.mark.exhaustive
def test_what_is_no_stack_is_refused_by_name():
    keras = peer("keras")
    K = keras.layers  # noqa: N806

    class Own(K.LSTM):
        def call(self, sequences, initial_state=None, mask=None, training=False):
            return 2 * super().call(sequences, initial_state, mask, training)

    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.lstm = K.LSTM(2)

        def call(self, x):
            return 2 * self.lstm(x)

    with lenient():
        x = keras.Input((None, FEATURES))
        twice = K.LSTM(FEATURES, return_sequences=True, name="twice")
        inner = keras.Sequential([K.LSTM(FEATURES, return_sequences=True, name="inner")])
        first, second = K.LSTM(FEATURES, return_sequences=True), K.LSTM(FEATURES, return_sequences=True)
        around = second(first(x))
        cases = {
            "layer 'twice' is applied 2 times": keras.Model(x, twice(twice(x))),
            "is applied 2 times": keras.Model(x, inner(inner(x))),
            "more than its LSTM: Add 'add'": keras.Model(x, K.Add(name="add")([x, around])),
            "is a Model, which has a call of its own": Model(),
            "is of a class of its own, Own": keras.Sequential([x, Own(2)]),
            "do not run in one direction": keras.Sequential([x, first, K.LSTM(2, go_backwards=True)]),
            "in both directions, which network does not": keras.Sequential(
                [x, K.LSTM(2, go_backwards=True, return_sequences=True), K.Bidirectional(K.LSTM(2))]
            ),
            "go_backwards=True, which a tuple of layers does not hold": keras.Sequential(
                [x, K.LSTM(2, go_backwards=True)]
            ),
            "activation='relu', expected 'tanh'": keras.Sequential(
                [x, K.RNN([K.LSTMCell(2), K.LSTMCell(2, activation="relu")])]
            ),
            "merge_mode=None, expected 'concat'": functional(keras, x, K.Bidirectional(K.LSTM(2), merge_mode=None)),
        }
        for said, model in cases.items():
            with pytest.raises(ValueError, match=said.replace("(", r"\(")):
                from_keras(model)
        with pytest.raises(ValueError, match="is a Own, which has a call of its own"):
            from_keras(Own(2))


def test_the_page_has_every_option():
    """A new option of Keras fails here until the page says what it does."""
    keras = peer("keras")
    said = framework_options("Keras")

    def starting(words):
        return {name for name in said if said[name].startswith(words)}

    assert starting("followed") == options.HONORED
    assert starting("refused") == options.EXPECTED.keys()
    assert starting("the caller's") == options.CALLERS
    assert starting("no effect") == options.WITHOUT_EFFECT
    for kind in ("LSTM", "LSTMCell", "RNN", "Bidirectional", "StackedRNNCells"):
        assert layer_options(getattr(keras.layers, kind)) <= said.keys(), kind
    config = keras.layers.LSTM(2).get_config()
    assert set(config) <= said.keys()
    layer = keras.layers.LSTM(2, name="new")
    layer.get_config = lambda: config | {"sharpness": 2}
    with pytest.raises(ValueError, match="layer 'new' has sharpness=2, which is not a known option"):
        from_keras(layer)


def legacy(path, layers, weights, kind="Sequential"):
    """A file as Keras 2 wrote it: configurations of layers by name, and weights by the name of their layer."""
    entries = [{"class_name": name, "config": config} for name, config in layers]
    if kind == "Functional":
        before = None
        for entry in entries:
            entry |= {"name": entry["config"]["name"], "inbound_nodes": [[[before, 0, 0, {}]]] if before else []}
            before = entry["name"]
    config = {"name": "model", "layers": entries}
    if kind == "Functional":
        config |= {"input_layers": [[entries[0]["name"], 0, 0]], "output_layers": [[before, 0, 0]]}
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": kind, "config": config})
        file.attrs["keras_version"] = "2.11.0"
        root = file.create_group("model_weights")
        for name, arrays in weights.items():
            group = root.create_group(name)
            group.attrs["weight_names"] = [one.encode() for one in arrays]
            for one, array in arrays.items():
                group[one] = array


def lstm_config(name, units, **more):
    options = {"name": name, "trainable": True, "dtype": "float32", "units": units, "use_bias": True}
    options |= {"activation": "tanh", "recurrent_activation": "sigmoid", "return_sequences": True}
    return options | {"go_backwards": False, "time_major": False, "implementation": 2} | more


def lstm_weights(features, units, seed=0):
    return {
        "kernel": random(features, 4 * units, seed=seed),
        "recurrent_kernel": random(units, 4 * units, seed=seed + 1),
        "bias": random(4 * units, seed=seed + 2),
    }


@pytest.mark.parametrize("kind", ["Sequential", "Functional"])
def test_files_of_keras_2(kind, tmp_path):
    first, second, head = (
        lstm_weights(4, 3),
        lstm_weights(3, 2, seed=5),
        {"head/kernel:0": random(2, 1), "head/bias:0": random(1)},
    )
    inputs = ("InputLayer", {"name": "x", "batch_input_shape": [None, None, 4]})
    layers = [
        inputs,
        ("LSTM", lstm_config("one", 3)),
        ("LSTM", lstm_config("two", 2)),
        ("Dense", {"name": "head", "activation": "linear"}),
    ]
    weights = {
        name: {f"{name}/lstm_cell_7/{key}:0": array for key, array in held.items()}
        for name, held in (("one", first), ("two", second))
    }
    legacy(tmp_path / "a.h5", layers, weights | {"head": head}, kind)
    read = read_keras(tmp_path / "a.h5")
    for layer, held in zip(read.layers, (first, second), strict=True):
        np.testing.assert_array_equal(layer.w_x, held["kernel"])
        np.testing.assert_array_equal(layer.b, held["bias"])
    np.testing.assert_array_equal(read.readout.w, head["head/kernel:0"])
    layers[1] = ("LSTM", lstm_config("one", 3, recurrent_activation="hard_sigmoid"))
    legacy(tmp_path / "a.h5", layers, weights | {"head": head}, kind)
    with pytest.raises(ValueError, match="layer 'one' has recurrent_activation='hard_sigmoid', expected 'sigmoid'"):
        read_keras(tmp_path / "a.h5")


def test_cudnn_lstm_of_keras_2(tmp_path):
    held = lstm_weights(4, 3)
    # Keras's own rule, turned around: blocks of gates transposed, and the bias in two parts
    kernel = np.concatenate(
        [block.reshape(-1, order="F").reshape(3, 4).T for block in np.split(held["kernel"], 4, 1)], 1
    )
    blocks = [block.T for block in np.split(held["recurrent_kernel"], 4, 1)]
    part = random(12, seed=9)
    cudnn = {
        "kernel": kernel,
        "recurrent_kernel": np.concatenate(blocks, 1),
        "bias": np.concatenate([held["bias"] - part, part]),
    }
    config = {"name": "fast", "units": 3, "return_sequences": True, "go_backwards": False, "stateful": False}
    legacy(
        tmp_path / "a.h5", [("CuDNNLSTM", config)], {"fast": {f"fast/{key}:0": array for key, array in cudnn.items()}}
    )
    (layer,) = read_keras(tmp_path / "a.h5").layers
    np.testing.assert_array_equal(layer.w_h, held["recurrent_kernel"])
    np.testing.assert_allclose(layer.b, held["bias"], atol=1e-6)
    restored = [block.T.reshape(block.shape, order="F") for block in np.split(kernel, 4, axis=1)]
    np.testing.assert_array_equal(layer.w_x, np.concatenate(restored, 1))


@pytest.mark.parametrize("kind", ["LSTM", "CuDNNLSTM"])
def test_both_directions_of_keras_2(kind, tmp_path):
    """A file has the forward layer alone, whose config says nothing of the other direction."""
    sides = lstm_weights(4, 3), lstm_weights(4, 3, seed=5)
    config = lstm_config("inner", 3, time_major=True)
    names = [f"both/{side}_inner/lstm_cell/{key}:0" for side in ("forward", "backward") for key in sides[0]]
    arrays = [array for held in sides for array in held.values()]
    if kind == "CuDNNLSTM":
        config = {"name": "inner", "units": 3, "return_sequences": True, "go_backwards": False, "stateful": False}
        arrays = [np.concatenate([array, 0 * array]) if array.ndim == 1 else array for array in arrays]
    layer = {"class_name": kind, "config": config}
    legacy(
        tmp_path / "a.h5",
        [("Bidirectional", {"name": "both", "layer": layer, "merge_mode": "concat"})],
        {"both": dict(zip(names, arrays, strict=True))},
    )
    (pair,) = read_keras(tmp_path / "a.h5").layers
    for params, held in zip(pair, sides, strict=True):
        np.testing.assert_array_equal(params.b, held["bias"])
        assert params.w_x.shape == (4, 12)
        if kind == "LSTM":
            np.testing.assert_array_equal(params.w_x, held["kernel"])


@pytest.mark.parametrize("name", ["a.h5", "a.weights.h5"])
def test_a_file_of_weights_of_keras_2(name, tmp_path):
    """`save_weights` of Keras 2 wrote a group for each layer, whatever the file's name."""
    held, dense = lstm_weights(4, 3), {"kernel": random(3, 2), "bias": random(2)}
    layers = {"lstm_1": {f"lstm_1/lstm_cell/{key}:0": array for key, array in held.items()}}
    layers["dense"] = {f"dense/{key}:0": array for key, array in dense.items()}
    with h5py.File(tmp_path / name, "w") as file:
        file.attrs["layer_names"] = [layer.encode() for layer in layers]
        file.attrs["keras_version"] = "2.11.0"
        for layer, arrays in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [key.encode() for key in arrays]
            for key, array in arrays.items():
                group[key] = array
    read = read_keras(tmp_path / name)
    np.testing.assert_array_equal(read.layers[0].w_x, held["kernel"])
    np.testing.assert_array_equal(read.layers[0].b, held["bias"])
    assert "'dense/dense'" in read.left_out


def test_a_file_of_weights_alone(tmp_path):
    held = lstm_weights(4, 3)
    with h5py.File(tmp_path / "a.weights.h5", "w") as file:
        for k, name in enumerate(held):
            file[f"layers/lstm/cell/vars/{k}"] = held[name]
        file["layers/dense/vars/0"] = random(3, 2)
    read = read_keras(tmp_path / "a.weights.h5")
    np.testing.assert_array_equal(read.layers[0].w_h, held["recurrent_kernel"])
    assert "a file of weights does not hold" in read.left_out[0]
    assert "'layers/dense/vars'" in read.left_out
    with h5py.File(tmp_path / "a.weights.h5", "a") as file:
        for k, name in enumerate(held):
            file[f"layers/lstm_1/cell/vars/{k}"] = held[name]
    with pytest.raises(ValueError, match="with LSTMs at 'layers/lstm/cell/vars', 'layers/lstm_1/cell/vars'"):
        read_keras(tmp_path / "a.weights.h5")
    assert read_keras(tmp_path / "a.weights.h5", prefix="layers/lstm_1/cell/vars").layers[0].hidden == 3


def plain(path):
    arrays = {f"lstm/lstm_cell/{key}:0": array for key, array in lstm_weights(4, 3).items()}
    legacy(path, [("LSTM", lstm_config("lstm", 3))], {"lstm": arrays})
    return "model_weights/lstm/lstm/lstm_cell/bias:0"


def external_link(file, name, other):
    del file[name]
    file[name] = h5py.ExternalLink(other, "secret")


def soft_link(file, name, other):
    del file[name]
    file[name] = h5py.SoftLink("/model_weights")


def external_storage(file, name, other):
    del file[name]
    file.create_dataset(name, (12,), "f4", external=[(str(other), 0, 48)])


def virtual(file, name, other):
    del file[name]
    layout = h5py.VirtualLayout((12,), "f4")
    layout[:] = h5py.VirtualSource(str(other), "secret", shape=(12,))
    file.create_virtual_dataset(name, layout)


def cycle(file, name, other):
    file["model_weights/lstm/again"] = file["model_weights"]


def huge(file, name, other):
    del file[name]
    file.create_dataset(name, (2**36,), "f4", chunks=(2**20,), compression="gzip")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (external_link, "has a link .* to another place or file, and links are not followed"),
        (soft_link, "has a link .* to another place or file, and links are not followed"),
        (external_storage, "has its array .* in another file, and other files are not read"),
        (virtual, "has its array .* in another file, and other files are not read"),
        (cycle, "has groups that contain each other"),
        (huge, "claims more than 16 times its size"),
    ],
)
def test_what_reaches_out_of_a_file_is_refused(change, said, tmp_path):
    name = plain(tmp_path / "a.h5")
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["secret"] = random(12)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        change(file, name, tmp_path / "secret.h5")
    with pytest.raises(ValueError, match=f"a.h5 {said}") as caught:
        read_keras(tmp_path / "a.h5")
    assert "\n" not in str(caught.value)


def test_sizes_that_a_configuration_claims_take_no_memory(tmp_path):
    plain(tmp_path / "a.h5")
    arrays = {f"lstm/lstm_cell/{key}:0": array for key, array in lstm_weights(4, 3).items()}
    legacy(tmp_path / "a.h5", [("LSTM", lstm_config("lstm", 2**31 - 1))], {"lstm": arrays})
    with pytest.raises(ValueError, match="layer 'lstm' has units=2147483647, but its weights are for 3"):
        read_keras(tmp_path / "a.h5")


def test_damaged_files_are_refused_in_one_line(tmp_path):
    plain(tmp_path / "good.h5")
    data = (tmp_path / "good.h5").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(6):
        mutant = bytearray(data)
        for place in rng.integers(0, 4000, 40):
            mutant[place] = rng.integers(256)
        (tmp_path / "bad.h5").write_bytes(mutant)
        try:
            read_keras(tmp_path / "bad.h5")
        except ValueError as error:
            assert "\n" not in str(error)  # noqa: PT017
    with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
        archive.writestr("config.json", "[" * 100_000)
        archive.write(tmp_path / "good.h5", "model.weights.h5")
    with pytest.raises(ValueError, match="its configuration is not JSON"):
        read_keras(tmp_path / "a.keras")


def test_one_flipped_bit_of_a_keras_file_is_refused(tmp_path):
    held = lstm_weights(4, 3)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        for k, name in enumerate(held):
            file[f"layers/lstm/cell/vars/{k}"] = held[name]
    config = {
        "class_name": "Sequential",
        "config": {"name": "m", "layers": [{"class_name": "LSTM", "config": lstm_config("lstm", 3)}]},
    }
    with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.write(tmp_path / "w.h5", "model.weights.h5")
    np.testing.assert_array_equal(read_keras(tmp_path / "a.keras").layers[0].w_x, held["kernel"])
    data = bytearray((tmp_path / "a.keras").read_bytes())
    place = data.find(held["kernel"].tobytes()[:16])
    data[place] ^= 1
    (tmp_path / "a.keras").write_bytes(data)
    with pytest.raises(ValueError, match="Bad CRC-32"):
        read_keras(tmp_path / "a.keras")


def test_neither_keras_nor_code_in_the_file_runs(tmp_path):
    plain(tmp_path / "a.h5")
    code = """
import sys
from jax_lstm.interop import read_keras
assert len(read_keras(sys.argv[1]).layers) == 1
assert not {"keras", "h5py", "tensorflow"} & sys.modules.keys()
"""
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.h5")], check=True, env=os.environ | {"JAX_PLATFORMS": "cpu"}
    )
