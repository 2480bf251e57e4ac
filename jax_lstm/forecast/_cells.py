"""Text files as cells: encodings, separators and headers, with the line of the file that every row came from."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas

SEPARATORS = ",;\t|"
MISSING = frozenset(
    {"", "-", "--", ".", "..", "?", "na", "n/a", "#n/a", "#na", "#nv", "nan", "null", "none", "nil", "nat"}
    | {"n.a.", "missing", "#div/0!", "#value!", "#ref!", "#null!"}
)
"""What stands for a missing value, in any case."""

_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_KINDS = {
    b"PK\x03\x04": "a zip archive or an Excel workbook: save the sheet as CSV",
    b"\x1f\x8b": "a gzip archive: unpack it first",
    b"PAR1": "a Parquet file: read it with pandas or polars and use forecast.from_frame",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: save the sheet as CSV",
}


class Cells(NamedTuple):
    """A table of text.

    Args:
        name: what the table is called in messages, such as its file.
        frame: one column of stripped text each, indexed by the line of the file.
        notes: what a person should know about how it was read.
        unit: what the index counts.
    """

    name: str
    frame: pandas.DataFrame
    notes: tuple[str, ...] = ()
    unit: str = "line"

    @property
    def place(self) -> str:
        """What stands before a line's number in messages."""
        return f"{self.name} {self.unit}"


def read_cells(path: str | os.PathLike[str]) -> Cells:
    """The cells of a text file, or of standard input where the path is "-".

    Raises:
        ValueError: not a text file, no rows, or a row with another number of cells than the header.
        OSError: it cannot be read.
    """
    import pandas as pd

    name = "standard input" if os.fspath(path) == "-" else os.fspath(path)
    text, notes = _decode(name, _bytes(path))
    rows = _split(name, text)
    header, rows, names_notes = _header(rows)
    for line, cells in rows:
        if len(cells) != len(header):
            raise ValueError(f"{name} line {line} has {len(cells)} cells, but the header has {len(header)}")
    if not rows:
        raise ValueError(f"{name} has no rows, expected a header and one line for each time")
    lines, texts = zip(*rows, strict=True)
    columns = {
        number: pd.Series(column, index=lines, dtype=object) for number, column in enumerate(zip(*texts, strict=True))
    }
    kept = [n for n in columns if header[n] or not (_counts(columns[n]) or columns[n].eq("").all())]
    labels = [header[n] or f"column {n + 1}" for n in kept]
    for label, count in Counter(labels).items():
        if count > 1:
            raise ValueError(f"{name} has {count} columns {label!r}: give each a name of its own")
    frame = pd.DataFrame({label: columns[n] for label, n in zip(labels, kept, strict=True)})
    return Cells(name, frame, (*notes, *names_notes))


def _bytes(path: str | os.PathLike[str]) -> bytes:
    if os.fspath(path) == "-":
        return sys.stdin.buffer.read()
    with open(path, "rb") as file:
        return file.read()


def _decode(name: str, data: bytes) -> tuple[str, tuple[str, ...]]:
    for start, kind in _KINDS.items():
        if data.startswith(start):
            raise ValueError(f"{name} is {kind}")
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)
    if encoding is None and b"\0" in data[:1000]:
        halves = data[:1000:2].count(0), data[1:1000:2].count(0)
        if min(halves) or max(halves) < len(data[:1000]) // 3:
            raise ValueError(f"{name} is not a text file: expected comma-separated values")
        encoding = "utf-16-be" if halves[0] else "utf-16-le"
    try:
        return data.decode(encoding or "utf-8"), ()
    except UnicodeDecodeError as error:
        if encoding is not None:
            raise ValueError(
                f"{name} begins as {encoding} and is broken at byte {error.start}: save it as UTF-8"
            ) from None
    return data.decode("cp1252", errors="replace"), ("not UTF-8: read as Latin-1 (Windows-1252)",)


def _split(name: str, text: str) -> list[tuple[int, list[str]]]:
    """The rows that are not empty, each with its line, by the separator that most first lines agree on."""

    def rows(separator: str, source: str) -> list[tuple[int, list[str]]]:
        reader = csv.reader(io.StringIO(source, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
        stripped = ((reader.line_num, [cell.strip() for cell in cells]) for cells in reader)
        return [(line, cells) for line, cells in stripped if any(cells)]

    csv.field_size_limit(2**31 - 1)
    lines = text.splitlines(keepends=True)
    comments = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    body = "\n" * comments + "".join(lines[comments:])  # empty lines keep the count
    sample = "".join(lines[comments : comments + 50])

    def agreement(separator: str) -> tuple[float, int]:
        try:
            widths = Counter(len(cells) for _, cells in rows(separator, sample))
        except csv.Error:
            return 0, 0
        width, count = max(widths.items(), key=lambda item: (item[1], item[0]), default=(1, 0))
        return (count / sum(widths.values()) if width > 1 else 0), width

    try:
        return rows(max(SEPARATORS, key=agreement), body)
    except csv.Error as error:
        raise ValueError(
            f"{name} is not a table of comma-separated values ({error}): look for a quote that is not closed"
        ) from None


def _header(rows: list[tuple[int, list[str]]]) -> tuple[list[str], list[tuple[int, list[str]]], tuple[str, ...]]:
    """The names of the columns: the first row's, unless it holds a number and otherwise only what could be a time."""
    if not rows:
        return [], [], ()
    first = rows[0][1]
    digits = [any(letter.isdigit() for letter in cell) for cell in first]
    if not all(digits) or not _is_number(first[-1]) or (len(first) > 2 and all(map(_is_number, first))):
        return first, rows[1:], ()
    names = [f"column {number}" for number in range(1, len(first) + 1)]
    return (
        names,
        rows,
        (f"the first line has no names: the columns are called {listed(names)}",),
    )


def listed(names: Sequence[str], most: int = 3) -> str:
    """The first of some names.

    >>> listed(["a", "b", "c", "d"])
    'a, b, c, …'
    """
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


def _counts(column: pandas.Series) -> bool:
    """Whether a column only numbers the rows, from 0 or 1, as data frames write it."""
    return any(column.tolist() == [str(first + row) for row in range(len(column))] for first in (0, 1))


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True
