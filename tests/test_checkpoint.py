"""Checkpoints: every variant and dtype to the bit, nothing damaged or foreign accepted, files replaced at once."""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
import tracemalloc
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file
from safetensors.numpy import save as to_bytes

from jax_lstm import Bidirectional, Clip, LSTMParams, Readout, checkpoint, init, init_network, network
from jax_lstm.checkpoint import Checkpoint, load, save

VARIANTS = {
    "plain": {},
    "no bias": {"bias": False},
    "peephole": {"peephole": True},
    "projection": {"projection": 2},
    "norm": {"norm": True},
    "coupled": {"coupled": True, "peephole": True},
    "diagonal": {"diagonal": True},
    "clipped": {"clip": Clip(cell=0.1, gates=3)},
    "both ways": {"bidirectional": True},
    "everything": {"bidirectional": True, "peephole": True, "projection": 3, "norm": True, "clip": Clip(gates=1e-300)},
}
DTYPES = ["float16", "bfloat16", "float32", "float64"]


def filled(tree, dtype, seed=0):
    """The same structure with arrays of every kind of bits: subnormals, infinities, negative zeros, NaN payloads."""
    rng = np.random.default_rng(seed)
    dtype = jnp.dtype(dtype)
    return jax.tree.map(
        lambda leaf: np.frombuffer(rng.bytes(leaf.size * dtype.itemsize), dtype).reshape(leaf.shape), tree
    )


def bits(tree):
    return jax.tree.structure(tree), [
        (leaf.dtype, leaf.shape, np.asarray(leaf).tobytes()) for leaf in jax.tree.leaves(tree)
    ]


@pytest.fixture(scope="module")
def shapes():
    """Each variant's layers, as shapes alone: nothing is computed."""
    return {
        name: jax.eval_shape(partial(init_network, jax.random.key(0), 3, [4, 2], **options))
        for name, options in VARIANTS.items()
    }


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_variant_comes_back_to_the_bit(tmp_path, shapes, dtype, x64):
    with jax.enable_x64(x64):
        for name, layers in shapes.items():
            out = jax.eval_shape(lambda layers: network(layers, jnp.ones((1, 3), jnp.float32))[1], layers).shape[-1]
            layers = filled(layers, dtype)
            weights = Readout(*filled((np.empty((out, 2)), np.empty(2)), dtype)) if name != "plain" else None
            save(tmp_path / "a.safetensors", layers, weights, {"variant": name})
            got = load(tmp_path / "a.safetensors")
            assert bits((got.layers, got.readout)) == bits((layers, weights)), name
            assert got.metadata == {"variant": name}
            assert all(isinstance(leaf, np.ndarray) and leaf.flags.writeable for leaf in jax.tree.leaves(got[:2]))


def test_an_ensemble_keeps_its_leading_axes_and_runs(tmp_path):
    layers = jax.vmap(lambda key: init_network(key, 3, [4], bidirectional=True))(jax.random.split(jax.random.key(0), 5))
    weights = Readout(jnp.ones((5, 8, 1)), jnp.zeros((5, 1)))
    save(tmp_path / "a.safetensors", layers, weights)
    got = load(tmp_path / "a.safetensors")
    assert bits(got) == bits(Checkpoint(layers, weights))
    assert described(tmp_path / "a.safetensors")["members"] == [5]
    run = jax.jit(jax.vmap(lambda layers: network(layers, jnp.ones((2, 3)))[1]))
    np.testing.assert_array_equal(run(layers), run(got.layers))


def described(path):
    with safe_open(path, "np") as file:
        return json.loads(file.metadata()["jax_lstm"])


def test_a_file_says_what_it_is_to_any_reader(tmp_path, shapes):
    layers = filled(shapes["everything"], "float32")
    save(tmp_path / "a.safetensors", layers, metadata={"unit": "mm"})
    said = described(tmp_path / "a.safetensors")
    assert (said["format"], said["version"], said["members"], said["metadata"]) == ("jax_lstm", 1, [], {"unit": "mm"})
    side = said["layers"][1]["backward"]
    assert said["layers"][1]["type"] == "Bidirectional"
    assert (side["type"], side["features"], side["hidden"], side["out"]) == ("LSTMParams", 6, 2, 3)
    assert side["gates"] == ["input", "forget", "candidate", "output"]
    assert side["clip"] == {"type": "Clip", "cell": None, "gates": 1e-300}
    assert side["norm"]["scale_x"] == {"dtype": "float32", "shape": [8]}
    assert set(said["about"]) >= {*LSTMParams._fields, "readout"}
    arrays = load_file(tmp_path / "a.safetensors")
    assert arrays["layers.1.backward.norm.scale_x"].tobytes() == layers[1].backward.norm.scale_x.tobytes()
    with safe_open(tmp_path / "a.safetensors", "np") as file:
        stored = file.metadata()
    # the checksum as the module's docstring says it, without its code
    whole = stored["jax_lstm"].encode() + b"".join(arrays[name].tobytes() for name in sorted(arrays))
    assert stored["sha256"] == hashlib.sha256(whole).hexdigest()


def test_a_template_gives_arrays_where_its_own_are(tmp_path):
    layers = (init(jax.random.key(0), 3, 4),)
    save(tmp_path / "a.safetensors", layers)
    shapes = jax.eval_shape(lambda: layers)
    device = jax.devices()[-1]
    for template in (shapes, jax.device_put(layers, device), jax.tree.map(np.asarray, layers)):
        got = load(tmp_path / "a.safetensors", Checkpoint(template))
        assert bits(got.layers) == bits(layers)
        assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(got[:2]))
    assert load(tmp_path / "a.safetensors", Checkpoint(jax.device_put(layers, device))).layers[0].w_x.devices() == {
        device
    }


@pytest.mark.parametrize(
    ("change", "leaf"),
    [
        (lambda p: (p._replace(w_h=p.w_h.astype(jnp.bfloat16)),), "layers.0.w_h is float32 (4, 16) in"),
        (lambda p: (p._replace(b=None),), "layers.0.b is float32 (16,) in"),
        (lambda p: (p._replace(clip=Clip(cell=2.0)),), "layers.0.clip is Clip(cell=1.0, gates=None) in"),
        (lambda p: (p, p), "layers.1.w_x is absent in"),
        (lambda p: (Bidirectional(p, p),), "layers.0.forward.w_x is absent in"),
        (lambda p: (init(jax.random.key(0), 3, 5, clip=p.clip),), "layers.0.w_x is float32 (3, 16) in"),
    ],
)
def test_a_template_that_differs_is_refused_by_the_name_of_the_leaf(tmp_path, change, leaf):
    params = init(jax.random.key(0), 3, 4, clip=Clip(cell=1.0))
    save(tmp_path / "a.safetensors", (params,))
    with pytest.raises(ValueError, match=re.escape(leaf)):
        load(tmp_path / "a.safetensors", Checkpoint(change(params)))


def test_a_template_never_rounds(tmp_path):
    layers = filled((init(jax.random.key(0), 1, 1),), "float64")
    save(tmp_path / "a.safetensors", layers)
    with jax.enable_x64(False), pytest.raises(ValueError, match="rounds to float32: enable jax_enable_x64"):
        load(tmp_path / "a.safetensors", Checkpoint(layers))
    with jax.enable_x64(True):
        assert bits(load(tmp_path / "a.safetensors", Checkpoint(layers)).layers) == bits(layers)


PLAIN = init(jax.random.key(0), 3, 4)
LOOP: dict = {}
LOOP["again"] = LOOP


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((PLAIN,), TypeError, "layers is a LSTMParams, expected a tuple"),
        (((),), TypeError, "layers is a tuple, expected a tuple of layers, at least one"),
        ((({"w_x": 1},),), TypeError, "layers[0].w_x is 1, an int, expected an array"),
        (((PLAIN._replace(w_x=None),),), TypeError, "layers[0].w_x is None"),
        (((PLAIN, PLAIN),), ValueError, "layers[1] takes 3 features, but layers[0] has 4"),
        (((PLAIN._replace(w_h=jnp.ones((3, 16))),),), ValueError, "layers[0].w_h has shape (3, 16), expected (4, 16)"),
        (((jax.tree.map(lambda x: x.astype(jnp.float8_e4m3fn), PLAIN),),), TypeError, "layers.0.w_x is float8_e4m3fn"),
        (((PLAIN._replace(w_x=jnp.ones((5, 3, 16))),),), ValueError, "expected the leading axes (5,) of layers[0].w_x"),
        (((PLAIN,), Readout(jnp.ones((2, 4, 1)))), ValueError, "readout has w and b of shapes [(2, 4, 1), None]"),
        (((PLAIN,), (jnp.ones((4, 1)), None)), TypeError, "readout is a tuple, expected Readout"),
        (((PLAIN,), Readout(jnp.ones((99, 1)))), ValueError, "readout.w has shape (99, 1), expected (4, outputs)"),
        (((PLAIN._replace(clip=Clip(cell=math.inf)),),), ValueError, "clip.cell is inf, expected a positive number"),
        (((PLAIN._replace(clip=Clip(gates=math.nan)),),), ValueError, "clip.gates is nan, expected a positive number"),
        (((PLAIN,), None, {"rate": math.nan}), ValueError, "metadata['rate'] is nan, expected a finite number"),
        (
            ((PLAIN,), None, {"a": [1, {"b": -math.inf}]}),
            ValueError,
            "metadata['a'][1]['b'] is -inf, expected a finite number",
        ),
        (((PLAIN,), None, {"scale": np.float32(1)}), TypeError, "metadata['scale'] is a float32, expected JSON"),
        (((PLAIN,), None, {"sizes": (1, 2)}), TypeError, "metadata['sizes'] is a tuple, expected JSON"),
        (((PLAIN,), None, {"names": {1: "a"}}), TypeError, "metadata['names'] has the key 1, expected strings as keys"),
        (((PLAIN,), None, LOOP), ValueError, "metadata is nested too deeply, or holds itself"),
    ],
)
def test_what_does_not_fit_is_not_written(tmp_path, arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        save(tmp_path / "a.safetensors", *arguments)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    save(path, (PLAIN,))
    before = path.read_bytes()

    def full(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        save(path, (PLAIN, init(jax.random.key(0), 4, 4)))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


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
        "is damaged": [
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
                {"version": 1},
                *(
                    {key: value for key, value in said.items() if key != left_out}
                    for left_out in said
                    if left_out != "version"
                ),
                edited(said, "layers", 0, "clip", to={"type": "Clip", "cell": math.inf, "gates": None}),
                edited(said, "layers", 0, to={"type": "LSTMParams"}),
                edited(said, "metadata", to=3),
                {**said, "layers": []},
                {**said, "layers": 3},
                {**said, "readout": {"type": "os.system"}},
                {**said, "extra": 1},
                {**said, "format": "other"},
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


def peak_of(path):
    """The most memory that a refused file takes, in multiples of its size."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=str(path)):
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
        signed(edited(said, "layers", to=[{}] * 10**5), {}),
        signed(edited(said, "layers", 0, "clip", to={str(number): {} for number in range(10**5)}), arrays),
        to_bytes({str(number): np.zeros(0, np.float32) for number in range(10**4)}, {"jax_lstm": "1"}),
    ):
        path.write_bytes(data)
        assert peak_of(path) < 64
