"""The compiled library: whether it can be used here, and its functions as targets of `jax.ffi`."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from typing import Any, cast

import jax
import numpy as np

from jax_lstm.schedules.kernels.cpu import built

SWITCH = "JAX_LSTM_NATIVE"
"""The environment variable that turns the kernel off, by `0`, or names the one instruction set that it may use; it is
read once, when the kernel is first asked for."""

FORWARD, BACKWARD = "jax_lstm_forward", "jax_lstm_backward"
DTYPES = {np.dtype("float32"): "float", np.dtype("float64"): "double"}
"""The dtypes that the kernel computes in, and what the names of its functions end in for each."""


def missing() -> str | None:
    """Why the kernel cannot be used here, or None if it can."""
    loaded = load()
    return loaded if isinstance(loaded, str) else None


def variant() -> str | None:
    """The instruction set in use on this processor, "avx512", "avx2" or "neon"; None where there is none."""
    return None if missing() else _loaded().jax_lstm_variant_float().decode()


def target(name: str, dtype: Any) -> str:
    """The name of a function for a dtype."""
    return f"{name}_{DTYPES[np.dtype(dtype)]}"


def units(dtype: Any) -> int:
    """The lanes of a vector."""
    return getattr(_loaded(), target("jax_lstm_units", dtype))()


def arguments() -> tuple[str, ...]:
    """The names of the arguments of both functions, in their order."""
    return tuple(_loaded().jax_lstm_arguments_float().decode().split())


def _loaded() -> ctypes.CDLL:
    """The library, to be called where `missing` gives no reason."""
    return cast(ctypes.CDLL, load())


@cache
def load() -> ctypes.CDLL | str:
    """The library with its targets registered, or why there is none."""
    if os.environ.get(SWITCH) == "0":
        return f"the environment variable {SWITCH} is 0"
    path = built.find()
    if isinstance(path, str):
        return _refused(path)
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        return _refused(f"the compiled library does not load: {error}")
    try:
        _declare(library)
    except AttributeError as error:
        return _refused(f"the compiled library was built from other sources: install the package again ({error})")
    if not library.jax_lstm_variant_float():
        named = os.environ.get(SWITCH)
        if named not in (None, "", "1"):
            return f"the environment variable {SWITCH} is {named!r}, and this processor has no such variant"
        return "this processor has neither AVX2 nor AVX-512"
    try:
        for dtype in DTYPES:
            for name in (target(FORWARD, dtype), target(BACKWARD, dtype)):
                jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(library, name)), platform="cpu")
    except jax.errors.JaxRuntimeError as error:  # built with the header of a newer jaxlib than the one that runs
        return _refused(f"this jaxlib does not take the compiled library: {' '.join(str(error).split())}")
    return library


def _declare(library: ctypes.CDLL) -> None:
    """The types of the functions that Python calls."""
    library.jax_lstm_variant_float.restype = library.jax_lstm_arguments_float.restype = ctypes.c_char_p
    library.jax_lstm_units_float.restype = library.jax_lstm_units_double.restype = ctypes.c_long


def _refused(reason: str) -> str:
    """The reason, after a warning where the kernel was to be expected; `load` is cached, so there is one warning."""
    built.warn_if_supported(reason)
    return reason
