"""Layers from a dictionary of gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jax_lstm import _checks
from jax_lstm._types import GATES, DiagonalParams, LSTMParams, Params


def from_gates(gates: Mapping[str, Sequence[Any]], *, diagonal: bool = False, dtype: Any = None) -> Params:
    """A layer from a gate dictionary: for each of "forget", "input", "cell" and "output" a triple `(W, U, b)`.

    Args:
        gates: `W` multiplies the input, `U` the previous hidden state, `b` is the bias: scalars for one feature and one
            unit, or arrays `W (features, hidden)`, `U (hidden, hidden)`, `b (hidden,)`.
        diagonal: take `U` as `(hidden,)`, each unit seeing only itself, and `W` as `(features, hidden)`, or `(hidden,)`
            for one feature.
        dtype: the dtype of the result; that of the arrays where None, or JAX's default float where they are Python
            numbers.

    Returns:
        `LSTMParams`, or `DiagonalParams` where `diagonal`.

    Raises:
        ValueError: a gate that is missing, unknown or not a triple, or shapes that do not fit.

    >>> gates = {"forget": (0.5, 0.1, 0), "input": (0.6, 0.2, 0), "cell": (0.7, 0.3, 0), "output": (0.8, 0.4, 0)}
    >>> from_gates(gates).w_x.tolist()
    [[0.6000000238418579, 0.5, 0.699999988079071, 0.800000011920929]]
    """
    wanted = ["cell" if gate == "candidate" else gate for gate in GATES]
    if not isinstance(gates, Mapping):
        raise TypeError(f"gates is a {type(gates).__name__}, expected a mapping with the keys {', '.join(wanted)}")
    faults = [f"has no {name!r}" for name in wanted if name not in gates]
    faults += [f"has an unknown {name!r}" for name in gates if name not in wanted]
    if faults:
        raise ValueError(f"gates {' and '.join(faults)}, expected the keys {', '.join(wanted)}")
    for name in wanted:
        if not isinstance(gates[name], Sequence) or len(gates[name]) != 3:
            raise ValueError(
                f"gates[{name!r}] is {gates[name]!r}, expected three values: input weight, recurrent weight, bias"
            )
        for role, value in zip(("W", "U", "b"), gates[name], strict=True):
            if isinstance(value, str | bool | None | Sequence | Mapping):
                raise TypeError(f"gates[{name!r}]: {role} is {value!r}, expected a number or an array")
    if dtype is None:
        dtype = jnp.result_type(float, *(value for name in wanted for value in gates[name]))
    blocks = [_gate_block(name, [jnp.asarray(value, dtype) for value in gates[name]], diagonal) for name in wanted]
    for name, block in zip(wanted, blocks, strict=True):
        shapes, expected = (tuple(part.shape for part in one[:2]) for one in (block, blocks[0]))
        if shapes != expected:
            raise ValueError(
                f"gates[{name!r}] has W and U of shapes {shapes}, expected {expected}, as {wanted[0]!r} has them"
            )
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
                f"gates[{name!r}]: {role} has shape {value.shape}, expected {expected}: W (features, hidden), b "
                "(hidden,), "
                "and U (hidden, hidden), or (hidden,) with diagonal=True"
            )
    return w, u, b
