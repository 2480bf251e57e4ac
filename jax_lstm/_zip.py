"""ZIP files, which `.npz`, `.pt` and `.keras` files are: unpacked with a bound on memory, every checksum verified."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

UNPACKED = 4
"""How many times a file's own size its content may have once unpacked; weights shrink by much less than this."""

ALLOWANCE = 1 << 20
"""Bytes that the content of any file may have, as a small one may be mostly text, which shrinks more."""


def is_zip(path: Path) -> bool:
    """Whether a file is a ZIP file, complete or not."""
    with path.open("rb") as file:
        if file.read(4) == b"PK\x03\x04":
            return True
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:
        return True


def unpack(path: Path) -> dict[str, bytes]:
    """The members of a ZIP file by name.

    Args:
        path: the file.

    Raises:
        ValueError: it is no complete ZIP file, a checksum does not match, or it unpacks to many times its size.
    """
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            unpacked = sum(member.file_size for member in members)
            if unpacked <= UNPACKED * size + ALLOWANCE:
                return {member.filename: _content(archive, member) for member in members}
    except Exception as error:  # of a damaged file zipfile raises many kinds, from zlib, struct and its own
        raise ValueError(f"{path} is not a complete ZIP file ({error}): it is damaged, or of another kind") from error
    raise ValueError(
        f"{path} of {size:,} bytes unpacks to {unpacked:,}, expected at most {UNPACKED} times its size: "
        "store it unpacked"
    )


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """One member; what it unpacks to may be larger than the directory states, and is read no further than that."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(
            f"{member.filename} is compressed by method {member.compress_type}, expected stored or deflated"
        )
    with archive.open(member) as file:
        content = file.read(member.file_size)
    if len(content) != member.file_size:
        raise ValueError(f"{member.filename} has {len(content):,} bytes, but {member.file_size:,} are stated")
    return content


def repacked(path: Path) -> io.BytesIO:
    """The members of a ZIP file in a new one, so that a reader with rules of its own sees only what was verified."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in unpack(path).items():
            archive.writestr(name, content)
    packed.seek(0)
    return packed
