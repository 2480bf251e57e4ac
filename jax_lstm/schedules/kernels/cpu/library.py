"""The compiled library: whether it can be used here, and its two functions as targets of `jax.ffi`."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import cast

import jax

SWITCH = "JAX_LSTM_NATIVE"
"""The environment variable that turns the kernel off, by `0`, or names the one instruction set that it may use."""

FORWARD, BACKWARD = "jax_lstm_forward", "jax_lstm_backward"
PATH = Path(__file__).with_name("native.so")


_enabled = True


def use_native_kernel(enabled: bool) -> None:
    """Turn the CPU kernel off, or on again: whether `schedule="auto"` may take it, and `schedule="native"` ask for it.

    Every program that was compiled so far is compiled anew. The environment variable `JAX_LSTM_NATIVE=0` turns the
    kernel off from the start; `JAX_LSTM_NATIVE=avx2` has it use AVX2 where the processor has AVX-512 too.

    Args:
        enabled: whether the kernel may be used.

    >>> import jax, jax.numpy as jnp
    >>> from jax_lstm import explain_schedule, init
    >>> params, xs = init(jax.random.key(0), features=3, hidden=64), jnp.ones((100, 32, 3))
    >>> use_native_kernel(False)
    >>> explain_schedule(params, xs).passed_over["native"]
    'needs the compiled kernel, and use_native_kernel(False) was called'
    >>> use_native_kernel(True)
    """
    global _enabled
    _enabled = bool(enabled)
    jax.clear_caches()


def missing() -> str | None:
    """Why the kernel cannot be used here, or None if it can."""
    if os.environ.get(SWITCH) == "0":
        return f"the environment variable {SWITCH} is 0"
    if not _enabled:
        return "use_native_kernel(False) was called"
    loaded = load()
    return loaded if isinstance(loaded, str) else None


def variant() -> str | None:
    """The instruction set in use on this processor, "avx512", "avx2" or "neon"; None where there is none."""
    return None if missing() else _loaded().jax_lstm_variant().decode()


def units() -> int:
    """The floats of a vector."""
    return _loaded().jax_lstm_units()


def multiply_adds(times: int) -> float:
    """The multiply-adds of `times` rounds of a loop that nothing but the processor's arithmetic limits."""
    library = _loaded()
    library.jax_lstm_multiply_add(times)
    return times * library.jax_lstm_multiply_adds()


def _loaded() -> ctypes.CDLL:
    """The library, to be called where `missing` gives no reason."""
    return cast(ctypes.CDLL, load())


@cache
def load() -> ctypes.CDLL | str:
    """The library with its targets registered, or why there is none."""
    if not PATH.exists():
        return "this installation has no compiled library: it was built where no compiler was found"
    try:
        library = ctypes.CDLL(str(PATH))
    except OSError as error:
        return f"the compiled library does not load: {error}"
    library.jax_lstm_variant.restype = ctypes.c_char_p
    library.jax_lstm_units.restype = library.jax_lstm_multiply_adds.restype = ctypes.c_long
    library.jax_lstm_multiply_add.argtypes, library.jax_lstm_multiply_add.restype = [ctypes.c_long], ctypes.c_double
    if not library.jax_lstm_variant():
        named = os.environ.get(SWITCH)
        if named not in (None, "", "1"):
            return f"the environment variable {SWITCH} is {named!r}, and this processor has no such variant"
        return "this processor has neither AVX2 nor AVX-512"
    try:
        for name in (FORWARD, BACKWARD):
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(library, name)), platform="cpu")
    except jax.errors.JaxRuntimeError as error:  # built with the header of a newer jaxlib than the one that runs
        return f"this jaxlib does not take the compiled library: {' '.join(str(error).split())}"
    return library
