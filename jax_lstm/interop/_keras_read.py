"""`.keras`, `.h5` and `.weights.h5` files, of Keras 3 and 2: read without Keras, so that nothing in them can run."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jax_lstm._zip import is_zip, unpack
from jax_lstm.interop._hdf5 import Content, parse_config, read_hdf5
from jax_lstm.interop._imported import Imported
from jax_lstm.interop._keras_graph import Part
from jax_lstm.interop._keras_layer import KERAS
from jax_lstm.interop._keras_model import read_model
from jax_lstm.interop._layout import Stored
from jax_lstm.interop._stack import read_layers

_WEIGHTS = "model.weights.h5"


def read_keras(path: str | os.PathLike[str], *, prefix: str | None = None, readout: str | None = None) -> Imported:
    """The LSTMs of a Keras file, one or a stack of them, and the linear `Dense` after them.

    Keras is not needed, only h5py: the structure and the arrays are read, and nothing of the file is run. A file of
    weights alone says neither how layers are connected nor their options; `left_out` then says so.

    Args:
        path: a `.keras` or `.h5` file of a Sequential or a Functional model, of Keras 3 or 2; or a file of weights.
        prefix: the path of an LSTM, as in "encoder/lstm": its stack is read. None where the file has one stack.
        readout: the path of a linear `Dense` or `TimeDistributed(Dense)`; None for the only one that follows.

    Returns:
        `Imported`, whose `left_out` names every other layer.

    Raises:
        ValueError: a file that is damaged or refers to other files; classes that are not Keras's own; a layer that
            computes something else; LSTMs that are no stack. The message names them.
        ImportError: h5py is not installed. OSError: the file cannot be read.
    """
    file, name = Path(path), os.fspath(path)
    if is_zip(file):
        config, content = _read_archive(file, name)
    else:
        content = read_hdf5(file, name)
        config = None if content.config is None else parse_config(content.config, name)
    try:
        if config is None:
            return _read_weights(content, prefix)
        return read_model(config, lambda part: _arrays(content, part), prefix, readout)[0]
    except (ValueError, TypeError) as error:
        raise type(error)(f"{name}: {error}") from error
    except (AttributeError, KeyError, IndexError, OverflowError) as error:  # options of types that Keras does not write
        raise ValueError(f"{name} is damaged: its configuration is not that of a Keras model") from error


def _read_archive(path: Path, name: str) -> tuple[Any, Content]:
    """The configuration and the arrays of a `.keras` file, whose checksums are verified."""
    members = unpack(path)
    missing = {"config.json", _WEIGHTS} - members.keys()
    if missing:
        raise ValueError(f"{name} is not a Keras file, it has no {min(missing)!r}: save it with model.save(path)")
    config = parse_config(members["config.json"], name)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder, _WEIGHTS)
        weights.write_bytes(members[_WEIGHTS])
        return config, read_hdf5(weights, name)


def _arrays(content: Content, part: Part) -> list[np.ndarray]:
    """The arrays of a layer, in the order of `get_weights()`."""
    if content.names:
        return _legacy_arrays(content, part)
    # Keras 3 names layers by their kind and number, at each level; Keras 2.12 to 2.15 called the level otherwise
    for level in ("layers", "_layer_checkpoint_dependencies"):
        inside = "/".join(f"{level}/{name}" for name in part.place)
        found = [key for key in content.arrays if key.startswith(f"{inside}/")]
        if found:
            return [content.arrays[key] for key in sorted(found, key=_order)]
    return []


def _order(key: str) -> list[tuple[str, int]]:
    """Sorts forward before backward, and `lstm_cell_10` after `lstm_cell_9`."""
    names = key.replace("/forward_layer/", "/0/").replace("/backward_layer/", "/1/").split("/")
    numbered = [re.fullmatch(r"(.*?)(?:_(\d+))?", name) for name in names]
    return [(one[1], int(one[2] or 0)) if one else ("", 0) for one in numbered]


def _legacy_arrays(content: Content, part: Part) -> list[np.ndarray]:
    """The arrays of a layer in an `.h5` file, where a group for each outer layer lists its weights by name."""
    outer, _, _ = part.path.partition("/")
    inner = part.path.rpartition("/")[2]
    for root in ("model_weights/", ""):
        names = content.names.get(f"{root}{outer}")
        if names is not None:
            own = names if inner == outer else [name for name in names if f"/{inner}/" in f"/{name}"]
            if part.kind == "Normalization":  # how many values it was adapted to is a whole number, and not read
                own = [name for name in own if name.rpartition("/")[2].partition(":")[0] != "count"]
            missing = [name for name in own if f"{root}{outer}/{name}" not in content.arrays]
            if missing:
                raise ValueError(f"layer {part.path!r} has no array {missing[0]!r}, which the file lists")
            return [content.arrays[f"{root}{outer}/{name}"] for name in own]
    return []


def _read_weights(content: Content, prefix: str | None) -> Imported:
    """The one LSTM of a file of weights alone, or the one at a path."""
    groups: dict[str, list[str]] = {}
    for key in content.arrays:
        groups.setdefault(key.rpartition("/")[0], []).append(key)
    cells = {path: cell for path, keys in groups.items() if (cell := _cell(content.arrays, sorted(keys, key=_order)))}
    paths = {re.sub(r"(/cell|/lstm_cell(_\d+)?)$", "", path): cell for path, cell in cells.items()}
    if (prefix is not None and prefix not in paths) or (len(paths) != 1 and prefix is None):
        there = ", ".join(map(repr, paths)) or "none"
        raise ValueError(
            f"it holds weights alone, with LSTMs at {there}: expected one, or a prefix= (--prefix) that is one of them"
        )
    chosen = prefix if prefix is not None else next(iter(paths))
    (layer,) = read_layers([Stored(KERAS, dict(enumerate(paths[chosen])), f"layer {chosen!r}")])
    others = [path for path in groups if cells.get(path) is not paths[chosen]]
    unknown = "the options and connections of layers, which a file of weights does not hold"
    return Imported((layer,), left_out=(unknown, *map(repr, others)))


def _cell(arrays: Mapping[str, np.ndarray], keys: list[str]) -> list[np.ndarray] | None:
    """The kernel, recurrent kernel and bias of an LSTM, if the arrays of a group are that."""
    ends = {key.rpartition("/")[2].partition(":")[0]: key for key in keys}
    if {"kernel", "recurrent_kernel"} <= ends.keys():
        keys = [ends[name] for name in ("kernel", "recurrent_kernel", "bias") if name in ends]
    found = [arrays[key] for key in keys]
    if len(found) not in (2, 3) or any(array.ndim != 2 for array in found[:2]):
        return None
    units = found[1].shape[0]
    wide = all(array.shape[-1] == 4 * units for array in found)
    return found if wide else None
