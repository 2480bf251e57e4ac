"""The checkpointed schedule: the forward pass keeps one carry per sqrt(time) steps, and the backward pass repeats the
steps between.
"""

from __future__ import annotations

import math

import jax

from jax_lstm._step import Shared, Steps
from jax_lstm._types import Carry, Params
from jax_lstm.schedules._pieces import scan_pieces
from jax_lstm.schedules.deferred import Plans, deferred


def checkpointed(
    params: Params, shared: Shared, steps: Steps, *, plans: Plans, reverse: bool
) -> tuple[Carry, jax.Array]:
    """The last carry and the hidden states; what is kept for the gradient grows with the square root of the length.

    The price is a second forward pass (Chen et al. 2016, "Training deep nets with sublinear memory cost").
    """

    @jax.checkpoint
    def segment(carry: Carry, some: Steps) -> tuple[Carry, jax.Array]:
        # what is not valid is in `some` too, whereas lengths count from the first step of the whole
        return deferred(params, shared._replace(initial=carry, lengths=None), some, plans=plans, reverse=reverse)

    time = steps.x.shape[0]
    return scan_pieces(segment, shared.initial, steps, math.isqrt(time), reverse=reverse)
