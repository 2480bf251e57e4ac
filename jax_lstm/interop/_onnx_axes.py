"""Where each axis of a value of an ONNX graph comes from: what reshapes, transposes and slices do to the data."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple


class Atom(NamedTuple):
    """One axis of the data that is never divided: the time, the batch, the directions, the units, or another one.

    Args:
        key: tells atoms of one size apart.
        size: the number of entries, None where only the caller of the model knows it.
        reversed: whether its entries are in reverse order.
    """

    key: int
    size: int | None
    reversed: bool = False


Axis = tuple[Atom, ...]
"""An axis of a value: the atoms that it joins, the outermost first; none for an axis of one entry."""


class Size(NamedTuple):
    """A number of entries: `number` times the sizes of atoms that only the caller knows, by their keys."""

    number: int
    unknown: tuple[int, ...] = ()

    def times(self, other: Size) -> Size:
        """The product."""
        return Size(self.number * other.number, tuple(sorted(self.unknown + other.unknown)))


class Stream(NamedTuple):
    """What a value of the graph is.

    Args:
        source: what made the data: `("Y", layer)`, `("Y_h", layer)`, `("readout", operator)` or `("value", value)`.
        axes: the axes of the value, in the atoms of its source.
        taken: atoms of the source of which the value has one entry only, with its position.
    """

    source: tuple[str, Any]
    axes: tuple[Axis, ...]
    taken: tuple[tuple[Atom, int], ...] = ()


_KEYS = itertools.count()


def new_axis(size: Any) -> Axis:
    """An axis of its own; `size` is an int, or anything else where it is not known."""
    known = size if isinstance(size, int) else None
    return () if known == 1 else (Atom(next(_KEYS), known),)


def size_of(axis: Axis) -> Size:
    """The number of entries of an axis."""
    size = Size(1)
    for atom in axis:
        size = size.times(Size(1, (atom.key,)) if atom.size is None else Size(atom.size))
    return size


def regroup(axes: Sequence[Axis], sizes: Sequence[Size | None], copy_zeros: bool) -> tuple[Axis, ...] | None:
    """The axes after a Reshape to `sizes`, where -1 takes the rest; None where it divides atoms or cannot be followed.

    Args:
        axes: the axes before it.
        sizes: the new sizes; None for one that could not be determined.
        copy_zeros: whether 0 copies the size of the axis at its place.
    """
    wanted: list[Size] = []
    for place, size in enumerate(sizes):
        if size == Size(0) and copy_zeros:
            size = size_of(axes[place]) if place < len(axes) else None
        if size is None:
            return None
        wanted.append(size)
    rest = [place for place, size in enumerate(wanted) if size == Size(-1)]
    if len(rest) > 1:
        return None
    atoms = [atom for axis in axes for atom in axis]
    split = rest[0] if rest else len(wanted)
    front = _take(atoms, wanted[:split])
    back = _take(atoms[::-1], wanted[split + 1 :][::-1])
    if front is None or back is None or sum(map(len, (*front, *back))) > len(atoms):
        return None
    left = atoms[sum(map(len, front)) : len(atoms) - sum(map(len, back))]
    if left and not rest:
        return None
    return (*front, *((tuple(left),) if rest else ()), *(axis[::-1] for axis in back[::-1]))


def _take(atoms: Sequence[Atom], sizes: Sequence[Size]) -> list[Axis] | None:
    """The atoms, one after the other, that make up each size; None where they do not."""
    taken: list[Axis] = []
    at = 0
    for size in sizes:
        axis: Axis = ()
        while size_of(axis) != size:
            if at == len(atoms):
                return None
            axis, at = (*axis, atoms[at]), at + 1
        taken.append(axis)
    return taken


def take(stream: Stream, place: int, index: int, keep: bool) -> Stream | None:
    """The stream with one entry of an axis, which stays as an axis of one entry where `keep`; None for joined axes."""
    axis = stream.axes[place]
    if len(axis) > 1:
        return None
    axes = (*stream.axes[:place], *(((),) if keep else ()), *stream.axes[place + 1 :])
    return Stream(stream.source, axes, (*stream.taken, *((atom, index) for atom in axis)))


def reverse(stream: Stream, place: int) -> Stream | None:
    """The stream with an axis in reverse; None for joined axes."""
    axis = stream.axes[place]
    if len(axis) > 1:
        return None
    turned = tuple(atom._replace(reversed=not atom.reversed) for atom in axis)
    return stream._replace(axes=(*stream.axes[:place], turned, *stream.axes[place + 1 :]))


def join(streams: Sequence[Stream], place: int) -> Stream | None:
    """A Concat of all entries of an atom, in order, along an axis, to which the atom is added; None for any other."""
    first = streams[0]
    if any((one.source, one.axes) != (first.source, first.axes) for one in streams):
        return None
    differing = [pair for pair in first.taken if any(pair not in one.taken for one in streams)]
    if len(differing) != 1 or place >= len(first.axes):
        return None
    ((atom, _),) = differing
    common = tuple(pair for pair in first.taken if pair[0] != atom)
    if [one.taken for one in streams] != [(*common, (atom, k)) for k in range(atom.size or 0)]:
        return None
    axes = (*first.axes[:place], (atom, *first.axes[place]), *first.axes[place + 1 :])
    return Stream(first.source, axes, common)


def entries(axis: Axis) -> int | None:
    """The number of entries of an axis, None where it is not known."""
    return math.prod(atom.size or 0 for atom in axis) if all(atom.size is not None for atom in axis) else None
