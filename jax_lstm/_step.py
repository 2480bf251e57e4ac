"""One step as a layer takes it: the cell between a reset, which comes before, and a mask and zoneout, which come after."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jax_lstm._cell import products, project, update
from jax_lstm._types import Carry, Params, Trace, Zoneout


class Steps(NamedTuple):
    """What differs from step to step; in a layer every array has a leading time axis, and None stands for what is not used.

    `x (*batch, features)`, `valid` and `reset` `(*batch)` booleans, `zoneout` booleans `(*batch, size)`.
    """

    x: jax.Array
    valid: jax.Array | None = None
    reset: jax.Array | None = None
    zoneout: Zoneout | None = None


class Shared(NamedTuple):
    """What all steps share: the `initial` carry, the factor on the hidden state (variational dropout), the shares of zoneout, and the
    carry that a reset puts back.
    """

    initial: Carry
    recurrent_mask: jax.Array | None = None
    zoneout: Zoneout | None = None
    reset_to: Carry | None = None


def step(params: Params, shared: Shared, carry: Carry, now: Steps) -> tuple[Carry, Trace]:
    """The carry after the step, and its six values, zero where the step is not valid."""
    before, h_seen = enter(shared, carry, now)
    m, c, trace = update(params, products(params, now.x, h_seen), before.c)
    after = leave(shared, before, Carry(project(params, m), c), now)
    trace = trace._replace(cell_state=after.c, hidden_state=after.h)
    return after, jax.tree.map(lambda value: silence(value, now.valid), trace)


def enter(shared: Shared, carry: Carry, now: Steps) -> tuple[Carry, jax.Array]:
    """The carry the step starts from, and the hidden state its products see."""
    if now.reset is not None and shared.reset_to is not None:
        carry = _choose(now.reset, shared.reset_to, carry)
    return carry, carry.h if shared.recurrent_mask is None else carry.h * shared.recurrent_mask


def leave(shared: Shared, before: Carry, after: Carry, now: Steps) -> Carry:
    """The carry the step hands on."""
    if now.zoneout is not None:
        kept = zip(now.zoneout, before, after, strict=True)
        after = Carry(*(new if keep is None else jnp.where(keep, old, new) for keep, old, new in kept))
    if shared.zoneout is not None:
        shares = zip(shared.zoneout, before, after, strict=True)
        after = Carry(*(new if share is None else new + share * (old - new) for share, old, new in shares))
    return after if now.valid is None else _choose(now.valid, after, before)


def silence(value, valid):
    """Zero where a step is not valid: by `where`, so that nothing of what stood there is left, nor reaches a gradient."""
    return value if valid is None else jnp.where(valid[..., None], value, jnp.zeros_like(value))


def _choose(flags, yes: Carry, no: Carry) -> Carry:
    return Carry(*(jnp.where(flags[..., None], a, b) for a, b in zip(yes, no, strict=True)))
