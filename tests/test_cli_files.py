"""`jax-lstm convert` and `show`: every format gives back what went in, to the bit, and the frameworks run it."""

from __future__ import annotations

import io
import stat
import subprocess
import sys
import tracemalloc
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from peers import assert_close, assert_same_bits, lenient, peer, random

from jax_lstm import Clip, Readout, checkpoint, init, init_network, network, readout
from jax_lstm.checkpoint import Checkpoint
from jax_lstm.cli import main


def filled(make, dtype="float32"):
    """What `make()` would return, with random arrays throughout."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(jnp.dtype(dtype)), jax.eval_shape(make))


def made(dtype="float32", **options) -> Checkpoint:
    """Two layers and a readout."""

    def make():
        layers = init_network(jax.random.key(0), 3, [4, 4], **options)
        width = options.get("projection", 4) * (2 if options.get("bidirectional") else 1)
        return layers, Readout(jnp.zeros((width, 2)), jnp.zeros(2))

    return Checkpoint(*filled(make, dtype))


def run(capsys, *arguments, code=0):
    with lenient():
        assert main([*map(str, arguments)]) == code
    return capsys.readouterr()


FRAMEWORK = {".pt": "torch", ".onnx": "onnx", ".keras": "keras", ".h5": "keras"}

# Keras's own, on NumPy 2
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


def there_and_back(tmp_path, capsys, held, suffix):
    if suffix in FRAMEWORK:
        peer(FRAMEWORK[suffix])
    checkpoint.save(tmp_path / "a.safetensors", *held)
    there = run(capsys, "convert", tmp_path / "a.safetensors", tmp_path / f"b{suffix}")
    back = run(capsys, "convert", tmp_path / f"b{suffix}", tmp_path / "c.safetensors")
    assert len(list(tmp_path.iterdir())) == 3
    got = checkpoint.load(tmp_path / "c.safetensors")
    assert_same_bits(got[:2], held[:2])
    return got, there, back


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pt"])
def test_every_dtype_comes_back_to_the_bit(tmp_path, capsys, suffix, dtype):
    there_and_back(tmp_path, capsys, made(dtype, bidirectional=True), suffix)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_every_variant_and_an_ensemble_come_back(tmp_path, capsys, suffix):
    held = made(bidirectional=True, peephole=True, projection=4, norm=True, clip=Clip(cell=2.0, gates=5), bias=False)
    got, there, _ = there_and_back(tmp_path, capsys, held._replace(metadata={"unit": "mm"}), suffix)
    assert got.metadata == {"unit": "mm"}
    assert there.err == ""
    for path in tmp_path.iterdir():
        path.unlink()
    ensemble = jax.tree.map(lambda leaf: np.stack([leaf, 2 * leaf]), made(diagonal=True, coupled=True)[:2])
    there_and_back(tmp_path, capsys, Checkpoint(*ensemble), suffix)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".onnx", {"bidirectional": True, "bias": False}),
        (".onnx", {"coupled": True, "peephole": True, "clip": Clip(gates=2.0)}),
        (".pt", {"projection": 3}),
        (".keras", {"bidirectional": True, "bias": False}),
        (".h5", {}),
    ],
)
def test_frameworks_give_back_to_the_bit(tmp_path, capsys, suffix, options):
    _, there, _ = there_and_back(tmp_path, capsys, made(**options)._replace(metadata={"unit": "mm"}), suffix)
    assert there.err == f"jax-lstm: {tmp_path / f'b{suffix}'}: left out metadata\n"


def test_keras_runs_what_was_written(tmp_path, capsys):
    keras, held, xs = peer("keras"), made("float32", bidirectional=True), random(5, 2, 3)
    there_and_back(tmp_path, capsys, held, ".keras")
    with lenient():
        theirs = np.asarray(keras.saving.load_model(tmp_path / "b.keras", compile=False)(np.swapaxes(xs, 0, 1)))
    assert_close(np.swapaxes(theirs, 0, 1), np.asarray(readout(held.readout, network(held.layers, xs)[1])))


def test_torch_runs_what_was_written(tmp_path, capsys):
    torch, held, xs = peer("torch"), made("float32", bidirectional=True), random(5, 2, 3)
    there_and_back(tmp_path, capsys, held, ".pt")

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = torch.nn.LSTM(3, 4, 2, bidirectional=True)
            self.readout = torch.nn.Linear(8, 2)

    model = Model()
    model.load_state_dict(torch.load(tmp_path / "b.pt", weights_only=True))
    with torch.no_grad():
        theirs = model.readout(model.lstm(torch.from_numpy(xs))[0]).numpy()
    assert_close(theirs, np.asarray(readout(held.readout, network(held.layers, xs)[1])))


def test_what_a_state_dict_holds_besides_is_named(tmp_path, capsys):
    torch = peer("torch")
    weights = {f"net.{name}": value for name, value in torch.nn.LSTM(2, 3).state_dict().items()} | {
        "head.weight": torch.ones(1, 3)
    }
    torch.save(weights, tmp_path / "a.pt")
    refused = run(capsys, "convert", tmp_path / "a.pt", tmp_path / "b.npz", code=2)
    assert (
        refused.err
        == f"jax-lstm: {tmp_path / 'a.pt'} holds more than its LSTM: head.weight; leave that out with --partial\n"
    )
    assert not (tmp_path / "b.npz").exists()
    done = run(capsys, "convert", "--partial", tmp_path / "a.pt", tmp_path / "b.npz")
    assert done.err == f"jax-lstm: {tmp_path / 'a.pt'}: left out head.weight\n"
    assert done.out == f"{tmp_path / 'b.npz'}: 1 layer(s), 72 parameters\n"
    assert 'left out: ["head.weight"]' in run(capsys, "show", tmp_path / "a.pt").out


class Sends:
    def __reduce__(self):
        return print, ("executed",)


def refusal(capsys, path):
    """The one line that `show` prints of a file that it refuses: nothing executed, no other program's message."""
    done = run(capsys, "show", path, code=2)
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert done.err.startswith(f"jax-lstm: {path}")
    for leaked in ("\x1b", "weights_only", "safe_mode", "File not found", "deserialize", "arbitrary code"):
        assert leaked not in done.err
    return done.err


def test_nothing_executes(tmp_path, capsys):
    torch = peer("torch")
    torch.save({"weight_ih_l0": Sends()}, tmp_path / "a.pt")
    assert "holds an object of print, and objects are not read" in refusal(capsys, tmp_path / "a.pt")
    torch.save(torch.nn.LSTM(2, 3), tmp_path / "a.pt")
    assert "holds an object of torch.nn.modules.rnn.LSTM, and objects are not read" in refusal(
        capsys, tmp_path / "a.pt"
    )
    np.savez(tmp_path / "a.npz", jax_lstm=np.array([Sends()], object))
    assert "has dtype object, expected numbers or text" in refusal(capsys, tmp_path / "a.npz")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", *FRAMEWORK])
def test_a_truncated_file_is_refused_in_our_words(tmp_path, capsys, suffix):
    if suffix in FRAMEWORK:
        peer(FRAMEWORK[suffix])
    checkpoint.save(tmp_path / "a.safetensors", made().layers)
    path = tmp_path / f"b{suffix}"
    run(capsys, "convert", tmp_path / "a.safetensors", path)
    data = path.read_bytes()
    for size in (len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        refusal(capsys, path)


def test_a_keras_model_of_other_peoples_layers_is_refused_in_our_words(tmp_path, capsys):
    keras = peer("keras")
    with lenient():
        keras.Sequential([keras.Input((None, 3)), keras.layers.Lambda(lambda x: x), keras.layers.LSTM(2)]).save(
            tmp_path / "a.keras"
        )
    assert "has layers that are not Keras's own" in refusal(capsys, tmp_path / "a.keras")


def claims(path, shape, data=b"", compress=zipfile.ZIP_STORED):
    """A `.npz` file of one array whose header states a shape, whatever follows."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", compress) as archive:
        archive.writestr("jax_lstm.npy", header.getvalue() + data)


def test_an_npz_file_takes_no_more_memory_than_a_multiple_of_its_size(tmp_path, capsys):
    path = tmp_path / "a.npz"
    cases = [
        ((2**38,), bytes(7000), zipfile.ZIP_STORED, "states 1,099,511,627,776 bytes, but has 7,000"),
        ((2**22,), bytes(2**24), zipfile.ZIP_DEFLATED, "expected at most 16 times its size"),
        ((-1, -4), bytes(16), zipfile.ZIP_STORED, "is not a complete .npz file"),
        ((4,), bytes(16), zipfile.ZIP_BZIP2, "compressed by method 12, expected stored or deflated"),
    ]
    for shape, data, compress, words in cases:
        claims(path, shape, data, compress)
        tracemalloc.start()
        line = refusal(capsys, path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert words in line
        assert peak < 16 * path.stat().st_size + 2**20  # and what the program itself takes


def test_a_state_dict_takes_no_more_memory_than_a_multiple_of_its_size(tmp_path, capsys):
    torch = peer("torch")
    huge = torch.zeros(1).expand(4 * 2**20, 2**20)  # one number, repeated along both axes
    torch.save({"weight_ih_l0": huge, "weight_hh_l0": huge}, tmp_path / "a.pt")
    assert "expected at most 16 times its size" in refusal(capsys, tmp_path / "a.pt")


def test_onnx_operators_besides_the_lstm_need_partial(tmp_path, capsys):
    onnx = peer("onnx")
    run_layers = made()
    checkpoint.save(tmp_path / "a.safetensors", *run_layers[:2])
    run(capsys, "convert", tmp_path / "a.safetensors", tmp_path / "b.onnx")
    model = onnx.load(tmp_path / "b.onnx")
    model.graph.node.append(onnx.helper.make_node("Sigmoid", ["ys"], ["zs"], "squash"))
    model.graph.output[0].name = "zs"
    onnx.save(model, tmp_path / "b.onnx")
    refused = run(capsys, "convert", tmp_path / "b.onnx", tmp_path / "c.npz", code=2)
    message = "holds more than its LSTM: Sigmoid 'squash'; leave that out with --partial"
    assert refused.err == f"jax-lstm: {tmp_path / 'b.onnx'} {message}\n"
    done = run(capsys, "convert", "--partial", tmp_path / "b.onnx", tmp_path / "c.safetensors")
    assert done.err == f"jax-lstm: {tmp_path / 'b.onnx'}: left out Sigmoid 'squash'\n"
    assert_same_bits(checkpoint.load(tmp_path / "c.safetensors")[:2], run_layers[:2])


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pt", ".onnx", ".keras"])
def test_a_private_file_stays_private(tmp_path, capsys, suffix):
    if suffix in FRAMEWORK:
        peer(FRAMEWORK[suffix])
    checkpoint.save(tmp_path / "a.safetensors", made().layers)
    path = tmp_path / f"b{suffix}"
    path.touch(0o600)
    run(capsys, "convert", tmp_path / "a.safetensors", path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_keras_layers_that_compute_something_else_are_refused(tmp_path, capsys):
    keras = peer("keras")
    layers = keras.layers
    for refused, words in (
        ([layers.LSTM(2, activation="relu")], "activation='relu', expected 'tanh'"),
        ([layers.LSTM(2, go_backwards=True)], "go_backwards=True, expected False"),
        ([layers.Bidirectional(layers.LSTM(2), merge_mode="sum")], "merge_mode='sum', expected 'concat'"),
        ([layers.GRU(2)], "the model has no LSTM layer, it has GRU"),
        ([layers.Bidirectional(layers.GRU(2))], "the model has no LSTM layer, it has Bidirectional"),
        (
            [layers.LSTM(2), layers.Dense(1, activation="relu", name="head")],
            "holds more than its LSTM: Dense 'head'; leave",
        ),
        (
            [layers.LSTM(2), layers.Dense(2), layers.Dense(1, name="second")],
            "holds more than its LSTM: Dense 'second'; leave",
        ),
        ([layers.Masking(name="mask"), layers.LSTM(2)], "holds more than its LSTM: Masking 'mask'; leave"),
        ([layers.LSTM(2, return_sequences=True), layers.ReLU(), layers.LSTM(2)], "2 LSTM layers that are no stack"),
    ):
        with lenient():
            keras.Sequential([keras.Input((None, 3)), *refused]).save(tmp_path / "a.keras")
        done = run(capsys, "convert", tmp_path / "a.keras", tmp_path / "b.npz", code=2)
        assert words in done.err
        assert done.err.count("\n") == 1
        assert not (tmp_path / "b.npz").exists()


def test_what_cannot_be_read_or_written_is_said_in_one_line(tmp_path, capsys):
    good = tmp_path / "good.safetensors"
    checkpoint.save(good, made(norm=True).layers)
    old = tmp_path / "old.pt"
    old.write_bytes(b"old")
    cases = [
        (("convert", good, tmp_path / "a.txt"), "has the suffix '.txt', expected one of .safetensors"),
        (("show", tmp_path / "none.npz"), "No such file"),
        (("convert", good, old), "has norm, which the torch.nn.LSTM format cannot hold"),
        (("convert", good, tmp_path / "no" / "a.npz"), "No such file"),
    ]
    for suffix in (".safetensors", ".npz", *FRAMEWORK):
        if suffix in FRAMEWORK:
            peer(FRAMEWORK[suffix])
        for name, data in (("empty", b""), ("text", b"a line\nand another\n"), ("zip", b"PK\x03\x04" + bytes(40))):
            (tmp_path / f"{name}{suffix}").write_bytes(data)
            cases.append((("show", tmp_path / f"{name}{suffix}"), ""))
    before = sorted(tmp_path.iterdir())
    for arguments, words in cases:
        done = run(capsys, *arguments, code=2)
        assert done.out == ""
        assert done.err.startswith("jax-lstm: ")
        assert words in done.err
        assert done.err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before
    assert old.read_bytes() == b"old"


def test_show_prints_a_table(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")

    def make():
        key = jax.random.key(0)
        first = init_network(key, 3, [5], bidirectional=True, coupled=True)
        last = init(key, 4, 6, peephole=True, projection=2, bias=False, clip=Clip(cell=3.0))
        return *first, init(key, 10, 4, diagonal=True), last

    layers = filled(make)
    checkpoint.save(tmp_path / "a.safetensors", layers, Readout(np.ones((2, 1), "float64")), {"series": "Zürich"})
    lines = [
        line.split() for line in run(capsys, "show", tmp_path / "a.safetensors").out.replace("│", " ").splitlines()
    ]
    for row in (
        "0 forward coupled 3 5 5 135 float32",
        "0 backward coupled 3 5 5 135 float32",
        "1 diagonal 10 4 4 192 float32",
        "2 peephole, projection, clip cell 3, no bias 4 6 2 174 float32",
        "readout linear, no bias 2 1 2 float64",
        "all 638",
        'metadata: {"series": "Zürich"}',
    ):
        assert row.split() in lines, row


def test_show_draws_every_layer(tmp_path, capsys):
    checkpoint.save(tmp_path / "a.safetensors", made(bidirectional=True).layers)
    run(capsys, "show", tmp_path / "a.safetensors", "--plot", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_it_is_a_command(tmp_path):
    checkpoint.save(tmp_path / "a.safetensors", made().layers)
    command = [sys.executable, "-m", "jax_lstm", "show", str(tmp_path / "a.safetensors")]
    assert "float32" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
