"""Initialisers: arrays for a layer, from a key; and the notebook's dictionary of gates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm import _checks
from jax_lstm._types import GATES, Clip, Coupled, DiagonalParams, LayerNorm, LSTMParams, Params

Initializer = Callable[..., jax.Array]
"""`(key, shape, dtype) -> array`, as in `jax.nn.initializers`; called once a gate."""

_glorot = jax.nn.initializers.glorot_uniform()


def _orthogonal(key, shape, dtype):
    # One matrix at a time also under vmap: two batched QR factorisations in one program can wait for each other for ever on a CPU of
    # two cores (jaxlib 0.10: each holds a thread of the pool while it waits for the pool).
    wide = jnp.float32 if jnp.finfo(dtype).bits < 32 else dtype  # there is no QR factorisation of half precision
    return jax.custom_batching.sequential_vmap(lambda key: jax.nn.initializers.orthogonal()(key, shape, wide))(key).astype(dtype)


def uniform(hidden: int) -> Initializer:
    """Uniform in ±1/sqrt(hidden), PyTorch's choice for every array of an LSTM.

    >>> import jax
    >>> bool(abs(uniform(4)(jax.random.key(0), (100,))).max() <= 0.5)
    True
    """
    bound = 1 / np.sqrt(_size(hidden, "hidden"))

    def initialise(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return initialise


def init(
    key: jax.Array,
    features: int,
    hidden: int,
    *,
    input_init: Initializer = _glorot,
    recurrent_init: Initializer = _orthogonal,
    forget_bias: float = 1.0,
    bias: bool = True,
    peephole: bool = False,
    projection: int | None = None,
    norm: bool = False,
    coupled: bool = False,
    diagonal: bool = False,
    clip: Clip | None = None,
    dtype=None,
) -> Params:
    """The weights of one layer: orthogonal recurrent blocks, Glorot input blocks, zero biases but for the forget gate's.

    Args:
        key: a key of `jax.random`.
        features: how many inputs a step has.
        hidden: how many units the layer has.
        input_init: the initialiser of each gate's block of `w_x (features, hidden)`.
        recurrent_init: the initialiser of each gate's block of `w_h (out, hidden)`. A diagonal layer has a vector a gate there, and
            draws it uniform in ±1/sqrt(hidden) whatever is given here.
        forget_bias: the forget gate's bias (Jozefowicz et al. 2015 on why it is one).
        bias: whether there are biases at all.
        peephole: whether there are peepholes; they begin at zero.
        projection: the width of a recurrent projection (Glorot).
        norm: layer normalisation, with gains of one.
        coupled: whether the forget gate is one minus the input gate.
        diagonal: whether the recurrence is elementwise (`DiagonalParams`).
        clip: bounds on the cell state or the pre-activations.
        dtype: the dtype of all arrays; JAX's default float where None.

    Raises:
        ValueError: a size below one, a projection of a diagonal layer, or a forget bias where there is no such bias.

    >>> import jax
    >>> params = init(jax.random.key(0), features=3, hidden=5)
    >>> params.w_x.shape, params.w_h.shape, params.b[5:10].tolist()
    ((3, 20), (5, 20), [1.0, 1.0, 1.0, 1.0, 1.0])
    """
    features, hidden = _size(features, "features"), _size(hidden, "hidden")
    dtype = _checks.float_dtype(dtype)
    _checks.check_key(key)
    if forget_bias != 1.0 and (coupled or not bias):
        raise ValueError(f"forget_bias is {forget_bias} on a layer that has none, expected the default: it is coupled, or has no biases")
    if diagonal and projection is not None:
        raise ValueError(f"projection is {projection} on a diagonal layer, expected None: its units see themselves alone")
    out = hidden if projection is None else _size(projection, "projection")
    gates = len(GATES) - coupled
    keys = jax.random.split(key, 2 * gates + 1)
    w_x = jnp.concatenate([input_init(k, (features, hidden), dtype) for k in keys[:gates]], axis=1)
    if diagonal:
        w_h = uniform(hidden)(keys[gates], (gates * hidden,), dtype)
    else:
        w_h = jnp.concatenate([recurrent_init(k, (out, hidden), dtype) for k in keys[gates:-1]], axis=1)
    b = jnp.zeros(gates * hidden, dtype)
    if not coupled:
        b = b.at[hidden : 2 * hidden].set(forget_bias)
    fields: dict[str, Any] = {
        "peephole": jnp.zeros((gates - 1, hidden), dtype) if peephole else None,
        "norm": LayerNorm(*(jnp.ones(gates * hidden, dtype),) * 2, jnp.ones(hidden, dtype), jnp.zeros(hidden, dtype)) if norm else None,
        "coupled": Coupled() if coupled else None,
        "clip": clip,
    }
    if diagonal:
        return DiagonalParams(w_x, w_h, b if bias else None, **fields)
    fields["projection"] = None if projection is None else _glorot(keys[-1], (hidden, out), dtype)
    return LSTMParams(w_x, w_h, b if bias else None, **fields)


def chrono(params: Params, key: jax.Array, longest: int) -> Params:
    """The parameters with chrono biases for dependencies of up to `longest` steps (Tallec and Ollivier 2018).

    `b_f = log(u)` with `u` uniform in [1, longest - 1], `b_i = -b_f`, the other biases as they are. A coupled layer has no forget bias
    of its own: its input gate gets `-b_f`, which is the same thing said once.

    >>> import jax
    >>> params = chrono(init(jax.random.key(0), features=1, hidden=4), jax.random.key(1), longest=100)
    >>> bool((params.b[:4] == -params.b[4:8]).all())
    True
    """
    sizes = _checks.check_params(params)
    _checks.check_key(key)
    if params.b is None:
        raise ValueError("params.b is None, expected biases to set: make the layer with bias=True")
    if not isinstance(longest, int) or longest < 3:
        raise ValueError(f"longest is {longest!r}, expected a number of steps of at least 3")
    forget = jnp.log(jax.random.uniform(key, (sizes.hidden,), params.b.dtype, 1, longest - 1))
    b = params.b.at[: sizes.hidden].set(-forget)
    return params._replace(b=b if params.coupled is not None else b.at[sizes.hidden : 2 * sizes.hidden].set(forget))


def from_gates(gates: Mapping[str, Sequence], *, diagonal: bool = False, dtype=None) -> Params:
    """A layer from the notebook's dictionary: for each of "forget", "input", "cell" and "output" a triple `(W, U, b)`.

    Args:
        gates: `W` weighs the input, `U` the last hidden state, `b` is the bias: scalars for one feature and one unit, or arrays
            `W (features, hidden)`, `U (hidden, hidden)`, `b (hidden,)`.
        diagonal: take `U` as `(hidden,)`, each unit seeing itself alone, and `W` as `(features, hidden)`, or `(hidden,)` for one feature:
            what the notebook computes when its numbers are arrays.
        dtype: the dtype of the result; that of the arrays where None, or JAX's default float where they are Python numbers.

    Returns:
        `LSTMParams`, or `DiagonalParams` where `diagonal`.

    Raises:
        ValueError: a gate that is missing, unknown or not a triple, or shapes that do not fit.

    >>> from_gates({"forget": (0.5, 0.1, 0), "input": (0.6, 0.2, 0), "cell": (0.7, 0.3, 0), "output": (0.8, 0.4, 0)}).w_x.tolist()
    [[0.6000000238418579, 0.5, 0.699999988079071, 0.800000011920929]]
    """
    wanted = ["cell" if gate == "candidate" else gate for gate in GATES]
    if not isinstance(gates, Mapping):
        raise TypeError(f"gates is a {type(gates).__name__}, expected a mapping with the keys {', '.join(wanted)}")
    said = [f"has no {name!r}" for name in wanted if name not in gates]
    said += [f"has an unknown {name!r}" for name in gates if name not in wanted]
    if said:
        raise ValueError(f"gates {' and '.join(said)}, expected the keys {', '.join(wanted)}")
    for name in wanted:
        if not isinstance(gates[name], Sequence) or len(gates[name]) != 3:
            raise ValueError(f"gates[{name!r}] is {gates[name]!r}, expected three values: input weight, recurrent weight, bias")
        for role, value in zip(("W", "U", "b"), gates[name], strict=True):
            if isinstance(value, str | bool | None | Sequence | Mapping):
                raise TypeError(f"gates[{name!r}]: {role} is {value!r}, expected a number or an array")
    if dtype is None:
        dtype = jnp.result_type(float, *(value for name in wanted for value in gates[name]))
    blocks = [_gate_block(name, [jnp.asarray(value, dtype) for value in gates[name]], diagonal) for name in wanted]
    for name, block in zip(wanted, blocks, strict=True):
        shapes, expected = (tuple(part.shape for part in one[:2]) for one in (block, blocks[0]))
        if shapes != expected:
            raise ValueError(f"gates[{name!r}] has W and U of shapes {shapes}, expected {expected}, as {wanted[0]!r} has them")
    w_x, w_h, b = (jnp.concatenate(parts, axis=-1) for parts in zip(*blocks, strict=True))
    params = DiagonalParams(w_x, w_h, b) if diagonal else LSTMParams(w_x, w_h, b)
    _checks.check_params(params, "from_gates(gates)")
    return params


def _gate_block(name: str, triple: Sequence[jax.Array], diagonal: bool) -> tuple[jax.Array, jax.Array, jax.Array]:
    """One gate's three arrays in full rank, or a refusal of the one that does not fit."""
    w, u, b = triple
    if u.ndim == 0:
        u = u.reshape((1,) if diagonal else (1, 1))
    if w.ndim == 0 or (diagonal and w.ndim == 1):
        w = w.reshape(1, -1)
    hidden = u.shape[-1]
    if b.ndim == 0:
        b = jnp.broadcast_to(b, hidden)
    recurrent = (hidden,) if diagonal else (hidden, hidden)
    for role, value, expected in (("W", w, (*w.shape[:1], hidden)), ("U", u, recurrent), ("b", b, (hidden,))):
        if value.shape != expected:
            raise ValueError(
                f"gates[{name!r}]: {role} has shape {value.shape}, expected {expected}: W (features, hidden), b (hidden,), "
                "and U (hidden, hidden), or (hidden,) with diagonal=True"
            )
    return w, u, b


def _size(value, name: str) -> int:
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}, expected a whole number")
    if value < 1:
        raise ValueError(f"{name} is {value}, expected at least 1")
    return int(value)
