"""How records print: arrays as their type and shape, `float32[3,64]`, not as their numbers."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

import jax

MOST_ROWS = 15
"""How many rows of a long table a notebook shows, from its beginning."""


def short_repr(record: Any) -> str:
    """A NamedTuple in one line, for its `__repr__`; fields that are None are left out.

    >>> import jax.numpy as jnp
    >>> from jax_lstm import Carry
    >>> Carry(jnp.zeros((4, 16)), jnp.zeros((4, 16)))
    Carry(h=float32[4,16], c=float32[4,16])
    """
    fields = zip(record._fields, record, strict=True)
    shown = (f"{name}={jax.tree.map(_Leaf, value)!r}" for name, value in fields if value is not None)
    return f"{type(record).__name__}({', '.join(shown)})"


def html_table(head: Sequence[str], rows: Sequence[Iterable[Any]], caption: str) -> str:
    """A table for the `_repr_html_` of a record, with its first rows only.

    >>> html_table(["name"], [["a"], ["<b>"]], "two")
    '<table><caption>two</caption><tr><th>name</th></tr><tr><td>a</td></tr><tr><td>&lt;b&gt;</td></tr></table>'
    """

    def row(cells: Iterable[Any], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    shown = [row(head, "th"), *(row(cells, "td") for cells in rows[:MOST_ROWS])]
    if len(rows) > MOST_ROWS:
        caption += f"; the first {MOST_ROWS} are shown"
    return f"<table><caption>{html.escape(caption)}</caption>{''.join(shown)}</table>"


def series_in_words(series: Sequence[Any]) -> str:
    """How many series, and how long.

    >>> series_in_words([[1.0, 2.0], [1.0]])
    '2 series of 1 to 2 values'
    """
    lengths = [len(one) for one in series]
    if not lengths:
        return "no series"
    ends = f"{min(lengths):,} to {max(lengths):,}" if min(lengths) != max(lengths) else f"{lengths[0]:,}"
    return f"{len(lengths):,} series of {ends} values"


class _Leaf:
    """Prints what is at a leaf of a tree."""

    def __init__(self, value: Any):
        self.value = value

    def __repr__(self) -> str:
        dtype, shape = getattr(self.value, "dtype", None), getattr(self.value, "shape", None)
        if dtype is None or not isinstance(shape, tuple):
            return repr(self.value)
        return f"{dtype}[{','.join(map(str, shape))}]"
