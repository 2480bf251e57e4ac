"""State dicts in several files: an index, as `model.safetensors.index.json`, says which file has which array."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jax_lstm._files import read_bytes

LARGEST = 8 << 20
"""The most bytes of an index."""

_SHARD = re.compile(r"-\d{5}-of-(?!0{4}[01]\b)\d{5}\b")


def check_whole(path: Path, name: str) -> None:
    """A refusal of one of several files, which may hold the first layers of an LSTM only."""
    if _SHARD.search(path.name):
        raise ValueError(f"{name} is one of several files with a state dict: give the path of their .index.json")


def read_shards(path: Path, name: str, load: Callable[[Path, str], dict[str, Any]]) -> dict[str, Any]:
    """The arrays of a state dict by key.

    Args:
        path: of the index.
        name: of the index in messages.
        load: gives the arrays of one file.

    Raises:
        ValueError: an index that is none, a file outside its folder, an array that is not in its file.
    """
    files = _files(path, name)
    arrays: dict[str, Any] = {}
    for file in dict.fromkeys(files.values()):
        shard = path.parent / file
        # the file may be a link to elsewhere: the cache of a hub keeps its files behind links
        if Path(file).name != file or not shard.is_file():
            raise ValueError(f"{name} names the file {file!r}, expected a file in the same folder")
        found = load(shard, str(shard))
        others = sorted(found.keys() ^ {key for key, one in files.items() if one == file})
        if others:
            raise ValueError(f"{name} and {file!r} differ in the array {others[0]!r}: they are not of one model")
        arrays |= found
    return arrays


def _files(path: Path, name: str) -> dict[str, str]:
    """The name of the file that has each array."""
    content = read_bytes(path)
    if len(content) > LARGEST:
        raise ValueError(f"{name} has {len(content):,} bytes, expected an index of at most {LARGEST:,}")
    try:
        files = json.loads(content)["weight_map"]
        if not all(isinstance(file, str) and file for file in files.values()):
            raise TypeError
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{name} is no index of files: expected JSON with a 'weight_map' from the keys of a state dict to files"
        ) from error
    return dict(files)
