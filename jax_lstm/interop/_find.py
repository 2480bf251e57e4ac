"""Cells found by their field names in nested mappings and modules, without importing the framework."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jax_lstm._types import Bidirectional

Path = tuple[str, ...]


class Cells(NamedTuple):
    """How the cells of a framework are recognised.

    Args:
        kind: what messages call cells.
        keys: keys that only a cell has: what has one of them is a cell, complete or not, where a cell is expected.
        is_cell: whether the node at a path inside a larger model is one.
        separator: what stands between the keys of a path.
    """

    kind: str
    keys: frozenset[str]
    is_cell: Callable[[Path, Any], bool]
    separator: str = "/"


def children(node: Any) -> dict[str, Any]:
    """The entries of a mapping, a sequence or a module by name; nothing for what has none."""
    if isinstance(node, Mapping):
        return {str(key): value for key, value in node.items()}
    if isinstance(node, Sequence) and not isinstance(node, str | bytes):
        return {str(position): value for position, value in enumerate(node)}
    if is_module(node):  # "_pytree": bookkeeping of nnx, under the names of the fields
        return {name: value for name, value in vars(node).items() if not name.startswith("_pytree")}
    return {}


def is_module(node: Any) -> bool:
    """Whether an object is a module of Flax nnx or of Equinox."""
    return any(kind.__name__ == "Module" for kind in type(node).__mro__)


def find_cell(source: Any, name: str, cells: Cells) -> tuple[Any, str]:
    """The one cell of `source`, or the two of a bidirectional layer, and its name for messages.

    Raises:
        ValueError: no cell, or several; the message lists their paths. TypeError: no mapping and no module.
    """
    if not isinstance(source, Mapping) and not is_module(source):
        kind = type(source).__name__
        raise TypeError(
            f"{name} is a {kind}, expected a mapping of a cell's arrays or a module, or a list of them, one per layer"
        )
    if children(source).keys() & cells.keys:
        return source, name
    found = _pair_directions(dict(_search(source, cells, (), frozenset())), cells.separator)
    if not found:
        there = ", ".join(map(repr, children(source))) or "nothing"
        raise ValueError(f"{name} holds no {cells.kind}, it has {there}: expected a cell, or a model with one")
    if len(found) > 1:
        paths = ", ".join(map(repr, found))
        raise ValueError(
            f"{name} holds {len(found)} {cells.kind}, at {paths}: give one of them, or a list of them for a stack"
        )
    ((path, cell),) = found.items()
    return cell, f"{name}[{path!r}]"


def _search(node: Any, cells: Cells, path: Path, above: frozenset[int]) -> Iterator[tuple[Path, Any]]:
    """Every cell below a node with its path; `above` holds the nodes on the way, as modules may refer to themselves."""
    if cells.is_cell(path, node):
        yield path, node
    elif id(node) not in above:
        for key, child in children(node).items():
            yield from _search(child, cells, (*path, key), above | {id(node)})


def _pair_directions(found: dict[Path, Any], separator: str) -> dict[str, Any]:
    """The cells by path, those of `flax.linen.Bidirectional` and `flax.nnx.Bidirectional` in pairs."""
    paired: dict[str, Any] = {}
    for path, cell in found.items():
        other = {"forward_rnn": "backward_rnn", "backward_rnn": "forward_rnn"}
        partner = found.get(tuple(other.get(key, key) for key in path))
        if "forward_rnn" in path and partner is not None:
            paired[separator.join(path[: path.index("forward_rnn")])] = Bidirectional(cell, partner)
        elif "backward_rnn" not in path or partner is None:
            paired[separator.join(path)] = cell
    return paired
