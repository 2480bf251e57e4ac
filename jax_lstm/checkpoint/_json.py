"""Values that JSON keeps as they are."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

Place: TypeAlias = "tuple[Place, Any] | str"
"""Where a value is: a name, or the place of its container and its key. It becomes text only in a refusal, as texts of
nested places would take memory quadratic in their depth."""


def check_json(value: Any, name: str) -> None:
    """Refuse, by its place, what JSON does not hold or gives back as something else.

    Args:
        value: strings, finite numbers, booleans, None, lists and dicts.
        name: what the message calls the value.

    Raises:
        TypeError: another type. ValueError: a number that is not finite, or a value that is nested too deeply.
    """
    try:
        _check(value, name)
    except RecursionError:
        raise ValueError(f"{name} is nested too deeply, or holds itself: flatten it") from None


def _check(value: Any, place: Place) -> None:
    match value:
        case None | bool() | str() | int():
            return
        case float():
            if not math.isfinite(value):
                raise ValueError(
                    f"{_text(place)} is {value}, expected a finite number: JSON has no other, use None or a string"
                )
        case list():
            for position, entry in enumerate(value):
                _check(entry, (place, position))
        case dict():
            for key, entry in value.items():
                if not isinstance(key, str):
                    raise TypeError(f"{_text(place)} has the key {key!r}, expected strings as keys: JSON has no others")
                _check(entry, (place, key))
        case _:
            raise TypeError(
                f"{_text(place)} is a {type(value).__name__}, expected JSON: a string, number, boolean, None, list "
                "(no tuple) or dict"
            )


def _text(place: Place) -> str:
    """A place as Python writes it."""
    keys = []
    while not isinstance(place, str):
        place, key = place
        keys.append(f"[{key!r}]")
    return place + "".join(reversed(keys))
