"""The saving schedule: the backward pass keeps one carry for every stretch of about sqrt(time) steps, and runs each stretch again."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from jax_lstm._step import Shared, Steps
from jax_lstm._types import Carry, Params
from jax_lstm.schedules.fused import fused


def saving(params: Params, shared: Shared, steps: Steps, *, reverse: bool) -> tuple[Carry, jax.Array]:
    """The last carry and the hidden states; what is kept for the gradient grows with the square root of the length.

    The price is a second forward pass (Chen et al. 2016, "Training deep nets with sublinear memory cost").
    """
    time = steps.x.shape[0]
    length = math.isqrt(time)
    whole = time // length * length
    stretch = jax.checkpoint(lambda carry, some: fused(params, shared._replace(initial=carry), some, reverse=reverse))

    def part(start, stop):
        return jax.tree.map(lambda a: a[start:stop], steps)

    stretches = jax.tree.map(lambda a: a.reshape(-1, length, *a.shape[1:]), part(0, whole))
    carry, rest = shared.initial, []
    if whole < time and reverse:
        carry, hs = stretch(carry, part(whole, time))
        rest = [hs]
    carry, hs = jax.lax.scan(stretch, carry, stretches, reverse=reverse)
    hs = [hs.reshape(whole, *hs.shape[2:])]
    if whole < time and not reverse:
        carry, last = stretch(carry, part(whole, time))
        rest = [last]
    return carry, jnp.concatenate(hs + rest)
