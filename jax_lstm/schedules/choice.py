"""The schedules by name, and the rule by which `"auto"` chooses one."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import jax

from jax_lstm._types import Params
from jax_lstm.schedules.fused import fused
from jax_lstm.schedules.saving import saving
from jax_lstm.schedules.scan import scan

CHUNK = 16
SCHEDULES = {
    "scan": scan,
    "unrolled": partial(scan, unroll=True),
    "deferred": fused,
    "fused": partial(fused, chunk=CHUNK),
    "saving": saving,
}
"""Every way to run a layer; all give the same result, to rounding.

- `scan`: a plain loop, differentiated by JAX in every mode (`jax.jvp`, `jax.jacfwd`, `jax.hessian` too).
- `unrolled`: the same without a loop, for a few steps; compile time grows with their number.
- `deferred`: an own backward pass that makes the gradients of weights and inputs after its loop, as single products.
- `fused`: the same, but it makes them every 16 steps or so, while what they are made of is still in the cache.
- `saving`: memory for the gradient that grows with the square root of the length, for a second forward pass.
"""

FEW_STEPS = 4
FEW_ROWS = 16


class Choice(NamedTuple):
    """What `"auto"` chose, and why."""

    schedule: str
    reason: str


def choose(params: Params, shape: tuple[int, ...], backend: str | None = None) -> Choice:
    """The schedule that `"auto"` takes for a layer and an input of `shape (time, *batch, features)` on one device.

    Args:
        params: the layer's weights.
        shape: the shape of the input; where the batch is sharded, of one device's part.
        backend: "cpu", "gpu" or "tpu"; JAX's default where None.

    >>> import jax
    >>> from jax_lstm import init
    >>> choose(init(jax.random.key(0), features=1, hidden=128), (784, 128, 1), "cpu").schedule
    'fused'
    """
    time, rows = shape[0], math.prod(shape[1:-1])
    if time <= FEW_STEPS:
        return Choice("unrolled", f"{time} steps are at most {FEW_STEPS}: a loop costs more than it saves")
    if (backend or jax.default_backend()) != "cpu":
        return Choice("deferred", "an accelerator is best served by few large products, after the loop")
    if rows < FEW_ROWS:
        return Choice("deferred", f"{rows} rows are fewer than {FEW_ROWS}: products over a few steps of them would be too small")
    return Choice("fused", f"{rows} rows make large products every {CHUNK} steps or so, of gradients that are still in the cache")
