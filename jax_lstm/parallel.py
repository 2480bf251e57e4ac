"""All cores, several GPUs, several hosts: the batch is sharded over a mesh, everything else is as on one device."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jax_lstm import _checks
from jax_lstm._sharding import BATCH

__all__ = ["GPU_COMPILER_OPTIONS", "batch_mesh", "keep_freed_memory", "replicate", "shard_batch", "use_all_cores"]

Tree = TypeVar("Tree")

GPU_COMPILER_OPTIONS = {
    "xla_gpu_enable_command_buffer": "FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,DYNAMIC_SLICE_FUSION,WHILE",
    "xla_gpu_enable_triton_gemm": False,
}
"""Options of XLA for NVIDIA GPUs, for the outermost `jax.jit(…, compiler_options=GPU_COMPILER_OPTIONS)`: a library
cannot set them.

With the first, loops are part of a command buffer (a CUDA graph), rather than launched kernel by kernel from the host
at every step. With the second, a step's product is one kernel of cuBLAS, where XLA may take two. The programs are
checked, but no GPU was at hand to time them.
"""


def use_all_cores(count: int | None = None) -> int:
    """Make every CPU core a device; call it before the first computation of the process.

    Args:
        count: how many devices; the cores this process may use where None.

    Returns:
        The number of devices.

    Raises:
        RuntimeError: JAX has already started, so that it is too late.

    Called once JAX runs, as in the second line here, it says so:

    >>> started = jax.devices()
    >>> use_all_cores(len(started) + 1)
    Traceback (most recent call last):
    RuntimeError: JAX has already started: call use_all_cores() before the first computation, at the top of the program
    """
    if count is None:
        count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError as error:
        raise RuntimeError(
            "JAX has already started: call use_all_cores() before the first computation, at the top of the program"
        ) from error
    return count


def keep_freed_memory() -> None:
    """Let the process keep the memory it frees, instead of asking Linux for fresh pages in every call; call it at the
    top of the program.

    First touching a fresh page costs more than the arithmetic on it: gradients on a CPU may be a fifth faster. The
    price is that the whole process holds the most memory it ever had, so it is never done unasked. Needs the C
    library of most Linux systems, glibc.

    Raises:
        RuntimeError: another C library.

    >>> keep_freed_memory()
    """
    # of malloc.h: M_TRIM_THRESHOLD, M_MMAP_MAX, and M_ARENA_MAX, as the arenas of other threads than the first are
    # small and map the rest
    settings = {-1: 2**31 - 1, -4: 0, -8: 1}
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None or not all(mallopt(name, value) for name, value in settings.items()):
        raise RuntimeError(
            "keep_freed_memory() needs glibc's mallopt, which this system does not have: leave the call out"
        )


def batch_mesh(devices: Sequence[jax.Device] | None = None, *, explicit: bool = False) -> Mesh:
    """A mesh of one axis, `BATCH`, over all devices (of all processes), or over those given.

    Args:
        devices: the devices; all where None.
        explicit: an axis whose sharding is part of the types, rather than one the compiler propagates.

    >>> batch_mesh().axis_names
    ('batch',)
    """
    devices = jax.devices() if devices is None else list(devices)
    return jax.make_mesh(
        (len(devices),), (BATCH,), axis_types=(AxisType.Explicit if explicit else AxisType.Auto,), devices=devices
    )


def shard_batch(tree: Tree, mesh: Mesh | None = None, *, axis: int = 1) -> Tree:
    """The arrays of a tree, their batch axis spread over the mesh; works on values and, inside `jit`, on tracers.

    Args:
        tree: arrays that have the batch at `axis`: 1 for `xs (time, batch, features)`, 0 for `lengths (batch)` and
            carries.
        mesh: where to; `batch_mesh()` where None.
        axis: the batch axis of every array in the tree.

    Raises:
        ValueError: a batch that the devices do not divide.

    >>> import jax.numpy as jnp
    >>> shard_batch(jnp.ones((7, 8, 3))).shape
    (7, 8, 3)
    """
    mesh = batch_mesh() if mesh is None else mesh
    axis = _checks.check_size(axis, "axis", least=0)
    _check_batch_axis(tree, axis, mesh.size)
    return _place(tree, mesh, PartitionSpec(*(None,) * axis, BATCH))


def replicate(tree: Tree, mesh: Mesh | None = None) -> Tree:
    """The arrays of a tree, whole on every device of the mesh: parameters, optimizer states.

    >>> import jax.numpy as jnp
    >>> replicate(jnp.ones(3)).shape
    (3,)
    """
    return _place(tree, batch_mesh() if mesh is None else mesh, PartitionSpec())


def _place(tree: Tree, mesh: Mesh, spec: PartitionSpec) -> Tree:
    sharding = NamedSharding(mesh, spec)

    def place(leaf: Any) -> Any:
        if isinstance(leaf, jax.core.Tracer):
            return (
                jax.sharding.reshard(leaf, sharding)
                if mesh.are_all_axes_explicit
                else jax.lax.with_sharding_constraint(leaf, sharding)
            )
        if sharding.is_fully_addressable or (isinstance(leaf, jax.Array) and not leaf.is_fully_addressable):
            return jax.device_put(leaf, sharding)
        # several processes, each of which has the whole array and keeps its share
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(place(jax.random.key_data(leaf)), impl=jax.random.key_impl(leaf))
        return jax.make_array_from_callback(leaf.shape, sharding, np.asarray(leaf).__getitem__)

    return jax.tree.map(place, tree)


def _check_batch_axis(tree: Any, axis: int, devices: int) -> None:
    """Arrays whose batch axis the devices divide."""
    for path, leaf in jax.tree.leaves_with_path(tree):
        where = f"tree{jax.tree_util.keystr(path)}"
        if leaf.ndim <= axis:
            raise ValueError(
                f"{where} has shape {leaf.shape}, expected a batch at axis {axis}: say which one with axis="
            )
        if leaf.shape[axis] % devices:
            raise ValueError(
                f"{where} has {leaf.shape[axis]} rows at axis {axis}, expected a multiple of the {devices} devices: "
                "pad or drop rows"
            )


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
