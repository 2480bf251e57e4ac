"""The linear readout, and its fit in closed form."""

from __future__ import annotations

import jax.numpy as jnp

from jax_lstm import _checks
from jax_lstm._annotations import Array, Float
from jax_lstm._types import Readout


def readout(params: Readout, hs: Float[Array, "*axes out"]) -> Float[Array, "*axes outputs"]:
    """A linear function of the hidden state: `y = h @ w + b`.

    Args:
        params: `w (out, outputs)`, `b (outputs,)` or None.
        hs: hidden states `(*axes, out)`.

    Returns:
        `(*axes, outputs)`, in the dtype of `hs`.

    Raises:
        ValueError: widths that do not fit. TypeError: dtypes that differ.

    >>> import jax.numpy as jnp
    >>> readout(Readout(jnp.array([[4.0]])), jnp.array([0.75])).tolist()
    [3.0]
    """
    if not isinstance(params, Readout):
        raise TypeError(f"params is a {type(params).__name__}, expected Readout(w, b)")
    params = _checks.unwrapped(params)
    dtype = _checks.check_float(params.w, "params.w")
    if _checks.check_float(hs, "hs") != dtype:
        raise TypeError(f"hs is {hs.dtype}, but params.w is {dtype}: convert one of them with astype")
    if params.w.ndim != 2 or hs.shape[-1:] != params.w.shape[:1]:
        raise ValueError(
            f"hs has shape {hs.shape} and params.w {params.w.shape}, expected (*axes, out) and (out, outputs)"
        )
    y = jnp.dot(hs, params.w)
    if params.b is None:
        return y
    if _checks.check_float(params.b, "params.b") != dtype:
        raise TypeError(f"params.b is {params.b.dtype}, but params.w is {dtype}: convert one of them with astype")
    if params.b.shape != params.w.shape[1:]:
        raise ValueError(f"params.b has shape {params.b.shape}, expected (outputs,) = {params.w.shape[1:]}")
    return y + jnp.expand_dims(params.b, range(y.ndim - 1))


def fit_readout(
    hs: Float[Array, "samples out"], targets: Float[Array, "samples outputs"], *, bias: bool = True
) -> Readout:
    """The readout with the least squared error, in closed form: `min ||hs @ w + b - targets||²`, that of least norm
    where there are many.

    Args:
        hs: hidden states `(samples, out)`.
        targets: `(samples, outputs)`, of the same dtype.
        bias: whether there is a `b`.

    Raises:
        ValueError: shapes that do not fit. TypeError: dtypes that differ.

    >>> import jax.numpy as jnp
    >>> hs = jnp.array([[0.1], [0.2], [0.4]])
    >>> fit_readout(hs, 4 * hs, bias=False).w.round(4).tolist()
    [[4.0]]
    """
    dtype = _checks.check_float(hs, "hs")
    if _checks.check_float(targets, "targets") != dtype:
        raise TypeError(f"targets is {targets.dtype}, but hs is {dtype}: convert one of them with astype")
    if hs.ndim != 2 or targets.ndim != 2 or hs.shape[0] != targets.shape[0]:
        raise ValueError(
            f"hs has shape {hs.shape} and targets {targets.shape}, expected (samples, out) and (samples, outputs)"
        )
    if hs.shape[0] == 0:
        raise ValueError("hs has no samples, expected at least one")
    if not bias:
        return Readout(jnp.linalg.lstsq(hs, targets)[0])
    # centered, rather than with a column of ones for the bias: the problem is better conditioned, and the least norm
    # is that of w, without the bias
    h_mean, y_mean = hs.mean(axis=0, keepdims=True), targets.mean(axis=0, keepdims=True)
    w = jnp.linalg.lstsq(hs - h_mean, targets - y_mean)[0]
    return Readout(w, (y_mean - jnp.dot(h_mean, w))[0])
