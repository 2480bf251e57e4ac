"""`jax-lstm convert` and `show` on files that they refuse: one line, in our words, nothing executed, bounded memory."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest
from cli_files import FRAMEWORK, made, run
from peers import lenient, peer

from jax_lstm import checkpoint

# Keras's own, on NumPy 2
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


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


def test_a_flipped_bit_in_a_zip_file_is_seen(tmp_path, capsys):
    peer("torch")
    checkpoint.save(tmp_path / "a.safetensors", made().layers)
    for suffix in (".npz", ".pt"):
        path = tmp_path / f"b{suffix}"
        run(capsys, "convert", tmp_path / "a.safetensors", path)
        weights = made().layers[0].w_x.T if suffix == ".pt" else made().layers[0].w_x
        data = bytearray(path.read_bytes())
        data[data.index(np.ascontiguousarray(weights).tobytes()[-8:])] ^= 1
        path.write_bytes(data)
        assert "Bad CRC-32" in refusal(capsys, path)


def test_names_in_a_file_do_not_control_the_terminal(tmp_path, capsys):
    checkpoint.save(tmp_path / "a.safetensors", made().layers, metadata={"\x1b[2J": "\x9b31m", "long": "x" * 10_000})
    done = run(capsys, "show", tmp_path / "a.safetensors")
    assert "\x1b" not in done.out
    assert "\x9b" not in done.out
    assert len(done.out) < 3000
    run(capsys, "show", tmp_path / "\x1b[2J.npz", code=2)


def test_a_platform_that_jax_does_not_have_is_refused_in_one_line(tmp_path):
    command = [sys.executable, "-m", "jax_lstm", "run", "1"]
    done = subprocess.run(
        command, env=os.environ | {"JAX_PLATFORMS": "bogus"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("jax-lstm: JAX cannot start: Unable to initialize backend 'bogus'")


def test_a_keras_model_with_code_of_its_own_is_refused_in_our_words(tmp_path, capsys):
    keras = peer("keras")
    with lenient():
        keras.Sequential([keras.Input((None, 3)), keras.layers.Lambda(lambda x: x), keras.layers.LSTM(2)]).save(
            tmp_path / "a.keras"
        )
    done = run(capsys, "convert", tmp_path / "a.keras", tmp_path / "b.npz", code=2)
    assert "holds more than its LSTM: Lambda 'lambda'" in done.err


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
        ((2**22,), bytes(2**24), zipfile.ZIP_DEFLATED, "expected at most 4 times its size"),
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


def test_an_npz_directory_that_lies_about_sizes_gains_nothing(tmp_path, capsys):
    """The directory states 100 bytes, and the member unpacks to 64 MB."""
    path = tmp_path / "a.npz"
    claims(path, (2**24,), bytes(2**26), zipfile.ZIP_DEFLATED)
    data = path.read_bytes()
    true_size = (2**26 + 128).to_bytes(4, "little")
    assert data.count(true_size) == 2  # in the member's header and in the directory
    path.write_bytes(data.replace(true_size, (100).to_bytes(4, "little")))
    tracemalloc.start()
    line = refusal(capsys, path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "is not a complete ZIP file" in line
    assert peak < 16 * path.stat().st_size + 2**20


@pytest.mark.parametrize(
    "header",
    ["{'descr': '<f4', 'shape': (9" + "9" * 50 + ",), 'fortran_order': False}", "(" * 3000, "{'a': 1", "\x00", "1 +"],
)
def test_headers_that_python_cannot_read_are_refused_in_our_words(tmp_path, capsys, header):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("jax_lstm.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode())
    assert "is not a complete .npz file of plain arrays" in refusal(capsys, path)


def test_a_state_dict_takes_no_more_memory_than_a_multiple_of_its_size(tmp_path, capsys):
    torch = peer("torch")
    huge = torch.zeros(1).expand(4 * 2**20, 2**20)  # one number, repeated along both axes
    torch.save({"weight_ih_l0": huge, "weight_hh_l0": huge}, tmp_path / "a.pt")
    assert "expected at most 4 times its size" in refusal(capsys, tmp_path / "a.pt")


def test_keras_layers_that_compute_something_else_are_refused(tmp_path, capsys):
    keras = peer("keras")
    layers = keras.layers
    for refused, words in (
        ([layers.LSTM(2, activation="relu")], "activation='relu', expected 'tanh'"),
        ([layers.LSTM(2, go_backwards=True)], "holds more than its LSTM: go_backwards=True"),
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
