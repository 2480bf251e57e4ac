"""A fitted forecaster in one safetensors file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jax_lstm._files import replacing
from jax_lstm.forecast._combine import Calibration
from jax_lstm.forecast._inputs import Inputs
from jax_lstm.forecast._model import Forecaster, Tuned
from jax_lstm.forecast._weights import arrays_of, network_of, safetensors

MARK = "jax_lstm.forecast"


def save(path: str | os.PathLike[str], forecaster: Forecaster) -> None:
    """Write a forecaster to a safetensors file, atomically.

    Raises:
        ImportError: safetensors is missing.

    >>> import pathlib, tempfile, jax, numpy as np
    >>> from jax_lstm.forecast import fit, panel
    >>> model = fit(panel([np.arange(9.0)], season=1), 2, key=jax.random.key(0), effort="quick", progress=False)
    >>> path = pathlib.Path(tempfile.mkdtemp(), "model.safetensors")
    >>> save(path, model)
    >>> load(path).report == model.report
    True
    """
    arrays: dict[str, np.ndarray] = {}
    seasons = {}
    for season, tuned in forecaster.tuned.items():
        calibration = tuned.calibration
        seasons[str(season)] = {
            "network": tuned.network is not None,
            "methods": calibration.methods,
            "shares": calibration.shares.tolist(),
            "factors": calibration.factors.tolist(),
        }
        if tuned.network is not None:
            arrays |= arrays_of(tuned.network, f"{season}.")
    inputs = {
        name: None if pair is None else [one.tolist() for one in pair]
        for name, pair in forecaster.inputs._asdict().items()
        if name != "ahead"
    }
    facts = {
        "version": 1,
        "seasons": seasons,
        "inputs": inputs,
        "ahead": forecaster.inputs.ahead,
        "horizon": forecaster.horizon,
        "about": forecaster.about,
        "report": forecaster.report,
    }
    data = safetensors().save(arrays, {MARK: json.dumps(facts)})
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def load(path: str | os.PathLike[str]) -> Forecaster:
    """Read what `save` wrote.

    Raises:
        ValueError: a file that holds no forecaster, or is damaged. OSError: no such file.
    """
    data = Path(path).read_bytes()
    try:
        size = int.from_bytes(data[:8], "little")
        facts: dict[str, Any] = json.loads(json.loads(data[8 : 8 + size])["__metadata__"][MARK])
        arrays = safetensors().load(data)
        tuned = {int(season): _tuned(season, one, arrays) for season, one in facts["seasons"].items()}
    except (KeyError, TypeError, UnicodeDecodeError, ValueError, _safetensors_error()) as error:
        raise ValueError(f"{os.fspath(path)} holds no forecaster, or is damaged: make one with jax-lstm fit") from error
    pairs: Any = {
        name: None if pair is None else tuple(np.array(one) for one in pair) for name, pair in facts["inputs"].items()
    }
    inputs = Inputs(**pairs, ahead=facts["ahead"])
    return Forecaster(tuned, inputs, facts["horizon"], facts["about"], facts["report"])


def _tuned(season: str, facts: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Tuned:
    calibration = Calibration(tuple(facts["methods"]), np.array(facts["shares"]), np.array(facts["factors"]))
    return Tuned(network_of(arrays, f"{season}.") if facts["network"] else None, calibration)


def _safetensors_error() -> type[Exception]:
    import safetensors

    return safetensors.SafetensorError
