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
    """What differs from step to step; in a layer every array has a leading time axis, and None stands for what is not
    used.

    Args:
        x: `(*batch, features)`, zero where the step is not valid.
        valid: booleans `(*batch)`.
        reset: booleans `(*batch)`.
        zoneout: booleans `(*batch, out)` and `(*batch, hidden)`.
    """

    x: jax.Array
    valid: jax.Array | None = None
    reset: jax.Array | None = None
    zoneout: Zoneout | None = None


class Shared(NamedTuple):
    """What all steps share; None stands for what is not used.

    Args:
        initial: the carry before the first step.
        recurrent_mask: `(*batch, out)`, a factor on the hidden state that the products see (variational dropout).
        zoneout: the shares of the previous state that every unit keeps.
        reset_to: the carry that a reset puts back; zeros where None.
        lengths: integers `(*batch)`, where `valid` says nothing more than they do, for schedules that skip what is not
            valid.
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
    cell_state = after.c[..., : params.hidden]  # what else a layer with exponential gates remembers comes after it
    trace = trace._replace(cell_state=cell_state, hidden_state=after.h)
    return after, jax.tree.map(lambda value: zero_invalid(value, now.valid), trace)


def begin_step(shared: Shared, carry: Carry, now: Steps) -> tuple[Carry, jax.Array]:
    """The carry that the step starts from, and the hidden state that its products see."""
    carry = apply_reset(carry, now.reset, shared.reset_to)
    return carry, carry.h if shared.recurrent_mask is None else carry.h * shared.recurrent_mask


def finish_step(shared: Shared, before: Carry, after: Carry, now: Steps) -> Carry:
    """The carry that the step passes on: the new one, as far as zoneout and the mask let it replace the previous
    one.
    """
    return apply_mask(apply_zoneout(shared.zoneout, now.zoneout, before, after), now.valid, before)


def apply_reset(carry: Carry, reset: jax.Array | None, reset_to: Carry | None) -> Carry:
    """`reset_to`, or zeros, in the rows where `reset` is true."""
    if reset is None:
        return carry
    return _choose(reset, jax.tree.map(jnp.zeros_like, carry) if reset_to is None else reset_to, carry)


def apply_zoneout(shares: Zoneout | None, keep: Zoneout | None, before: Carry, after: Carry) -> Carry:
    """The new carry with the previous state of the units that `keep` is true for, or with a share of it for every
    unit.
    """
    if keep is not None:
        triples = zip(keep, before, after, strict=True)
        after = Carry(*(new if flags is None else jnp.where(flags, old, new) for flags, old, new in triples))
    if shares is not None:
        triples = zip(shares, before, after, strict=True)
        after = Carry(*(new if share is None else new + share * (old - new) for share, old, new in triples))
    return after


def apply_mask(after: Carry, valid: jax.Array | None, before: Carry) -> Carry:
    """The new carry where the step is valid, else the previous one."""
    return after if valid is None else _choose(valid, after, before)


def zero_invalid(value: jax.Array, valid: jax.Array | None) -> jax.Array:
    """Zero where a step is not valid."""
    # by where, not by a product: NaN in padding then reaches neither the value nor a gradient
    return value if valid is None else jnp.where(valid[..., None], value, jnp.zeros_like(value))


def zero_padding(steps: Steps) -> Steps:
    """The steps with inputs of zero where they are not valid, for schedules that compute those too."""
    return steps._replace(x=zero_invalid(steps.x, steps.valid))


def _choose(flags: jax.Array, yes: Carry, no: Carry) -> Carry:
    return Carry(*(jnp.where(flags[..., None], a, b) for a, b in zip(yes, no, strict=True)))
