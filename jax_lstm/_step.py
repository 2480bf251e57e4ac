"""One step as a layer takes it: the cell between a reset, which comes before it, and zoneout and the mask, which come
after.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jax_lstm._cell import products, project, update
from jax_lstm._types import Carry, Params, Trace, Zoneout


class Steps(NamedTuple):
    """What differs from step to step, None where it is not given; in a layer every array has a leading time axis.

    Args:
        x: `(*batch, features)`.
        mask: booleans `(*batch)`, true where the step is valid.
        resets: booleans `(*batch)`, true where a reset comes before the step.
        zoneout: booleans `(*batch, out)` and `(*batch, hidden)`, true where a unit keeps its previous state.
    """

    x: jax.Array
    mask: jax.Array | None = None
    resets: jax.Array | None = None
    zoneout: Zoneout | None = None


class Shared(NamedTuple):
    """What all steps share, None where it is not given.

    Args:
        initial: the carry before the first step.
        recurrent_mask: `(*batch, out)`, a factor on the hidden state that the products see (variational dropout).
        zoneout: the shares of the previous state that every unit keeps, scalars.
        reset_to: the carry that a reset puts back; zeros where None.
        lengths: integers `(*batch)`, the number of valid steps of each row; there is no mask then.
    """

    initial: Carry
    recurrent_mask: jax.Array | None = None
    zoneout: Zoneout | None = None
    reset_to: Carry | None = None
    lengths: jax.Array | None = None


def step(params: Params, shared: Shared, carry: Carry, now: Steps) -> tuple[Carry, Trace]:
    """The carry after the step, and its six values, zero where the step is not valid."""
    before, h_seen = begin_step(shared, carry, now)
    m, c, trace = update(params, products(params, now.x, h_seen), before.c)
    after = finish_step(shared, before, Carry(project(params, m), c), now)
    cell_state = after.c[..., : params.hidden]  # the normalizer and the stabilizer of exponential gates come after it
    trace = trace._replace(cell_state=cell_state, hidden_state=after.h)
    return after, jax.tree.map(lambda value: zero_invalid(value, now.mask), trace)


def begin_step(shared: Shared, carry: Carry, now: Steps) -> tuple[Carry, jax.Array]:
    """The carry that the step starts from, and the hidden state that its products see."""
    carry = apply_reset(carry, now.resets, shared.reset_to)
    if shared.recurrent_mask is None:
        return carry, carry.h
    return carry, carry.h * shared.recurrent_mask


def finish_step(shared: Shared, before: Carry, after: Carry, now: Steps) -> Carry:
    """The carry that the step passes on: the new one, except where zoneout or the mask keeps the previous one."""
    return apply_mask(apply_zoneout(shared.zoneout, now.zoneout, before, after), now.mask, before)


def apply_reset(carry: Carry, reset: jax.Array | None, reset_to: Carry | None) -> Carry:
    """`reset_to`, or zeros, in the rows where `reset` is true."""
    if reset is None:
        return carry
    if reset_to is None:
        reset_to = jax.tree.map(jnp.zeros_like, carry)
    return _choose(reset, reset_to, carry)


def apply_zoneout(shares: Zoneout | None, keep: Zoneout | None, before: Carry, after: Carry) -> Carry:
    """The new carry with the previous state of the units that `keep` is true for, or a share of it for every unit."""
    h, c = after
    if keep is not None and keep.hidden is not None:
        h = jnp.where(keep.hidden, before.h, h)
    if keep is not None and keep.cell is not None:
        c = jnp.where(keep.cell, before.c, c)
    if shares is not None and shares.hidden is not None:
        h = h + shares.hidden * (before.h - h)
    if shares is not None and shares.cell is not None:
        c = c + shares.cell * (before.c - c)
    return Carry(h, c)


def apply_mask(after: Carry, valid: jax.Array | None, before: Carry) -> Carry:
    """The new carry where the step is valid, else the previous one."""
    return after if valid is None else _choose(valid, after, before)


def zero_invalid(value: jax.Array, valid: jax.Array | None) -> jax.Array:
    """Zero where a step is not valid."""
    # by where, not by a product: NaN in padding then reaches neither the value nor a gradient
    return value if valid is None else jnp.where(valid[..., None], value, jnp.zeros_like(value))


def masked(shared: Shared, steps: Steps) -> tuple[Shared, Steps]:
    """The same layer with a mask where it has lengths, and with inputs of zero where a step is not valid."""
    if shared.lengths is not None:
        times = jnp.arange(steps.x.shape[0], dtype=jnp.int32)
        times = jnp.expand_dims(times, range(1, steps.x.ndim - 1))
        steps = steps._replace(mask=times < shared.lengths[None])
        shared = shared._replace(lengths=None)
    return shared, steps._replace(x=zero_invalid(steps.x, steps.mask))


def _choose(flags: jax.Array, yes: Carry, no: Carry) -> Carry:
    flags = flags[..., None]
    return Carry(jnp.where(flags, yes.h, no.h), jnp.where(flags, yes.c, no.c))
