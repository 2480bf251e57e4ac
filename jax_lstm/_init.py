"""Initializers: the weights of a layer or a stack, from a key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Never

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm import _checks
from jax_lstm._annotations import PRNGKeyArray
from jax_lstm._foreign import refuse_foreign
from jax_lstm._types import (
    GATES,
    Bidirectional,
    BlockDiagonalParams,
    Clip,
    Coupled,
    DiagonalParams,
    Exponential,
    Layer,
    LayerNorm,
    LSTMParams,
    Params,
)

Initializer = Callable[..., jax.Array]
"""`(key, shape, dtype) -> array`, as in `jax.nn.initializers`; called once per gate."""

_glorot = jax.nn.initializers.glorot_uniform()


def _orthogonal(key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    # One matrix at a time under vmap too: two batched QR factorizations in one program can wait for each other for ever
    # on a CPU of two cores (jaxlib 0.10: each holds a thread of the pool while it waits for the pool).
    wide = jnp.float32 if jnp.finfo(dtype).bits < 32 else dtype  # there is no QR factorization of half precision
    return jax.custom_batching.sequential_vmap(lambda key: jax.nn.initializers.orthogonal()(key, shape, wide))(
        key
    ).astype(dtype)


def uniform(hidden: int) -> Initializer:
    """Uniform in ±1/sqrt(hidden), PyTorch's choice for every array of an LSTM.

    >>> import jax
    >>> bool(abs(uniform(4)(jax.random.key(0), (100,))).max() <= 0.5)
    True
    """
    bound = 1 / np.sqrt(_checks.check_size(hidden, "hidden"))

    def initializer(key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return initializer


def init(
    key: PRNGKeyArray,
    features: int,
    hidden: int,
    *,
    input_init: Initializer = _glorot,
    recurrent_init: Initializer = _orthogonal,
    bias_init: Initializer | None = None,
    forget_bias: float | None = None,
    bias: bool = True,
    peephole: bool = False,
    projection: int | None = None,
    norm: bool = False,
    coupled: bool = False,
    diagonal: bool = False,
    heads: int | None = None,
    exponential: bool = False,
    clip: Clip | None = None,
    dtype: Any = None,
    **foreign: Never,
) -> Params:
    """The weights of one layer: orthogonal recurrent blocks, Glorot input blocks, zero biases but for the forget
    gate's.

    Args:
        key: a key of `jax.random`.
        features: the number of inputs of a step.
        hidden: the number of units.
        input_init: the initializer of each gate's block of `w_x (features, hidden)`.
        recurrent_init: the initializer of each gate's block of `w_h (out, hidden)`. A diagonal layer has a vector per
            gate there, and draws it uniform in ±1/sqrt(hidden) whatever is given here.
        bias_init: the initializer of each gate's block of `b (hidden,)`; zeros where None.
        forget_bias: the value of the forget gate's block of `b`, instead of what `bias_init` gives. Where None, it is
            one if `bias_init` is None (Jozefowicz et al. 2015 explain why), and `bias_init`'s otherwise.
        bias: whether there are biases at all.
        peephole: whether there are peepholes; they start at zero.
        projection: the width of a recurrent projection (Glorot).
        norm: layer normalization, with scales of one.
        coupled: whether the forget gate is one minus the input gate.
        diagonal: whether the recurrence is elementwise (`DiagonalParams`).
        heads: the number of heads, each of which sees only itself (`BlockDiagonalParams`), a divisor of `hidden`; None
            for one matrix of all units. The initializer of `w_h` then makes blocks of `(hidden/heads, hidden/heads)`.
        exponential: whether the layer of heads is an sLSTM, with exponential gates; `heads=1` for one matrix of all
            units.
        clip: bounds on the cell state or the pre-activations.
        dtype: the dtype of all arrays; JAX's default float where None.

    Raises:
        ValueError: a size below one, heads that do not divide the units, a projection of a layer of heads or a diagonal
            one, exponential gates without heads or together with another variant, or biases for a layer that has none.

    PyTorch's initial distribution is `uniform(hidden)` for all three initializers (it has two biases, which the one
    here is the sum of: `bias_init=lambda key, *rest: sum(uniform(hidden)(k, *rest) for k in jax.random.split(key))`).

    >>> import jax
    >>> params = init(jax.random.key(0), features=3, hidden=5)
    >>> params.w_x.shape, params.w_h.shape, params.b[5:10].tolist()
    ((3, 20), (5, 20), [1.0, 1.0, 1.0, 1.0, 1.0])
    """
    features, hidden = _checks.check_size(features, "features"), _checks.check_size(hidden, "hidden")
    dtype = _checks.float_dtype(dtype)
    _checks.check_key(key)
    if foreign:
        refuse_foreign("init", foreign)
    if clip is not None and not isinstance(clip, Clip):
        raise TypeError(f"clip is {_checks.what(clip)}, expected Clip(cell=…, gates=…), or None for no bound")
    flags = {"bias": bias, "peephole": peephole, "norm": norm, "coupled": coupled, "diagonal": diagonal}
    for name, value in (flags | {"exponential": exponential}).items():
        _checks.check_bool(value, name)
    if forget_bias is not None and (coupled or not bias):
        raise ValueError(
            f"forget_bias is {forget_bias} on a layer that has none, expected None: it is coupled, or has no biases"
        )
    if forget_bias is not None and not _checks.is_scalar(forget_bias) and jnp.shape(forget_bias) != (hidden,):
        raise ValueError(
            f"forget_bias is {_checks.what(forget_bias)}, expected a number, or an array of shape (hidden,) = "
            f"{(hidden,)}"
        )
    if exponential:
        _checks.check_given_with(heads, "heads", "exponential", "heads=1 for one matrix of all units")
    _check_recurrence(hidden, projection, diagonal, heads)
    out = hidden if projection is None else _checks.check_size(projection, "projection")
    gates = len(GATES) - coupled
    keys = jax.random.split(key, 2 * gates + 1)
    for_input, for_recurrent = _sized(input_init, "input_init"), _sized(recurrent_init, "recurrent_init")
    w_x = jnp.concatenate([for_input(k, (features, hidden), dtype) for k in keys[:gates]], axis=1)
    if diagonal:
        w_h = uniform(hidden)(keys[gates], (gates * hidden,), dtype)
    elif heads is not None:
        of_heads = jax.vmap(lambda k: for_recurrent(k, (hidden // heads, hidden // heads), dtype))
        w_h = jnp.concatenate([of_heads(jax.random.split(k, heads)) for k in keys[gates:-1]], axis=2)
    else:
        w_h = jnp.concatenate([for_recurrent(k, (out, hidden), dtype) for k in keys[gates:-1]], axis=1)
    b = None
    if bias:
        bias_keys = jax.random.split(jax.random.fold_in(key, 0), gates)
        initializer = _sized(jax.nn.initializers.zeros if bias_init is None else bias_init, "bias_init")
        b = jnp.concatenate([initializer(k, (hidden,), dtype) for k in bias_keys])
        if forget_bias is None and bias_init is None:
            forget_bias = 1.0
        if forget_bias is not None and not coupled:
            b = b.at[hidden : 2 * hidden].set(forget_bias)
    fields: dict[str, Any] = {
        "peephole": jnp.zeros((gates - 1, hidden), dtype) if peephole else None,
        "norm": _layer_norm(gates, hidden, dtype) if norm else None,
        "coupled": Coupled() if coupled else None,
        "clip": clip,
    }
    if diagonal:
        return DiagonalParams(w_x, w_h, b, **fields)
    if heads is not None:
        marked = BlockDiagonalParams(w_x, w_h, b, **fields, exponential=Exponential() if exponential else None)
        _checks.check_params(marked)
        return marked
    fields["projection"] = None if projection is None else _glorot(keys[-1], (hidden, out), dtype)
    return LSTMParams(w_x, w_h, b, **fields)


def init_network(
    key: PRNGKeyArray,
    features: int,
    hidden: Sequence[int],
    *,
    bidirectional: bool = False,
    input_init: Initializer = _glorot,
    recurrent_init: Initializer = _orthogonal,
    bias_init: Initializer | None = None,
    forget_bias: float | None = None,
    bias: bool = True,
    peephole: bool = False,
    projection: int | None = None,
    norm: bool = False,
    coupled: bool = False,
    diagonal: bool = False,
    heads: int | None = None,
    exponential: bool = False,
    clip: Clip | None = None,
    dtype: Any = None,
    **foreign: Never,
) -> tuple[Layer, ...]:
    """The weights of a stack: one layer for each size in `hidden`.

    Args:
        key: a key of `jax.random`.
        features: the number of inputs of a step.
        hidden: the number of units of each layer, from the input to the output.
        bidirectional: whether every layer is `Bidirectional(forward, backward)`.
        input_init, recurrent_init, bias_init, forget_bias, bias: as in `init`, for every layer.
        peephole, projection, norm, coupled, diagonal, heads, exponential, clip, dtype: as in `init`, for
            every layer.

    Raises:
        ValueError: no layer at all, or what `init` refuses.

    >>> import jax
    >>> [layer.w_x.shape for layer in init_network(jax.random.key(0), features=3, hidden=[5, 4])]
    [(3, 20), (5, 16)]
    """
    if foreign:
        refuse_foreign("init_network", foreign)
    _checks.check_bool(bidirectional, "bidirectional")
    if not isinstance(hidden, Sequence | np.ndarray) or not len(hidden):
        raise ValueError(f"hidden is {hidden!r}, expected one size per layer, as in [64, 64]")
    _checks.check_key(key)
    layers: list[Layer] = []
    for layer_key, size in zip(jax.random.split(key, len(hidden)), hidden, strict=True):
        ends = [
            init(
                direction_key,
                features,
                size,
                input_init=input_init,
                recurrent_init=recurrent_init,
                bias_init=bias_init,
                forget_bias=forget_bias,
                bias=bias,
                peephole=peephole,
                projection=projection,
                norm=norm,
                coupled=coupled,
                diagonal=diagonal,
                heads=heads,
                exponential=exponential,
                clip=clip,
                dtype=dtype,
            )
            for direction_key in (jax.random.split(layer_key) if bidirectional else [layer_key])
        ]
        layers.append(Bidirectional(*ends) if bidirectional else ends[0])
        features = sum(params.out for params in ends)
    return tuple(layers)


def chrono(key: PRNGKeyArray, params: Params, longest: int) -> Params:
    """The parameters with chrono biases for dependencies of up to `longest` steps (Tallec and Ollivier 2018).

    `b_f = log(u)` with `u` uniform in [1, longest - 1], `b_i = -b_f`, the other biases as they are. A coupled layer has
    no separate forget bias: its input gate gets `-b_f`, which has the same effect.

    >>> import jax
    >>> params = chrono(jax.random.key(1), init(jax.random.key(0), features=1, hidden=4), longest=100)
    >>> bool((params.b[:4] == -params.b[4:8]).all())
    True
    """
    _checks.check_key(key)
    params = _checks.unwrapped(params)
    sizes = _checks.check_params(params)
    if params.b is None:
        raise ValueError("params.b is None, expected biases to set: make the layer with bias=True")
    longest = _checks.check_size(longest, "longest", least=3)
    forget = jnp.log(jax.random.uniform(key, (sizes.hidden,), params.b.dtype, 1, longest - 1))
    b = params.b.at[: sizes.hidden].set(-forget)
    return params._replace(b=b if params.coupled is not None else b.at[sizes.hidden : 2 * sizes.hidden].set(forget))


def _sized(initializer: Any, name: str) -> Initializer:
    """An initializer that is refused by name if it is no function, or makes another shape than it was asked for."""
    if not callable(initializer):
        raise TypeError(f"{name} is {_checks.what(initializer)}, expected a function (key, shape, dtype) -> array")

    def draw(key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        block = initializer(key, shape, dtype)
        if jnp.shape(block) != shape:
            raise ValueError(f"{name} returned an array of shape {jnp.shape(block)}, expected the shape given, {shape}")
        return block

    return draw


def _check_recurrence(hidden: int, projection: int | None, diagonal: bool, heads: int | None) -> None:
    """Heads that divide the units, and at most one restriction of the recurrence."""
    if diagonal and projection is not None:
        raise ValueError(
            f"projection is {projection} on a diagonal layer, expected None: its units see only themselves"
        )
    if heads is None:
        return
    if diagonal or projection is not None:
        given = "diagonal is True" if diagonal else f"projection is {projection}"
        raise ValueError(f"{given} on a layer of {heads} heads, expected one of the two: leave the other out")
    if hidden % _checks.check_size(heads, "heads"):
        raise ValueError(f"heads is {heads}, expected a divisor of hidden = {hidden}")


def _layer_norm(gates: int, hidden: int, dtype: Any) -> LayerNorm:
    wide, units = jnp.ones(gates * hidden, dtype), jnp.ones(hidden, dtype)
    return LayerNorm(scale_x=wide, scale_h=wide, scale_c=units, bias_c=jnp.zeros_like(units))
