"""torch.nn.LSTM and LSTMCell: a state dict with one key for each array, layer and direction."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, overload

import jax.numpy as jnp
import numpy as np

from jax_lstm._types import Bidirectional, Layer, Readout, directions
from jax_lstm.interop._arrays import as_numpy, check_table, shape_of
from jax_lstm.interop._imported import Imported
from jax_lstm.interop._layout import Layout, Stored, write
from jax_lstm.interop._stack import Layers, read_layers, refuse_left_out, refuse_uneven, write_layers
from jax_lstm.interop._torch_state import check_kind, collect, lstm_prefixes

TORCH = Layout(
    "torch.nn.LSTM",
    "ifgo",
    w_x="weight_ih",
    w_h="weight_hh",
    biases=("bias_ih", "bias_hh"),
    gates_first=True,
    projection="weight_hr",
)
_HEAD = "take a linear layer on top with readout= (--readout), an embedding with embedding="
_KEY = re.compile(r"(weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)_l(0|[1-9]\d{0,3})(_reverse)?")


@overload
def from_torch(
    state_dict: Any, *, prefix: str | None = None, readout: None = None, partial: bool = False
) -> tuple[Layer, ...]: ...
@overload
def from_torch(
    state_dict: Any, *, prefix: str | None = None, readout: str, partial: bool = False
) -> tuple[tuple[Layer, ...], Readout]: ...
@overload
def from_torch(
    state_dict: Any, *, prefix: str | None = None, readout: str | None = None, embedding: str, partial: bool = False
) -> Imported: ...
def from_torch(
    state_dict: Any,
    *,
    prefix: str | None = None,
    readout: str | None = None,
    embedding: str | None = None,
    partial: bool = False,
) -> tuple[Layer, ...] | tuple[tuple[Layer, ...], Readout] | Imported:
    """The layers of a `torch.nn.LSTM` or `LSTMCell`, with the linear layer on top and the embedding where named.

    PyTorch adds two biases, `bias_ih` and `bias_hh`; the layer has their sum. `batch_first` does not change the
    weights: swap the first two axes of the data. A packed sequence becomes our arguments by `xs, lengths =
    torch.nn.utils.rnn.pad_packed_sequence(packed)`, then `network(layers, xs.numpy(), lengths=lengths.numpy())`.
    Weight norm, spectral norm, pruning and dynamic quantization are computed as PyTorch does outside training.

    Args:
        state_dict: an `nn.LSTM` or a module that holds one, its `state_dict()`, its `named_parameters()`, a
            `torch.export` program, or a checkpoint with a state dict at some depth; NumPy arrays serve as well.
        prefix: the path of the LSTM in a larger model, as in `"encoder.lstm"`, and the rest is left out; None where the
            model holds one LSTM.
        readout: the path of the `nn.Linear` that takes the outputs, as in `"fc"`. Nothing else may be between them,
            which a state dict does not say.
        embedding: the path of the `nn.Embedding` whose rows the LSTM takes: `xs = embedding[tokens]`.
        partial: leave out everything else that the model holds.

    Returns:
        A tuple of layers for `network`, `Bidirectional(forward, backward)` for two directions; with `readout`, the pair
        of these layers and a `Readout`; with `embedding`, all as `Imported`.

    Raises:
        ValueError: a key that is missing or unknown, a shape that does not fit (the message names the key), a model
            with more than its LSTM or with several LSTMs (the message lists them), a parametrization whose arithmetic
            is not in the state dict.
        TypeError: another kind of object, or an array that holds no floats.

    >>> import numpy as np
    >>> weights = {"lstm.weight_ih_l0": np.ones((8, 3), "f"), "lstm.weight_hh_l0": np.ones((8, 2), "f")}
    >>> layers, head = from_torch(weights | {"fc.weight": np.ones((1, 2), "f")}, readout="fc")
    >>> layers[0].w_x.shape, layers[0].w_h.shape, layers[0].b, head.w.shape
    ((3, 8), (2, 8), None, (2, 1))
    """
    read = read_state(state_dict, prefix, readout, embedding)
    if prefix is None and not partial:
        refuse_left_out("the model", read.left_out, _HEAD)
    if embedding is not None:
        return read
    if readout is None:
        return read.layers
    assert read.readout is not None  # read_state refuses a path that is none
    return read.layers, read.readout


def read_state(state_dict: Any, prefix: str | None, readout: str | None, embedding: str | None) -> Imported:
    """What `from_torch` reads, with the names of what it leaves out."""
    arrays, computing = collect(state_dict)
    prefix = _find_prefix(arrays) if prefix is None else _given_prefix(arrays, dotted(prefix))
    scope = _scope(state_dict, prefix)
    own = {key: array for key, array in arrays.items() if key.startswith(prefix)}
    head = None if readout is None else _find_weight(arrays, readout, scope, "readout")
    if head is not None:
        check_kind(state_dict, head, "Linear", "readout")
    table = None if embedding is None else _find_weight(arrays, embedding, scope, "embedding")
    if table is not None:
        check_kind(state_dict, table, "Embedding", "embedding")
    named = {f"{head}weight", f"{head}bias"} if head is not None else set()
    named |= {f"{table}weight"} if table is not None else set()
    rest = [key for key in arrays if key not in own.keys() | named and key.startswith(scope)]
    if prefix == "":  # an LSTM by itself has no other keys; next to some, they belong to other modules
        others = [key for key in own if "." in key]
        own = {key: array for key, array in own.items() if key not in others}
        rest += [key for key in others if key not in named]
    layers = _read(own, prefix)
    width = sum(params.out for _, params in directions(layers[-1]))
    left_out = [*rest, *computing]
    return Imported(
        layers,
        None if head is None else _readout(arrays, head, width),
        embedding=None if table is None else _embedding(arrays, table, layers),
        left_out=tuple(left_out),
    )


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


def dotted(prefix: str) -> str:
    """A prefix with the dot between it and a key."""
    return prefix if not prefix or prefix.endswith(".") else f"{prefix}."


def _read(arrays: Mapping[str, Any], prefix: str) -> tuple[Layer, ...]:
    """The layers of the keys that start with a prefix."""
    if f"{prefix}weight_ih" in arrays:  # an LSTMCell
        return read_layers([Stored(TORCH.rename(lambda role: f"{prefix}{role}"), arrays, "state_dict")])
    cells: dict[tuple[int, str], dict[str, Any]] = {}
    for key, array in arrays.items():
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


def _find_prefix(arrays: Mapping[str, Any]) -> str:
    """What is before the keys of the one LSTM of a model."""
    lstms = lstm_prefixes(arrays)
    if len(lstms) == 1:
        return lstms[0]
    if lstms:
        paths = ", ".join(repr(prefix.rstrip(".")) for prefix in lstms)
        raise ValueError(f"state_dict has {len(lstms)} LSTMs, at {paths}: choose one with prefix= (--prefix)")
    for key in arrays:
        if key.endswith(("weight_ih_l0", "weight_ih")):
            raise ValueError(f"state_dict has no LSTM, and {key!r} is of a GRU or an RNN: it does not have four gates")
        if key.endswith("igates.weight"):
            raise ValueError(
                f"state_dict has {key!r}, of a torch.ao.nn.quantizable.LSTM: give the torch.nn.LSTM it was made from"
            )
    raise ValueError("state_dict has no key that ends in 'weight_ih_l0': expected the arrays of a torch.nn.LSTM")


def _given_prefix(arrays: Mapping[str, Any], prefix: str) -> str:
    """What is before the keys of the LSTM at a path, whose beginning may be left out."""
    lstms = lstm_prefixes(arrays)
    if any(key.startswith(f"{prefix}weight_") for key in arrays):
        return prefix
    longer = [found for found in lstms if found.endswith(f".{prefix}")]
    if len(longer) != 1:
        there = ", ".join(repr(found.rstrip(".")) for found in longer or lstms) or "none"
        raise ValueError(
            f"prefix is {prefix.rstrip('.')!r}, expected the path of an LSTM of the model: there are {there}"
        )
    return longer[0]


def _scope(source: Any, prefix: str) -> str:
    """The path of the state dict with a prefix inside a checkpoint that holds several things; "" for a plain one."""
    scope, node = "", source
    while isinstance(node, Mapping):
        inner = next((key for key in node if isinstance(key, str) and prefix.startswith(f"{scope}{key}.")), None)
        if inner is None or not isinstance(node[inner], Mapping):
            break
        scope, node = f"{scope}{inner}.", node[inner]
    return scope


def _find_weight(arrays: Mapping[str, Any], path: str, scope: str, argument: str) -> str:
    """The prefix of a matrix at a path, which may leave out its beginning where that is clear."""
    exact = [f"{start}{dotted(path)}" for start in (scope, "")]
    longer = [key.removesuffix("weight") for key in arrays if key.endswith(f".{dotted(path)}weight")]
    found = [prefix for prefix in dict.fromkeys(exact) if f"{prefix}weight" in arrays][:1] or longer
    if len(found) != 1:
        there = [key.removesuffix(".weight") for key, one in arrays.items() if _is_linear(key, one)]
        listed = ", ".join(map(repr, there)) or "none"
        kind = {"readout": "a linear layer", "embedding": "an embedding"}[argument]
        raise ValueError(f"{argument} is {path!r}, expected the path of {kind} of the model: there are {listed}")
    return found[0]


def _is_linear(key: str, array: Any) -> bool:
    return key.endswith(".weight") and len(shape_of(array)) == 2


def _embedding(arrays: Mapping[str, Any], prefix: str, layers: tuple[Layer, ...]) -> Any:
    """The table with a prefix, whose rows the first layer takes."""
    name, ((_, first), *_) = f"{prefix}weight", directions(layers[0])
    table = as_numpy(arrays[name], f"state_dict[{name!r}]")
    check_table(table, f"state_dict[{name!r}]", first.features)
    return jnp.array(table, copy=True)


def _readout(arrays: Mapping[str, Any], prefix: str, width: int) -> Readout:
    """The linear layer with a prefix, of `width` inputs."""
    w = as_numpy(arrays[f"{prefix}weight"], f"state_dict[{prefix + 'weight'!r}]")
    if w.ndim != 2 or w.shape[1] != width:
        raise ValueError(
            f"state_dict[{prefix + 'weight'!r}] has shape {w.shape}, expected (outputs, {width}), as the last layer "
            f"has {width} outputs"
        )
    b = as_numpy(arrays[f"{prefix}bias"], f"state_dict[{prefix + 'bias'!r}]") if f"{prefix}bias" in arrays else None
    if b is not None and b.shape != w.shape[:1]:
        raise ValueError(f"state_dict[{prefix + 'bias'!r}] has shape {b.shape}, expected {w.shape[:1]}")
    return Readout(jnp.array(w.T, copy=True), None if b is None else jnp.array(b, copy=True))
