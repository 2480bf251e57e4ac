"""First derivatives by a kernel, all further ones by a plain schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def with_derivatives(
    value: Callable[..., Any], saving: Callable[..., Any], backward: Callable[..., Any], plain: Callable[..., Any]
) -> Callable[..., Any]:
    """A function of `(arrays, conditions)` whose value and gradient are a kernel's, and whose second derivatives are a
    plain schedule's.

    Args:
        value: `(arrays, conditions) -> out`, the kernel. `arrays` is a tree of floats; `conditions`, of integers and
        booleans, has no
            gradient.
        saving: `(arrays, conditions) -> (out, saved)`, the kernel with what its backward pass needs.
        backward: `(arrays, conditions, saved, d_out) -> d_arrays`.
        plain: the same function as `value`, differentiable any number of times.

    Returns:
        The function; in its gradients `saved` counts as part of the computation, not as an input of it.
    """

    def plain_pullback(arrays: Any, conditions: Any, d_out: Any) -> Any:
        return jax.vjp(lambda arrays: plain(arrays, conditions), arrays)[1](d_out)[0]

    run = jax.custom_vjp(value)
    run_saving = jax.custom_vjp(saving)
    pullback = jax.custom_vjp(backward)

    def run_forward(arrays: Any, conditions: Any) -> Any:
        out, saved = run_saving(arrays, conditions)
        return out, (arrays, conditions, saved)

    def run_backward(residuals: Any, d_out: Any) -> Any:
        return pullback(*residuals, d_out), None

    def saving_forward(arrays: Any, conditions: Any) -> Any:
        return saving(arrays, conditions), (arrays, conditions)

    def saving_backward(residuals: Any, cotangents: Any) -> Any:
        return plain_pullback(residuals[0], residuals[1], cotangents[0]), None

    def pullback_forward(arrays: Any, conditions: Any, saved: Any, d_out: Any) -> Any:
        return backward(arrays, conditions, saved, d_out), (arrays, conditions, saved, d_out)

    def pullback_backward(residuals: Any, cotangents: Any) -> Any:
        arrays, conditions, saved, d_out = residuals
        _, pull = jax.vjp(lambda arrays, d_out: plain_pullback(arrays, conditions, d_out), arrays, d_out)
        d_arrays, d_d_out = pull(cotangents)
        return d_arrays, None, jax.tree.map(jnp.zeros_like, saved), d_d_out

    run.defvjp(run_forward, run_backward)
    run_saving.defvjp(saving_forward, saving_backward)
    pullback.defvjp(pullback_forward, pullback_backward)
    return run
