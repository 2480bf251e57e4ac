"""The LSTMs of a Keras model, found by their names and connections, without importing Keras."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

UNCHANGED = frozenset(
    {"ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise", "SpatialDropout1D"}
)
"""The layers that do nothing when a model is run."""


def find_stack(model: Any) -> list[Any]:
    """The LSTM layers of a model, one or a stack of them; or a refusal that lists them."""
    layers = flatten(model)
    found = {path: layer for path, layer in layers.items() if is_lstm(layer)}
    if not found:
        kinds = ", ".join(sorted({type(layer).__name__ for layer in layers.values()})) or "nothing"
        raise ValueError(f"the model has no LSTM layer, it has {kinds}: expected an LSTM or a Bidirectional(LSTM)")
    if not all(feeds(before, after, model) for before, after in pairwise(found.values())):
        paths = ", ".join(map(repr, found))
        raise ValueError(
            f"the model has {len(found)} LSTM layers that are no stack, {paths}: give one of them, or a list of them"
        )
    return list(found.values())


def flatten(model: Any, path: str = "") -> dict[str, Any]:
    """The layers of a model by path, those of models inside it included."""
    found: dict[str, Any] = {}
    for layer in model.layers:
        name = f"{path}{layer.name}"
        found |= flatten(layer, f"{name}/") if hasattr(layer, "layers") else {name: layer}
    return found


def is_lstm(layer: Any) -> bool:
    """Whether a layer is an LSTM, or the two directions of one."""
    return all(any(kind.__name__ == "LSTM" for kind in type(part).__mro__) for part in parts(layer))


def parts(layer: Any) -> list[Any]:
    """The directions of a layer."""
    return [layer.forward_layer, layer.backward_layer] if hasattr(layer, "forward_layer") else [layer]


def feeds(before: Any, after: Any, model: Any) -> bool:
    """Whether one layer takes the outputs of another, through no layers but those that leave them unchanged."""
    layers = list(flatten(model).values())
    if _is_sequential(
        model
    ):  # its layers may have been called several times while it was built, and then have no one input
        first, last = ([layer is one for layer in layers].index(True) for one in (before, after))
        return first < last and all(type(layer).__name__ in UNCHANGED for layer in layers[first + 1 : last])
    tensor = _tensor(after, "input")
    while tensor is not None:
        if tensor is _tensor(before, "output"):
            return True
        makers = [layer for layer in layers if _tensor(layer, "output") is tensor and type(layer).__name__ in UNCHANGED]
        tensor = _tensor(makers[0], "input") if makers else None
    return False


def _is_sequential(model: Any) -> bool:
    """Whether a model, with all models inside it, is one layer after the other."""
    inner = [layer for layer in model.layers if hasattr(layer, "layers")]
    return any(kind.__name__ == "Sequential" for kind in type(model).__mro__) and all(map(_is_sequential, inner))


def check_layer(layer: Any) -> None:
    """Refuse a layer that computes something else with the same weights."""
    if not is_lstm(layer):
        raise ValueError(f"layer {layer.name!r} is a {type(layer).__name__}, expected an LSTM or a Bidirectional(LSTM)")
    expected = {"activation": "tanh", "recurrent_activation": "sigmoid"}
    for part, backwards in zip(parts(layer), (False, True), strict=False):
        config = part.get_config()
        for name, value in (expected | {"go_backwards": backwards}).items():
            if config[name] != value:
                raise ValueError(f"layer {layer.name!r} has {name}={config[name]!r}, expected {value!r}")
    if hasattr(layer, "merge_mode") and layer.merge_mode != "concat":
        raise ValueError(
            f"layer {layer.name!r} has merge_mode={layer.merge_mode!r}, expected 'concat': give layer.get_weights() to "
            "from_keras, and merge the two halves of the outputs as its docstring says"
        )


def _tensor(layer: Any, end: str) -> Any:
    """The symbolic input or output of a layer; None where it has none, or several inputs."""
    try:
        tensor = getattr(layer, end)
    except (AttributeError, RuntimeError):  # a layer that was never called on a symbolic tensor, or at several places
        return None
    if isinstance(
        tensor, list | tuple
    ):  # an LSTM that returns its states has its outputs first; a second input is a state
        return tensor[0] if end == "output" and tensor else None
    return tensor
