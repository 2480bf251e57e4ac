"""The equations, once. A step is products, a pointwise update and, where there is one, a projection:

    z = x W_x + h W_h                                   products
    i = sigmoid(z_i + b_i + p_i c)                      update
    f = sigmoid(z_f + b_f + p_f c)      or 1 - i
    g = tanh(z_g + b_g)
    c'= f c + i g
    o = sigmoid(z_o + b_o + p_o c')
    m = o tanh(c')
    h'= m W_p                           or m            project

with sigmoid and tanh by element and gates in the order of `GATES`. An optional term is there only if its field is.
Exponential gates (sLSTM) have a normalizer n, and a stabilizer s that keeps every exponent at most zero:

    s'= max(log sigmoid(z_f + b_f) + s, z_i + b_i)
    i = exp(z_i + b_i - s')
    f = exp(log sigmoid(z_f + b_f) + s - s')
    c'= f c + i g
    n'= f n + i
    m = o c' / n'
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jax_lstm._annotations import Array, Float
from jax_lstm._checks import as_arrays, check_params, check_step
from jax_lstm._types import BlockDiagonalParams, Carry, Clip, DiagonalParams, LSTMParams, Params, Trace, is_exponential

NORM_EPSILON = 1e-5
FEW_WEIGHTS = 16
"""Up to this many weights, multiply elementwise: several times as fast as a matrix product for a layer of scalars."""


def cell(params: Params, carry: Carry, x: Float[Array, "*batch features"]) -> tuple[Carry, Trace]:
    """One step of the LSTM, `(params, carry, x) -> (carry, trace)`: drive it with `jax.lax.scan(partial(cell, params),
    carry, xs)`.

    Args:
        params: the layer's weights.
        carry: `h (*batch, out)`, `c (*batch, hidden)`.
        x: the step's input `(*batch, features)`.

    Returns:
        The next carry, and the six values of the step; under `jit` the values that are not used cost nothing.

    Raises:
        ValueError: a shape that does not fit. TypeError: a dtype that does not.

    Source: Hochreiter and Schmidhuber 1997; the forget gate is of Gers et al. 2000.

    >>> import jax.numpy as jnp
    >>> from jax_lstm import from_gates
    >>> gates = {"forget": (0.5, 0.1, 0), "input": (0.6, 0.2, 0), "cell": (0.7, 0.3, 0), "output": (0.8, 0.4, 0)}
    >>> params = from_gates(gates)
    >>> carry, trace = cell(params, Carry(jnp.zeros(1), jnp.zeros(1)), jnp.array([1.0]))
    >>> print(f"{carry.h[0]:.4f} {trace.forget_gate[0]:.4f}")
    0.2564 0.6225
    """
    params, carry, x = as_arrays((params, carry, x))
    check_step(params, carry, x)
    m, c, trace = update(params, products(params, x, carry.h), carry.c)
    h = project(params, m)
    return Carry(h, c), trace._replace(hidden_state=h)


def products(params: Params, x: jax.Array, h: jax.Array) -> Any:
    """The matrix products of a step, `x W_x + h W_h`; as a pair where each is normalized separately."""
    return add_recurrent(params, dot(x, params.w_x), h)


def add_recurrent(params: Params, z_x: jax.Array, h: jax.Array) -> Any:
    """The products of a step from that with the input, `z_x = x W_x`, which may have been made before."""
    z_h = recurrent(params, h)
    return z_x + z_h if params.norm is None else (z_x, z_h)


def recurrent(params: Params, h: jax.Array) -> jax.Array:
    """The product with the recurrent weights, `h W_h`: of all units, of each head's, or of each unit by itself."""
    wide = wide_dtype(h.dtype)
    if isinstance(params, DiagonalParams):
        gates = params.w_h.shape[-1] // h.shape[-1]
        tiled = jnp.concatenate([h] * gates, axis=-1).astype(wide)
        return tiled * _rows(params.w_h, tiled)
    if isinstance(params, BlockDiagonalParams):
        lead, (heads, size, width) = h.shape[:-1], params.w_h.shape
        z = jnp.einsum("...hk,hkn->h...n", h.reshape(*lead, heads, size), params.w_h, preferred_element_type=wide)
        # each head has its own gate blocks: bring those of one gate together
        z = jnp.moveaxis(z.reshape(heads, *lead, width // size, size), 0, -2)
        return z.reshape(*lead, heads * width)
    return dot(h, params.w_h)


def dense(params: Params) -> LSTMParams:
    """The same layer with one matrix for its recurrence, zero where heads or single units do not see each other.

    This is the form for frameworks and kernels that support only the plain LSTM.

    Args:
        params: the layer; `LSTMParams` come back as they are.

    Raises:
        ValueError: exponential gates, which `LSTMParams` do not have.

    >>> import jax
    >>> from jax_lstm import init
    >>> dense(init(jax.random.key(0), features=3, hidden=8, heads=2)).w_h.shape
    (8, 32)
    """
    params = as_arrays(params)
    check_params(params)
    if isinstance(params, LSTMParams):
        return params
    if is_exponential(params):
        raise ValueError("params has exponential gates, which LSTMParams do not have: expected None for exponential")
    w_h = recurrent(params, jnp.eye(params.hidden, dtype=params.w_h.dtype)).astype(params.w_h.dtype)
    fields = params._asdict() | {"w_h": w_h}
    return LSTMParams(**{name: fields[name] for name in fields if name in LSTMParams._fields})


def _activate(gate: str, function: Callable[[jax.Array], jax.Array], z: jax.Array) -> jax.Array:
    """The value of a gate: what a backward pass that has kept the gates replaces."""
    return function(z)


def update(
    params: Params, z: Any, c: jax.Array, activate: Callable[..., jax.Array] = _activate
) -> tuple[jax.Array, jax.Array, Trace]:
    """The pointwise part of a step, where every variant lives: `(z, c) -> (m, c, trace)`, computed in the dtype of `z`.

    Args:
        params: the layer's weights.
        z: what `products` gives.
        c: the cell state `(*batch, hidden)`.
        activate: `(gate, function, z) -> function(z)`, which makes the gates.
    """
    if is_exponential(params):
        return _exponential_update(params, z, c)
    dtype = c.dtype
    if params.norm is not None:
        z_x, z_h = z
        z = _normalize(z_x) * _rows(params.norm.scale_x, z_x) + _normalize(z_h) * _rows(params.norm.scale_h, z_h)
    c = c.astype(z.dtype)
    z_i, *z_f, z_g, z_o = _gate_blocks(params, z)
    if params.peephole is not None:
        p_i, *p_f, p_o = [_rows(p, c) for p in params.peephole]
        z_i = z_i + p_i * c
        z_f = [z + p * c for z, p in zip(z_f, p_f, strict=True)]

    bound = Clip() if params.clip is None else params.clip
    i = activate("input_gate", jax.nn.sigmoid, _clip(z_i, bound.gates))
    f = activate("forget_gate", jax.nn.sigmoid, _clip(z_f[0], bound.gates)) if z_f else 1 - i
    g = activate("candidate", jnp.tanh, _clip(z_g, bound.gates))
    c = _clip(f * c + i * g, bound.cell)
    if params.peephole is not None:
        z_o = z_o + p_o * c
    o = activate("output_gate", jax.nn.sigmoid, _clip(z_o, bound.gates))
    shown = c
    if params.norm is not None:
        shown = _normalize(c) * _rows(params.norm.scale_c, c) + _rows(params.norm.bias_c, c)
    m = o * jnp.tanh(shown)
    f, i, g, c, o, m = (value.astype(dtype) for value in (f, i, g, c, o, m))
    return m, c, Trace(f, i, g, c, o, m)


def _exponential_update(params: Params, z: jax.Array, memory: jax.Array) -> tuple[jax.Array, jax.Array, Trace]:
    """The update of a layer with exponential gates, whose memory is c, n and s side by side."""
    dtype = memory.dtype
    z_i, z_f, z_g, z_o = _gate_blocks(params, z)
    c, n, s = jnp.split(memory.astype(z.dtype), 3, axis=-1)
    # n = 0 marks an empty memory (a zero carry), whatever the stabilizer
    kept = jnp.where(n > 0, jax.nn.log_sigmoid(z_f) + s, -jnp.inf)
    s = jnp.maximum(kept, z_i).astype(dtype).astype(z.dtype)  # rounded before it is used, as it is carried on so
    i, f, g, o = jnp.exp(z_i - s), jnp.exp(kept - s), jnp.tanh(z_g), jax.nn.sigmoid(z_o)
    c, n = f * c + i * g, f * n + i
    m = o * c / n
    f, i, g, c, n, s, o, m = (value.astype(dtype) for value in (f, i, g, c, n, s, o, m))
    return m, jnp.concatenate([c, n, s], axis=-1), Trace(f, i, g, c, o, m)


def _gate_blocks(params: Params, z: jax.Array) -> list[jax.Array]:
    """The pre-activations of each gate, with its bias."""
    gates = z.shape[-1] // params.hidden
    blocks = jnp.split(z, gates, axis=-1)
    if params.b is None:
        return blocks
    return [block + _rows(b, block) for block, b in zip(blocks, jnp.split(params.b, gates, axis=-1), strict=True)]


def project(params: Params, m: jax.Array) -> jax.Array:
    """The hidden state from the update's result: `m W_p`, or `m` itself."""
    return m if params.projection is None else dot(m, params.projection).astype(m.dtype)


def wide_dtype(dtype: Any) -> Any:
    """The dtype that sums of products are made in: float32 for half precision, else the dtype itself."""
    return jnp.float32 if jnp.dtype(dtype).itemsize == 2 else dtype


def dot(a: jax.Array, w: jax.Array) -> jax.Array:
    """The product over the last axis of `a` and the first of `w`; half precision is accumulated in float32."""
    if w.size <= FEW_WEIGHTS:
        a, w = a.astype(wide_dtype(a.dtype)), w.astype(wide_dtype(a.dtype))
        columns = []
        for n in range(w.shape[1]):
            columns.append(sum(a[..., k : k + 1] * w[k, n] for k in range(w.shape[0])))
        return jnp.concatenate(columns, axis=-1)
    return jnp.dot(a, w, preferred_element_type=wide_dtype(a.dtype))


def _clip(value: jax.Array, bound: float | None) -> jax.Array:
    return value if bound is None else jnp.clip(value, -bound, bound)


def _rows(vector: jax.Array, like: jax.Array) -> jax.Array:
    """A vector over features, ready to meet an array with batch axes (rank promotion may be forbidden)."""
    return jnp.expand_dims(vector, range(like.ndim - vector.ndim)).astype(like.dtype)


def _normalize(z: jax.Array) -> jax.Array:
    centered = z - z.mean(axis=-1, keepdims=True)
    return centered * jax.lax.rsqrt(jnp.mean(centered * centered, axis=-1, keepdims=True) + NORM_EPSILON)
