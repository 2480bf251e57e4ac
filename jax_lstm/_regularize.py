"""Regularizers: each a pure function of an explicit key. What is drawn is an array, so that a stream can be cut
anywhere.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jax_lstm import _call, _checks
from jax_lstm._annotations import Array, Float, PRNGKeyArray
from jax_lstm._types import Params, Zoneout


def dropout_mask(
    key: PRNGKeyArray, rate: float | Float[Array, ""], shape: tuple[int, ...], dtype: Any = None
) -> Float[Array, "..."]:
    """A factor of 0 with probability `rate`, else of `1 / (1 - rate)`: one mask for all steps (Gal and Ghahramani
    2016).

    Multiply the inputs by a mask `(*batch, features)`, or give `lstm` a `recurrent_mask (*batch, out)`.

    Raises:
        ValueError: a rate outside [0, 1).

    >>> import jax
    >>> sorted(set(dropout_mask(jax.random.key(0), 0.5, (20,)).tolist()))
    [0.0, 2.0]
    """
    _checks.check_key(key)
    _checks.check_rate(rate, "rate")
    dtype = _checks.float_dtype(dtype)
    keep = 1 - rate
    return jnp.where(jax.random.bernoulli(key, keep, shape), jnp.asarray(1 / keep, dtype), jnp.zeros((), dtype))


def zoneout_masks(
    key: PRNGKeyArray,
    params: Params,
    xs: Float[Array, "time *batch features"],
    *,
    hidden: float | Float[Array, ""] | None,
    cell: float | Float[Array, ""] | None,
) -> Zoneout:
    """Which units keep their previous state at which step, drawn with the rates `hidden` and `cell` (Krueger et al.
    2017).

    Args:
        key: a key of `jax.random`.
        params: the layer, for its sizes.
        xs: its inputs `(time, *batch, features)`, for their axes.
        hidden: the probability that a unit keeps its hidden state, in [0, 1); None for never.
        cell: the same for its cell state.

    >>> import jax, jax.numpy as jnp
    >>> from jax_lstm import init
    >>> params = init(jax.random.key(1), 3, 5)
    >>> zoneout_masks(jax.random.key(0), params, jnp.ones((7, 2, 3)), hidden=0.1, cell=0.5).cell.shape
    (7, 2, 5)
    """
    sizes = _call.check_sequence(params, xs)
    _checks.check_key(key)
    masks = []
    for name, rate, size, mask_key in zip(
        ("hidden", "cell"), (hidden, cell), (sizes.out, sizes.hidden), jax.random.split(key), strict=True
    ):
        _checks.check_rate(rate, name, optional=True)
        masks.append(None if rate is None else jax.random.bernoulli(mask_key, rate, (*xs.shape[:-1], size)))
    return Zoneout(*masks)


def drop_connect(key: PRNGKeyArray, params: Params, rate: float | Float[Array, ""]) -> Params:
    """The parameters with recurrent weights dropped at random, those kept scaled by `1 / (1 - rate)` (Merity et al.
    2018).

    >>> import jax
    >>> from jax_lstm import init
    >>> params = drop_connect(jax.random.key(1), init(jax.random.key(0), 3, 5), 0.9)
    >>> bool((params.w_h == 0).mean() > 0.5)
    True
    """
    _checks.check_key(key)
    params = _checks.unwrapped(params)
    _checks.check_params(params)
    return params._replace(w_h=params.w_h * dropout_mask(key, rate, params.w_h.shape, params.w_h.dtype))
