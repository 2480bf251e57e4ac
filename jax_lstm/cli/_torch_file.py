"""`.pt`, `.pth` and `.ckpt` files: state dicts, read as weights alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jax_lstm import interop
from jax_lstm.checkpoint import Checkpoint


def read(path: Path, prefix: str | None, readout: str | None) -> tuple[Checkpoint, list[str]]:
    """The LSTM of a state dict, the linear layer on top that is named, and the names of the other tensors."""
    found = interop.read_torch(path, prefix=prefix, readout=readout)
    return Checkpoint(found.layers, found.readout), list(found.left_out)


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


def _torch() -> Any:
    """The package `torch`, or what to install."""
    try:
        import torch
    except ImportError as error:
        raise ImportError("writing .pt files needs PyTorch: pip install torch") from error
    return torch
