"""What the user's functions must return, checked as the loop is traced."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from jaxtyping import Array, Float, PyTree


def check_function(name: str, function: Any, arguments: tuple[str, ...]) -> None:
    """A callable that takes these arguments by position."""
    expected = f"({', '.join(arguments)})"
    if not callable(function):
        raise TypeError(f"{name} is a {type(function).__name__}, expected a function {expected}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of some compiled functions Python does not know it
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise TypeError(f"{name} takes {signature}, expected to be called with {expected}: {error}") from None


def check_optimizer(optimizer: Any) -> None:
    """An Optax transformation."""
    if callable(getattr(optimizer, "init", None)) and callable(getattr(optimizer, "update", None)):
        return
    if callable(optimizer):
        named = getattr(optimizer, "__name__", type(optimizer).__name__)
        raise TypeError(f"optimizer is the function {named}, expected what it returns: call it, as in optax.adam(1e-3)")
    raise TypeError(
        f"optimizer is a {type(optimizer).__name__}, expected an Optax transformation, such as optax.adam(1e-3)"
    )


def scalar(name: str, value: Any) -> Float[Array, ""]:
    """The loss that a function returned, refused unless it is a scalar array of floats."""
    expected = "expected a scalar array of floats"
    if isinstance(value, tuple | list | dict):
        raise TypeError(f"{name} returned a {type(value).__name__} of {len(value)}, {expected}: return only the loss")
    if not isinstance(value, jax.Array):
        raise TypeError(f"{name} returned a {type(value).__name__}, {expected}: compute it from params with jax.numpy")
    if value.shape:
        raise ValueError(f"{name} returned shape {value.shape}, {expected}: return the mean")
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise TypeError(f"{name} returned {value.dtype}, {expected}")
    return value


def loss_and_carry(value: Any, carry: PyTree) -> tuple[Float[Array, ""], PyTree]:
    """The loss and the next carry of a stream, refused unless it is such a pair."""
    if not isinstance(value, tuple) or len(value) != 2:
        raise TypeError(f"loss returned a {type(value).__name__}, expected (loss, carry), as a carry was given")
    same_tree("the carry that loss returned", value[1], "the initial carry", carry)
    return scalar("loss", value[0]), value[1]


def same_tree(name: str, tree: PyTree, expected_name: str, expected: PyTree) -> None:
    """Refuse a tree whose structure, shapes or dtypes differ from those of another."""
    found, wanted = (
        {
            jax.tree_util.keystr(path): f"{jnp.result_type(leaf)}{list(jnp.shape(leaf))}"
            for path, leaf in jax.tree.leaves_with_path(one)
        }
        for one in (tree, expected)
    )
    for path in {**wanted, **found}:
        if found.get(path) != wanted.get(path):
            raise ValueError(
                f"{name}{path} is {found.get(path, 'absent')}, but {wanted.get(path, 'absent')} in {expected_name}: "
                "return the same structure, shapes and dtypes"
            )
    structures = str(jax.tree.structure(tree)), str(jax.tree.structure(expected))
    if structures[0] != structures[1]:
        raise ValueError(
            f"{name} is {structures[0]}, but {expected_name} is {structures[1]}: return the same structure"
        )


def hashable(function: Any) -> Any:
    """A callable that can be part of a `Plan`; an `equinox.Module` with arrays, for example, has no hash."""
    try:
        hash(function)
    except TypeError:
        return ByIdentity(function)
    return function


class ByIdentity:
    """A callable without a hash, compared by identity."""

    def __init__(self, function: Callable[..., Any]):
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        """What the callable returns."""
        return self._function(*arguments)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByIdentity) and other._function is self._function

    def __hash__(self) -> int:
        return id(self._function)
