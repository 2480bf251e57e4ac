"""`.pt` files: state dicts, read as weights alone."""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jax_lstm import interop
from jax_lstm._types import Readout
from jax_lstm.checkpoint import Checkpoint
from jax_lstm.cli._npz import UNPACKED, check_unpacked_size


def read(path: Path) -> tuple[Checkpoint, list[str]]:
    """The LSTM of a state dict, with the readout that `write` puts beside it, and the names of the other tensors."""
    stored = _load(path)
    arrays = {name: value.float() if str(value.dtype) == "torch.bfloat16" else value for name, value in stored.items()}
    readout = None
    if "readout.weight" in stored:
        w, b = (interop.as_numpy(stored.pop(key)) if key in stored else None for key in ("readout.weight", "readout.bias"))
        readout = Readout(w.T, b)
    return Checkpoint(interop.from_torch(stored), readout), list(arrays)
