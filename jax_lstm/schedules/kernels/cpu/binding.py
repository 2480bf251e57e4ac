"""The native schedule: the kernel as JAX sees it, with derivatives, batching, and a plain form for other platforms.

Inside, a layer is a function of two records: `Floats`, which can be differentiated, and `Flags`. All batch axes are
one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm._sharding import vary, varying_axes
from jax_lstm._step import Shared, Steps, zero_invalid
from jax_lstm._types import Carry, LSTMParams
from jax_lstm.schedules.kernels.cpu import library
from jax_lstm.schedules.kernels.cpu._drop import droppable
from jax_lstm.schedules.scan import scan


class Floats(NamedTuple):
    """What is differentiated: input `(time, rows, features)`, weights, carries and recurrent mask `(rows, hidden)`."""

    x: jax.Array
    w_x: jax.Array
    w_h: jax.Array
    b: jax.Array | None
    h_first: jax.Array
    c_first: jax.Array
    h_reset: jax.Array | None
    c_reset: jax.Array | None
    recurrent_mask: jax.Array | None


class Flags(NamedTuple):
    """Which steps are taken, by `lengths (rows)` or `valid (time, rows)`; and `reset (time, rows)`."""

    lengths: jax.Array | None
    valid: jax.Array | None
    reset: jax.Array | None


def native(params: LSTMParams, shared: Shared, steps: Steps, *, reverse: bool) -> tuple[Carry, jax.Array]:
    """The last carry and the hidden states, by one call of the kernel."""
    batch = steps.x.shape[1:-1]

    def flat(array: Any, axes_before: int) -> Any:
        """The batch axes of an array as one."""
        if array is None or len(batch) == 1:
            return array
        return array.reshape(*array.shape[:axes_before], math.prod(batch), *array.shape[axes_before + len(batch) :])

    rows = partial(flat, axes_before=0)
    over_time = partial(flat, axes_before=1)
    h_reset, c_reset = (None, None) if shared.reset_to is None else shared.reset_to
    h_first, c_first, h_reset, c_reset = (rows(part) for part in (*shared.initial, h_reset, c_reset))
    weights, mask = (params.w_x, params.w_h, params.b), rows(shared.recurrent_mask)
    floats = Floats(over_time(steps.x), *weights, h_first, c_first, h_reset, c_reset, mask)
    lengths = None if shared.lengths is None else rows(shared.lengths).astype(jnp.int32)
    flags = Flags(lengths, None if lengths is not None else over_time(steps.valid), over_time(steps.reset))
    hs, h, c = _layer(reverse, floats, flags)
    hidden = params.hidden  # by its size, as there may be no rows to tell it from
    return Carry(h.reshape(*batch, hidden), c.reshape(*batch, hidden)), hs.reshape(hs.shape[0], *batch, hidden)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _layer(reverse: bool, floats: Floats, flags: Flags) -> Any:
    return _states(reverse, floats, flags)


def _layer_forward(reverse: bool, floats: Any, flags: Any) -> tuple[Any, Any]:
    floats, flags = jax.tree.map(
        lambda leaf: leaf.value, (floats, flags), is_leaf=lambda leaf: hasattr(leaf, "perturbed")
    )
    hs, h, c, kept = _states_and_kept(reverse, floats, flags)
    return (hs, h, c), (floats, flags, hs, kept)


def _layer_backward(reverse: bool, residuals: Any, cotangents: Any) -> tuple[Floats, Flags]:
    floats, flags, hs, kept = residuals
    zero = jax.custom_derivatives.SymbolicZero
    cotangents = tuple(None if isinstance(one, zero) else one for one in cotangents)
    return _gradients(reverse, floats, flags, hs, kept, cotangents), Flags(None, None, None)


_layer.defvjp(_layer_forward, _layer_backward, symbolic_zeros=True)


def _states(reverse: bool, floats: Floats, flags: Flags) -> Any:
    """The hidden states and the last carry."""
    return droppable(_either, reverse)(floats, flags)


def _either(reverse: bool, floats: Floats, flags: Flags, *, first: bool) -> Any:
    """By the kernel or by the plain scan, as the platform is; the hidden states only where they are `first`."""

    def plain(floats: Floats, flags: Flags) -> tuple[jax.Array, ...]:
        return _plain(reverse, floats, flags)[0 if first else 1 :]

    return jax.lax.platform_dependent(floats, flags, cpu=partial(_forward, reverse, stack=first), default=plain)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _states_and_kept(reverse: bool, floats: Floats, flags: Flags) -> Any:
    """The same, and what the kernel's backward pass reads."""

    def plain(floats: Floats, flags: Flags) -> tuple[jax.Array, ...]:
        kept = jnp.zeros(_kept_shape(floats), floats.x.dtype)
        return *_plain(reverse, floats, flags), vary(kept, varying_axes(floats.x))

    return jax.lax.platform_dependent(floats, flags, cpu=partial(_forward, reverse, keep=True), default=plain)


@_states_and_kept.defjvp
def _states_and_kept_jvp(reverse: bool, primals: Any, tangents: Any) -> tuple[Any, Any]:
    floats, flags = primals
    found = _states_and_kept(reverse, floats, flags)
    _, moved = jax.jvp(lambda floats: _plain(reverse, floats, flags), (floats,), (tangents[0],))
    return found, (*moved, jnp.zeros_like(found[-1]))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _gradients(reverse: bool, floats: Floats, flags: Flags, hs: Any, kept: Any, cotangents: Any) -> Any:
    """The gradient with respect to `floats`; a cotangent that is None is zero."""
    found = droppable(_either_gradients, reverse)(floats, flags, hs, kept, cotangents)
    return jax.tree.unflatten(jax.tree.structure(floats), found)


@_gradients.defjvp
def _gradients_jvp(reverse: bool, primals: Any, tangents: Any) -> tuple[Any, Any]:
    floats, flags, _, _, cotangents = primals

    def plain(floats: Floats, cotangents: Any) -> Floats:
        return _plain_gradients(reverse, floats, flags, cotangents)

    # hs and kept are functions of floats, and plain makes its own
    _, moved = jax.jvp(plain, (floats, cotangents), (tangents[0], tangents[-1]))
    return _gradients(reverse, *primals), moved


def _either_gradients(reverse: bool, *arguments: Any, first: bool) -> Any:
    """By the kernel or through the plain scan, as the platform is; that of the input only where it is `first`."""

    def plain(floats: Floats, flags: Flags, hs: Any, kept: Any, cotangents: Any) -> tuple[jax.Array, ...]:
        return tuple(jax.tree.leaves(_plain_gradients(reverse, floats, flags, cotangents))[0 if first else 1 :])

    return jax.lax.platform_dependent(*arguments, cpu=partial(_backward, reverse, first=first), default=plain)


def _plain(reverse: bool, floats: Floats, flags: Flags) -> tuple[jax.Array, ...]:
    """The same layer by the plain scan: for other platforms, and for derivatives of derivatives."""
    params = LSTMParams(floats.w_x, floats.w_h, floats.b)
    valid = flags.valid
    if flags.lengths is not None:
        valid = jnp.arange(floats.x.shape[0], dtype=jnp.int32)[:, None] < flags.lengths[None]
    back = None if floats.h_reset is None or floats.c_reset is None else Carry(floats.h_reset, floats.c_reset)
    shared = Shared(Carry(floats.h_first, floats.c_first), floats.recurrent_mask, None, back)
    carry, hs = scan(params, shared, Steps(zero_invalid(floats.x, valid), valid, flags.reset), reverse=reverse)
    return hs, *carry


def _plain_gradients(reverse: bool, floats: Floats, flags: Flags, cotangents: Any) -> Floats:
    outputs, pull = jax.vjp(lambda floats: _plain(reverse, floats, flags), floats)
    filled = tuple(jnp.zeros_like(a) if d is None else d for a, d in zip(outputs, cotangents, strict=True))
    return pull(filled)[0]


def _forward(
    reverse: bool, floats: Floats, flags: Flags, stack: bool = True, keep: bool = False
) -> tuple[jax.Array, ...]:
    """The forward call: hidden states where `stack`, last carry, and where `keep` what the backward pass reads."""
    time, rows, _ = floats.x.shape
    hidden = floats.w_h.shape[0]
    states, kept = (time, rows, hidden) if stack else (0,) * 3, _kept_shape(floats) if keep else (0,) * 4
    results = (states, (rows, hidden), (rows, hidden), kept)
    x, w_x, w_h, b, h_first, c_first, *others = floats
    arguments = (x, w_x, w_h, _or_empty(b, 1), h_first, c_first, *_flags(flags), *(_or_empty(one, 2) for one in others))
    found = _call(library.FORWARD, reverse, arguments, results)
    return tuple(found[0 if stack else 1 : 4 if keep else 3])


def _backward(
    reverse: bool, floats: Floats, flags: Flags, hs: Any, kept: Any, cotangents: Any, *, first: bool
) -> tuple[jax.Array, ...]:
    """The backward call: the gradients of what is there of `floats`, that of the input only where it is `first`."""
    x, w_x, w_h, _, h_first, _, h_reset, _, mask = floats
    others = (_or_empty(one, rank) for one, rank in zip(cotangents, (3, 2, 2), strict=True))
    arguments = (x, w_x, w_h, h_first, *_flags(flags), _or_empty(h_reset, 2), _or_empty(mask, 2), hs, kept, *others)
    wanted = (x if first else None, *floats[1:])
    ranks = (3, 2, 2, 1, 2, 2, 2, 2, 2)
    results = [(0,) * rank if one is None else one.shape for one, rank in zip(wanted, ranks, strict=True)]
    found = _call(library.BACKWARD, reverse, arguments, results)
    return tuple(one for one, given in zip(found, wanted, strict=True) if given is not None)


def _call(
    target: str, reverse: bool, arguments: Sequence[jax.Array], shapes: Iterable[tuple[int, ...]]
) -> list[jax.Array]:
    library.load()
    results = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    axes = varying_axes(arguments[0])
    # the kernel reads arguments with leading axes of size one as they are, so that nothing is copied for vmap
    call = jax.ffi.ffi_call(target, results, vmap_method="expand_dims")
    return [vary(one, axes) for one in call(*(vary(one, axes) for one in arguments), reverse=np.int32(reverse))]


def _flags(flags: Flags) -> tuple[jax.Array, jax.Array, jax.Array]:
    return _or_empty(flags.lengths, 1, jnp.int32), _or_empty(flags.valid, 2, bool), _or_empty(flags.reset, 2, bool)


def _or_empty(array: jax.Array | None, rank: int, dtype: Any = jnp.float32) -> jax.Array:
    """The array; where there is none an empty one, by which the kernel knows."""
    return jnp.zeros((0,) * rank, dtype) if array is None else array


def _kept_shape(floats: Floats) -> tuple[int, int, int, int]:
    time, rows, _ = floats.x.shape
    panels = -(-floats.w_h.shape[0] // library.units())
    return time, panels, rows, 5 * library.units()
