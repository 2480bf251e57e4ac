"""Refusals of the arguments of a step, of a layer over time, and of a stack."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm._checks import (
    Sizes,
    check_array,
    check_carry,
    check_float,
    check_like,
    check_params,
    check_rate,
    what,
)
from jax_lstm._types import Bidirectional, Carry, FinalCarries, Layer, Params, Zoneout, directions, is_exponential


def check_step(params: Params, carry: Carry, x: Any) -> None:
    """The arguments of one step."""
    sizes = check_params(params)
    dtype = check_like(x, "x", params)
    if x.ndim < 1 or x.shape[-1] != sizes.features:
        raise ValueError(
            f"x has shape {x.shape}, expected (*batch, features) with features = {sizes.features}, as w_x has rows"
        )
    check_carry(carry, sizes, x.shape[:-1], dtype)


def check_sequence(params: Params, xs: Any) -> Sizes:
    """The input of a layer."""
    sizes = check_params(params)
    check_like(xs, "xs", params)
    check_time(xs)
    if xs.shape[-1] != sizes.features:
        raise ValueError(
            f"xs has shape {xs.shape}, expected (time, *batch, features) with features = {sizes.features}, as "
            "params.w_x has shape "
            f"{params.w_x.shape}: transpose xs to features last, or make parameters for {xs.shape[-1]} features"
        )
    return sizes


def check_time(xs: Any) -> None:
    """An input with axes of time and features, and at least one step."""
    if xs.ndim < 2:
        raise ValueError(
            f"xs has shape {xs.shape}, expected (time, *batch, features): give one scalar series as xs[:, None]"
        )
    if xs.shape[0] == 0:
        raise ValueError(
            f"xs has shape {xs.shape}: an empty sequence, expected at least one step (mark empty rows of a batch by "
            "lengths)"
        )


def check_carries(
    carries: Any, layers: tuple[Layer, ...], batch: tuple[int, ...], dtype: Any, name: str = "carries"
) -> tuple[Any, ...]:
    """One carry per layer, of its kind."""
    if not isinstance(carries, tuple | list) or isinstance(carries, Carry | Bidirectional | FinalCarries):
        raise TypeError(f"{name} is {what(carries)}, expected a tuple of one carry per layer")
    if len(carries) != len(layers):
        raise ValueError(
            f"{name} has {len(carries)} entries, expected one per layer, {len(layers)}: they belong to another stack"
        )
    for position, (carry, layer) in enumerate(zip(carries, layers, strict=True)):
        where = f"{name}[{position}]"
        if isinstance(carry, FinalCarries):
            raise ValueError(
                f"{where} holds the final carries of a bidirectional layer, which cannot stream: its backward "
                "direction starts at the end of the whole sequence. Give the sequence at once, or "
                "Bidirectional(forward, backward) if these are initial states"
            )
        parts, layer_parts = directions(carry, where), directions(layer)
        if len(parts) != len(layer_parts):
            expected = "Carry(h, c)" if len(layer_parts) == 1 else "Bidirectional(forward, backward)"
            raise TypeError(f"{where} is {what(carry)}, expected {expected}, as layers[{position}] is {what(layer)}")
        for (part, one), (_, params) in zip(parts, layer_parts, strict=True):
            check_carry(one, check_params(params), batch, dtype, part)
    return tuple(carries)


def check_valid(lengths: Any, mask: Any, xs: Any) -> None:
    """`lengths` or `mask`, not both, for the batch axes of `xs`."""
    steps, batch = xs.shape[0], xs.shape[1:-1]
    if lengths is not None and mask is not None:
        raise ValueError(
            "lengths and mask are both given, expected one of them: a mask already says where a sequence ends"
        )
    if lengths is not None:
        check_array(lengths, "lengths")
        if not jnp.issubdtype(lengths.dtype, jnp.integer):
            raise TypeError(f"lengths is {lengths.dtype}, expected integers: convert it with astype(jnp.int32)")
        if lengths.shape != batch:
            raise ValueError(f"lengths has shape {lengths.shape}, expected the batch axes of xs, {batch}")
        if not isinstance(lengths, jax.core.Tracer) and lengths.size:
            low, high = (
                int(np.asarray(lengths).min()),
                int(np.asarray(lengths).max()),
            )  # by NumPy: inside jit JAX would trace it
            if low < 0 or high > steps:
                raise ValueError(
                    f"lengths lie in [{low}, {high}], expected [0, {steps}], as xs has {steps} steps: clip them, or "
                    "pad xs"
                )
    if mask is not None:
        check_flags(mask, "mask", xs)


def check_flags(flags: Any, name: str, xs: Any) -> None:
    """Booleans over time and batch."""
    check_array(flags, name)
    if flags.dtype != jnp.bool_:
        raise TypeError(f"{name} is {flags.dtype}, expected booleans: compare, as in {name} != 0")
    if flags.shape != xs.shape[:-1]:
        raise ValueError(
            f"{name} has shape {flags.shape}, expected (time, *batch) = {xs.shape[:-1]}, the axes of xs without "
            "features"
        )


def check_recurrent_mask(mask: Any, sizes: Sizes, xs: Any) -> None:
    """The factor on the hidden state that variational dropout uses."""
    if check_float(mask, "recurrent_mask") != xs.dtype:
        raise TypeError(f"recurrent_mask is {mask.dtype}, but xs is {xs.dtype}: convert it with astype")
    expected = (*xs.shape[1:-1], sizes.out)
    if mask.shape != expected:
        raise ValueError(
            f"recurrent_mask has shape {mask.shape}, expected (*batch, out) = {expected}: one mask for all steps"
        )


def check_zoneout(zoneout: Any, params: Params, sizes: Sizes, xs: jax.Array) -> None:
    """Booleans for every step, one share, or None, for the hidden and for the cell state."""
    check_zoneout_type(zoneout)
    if zoneout.cell is not None and is_exponential(params):
        raise ValueError(
            "zoneout.cell is given, expected None: a cell state of exponential gates has a scale of its own"
        )
    for field, size in (("hidden", sizes.out), ("cell", sizes.hidden)):
        value, expected = getattr(zoneout, field), (*xs.shape[:-1], size)
        if jnp.ndim(value) == 0:
            check_rate(value, f"zoneout.{field}", optional=True)
        elif value.dtype != jnp.bool_:
            raise TypeError(f"zoneout.{field} is {value.dtype}, expected booleans, or one number in [0, 1)")
        elif value.shape != expected:
            raise ValueError(f"zoneout.{field} has shape {value.shape}, expected (time, *batch, size) = {expected}")


def check_zoneout_type(zoneout: Any) -> None:
    """The container of the two, rather than a number."""
    if not isinstance(zoneout, Zoneout):
        raise TypeError(f"zoneout is {what(zoneout)}, expected Zoneout(hidden, cell): draw one with zoneout_masks")
