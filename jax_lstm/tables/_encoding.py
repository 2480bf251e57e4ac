"""Bytes as text: in the encoding asked for, in UTF, or in that of Western Europe unless the text looks wrong in it."""

from __future__ import annotations

import re

_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe\0\0", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_WESTERN = "cp1252"
_SUGGESTED = (
    "shift_jis",
    "gb18030",
    "euc_kr",
    "big5",
    "cp1251",
    "cp1250",
    "cp850",
    "cp1253",
    "cp1255",
    "cp1256",
    "cp874",
)
# many letters together, bytes that Windows-1252 lacks, and symbols within words
_FOREIGN = re.compile(
    r"[^\x00-\x7f\xa0]{3,}|[^\x00-\x7f]?\ufffd|(?<=[A-Za-z])[„‚†‡ˆ‰‹›•˜™¡¢£¤¥¦¨©¬¯±¶¸¹»¼½¾¿](?=[A-Za-z])"
)
_SAMPLE = 100_000
"""How many bytes are tried in other encodings."""


def text_in(name: str, data: bytes, encoding: str) -> str:
    """Text in a given encoding.

    Raises:
        ValueError: no such encoding, or bytes that it does not have.
    """
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{name} line {line}: byte {error.start} is not {encoding}: give another encoding=") from None
    except (LookupError, ValueError):
        expected = "the name of an encoding, such as shift_jis, gb18030, cp1251 or utf-8"
        raise ValueError(f"encoding= is {encoding!r}, expected {expected}") from None


def decode(name: str, data: bytes) -> tuple[str, tuple[str, ...]]:
    """Text whose encoding is not known, and notes on how it was read.

    Raises:
        ValueError: no text, or text that looks wrong in UTF-8 and in the encoding of Western Europe.
    """
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)
    if encoding is None and b"\0" in data[:1000]:
        halves = data[:1000:2].count(0), data[1:1000:2].count(0)
        if min(halves) or max(halves) < len(data[:1000]) // 3:
            raise ValueError(f"{name} is not a text file: expected comma-separated values, Excel, Parquet or JSON")
        encoding = "utf-16-be" if halves[0] else "utf-16-le"
    try:
        return data.decode(encoding or "utf-8"), ()
    except UnicodeDecodeError as error:
        if encoding is not None:
            raise ValueError(
                f"{name} begins as {encoding} and is broken at byte {error.start}: save it as UTF-8"
            ) from None
        broken = error.start
    nearly = data[:_SAMPLE].decode("utf-8", errors="replace")
    others = [letter for letter in nearly if not letter.isascii()]
    if len(others) > 2 * others.count("\ufffd"):
        line = data.count(b"\n", 0, broken) + 1
        raise ValueError(f"{name} line {line}: byte {broken} is not UTF-8 as the others are: save the file as UTF-8")
    text = data.decode(_WESTERN, errors="replace")
    for run in _FOREIGN.finditer(text):
        if len(run[0]) < 3 or len(set(run[0])) > 1:  # a rule of dashes is one character many times
            _refuse(name, data, run)
    return text, (
        'not UTF-8: read as Latin-1 (Windows-1252); where names look wrong, give encoding="cp1250" or another',
    )


def _refuse(name: str, data: bytes, run: re.Match[str]) -> None:
    """Refuse text that looks wrong, with how its first wrong cell reads in other encodings."""
    line = data.count(b"\n", 0, run.start()) + 1
    begin = max(data.rfind(mark, 0, run.start()) for mark in (b"\n", b",", b";", b"\t", b'"')) + 1
    cell = re.match(rb'[^\r\n,;\t"]*', data[begin:])
    whole = data[: data.rfind(b"\n", 0, _SAMPLE) + 1] or data
    ways = []
    for encoding in _SUGGESTED:
        try:
            whole.decode(encoding)
            shown = cell[0].decode(encoding).strip() if cell else ""
        except UnicodeDecodeError:
            continue
        if all(letter.isalpha() or letter.isascii() for letter in shown):
            ways.append(f'encoding="{encoding}" ({shown[:12]})')
    which = " or ".join(ways[:5]) or f'the encoding it is in, or encoding="{_WESTERN}" to take it as it is'
    raise ValueError(f"{name} line {line} is not UTF-8, and {run[0][:12]!r} in Windows-1252: give {which}")
