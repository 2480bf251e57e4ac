"""Files of arrays and facts: what comes back, and what is refused."""

from __future__ import annotations

import math
import re

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from jax_lstm import checkpoint
from jax_lstm.checkpoint import Content, kind_of, load_arrays, save_arrays

KIND = "tests.model"
ARRAYS = {
    "half": np.array([[1, 2]], jnp.bfloat16),
    "weights": np.arange(6.0).reshape(2, 3),
    "count": np.array(3),
    "flags": np.array([True, False]),
    "empty": np.zeros((0, 4), np.float32),
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.safetensors"
    save_arrays(path, Content({"season": [12, None], "name": "é"}, ARRAYS), kind=KIND, version=3, about="a model")
    return path


def test_it_comes_back_to_the_bit(path):
    facts, arrays = load_arrays(path, kind=KIND, version=3)
    assert facts == {"season": [12, None], "name": "é"}
    assert {name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()} == {
        name: (array.dtype, array.shape, array.tobytes()) for name, array in ARRAYS.items()
    }
    assert kind_of(path) == KIND


def rewritten(path, arrays=None, **metadata):
    """The same file with other arrays or other metadata."""
    with safe_open(path, "np") as file:
        held = file.metadata() | metadata
    save_file(load_file(path) if arrays is None else arrays, path, held)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: load_arrays(path, kind="other", version=3), "is of the kind 'tests.model', expected 'other'"),
        (lambda path: load_arrays(path, kind=KIND, version=4), "has version 3 of the format, expected 4"),
        (lambda path: checkpoint.load(path), "is of the kind 'tests.model', expected 'jax_lstm'"),
        (lambda path: rewritten(path, load_file(path) | {"weights": np.ones((2, 3))}), "SHA-256"),
        (lambda path: rewritten(path, load_file(path) | {"more": np.zeros(0)}), "does not hold what it describes"),
        (
            lambda path: rewritten(path, load_file(path) | {"weights": ARRAYS["weights"].reshape(3, 2)}),
            "does not hold what it describes",
        ),
        (lambda path: rewritten(path, sha256=""), "SHA-256"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "is not a complete safetensors file"),
        (lambda path: path.write_bytes(path.read_bytes() + b"\0"), "is not a complete safetensors file"),
        (lambda path: path.write_bytes((1 << 23).to_bytes(8, "little") + b" " * (1 << 24)), "is not a complete"),
        (lambda path: path.write_bytes((1 << 24).to_bytes(8, "little") + b" " * (1 << 24)), "has a header of"),
    ],
)
def test_what_is_damaged_or_of_another_kind_is_refused(path, change, message):
    def read():
        change(path)
        load_arrays(path, kind=KIND, version=3)

    with pytest.raises(ValueError, match=message) as caught:
        read()
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("facts", "arrays", "message"),
    [
        ({"a": math.nan}, {}, r"facts\['a'\] is nan"),
        ({"a": (1,)}, {}, r"facts\['a'\] is a tuple"),
        ([], {}, "facts is a list, expected a dict"),
        ({}, {"w": np.array([math.inf])}, "the array 'w' has values that are not finite"),
        ({}, {"w": np.array([math.nan], jnp.bfloat16)}, "the array 'w' has values that are not finite"),
        ({}, {"w": np.array(["text"])}, "the array 'w' is <U4, expected one of"),
        ({"a": "x" * (1 << 23)}, {}, "expected at most 8,388,608: shorten its text"),
    ],
)
def test_what_cannot_come_back_is_refused_on_writing(tmp_path, facts, arrays, message):
    with pytest.raises((ValueError, TypeError), match=message):
        save_arrays(tmp_path / "a.safetensors", Content(facts, arrays), kind=KIND, version=1)
    assert list(tmp_path.iterdir()) == []


def test_values_that_are_not_finite_are_refused_on_reading(path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint._container, "_is_finite", lambda array: True)
        save_arrays(path, Content({}, {"w": np.array([1.0, math.nan])}), kind=KIND, version=1)
    with pytest.raises(ValueError, match=re.escape(f"{path} has values that are not finite, in w")):
        load_arrays(path, kind=KIND, version=1)


def test_other_files_have_no_kind(tmp_path):
    path = tmp_path / "a"
    for data in (
        b"",
        b"[" * 5000,
        (4000).to_bytes(8, "little") + b"[" * 4000,
        b"\xff" * 20,
        b"\x02" + bytes(7) + b"{}",
    ):
        path.write_bytes(data)
        assert kind_of(path) is None
