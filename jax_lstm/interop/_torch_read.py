"""PyTorch files: `.pt`, `.pth` and `.ckpt`, read as weights alone, and safetensors, in one file or several."""

from __future__ import annotations

import os
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

from jax_lstm._zip import UNPACKED, is_zip, repacked
from jax_lstm.interop._imported import Imported
from jax_lstm.interop._torch import read_state
from jax_lstm.interop._torch_shards import check_whole, read_shards

_SAVE = "write it with torch.save(module.state_dict(), path)"


def read_torch(
    path: str | os.PathLike[str], *, prefix: str | None = None, readout: str | None = None, embedding: str | None = None
) -> Imported:
    """The LSTM of a PyTorch file, and the linear layer on top where it is named.

    Only tensors are read: objects of other classes, such as the hyperparameters in a Lightning checkpoint, are neither
    built nor run.

    Args:
        path: a file that `torch.save` wrote of a state dict or of a dictionary that holds one, as training checkpoints
            do, with any suffix; a `.safetensors` file with the keys of a state dict; or the `.index.json` of several.
        prefix: the path of the LSTM, as in "state_dict.model.lstm"; None where the file has one.
        readout: the path of the `nn.Linear` that takes the outputs; None for the one called "readout", as `jax-lstm
            convert` calls it, if there is one.
        embedding: the path of the `nn.Embedding` whose rows the LSTM takes.

    Returns:
        `Imported`, whose `left_out` names every other tensor of the state dict.

    Raises:
        ValueError: a file that is damaged, of another kind, or a module instead of its state dict; all that
            `from_torch` refuses.
        ImportError: PyTorch or safetensors is not installed.
        OSError: the file cannot be read.
    """
    file, name = Path(path), os.fspath(path)
    if file.suffix.lower() == ".json":
        arrays = read_shards(file, name, _load_one)
    else:
        check_whole(file, name)
        arrays = _load_one(file, name)
    if readout is None and "readout.weight" in arrays:
        readout = "readout"
    try:
        return read_state(arrays, prefix, readout, embedding)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{name}: {error}") from error


def _load_one(path: Path, name: str) -> dict[str, Any]:
    """The content of one file."""
    return (_load_safetensors if path.suffix.lower() == ".safetensors" else _load)(path, name)


def _load(path: Path, name: str) -> dict[str, Any]:
    """The content of a file that `torch.save` wrote, its tensors never more than `UNPACKED` times its size."""
    try:
        import torch
    except ImportError as error:
        raise ImportError(".pt files need PyTorch: pip install torch") from error
    file = repacked(path) if is_zip(path) else None
    members = zipfile.ZipFile(file).namelist() if file is not None else []
    for member, kind, fix in (
        ("constants.pkl", "a TorchScript program", "torch.jit.load(path).state_dict()"),
        ("models/model.json", "a torch.export program", "torch.export.load(path).state_dict"),
    ):
        if any(one.endswith(f"/{member}") for one in members):
            raise ValueError(
                f"{name} is {kind}, not a state dict: save {fix} with torch.save, or give it to from_torch"
            )
    unread: list[str] = []
    try:
        if file is not None:
            file.seek(0)
            unread = torch.serialization.get_unsafe_globals_in_checkpoint(file)
            file.seek(0)
        # in the place of every other class: it does nothing, and takes what is stored of dictionaries and of objects
        with torch.serialization.safe_globals([(OrderedDict, one) for one in unread]):
            stored = torch.load(path if file is None else file, map_location="cpu", weights_only=True)
    # of a foreign file: pickle's, zip's and torch's own, without a common type. PyTorch's message is not repeated: it
    # advises to execute what the file holds
    except Exception as error:
        raise ValueError(f"{name} {_reason(path, error, unread)}: {_SAVE}") from error
    size = sum(one.numel() * one.element_size() for one in _tensors(torch, stored, 0))
    if unread and not size:
        raise ValueError(f"{name} {_objects(unread)}: {_SAVE}")
    if not isinstance(stored, dict):
        raise ValueError(f"{name} holds a {type(stored).__name__}, expected a dictionary of tensors: {_SAVE}")
    if size > UNPACKED * path.stat().st_size:  # a tensor may repeat one stored number along an axis
        raise ValueError(
            f"{name} of {path.stat().st_size:,} bytes claims {size:,}, expected at most {UNPACKED} times its size: "
            f"{_SAVE}"
        )
    return {str(key): value for key, value in stored.items()}


def _tensors(torch: Any, value: Any, depth: int) -> list[Any]:
    """The tensors in nested dictionaries and lists."""
    if isinstance(value, torch.Tensor):
        return [value]
    if depth > 16:
        return []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for one in inner for tensor in _tensors(torch, one, depth + 1)]


def _reason(path: Path, error: Exception, unread: list[str]) -> str:
    """Why a file cannot be read as weights alone, in words of ours."""
    if unread:
        return _objects(unread)
    if isinstance(error, MemoryError):
        return "takes too much memory"
    if is_zip(path):
        return "is a ZIP file that PyTorch cannot read as weights alone"
    return "is not a complete PyTorch file: it is truncated, or of another kind"


def _objects(unread: list[str]) -> str:
    return f"holds an object of {unread[0].removeprefix('builtins.')}, and objects are not read"


def _load_safetensors(path: Path, name: str) -> dict[str, Any]:
    """The arrays of a safetensors file by key."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise ImportError(
            "safetensors files need safetensors: pip install safetensors, or in a clone pip install '.[files]'"
        ) from error
    try:
        with safe_open(path, framework="np") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # it is no mapping
    except SafetensorError as error:
        raise ValueError(f"{name} is not a complete safetensors file ({error})") from error
