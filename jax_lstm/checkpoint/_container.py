"""Safetensors files with a description and a checksum: what a network's file and a forecaster's have in common."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jax_lstm._files import read_bytes, replacing
from jax_lstm.checkpoint._json import check_json

FLOATS = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
OTHERS = {"BOOL": "bool", "U8": "uint8", "U16": "uint16", "I32": "int32", "U32": "uint32", "I64": "int64"}
DTYPES = FLOATS | OTHERS
"""The dtypes that a file holds, by the names of safetensors; layers have only the floats."""

LARGEST_HEADER = 1 << 23
"""Bytes of the description and the names of the arrays; JSON takes up to 40 times its size in memory."""


class Content(NamedTuple):
    """What a file holds.

    Args:
        facts: a dict of JSON values.
        arrays: NumPy arrays by name.
    """

    facts: dict[str, Any]
    arrays: dict[str, np.ndarray]


def save_arrays(
    path: str | os.PathLike[str], content: Content, *, kind: str, version: int, about: str | None = None
) -> None:
    """Write arrays and facts about them to a safetensors file that `load_arrays` verifies in full.

    Args:
        path: where to write; the old file stays until the new one is complete.
        content: finite arrays in one of `DTYPES`, and facts: strings, finite numbers, booleans, None, lists and dicts.
        kind: what the file is, such as "my_package.model".
        version: of the kind; a reader refuses all others.
        about: for people who open the file without this package.

    Raises:
        ValueError: an array or a number that is not finite, or facts of more than `LARGEST_HEADER` bytes.
        TypeError: an unsupported dtype, facts that JSON does not hold.
        OSError: the file cannot be written. ImportError: safetensors is missing.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "a.safetensors")
    >>> content = Content({"season": [12]}, {"weights": np.ones((2, 3))})
    >>> save_arrays(path, content, kind="my_package.model", version=1)
    >>> load_arrays(path, kind="my_package.model", version=1).facts, kind_of(path)
    ({'season': [12]}, 'my_package.model')
    """
    arrays = {name: np.asarray(array, order="C") for name, array in content.arrays.items()}
    if not isinstance(content.facts, dict):
        raise TypeError(f"facts is a {type(content.facts).__name__}, expected a dict of JSON values")
    check_json(content.facts, "facts")
    for name, array in arrays.items():
        if str(array.dtype) not in DTYPES.values():
            raise TypeError(f"the array {name!r} is {array.dtype}, expected one of {', '.join(DTYPES.values())}")
        if not _is_finite(array):
            raise ValueError(f"the array {name!r} has values that are not finite: remove them first")
    description = {
        "format": kind,
        "version": version,
        "about": about,
        "facts": content.facts,
        "arrays": _stated(arrays),
    }
    write(path, json.dumps(description, allow_nan=False), arrays)


def load_arrays(path: str | os.PathLike[str], *, kind: str, version: int) -> Content:
    """Read what `save_arrays` wrote: the checksum, the kind, the version, names, dtypes, shapes, and finite values.

    Args:
        path: the file.
        kind, version: those that it must have.

    Raises:
        ValueError: a file that is truncated, damaged, of another kind or of another version.
        OSError: the file cannot be read. ImportError: safetensors is missing.
    """
    name = os.fspath(path)
    text, arrays = unpack(read_bytes(path), name, kind, version)
    description = json.loads(text)
    facts = description.get("facts")
    if not isinstance(facts, dict) or description.get("arrays") != _stated(arrays):
        raise ValueError(f"{name} does not hold what it describes: restore it from a copy")
    for key, array in arrays.items():
        if not _is_finite(array):
            raise ValueError(f"{name} has values that are not finite, in {key}: restore it from a copy")
    return Content(facts, arrays)


def kind_of(path: str | os.PathLike[str]) -> str | None:
    """The kind of a file that this package wrote, "jax_lstm" for a network; None for any other file.

    Only the header is read, and nothing is verified.

    Args:
        path: the file.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = file.read(size) if size <= LARGEST_HEADER else b""
    try:
        kind = json.loads(json.loads(header)["__metadata__"]["jax_lstm"])["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return kind if isinstance(kind, str) else None


def write(path: str | os.PathLike[str], text: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays with their description, a JSON text, and the checksum of both."""
    data = safetensors().numpy.save(arrays, {"jax_lstm": text, "sha256": _digest(text, arrays)})
    size = int.from_bytes(data[:8], "little")
    if size > LARGEST_HEADER:
        raise ValueError(f"the description has {size:,} bytes, expected at most {LARGEST_HEADER:,}: shorten its text")
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(data[:8])
        file.write(_sorted_metadata(data[8 : 8 + size]))
        file.write(memoryview(data)[8 + size :])


def _sorted_metadata(header: bytes) -> bytes:
    """A header of the same size with its metadata in order: safetensors writes them in a random one, and the same
    content is to give the same bytes.
    """
    entries = json.loads(header)
    entries["__metadata__"] = dict(sorted(entries["__metadata__"].items()))
    return json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode().ljust(len(header))


def unpack(data: bytes, name: str, kind: str, version: int) -> tuple[str, dict[str, np.ndarray]]:
    """The description and the arrays of a file, its kind, version and checksum verified; or a refusal."""
    library = safetensors()
    size = int.from_bytes(data[:8], "little")
    if LARGEST_HEADER < size <= len(data):
        raise ValueError(f"{name} has a header of {size:,} bytes, expected at most {LARGEST_HEADER:,}")
    try:
        tensors = dict(library.deserialize(data))
        header = json.loads(data[8 : 8 + size])
    except (library.SafetensorError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{name} is not a complete safetensors file ({str(error)[:200]}): it is of another kind, or truncated"
        ) from error
    stored = header.get("__metadata__") or {}
    if "jax_lstm" not in stored:
        raise ValueError(
            f"{name} has no description by jax_lstm.checkpoint.save: "
            "convert another program's arrays with jax_lstm.interop"
        )
    text: str = stored["jax_lstm"]
    _check_kind(text, name, kind, version)
    unknown = sorted({one["dtype"] for one in tensors.values()} - DTYPES.keys())
    if unknown:
        raise ValueError(f"{name} is damaged (it has arrays of {unknown[0]}): restore it from a copy")
    arrays = {
        key: np.frombuffer(one["data"], DTYPES[one["dtype"]]).reshape(one["shape"]) for key, one in tensors.items()
    }
    if _digest(text, arrays) != stored.get("sha256"):
        raise ValueError(
            f"{name} is damaged (its content does not have the SHA-256 that it states): restore it from a copy"
        )
    return text, arrays


def _check_kind(text: str, name: str, kind: str, version: int) -> None:
    """A refusal of a description that is damaged, of another kind or of another version."""
    try:
        description = json.loads(text)
        found, number = description["format"], description["version"]
    except KeyError as error:
        raise ValueError(
            f"{name} is damaged (its description has no {error.args[0]}): restore it from a copy"
        ) from None
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{name} is damaged (its description is no JSON object: {error}): restore it from a copy"
        ) from error
    if found != kind:
        raise ValueError(f"{name} is of the kind {str(found)[:80]!r}, expected {kind!r}: choose another file")
    if number != version:
        raise ValueError(
            f"{name} has version {str(number)[:80]} of the format, expected {version}: read it with the jax_lstm that "
            "wrote it"
        )


def _stated(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The dtypes and shapes of arrays, as a description states them."""
    return {name: {"dtype": str(array.dtype), "shape": list(array.shape)} for name, array in arrays.items()}


def _is_finite(array: np.ndarray) -> bool:
    """Whether all values are finite; an integer always is."""
    return str(array.dtype) not in FLOATS.values() or bool(np.isfinite(array).all())


def _digest(text: str, arrays: Mapping[str, np.ndarray]) -> str:
    """The checksum as the format defines it."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    for key in sorted(arrays):
        digest.update(arrays[key].reshape(-1).view(np.uint8).data)  # without a copy; bfloat16 has no buffer of its own
    return digest.hexdigest()


def safetensors() -> Any:
    """The package `safetensors` with its NumPy functions, or what to install."""
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "checkpoints need safetensors: pip install safetensors, or in a clone pip install '.[files]'"
        ) from error
    return safetensors
