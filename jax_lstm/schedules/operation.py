"""A layer with a fast backward pass of its own: what a schedule gives, and what `primitives` compute with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_lstm._sharding import vary, varying_axes
from jax_lstm.schedules.problem import problem_of


class Operation(NamedTuple):
    """The functions of a layer with a backward pass of its own; each takes `(problem, params, shared, steps)` first.

    Args:
        value: `(…, stack) -> (carry, hs)`; the hidden states may be None where `stack` is false.
        keeping: `(…) -> ((carry, hs), kept)`, with a tree of arrays that `pullback` needs.
        pullback: `(…, hs, kept, (d_carry, d_hs), wanted) -> (d_params, d_shared, d_steps)`. A cotangent that is None is
            zero. `wanted` has a boolean for each array of the layer; a gradient that is not wanted may be anything.
        plain: `(…) -> (carry, hs)`, the same function as JAX differentiates it.
        reads_hs: whether `pullback` reads `hs`, else given as None.
        kept_rows: the position of the first batch axis in every array that is kept; None where rows cannot be told
            apart.
        runs_on: `(platform, exported) -> bool`, whether these functions can be compiled there; None for everywhere.
        elsewhere: the operation that runs in other places.
        copies: how many directions the hidden states hold, side by side.
    """

    value: Callable[..., Any]
    keeping: Callable[..., Any]
    pullback: Callable[..., Any]
    plain: Callable[..., Any]
    reads_hs: bool = False
    kept_rows: int | None = 1
    runs_on: Callable[[str, bool], bool] | None = None
    elsewhere: Any = None
    copies: int = 1


class Layer(NamedTuple):
    """What is static in the four primitives: the operation, and the structure of `(params, shared, steps)`."""

    operation: Operation
    tree: Any
    reverse: bool
    precision: Any


class Place(NamedTuple):
    """Where a primitive is lowered for."""

    platform: str
    exported: bool


# What the primitives compute, from the arrays of one layer


def compute_value(place: Place, layer: Layer, wanted: tuple[int, ...], *leaves: Any) -> list[Any]:
    """The outputs that are wanted."""
    arguments = _arguments(layer, place, leaves)
    operation = _usable(layer.operation, place)
    if operation is None:
        found = _flat(layer.operation.plain(*arguments))
    else:
        found = _flat(operation.value(*arguments, stack=ends(layer).num_leaves in wanted))
    return [found[position] for position in wanted]


def compute_keeping(place: Place, layer: Layer, *leaves: Any) -> list[Any]:
    """All outputs, and what is kept."""
    arguments = _arguments(layer, place, leaves)
    operation = _usable(layer.operation, place)
    if operation is layer.operation:
        outputs, saved = operation.keeping(*arguments)
        return [*_flat(outputs), *jax.tree.leaves(saved)]
    outputs = layer.operation.plain(*arguments) if operation is None else operation.value(*arguments, stack=True)
    # zeros that are not read: the pullback repeats the forward pass
    axes = varying_axes(leaves[0])
    zeros = [vary(jnp.zeros(one.shape, one.dtype), axes) for one in kept(layer, leaves)[0]]
    return [*_flat(outputs), *zeros]


def compute_tangent(
    place: Place, layer: Layer, moved: tuple[int, ...], wanted: tuple[int, ...], *operands: Any
) -> list[Any]:
    """The tangents of the outputs that are wanted, from those of the arrays that move: a plain loop."""
    leaves, _, tangents = split(layer, operands, len(moved))
    function, at = _plainly(place, layer, moved, leaves)
    _, found = jax.jvp(function, at, tuple(tangents))
    return [found[position] for position in wanted]


def compute_pullback(
    place: Place, layer: Layer, moved: tuple[int, ...], given: tuple[int, ...], *operands: Any
) -> list[Any]:
    """The gradients of the arrays that move, from the cotangents that are given: the fast backward pass."""
    leaves, saved, cotangents = split(layer, operands, len(given))
    operation = _usable(layer.operation, place)
    if operation is None:
        return plain_pullback(place, layer, moved, given, *leaves, *cotangents)
    arguments = _arguments(layer, place, leaves)
    if operation is not layer.operation:
        (_, hs), saved = operation.keeping(*arguments)
    else:
        hs, saved = (saved[0], saved[1:]) if operation.reads_hs else (None, saved)
        saved = kept(layer, leaves)[1].unflatten(saved)
    carry, by_position = ends(layer), dict(zip(given, cotangents, strict=True))
    *of_carry, of_hs = (by_position.get(position) for position in range(carry.num_leaves + 1))
    wanted = layer.tree.unflatten([position in moved for position in range(len(leaves))])
    found = operation.pullback(*arguments, hs, saved, (carry.unflatten(of_carry), of_hs), wanted)
    gradients = layer.tree.flatten_up_to(tuple(found))
    return [gradients[position].astype(leaves[position].dtype) for position in moved]


def _plainly(place: Place, layer: Layer, moved: tuple[int, ...], leaves: Sequence[Any]) -> tuple[Any, Any]:
    """The plain loop as a function of the arrays that move, and their values."""

    def function(*moving: Any) -> list[Any]:
        new = dict(zip(moved, moving, strict=True))
        mixed = [new.get(position, leaf) for position, leaf in enumerate(leaves)]
        return _flat(layer.operation.plain(*_arguments(layer, place, mixed)))

    return function, tuple(leaves[position] for position in moved)


def plain_pullback(
    place: Place, layer: Layer, moved: tuple[int, ...], given: tuple[int, ...], *operands: Any
) -> list[Any]:
    """The pullback of the plain loop, from the layer's arrays and the cotangents that are given."""
    leaves, _, cotangents = split(layer, operands, len(given))
    function, at = _plainly(place, layer, moved, leaves)
    outputs, pull = jax.vjp(function, *at)
    by_position = dict(zip(given, cotangents, strict=True))
    return list(pull([by_position.get(position, jnp.zeros_like(out)) for position, out in enumerate(outputs)]))


def _arguments(layer: Layer, place: Place, leaves: Sequence[Any]) -> tuple[Any, ...]:
    """`(problem, params, shared, steps)`."""
    params, shared, steps = layer.tree.unflatten(leaves)
    first = params if hasattr(params, "w_x") else params[0]  # of a stack
    problem = problem_of(first, shared, steps, reverse=layer.reverse, platform=place.platform)
    return problem, params, shared, steps


def _usable(operation: Operation, place: Place) -> Operation | None:
    """The operation, or the one that runs elsewhere; None where only the plain loop does."""
    if operation.runs_on is None or operation.runs_on(*place):
        return operation
    return None if operation.elsewhere is None else _usable(operation.elsewhere, place)


def filled(cotangents: Any, outputs: Any) -> Any:
    """A tree of cotangents, with zeros like the outputs where one is None."""
    structure: Any = jax.tree.structure(outputs)
    pairs = zip(structure.flatten_up_to(cotangents), jax.tree.leaves(outputs), strict=True)
    return structure.unflatten([jnp.zeros_like(out) if one is None else one for one, out in pairs])


def _flat(outputs: Any) -> list[Any]:
    carry, hs = outputs
    return [*jax.tree.leaves(carry), hs]


def split(layer: Layer, operands: Sequence[Any], moving: int) -> tuple[Any, Any, Any]:
    """The layer's arrays, those that are saved, and the tangents or cotangents, of which there are `moving`."""
    count = layer.tree.num_leaves
    return operands[:count], operands[count : len(operands) - moving], operands[len(operands) - moving :]


# The types of the outputs of each primitive, and where the first batch axis of its operands and of its outputs is


def ends(layer: Layer) -> Any:
    """The structure of the initial carry, and of the last."""
    return jax.tree.structure(places(layer)[1].initial)


def places(layer: Layer) -> tuple[Any, Any, Any]:
    """The layer, with the position of each array among the operands."""
    return layer.tree.unflatten(range(layer.tree.num_leaves))


def types_of_value(layer: Layer, operands: Sequence[Any], wanted: Sequence[int]) -> list[Any]:
    """The carry has the types of the initial one, and the hidden states are as wide as its `h`."""
    _, shared, steps = places(layer)
    carry = [operands[position] for position in jax.tree.leaves(shared.initial)]
    x = operands[steps.x]
    hs = jax.ShapeDtypeStruct((*x.shape[:-1], layer.operation.copies * carry[0].shape[-1]), x.dtype)
    return [[*carry, hs][position] for position in wanted]


def types_of_keeping(layer: Layer, operands: Sequence[Any]) -> list[Any]:
    """Those of the outputs, then those of what is kept."""
    return [*types_of_value(layer, operands, range(ends(layer).num_leaves + 1)), *kept(layer, operands)[0]]


def types_of_tangent(layer: Layer, operands: Sequence[Any], moved: Sequence[int], wanted: Sequence[int]) -> list[Any]:
    """A tangent has the type of its output."""
    return types_of_value(layer, operands, wanted)


def types_of_pullback(layer: Layer, operands: Sequence[Any], moved: Sequence[int], given: Sequence[int]) -> list[Any]:
    """A gradient has the type of its array."""
    return [operands[position] for position in moved]


def kept(layer: Layer, leaves: Sequence[Any]) -> tuple[list[Any], Any]:
    """The types of what is kept, and its structure."""
    return _kept(layer, tuple((leaf.shape, leaf.dtype) for leaf in leaves))


@cache
def _kept(layer: Layer, types: tuple[Any, ...]) -> tuple[list[Any], Any]:
    def keeping(*leaves: Any) -> Any:
        return layer.operation.keeping(*_arguments(layer, Place("cpu", exported=False), leaves))[1]

    return jax.tree.flatten(jax.eval_shape(keeping, *(jax.ShapeDtypeStruct(*one) for one in types)))


def rows_of_value(layer: Layer, operands: Sequence[Any], wanted: Sequence[int]) -> tuple[list[Any], list[Any]]:
    """Of the layer, and of the outputs."""
    return _rows_in(layer), _rows_out(layer, wanted)


def rows_of_keeping(layer: Layer, operands: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Of the layer, and of the outputs and what is kept."""
    outputs = _rows_out(layer, range(ends(layer).num_leaves + 1))
    return _rows_in(layer), outputs + [layer.operation.kept_rows] * len(kept(layer, operands)[0])


def rows_of_tangent(
    layer: Layer, operands: Sequence[Any], moved: Sequence[int], wanted: Sequence[int]
) -> tuple[list[Any], list[Any]]:
    """Of the layer, what is saved and the tangents, and of the outputs."""
    rows = _rows_in(layer)
    saved = _rows_saved(layer, len(operands) - len(rows) - len(moved))
    return [*rows, *saved, *(rows[position] for position in moved)], _rows_out(layer, wanted)


def rows_of_pullback(
    layer: Layer, operands: Sequence[Any], moved: Sequence[int], given: Sequence[int]
) -> tuple[list[Any], list[Any]]:
    """Of the layer, what is saved and the cotangents, and of the gradients."""
    rows = _rows_in(layer)
    saved = _rows_saved(layer, len(operands) - len(rows) - len(given))
    return [*rows, *saved, *_rows_out(layer, given)], [rows[position] for position in moved]


def _rows_in(layer: Layer) -> list[Any]:
    """None for arrays without batch axes: parameters, and the shares of zoneout."""
    _, shared, steps = places(layer)
    rows: list[Any] = [None] * layer.tree.num_leaves
    for position in jax.tree.leaves(shared._replace(zoneout=None)):
        rows[position] = 0
    for position in jax.tree.leaves(steps):
        rows[position] = 1
    return rows


def _rows_out(layer: Layer, wanted: Sequence[int]) -> list[Any]:
    carry = ends(layer).num_leaves
    return [0 if position < carry else 1 for position in wanted]


def _rows_saved(layer: Layer, count: int) -> list[Any]:
    of_hs = [1] if layer.operation.reads_hs else []
    return of_hs + [layer.operation.kept_rows] * (count - len(of_hs))
