"""The LSTM as a pure function for JAX: one contract, `(params, carry, x) -> (carry, out)`, at every scale."""

import importlib
import importlib.metadata
from typing import Any

import jax_lstm_command as _command  # noqa: F401  # first: it handles Ctrl-C while the rest is loaded
from jax_lstm._cell import cell as cell
from jax_lstm._cell import dense as dense
from jax_lstm._describe import describe as describe
from jax_lstm._gates import from_gates as from_gates
from jax_lstm._init import chrono as chrono
from jax_lstm._init import init as init
from jax_lstm._init import init_network as init_network
from jax_lstm._init import uniform as uniform
from jax_lstm._layer import explain_schedule as explain_schedule
from jax_lstm._layer import lstm as lstm
from jax_lstm._layer import trace as trace
from jax_lstm._layer import zero_carry as zero_carry
from jax_lstm._network import network as network
from jax_lstm._network import network_step as network_step
from jax_lstm._network import trace_network as trace_network
from jax_lstm._network import zero_carries as zero_carries
from jax_lstm._readout import fit_readout as fit_readout
from jax_lstm._readout import readout as readout
from jax_lstm._regularize import drop_connect as drop_connect
from jax_lstm._regularize import dropout_mask as dropout_mask
from jax_lstm._regularize import zoneout_masks as zoneout_masks
from jax_lstm._types import GATES as GATES
from jax_lstm._types import Bidirectional as Bidirectional
from jax_lstm._types import BlockDiagonalParams as BlockDiagonalParams
from jax_lstm._types import Carry as Carry
from jax_lstm._types import Clip as Clip
from jax_lstm._types import Coupled as Coupled
from jax_lstm._types import DiagonalParams as DiagonalParams
from jax_lstm._types import Exponential as Exponential
from jax_lstm._types import FinalCarries as FinalCarries
from jax_lstm._types import LayerNorm as LayerNorm
from jax_lstm._types import LSTMParams as LSTMParams
from jax_lstm._types import Readout as Readout
from jax_lstm._types import Trace as Trace
from jax_lstm._types import Zoneout as Zoneout

__all__ = [
    "GATES",
    "Bidirectional",
    "BlockDiagonalParams",
    "Carry",
    "Clip",
    "Coupled",
    "DiagonalParams",
    "Exponential",
    "FinalCarries",
    "LSTMParams",
    "LayerNorm",
    "Readout",
    "Trace",
    "Zoneout",
    "cell",
    "chrono",
    "dense",
    "describe",
    "drop_connect",
    "dropout_mask",
    "explain_schedule",
    "fit_readout",
    "from_gates",
    "init",
    "init_network",
    "lstm",
    "network",
    "network_step",
    "readout",
    "trace",
    "trace_network",
    "uniform",
    "zero_carries",
    "zero_carry",
    "zoneout_masks",
]

__version__ = importlib.metadata.version("jax_lstm")

_SUBMODULES = ("checkpoint", "forecast", "interop", "parallel", "plot", "schedules", "tables", "train")


def __getattr__(name: str) -> Any:
    """Load a submodule when it is first used, so that `import jax_lstm` stays quick."""
    if name in _SUBMODULES:
        return importlib.import_module(f"jax_lstm.{name}")
    raise AttributeError(f"module 'jax_lstm' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, submodules among them."""
    return sorted(["__version__", *__all__, *_SUBMODULES])
