"""The frameworks that weights move from and to: skipped by name where they are missing, but in CI, where all must be there."""

import importlib
import os

import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")  # read by Keras when it is imported


def peer(name: str):
    """The module `name`; without it the test is skipped, or fails where the environment variable CI is set."""
    if os.environ.get("CI"):
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"{name} is not installed: pip install 'jax_lstm[peers]'")
