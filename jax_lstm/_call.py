"""The arguments of a call of `lstm`: checked, and brought into the one form that every schedule takes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm import _checks
from jax_lstm._sharding import placed, refuse_other_shardings
from jax_lstm._step import Shared, Steps
from jax_lstm._types import Carry, Params, Zoneout, is_exponential, memory


def bind(
    params: Params,
    xs: Any,
    carry: Any = None,
    *,
    lengths: Any = None,
    mask: Any = None,
    resets: Any = None,
    reset_to: Any = None,
    recurrent_mask: Any = None,
    zoneout: Any = None,
) -> tuple[Params, Shared, Steps]:
    """What all steps share and what differs from step to step, or a refusal of the first argument that does not fit.

    The arguments are those of `lstm`. Nothing is computed here, so that a call outside `jax.jit` is one program:
    `complete` does what is left.
    """
    params, xs, carry, lengths, mask, resets, reset_to, recurrent_mask = _checks.as_arrays(
        (params, xs, carry, lengths, mask, resets, reset_to, recurrent_mask)
    )
    sizes = check_sequence(params, xs)
    others = {"carry": carry, "lengths": lengths, "mask": mask, "resets": resets, "reset_to": reset_to}
    refuse_other_shardings(params, xs, others | {"recurrent_mask": recurrent_mask})
    batch, dtype = xs.shape[1:-1], xs.dtype
    if carry is not None:
        _checks.check_carry(carry, sizes, batch, dtype)
    if lengths is not None and mask is not None:
        raise ValueError("lengths and mask are both given, expected one of them: a mask says where a sequence ends")
    if lengths is not None:
        _check_lengths(lengths, xs)
    for name, flags in (("mask", mask), ("resets", resets)):
        if flags is not None:
            _check_flags(flags, name, xs)
    if reset_to is not None:
        _checks.check_given_with(resets, "resets", "reset_to", "resets say when it is put back")
        _checks.check_carry(reset_to, sizes, batch, dtype, "reset_to")
    if recurrent_mask is not None:
        _check_recurrent_mask(recurrent_mask, sizes, xs)
    drawn = shares = None
    if zoneout is not None:
        drawn, shares = _split_zoneout(zoneout, params, sizes, xs)
    shared = Shared(carry, recurrent_mask, shares, reset_to, lengths)
    return params, shared, Steps(placed(xs), mask, resets, drawn)


def complete(params: Params, shared: Shared, steps: Steps) -> tuple[Params, Shared, Steps]:
    """A call with a carry of zeros where none is given, lengths that fit the steps, and shares in the layer's dtype."""
    if shared.initial is None:
        shared = shared._replace(initial=zeros_beside(params, steps.x))
    if shared.lengths is not None:
        shared = shared._replace(lengths=_clamped(shared.lengths, steps.x.shape[0]))
    if shared.zoneout is not None:
        shared = shared._replace(zoneout=jax.tree.map(lambda share: jnp.asarray(share, steps.x.dtype), shared.zoneout))
    return params, shared, steps


def zeros_beside(params: Params, xs: jax.Array) -> Carry:
    """A carry of zeros with the sharding and the manual axes of the batch of `xs`."""
    like = jnp.zeros_like(xs[0, ..., :1])
    return Carry(*(jnp.broadcast_to(like, (*like.shape[:-1], size)) for size in (params.out, memory(params))))


def _clamped(lengths: jax.Array, steps: Any) -> jax.Array:
    """Lengths in [0, steps], as int32: traced ones may lie outside, and any integer type may not hold the other."""
    if isinstance(steps, int):
        lengths = jnp.clip(lengths, 0, min(steps, jnp.iinfo(lengths.dtype).max))
    return lengths.astype(jnp.int32)


def check_sequence(params: Params, xs: Any) -> _checks.Sizes:
    """The sizes of a layer, and an input over time that fits it."""
    sizes = _checks.check_params(params)
    _checks.check_like(xs, "xs", params)
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


def _check_lengths(lengths: Any, xs: Any) -> None:
    """Integers for the batch axes of `xs`; in the range of its steps, where their values are known."""
    steps, batch = xs.shape[0], xs.shape[1:-1]
    _checks.check_array(lengths, "lengths")
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise TypeError(f"lengths is {lengths.dtype}, expected integers: convert it with astype(jnp.int32)")
    if lengths.shape != batch:
        raise ValueError(f"lengths has shape {lengths.shape}, expected the batch axes of xs, {batch}")
    if isinstance(lengths, jax.core.Tracer) or not lengths.size:
        return
    values = np.asarray(lengths)  # by NumPy: inside jit JAX would trace it
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > steps:
        raise ValueError(
            f"lengths lie in [{low}, {high}], expected [0, {steps}], as xs has {steps} steps: clip them, or pad xs"
        )


def _check_flags(flags: Any, name: str, xs: Any) -> None:
    """Booleans over time and batch."""
    _checks.check_array(flags, name)
    if flags.dtype != jnp.bool_:
        raise TypeError(f"{name} is {flags.dtype}, expected booleans: compare, as in {name} != 0")
    if flags.shape != xs.shape[:-1]:
        raise ValueError(
            f"{name} has shape {flags.shape}, expected (time, *batch) = {xs.shape[:-1]}, the axes of xs without "
            "features"
        )


def _check_recurrent_mask(mask: Any, sizes: _checks.Sizes, xs: Any) -> None:
    """The factor on the hidden state that variational dropout uses."""
    if _checks.check_float(mask, "recurrent_mask") != xs.dtype:
        raise TypeError(f"recurrent_mask is {mask.dtype}, but xs is {xs.dtype}: convert it with astype")
    expected = (*xs.shape[1:-1], sizes.out)
    if mask.shape != expected:
        raise ValueError(
            f"recurrent_mask has shape {mask.shape}, expected (*batch, out) = {expected}: one mask for all steps"
        )


def _split_zoneout(
    zoneout: Any, params: Params, sizes: _checks.Sizes, xs: Any
) -> tuple[Zoneout | None, Zoneout | None]:
    """What was drawn for every step, and the shares that every unit keeps; None where there are none."""
    check_zoneout_type(zoneout)
    if zoneout.cell is not None and is_exponential(params):
        raise ValueError(
            "zoneout.cell is given, expected None: a cell state of exponential gates has a scale of its own"
        )
    drawn: dict[str, Any] = {}
    shares: dict[str, Any] = {}
    for field, size in (("hidden", sizes.out), ("cell", sizes.hidden)):
        value, expected = getattr(zoneout, field), (*xs.shape[:-1], size)
        if value is None:
            continue
        if _checks.is_scalar(value):
            _checks.check_rate(value, f"zoneout.{field}", optional=True)
            shares[field] = value
            continue
        _checks.check_array(value, f"zoneout.{field}")
        if value.dtype != jnp.bool_:
            raise TypeError(f"zoneout.{field} is {value.dtype}, expected booleans, or one number in [0, 1)")
        if value.shape != expected:
            raise ValueError(f"zoneout.{field} has shape {value.shape}, expected (time, *batch, size) = {expected}")
        drawn[field] = value
    nothing = Zoneout(None, None)
    return (nothing._replace(**drawn) if drawn else None), (nothing._replace(**shares) if shares else None)


def check_zoneout_type(zoneout: Any) -> None:
    """The container of the two, rather than a number."""
    if not isinstance(zoneout, Zoneout):
        raise TypeError(
            f"zoneout is {_checks.what(zoneout)}, expected Zoneout(hidden, cell): draw one with zoneout_masks"
        )
