"""Carries of a whole stack as PyTorch, cuDNN and ONNX have them: one array each for h and c, directions first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jax_lstm import _checks
from jax_lstm._types import Bidirectional, Carry, FinalCarries, Layer, directions
from jax_lstm.interop._arrays import as_numpy, copied
from jax_lstm.interop._stack import Layers, join_directions, sides_of


def carries_from_torch(layers: Layers, states: Any) -> tuple[Any, ...]:
    """The carries of `network` from the states of a `torch.nn.LSTM`: those of a stream, or learned initial ones.

    Args:
        layers: a layer or a tuple of layers, as from `from_torch`.
        states: the pair `(h_0, c_0)`, each `(layers*directions, batch, units)`, as PyTorch has it, or without the batch
            axis. With a batch of one, for all sequences: repeat it with `jax.tree.map(lambda state:
            jnp.broadcast_to(state, (batch, state.shape[1])), carries)`.

    Returns:
        A tuple of `Carry`, `Bidirectional(Carry, Carry)` for two directions.

    Raises:
        ValueError: shapes that do not fit the layers. TypeError: something else than a pair of arrays of floats.

    >>> import jax
    >>> from jax_lstm import init_network
    >>> layers = init_network(jax.random.key(0), features=3, hidden=[5, 5])
    >>> carries = carries_from_torch(layers, (np.zeros((2, 4, 5), "f"), np.zeros((2, 4, 5), "f")))
    >>> [carry.h.shape for carry in carries]
    [(4, 5), (4, 5)]
    """
    if not isinstance(states, list | tuple) or len(states) != 2:
        raise TypeError(f"states is {_checks.what(states)}, expected the pair (h_0, c_0)")
    sides = sides_of(layers)
    flat = [params for layer in sides for params in layer]
    arrays = []
    for name, state, widths in (
        ("h_0", states[0], [params.out for params in flat]),
        ("c_0", states[1], [params.hidden for params in flat]),
    ):
        array = as_numpy(state, name)
        if array.ndim not in (2, 3) or array.shape[0] != len(flat) or {array.shape[-1]} != set(widths):
            expected = f"({len(flat)}, batch, {widths[0]})"
            raise ValueError(f"{name} has shape {array.shape}, expected {expected} for {len(flat)} directions")
        arrays.append(array)
    cells = iter(Carry(copied(h), copied(c)) for h, c in zip(*arrays, strict=True))
    return tuple(join_directions([next(cells) for _ in layer]) for layer in sides)


def carries_to_torch(carries: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """The states `(h_n, c_n)` of PyTorch from carries, the inverse of `carries_from_torch`; it takes last ones too.

    Args:
        carries: one per layer, as `network` takes or returns them.

    Returns:
        Two arrays `(layers*directions, batch, units)`.

    Raises:
        ValueError: layers of different sizes, which PyTorch does not have.

    >>> h, c = carries_to_torch((Carry(np.ones((4, 5)), np.ones((4, 5))),))
    >>> h.shape, c.shape
    ((1, 4, 5), (1, 4, 5))
    """
    cells = [cell for carry in carries for cell in _ends(carry)]
    h, c = ([np.asarray(getattr(cell, field)) for cell in cells] for field in ("h", "c"))
    if len({array.shape for array in h}) != 1 or len({array.shape for array in c}) != 1:
        shapes = ", ".join(str(array.shape) for array in (*h, *c))
        raise ValueError(f"carries have the shapes {shapes}, but a torch.nn.LSTM has one size in every layer")
    return np.stack(h), np.stack(c)


def check_carries(carries: Any, layers: Sequence[Any]) -> list[tuple[np.ndarray, np.ndarray]]:
    """The initial h and c of every layer with directions first, for layers of pairs whose first is the parameters."""
    if (
        not isinstance(carries, list | tuple)
        or isinstance(carries, Carry | Bidirectional)
        or len(carries) != len(layers)
    ):
        raise ValueError(f"carries is {_checks.what(carries)}, expected True or a tuple of one carry per layer")
    checked = []
    for k, (carry, layer) in enumerate(zip(carries, layers, strict=True)):
        sides: list[Layer] = [params for _, (params, _) in directions(layer)]
        cells = _ends(carry)
        if len(cells) != len(sides) or not all(isinstance(cell, Carry) for cell in cells):
            raise ValueError(f"carries[{k}] is {_checks.what(carry)}, expected one carry per direction ({len(sides)})")
        arrays = []
        for field in ("h", "c"):
            parts = [np.asarray(getattr(cell, field)) for cell in cells]
            parts = [part[None] if part.ndim == 1 else part for part in parts]
            for part, params in zip(parts, sides, strict=True):
                if part.ndim != 2 or part.shape[1] != params.hidden or part.dtype != params.w_x.dtype:  # type: ignore[union-attr]
                    raise ValueError(
                        f"carries[{k}].{field} is {part.dtype} {part.shape}, expected "
                        f"{params.w_x.dtype} (batch, {params.hidden}), with a batch of one for all sequences"  # type: ignore[union-attr]
                    )
            arrays.append(np.stack(np.broadcast_arrays(*parts)))
        checked.append((arrays[0], arrays[1]))
    return checked


def _ends(carry: Any) -> list[Any]:
    """The carries of the directions of a layer."""
    return [carry.forward, carry.backward] if isinstance(carry, Bidirectional | FinalCarries) else [carry]
