"""What a build of this package left: the compiled library, or the reason why there is none.

Only the standard library is imported: `hatch_build.py` loads this file by its path.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

LIBRARY, RECORD = "native.so", "native.json"
MACHINES = ("x86_64", "aarch64")
"""The processors that there is a kernel for, on Linux."""

HERE = Path(__file__).parent


class Record(NamedTuple):
    """What the build writes next to the library.

    Args:
        reason: why there is no library; None if there is one.
        wanted: false if the user asked for a build without the kernel.
        sources: the digest of the sources that were built, see `digest`.
    """

    reason: str | None
    wanted: bool
    sources: str


def write(folder: Path, reason: str | None, *, wanted: bool, sources: str) -> None:
    """Write the record of a build."""
    record = Record(reason, wanted, sources)
    (folder / RECORD).write_text(json.dumps(record._asdict(), indent=1) + "\n", encoding="utf-8")


def digest(folder: Path) -> str:
    """The SHA-256 of the C++ sources in a folder; an installed package has none of them."""
    sources = hashlib.sha256()
    for path in sorted([*folder.glob("*.cc"), *folder.glob("*.h")]):
        sources.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return sources.hexdigest()


def find(folders: tuple[Path, ...] | None = None) -> Path | str:
    """The library to load, or why there is none.

    A source tree that is the current folder shadows the installed package, whose library is then taken, unless it was
    built from other sources than those of the tree.

    Args:
        folders: where to look, first the folder of the sources that run; None for this one and the installed package's.
    """
    folders = (HERE, *_installed()) if folders is None else folders
    sources = digest(folders[0]) if any(folders[0].glob("*.cc")) else None
    reason = "this is a source tree, and the package was not installed from it: pip install . in its folder"
    for folder in reversed(folders):
        record = _read(folder)
        if record is not None and record.reason is not None:
            reason = f"it was built without it: {record.reason}"
        elif (folder / LIBRARY).exists() and not _fits(record, sources):
            reason = f"{folder / LIBRARY} was built from other sources: install the package again"
    for folder in folders:
        if (folder / LIBRARY).exists() and _fits(_read(folder), sources):
            return folder / LIBRARY
    return f"this installation has no compiled library: {reason}"


def warn_if_supported(reason: str, folders: tuple[Path, ...] | None = None) -> None:
    """A warning where the kernel is missing on a processor that it supports, unless the build was asked to omit it."""
    folders = (HERE, *_installed()) if folders is None else folders
    records = [record for record in map(_read, folders) if record is not None]
    supported = sys.platform == "linux" and platform.machine() in MACHINES
    if supported and all(record.wanted for record in records):
        warnings.warn(f"jax_lstm runs without its CPU kernel, which is slower: {reason}", RuntimeWarning, stacklevel=2)


def _installed() -> list[Path]:
    """The folder of the installed package that corresponds to this one, unless this one is the installed package."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        folder = Path(str(distribution("jax_lstm").locate_file("jax_lstm"))) / HERE.relative_to(HERE.parents[2])
    except PackageNotFoundError:
        return []
    return [] if folder == HERE or not folder.is_dir() else [folder]


def _read(folder: Path) -> Record | None:
    """The record of a build; None where there is none, as in a library that was compiled by hand."""
    try:
        return Record(**json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _fits(record: Record | None, sources: str | None) -> bool:
    """Whether a library was built from the sources that run, where both its record and they exist."""
    return record is None or sources is None or record.sources == sources
