"""Arrays of any framework as NumPy arrays, without importing the framework."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def is_array(value: Any) -> bool:
    """Whether a value is an array, a tensor or a variable of some framework."""
    return hasattr(value, "shape") and hasattr(value, "dtype")


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape of an array of any framework, () where a value has none."""
    return tuple(getattr(value, "shape", ()))


def as_numpy(value: Any, name: str) -> np.ndarray:
    """A floating-point array that JAX can hold as it is, or a refusal."""
    try:
        array = np.asarray(_detached(value))
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} is a {type(value).__name__} that NumPy cannot read: {error}") from error
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(f"{name} is {array.dtype}, expected a floating-point array: convert it with astype(np.float32)")
    if jax.dtypes.canonicalize_dtype(array.dtype) != array.dtype:
        raise ValueError(
            f"{name} is {array.dtype}, which JAX would round: allow it with jax.config.update('jax_enable_x64', True), "
            "or convert it with astype(np.float32)"
        )
    return array


def copied(array: np.ndarray) -> jax.Array:
    """A copy on the device: the framework's array may change afterwards, and must not change the layer."""
    return jnp.array(array, copy=True)


def _detached(value: Any) -> Any:
    """A PyTorch tensor as an array on the CPU, the array inside a wrapper (`nnx.Param`), anything else as it is."""
    if hasattr(value, "unbox"):  # Flax's boxes of metadata, such as those of with_partitioning
        value = value.unbox()
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.dequantize() if value.is_quantized else value
        if str(value.dtype) == "torch.bfloat16":  # NumPy has no such type; through float32 every value stays as it is
            return value.float().numpy().astype(jnp.bfloat16)
        return value.numpy()
    return value.__jax_array__() if hasattr(value, "__jax_array__") else value


def check_table(table: Any, name: str, features: int) -> None:
    """A refusal of a table of another width than the first layer takes."""
    if table.ndim != 2 or table.shape[1] != features:
        raise ValueError(
            f"{name} has shape {table.shape}, expected (tokens, {features}), as the first layer has {features} inputs"
        )
