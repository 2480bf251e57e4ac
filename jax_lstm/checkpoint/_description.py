"""The description of a network as JSON, and the network from its description and its arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np

from jax_lstm._types import GATES, Bidirectional, Carry, Clip, Coupled, Exponential, LayerNorm, Params, Readout
from jax_lstm.checkpoint._tree import Checkpoint, leaves
from jax_lstm.checkpoint._validate import check

KIND, VERSION = "jax_lstm", 1
"""The kind of file that `save` writes, and the version of its format; `load` refuses all others."""

_KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (*get_args(Params), Bidirectional, Carry, LayerNorm, Coupled, Exponential, Clip, Readout)
}
_ABOUT = {
    "w_x": "(features, gates*hidden): input weights of x @ w_x; gate blocks on the last axis in the order of `gates`",
    "w_h": "(out, gates*hidden): recurrent weights of h @ w_h; in DiagonalParams (gates*hidden,), elementwise; in "
    "BlockDiagonalParams (heads, hidden/heads, gates*hidden/heads), of each head the units of h and of every gate",
    "b": "(gates*hidden,): biases",
    "peephole": "(gates - 1, hidden): rows i, f, o (i, o when coupled); the old cell into i and f, the new one into o",
    "projection": "(hidden, out): h = (o * tanh(c)) @ projection",
    "norm": "layer normalization of x @ w_x and h @ w_h (scale_x, scale_h), and of c before its tanh (scale_c, bias_c)",
    "coupled": "the forget gate is one minus the input gate",
    "exponential": "the input gate is exp, with a normalizer and a stabilizer: i = exp(z_i), m = o * c / n (sLSTM)",
    "clip": "cell: c is clipped to plus or minus this; gates: all pre-activations are",
    "carries": "initial states, h (batch, out) and c (batch, hidden), with a batch of one for all sequences",
    "readout": "y = h @ w + b, w (out, outputs), b (outputs,)",
}


def describe(checkpoint: Checkpoint) -> tuple[str, dict[str, np.ndarray]]:
    """The description of a checkpoint, and its arrays by path: all that a container has to keep.

    Args:
        checkpoint: layers, readout and metadata.

    Returns:
        The description as JSON text, and a mapping from paths to arrays.

    Raises:
        ValueError: arrays that do not fit each other, a number that is not finite. TypeError: no layer, an unsupported
            dtype, metadata that JSON does not hold.

    >>> import jax
    >>> from jax_lstm import init
    >>> text, arrays = describe(Checkpoint((init(jax.random.key(0), features=3, hidden=5),)))
    >>> json.loads(text)["layers"][0]["hidden"], sorted(arrays)
    (5, ['layers.0.b', 'layers.0.w_h', 'layers.0.w_x'])
    """
    text = json.dumps({**_description(checkpoint), "about": _ABOUT}, allow_nan=False)
    return text, {path: np.ascontiguousarray(array) for path, array in leaves(checkpoint).items()}


def build(text: str, arrays: Mapping[str, np.ndarray], name: str) -> Checkpoint:
    """The checkpoint of a description and its arrays, the inverse of `describe`.

    Args:
        text: the description.
        arrays: the arrays by path, exactly those that the description names.
        name: what the message calls the file.

    Raises:
        ValueError: a description that is incomplete or that the arrays do not fit.

    >>> import jax
    >>> from jax_lstm import init
    >>> build(*describe(Checkpoint((init(jax.random.key(0), features=3, hidden=5),))), "here").layers[0].w_x.shape
    (3, 20)
    """
    try:
        description = json.loads(text)
        del description["about"]
        layers = _decode_each(description["layers"], arrays, "layers")
        readout = _decode(description["readout"], arrays, "readout")
        carries = None
        if "carries" in description:
            carries = _decode_each(description["carries"], arrays, "carries")
        checkpoint = Checkpoint(layers, readout, description["metadata"], carries)
        # the arrays are described again and compared, so that sizes and gate order are verified too
        if _description(checkpoint) != description or leaves(checkpoint).keys() != arrays.keys():
            raise ValueError("the arrays differ from their description")
    except KeyError as error:
        raise ValueError(_unlike(name, f"{error} is missing")) from error
    except (ValueError, TypeError, AttributeError, IndexError, ArithmeticError, RecursionError) as error:
        raise ValueError(_unlike(name, str(error))) from error
    return checkpoint


def _decode_each(values: Any, arrays: Mapping[str, np.ndarray], name: str) -> tuple[Any, ...]:
    return tuple(_decode(value, arrays, f"{name}.{position}") for position, value in enumerate(values))


def _unlike(name: str, fault: str) -> str:
    return f"{name} does not hold what it describes ({fault[:200]}): write it with jax_lstm.checkpoint.save"


def _description(checkpoint: Checkpoint) -> dict[str, Any]:
    """The description of a checkpoint; what does not fit is refused."""
    members = check(checkpoint)
    return {
        "format": KIND,
        "version": VERSION,
        "members": list(members),
        "layers": [_encode(layer) for layer in checkpoint.layers],
        "readout": _encode(checkpoint.readout),
        "metadata": checkpoint.metadata,
        **({} if checkpoint.carries is None else {"carries": [_encode(carry) for carry in checkpoint.carries]}),
    }


def _encode(value: Any) -> Any:
    """One object, array, number or None of the description."""
    kind: Any = type(value)
    if kind not in _KINDS.values():
        return {"dtype": str(value.dtype), "shape": list(value.shape)} if hasattr(value, "dtype") else value
    node = {"type": kind.__name__, **{field: _encode(getattr(value, field)) for field in kind.__match_args__}}
    if isinstance(value, Params):
        gates = [gate for gate in GATES if value.coupled is None or gate != "forget"]
        hidden = value.w_x.shape[-1] // len(gates)
        out = hidden if value.projection is None else value.projection.shape[-1]
        node |= {"features": value.w_x.shape[-2], "hidden": hidden, "out": out, "gates": gates}
    return node


def _decode(node: Any, arrays: Mapping[str, np.ndarray], path: str) -> Any:
    """The object, array, number or None that `_encode` described."""
    if not isinstance(node, dict):
        return node
    if "dtype" in node:
        return arrays[path]
    kind = _KINDS[node["type"]]
    return kind(**{field: _decode(node[field], arrays, f"{path}.{field}") for field in kind.__match_args__})
