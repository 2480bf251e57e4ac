"""What the choice of a schedule depends on."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_lstm._step import Shared, Steps
from jax_lstm._types import BlockDiagonalParams, DiagonalParams, Params, is_exponential


class Problem(NamedTuple):
    """Everything that the choice of a schedule may depend on.

    Args:
        time: the number of steps.
        batch: the batch axes, of one device's part where the batch is sharded; a symbolic size is no `int`.
        features, hidden, out: the sizes of the layer.
        dtype: of parameters, inputs and results.
        platform: "cpu", "gpu" or "tpu".
        variant: those of "diagonal", "heads", "exponential", "no bias", "peephole", "projection", "norm", "coupled",
            "clip cell" and "clip gates" that hold.
        options: those of "lengths", "mask", "resets", "reset_to", "recurrent_mask" and "zoneout" that are given.
        reverse: whether the steps are taken from the last to the first.
    """

    time: int
    batch: tuple[Any, ...]
    features: int
    hidden: int
    out: int
    dtype: jnp.dtype
    platform: str
    variant: frozenset[str]
    options: frozenset[str]
    reverse: bool

    @property
    def rows(self) -> int | None:
        """The number of rows of the batch; None where it is symbolic."""
        return math.prod(self.batch) if all(isinstance(size, int) for size in self.batch) else None


def describe(params: Params, shared: Shared, steps: Steps, *, reverse: bool, platform: str) -> Problem:
    """The problem that a layer's arguments pose."""
    sizes = {"features": params.features, "hidden": params.hidden, "out": params.out}
    bounds = () if params.clip is None else (f"clip {name}" for name in ("cell", "gates") if getattr(params.clip, name))
    names = ("peephole", "projection", "norm", "coupled")
    variant = {name for name in names if getattr(params, name) is not None} | set(bounds)
    if isinstance(params, DiagonalParams):
        variant.add("diagonal")
    if isinstance(params, BlockDiagonalParams):
        variant.add("heads")
    if is_exponential(params):
        variant.add("exponential")
    if params.b is None:
        variant.add("no bias")
    options = {
        "lengths": shared.lengths is not None,
        "mask": steps.valid is not None and shared.lengths is None,
        "resets": steps.reset is not None,
        "reset_to": shared.reset_to is not None,
        "recurrent_mask": shared.recurrent_mask is not None,
        "zoneout": steps.zoneout is not None or shared.zoneout is not None,
    }
    return Problem(
        steps.x.shape[0],
        steps.x.shape[1:-1],
        **sizes,
        dtype=steps.x.dtype,
        platform=platform,
        variant=frozenset(variant),
        options=frozenset(name for name, is_given in options.items() if is_given),
        reverse=reverse,
    )


def platform_of(x: jax.Array) -> str:
    """The platform where a concrete array is; JAX's default for one that is traced.

    A program that is traced here can still be compiled for another platform: `deferred` and `chunked` have a plan for
    each, and a kernel stands beside a plain program for the platforms that it is not for.
    """
    if isinstance(x, jax.core.Tracer):
        device = jax.sharding.get_abstract_mesh().abstract_device
        # jax 0.9.0 has the device of a mesh without its platform
        return str(getattr(device, "platform", None) or jax.default_backend())
    return str(next(iter(x.devices())).platform)
