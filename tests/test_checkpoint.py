"""Checkpoints: every variant and dtype to the bit, nothing damaged or foreign accepted, files replaced at once."""

from __future__ import annotations

import hashlib
import math
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checkpoint_files import PLAIN, VARIANTS, bits, described, filled
from safetensors import safe_open
from safetensors.numpy import load_file

from jax_lstm import Bidirectional, Clip, LSTMParams, Readout, init, init_network, network
from jax_lstm.checkpoint import Checkpoint, load, save

DTYPES = ["float16", "bfloat16", "float32", "float64"]


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


def test_the_same_content_gives_the_same_bytes(tmp_path):
    """Twenty times, as the order that safetensors gives metadata is random."""
    layer = filled(jax.eval_shape(partial(init, jax.random.key(0), 3, 4)), "float32")
    written = set()
    for _ in range(20):
        save(tmp_path / "a", (layer,), metadata={"note": "naïve \u2028 \x7f \t 中", "n": 1.5})
        written.add((tmp_path / "a").read_bytes())
    assert len(written) == 1
    assert load(tmp_path / "a").metadata["note"] == "naïve \u2028 \x7f \t 中"


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


def test_a_template_without_a_marker_is_refused_by_its_name(tmp_path):
    """Markers hold no arrays, so that only their place in the tree shows them."""
    marked = init(jax.random.key(0), 3, 4, heads=2, exponential=True)
    save(tmp_path / "a.safetensors", (marked,))
    with pytest.raises(ValueError, match=re.escape("layers.0.exponential is Exponential() in")):
        load(tmp_path / "a.safetensors", Checkpoint((marked._replace(exponential=None),)))


def test_a_template_never_rounds(tmp_path):
    layers = filled((init(jax.random.key(0), 1, 1),), "float64")
    save(tmp_path / "a.safetensors", layers)
    with jax.enable_x64(False), pytest.raises(ValueError, match="rounds to float32: enable jax_enable_x64"):
        load(tmp_path / "a.safetensors", Checkpoint(layers))
    with jax.enable_x64(True):
        assert bits(load(tmp_path / "a.safetensors", Checkpoint(layers)).layers) == bits(layers)


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
