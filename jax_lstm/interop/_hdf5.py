"""HDF5 files read in a process of their own, with limits of time and memory."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SECONDS = 5
"""The least processor time that reading a file may take; by the clock it may take four times that."""


class Content(NamedTuple):
    """What an HDF5 file holds.

    Args:
        config: the serialized model of a whole Keras file, or None.
        arrays: the arrays of floats by path.
        names: the weights of groups in order, by the paths of the groups.
        version: the version of Keras that wrote it, where the file states it.
    """

    config: str | None
    arrays: dict[str, np.ndarray]
    names: dict[str, list[str]]
    version: str


def read_hdf5(path: Path, name: str) -> Content:
    """The content of an HDF5 file; `name` is what messages call it.

    Raises:
        ValueError: a file that is damaged, or whose content is in other files. ImportError: h5py is not installed.
    """
    if importlib.util.find_spec("h5py") is None:
        raise ImportError(".keras and .h5 files need h5py: pip install h5py")
    size = path.stat().st_size
    seconds = SECONDS + size // 2**24
    limits = [str(2**30 + 20 * size), str(seconds)]
    child = Path(__file__).with_name("_hdf5_child.py")
    command = [sys.executable, "-I", str(child), str(path.resolve()), str(size), *limits]
    try:
        code, output = run_child(command, 4 * seconds)
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"{name} is damaged: reading it takes more than {4 * seconds} seconds") from error
    if code != 0 or len(output) < 8:
        raise ValueError(f"{name} is damaged: reading it ends the library of HDF5, or takes too much memory")
    length = int.from_bytes(output[:8], "little")
    header = json.loads(output[8 : 8 + length])
    if "error" in header:
        raise ValueError(f"{name} {header['error']}")
    arrays, at = {}, 8 + length
    for key, dtype, shape in header["arrays"]:
        kind = np.dtype(dtype)
        count = int(np.prod(shape, dtype=np.int64))
        arrays[key] = np.frombuffer(output, kind, count, at).reshape(shape)
        at += count * kind.itemsize
    return Content(header["config"], arrays, header["names"], header["version"])


def run_child(command: list[str], seconds: float) -> tuple[int, bytes]:
    """The exit code and the output of a program."""
    # one thread: the libraries of arithmetic would reserve memory for each
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "HDF5_USE_FILE_LOCKING": "FALSE"}
    done = subprocess.run(command, capture_output=True, env=environment, timeout=seconds, check=False)
    return done.returncode, done.stdout


def parse_config(text: Any, name: str) -> Any:
    """A configuration as JSON."""
    try:
        parsed = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{name} is damaged: its configuration is not JSON") from error
    if not isinstance(parsed, dict) or not {"class_name", "config"} <= parsed.keys():
        raise ValueError(f"{name} has no configuration of a model: save a whole model with model.save(path)")
    return parsed
