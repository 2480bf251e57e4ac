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
"""The name of the mesh axis that the batch is sharded over; under automatic axes a layer finds it by this name."""


def over_batch(run: Callable[..., Any], params: Params, shared: Shared, steps: Steps) -> Any:
    """`run(params, shared, steps)`, on each device separately where the batch axes of `steps.x` are sharded.

    An explicit mesh says so in the types. Under an automatic one the first batch axis is taken to lie along the axis
    named `BATCH`.
    """
    mesh, batch = _batch_spec(steps.x)
    if not any(batch):
        return run(*_with_equal_axes(params, shared, steps))
    axes = {name for entry in batch if entry is not None for name in (entry if isinstance(entry, tuple) else (entry,))}
    specs = (
        jax.tree.map(lambda _: PartitionSpec(), params),
        jax.tree.map(lambda leaf: PartitionSpec(*batch) if jnp.ndim(leaf) else PartitionSpec(), shared),
        jax.tree.map(lambda _: PartitionSpec(None, *batch), steps),
    )
    if all(kind == AxisType.Explicit for kind in mesh.axis_types):
        params, shared, steps = jax.tree.map(partial(_reshard, mesh), (params, shared, steps), specs)
    outs = (PartitionSpec(*batch), PartitionSpec(None, *batch))

    def on_one_device(*arguments: Any) -> Any:
        return run(*_with_equal_axes(*arguments))

    return jax.shard_map(on_one_device, mesh=mesh, in_specs=specs, out_specs=outs, axis_names=axes)(
        params, shared, steps
    )


def refuse_other_shardings(params: Any, xs: jax.Array, others: dict[str, Any]) -> None:
    """Refuse what an explicit mesh shards along anything but batch axes: a recurrence runs whole on its rows."""
    for path, leaf in jax.tree.leaves_with_path(params):
        if _is_sharded(leaf):
            where = f"params{jax.tree_util.keystr(path)}"
            raise ValueError(
                f"{where} is {jax.typeof(leaf)}, sharded over the mesh, expected whole on every device: "
                "jax_lstm.parallel.replicate(params, mesh)"
            )
    spec = tuple(jax.typeof(xs).sharding.spec)
    named = {"time": spec[:1], "features": spec[xs.ndim - 1 :]}
    for axis, entry in named.items():
        if any(entry):
            raise ValueError(
                f"xs is {jax.typeof(xs)}, with {axis} sharded over the mesh, expected only batch axes to be: "
                "jax.sharding.reshard(xs, PartitionSpec(None, 'batch'))"
            )
    for name, tree in others.items():
        if not any(spec) and any(_is_sharded(leaf) for leaf in jax.tree.leaves(tree)):
            raise ValueError(
                f"{name} is sharded over the mesh, but xs is not, expected both or none: "
                "jax_lstm.parallel.shard_batch(xs, mesh)"
            )


def on_each_part(
    run: Callable[..., Any], operands: list[jax.Array], axes: list[int | None], axes_out: list[int] | None
) -> Any:
    """`run(*operands)`, on each device separately where an explicit mesh shards the axes of `jax.vmap`.

    Args:
        run: the function of all operands.
        operands: arrays.
        axes: the axis of `jax.vmap` in each; None where it has none.
        axes_out: the same for the outputs; None for the first axis of each.
    """
    found = [(one, axis) for one, axis in zip(operands, axes, strict=True) if axis is not None]
    entries = {jax.typeof(one).sharding.spec[axis] for one, axis in found} - {None}
    if not entries:
        return run(*operands)
    (entry,) = entries
    mesh = jax.sharding.get_abstract_mesh()
    specs = tuple(PartitionSpec() if axis is None else PartitionSpec(*(None,) * axis, entry) for axis in axes)
    placed_operands = [_reshard(mesh, one, spec) for one, spec in zip(operands, specs, strict=True)]
    if axes_out is None:
        outs: Any = PartitionSpec(entry)
    else:
        outs = [PartitionSpec(*(None,) * axis, entry) for axis in axes_out]
    names = set(entry if isinstance(entry, tuple) else (entry,))
    mapped = jax.shard_map(
        lambda *given: list(run(*given)), mesh=mesh, in_specs=specs, out_specs=outs, axis_names=names
    )
    return mapped(*placed_operands)


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
    if not count or kinds.get(BATCH) != AxisType.Auto or _is_vmapped_over(BATCH) or xs.shape[1] % mesh.shape[BATCH]:
        return mesh, ()
    return mesh, (BATCH, *(None,) * (count - 1))


def _is_vmapped_over(name: str) -> bool:
    """Whether an enclosing `jax.vmap(…, spmd_axis_name=name)` spreads an axis of its own over that mesh axis."""
    from jax._src.core import get_axis_env  # there is no public way to ask

    return name in get_axis_env().spmd_axis_names


def _is_sharded(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and any(jax.typeof(leaf).sharding.spec)


def _reshard(mesh: Any, leaf: jax.Array, spec: PartitionSpec) -> jax.Array:
    return jax.sharding.reshard(leaf, jax.sharding.NamedSharding(mesh, spec)) if jnp.ndim(leaf) else leaf


def _with_equal_axes(*arguments: Any) -> Any:
    """Arrays that inside `shard_map` all vary over the devices as the batch does.

    The gradients of the parameters are then summed over the devices once, at the end, rather than in every step where
    they meet the batch.
    """
    axes = frozenset().union(*(varying_axes(leaf) for leaf in jax.tree.leaves(arguments)))
    return jax.tree.map(partial(vary, axes=axes), arguments)


def varying_axes(x: jax.Array) -> frozenset[Any]:
    """The mesh axes over which an array inside `shard_map` may differ from device to device."""
    kind = jax.typeof(x)
    return kind.vma if hasattr(kind, "vma") else kind.manual_axis_type.varying


def vary(x: jax.Array, axes: frozenset[Any]) -> jax.Array:
    """The array as one that may differ over mesh axes inside `shard_map`."""
    missing = tuple(axes - varying_axes(x))
    return jax.lax.pcast(x, missing, to="varying") if missing else x


def like(kind: jax.core.ShapedArray, shape: tuple[Any, ...], dtype: Any) -> jax.core.ShapedArray:
    """The type of an array that is sharded over no axis, and varies inside `shard_map` as one of type `kind` does."""
    sharding = kind.sharding.update(spec=PartitionSpec(*(None,) * len(shape)))
    return kind.update(shape=shape, dtype=jnp.dtype(dtype), weak_type=False, sharding=sharding)
