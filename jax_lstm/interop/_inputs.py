"""What models do with their inputs before the first layer: a normalization, which becomes part of its weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jax_lstm import _checks
from jax_lstm._types import Bidirectional, Layer, Params, directions
from jax_lstm.interop._stack import Layers, join_directions


class Affine(NamedTuple):
    """The function `xs * factor + offset` of inputs, each a number or one per feature."""

    factor: Any = 1.0
    offset: Any = 0.0

    def after(self, first: Affine) -> Affine:
        """The function that applies another one first."""
        return Affine(self.factor * first.factor, self.factor * first.offset + self.offset)


NO_CHANGE = Affine()
"""The function that gives inputs as they are."""


def fold_inputs(layers: Layers, shift: Any, scale: Any = 1.0) -> tuple[Layer, ...]:
    """The layers that compute of `xs` what the given ones compute of `(xs - shift) / scale`.

    `W_x' = W_x / scale` and `b' = b - (shift / scale) W_x`, computed in float64 and rounded once. Raw inputs then give
    the outputs of normalized ones up to rounding, which grows with `|shift| / scale`. Steps past `lengths` and masked
    ones stay without effect; padding that the layers run over is normalized like data: pad with `shift` where a model
    pads with zeros after it. A `dropout_mask` would drop raw inputs, so train with the layers as they were.

    Args:
        layers: a layer or a tuple of layers, of which the first changes; it has no layer normalization.
        shift: what is subtracted of the inputs: a number, or `(features,)`.
        scale: what they are divided by: the same.

    Returns:
        A tuple of layers for `network`.

    Raises:
        ValueError: numbers of another shape, not finite, or a scale of zero; a layer with `norm`.

    >>> import jax
    >>> from jax_lstm import init_network, network
    >>> layers = init_network(jax.random.key(0), features=3, hidden=[5])
    >>> xs = jax.random.normal(jax.random.key(1), (7, 2, 3))
    >>> folded = fold_inputs(layers, shift=2.0, scale=3.0)
    >>> bool(jnp.allclose(network(folded, xs)[1], network(layers, (xs - 2.0) / 3.0)[1], atol=1e-6))
    True
    """
    shift, scale = (np.asarray(value, np.float64) for value in (shift, scale))
    if not scale.all() or not np.isfinite(scale).all():
        raise ValueError("scale has a number that is zero or not finite: leave out that feature")
    return fold(layers, Affine(1 / scale, -shift / scale))


def fold(layers: Layers, affine: Affine) -> tuple[Layer, ...]:
    """The layers that compute of `xs` what the given ones compute of a function of them."""
    first, *others = _checks.check_stack((layers,) if isinstance(layers, Params | Bidirectional) else layers)
    return join_directions([_folded(side, name, affine) for name, side in directions(first, "layers[0]")]), *others


def _folded(params: Params, name: str, affine: Affine) -> Params:
    features = _checks.check_params(params, name).features
    factor, offset = (np.asarray(value, np.float64) for value in affine)
    for array in (factor, offset):
        if array.shape not in ((), (1,), (features,)) or not np.isfinite(array).all():
            raise ValueError(
                f"the normalization has numbers of shape {array.shape}, expected finite ones, () or ({features},) for "
                f"the {features} inputs of {name}"
            )
    if params.norm is not None:
        raise ValueError(f"{name} has norm, which normalizes x @ w_x without its bias: normalize the inputs instead")
    dtype = params.w_x.dtype
    with np.errstate(all="ignore"):  # what overflows is refused below
        w_x = np.asarray(params.w_x, np.float64)
        b = np.broadcast_to(offset, features) @ w_x
        if params.b is not None:
            b = b + np.asarray(params.b, np.float64)
        w_x, b = (w_x * np.broadcast_to(factor, features)[:, None]).astype(dtype), b.astype(dtype)
    if not (np.isfinite(w_x).all() and np.isfinite(b).all()):
        raise ValueError(f"the weights of {name} times the normalization are not finite {dtype} numbers")
    keeps_none = params.b is None and not offset.any()
    folded: Params = params._replace(w_x=jnp.asarray(w_x), b=None if keeps_none else jnp.asarray(b))
    return folded
