"""How a format names and lays out the arrays of one direction of one layer, as data, and the one converter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jax_lstm import _checks
from jax_lstm._types import DiagonalParams, LSTMParams, Params, is_exponential
from jax_lstm.interop._arrays import as_numpy, copied, shape_of

GATES, PEEPHOLES = "ifgo", "ifo"
"""Our gate blocks, by the letters of the equations."""

Keys = str | int | tuple[str, ...]
"""Where a role's arrays are: one key for all gates, with stacked blocks; or one key per gate, in the layout's order."""


class Layout(NamedTuple):
    """How a format stores one direction of one layer.

    Args:
        format: the format's name, for messages.
        order: the order of the gates.
        w_x: the keys of the input weights.
        w_h: the keys of the recurrent weights; the same key as `w_x` where both are one matrix, the input's rows above.
        biases: the keys of every bias; the format adds them up.
        bias_needed: whether the format has no layer without biases; zeros stand for none there.
        gates_first: whether matrices are (gates*hidden, inputs), and the projection (out, hidden): the transposes of
            ours.
        forget_bias: what the format adds to the forget gate's bias when it runs.
        peephole: the keys of the peepholes, None where the format has none.
        projection: the key of the projection, None where the format has none.
    """

    format: str
    order: str
    w_x: Keys
    w_h: Keys
    biases: tuple[Keys, ...]
    bias_needed: bool = False
    gates_first: bool = False
    forget_bias: float = 0.0
    peephole: Keys | None = None
    projection: Keys | None = None

    def rename(self, name: Callable[[Any], str]) -> Layout:
        """The layout with other keys; every role must have one key."""
        peephole, projection = (None if key is None else name(key) for key in (self.peephole, self.projection))
        biases = tuple(map(name, self.biases))
        return self._replace(
            w_x=name(self.w_x), w_h=name(self.w_h), biases=biases, peephole=peephole, projection=projection
        )


class Stored(NamedTuple):
    """The arrays of one direction of one layer, in the layout of a format; `name` is what messages call them."""

    layout: Layout
    arrays: Mapping[Any, Any]
    name: str


class _Sizes(NamedTuple):
    """The sizes that a format's arrays have."""

    features: int
    hidden: int
    out: int


def read(stored: Stored, features: int | None = None) -> LSTMParams:
    """The layer from a format's arrays; a key that is missing, unknown or of the wrong shape is refused by name.

    `features` is how many inputs the layer must have, None for any.
    """
    layout = stored.layout
    _check_keys(stored)
    arrays = {key: as_numpy(value, f"{stored.name}[{key!r}]") for key, value in stored.arrays.items()}
    sizes = _sizes(stored, arrays, features)
    _check_arrays(stored, arrays, sizes, "" if features is None else f" and the layer before it {features} outputs")

    w_x = _gather(layout, arrays, layout.w_x, GATES)
    if layout.w_x == layout.w_h:
        w_x, w_h = w_x[: sizes.features], w_x[sizes.features :]
    else:
        w_h = _gather(layout, arrays, layout.w_h, GATES)
    b = _sum_biases(layout, arrays, sizes.hidden) if _has(stored, *layout.biases) else None
    return LSTMParams(
        copied(w_x),
        copied(w_h),
        None if b is None else copied(b),
        peephole=copied(_gather(layout, arrays, layout.peephole, PEEPHOLES).reshape(3, sizes.hidden))
        if layout.peephole is not None and _has(stored, layout.peephole)
        else None,
        projection=copied(_transpose(layout, arrays[layout.projection])) if _has(stored, layout.projection) else None,
    )


def _has(stored: Stored, *roles: Keys | None) -> bool:
    """Whether a key of some role is there."""
    return any(key in stored.arrays for key in _flat(*roles))


def _check_keys(stored: Stored) -> None:
    """A refusal of a key that is missing or unknown."""
    layout, name = stored.layout, stored.name
    bias = layout.bias_needed or _has(stored, *layout.biases)
    wanted = _flat(
        layout.w_x, layout.w_h, *layout.biases * bias, layout.peephole if _has(stored, layout.peephole) else None
    )
    missing = [key for key in wanted if key not in stored.arrays]
    if missing:
        there = ", ".join(f"{key!r} {shape_of(array)}" for key, array in stored.arrays.items()) or "nothing"
        needs = ", ".join(map(repr, wanted))
        raise ValueError(
            f"{name} has no key {missing[0]!r}: a {layout.format} layer needs {needs}, and this one has {there}"
        )
    known = _flat(layout.w_x, layout.w_h, *layout.biases, layout.peephole, layout.projection)
    surplus = [key for key in stored.arrays if key not in known]
    if surplus:
        shape = shape_of(stored.arrays[surplus[0]])
        raise ValueError(
            f"{name} has an unknown key {surplus[0]!r}, of shape {shape}: "
            f"a {layout.format} layer has {', '.join(map(repr, known))}"
        )


def _sizes(stored: Stored, arrays: Mapping[Any, np.ndarray], features: int | None) -> _Sizes:
    """The sizes, read from the input weights and from the projection where there is one."""
    layout = stored.layout
    first = _flat(layout.w_x)[0]
    given = arrays[first].shape
    ours = given[::-1] if layout.gates_first else given
    blocks = 1 if isinstance(layout.w_x, tuple) else len(GATES)
    if len(given) != 2 or not ours[1] or ours[1] % blocks:
        expected = f"a matrix whose {'first' if layout.gates_first else 'last'} axis holds {blocks} gates of one size"
        raise ValueError(
            f"{stored.name}[{first!r}] has shape {given}, expected {expected if blocks > 1 else 'a matrix'}"
        )
    hidden = out = ours[1] // blocks
    if _has(stored, layout.projection) and arrays[layout.projection].ndim == 2:
        out = _transpose(layout, arrays[layout.projection]).shape[-1]
    if features is None:
        # one matrix for both inputs: the rows that the hidden state does not take
        features = max(1, ours[0] - (out if layout.w_x == layout.w_h else 0))
    return _Sizes(features, hidden, out)


def _check_arrays(stored: Stored, arrays: Mapping[Any, np.ndarray], sizes: _Sizes, why: str) -> None:
    """A refusal of an array whose shape or dtype does not fit the first one."""
    name, first = stored.name, _flat(stored.layout.w_x)[0]
    shapes = _shapes(stored.layout, *sizes)
    for key, array in arrays.items():
        if array.shape != shapes[key]:
            raise ValueError(
                f"{name}[{key!r}] has shape {array.shape}, expected {shapes[key]} for {sizes.features} inputs, "
                f"{sizes.hidden} units and {sizes.out} outputs, as {first!r} has shape {arrays[first].shape}{why}"
            )
        if array.dtype != arrays[first].dtype:
            raise TypeError(
                f"{name}[{key!r}] is {array.dtype}, but {name}[{first!r}] is {arrays[first].dtype}: give all one dtype"
            )


def _sum_biases(layout: Layout, arrays: Mapping[Any, np.ndarray], hidden: int) -> np.ndarray:
    """All biases of a format as one, with what it adds at run time."""
    b, *others = (_gather(layout, arrays, keys, GATES) for keys in layout.biases)
    for other in others:
        b = np.where(other == 0, b, b + other)  # a zero leaves the other's bits as they are: -0.0 + 0.0 would be 0.0
    if layout.forget_bias:
        b[hidden : 2 * hidden] += b.dtype.type(layout.forget_bias)
    return b


def write(layout: Layout, params: Params, name: str) -> dict[Any, np.ndarray]:
    """The arrays of a layer in a format's layout, or a refusal of what the format cannot hold."""
    sizes = _checks.check_params(params, name)
    has = {"peephole": layout.peephole is not None, "projection": layout.projection is not None}
    refused = [
        field
        for field in ("norm", "coupled", "clip", *has)
        if getattr(params, field) is not None and not has.get(field)
    ]
    if not isinstance(params, LSTMParams):
        kind = "a diagonal recurrence" if isinstance(params, DiagonalParams) else "a recurrence by heads"
        kind = "exponential gates" if is_exponential(params) else kind
        fix = "" if is_exponential(params) else ": convert the layer with jax_lstm.dense"
        raise ValueError(f"{name} has {kind}, which the {layout.format} format cannot hold{fix}")
    if refused:
        raise ValueError(f"{name} has {refused[0]}, which the {layout.format} format cannot hold")
    w_x, w_h = np.asarray(params.w_x), np.asarray(params.w_h)
    if layout.w_x == layout.w_h:
        arrays = _scatter(layout, np.concatenate([w_x, w_h]), layout.w_x, GATES)
    else:
        arrays = _scatter(layout, w_x, layout.w_x, GATES) | _scatter(layout, w_h, layout.w_h, GATES)
    if params.b is not None or layout.bias_needed:
        b = np.zeros(w_x.shape[1], w_x.dtype) if params.b is None else np.array(params.b)
        if layout.forget_bias:
            b[sizes.hidden : 2 * sizes.hidden] -= b.dtype.type(layout.forget_bias)
        for keys in layout.biases:
            arrays |= _scatter(layout, b, keys, GATES)
            b = np.zeros_like(b)
    if params.peephole is not None and layout.peephole is not None:
        arrays |= _scatter(layout, np.ravel(params.peephole), layout.peephole, PEEPHOLES)
    if params.projection is not None:
        arrays[layout.projection] = _transpose(layout, np.asarray(params.projection))
    # contiguous and writeable: files and other frameworks expect both
    return {key: np.array(array, order="C") for key, array in arrays.items()}


def _gather(layout: Layout, arrays: Mapping[Any, np.ndarray], keys: Keys, gates: str) -> np.ndarray:
    """The blocks of a role in our order and orientation."""
    order = [gate for gate in layout.order if gate in gates]
    if isinstance(keys, tuple):
        blocks = [arrays[key] for key in keys]
    else:
        blocks = np.split(arrays[keys], len(order), axis=0 if layout.gates_first else -1)
    named = dict(zip(order, blocks, strict=True))
    return np.concatenate([_transpose(layout, named[gate]) for gate in gates], axis=-1)


def _scatter(layout: Layout, array: np.ndarray, keys: Keys, gates: str) -> dict[Any, np.ndarray]:
    """The inverse of `_gather`: the format's arrays of a role."""
    named = dict(zip(gates, np.split(array, len(gates), axis=-1), strict=True))
    blocks = [_transpose(layout, named[gate]) for gate in layout.order if gate in gates]
    if isinstance(keys, tuple):
        return dict(zip(keys, blocks, strict=True))
    return {keys: np.concatenate(blocks, axis=0 if layout.gates_first else -1)}


def _shapes(layout: Layout, features: int, hidden: int, out: int) -> dict[Any, tuple[int, ...]]:
    """The shape that every key of the layout must have."""
    joined = layout.w_x == layout.w_h
    matrices: list[tuple[Keys, int]] = [(layout.w_x, features + out * joined)] + [(layout.w_h, out)] * (not joined)
    shapes: dict[Any, tuple[int, ...]] = {}
    for keys, rows in matrices:
        shapes |= dict.fromkeys(_flat(keys), (rows, hidden if isinstance(keys, tuple) else len(GATES) * hidden))
    for keys in layout.biases:
        shapes |= dict.fromkeys(_flat(keys), (hidden if isinstance(keys, tuple) else len(GATES) * hidden,))
    peephole = layout.peephole
    shapes |= dict.fromkeys(_flat(peephole), (hidden if isinstance(peephole, tuple) else len(PEEPHOLES) * hidden,))
    shapes |= dict.fromkeys(_flat(layout.projection), (hidden, out))
    return {key: shape[::-1] if layout.gates_first else shape for key, shape in shapes.items()}


def _flat(*roles: Keys | None) -> list[Any]:
    """All keys of some roles, each once."""
    keys = [key for role in roles if role is not None for key in (role if isinstance(role, tuple) else (role,))]
    return list(dict.fromkeys(keys))


def _transpose(layout: Layout, array: np.ndarray) -> np.ndarray:
    """An array in the other side's orientation; the same operation goes both ways."""
    return array.T if layout.gates_first else array
