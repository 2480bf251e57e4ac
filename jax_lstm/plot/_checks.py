"""What the pictures refuse, by the name of the argument."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jax_lstm._checks import what


def check_type(value: Any, kind: type, name: str, source: str) -> None:
    """A record of this kind, which `source` makes."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {what(value)}, expected the {kind.__name__} that {source} returns")


def check_named(value: Any, name: str, content: str) -> None:
    """A dictionary with at least one name."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} is {what(value)}, expected a dictionary of {content} by name")
    if not value:
        raise ValueError(f"{name} is empty, expected at least one name with its {content}")


def as_numbers(value: Any, name: str, shape: str, ranks: tuple[int, ...]) -> np.ndarray:
    """An array of real numbers of one of the ranks; `shape` says which in words."""
    try:
        numbers = np.asarray(value, float)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} is {what(value)}, expected numbers of shape {shape}") from error
    if numbers.ndim not in ranks or numbers.size == 0:
        raise ValueError(f"{name} has shape {numbers.shape}, expected {shape} with at least one value")
    return numbers


def check_steps(count: int, expected: int, name: str, like: str) -> None:
    """One entry for each step."""
    if count != expected:
        raise ValueError(f"{name} has {count} steps, but {like} has {expected}: give one entry per step")
