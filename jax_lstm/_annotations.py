"""The annotations of arrays with their axes, `Float[Array, "time *batch features"]`.

A type checker sees those of jaxtyping. At run time the same names need no library, so that `typing.get_type_hints`
resolves every public signature: to the type of the array, annotated with its axes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:
    from jaxtyping import Array as Array
    from jaxtyping import Bool as Bool
    from jaxtyping import Float as Float
    from jaxtyping import Int as Int
    from jaxtyping import Integer as Integer
    from jaxtyping import Key as Key
    from jaxtyping import PRNGKeyArray as PRNGKeyArray
    from jaxtyping import PyTree as PyTree
else:
    from jax import Array

    PRNGKeyArray = Array
    PyTree = Any

    class _Axes:
        """What `Name[type, axes]` gives: the type, annotated with its axes."""

        def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
            array, axes = item
            return Annotated[array, axes.strip()]

    class Bool(_Axes):
        """An array of booleans."""

    class Float(_Axes):
        """An array of floating-point numbers."""

    class Int(_Axes):
        """An array of signed integers."""

    class Integer(_Axes):
        """An array of signed or unsigned integers."""

    class Key(_Axes):
        """An array of random keys."""
