"""torch.nn.LSTM: a state dict with one key for each array, layer and direction."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from jax_lstm._types import Bidirectional, Layer, directions
from jax_lstm.interop._arrays import shape_of
from jax_lstm.interop._layout import Layout, Stored, write
from jax_lstm.interop._stack import Layers, read_layers, refuse_uneven, write_layers

TORCH = Layout(
    "torch.nn.LSTM",
    "ifgo",
    w_x="weight_ih",
    w_h="weight_hh",
    biases=("bias_ih", "bias_hh"),
    gates_first=True,
    projection="weight_hr",
)
_KEY = re.compile(r"(weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)_l(0|[1-9]\d*)(_reverse)?")


def from_torch(state_dict: Any, *, prefix: str | None = None) -> tuple[Layer, ...]:
    """The layers of a `torch.nn.LSTM`, with any of its options but dropout.

    PyTorch adds two biases, `bias_ih` and `bias_hh`; the layer has their sum. A packed sequence becomes our arguments
    by `xs, lengths = torch.nn.utils.rnn.pad_packed_sequence(packed)`, then `network(layers, xs.numpy(),
    lengths=lengths.numpy())`.

    Args:
        state_dict: an `nn.LSTM` or a module that holds one, its `state_dict()`, or its `named_parameters()`; NumPy
            arrays serve as well.
        prefix: the path of the LSTM in a larger model, as in `"encoder.lstm"`; None where the model holds one LSTM.
            Keys with another beginning are ignored.

    Returns:
        A tuple of layers for `network`, `Bidirectional(forward, backward)` for two directions.

    Raises:
        ValueError: a key that is missing or unknown, a shape that does not fit (the message names the key), a model
            with several LSTMs (the message lists their paths).
        TypeError: another kind of object, or an array that holds no floats.

    >>> import numpy as np
    >>> weights = {"weight_ih_l0": np.ones((8, 3)), "weight_hh_l0": np.ones((8, 2))}
    >>> layers = from_torch({name: array.astype(np.float32) for name, array in weights.items()})
    >>> layers[0].w_x.shape, layers[0].w_h.shape, layers[0].b
    ((3, 8), (2, 8), None)
    """
    arrays = as_state_dict(state_dict)
    prefix = find_prefix(arrays) if prefix is None else dotted(prefix)
    cells: dict[tuple[int, str], dict[str, Any]] = {}
    for key, array in arrays.items():
        if not key.startswith(prefix):
            continue
        match = _KEY.fullmatch(key, len(prefix))
        if match is None:
            raise ValueError(
                f"state_dict has an unknown key {key!r}, of shape {shape_of(array)}: a torch.nn.LSTM has no such array"
            )
        cells.setdefault((int(match[2]), match[3] or ""), {})[key] = array

    def stored(k: int, side: str) -> Stored:
        return Stored(TORCH.rename(lambda role: f"{prefix}{role}_l{k}{side}"), cells.get((k, side), {}), "state_dict")

    layers = 1 + max((k for k, _ in cells), default=0)
    if any(side for _, side in cells):
        return read_layers(Bidirectional(stored(k, ""), stored(k, "_reverse")) for k in range(layers))
    return read_layers(stored(k, "") for k in range(layers))


def to_torch(layers: Layers, *, prefix: str = "") -> dict[str, np.ndarray]:
    """The state dict of the `torch.nn.LSTM` that computes what the layers do: the inverse of `from_torch`.

    All of a bias goes into `bias_ih`, and `bias_hh` is zero. Load it with
    `module.load_state_dict({name: torch.from_numpy(array) for name, array in to_torch(layers).items()})`.

    Args:
        layers: a layer or a tuple of layers, all with the same number of units, directions and outputs, all with biases
            or none, as PyTorch has it.
        prefix: the path of the LSTM in a larger model, as in `"encoder.lstm"`.

    Returns:
        A mapping from keys to arrays.

    Raises:
        ValueError: a variant that PyTorch does not have, or layers that differ.

    >>> import jax
    >>> from jax_lstm import init_network
    >>> sorted(to_torch(init_network(jax.random.key(0), features=3, hidden=[2]), prefix="lstm"))
    ['lstm.bias_hh_l0', 'lstm.bias_ih_l0', 'lstm.weight_hh_l0', 'lstm.weight_ih_l0']
    """
    written = write_layers(layers, lambda params, name: write(TORCH, params, name))
    stack = [[arrays for _, arrays in directions(layer)] for layer in written]
    refuse_uneven(stack, "torch.nn.LSTM", w_h="weight_hh")
    state_dict: dict[str, np.ndarray] = {}
    for k, sides in enumerate(stack):
        for arrays, side in zip(sides, ("", "_reverse"), strict=False):
            state_dict |= {f"{dotted(prefix)}{key}_l{k}{side}": array for key, array in arrays.items()}
    return state_dict


def as_state_dict(source: Any) -> dict[str, Any]:
    """The arrays by key of a state dict, a module or its `named_parameters()`."""
    if hasattr(source, "state_dict"):
        source = source.state_dict()
    if not isinstance(source, Mapping) and isinstance(source, Iterable) and not isinstance(source, str | bytes):
        pairs = list(source)
        if all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
            source = dict(pairs)
    if not isinstance(source, Mapping) or not all(isinstance(key, str) for key in source):
        raise TypeError(f"state_dict is a {type(source).__name__}, expected a mapping or a module: module.state_dict()")
    return dict(source)


def find_prefix(state_dict: Mapping[str, Any]) -> str:
    """What stands before the keys of the one LSTM of a model."""
    first = "weight_ih_l0"
    prefixes = [key.removesuffix(first) for key in state_dict if key.endswith(first)]
    lstms = [prefix for prefix in prefixes if not _is_other(state_dict, prefix)]
    if len(lstms) == 1:
        return lstms[0]
    if lstms:
        paths = ", ".join(repr(prefix.rstrip(".")) for prefix in lstms)
        raise ValueError(f"state_dict has {len(lstms)} LSTMs, at {paths}: choose one with prefix= (--prefix)")
    others = f" but those of another RNN, {prefixes[0] + first!r}" if prefixes else ""
    raise ValueError(f"state_dict has no key that ends in {first!r}{others}: expected the arrays of a torch.nn.LSTM")


def dotted(prefix: str) -> str:
    """A prefix with the dot that stands between it and a key."""
    return prefix if not prefix or prefix.endswith(".") else f"{prefix}."


def _is_other(state_dict: Mapping[str, Any], prefix: str) -> bool:
    """Whether the keys are those of a `torch.nn.GRU` or `torch.nn.RNN`: the same names, but three gates or one."""
    shape = shape_of(state_dict.get(f"{prefix}weight_hh_l0"))
    return len(shape) == 2 and f"{prefix}weight_hr_l0" not in state_dict and shape[0] in (shape[1], 3 * shape[1])
