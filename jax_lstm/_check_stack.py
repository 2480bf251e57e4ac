"""Refusals of the layers and the carries of a stack."""

from __future__ import annotations

from typing import Any

from jax_lstm import _checks
from jax_lstm._types import Bidirectional, Carry, FinalCarries, Layer, directions


def check_carries(
    carries: Any, layers: tuple[Layer, ...], batch: tuple[int, ...], dtype: Any, name: str = "carries"
) -> tuple[Any, ...]:
    """One carry per layer, of its kind."""
    if not isinstance(carries, tuple | list) or isinstance(carries, Carry | Bidirectional | FinalCarries):
        raise TypeError(f"{name} is {_checks.what(carries)}, expected a tuple of one carry per layer")
    if len(carries) != len(layers):
        raise ValueError(
            f"{name} has {len(carries)} entries, expected one per layer, {len(layers)}: they belong to another stack"
        )
    for position, (carry, layer) in enumerate(zip(carries, layers, strict=True)):
        where = f"{name}[{position}]"
        if isinstance(carry, FinalCarries):
            raise ValueError(
                f"{where} holds the final carries of a bidirectional layer, which cannot stream: its backward "
                "direction starts at the end of the whole sequence. Give the sequence at once, or "
                "Bidirectional(forward, backward) if these are initial states"
            )
        parts, layer_parts = directions(carry, where), directions(layer)
        if len(parts) != len(layer_parts):
            expected = "Carry(h, c)" if len(layer_parts) == 1 else "Bidirectional(forward, backward)"
            raise TypeError(
                f"{where} is {_checks.what(carry)}, expected {expected}, as layers[{position}] is {_checks.what(layer)}"
            )
        for (part, one), (_, params) in zip(parts, layer_parts, strict=True):
            _checks.check_carry(one, _checks.check_params(params), batch, dtype, part)
    return tuple(carries)


def check_layers(layers: tuple[Layer, ...], features: int, dtype: Any) -> list[list[_checks.Sizes]]:
    """The sizes of the directions of each layer of a stack, or a refusal of a layer that does not fit the one before
    it.
    """
    width, source, stack = features, "xs", []
    for position, layer in enumerate(layers):
        name = f"layers[{position}]"
        sizes = {}
        for part, params in directions(layer, name):
            sizes[part] = _checks.check_params(params, part)
            if sizes[part].features != width:
                raise ValueError(
                    f"{part} takes {sizes[part].features} features, but {source} has {width}: make it with "
                    f"features={width}"
                )
            if params.w_x.dtype != dtype:
                raise TypeError(f"xs is {dtype}, but {part} is {params.w_x.dtype}: convert one of them with astype")
        stack.append(list(sizes.values()))
        width, source = sum(one.out for one in sizes.values()), name
    return stack
