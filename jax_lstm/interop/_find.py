"""Cells found by their field names in nested mappings and modules, without importing the framework."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp

from jax_lstm._types import Bidirectional

Path = tuple[str, ...]


class Cells(NamedTuple):
    """How the cells of a framework are recognized.

    Args:
        kind: what messages call cells.
        keys: keys that only a cell has: what has one of them is a cell, complete or not, where a cell is expected.
        is_cell: whether the node at a path inside a larger model is one.
        separator: what is between the keys of a path.
        check: refuses, by its name, the last of nodes that are inside each other, if it computes something else.
        linear: the keys of the weight and the bias of a linear layer.
        table: the key of the rows of an embedding.
        outputs_first: whether that weight is (outputs, inputs).
    """

    kind: str
    keys: frozenset[str]
    is_cell: Callable[[Path, Any], bool]
    separator: str = "/"
    check: Callable[[Sequence[Any], str], None] = lambda nodes, name: None
    linear: tuple[str, str] = ("kernel", "bias")
    table: str = "embedding"
    outputs_first: bool = False


class Found(NamedTuple):
    """A cell, or the two of a bidirectional layer; its name for messages, and its paths in what was given."""

    cell: Any
    name: str
    paths: tuple[Path, ...]


def children(node: Any) -> dict[str, Any]:
    """The entries of a mapping, a sequence or a module by name; nothing for what has none."""
    node = unboxed(node)
    if isinstance(node, Mapping):
        return {str(key): value for key, value in node.items()}
    if isinstance(node, Sequence) and not isinstance(node, str | bytes):
        return {str(position): value for position, value in enumerate(node)}
    if is_module(node):  # "_pytree": bookkeeping of nnx, under the names of the fields
        return {name: value for name, value in vars(node).items() if not name.startswith("_pytree")}
    return {}


def unboxed(node: Any) -> Any:
    """The content of a box of metadata of Flax, such as that of `nn.with_partitioning`; anything else as it is."""
    return node.unbox() if hasattr(node, "unbox") else node


def is_module(node: Any) -> bool:
    """Whether an object is a module of Flax nnx or of Equinox."""
    return any(kind.__name__ == "Module" for kind in type(node).__mro__)


_FRAMEWORKS = ("keras", "tf_keras", "tensorflow", "torch", "flax", "equinox")


def check_not_overridden(node: Any, method: str, name: str, fix: str) -> None:
    """A refusal of an object whose class has a `method` that is not the framework's own, and may compute anything."""
    for kind in type(node).__mro__:
        if method in vars(kind):
            if kind.__module__.partition(".")[0] not in _FRAMEWORKS:
                raise ValueError(f"{name} is a {type(node).__name__}, which has a {method} of its own: {fix}")
            return


def find_cell(source: Any, name: str, cells: Cells) -> Found:
    """The one cell of `source`, or the two of a bidirectional layer.

    Raises:
        ValueError: no cell, or several; the message lists their paths. TypeError: no mapping and no module.
    """
    if not isinstance(source, Mapping) and not is_module(source):
        kind = type(source).__name__
        raise TypeError(
            f"{name} is a {kind}, expected a mapping of a cell's arrays or a module, or a list of them, one per layer"
        )
    if children(source).keys() & cells.keys:
        cells.check([source], name)
        return Found(source, name, ((),))
    found = _pair_directions(dict(_search(source, cells, (), frozenset())), cells.separator)
    if not found:
        there = ", ".join(map(repr, children(source))) or "nothing"
        raise ValueError(f"{name} holds no {cells.kind}, it has {there}: expected a cell, or a model with one")
    if len(found) > 1:
        paths = ", ".join(map(repr, found))
        raise ValueError(
            f"{name} holds {len(found)} {cells.kind}, at {paths}: give one of them, or a list of them for a stack"
        )
    ((path, (cell, places)),) = found.items()
    for place in places:
        nodes = [source]
        for key in place:
            nodes.append(children(nodes[-1])[key])
        for last in range(len(nodes)):
            cells.check(nodes[: last + 1], f"{name}[{cells.separator.join(place[:last])!r}]" if last else name)
    return Found(cell, f"{name}[{path!r}]", places)


def floats(source: Any) -> dict[Path, Any]:
    """The arrays of floats in a source by path."""
    return dict(_floats(source, (), frozenset()))


_UNCHANGED = ("Dropout", "Identity")
"""Beginnings of the names of modules without arrays that change nothing when a model is run."""


def computing(source: Any) -> list[tuple[str, Path]]:
    """The modules of a live model that have no arrays of floats, such as a norm without scales, by kind and path."""
    found: list[tuple[str, Path]] = []
    open_ends: list[tuple[Path, Any]] = [((), source)]
    seen: set[int] = set()
    while open_ends:
        path, node = open_ends.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if is_module(node) and not floats(node):
            if not type(node).__name__.startswith(_UNCHANGED):
                found.append((type(node).__name__, path))
        else:
            open_ends += [((*path, key), child) for key, child in children(node).items()]
    return sorted(found, key=lambda one: one[1])


def _floats(node: Any, path: Path, above: frozenset[int]) -> Iterator[tuple[Path, Any]]:
    node = unboxed(node)
    if hasattr(node, "shape") and hasattr(node, "dtype"):
        if jnp.issubdtype(node.dtype, jnp.floating):
            yield path, node
    elif id(node) not in above:
        for key, child in children(node).items():
            yield from _floats(child, (*path, key), above | {id(node)})


def _search(node: Any, cells: Cells, path: Path, above: frozenset[int]) -> Iterator[tuple[Path, Any]]:
    """Every cell below a node with its path; `above` holds the nodes on the way, as modules may refer to themselves."""
    if cells.is_cell(path, node):
        yield path, node
    elif id(node) not in above:
        for key, child in children(node).items():
            yield from _search(child, cells, (*path, key), above | {id(node)})


def _pair_directions(found: dict[Path, Any], separator: str) -> dict[str, tuple[Any, tuple[Path, ...]]]:
    """The cells by path, those of `flax.linen.Bidirectional` and `flax.nnx.Bidirectional` in pairs."""
    paired: dict[str, tuple[Any, tuple[Path, ...]]] = {}
    for path, cell in found.items():
        other = {"forward_rnn": "backward_rnn", "backward_rnn": "forward_rnn"}
        partner = tuple(other.get(key, key) for key in path)
        if "forward_rnn" in path and partner in found:
            place = separator.join(path[: path.index("forward_rnn")])
            paired[place] = Bidirectional(cell, found[partner]), (path, partner)
        elif "backward_rnn" not in path or partner not in found:
            paired[separator.join(path)] = cell, (path,)
    return paired
