"""`jax-lstm convert` and `show`: every format gives back what went in, to the bit, and the frameworks run it."""

from __future__ import annotations

import stat
import subprocess
import sys

import jax
import numpy as np
import pytest
from cli_files import FRAMEWORK, filled, made, run
from peers import assert_close, assert_same_bits, lenient, peer, random

from jax_lstm import Clip, Readout, checkpoint, init, init_network, network, readout
from jax_lstm.checkpoint import Checkpoint

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


def test_show_prints_a_table(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")

    def make():
        key = jax.random.key(0)
        first = init_network(key, 3, [5], bidirectional=True, coupled=True)
        last = init(key, 4, 6, peephole=True, projection=2, bias=False, clip=Clip(cell=3.0))
        return *first, init(key, 10, 4, diagonal=True), init(key, 4, 4, heads=2, exponential=True), last

    layers = filled(make)
    checkpoint.save(tmp_path / "a.safetensors", layers, Readout(np.ones((2, 1), "float64")), {"series": "Zürich"})
    lines = [
        line.split() for line in run(capsys, "show", tmp_path / "a.safetensors").out.replace("│", " ").splitlines()
    ]
    for row in (
        "0 forward coupled 3 5 5 135 float32",
        "0 backward coupled 3 5 5 135 float32",
        "1 diagonal 10 4 4 192 float32",
        "2 2 heads, exponential 4 4 4 112 float32",
        "3 peephole, projection, clip cell 3, no bias 4 6 2 174 float32",
        "readout linear, no bias 2 1 2 float64",
        "all 750",
        'metadata: {"series": "Zürich"}',
    ):
        assert row.split() in lines, row


def test_show_draws_every_layer(tmp_path, capsys):
    checkpoint.save(tmp_path / "a.safetensors", made(bidirectional=True).layers)
    run(capsys, "show", tmp_path / "a.safetensors", "--plot", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_one_lstm_of_several_by_its_path(tmp_path, capsys):
    torch = peer("torch")
    model = torch.nn.ModuleDict({"encoder": torch.nn.LSTM(2, 3), "decoder": torch.nn.LSTM(3, 3)})
    torch.save(model.state_dict(), tmp_path / "a.pt")
    assert "2 LSTMs, at 'encoder', 'decoder': choose one" in run(capsys, "show", tmp_path / "a.pt", code=2).err
    run(capsys, "convert", "--prefix", "decoder", "--partial", tmp_path / "a.pt", tmp_path / "b.safetensors")
    assert_same_bits(checkpoint.load(tmp_path / "b.safetensors").layers[0].w_x, model.decoder.weight_ih_l0.detach().T)
    refused = run(capsys, "show", "--prefix", "decoder", tmp_path / "b.safetensors", code=2)
    assert "has no LSTMs by path" in refused.err


def test_it_is_a_command(tmp_path):
    checkpoint.save(tmp_path / "a.safetensors", made().layers)
    command = [sys.executable, "-m", "jax_lstm", "show", str(tmp_path / "a.safetensors")]
    assert "float32" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
