"""Regularisers: each a pure function of an explicit key. What is drawn is an array, so that a stream can be cut anywhere."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jax_lstm import _checks
from jax_lstm._types import LSTMParams, Params, Zoneout


def dropout_mask(key: jax.Array, rate: float, shape: tuple[int, ...], dtype=None) -> jax.Array:
    """A factor of 0 with probability `rate`, else of `1 / (1 - rate)`: one mask for all steps (Gal and Ghahramani 2016).

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


def zoneout_masks(key: jax.Array, params: Params, xs: jax.Array, *, hidden: float, cell: float) -> Zoneout:
    """Which units keep their last state at which step, drawn with the rates `hidden` and `cell` (Krueger et al. 2017).

    Args:
        key: a key of `jax.random`.
        params: the layer, for its sizes.
        xs: its inputs `(time, *batch, features)`, for their axes.
        hidden: how often a unit keeps its hidden state, in [0, 1).
        cell: how often it keeps its cell state.

    >>> import jax, jax.numpy as jnp
    >>> from jax_lstm import init
    >>> zoneout_masks(jax.random.key(0), init(jax.random.key(1), 3, 5), jnp.ones((7, 2, 3)), hidden=0.1, cell=0.5).cell.shape
    (7, 2, 5)
    """
    sizes = _checks.check_sequence(params, xs)
    _checks.check_key(key)
    _checks.check_rate(hidden, "hidden")
    _checks.check_rate(cell, "cell")
    keys = jax.random.split(key)
    return Zoneout(
        jax.random.bernoulli(keys[0], hidden, (*xs.shape[:-1], sizes.out)),
        jax.random.bernoulli(keys[1], cell, (*xs.shape[:-1], sizes.hidden)),
    )


def drop_connect(params: LSTMParams, key: jax.Array, rate: float) -> LSTMParams:
    """The parameters with recurrent weights dropped at random, those kept scaled by `1 / (1 - rate)` (Merity et al. 2018).

    >>> import jax
    >>> from jax_lstm import init
    >>> params = drop_connect(init(jax.random.key(0), 3, 5), jax.random.key(1), 0.9)
    >>> bool((params.w_h == 0).mean() > 0.5)
    True
    """
    _checks.check_params(params)
    return params._replace(w_h=params.w_h * dropout_mask(key, rate, params.w_h.shape, params.w_h.dtype))
