"""A model in one safetensors file, in the container of `jax_lstm.checkpoint`, verified in full on reading."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jax_lstm._types import LSTMParams, Readout
from jax_lstm.checkpoint import Content, load_arrays, save_arrays
from jax_lstm.forecast._intervals import FEATURES as STEP_FEATURES
from jax_lstm.forecast._intervals import LEVELS, Widths
from jax_lstm.forecast._model import Model
from jax_lstm.forecast._network import DESIGNS, Network
from jax_lstm.forecast._weights import FEATURES, Combiner
from jax_lstm.forecast.methods import NAMES

KIND, VERSION = "jax_lstm.forecast", 2
"""The kind of a file that holds a model, and the version that is written; `load` reads this one alone."""


def save(path: str | os.PathLike[str], model: Model, *, half: bool = False) -> None:
    """Write a model to a safetensors file; an old file stays until the new one is complete.

    Args:
        path: where, by convention `*.safetensors`.
        model: from `fit` or `calibrate`.
        half: in float16, half as large.

    Raises:
        ImportError: safetensors is missing. ValueError: numbers that are not finite. OSError: it cannot be written.

    >>> import pathlib, tempfile
    >>> from jax_lstm.forecast import calibrate
    >>> model = calibrate([np.arange(40.0) % 7], 2, season=7)
    >>> path = pathlib.Path(tempfile.mkdtemp(), "model.safetensors")
    >>> save(path, model)
    >>> load(path).report == model.report
    True
    """
    about = json.loads(json.dumps(dict(model.about), allow_nan=False))  # tuples become lists
    facts = _design() | {"horizon": model.horizon, "about": about, "report": model.report}
    kept = np.float16 if half else np.float32
    arrays = {name: np.ascontiguousarray(np.asarray(leaf), kept) for name, leaf in _arrays(model).items()}
    save_arrays(path, Content(facts, arrays), kind=KIND, version=VERSION, about="a model of jax_lstm.forecast")


def load(path: str | os.PathLike[str]) -> Model:
    """Read what `save` wrote: its checksum, version, design, names, shapes and numbers are verified.

    Raises:
        ValueError: a file that holds no model, is damaged, or was written by another version. OSError: no such file.
            ImportError: safetensors is missing.
    """
    name, (facts, arrays) = os.fspath(path), load_arrays(path, kind=KIND, version=VERSION)
    design = _design()
    if set(facts) != {*design, "horizon", "about", "report"} or any(facts[key] != design[key] for key in design):
        raise ValueError(f"{name} has a model of another design: fit it again with this version of jax_lstm")
    horizon, about, report = facts["horizon"], facts["about"], facts["report"]
    whole = horizon is None or (type(horizon) is int and horizon > 0)
    if not whole or not isinstance(about, dict) or not isinstance(report, str):
        raise ValueError(f"{name} has facts of other types than a model: fit it again")
    given = {key: np.asarray(array, np.float32) for key, array in arrays.items()}
    try:
        networks = {key: _network(given, f"networks.{key}.") for key in DESIGNS}
        combiner = Combiner(*(given[f"combiner.{field}"] for field in Combiner._fields))
        widths = Widths(*(given[f"widths.{field}"] for field in Widths._fields))
        factors = given["factors"].astype(np.float64)
    except KeyError as error:
        raise ValueError(f"{name} has no array {error}: fit the model again") from error
    model = Model(networks, combiner, widths, factors, horizon, about, report)
    if set(_arrays(model)) != set(given) or not _fits(model):
        raise ValueError(f"{name} has arrays whose shapes do not fit each other: fit the model again")
    return model


def _design() -> dict[str, Any]:
    """What a model must have in common with this version of the package."""
    return {
        "designs": {name: list(design) for name, design in DESIGNS.items()},
        "methods": list(NAMES),
        "levels": list(LEVELS),
    }


def _fits(model: Model) -> bool:
    """Whether the shapes of a model fit its design."""
    for key, (layer, readout) in model.networks.items():
        if layer.w_x.ndim != 3 or readout.b is None:
            return False
        members, features, gates = layer.w_x.shape
        hidden, outputs = gates // 4, 5 * DESIGNS[key].horizon
        shapes = [layer.w_h.shape, layer.b.shape, readout.w.shape, readout.b.shape]
        wanted = [(members, hidden, gates), (members, gates), (members, hidden + features, outputs), (members, outputs)]
        if features != DESIGNS[key].features or shapes != wanted:
            return False
    combiner, widths = model.combiner, model.widths
    if combiner.w_in.ndim != 2 or widths.w_in.ndim != 2:
        return False
    inner, outer = combiner.w_in.shape[1], widths.w_in.shape[1]
    return (
        [leaf.shape for leaf in combiner]
        == [(FEATURES + len(NAMES), inner), (inner,), (2 * inner, inner), (inner,), (inner, 2), (2,), (len(NAMES),)]
        and [leaf.shape for leaf in widths]
        == [(STEP_FEATURES, outer), (outer,), (outer, outer), (outer,), (outer, 2 * len(LEVELS)), (2 * len(LEVELS),)]
        and model.factors.shape[:1] == (len(LEVELS),)
        and model.factors.ndim == 2
        and bool((model.factors > 0).all())
    )


def _arrays(model: Model) -> dict[str, Any]:
    """The arrays of a model by their names in a file."""
    found: dict[str, Any] = {"factors": model.factors}
    for key, (layer, readout) in model.networks.items():
        fields = {"layer.w_x": layer.w_x, "layer.w_h": layer.w_h, "layer.b": layer.b}
        fields |= {"readout.w": readout.w, "readout.b": readout.b}
        found |= {f"networks.{key}.{name}": leaf for name, leaf in fields.items()}
    found |= {f"combiner.{name}": leaf for name, leaf in model.combiner._asdict().items()}
    return found | {f"widths.{name}": leaf for name, leaf in model.widths._asdict().items()}


def _network(arrays: Mapping[str, np.ndarray], prefix: str) -> Network:
    w_x, w_h, b = (jnp.asarray(arrays[f"{prefix}layer.{name}"]) for name in ("w_x", "w_h", "b"))
    layer = LSTMParams(w_x, w_h, b)
    return Network(layer, Readout(*(jnp.asarray(arrays[f"{prefix}readout.{name}"]) for name in ("w", "b"))))
