"""torch.nn.LSTM: a state dict with one key for each array, layer and direction."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from jax_lstm._types import Bidirectional
from jax_lstm.interop._layout import Layout, Stored, write
from jax_lstm.interop._stack import read_layers, refuse_uneven, write_layers

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


def from_torch(state_dict: Mapping, *, prefix: str | None = None) -> tuple:
    """The layers of a `torch.nn.LSTM`, of any number of layers, one or two directions, with or without biases and projections.

    PyTorch adds two biases, `bias_ih` and `bias_hh`; the layer has their sum.

    Args:
        state_dict: what `module.state_dict()` gives, of the LSTM itself or of a module that holds it; NumPy arrays serve as well.
        prefix: what stands before `weight_ih_l0`, as in `"encoder.lstm."`; None looks for it, where the dictionary holds one LSTM.
            Keys with another beginning are not looked at.

    Returns:
        A tuple of layers for `network`, `Bidirectional(forward, backward)` for two directions.

    Raises:
        ValueError: a key that is missing or unknown, a shape that does not fit; the message names the key. TypeError: no floats.

    >>> import numpy as np
    >>> weights = {"weight_ih_l0": np.ones((8, 3)), "weight_hh_l0": np.ones((8, 2))}
    >>> layers = from_torch({name: array.astype(np.float32) for name, array in weights.items()})
    >>> layers[0].w_x.shape, layers[0].w_h.shape, layers[0].b
    ((3, 8), (2, 8), None)
    """
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"state_dict is a {type(state_dict).__name__}, expected a mapping: module.state_dict()")
    if prefix is None:
        prefix = _find_prefix(state_dict)
    directions: dict[tuple[int, str], dict[str, object]] = {}
    for key, array in state_dict.items():
        if not key.startswith(prefix):
            continue
        match = _KEY.fullmatch(key, len(prefix))
        if match is None:
            raise ValueError(f"state_dict has an unknown key {key!r}, of shape {np.shape(array)}: no array of a torch.nn.LSTM is called so")
        directions.setdefault((int(match[2]), match[3] or ""), {})[key] = array

    def stored(k: int, side: str) -> Stored:
        return Stored(TORCH.rename(lambda role: f"{prefix}{role}_l{k}{side}"), directions.get((k, side), {}), "state_dict")

    layers = 1 + max((k for k, _ in directions), default=0)
    if any(side for _, side in directions):
        return read_layers(Bidirectional(stored(k, ""), stored(k, "_reverse")) for k in range(layers))
    return read_layers(stored(k, "") for k in range(layers))


def to_torch(layers, *, prefix: str = "") -> dict[str, np.ndarray]:
    """The state dict of the `torch.nn.LSTM` that computes what the layers do: the inverse of `from_torch`.

    All of a bias goes into `bias_ih`, and `bias_hh` is zero. Load it with
    `module.load_state_dict({name: torch.from_numpy(array) for name, array in to_torch(layers).items()})`.

    Args:
        layers: the layers, all with the same number of units, directions and outputs, all with biases or none, as PyTorch has it.
        prefix: what to put before every key.

    Raises:
        ValueError: a variant that PyTorch does not have, or layers that differ.

    >>> import jax
    >>> from jax_lstm import init_network
    >>> sorted(to_torch(init_network(jax.random.key(0), features=3, hidden=[2]), prefix="lstm."))
    ['lstm.bias_hh_l0', 'lstm.bias_ih_l0', 'lstm.weight_hh_l0', 'lstm.weight_ih_l0']
    """
    written = write_layers(layers, lambda params, name: write(TORCH, params, name))
    both = [list(layer) if isinstance(layer, Bidirectional) else [layer] for layer in written]
    refuse_uneven(both, "torch.nn.LSTM", w_h="weight_hh")
    state_dict: dict[str, np.ndarray] = {}
    for k, directions in enumerate(both):
        for arrays, side in zip(directions, ("", "_reverse"), strict=False):
            state_dict |= {f"{prefix}{key}_l{k}{side}": array for key, array in arrays.items()}
    return state_dict


def _find_prefix(state_dict: Mapping) -> str:
    prefixes = [key.removesuffix("weight_ih_l0") for key in state_dict if key.endswith("weight_ih_l0")]
    if len(prefixes) != 1:
        found = f"keys for {len(prefixes)} LSTMs, {', '.join(map(repr, prefixes))}" if prefixes else "no key that ends in 'weight_ih_l0'"
        raise ValueError(f"state_dict has {found}: expected one, or say which by prefix=")
    return prefixes[0]
