"""A complete model: all that a forecast depends on besides the series."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from jax_lstm.forecast._intervals import Widths
from jax_lstm.forecast._network import Network
from jax_lstm.forecast._weights import Combiner

PACKAGED = Path(__file__).parent / "weights" / "model.safetensors"
"""The package's model, made by `python -m experiments.pretrain`."""


class Model(NamedTuple):
    """All that a forecast depends on besides the series: immutable, and complete.

    Args:
        networks: the LSTM for seasons up to twelve steps, "short", and the one for longer ones, "long".
        combiner: the network that weighs the methods.
        widths: the network that makes the intervals.
        factors: what the widths are multiplied with at each of `LEVELS` and step, `(levels, steps)`; the last step
            counts for later ones.
        horizon: how many steps ahead it was fitted or calibrated for; None for any.
        about: anything that JSON keeps.
        report: how it was made, in words.
    """

    networks: dict[str, Network]
    combiner: Combiner
    widths: Widths
    factors: np.ndarray
    horizon: int | None = None
    about: Mapping[str, Any] = MappingProxyType({})
    report: str = ""

    def __repr__(self) -> str:
        steps = "any number of steps" if self.horizon is None else f"{self.horizon:,} steps"
        return f"Model({', '.join(self.networks)}, for {steps}{'; ' if self.report else ''}{self.report})"

    def factors_for(self, horizon: int) -> np.ndarray:
        """The factors of each step, `(levels, horizon)`."""
        steps = np.minimum(np.arange(horizon), self.factors.shape[1] - 1)
        return self.factors[:, steps]


@cache
def packaged() -> Model:
    """The package's model, trained on synthetic series alone."""
    from jax_lstm.forecast._files import load

    return load(PACKAGED)
