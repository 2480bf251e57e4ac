"""hk.LSTM: one matrix for both inputs, and a forget bias of one that is added at run time."""

from __future__ import annotations

import re
from typing import Any, overload

from jax_lstm._types import Layer, Readout
from jax_lstm.interop._find import Cells, Path, children
from jax_lstm.interop._imported import Imported
from jax_lstm.interop._layout import Layout, Stored, write
from jax_lstm.interop._stack import Layers, read_cells, write_layers

HAIKU = Layout("haiku.LSTM", "igfo", w_x="w", w_h="w", biases=("b",), bias_needed=True, forget_bias=1.0)


@overload
def from_haiku(cells: Any, *, readout: None = None, partial: bool = False) -> tuple[Layer, ...]: ...
@overload
def from_haiku(cells: Any, *, readout: str, partial: bool = False) -> tuple[tuple[Layer, ...], Readout]: ...
@overload
def from_haiku(cells: Any, *, readout: str | None = None, embedding: str, partial: bool = False) -> Imported: ...
def from_haiku(
    cells: Any, *, readout: str | None = None, embedding: str | None = None, partial: bool = False
) -> tuple[Layer, ...] | tuple[tuple[Layer, ...], Readout] | Imported:
    """The layers of `haiku.LSTM` cores.

    Haiku adds one to the forget gate's bias at run time; the layer's `b` includes it. An import after an export gives
    back the bits
    of the import before it: `from_haiku(to_haiku(from_haiku(w)))` has the bits of `from_haiku(w)`.

    Args:
        cells: the parameters of a transformed function with one `haiku.LSTM` of the default name (`"…lstm/linear"`); or
            the parameters of a core, as `params["encoder/linear"]`, with the keys "w" and "b". For a stack, a list with
            one of these per layer; for two directions, `jax_lstm.Bidirectional(forward, backward)` of two.
        readout: the path of the linear layer that takes the outputs, in a whole model, with nothing between them.
        embedding: the path of the embedding whose rows the cell takes: `xs = embedding[tokens]`.
        partial: leave out everything else that a model holds.

    Returns:
        A tuple of layers for `network`; with `readout`, the pair of these layers and a `Readout`; with
        `embedding`, all as `Imported`.

    Raises:
        ValueError: a key that is missing or unknown, a shape that does not fit (the message names the key), parameters
            with no core or with several (the message lists their paths).
        TypeError: another kind of object, or an array that holds no floats.

    >>> import numpy as np
    >>> from_haiku({"w": np.ones((5, 8), np.float32), "b": np.zeros(8, np.float32)})[0].b.tolist()
    [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """
    return read_cells(cells, _CELLS, lambda arrays, name: Stored(HAIKU, arrays, name), readout, embedding, partial)


def to_haiku(layers: Layers) -> tuple[Any, ...]:
    """The parameters of Haiku cores, `{"w", "b"}` per layer: the inverse of `from_haiku`.

    One is subtracted from the forget gate's bias. Where no float is exactly one less, it is rounded: by at most 2⁻²⁴
    for a float32 between -1 and 1. All else is exact. A layer without biases gets those that act as none.

    Args:
        layers: a layer or a tuple of layers.

    Returns:
        A tuple of mappings, `Bidirectional` of two where the layer is.

    Raises:
        ValueError: a variant that Haiku does not have.

    >>> import jax
    >>> from jax_lstm import init_network
    >>> (core,) = to_haiku(init_network(jax.random.key(0), features=3, hidden=[2]))
    >>> core["w"].shape, core["b"].tolist()
    ((5, 8), [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    """
    return write_layers(layers, lambda params, name: write(HAIKU, params, name))


def _is_core(path: Path, node: Any) -> bool:
    """The linear layer of a core of the default name: any other `haiku.Linear` has the same keys."""
    return children(node).keys() == {"w", "b"} and re.search(r"(^|/)lstm(_\d+)?/linear$", "/".join(path)) is not None


_CELLS = Cells(
    "LSTM cores of the default name (…lstm/linear)",
    frozenset({"w", "b"}),
    _is_core,
    linear=("w", "b"),
    table="embeddings",
)
