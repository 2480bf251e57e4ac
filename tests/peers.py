"""The frameworks that weights move from and to, and what every comparison with one of them needs."""

import importlib
import os
from contextlib import ExitStack

import jax
import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")  # read by Keras when it is imported

CLOSE = {"rtol": 1e-4, "atol": 2e-6}
"""For float32 over a few steps: the sums are the same, their order is not."""


def peer(name: str):
    """The module `name`; without it the test is skipped by name, or fails where the environment variable CI is set."""
    if os.environ.get("CI"):
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"{name} is not installed: pip install '.[peers]'")


def lenient() -> ExitStack:
    """JAX as it comes, for frameworks that cannot do without promotion of types and ranks."""
    stack = ExitStack()
    stack.enter_context(jax.numpy_dtype_promotion("standard"))
    stack.enter_context(jax.numpy_rank_promotion("allow"))
    return stack


def random(*shape, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def assert_same_bits(got, expected) -> None:
    """One structure, and in it arrays of one dtype, shape and content, the signs of zeros included."""
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for (path, one), other in zip(jax.tree.leaves_with_path(got), jax.tree.leaves(expected), strict=True):
        one, other, where = np.asarray(one), np.asarray(other), jax.tree_util.keystr(path)
        assert (one.dtype, one.shape) == (other.dtype, other.shape), where
        assert one.tobytes() == other.tobytes(), where


def assert_close(got, expected, **tolerance) -> None:
    """As `numpy.testing.assert_allclose`, for two trees."""
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for (path, one), other in zip(jax.tree.leaves_with_path(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, **(tolerance or CLOSE), err_msg=jax.tree_util.keystr(path))
