"""Mutants of a file: damaged bytes, or valid containers of damaged or hostile content."""

from __future__ import annotations

import hashlib
import io
import json
import random
import zipfile
from typing import Any, NamedTuple

ODD_NUMBERS = (-1, 0, 1, 255, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
DEEP = "a place for a deep list"
ODD_VALUES = (
    *(None, True, "", [], {}, DEEP, *ODD_NUMBERS, 10**400, 1e308, 5e-324, -0.5),
    *("\x1b[2J\x07", "x" * 5000, "\u202e", "../../etc/passwd", "nan", {"type": "LSTMParams"}, [1, [2, [3]]]),
)


class Mutant(NamedTuple):
    """A mutated file.

    Args:
        data: its bytes.
        signed: whether its checksums are right, so that other content than before is no error of the reader.
    """

    data: bytes
    signed: bool


def mutant(dice: random.Random, data: bytes, other: bytes) -> Mutant:
    """A mutant of a valid file.

    Args:
        dice: what it depends on.
        data: the file.
        other: another valid file of the same format.
    """
    if dice.random() < 0.4:
        inside = _signed_zip(dice, data, other) if data[:2] == b"PK" else _signed_safetensors(dice, data)
        if inside is not None:
            return Mutant(inside, signed=True)
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        data = _damaged(dice, data, other)
    return Mutant(data, signed=False)


def _damaged(dice: random.Random, data: bytes, other: bytes) -> bytes:
    """One accident, or one attack that needs no knowledge of the format."""
    if not data:
        return dice.randbytes(8)
    changed = bytearray(data)
    at, length = dice.randrange(len(data)), dice.choice((1, 2, 4, 8, 16, 64, 256))
    match dice.randrange(10):
        case 0:
            for _ in range(dice.choice((1, 1, 3, 10))):
                changed[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        case 1:
            del changed[at:]
        case 2:
            del changed[at : at + length]
        case 3:
            changed[at:] = other[at:]
        case 4:  # repeated: more of what was there, up to a few thousand times
            changed[at:at] = bytes(changed[at : at + length]) * dice.choice((1, 2, 10, 3000))
        case 5:
            to = dice.randrange(len(data))
            changed[to : to + length] = changed[at : at + length]
        case 6:
            changed[at : at + length] = bytes([dice.choice((0, 1, 127, 128, 255))]) * length
        case 7:  # an integer of either byte order, at any place
            size, order = dice.choice((1, 2, 4, 8)), dice.choice(("little", "big"))
            number = dice.choice(ODD_NUMBERS) % (1 << (8 * size))
            changed[at : at + size] = number.to_bytes(size, order)
        case 8:  # digits: sizes, shapes, offsets and checksums in text
            digits = [place for place, byte in enumerate(data) if 48 <= byte <= 57]
            if digits:
                place = dice.choice(digits)
                changed[place : place + 1] = dice.choice((b"0", b"9", b"-1", b"99999999999", b"1e999", b"[", b""))
        case 9:
            words = (b"\x00", b"\x1b[31m", b'"', b"[" * 5000, b"\xff\xfe", b"\r\n", b",,,,", b"'", b"\xef\xbb\xbf")
            changed[at:at] = dice.choice(words)
    return bytes(changed)


def _signed_zip(dice: random.Random, data: bytes, other: bytes) -> bytes | None:
    """A ZIP file with one member damaged, left out or repeated, and every checksum right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(io.BytesIO(other)) as archive:
        others = {info.filename: archive.read(info) for info in archive.infolist()}
    if not members:
        return None
    name = dice.choice(list(members))
    content = members[name]
    match dice.randrange(5):
        case 0:
            del members[name]
        case 1:
            members[f"{name}{dice.choice(('2', '/../x', ' ', chr(27)))}"] = content
        case 2 if content[:1] in b"{[":
            members[name] = _odd_json(dice, json.loads(content)).encode()
        case _:
            members[name] = _damaged(dice, content, others.get(name, content))
    written = io.BytesIO()
    kinds = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
    with zipfile.ZipFile(written, "w", dice.choices(kinds, (6, 3, 1))[0]) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return written.getvalue()


def _signed_safetensors(dice: random.Random, data: bytes) -> bytes | None:
    """A file of this package with an odd description and the right SHA-256; None for a file of another format."""
    size = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + size])
        said = json.loads(header["__metadata__"]["jax_lstm"])
    except (ValueError, KeyError, TypeError):
        return None
    text = _odd_json(dice, said)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    names = sorted(name for name in header if name != "__metadata__")
    for name in names:
        start, end = header[name]["data_offsets"]
        digest.update(data[8 + size + start : 8 + size + end])
    header["__metadata__"] = {"jax_lstm": text, "sha256": digest.hexdigest()}
    written = json.dumps(header).encode()
    return len(written).to_bytes(8, "little") + written + data[8 + size :]


def _odd_json(dice: random.Random, value: Any) -> str:
    """A JSON text with some values replaced, left out, or exchanged for others of the same text."""
    for _ in range(dice.choice((1, 1, 2, 5))):
        places = [place for place in _places(value) if place[0] is not None]
        if not places:
            break
        container, key = dice.choice(places)
        match dice.randrange(4):
            case 0:
                del container[key]
            case 1:
                source, other_key = dice.choice(places)
                container[key] = json.loads(json.dumps(source[other_key]))
            case _:
                container[key] = dice.choice(ODD_VALUES)
    text = json.dumps(value)
    depth = dice.choice((100, 900, 50_000))
    return text.replace(json.dumps(DEEP), "[" * depth + "]" * depth)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a JSON value with each of its keys."""
    found, left = [], [value]
    while left:
        one = left.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        found += [(one, key) for key in keys]
        left += [one[key] for key in keys]
    return found
