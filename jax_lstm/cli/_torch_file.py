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
from jax_lstm.interop._arrays import as_numpy
from jax_lstm.interop._torch import dotted, find_prefix

SAVE = "write it with torch.save(module.state_dict(), path)"


def read(path: Path, prefix: str | None) -> tuple[Checkpoint, list[str]]:
    """The LSTM of a state dict, with the readout that `write` puts beside it, and the names of the other tensors."""
    arrays = _load(path)
    readout = None
    if "readout.weight" in arrays:
        names = ("readout.weight", "readout.bias")
        w, b = (as_numpy(arrays.pop(key), key) if key in arrays else None for key in names)
        readout = Readout(w.T, b)  # type: ignore[arg-type, union-attr]  # NumPy arrays, as in every checkpoint
    prefix = find_prefix(arrays) if prefix is None else dotted(prefix)
    return Checkpoint(interop.from_torch(arrays, prefix=prefix), readout), [
        key for key in arrays if not key.startswith(prefix)
    ]


def write(path: Path, held: Checkpoint) -> None:
    """Write a state dict: of an `nn.LSTM` alone, or with a readout of a module with `lstm` and `readout`."""
    torch = _torch()
    arrays = interop.to_torch(held.layers, prefix="" if held.readout is None else "lstm")
    if held.readout is not None:
        arrays["readout.weight"] = np.array(held.readout.w.T, order="C")
        arrays |= {} if held.readout.b is None else {"readout.bias": np.array(held.readout.b)}
    tensors = {
        name: torch.from_numpy(array.view(np.uint16)).view(torch.bfloat16)
        if array.dtype == jnp.bfloat16
        else torch.from_numpy(array)
        for name, array in arrays.items()
    }
    with path.open("wb") as file:
        torch.save(tensors, file)


def _load(path: Path) -> dict[str, Any]:
    """The tensors of a file, never more than `UNPACKED` times its size."""
    torch = _torch()
    check_unpacked_size(path)
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    # of a foreign file: pickle's, zip's and torch's own, without a common type. PyTorch's message is not repeated: it
    # advises to execute what the file holds
    except Exception as error:
        raise ValueError(f"{path} {_reason(path, error)}: {SAVE}") from error
    if not isinstance(stored, dict) or not all(isinstance(value, torch.Tensor) for value in stored.values()):
        raise ValueError(f"{path} does not hold a dictionary of tensors alone: {SAVE}")
    # a tensor may repeat one stored number along an axis
    size = sum(value.numel() * value.element_size() for value in stored.values())
    if size > UNPACKED * path.stat().st_size:
        raise ValueError(
            f"{path} of {path.stat().st_size:,} bytes claims {size:,}, expected at most {UNPACKED} times its size: "
            f"{SAVE}"
        )
    return {str(key): value for key, value in stored.items()}


def _reason(path: Path, error: Exception) -> str:
    """Why a file cannot be read as weights alone, in words of ours."""
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and named:
        return f"holds an object of {named[1]}, and objects are not read"
    if zipfile.is_zipfile(path):
        return "is a ZIP file that PyTorch cannot read as weights alone"
    return "is not a complete PyTorch file: it is truncated, or of another kind"


def _torch() -> Any:
    """The package `torch`, or what to install."""
    try:
        import torch
    except ImportError as error:
        raise ImportError(".pt files need PyTorch: pip install torch") from error
    return torch
