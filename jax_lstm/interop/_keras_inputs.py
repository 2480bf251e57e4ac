"""What a Keras model does with its inputs before the first LSTM: an embedding, normalizations, masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jax_lstm.interop._inputs import NO_CHANGE, Affine
from jax_lstm.interop._keras_graph import Graph, Part

_SMALLEST = 1e-7
"""`keras.backend.epsilon()`: the least standard deviation that `Normalization` divides by."""


class Front(NamedTuple):
    """The layers in front of a stack that an import includes, the function of inputs that they are, and the table."""

    parts: tuple[Part, ...] = ()
    affine: Affine = NO_CHANGE
    embedding: Part | None = None


def read_front(graph: Graph, first: Part, weights: Callable[[Part], list[Any]], unchanged: frozenset[str]) -> Front:
    """What is in front of a layer, up to the first one that is neither a normalization nor an embedding.

    Args:
        graph: of the model.
        first: the first LSTM.
        weights: the arrays of a layer.
        unchanged: the kinds of layers that do nothing.
    """
    front, data = Front(), first.calls[0].data if first.calls else ()
    for _ in range(len(graph.parts)):
        part = graph.parts.get(graph.source(data[0])[0]) if len(data) == 1 else None
        if part is None or len(part.calls) > 1:
            break
        if part.kind == "Embedding":
            return front._replace(parts=(*front.parts, part), embedding=part)
        if part.kind in _AFFINE:
            with np.errstate(all="ignore"):  # what is not finite is refused where it is folded
                affine = _AFFINE[part.kind](part.config, weights(part))
            if affine is None:
                break
            front = front._replace(parts=(*front.parts, part), affine=front.affine.after(affine))
        elif part.kind not in unchanged | {"Masking"}:  # a masked step has no effect, whatever it holds
            break
        data = part.calls[0].data if part.calls else ()
    return front


def _normalization(config: Mapping[str, Any], arrays: list[Any]) -> Affine | None:
    """`(x - mean) / max(sqrt(variance), 1e-7)`, of numbers in the configuration or adapted to data."""
    if config.get("mean") is not None:
        arrays = [np.asarray(config["mean"], np.float64), np.asarray(config["variance"], np.float64)]
    found = _vectors(arrays[:2], config.get("axis", -1))
    if found is None or len(found) != 2:
        return None
    mean, deviation = found[0], np.maximum(np.sqrt(found[1]), _SMALLEST)
    return Affine(deviation, mean) if config.get("invert") else Affine(1 / deviation, -mean / deviation)


def _batch_normalization(config: Mapping[str, Any], arrays: list[Any]) -> Affine | None:
    """`gamma (x - mean) / sqrt(variance + epsilon) + beta`, with the moving statistics, as outside training."""
    found = _vectors(arrays, config.get("axis", -1))
    scales, centers = bool(config.get("scale", True)), bool(config.get("center", True))
    if found is None or len(found) != 2 + scales + centers or config.get("renorm"):
        return None
    mean, variance = found[-2:]
    factor = (found[0] if scales else 1.0) / np.sqrt(variance + float(config.get("epsilon", 1e-3)))
    return Affine(factor, (found[int(scales)] if centers else 0.0) - mean * factor)


def _rescaling(config: Mapping[str, Any], arrays: list[Any]) -> Affine | None:
    """`scale x + offset`."""
    numbers = [np.asarray(config.get(name, usual)) for name, usual in (("scale", 1.0), ("offset", 0.0))]
    if any(one.dtype.kind not in "if" or one.ndim > 1 for one in numbers):
        return None
    return Affine(*(one.astype(np.float64) for one in numbers))


def _vectors(arrays: list[Any], axis: Any) -> list[np.ndarray] | None:
    """Arrays along the last of three axes, or numbers for all; None for any other axis."""
    places = (axis,) if isinstance(axis, int) else tuple(axis or ())
    if places not in ((-1,), (2,), ()):
        return None
    flat = [np.asarray(one, np.float64).reshape(-1) for one in arrays]
    same = len({one.shape for one in flat}) == 1
    return flat if same and (places or flat[0].size == 1) else None


_AFFINE: dict[str, Callable[[Mapping[str, Any], list[Any]], Affine | None]] = {
    "BatchNormalization": _batch_normalization,
    "Normalization": _normalization,
    "Rescaling": _rescaling,
}
