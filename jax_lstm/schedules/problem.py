"""What the choice of a schedule depends on."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_lstm._step import Shared, Steps
from jax_lstm._types import Params


class Problem(NamedTuple):
    """Everything that the choice of a schedule may depend on.

    Args:
        time: the number of steps; a symbolic size is no `int`.
        batch: the batch axes, of one device's part where the batch is sharded.
        features, hidden, out: the sizes of the layer.
        dtype: of parameters, inputs and results.
        platform: "cpu", "gpu" or "tpu".
        kind: the name of the type of the parameters.
        fields: the names of the fields that are there, as in `{"w_x", "w_h", "b", "clip.cell"}`.
        options: the names of the arguments that are given, of `Shared` and `Steps`, as in `{"lengths", "resets"}`.
        reverse: whether the steps are taken from the last to the first.
    """

    time: Any
    batch: tuple[Any, ...]
    features: int
    hidden: int
    out: int
    dtype: jnp.dtype
    platform: str
    kind: str
    fields: frozenset[str]
    options: frozenset[str]
    reverse: bool

    @property
    def rows(self) -> int | None:
        """The number of rows of the batch; None where it is symbolic."""
        if all(isinstance(size, int) for size in self.batch):
            return math.prod(self.batch)
        return None

    @property
    def is_symbolic(self) -> bool:
        """Whether a size is symbolic, so that the program is one for all sizes."""
        return self.rows is None or not isinstance(self.time, int)


def problem_of(params: Params, shared: Shared, steps: Steps, *, reverse: bool, platform: str) -> Problem:
    """The problem that a layer's arguments pose; all of it is read from the fields that are there."""
    return Problem(
        steps.x.shape[0],
        steps.x.shape[1:-1],
        features=params.features,
        hidden=params.hidden,
        out=params.out,
        dtype=steps.x.dtype,
        platform=platform,
        kind=type(params).__name__,
        fields=present(params),
        options=(present_arguments(shared) | present_arguments(steps)) - {"initial", "x"},
        reverse=reverse,
    )


def present(params: Any) -> frozenset[str]:
    """The names of the fields that are there; of static bounds, such as `Clip`, each by itself.

    >>> from jax_lstm import Clip, init
    >>> sorted(present(init(jax.random.key(0), 1, 2, bias=False, clip=Clip(cell=3.0))))
    ['clip.cell', 'w_h', 'w_x']
    """
    names = set()
    for name in params._fields:
        value = getattr(params, name)
        if dataclasses.is_dataclass(value):
            bounds = vars(value)
            names |= {f"{name}.{bound}" for bound in bounds if bounds[bound] is not None}
        elif value is not None:
            names.add(name)
    return frozenset(names)


def present_arguments(record: Shared | Steps) -> frozenset[str]:
    """The names of the fields of a record that are there."""
    return frozenset(name for name in record._fields if getattr(record, name) is not None)


def beyond(problem: Problem, *, fields: frozenset[str], options: frozenset[str]) -> list[str]:
    """What a problem has that a kernel for plain layers, with these fields and options, does not support."""
    others = sorted(problem.fields - fields) + sorted(problem.options - options)
    if problem.kind != "LSTMParams":
        others.insert(0, problem.kind)
    return others


def platform_of(x: jax.Array) -> str:
    """The platform where a concrete array is; JAX's default for one that is traced.

    A program that is traced here may still be compiled for another platform: every schedule has a program for each.
    """
    if isinstance(x, jax.core.Tracer):
        device = jax.sharding.get_abstract_mesh().abstract_device
        # jax 0.9.0 has the device of a mesh without its platform
        return str(getattr(device, "platform", None) or jax.default_backend())
    return str(next(iter(x.devices())).platform)
