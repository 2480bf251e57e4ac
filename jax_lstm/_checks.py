"""Refusals that several modules share, made while tracing: each names the argument, what it has, what was expected, and
the fix.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm._types import (
    Bidirectional,
    BlockDiagonalParams,
    Carry,
    Clip,
    Coupled,
    DiagonalParams,
    Exponential,
    FinalCarries,
    Layer,
    LayerNorm,
    Params,
    is_exponential,
    memory,
)

DTYPES = tuple(jnp.dtype(one) for one in (jnp.float32, jnp.float64, jnp.bfloat16, jnp.float16))
"""The dtypes that layers compute in; in narrower ones the schedules would differ by more than rounding."""


class Sizes(NamedTuple):
    """What a layer's arrays say of its sizes: `out` is the width of the hidden state, `gates` 4, or 3 when coupled,
    `memory` the width of the carry's `c`.
    """

    features: int
    hidden: int
    out: int
    gates: int
    memory: int


def check_params(params: Params, name: str = "params") -> Sizes:
    """The sizes of a layer, or a refusal of the first array that does not fit the others."""
    if type(params) in (tuple, list):
        raise TypeError(
            f"{name} is {what(params)} of layers, which is for network(layers, xs): give one layer, layers[0]"
        )
    if not isinstance(params, Params):
        raise TypeError(
            f"{name} is {what(params)}, expected LSTMParams, DiagonalParams or BlockDiagonalParams: make it with init "
            "or from_gates"
        )
    for field in ("w_x", "w_h"):
        if getattr(params, field) is None:
            raise TypeError(f"{name}.{field} is None, expected an array")
    dtype = check_float(params.w_x, f"{name}.w_x")
    if dtype not in DTYPES:
        raise TypeError(
            f"{name}.w_x is {dtype}, expected float32, float64, bfloat16 or float16: convert the layer with astype"
        )
    for field, kind in (("norm", LayerNorm), ("coupled", Coupled), ("clip", Clip), ("exponential", Exponential)):
        value = getattr(params, field, None)
        if value is not None and not isinstance(value, kind):
            raise TypeError(
                f"{name}.{field} is {what(value)}, expected {kind.__name__}, or None for a layer without it"
            )
    for path, leaf in jax.tree.leaves_with_path(params):
        where = f"{name}{jax.tree_util.keystr(path)}"
        if check_float(leaf, where) != dtype:
            raise TypeError(
                f"{where} is {leaf.dtype}, but {name}.w_x is {dtype}: give every array of a layer one dtype, with "
                "astype"
            )
    if is_exponential(params):
        for field in ("peephole", "norm", "coupled", "clip"):
            if getattr(params, field) is not None:
                raise ValueError(f"{name} has {field} and exponential gates, expected one of the two")
    gates = 4 if params.coupled is None else 3
    w_x = params.w_x
    if w_x.ndim != 2:
        raise ValueError(
            f"{name}.w_x has shape {w_x.shape}, expected (features, {gates}*hidden): vmap over stacked parameters"
        )
    if w_x.shape[0] == 0:
        raise ValueError(
            f"{name}.w_x has shape {w_x.shape}, expected at least one feature: give constant inputs as ones"
        )
    if w_x.shape[1] == 0 or w_x.shape[1] % gates:
        raise ValueError(
            f"{name}.w_x has shape {w_x.shape}, expected {gates} gate blocks: a last axis divisible by {gates}"
        )
    features, hidden = w_x.shape[0], w_x.shape[1] // gates
    out = hidden
    wide = gates * hidden
    if params.projection is not None:
        if params.projection.ndim != 2 or params.projection.shape[0] != hidden:
            given = params.projection.shape
            raise ValueError(
                f"{name}.projection has shape {given}, expected ({hidden}, out), as w_x says hidden = {hidden}"
            )
        out = params.projection.shape[1]
        if out == 0:
            raise ValueError(
                f"{name}.projection has shape {params.projection.shape}, expected (hidden, out), with at least one "
                "output"
            )
    expected = {
        "w_h": _recurrent_shape(params, out, wide),
        "b": (wide,),
        "peephole": (gates - 1, hidden),
    }
    for field, shape in expected.items():
        value = getattr(params, field)
        if value is not None and value.shape != shape:
            raise ValueError(f"{name}.{field} has shape {value.shape}, expected {shape}, as w_x says hidden = {hidden}")
    if params.norm is not None:
        for field, shape in {"scale_x": (wide,), "scale_h": (wide,), "scale_c": (hidden,), "bias_c": (hidden,)}.items():
            value = getattr(params.norm, field)
            check_array(value, f"{name}.norm.{field}")
            if value.shape != shape:
                raise ValueError(
                    f"{name}.norm.{field} has shape {value.shape}, expected {shape}, as w_x says hidden = {hidden}"
                )
    if params.clip is not None:
        for field in ("cell", "gates"):
            check_positive(getattr(params.clip, field), f"{name}.clip.{field}")
    return Sizes(features, hidden, out, gates, memory(params))


def _recurrent_shape(params: Params, out: int, wide: int) -> tuple[int, ...]:
    """The shape that `w_h` has to have; for a number of heads that does not divide the units, that of one head."""
    if isinstance(params, DiagonalParams):
        return (wide,)
    if isinstance(params, BlockDiagonalParams):
        heads = params.w_h.shape[0] if params.w_h.ndim else 1
        heads = heads if heads and out % heads == 0 else 1
        return (heads, out // heads, wide // heads)
    return (out, wide)


def unwrapped(tree: Any) -> Any:
    """A tree whose leaves that wrap an array, such as `nnx.Param`, are replaced by that array."""

    def wraps(leaf: Any) -> bool:
        return not isinstance(leaf, jax.Array) and hasattr(leaf, "__jax_array__")  # tracers have one that is None

    return jax.tree.map(lambda leaf: leaf.__jax_array__() if wraps(leaf) else leaf, tree, is_leaf=wraps)


def as_arrays(tree: Any) -> Any:
    """A tree of arguments with JAX arrays for its leaves, also for those that wrap one; what is none, as it is."""

    def converted(leaf: Any) -> Any:
        if isinstance(leaf, jax.Array):
            return leaf
        try:
            return jnp.asarray(leaf)
        except (TypeError, ValueError):  # the check of the argument refuses it by name
            return leaf

    return jax.tree.map(converted, unwrapped(tree))


def check_size(value: Any, name: str, least: int = 1) -> int:
    """A whole number of at least `least`."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}, expected a whole number")
    if value < least:
        raise ValueError(f"{name} is {value}, expected at least {least}")
    return int(value)


def check_shape(shape: Any, name: str) -> tuple[int, ...]:
    """A tuple of sizes."""
    if not isinstance(shape, tuple | list):
        raise TypeError(f"{name} is {what(shape)}, expected a tuple of sizes: (rows,), or () for one sequence")
    return tuple(check_size(size, f"{name}[{axis}]", least=0) for axis, size in enumerate(shape))


def check_given_with(other: Any, other_name: str, name: str, why: str) -> None:
    """An argument that needs another one."""
    if other is None:
        raise ValueError(f"{name} is given without {other_name}, expected both or none: {why}")


def check_positive(value: Any, name: str) -> None:
    """None, or a positive finite Python number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (is_number and 0 < value < math.inf):
        raise ValueError(f"{name} is {value!r}, expected a positive number, or None for no bound")


def check_array(array: Any, name: str) -> None:
    """An array, rather than a list of numbers."""
    if not isinstance(array, jax.Array | np.ndarray):
        raise TypeError(f"{name} is {what(array)}, expected an array: wrap it in jnp.asarray")


def check_float(array: Any, name: str) -> jnp.dtype:
    """The dtype of a floating-point array, or a refusal."""
    check_array(array, name)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(
            f"{name} is {array.dtype}, expected a floating-point array: convert it with astype(jnp.float32)"
        )
    return array.dtype


def float_dtype(dtype: Any) -> jnp.dtype:
    """A floating-point dtype, JAX's default where None, or a refusal."""
    dtype = jnp.result_type(float if dtype is None else dtype)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"dtype is {dtype}, expected a floating-point dtype")
    return dtype


def check_like(array: Any, name: str, params: Params) -> jnp.dtype:
    """The dtype of an array that has to have the parameters' dtype."""
    dtype = check_float(array, name)
    if dtype != params.w_x.dtype:
        raise TypeError(f"{name} is {dtype}, but params are {params.w_x.dtype}: convert one of them with astype")
    return dtype


def check_carry(carry: Any, sizes: Sizes, batch: tuple[int, ...], dtype: Any, name: str = "carry") -> None:
    """A carry that fits a layer and its batch axes."""
    if isinstance(carry, FinalCarries | Bidirectional):
        raise TypeError(
            f"{name} belongs to a bidirectional layer, expected Carry(h, c): run each of its directions "
            "with lstm(…, reverse=…)"
        )
    if not isinstance(carry, Carry):
        raise TypeError(f"{name} is {what(carry)}, expected Carry(h, c): wrap the pair, hidden state first")
    for field, size in (("h", sizes.out), ("c", sizes.memory)):
        value = getattr(carry, field)
        if check_float(value, f"{name}.{field}") != dtype:
            raise TypeError(
                f"{name}.{field} is {value.dtype}, but params and input are {dtype}: convert it with astype"
            )
        if value.shape != (*batch, size):
            raise ValueError(f"{name}.{field} has shape {value.shape}, expected (*batch, size) = {(*batch, size)}")


def check_step(params: Params, carry: Carry, x: Any) -> None:
    """The arguments of one step."""
    sizes = check_params(params)
    dtype = check_like(x, "x", params)
    if x.ndim < 1 or x.shape[-1] != sizes.features:
        raise ValueError(
            f"x has shape {x.shape}, expected (*batch, features) with features = {sizes.features}, as w_x has rows"
        )
    check_carry(carry, sizes, x.shape[:-1], dtype)


def check_stack(layers: Any) -> tuple[Layer, ...]:
    """At least one layer, in a tuple or list, with arrays for leaves."""
    if isinstance(layers, Params | Bidirectional) or not isinstance(layers, tuple | list) or not layers:
        raise TypeError(f"layers is {what(layers)}, expected a tuple of layers, at least one: (params,)")
    return unwrapped(tuple(layers))


def check_key(key: Any) -> None:
    """A single key of `jax.random`, of the new kind or the old."""
    typed = isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.ndim == 0
    raw = isinstance(key, jax.Array | np.ndarray) and key.dtype == jnp.uint32 and key.ndim == 1
    if not (typed or raw):
        raise TypeError(f"key is {what(key)}, expected one key: jax.random.key(0)")


def check_choice(value: Any, name: str, names: Any) -> None:
    """One of several names."""
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(map(repr, names))}")


def check_rate(rate: Any, name: str, *, optional: bool = False) -> None:
    """A share that may be dropped: a number in [0, 1), which may be traced; or None for nothing, where that is
    allowed.
    """
    if optional and rate is None:
        return
    expected = f"expected a number in [0, 1){', or None' if optional else ''}"
    is_real = is_scalar(rate) and jnp.issubdtype(jnp.result_type(rate), jnp.number) and not jnp.iscomplexobj(rate)
    if not is_real:
        raise TypeError(f"{name} is {what(rate)}, {expected}")
    if not isinstance(rate, jax.core.Tracer) and not 0 <= float(rate) < 1:  # as a float: inside jit JAX would trace it
        raise ValueError(f"{name} is {rate}, {expected}: the share that is dropped, not the share that is kept")


def is_scalar(value: Any) -> bool:
    """Whether a value is one number, of Python, of NumPy or traced."""
    return isinstance(value, int | float | np.number) or (hasattr(value, "dtype") and jnp.ndim(value) == 0)


def check_bool(value: Any, name: str) -> bool:
    """True or False, rather than what Python takes for one of them."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} is {what(value)}, expected True or False")
    return bool(value)


def what(value: Any) -> str:
    """A value in words, for a message."""
    kind = type(value).__name__
    if isinstance(value, int | float | complex | str | bool | None):
        return f"{value!r}, {'an' if kind[0] in 'aeiou' else 'a'} {kind}" if value is not None else "None"
    return f"an array of shape {value.shape}" if hasattr(value, "shape") else f"a {kind}"
