"""Checkpoints that are damaged, foreign or false: none is accepted, and memory stays below a multiple of the size."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import struct
import tracemalloc
from functools import partial

import jax
import numpy as np
import pytest
from checkpoint_files import PLAIN, VARIANTS, bits, described, filled
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save as to_bytes

from jax_lstm import checkpoint, init_network
from jax_lstm.checkpoint import load, save


@pytest.fixture(scope="module")
def shapes():
    """Each variant's layers, as shapes alone: nothing is computed."""
    return {
        name: jax.eval_shape(partial(init_network, jax.random.key(0), 3, [4, 2], **options))
        for name, options in VARIANTS.items()
    }


def signed(description, arrays):
    """A file whose checksum is right, whatever it says: what a liar would write, not an accident."""
    text = description if isinstance(description, str) else json.dumps(description)
    digest = hashlib.sha256(text.encode() + b"".join(arrays[name].tobytes() for name in sorted(arrays))).hexdigest()
    return to_bytes(arrays, {"jax_lstm": text, "sha256": digest})


def header_of(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def edited(description, *path, to):
    description = json.loads(json.dumps(description))
    node = description
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = to
    return description


def test_other_files_are_refused_in_one_line(tmp_path):
    path = tmp_path / "a.safetensors"
    save(path, (PLAIN,))
    good, said, arrays = path.read_bytes(), described(path), load_file(path)
    bomb = {"layers.0.w_x": {"dtype": "F32", "shape": [2**40, 2**20], "data_offsets": [0, 2**62]}}
    empty_bomb = {"dtype": "float32", "shape": [0, 2**62]}
    cases = {
        "not a complete safetensors file": [
            b"",
            good[:-1],
            good[:100],
            good[:7],
            good + b"\0",
            b"PK\x03\x04" * 9,
            struct.pack("<Q", 2**63) + b"{}",
            header_of(bomb),
            header_of(b"[" * 100_000),
            header_of(b'{"__metadata__":' * 10_000),
            header_of({"a": {"shape": [10**30]}}),
        ],
        "has no description": [to_bytes(arrays), to_bytes(arrays, {"format": "pt"}), header_of({"__metadata__": None})],
        "has version 2 of the format": [signed(edited(said, "version", to=2), arrays)],
        "is of the kind 'other', expected 'jax_lstm'": [signed({**said, "format": "other"}, arrays)],
        "is damaged": [
            signed({"version": 1}, arrays),
            *(
                signed({key: value for key, value in said.items() if key != left_out}, arrays)
                for left_out in ("version", "format")
            ),
            to_bytes(arrays, {"jax_lstm": json.dumps(said)}),
            to_bytes(arrays, {"jax_lstm": json.dumps(said), "sha256": "0" * 64}),
            to_bytes(arrays, {"jax_lstm": "[" * 50_000, "sha256": ""}),
            to_bytes(arrays | {"more": np.ones(3, np.int8)}, {"jax_lstm": json.dumps(said), "sha256": ""}),
            to_bytes(arrays, {"jax_lstm": "[]", "sha256": ""}),
            to_bytes(arrays, {"jax_lstm": "{}", "sha256": ""}),
        ],
        "does not hold what it describes": [
            signed(one, arrays)
            for one in (
                *(
                    {key: value for key, value in said.items() if key != left_out}
                    for left_out in said
                    if left_out not in ("version", "format")
                ),
                edited(said, "layers", 0, "clip", to={"type": "Clip", "cell": math.inf, "gates": None}),
                edited(said, "layers", 0, to={"type": "LSTMParams"}),
                edited(said, "metadata", to=3),
                {**said, "layers": []},
                {**said, "layers": 3},
                {**said, "readout": {"type": "os.system"}},
                {**said, "extra": 1},
                {**said, "members": [1]},
                edited(said, "layers", 0, "features", to=4),
                edited(said, "layers", 0, "gates", to=["forget", "input", "candidate", "output"]),
                edited(said, "layers", 0, "type", to="Bidirectional"),
                edited(said, "layers", 0, "type", to="DiagonalParams"),
                edited(said, "layers", 0, "b", to=None),
                edited(said, "layers", 0, "w_x", to=[[1.0]]),
                edited(said, "layers", 0, "coupled", to=3),
                edited(said, "layers", 0, "clip", to={"type": "Clip", "cell": float("nan"), "gates": None}),
                edited(said, "layers", 0, "norm", to=said["layers"][0]),
                edited(said, "layers", 0, "w_h", "dtype", to="float64"),
                edited(said, "layers", 0, "peephole", to=empty_bomb),
                edited(said, "metadata", to={"rate": float("inf")}),
            )
        ]
        + [
            signed(said, arrays | {"more": np.ones(3, np.float32)}),
            signed(said, {"layers.0.w_x": arrays["layers.0.w_x"]}),
        ],
    }
    for message, files in cases.items():
        for position, data in enumerate(files):
            path.write_bytes(data)
            with pytest.raises(ValueError, match=message) as caught:
                load(path)
            assert "\n" not in str(caught.value), (message, position)
            assert str(caught.value).startswith(str(path))


def mutations(good, other, rng):
    """One damaged file after another: flipped bits, cuts, splices with another valid file, edited headers."""
    size = 8 + int.from_bytes(good[:8], "little")
    while True:
        data = bytearray(good)
        kind = rng.integers(7)
        if kind == 0:
            for where in rng.integers(len(data), size=rng.integers(1, 4)):
                data[where] ^= 1 << rng.integers(8)
        elif kind == 1:
            del data[rng.integers(len(data)) :]
        elif kind == 2:
            start = rng.integers(len(data))
            del data[start : start + rng.integers(1, 64)]
        elif kind == 3:
            cut = rng.integers(min(len(data), len(other)))
            data[cut:] = other[cut:]
        elif kind == 4:  # one digit of the header: shapes, offsets, sizes, the checksum
            digits = [i for i in range(8, size) if chr(data[i]).isdigit()]
            data[rng.choice(digits)] = ord(str(rng.integers(10)))
        elif kind == 5:  # a stretch of the header over another
            length, start, to = rng.integers(1, 40), rng.integers(8, size), rng.integers(8, size)
            data[to : to + length] = data[start : start + length]
        else:
            data[rng.integers(8) : 8] = rng.bytes(8)[: rng.integers(1, 9)]
        yield bytes(data)


def test_nothing_damaged_is_taken_for_right(tmp_path, shapes):
    """1,500 mutated files: each is refused by a ValueError, or holds to the bit what the whole file held."""
    rng = np.random.default_rng(0)
    path = tmp_path / "a.safetensors"
    counts = {"refused": 0, "unharmed": 0}
    for variant, dtype in (("plain", "float32"), ("everything", "bfloat16"), ("coupled", "float64")):
        files, truths = [], []
        for seed in (0, 1):
            layers = filled(shapes[variant], dtype, seed)
            save(path, layers, metadata={"seed": seed})
            files.append(path.read_bytes())
            truths.append((bits(layers), {"seed": seed}))
        changed = mutations(*files, rng)
        for _ in range(500):
            path.write_bytes(next(changed))
            try:
                got = load(path)
            except ValueError:
                counts["refused"] += 1
            else:
                assert (bits(got.layers), got.metadata) in truths
                counts["unharmed"] += 1
    assert counts["refused"] > 1250, counts


def test_the_library_would_not_have_noticed(tmp_path):
    """Why there is a checksum: safetensors itself reads flipped weights without a word."""
    path = tmp_path / "a.safetensors"
    save(path, (PLAIN,))
    data = bytearray(path.read_bytes())
    data[-1] ^= 0x40
    path.write_bytes(data)
    try:
        load_file(path)
    except SafetensorError:
        pytest.fail("safetensors checks its data now: the checksum has lost its reason")
    with pytest.raises(ValueError, match="SHA-256"):
        load(path)
    assert checkpoint.VERSION == 1


def nested(depth, key):
    """Objects in objects: a path in words to each of them would take memory quadratic in the depth."""
    inner = "text"
    for _ in range(depth):
        inner = {key: inner}
    return inner


def peak_of(path):
    """The most memory that reading a file takes, whether it is refused or not, in multiples of its size."""
    tracemalloc.start()
    try:
        with contextlib.suppress(ValueError):
            load(path)
        return tracemalloc.get_traced_memory()[1] / path.stat().st_size
    finally:
        tracemalloc.stop()


def test_no_file_takes_more_memory_than_a_multiple_of_its_size(tmp_path):
    """The multiple that the module's docstring states, for files that are made to take the most."""
    path = tmp_path / "a.safetensors"
    save(path, (PLAIN,))
    said, arrays = described(path), load_file(path)
    claims = {"layers.0.w_x": {"dtype": "F32", "shape": [2**20, 2**20], "data_offsets": [0, 2**42]}}
    for data in (
        header_of(claims | {"more": "x" * 10**5}),
        signed(edited(said, "metadata", to={"a": [[]] * 10**5}), {}),
        signed(edited(said, "metadata", to={"a": nested(400, "x" * 1000)}), arrays),
        signed(edited(said, "layers", to=[{}] * 10**5), {}),
        signed(edited(said, "layers", 0, "clip", to={str(number): {} for number in range(10**5)}), arrays),
        to_bytes({str(number): np.zeros(0, np.float32) for number in range(10**4)}, {"jax_lstm": "1"}),
    ):
        path.write_bytes(data)
        assert peak_of(path) < 64
