"""Where the batch is spread over devices, each runs the whole recurrence on its own rows; gradients are summed once,
after it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec

from jax_lstm._step import Shared, Steps
from jax_lstm._types import Params

BATCH = "batch"
"""The name of the mesh axis that the batch is sharded over; with automatic axes this name is how a layer knows."""


def over_batch(run: Callable[..., Any], params: Params, shared: Shared, steps: Steps) -> Any:
    """`run(params, shared, steps)`, on each device separately where the batch axes of `steps.x` are sharded.

    An explicit mesh says so in the types. Under an automatic one the first batch axis is taken to lie along the axis
    named `BATCH`.
    """
    mesh, batch = _batch_spec(steps.x)
    if not any(batch) or any(_is_sharded(leaf) for leaf in jax.tree.leaves(params)):
        return _alone(run)(params, shared, steps)
    axes = {name for entry in batch if entry is not None for name in (entry if isinstance(entry, tuple) else (entry,))}
    specs = (
        jax.tree.map(lambda _: PartitionSpec(), params),
        jax.tree.map(lambda leaf: PartitionSpec(*batch) if jnp.ndim(leaf) else PartitionSpec(), shared),
        jax.tree.map(lambda _: PartitionSpec(None, *batch), steps),
    )
    if all(kind == AxisType.Explicit for kind in mesh.axis_types):
        params, shared, steps = jax.tree.map(partial(_reshard, mesh), (params, shared, steps), specs)
    outs = (PartitionSpec(*batch), PartitionSpec(None, *batch))
    return jax.shard_map(_alone(run), mesh=mesh, in_specs=specs, out_specs=outs, axis_names=axes)(params, shared, steps)


def placed(xs: jax.Array) -> jax.Array:
    """The array; one that is spread over devices tells the `jit` that closes over it which devices these are."""
    spread = not isinstance(xs, jax.core.Tracer) and len(xs.sharding.device_set) > 1
    return jax.device_put(xs, xs.sharding) if spread else xs


def _batch_spec(xs: jax.Array) -> tuple[Any, tuple[Any, ...]]:
    """The mesh of an array `(time, *batch, features)`, and one entry for each batch axis: the mesh axes it lies along,
    or None.
    """
    sharding = jax.typeof(xs).sharding
    mesh, count = sharding.mesh, xs.ndim - 2
    explicit = tuple(sharding.spec)[1 : 1 + count]
    if any(explicit):
        return mesh, explicit
    kinds = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
    if count and kinds.get(BATCH) == AxisType.Auto and xs.shape[1] % mesh.shape[BATCH] == 0:
        return mesh, (BATCH, *(None,) * (count - 1))
    return mesh, ()


def _is_sharded(leaf: jax.Array) -> bool:
    return any(jax.typeof(leaf).sharding.spec)


def _reshard(mesh: Any, leaf: jax.Array, spec: PartitionSpec) -> jax.Array:
    return jax.sharding.reshard(leaf, jax.sharding.NamedSharding(mesh, spec)) if jnp.ndim(leaf) else leaf


def _alone(run: Callable[..., Any]) -> Callable[..., Any]:
    """`run`, with parameters that vary over the devices as the batch does.

    Their gradients are then summed over the devices once, at the end, rather than in every step where they meet the
    batch.
    """

    def alone(params: Params, shared: Shared, steps: Steps) -> Any:
        # a zero that varies as the batch does; a sum, as there may be no rows to take one from
        zero = jnp.zeros_like(steps.x).sum()
        return run(jax.tree.map(lambda leaf: leaf + zero.astype(leaf.dtype), params), shared, steps)

    return alone


def varying_axes(x: jax.Array) -> frozenset[Any]:
    """The mesh axes over which an array inside `shard_map` may differ from device to device."""
    kind = jax.typeof(x)
    return kind.vma if hasattr(kind, "vma") else kind.manual_axis_type.varying


def vary(x: jax.Array, axes: frozenset[Any]) -> jax.Array:
    """The array as one that may differ over mesh axes inside `shard_map`."""
    missing = tuple(axes - varying_axes(x))
    return jax.lax.pcast(x, missing, to="varying") if missing else x
