"""Files as sheets, by their content: text, Excel, Parquet, Feather, JSON, and any of them packed by gzip or zip."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from jax_lstm._files import read_bytes
from jax_lstm.tables._encoding import decode, text_in
from jax_lstm.tables._grid import sheet_of_cells
from jax_lstm.tables._json import sheet_of_json
from jax_lstm.tables._sheet import INSTALL, Sheet, listed

if TYPE_CHECKING:
    import pandas

SEPARATORS = ";\t|,^~\x01\x1f"
_WIDE = r"\s{2,}|\t"
_COMMENTS = ("#", "%", "//", "!", "--")
_RULE = re.compile(r"(?=.*(--|==))[-=+|: ]+")
_LIST = re.compile(r"[-\w.]+( [-\w.]+){2,}")
_FORMULA = re.compile(r'^="(.*)"$')
UNPACKED = 200_000_000, 100
"""Packed files may unpack to this many bytes, or to this many times their size where that is more."""

_OTHERS = {
    b"SQLite format 3": "an SQLite database: read it with pandas.read_sql",
    b"%PDF": "a PDF document: export its table as CSV",
    b"\x89HDF": "an HDF5 file: read it with pandas.read_hdf or xarray",
    b"CDF": "a NetCDF file: read it with xarray",
    b"Rar!": "a RAR archive: unpack it",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"<stata_dta>": "a Stata file: read it with pandas.read_stata",
    b"$FL2": "an SPSS file: read it with pandas.read_spss",
    b"ORC": "an ORC file: read it with pandas.read_orc",
    b"Obj\x01": "an Avro file: read it with polars.read_avro",
    b"\x80\x04": "a pickle: read it with pandas.read_pickle",
    b"\x80\x05": "a pickle: read it with pandas.read_pickle",
    b"X\n\0": "a file of R: write its table with write.csv",
    b"RDX": "a file of R: write its table with write.csv",
    b"MATLAB 5.0": "a file of MATLAB: write its table with writetable",
    b"BZh": "a bzip2 archive: unpack it",
    b"\xfd7zXZ": "an xz archive: unpack it",
    b"\x28\xb5\x2f\xfd": "a zstd archive: unpack it",
}
_OTHER_TEXTS = (
    (
        re.compile(r"\s*<[?!a-z](?!\w*>[,;\t])", re.I),
        "a page of HTML or XML: read its table with pandas.read_html or read_xml",
    ),
    (
        re.compile(r"(\s|--.*\n|/\*.*\*/;?)*(insert into|create table|drop table|copy .* from stdin)\b", re.I),
        "a script of SQL: load it into its database and export the table as CSV",
    ),
    (
        re.compile(r"(#.*\n)*[^\s,;=]+(,[^\s,=]+=[^\s,]+)* [^\s,=]+=[^\s,]+(,[^\s,=]+=[^\s,]+)* \d{10,19}\s*\n"),
        "InfluxDB's line protocol: export the measurement as CSV",
    ),
)


def read_file(path: str | os.PathLike[str], part: str | None = None, encoding: str | None = None) -> Sheet:
    """The sheet that a file holds, or standard input where the path is "-".

    Args:
        path: of the file.
        part: the sheet of a workbook or the member of a zip archive, by name.
        encoding: of text; found out where None.

    Raises:
        ValueError: no table. OSError: it cannot be read. ImportError: the library that reads it is missing.
    """
    name = "standard input" if os.fspath(path) == "-" else os.fspath(path)
    data = sys.stdin.buffer.read() if os.fspath(path) == "-" else read_bytes(path)
    return _read(name, data, part, encoding)


def _read(name: str, data: bytes, part: str | None, encoding: str | None) -> Sheet:
    if data.startswith(b"\x1f\x8b"):
        unpacked = _unpacked(name, lambda: gzip.GzipFile(fileobj=io.BytesIO(data)), len(data))
        return _read(name, unpacked, part, encoding)
    if data.startswith(b"PK\x03\x04"):
        return _zipped(name, data, part, encoding)
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        return _workbook(name, data, part)
    if data.startswith((b"PAR1", b"ARROW1", b"FEA1", b"\xff\xff\xff\xff")):
        return _columnar(name, data)
    for start, kind in _OTHERS.items():
        if data.startswith(start):
            raise ValueError(f"{name} is {kind}")
    text, notes = (text_in(name, data, encoding), ()) if encoding else decode(name, data)
    if name.lower().removesuffix(".gz").endswith((".json", ".jsonl", ".ndjson")) or text.lstrip()[:1] in ("{", "["):
        return sheet_of_json(name, text)
    for pattern, kind in _OTHER_TEXTS:
        if pattern.match(text):
            raise ValueError(f"{name} is {kind}")
    return sheet_of_cells(name, "line", _cells(name, text), notes)


def _unpacked(name: str, opened: Callable[[], Any], size: int) -> bytes:
    limit = max(UNPACKED[0], UNPACKED[1] * size)
    try:
        with opened() as file:
            data: bytes = file.read(limit + 1)
    except Exception as error:  # of a damaged archive zipfile, gzip and zlib raise many types
        raise ValueError(f"{name} is a damaged archive ({error}): pack it again, or unpack it") from None
    if len(data) > limit:
        raise ValueError(f"{name} unpacks to more than {limit // 1_000_000:,} MB: unpack it first")
    return data


def _zipped(name: str, data: bytes, part: str | None, encoding: str | None) -> Sheet:
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except Exception as error:  # of a damaged archive zipfile raises many types
        raise ValueError(f"{name} is a damaged zip archive or Excel workbook ({error})") from None
    members = [one for one in archive.namelist() if not one.endswith("/") and not one.startswith("__MACOSX")]
    if any(one.startswith("xl/") for one in members) or "content.xml" in members:
        return _workbook(name, data, part)
    if part is None and len(members) != 1:
        raise ValueError(f'{name} holds {len(members)} files: choose one with sheet=, such as sheet="{members[0]}"'
                         if members else f"{name} is an empty zip archive")  # fmt: skip
    if part is not None and part not in members:
        raise ValueError(f"{name} has no file {part!r}, which sheet= names: expected one of {listed(members, 8)}")
    chosen = part or members[0]
    if archive.getinfo(chosen).flag_bits & 1:
        raise ValueError(f"{name} is locked by a password: unpack it first")
    return _read(f"{name}/{chosen}", _unpacked(name, lambda: archive.open(chosen), len(data)), None, encoding)


def _grid(sheet: Any) -> list[list[Any]]:
    """The cells of a sheet; merged cells have their value everywhere, titles across the sheet only once."""
    rows: list[list[Any]] = sheet.to_python(skip_empty_area=False)
    width = sum(any(cell != "" for cell in column) for column in zip(*rows, strict=True))
    for (top, left), (bottom, right) in sheet.merged_cell_ranges or ():
        if right - left + 1 < width:
            for row in range(top, min(bottom + 1, len(rows))):
                rows[row][left : right + 1] = [rows[top][left]] * (right - left + 1)
    return rows


def _workbook(name: str, data: bytes, part: str | None) -> Sheet:
    import pandas as pd

    try:
        import python_calamine as calamine
    except ImportError as error:
        raise ImportError(f"{name} is a workbook, which needs python-calamine: {INSTALL}") from error
    try:
        book = calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
        names = book.sheet_names
        chosen = [part] if part in names else [] if part else names
        grids = {one: _grid(book.get_sheet_by_name(one)) for one in chosen}
    except BaseException as error:  # a panic of calamine is no Exception
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise ValueError(f"{name} is a workbook that cannot be read ({error}): save it again, or as CSV") from None
    if not chosen:
        raise ValueError(f"{name} has no sheet {part!r}, which sheet= names: expected one of {listed(names, 8)}")
    filled = [one for one, rows in grids.items() if any(any(cell != "" for cell in row) for row in rows)]
    if not filled:
        raise ValueError(f"{name} has no rows, expected a header and one row for each time")
    tables = [one for one in filled if any(sum(cell != "" for cell in row) > 1 for row in grids[one])]
    read = (tables or filled)[0]  # no cover
    others = [one for one in filled if one != read]
    notes = (f"sheet {read!r} is read; others with sheet=: {listed(others)}",) if others else ()
    rows = [[cell.strip() if isinstance(cell, str) else cell for cell in row] for row in grids[read]]
    return sheet_of_cells(name, "row", pd.DataFrame(rows, index=range(1, len(rows) + 1), dtype=object), notes)


def _columnar(name: str, data: bytes) -> Sheet:
    from jax_lstm.tables._frames import sheet_of_frame

    try:
        from pyarrow import feather, ipc, parquet
    except ImportError as error:
        raise ImportError(f"{name} needs pyarrow: {INSTALL}") from error
    read = parquet.read_table if data.startswith(b"PAR1") else feather.read_table
    try:
        stream = data.startswith(b"\xff\xff\xff\xff")
        table = ipc.open_stream(io.BytesIO(data)).read_all() if stream else read(io.BytesIO(data))
        table.validate(full=True)  # buffers of a damaged file that end too early would crash the process
        frame = table.to_pandas()
    except Exception as error:  # Arrow's own, and of damaged metadata those of its Python code, as KeyError
        raise ValueError(f"{name} is damaged: {' '.join(str(error).split())[:200]}") from None
    return sheet_of_frame(frame, name)._replace(native=None, levels=())


def _cells(name: str, text: str) -> pandas.DataFrame:
    """The cells of a text by the separator that most first lines agree on; the index counts lines.

    Raises:
        ValueError: a quote that is not closed.
    """
    import pandas as pd

    lines = text.splitlines()
    before = next((number for number, line in enumerate(lines) if not line.startswith(_COMMENTS)), len(lines))
    asked = re.fullmatch(r'"?sep=(.)"?\s*', lines[before]) if before < len(lines) else None
    before += asked is not None
    sample = lines[before : before + 200]
    if any(map(_RULE.fullmatch, sample)):  # the lines that frame a table of text
        lines = ["" if _RULE.fullmatch(line) else line for line in lines]
        sample = lines[before : before + 200]
    separator = asked[1] if asked else _separator(sample)
    first = _first(sample, separator)
    if before and first[0][:1].isdigit():
        comment = lines[before - 1].lstrip("".join(_COMMENTS))
        cells = next(_split([comment], separator), (0, []))[1]
        if len(cells) == len(first) > 1 and not any(cell[:1].isdigit() for cell in cells):  # the header is commented
            before -= 1
            lines[before] = comment
    if len(separator) == 1 and separator != " " and (found := _fast(lines, before, separator, len(first))) is not None:
        return found
    try:
        rows = list(_split(["" if number < before else line for number, line in enumerate(lines)], separator))
    except csv.Error as error:
        raise ValueError(
            f"{name} is not a table of comma-separated values ({error}): look for a quote that is not closed"
        ) from None
    return pd.DataFrame([cells for _, cells in rows], index=[line for line, _ in rows], dtype=object)


def _fast(lines: list[str], before: int, separator: str, width: int) -> pandas.DataFrame | None:
    """The cells as the parser of pandas reads them, where each line is a row and all have as many separators."""
    import pandas as pd

    numbers = [number for number in range(before, len(lines)) if lines[number]]
    if any(lines[number].count(separator) != width - 1 for number in numbers):
        return None
    text = "\n".join([lines[number] for number in numbers])
    try:
        found = pd.read_csv(io.StringIO(text), sep=separator, header=None, names=range(width), dtype=object,
                            keep_default_na=False, skipinitialspace=True)  # fmt: skip
    except (pd.errors.ParserError, pd.errors.EmptyDataError):
        return None
    if len(found) != len(numbers):
        return None
    found.index = pd.Index(numbers) + 1
    if " " + separator in text or " \n" in text or '="' in text or "\t" in text:
        found = found.apply(lambda column: column.str.strip().str.replace(_FORMULA, r"\1", regex=True))
    return found


def _split(lines: list[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, each with the number of its last line."""
    csv.field_size_limit(2**31 - 1)
    if separator == _WIDE:
        yield from ((n, re.split(separator, line.strip())) for n, line in enumerate(lines, 1) if line.strip())
        return
    if separator == " ":
        lines = [line.strip() for line in lines]
    reader = csv.reader((line + "\n" for line in lines), delimiter=separator, skipinitialspace=True, strict=True)
    for cells in reader:
        if any(map(str.strip, cells)):
            yield reader.line_num, [_FORMULA.sub(r"\1", cell.strip()) for cell in cells]


def _separator(sample: list[str]) -> str:
    """The separator that most lines agree on: of one character, or spaces."""

    def agreement(separator: str) -> tuple[float, int]:
        try:
            widths = Counter(len(cells) for _, cells in _split(sample, separator))
        except csv.Error:
            return 0, 0
        width, count = max(widths.items(), key=lambda item: (item[1], item[0]), default=(1, 0))
        return (count / sum(widths.values()) if width > 1 else 0), width

    best = max(SEPARATORS, key=agreement)
    if agreement(best)[1] > 1:
        return best
    spaces = [one for one in (_WIDE, " ") if agreement(one)[0] > 0.6] or [best]
    if len(spaces) == 2:
        begun = agreement(" ")[1] - len(_first(sample, " ")) in (0, 1)
        if begun and agreement(" ")[0] > agreement(_WIDE)[0] + 0.1:  # fixed widths, some of them full
            return " "
        lists = any(_LIST.fullmatch(cell) for _, cells in _split(sample, _WIDE) for cell in cells)
        return " " if lists and begun else _WIDE
    return spaces[0]


def _first(lines: list[str], separator: str) -> list[str]:
    """The cells of the first row."""
    try:
        return next(_split(lines, separator), (0, [""]))[1]
    except csv.Error:
        return [""]
