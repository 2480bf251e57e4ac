"""A function whose first result is not made where nobody reads it, which `jax.jit` alone would not see for a call."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir, partial_eval

from jax_lstm._sharding import varying_axes


@cache
def droppable(function: Callable[..., Any], *static: Any) -> Callable[..., Any]:
    """`function(*static, *arrays, first=True)`, whose results are a tuple, the first there only where `first`.

    The function that is returned takes the arrays. It is called with `first=False` where the first result is not used.
    """
    primitive = Primitive(f"jax_lstm_{function.__name__}")
    primitive.multiple_results = True

    def run(*leaves: Any, tree: Any, first: bool) -> Any:
        return function(*static, *jax.tree.unflatten(tree, leaves), first=first)

    def impl(*leaves: Any, tree: Any, first: bool) -> Any:
        return jax.jit(partial(run, tree=tree, first=first))(*leaves)

    def abstract(*leaves: Any, tree: Any, first: bool) -> list[jax.core.ShapedArray]:
        given = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]
        shapes = jax.eval_shape(partial(run, tree=tree, first=first), *given)
        return [jax.core.ShapedArray(shape.shape, shape.dtype) for shape in shapes]

    def batch(leaves: Any, axes: Any, *, tree: Any, first: bool) -> tuple[Any, tuple[int, ...]]:
        found = jax.vmap(partial(run, tree=tree, first=first), in_axes=axes)(*leaves)
        return found, (0,) * len(found)

    def drop(used: list[bool], *rest: Any) -> tuple[list[bool], Any]:
        equation = rest[-1]  # jax 0.12 says between the two which inputs are read after it
        inputs = [any(used)] * len(equation.invars)
        if not any(used):
            return inputs, None
        if not equation.params["first"] or used[0]:
            return inputs, equation
        return inputs, equation.replace(outvars=equation.outvars[1:], params=equation.params | {"first": False})

    primitive.def_impl(impl)
    primitive.def_abstract_eval(abstract)
    mlir.register_lowering(primitive, mlir.lower_fun(run, multiple_results=True))
    batching.primitive_batchers[primitive] = batch
    partial_eval.dce_rules[primitive] = drop

    def call(*arguments: Any) -> Any:
        leaves, tree = jax.tree.flatten(arguments)
        if varying_axes(leaves[0]):  # inside shard_map, where a primitive would have to say how its results vary
            return run(*leaves, tree=tree, first=True)
        return tuple(primitive.bind(*leaves, tree=tree, first=True))

    return call
