"""Every mode of differentiation, in every nesting, of a layer with a fast backward pass of its own.

`run` binds a primitive, whose rules are complete for every `Operation`:

    value     layer -> outputs
    keeping   layer -> outputs, kept            takes the place of `value` where there are tangents
    tangent   layer, saved, tangents -> tangents of the outputs    linear in the last, and lowered to a plain loop
    pullback  layer, saved, cotangents -> gradients    the transpose of `tangent`, and the fast backward pass

with `layer` for the arrays of `(params, shared, steps)`, and `saved` for what `pullback` reads of what is kept. The
derivative of `tangent` and of `pullback` with respect to what they are linear in is themselves; with respect to the
layer it is that of the plain loop. (`jax.experimental.hijax` is JAX's own mechanism of this kind; its interface differs
between the oldest and the newest JAX that are supported.)

How an operation is carried out is decided when it is lowered, as the platform, the whole batch and whether the program
is exported are known only then. `jax.vmap` over rows adds a batch axis, so that both are one program; `jax.vmap` over
parameters, as for an ensemble, maps the computation of each primitive over `members`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir, partial_eval

from jax_lstm._sharding import like, on_each_part, vary, varying_axes
from jax_lstm._step import Shared, Steps
from jax_lstm.schedules import operation as op
from jax_lstm.schedules.operation import Layer, Operation, Place
from jax_lstm.schedules.problem import Problem

PLATFORMS = {"cuda": "gpu", "rocm": "gpu"}
"""The platforms that a `Problem` has another name for than JAX's lowering."""
ANYWHERE = Place("cpu", exported=False)
"""Where the plain loop is made, which is the same everywhere."""


class Kind(NamedTuple):
    """One of the four primitives, as functions of a layer, operands, and what else is static.

    Args:
        compute: `(place, layer, *static values, *operands) -> outputs`, of one member.
        types: `(layer, operands, *static values) -> types of the outputs`, of one member.
        rows: `(layer, operands, *static values) -> positions of the first batch axis`, in the operands and in the
            outputs.
        static: the names of the static values.
    """

    compute: Callable[..., list[Any]]
    types: Callable[..., list[Any]]
    rows: Callable[..., tuple[list[Any], list[Any]]]
    static: tuple[str, ...]


def run(operation: Operation, problem: Problem, params: Any, shared: Shared, steps: Steps) -> Any:
    """The last carry and the hidden states, by an operation."""
    leaves, tree = jax.tree.flatten((params, shared, steps))
    # noted now, as it may be lowered outside the context that it was traced in
    precision = getattr(jax.config, "jax_default_matmul_precision")  # noqa: B009
    layer = Layer(operation, tree, problem.reverse, precision)
    ends = op.ends(layer)
    *carry, hs = _bind(VALUE, leaves, layer=layer, members=(), wanted=tuple(range(ends.num_leaves + 1)))
    return ends.unflatten(carry), hs


def _bind(primitive: Primitive, operands: Sequence[Any], **static: Any) -> list[Any]:
    """A primitive's outputs; inside `shard_map`, all operands vary over the same axes."""
    axes = frozenset().union(*(varying_axes(one) for one in operands))
    return primitive.bind(*(vary(one, axes) for one in operands), **static)


# Differentiation


def _value_jvp(primals: Any, tangents: Any, *, layer: Layer, members: Any, wanted: Any) -> Any:
    outputs, moved = _moved(primals, tangents, layer, members, wanted)
    return [outputs[position] for position in wanted], moved


def _keeping_jvp(primals: Any, tangents: Any, *, layer: Layer, members: Any) -> Any:
    count = op.ends(layer).num_leaves + 1
    outputs, moved = _moved(primals, tangents, layer, members, tuple(range(count)))
    # what is kept is part of the computation: it has no tangent of its own
    return outputs, moved + _zeros(outputs[count:])


def _moved(primals: Any, tangents: Any, layer: Layer, members: Any, wanted: Any) -> tuple[list[Any], list[Any]]:
    """The outputs and what is kept, and the tangents of the outputs that are wanted."""
    outputs = _bind(KEEPING, primals, layer=layer, members=members)
    count = op.ends(layer).num_leaves + 1
    saved = outputs[count - layer.operation.reads_hs :]
    moved = _nonzero(tangents)
    operands = [*primals, *saved, *(tangents[position] for position in moved)]
    mapped = tuple((*level, *[True] * len(saved), *(level[position] for position in moved)) for level in members)
    return outputs, _bind(TANGENT, operands, layer=layer, members=mapped, moved=moved, wanted=wanted)


def _linear_jvp(
    primitive: Primitive, plain: Callable[..., Any], primals: Any, tangents: Any, *, layer: Layer, **static: Any
) -> Any:
    """Of `tangent` and `pullback`: the primitive itself for tangents of what it is linear in, and `plain`, a function
    of the same arguments that JAX differentiates, for tangents of the layer."""
    members = static["members"]
    count, linear = layer.tree.num_leaves, len(static["moved" if primitive is TANGENT else "given"])
    first = len(primals) - linear
    outputs = _bind(primitive, primals, layer=layer, **static)
    terms = []
    if _nonzero(tangents[first:]):
        along = [ad.instantiate_zeros(one) for one in tangents[first:]]
        terms.append(_bind(primitive, [*primals[:first], *along], layer=layer, **static))
    of_layer = _nonzero(tangents[:count])
    if of_layer:
        values = tuple(static[name] for name in KINDS[primitive].static)

        def function(*moving: Any) -> list[Any]:
            new = dict(zip(of_layer, moving, strict=True))
            operands = [new.get(position, one) for position, one in enumerate(primals)]
            return _mapped(partial(plain, ANYWHERE, layer, *values), members)(*operands)

        at, along = ([given[position] for position in of_layer] for given in (primals, tangents))
        terms.append(jax.jvp(function, at, along)[1])
    if not terms:
        return outputs, _zeros(outputs)
    return outputs, [sum(parts[1:], parts[0]) for parts in zip(*terms, strict=True)]


def _tangent_transpose(
    cotangents: Any, *operands: Any, layer: Layer, members: Any, moved: Any, wanted: Any
) -> list[Any]:
    return _transpose(PULLBACK, cotangents, operands, layer, members, moved, wanted, ("moved", "given"))


def _pullback_transpose(
    cotangents: Any, *operands: Any, layer: Layer, members: Any, moved: Any, given: Any
) -> list[Any]:
    return _transpose(TANGENT, cotangents, operands, layer, members, given, moved, ("wanted", "moved"))


def _transpose(
    by: Primitive,
    cotangents: Any,
    operands: Any,
    layer: Layer,
    members: Any,
    inputs: Any,
    outputs: Any,
    names: tuple[str, str],
) -> list[Any]:
    """The transpose of `tangent` is `pullback`, and the other way round.

    Args:
        by: the other one.
        cotangents, operands, layer, members: of the one that is transposed.
        inputs, outputs: which arrays it maps to which, by their positions in the layer or in its outputs.
        names: what `by` calls these.
    """
    first = len(operands) - len(inputs)
    given = [place for place, one in enumerate(cotangents) if type(one) is not ad.Zero]
    found = [None] * len(operands)
    asked = [place for place in range(first, len(operands)) if ad.is_undefined_primal(operands[place])]
    if not given or not asked:
        return found
    mapped = tuple((*level[:first], *[True] * len(given)) for level in members)
    static = {
        names[0]: tuple(inputs[place - first] for place in asked),
        names[1]: tuple(outputs[place] for place in given),
    }
    along = [cotangents[place] for place in given]
    results = _bind(by, [*operands[:first], *along], layer=layer, members=mapped, **static)
    for place, result in zip(asked, results, strict=True):
        # every result has an axis of members; what all members share gets the sum over them
        shared = [axis for axis, level in enumerate(reversed(members)) if not level[place]]
        found[place] = result.sum(shared) if shared else result
    return found


def _zeros(outputs: Sequence[Any]) -> list[Any]:
    return [ad.Zero(jax.typeof(one).to_tangent_aval()) for one in outputs]


def _nonzero(tangents: Sequence[Any]) -> tuple[int, ...]:
    return tuple(place for place, one in enumerate(tangents) if type(one) is not ad.Zero)


# Batching, dead code, shapes, lowering


def _batch(primitive: Primitive, operands: Any, axes: Any, *, layer: Layer, members: Any, **static: Any) -> Any:
    kind = KINDS[primitive]
    inner = _of_one_member(operands, members, axes)
    rows, rows_out = kind.rows(layer, inner, *(static[name] for name in kind.static))
    mapped = tuple(axis is not None for axis in axes)
    if None not in rows_out and all(row is not None for row, is_mapped in zip(rows, mapped, strict=True) if is_mapped):
        size = next(one.shape[axis] for one, axis in zip(operands, axes, strict=True) if axis is not None)
        wider, targets = [], []
        for place, (one, axis, row) in enumerate(zip(operands, axes, rows, strict=True)):
            target = None if row is None else sum(level[place] for level in members) + row
            wider.append(one if target is None else _with_axis(one, axis, target, size))
            targets.append(target)
        positions = [len(members) + row for row in rows_out]
    else:
        wider = [one if axis is None else jnp.moveaxis(one, axis, 0) for one, axis in zip(operands, axes, strict=True)]
        targets = [0 if is_mapped else None for is_mapped in mapped]
        members, positions = (*members, mapped), None

    def bind(*given: Any) -> list[Any]:
        return _bind(primitive, given, layer=layer, members=members, **static)

    outputs = on_each_part(bind, wider, targets, positions)
    return outputs, [0] * len(outputs) if positions is None else positions


def _with_axis(array: jax.Array, axis: int | None, target: int, size: int) -> jax.Array:
    """The array with the axis of `jax.vmap` at `target`, also where it has none yet."""
    if axis is not None:
        return jnp.moveaxis(array, axis, target)
    expanded = jnp.expand_dims(array, target)
    return jnp.broadcast_to(expanded, (*array.shape[:target], size, *array.shape[target:]))


def _of_one_member(operands: Any, members: Any, axes: Any = None) -> list[Any]:
    """The types of the operands without axes of members, nor of a `jax.vmap` over `axes`."""
    found = []
    for place, one in enumerate(operands):
        shape = list(one.shape)
        if axes is not None and axes[place] is not None:
            del shape[axes[place]]
        shape = shape[sum(level[place] for level in members) :]
        found.append(jax.ShapeDtypeStruct(tuple(shape), one.dtype))
    return found


def _abstract(primitive: Primitive, *operands: Any, layer: Layer, members: Any, **static: Any) -> list[Any]:
    kind = KINDS[primitive]
    sizes: list[Any] = []
    for number, level in enumerate(members):
        place = level.index(True)
        outer = sum(other[place] for other in members[number + 1 :])
        sizes.insert(0, operands[place].shape[outer])
    types = kind.types(layer, _of_one_member(operands, members), *(static[name] for name in kind.static))
    return [like(operands[0], (*sizes, *one.shape), one.dtype) for one in types]


def _drop(primitive: Primitive, used: Any, *rest: Any) -> Any:
    """An equation without the outputs that are not used."""
    equation = rest[-1]  # jax 0.12 says between the two which inputs are read after it
    inputs = [any(used)] * len(equation.invars)
    if not any(used):
        return inputs, None
    if all(used):
        return inputs, equation
    static = equation.params
    which = [place for place, is_used in enumerate(used) if is_used]
    if primitive is KEEPING:
        count = op.ends(static["layer"]).num_leaves + 1
        if any(used[count:]):
            return inputs, equation
        primitive, changed = VALUE, {"wanted": tuple(which)}
    else:
        name = "moved" if primitive is PULLBACK else "wanted"
        changed = {name: tuple(static[name][place] for place in which)}
    outvars = [equation.outvars[place] for place in which]
    return inputs, equation.replace(primitive=primitive, outvars=outvars, params=static | changed)


def _mapped(function: Callable[..., Any], members: Any) -> Callable[..., Any]:
    """A function mapped over each axis of members."""
    for level in members:
        function = jax.vmap(function, in_axes=tuple(0 if is_mapped else None for is_mapped in level))
    return function


def _compute(primitive: Primitive, place: Place, operands: Any, *, layer: Layer, members: Any, **static: Any) -> Any:
    kind = KINDS[primitive]
    values = tuple(static[name] for name in kind.static)
    with jax.default_matmul_precision(layer.precision):
        return _mapped(partial(kind.compute, place, layer, *values), members)(*operands)


def _lower(primitive: Primitive, context: Any, *operands: Any, **static: Any) -> Any:
    exported = context.module_context.lowering_parameters.for_export
    platforms = tuple(context.platforms or context.module_context.platforms)

    def on(platform: str) -> Callable[..., Any]:
        place = Place(PLATFORMS.get(platform, platform), exported)
        return lambda *given: _compute(primitive, place, given, **static)

    def on_each(*given: Any) -> Any:
        return jax.lax.platform_dependent(*given, cpu=on("cpu"), tpu=on("tpu"), default=on("gpu"))

    function = on(platforms[0]) if len(platforms) == 1 else on_each
    return mlir.lower_fun(function, multiple_results=True)(context, *operands)


def _evaluate(primitive: Primitive, *operands: Any, **static: Any) -> Any:
    """Outside of any `jax.jit`, as under `jax.disable_jit`."""
    platform = next(iter(operands[0].devices())).platform
    return _compiled(primitive, PLATFORMS.get(platform, platform), tuple(static.items()))(*operands)


@cache
def _compiled(primitive: Primitive, platform: str, static: Any) -> Callable[..., Any]:
    return jax.jit(lambda *given: _compute(primitive, Place(platform, exported=False), given, **dict(static)))


def _primitive(name: str) -> Primitive:
    primitive = Primitive(f"jax_lstm_{name}")
    primitive.multiple_results = True
    primitive.def_impl(partial(_evaluate, primitive))
    primitive.def_abstract_eval(partial(_abstract, primitive))
    mlir.register_lowering(primitive, partial(_lower, primitive))
    batching.primitive_batchers[primitive] = partial(_batch, primitive)
    partial_eval.dce_rules[primitive] = partial(_drop, primitive)
    return primitive


VALUE, KEEPING, TANGENT, PULLBACK = (_primitive(name) for name in ("value", "keeping", "tangent", "pullback"))
KINDS = {
    VALUE: Kind(op.compute_value, op.types_of_value, op.rows_of_value, ("wanted",)),
    KEEPING: Kind(op.compute_keeping, op.types_of_keeping, op.rows_of_keeping, ()),
    TANGENT: Kind(op.compute_tangent, op.types_of_tangent, op.rows_of_tangent, ("moved", "wanted")),
    PULLBACK: Kind(op.compute_pullback, op.types_of_pullback, op.rows_of_pullback, ("moved", "given")),
}
ad.primitive_jvps[VALUE] = _value_jvp
ad.primitive_jvps[KEEPING] = _keeping_jvp
ad.primitive_jvps[TANGENT] = partial(_linear_jvp, TANGENT, op.compute_tangent)
ad.primitive_jvps[PULLBACK] = partial(_linear_jvp, PULLBACK, op.plain_pullback)
ad.primitive_transposes[TANGENT] = _tangent_transpose
ad.primitive_transposes[PULLBACK] = _pullback_transpose
