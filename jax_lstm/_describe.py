"""A stack as a table of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

from jax_lstm import _checks
from jax_lstm._types import BlockDiagonalParams, DiagonalParams, Layer, Params, directions

VARIANTS = ("peephole", "projection", "norm", "coupled", "exponential")
"""The fields of a layer that turn a variant on."""


def describe(layers: Layer | Sequence[Layer]) -> str:
    """A stack as a table to print: what each layer is, its sizes, its parameters, and the memory they take.

    Args:
        layers: one layer or several; a bidirectional one has a row for each direction. Stacked members of an ensemble
            are counted together.

    Raises:
        TypeError: something else than a layer.

    >>> import jax
    >>> from jax_lstm import init_network
    >>> print(describe(init_network(jax.random.key(0), features=3, hidden=[5, 4], peephole=True)))
    layer  variant   features  hidden  out  parameters  dtype    bytes
    0      peephole         3       5    5         195  float32    780
    1      peephole         5       4    4         172  float32    688
    all                                            367           1,468
    """
    stack = _checks.check_stack((layers,) if not isinstance(layers, tuple | list) or _is_layer(layers) else layers)
    rows: list[tuple[str, ...]] = [("layer", "variant", "features", "hidden", "out", "parameters", "dtype", "bytes")]
    for position, layer in enumerate(stack):
        for name, params in directions(layer, str(position)):
            if not isinstance(params, Params):
                raise TypeError(f"layers[{name}] is {_checks.what(params)}, expected a layer: make it with init")
            sizes = (f"{size:,}" for size in (params.features, params.hidden, params.out))
            count, size = _counts(params)
            rows.append((name, variant(params), *sizes, f"{count:,}", str(params.w_x.dtype), f"{size:,}"))
    count, size = _counts(stack)
    rows.append(("all", "", "", "", "", f"{count:,}", "", f"{size:,}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = ("layer", "variant", "dtype")
    return "\n".join(
        "  ".join(
            cell.ljust(width) if name in left else cell.rjust(width)
            for name, cell, width in zip(rows[0], row, widths, strict=True)
        ).rstrip()
        for row in rows
    )


def variant(params: Params) -> str:
    """The variants of a layer, in words; "plain" where there are none.

    >>> from jax_lstm import Clip, init
    >>> variant(init(jax.random.key(0), features=1, hidden=2, coupled=True)._replace(clip=Clip(cell=3.0)))
    'coupled, clip cell 3'
    """
    words = ["diagonal"] if isinstance(params, DiagonalParams) else []
    words += [f"{params.heads} heads"] if isinstance(params, BlockDiagonalParams) else []
    words += [name for name in VARIANTS if getattr(params, name, None) is not None]
    for name in ("cell", "gates"):
        bound = getattr(params.clip, name, None)
        words += [] if bound is None else [f"clip {name} {bound:g}"]
    return ", ".join(words + ["no bias"] * (params.b is None)) or "plain"


def _is_layer(layers: Any) -> bool:
    return len(directions(layers)) == 2 or isinstance(layers, Params)


def _counts(tree: Any) -> tuple[int, int]:
    """How many parameters, and how many bytes they take."""
    leaves = jax.tree.leaves(tree)
    return sum(leaf.size for leaf in leaves), sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
