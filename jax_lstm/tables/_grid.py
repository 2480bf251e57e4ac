"""Cells as a frame: where the header is, and which lines around and below it are no data."""

from __future__ import annotations

import re
from collections import Counter
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from jax_lstm.tables._numbers import MISSING, plain
from jax_lstm.tables._sheet import Sheet, counted, listed
from jax_lstm.tables._words import without_accents

if TYPE_CHECKING:
    import pandas

Row = tuple[int, list[Any]]

TOTALS = re.compile(
    r"(grand |sub)?(totals?|totale?|totaal|sum|summe|gesamt|insgesamt|somme|suma|soma|ensemble|average|mean|mittelwert|"
    r"durchschnitt|moyenne|media|promedio|gemiddelde)\b.*"
)
_DATE = re.compile(r"(\d{4}[-/.]\d\d?[-/.]\d\d?|\d\d?[-/.]\d\d?[-/.]\d{4}|(19|20)\d{6})([ T].*)?")
_TIMED = re.compile(r"\d|.*(?<!\d)(?:19|20)\d\d(?!\d)")
_ENDS = 200
"""How many rows at the beginning and at the end are looked at."""


def sheet_of_cells(name: str, unit: str, cells: pandas.DataFrame, notes: tuple[str, ...] = ()) -> Sheet:
    """The sheet of a grid of cells without what is around the table: titles, units, totals and footnotes.

    Args:
        name: of the source.
        unit: what the index counts.
        cells: text without spaces around it, or values; NaN or None where a row has ended, "" for an empty cell.
        notes: how the source was read.

    Raises:
        ValueError: no rows, a row with another number of cells than the header, or two columns of one name.
    """
    import pandas as pd

    said = list(notes)
    empty = cells.isna() | (cells == "")
    first = int(np.argmax(~empty.all(axis=0))) if len(cells) else 0  # workbooks may begin at their second
    cells = cells.loc[~empty.all(axis=1)].iloc[:, first:].set_axis(range(cells.shape[1] - first), axis=1)
    empty = cells.isna() | (cells == "")
    top = _rows(cells.iloc[:_ENDS])
    later = [row for _, row in _rows(cells.iloc[len(cells) // 2 :][:_ENDS])]
    told: list[str] = []
    begin = _titles(top, [_filled(row) for row in later], told, unit)
    header, taken = _header(top[begin:], told, unit)
    above = _above(top, later)
    if above is not None and above[1] != begin + taken:
        (header, begin), taken = above, 0
        told = [f"{unit}s {top[0][0]} to {top[begin - 1][0]} above the first time are left out but for the names"]
    said += told
    bottom = _rows(cells.iloc[begin + taken :][-_ENDS:])
    end = len(cells) - _footnotes(bottom, len(header), len(cells) - begin - taken, said, unit)
    cells, empty = cells.iloc[begin + taken : end], empty.iloc[begin + taken : end]
    again = (cells[0] == header[0]) if header and header[0] else (cells[0] == object())
    for place, label in enumerate(header[: cells.shape[1]]):
        again &= cells[place] == label
    noted = empty.iloc[:, 1:].all(axis=1)
    if noted.any():
        noted &= cells[0].astype(str).str.startswith("#")
    if (again | noted).any():
        kept = ~(again | noted)
        said.append(f"{counted(int((~kept).sum()), unit)} of comments or of the header again: left out")
        cells, empty = cells[kept], empty[kept]
    if not len(cells):
        raise ValueError(f"{name} has no rows, expected a header and one {unit} for each time")
    ends = cells.shape[1] - np.argmax(~empty.to_numpy()[:, ::-1], axis=1)
    if (ends == len(header) + 1).all() and _labels(cells[0]):
        header = ["", *header]  # as R writes it: the labels of the rows have no name
    width = len(header)
    lengths = cells.notna().to_numpy().sum(axis=1)
    wrong = (ends > width) | (lengths < width if unit == "line" else False)
    if wrong.any():
        row = int(np.argmax(wrong))
        found = max(int(lengths[row]), int(ends[row]))
        raise ValueError(f"{name} {unit} {cells.index[row]} has {counted(found, 'cell')}, but the header has {width}")
    columns = {
        label or f"column {place + 1}": _column(cells[place])
        for place, label in enumerate(header)
        if place in cells and (label or not (empty[place].all() or _counts(cells[place])))
    }
    for label, count in Counter(label for label in header if label).items():
        if count > 1:
            raise ValueError(f"{name} has {count} columns {label!r}: give each a name of its own")
    return Sheet(name, pd.DataFrame(columns, index=cells.index), unit, tuple(said))


def _rows(cells: pandas.DataFrame) -> list[Row]:
    """Rows as lists, each up to its last cell that is not empty."""
    rows = cells.astype(object).where(cells.notna(), "").to_numpy().tolist()
    lengths = (max((place + 1 for place, cell in enumerate(row) if cell != ""), default=0) for row in rows)
    return [(line, row[:length]) for line, row, length in zip(cells.index, rows, lengths, strict=True)]


def _column(cells: pandas.Series) -> pandas.Series:
    from jax_lstm.tables._frames import typed

    text = cells.map(type).eq(str).all()
    return cells if text else typed(cells.map(lambda cell: None if isinstance(cell, str) and cell == "" else cell))


def _filled(cells: list[Any]) -> int:
    return sum(cell != "" for cell in cells)


def _titles(rows: list[Row], widths: list[int], said: list[str], unit: str) -> int:
    """How many rows are above the header: those of one cell, or of less than half of what is usual."""
    usual = int(np.median(widths)) if widths else 0
    begin = 0
    while begin < min(len(rows) - 1, 30) and usual > 1:
        cells = rows[begin][1]
        filled = _filled(cells)
        if (filled > 1 and 2 * filled > usual) or (cells[0] == "" and filled >= usual - 1):
            break
        begin += 1
    if begin and usual > 1:
        said.append(f"{unit}s {rows[0][0]} to {rows[begin - 1][0]} before the header are left out"
                    if begin > 1 else f"{unit} {rows[0][0]} before the header is left out")  # fmt: skip
    return begin


def _above(rows: list[Row], later: list[list[Any]]) -> tuple[list[str], int] | None:
    """The names, and how many rows are above the data, where the first cells of the data look like times and those
    above do not, such as "Unit" next to "%" in as many columns as the data have; None where this is not so.
    """
    places = [place for place, row in enumerate(later) if _TIMED.match(str(row[0]))]
    if len(places) < 3 or np.any(np.diff(places) > 1):  # below them may be footnotes
        return None
    timed = [later[place] for place in places]
    usual, shapes = int(np.median([_filled(row) for row in timed])), {_shape(row[0]) for row in timed}
    begins = (re.match(r"\d", str(row[0])) or _shape(row[0]) in shapes for _, row in rows)
    first = next((at for at, found in enumerate(begins) if found and _filled(rows[at][1]) > 1), 0)
    heads = [row for _, row in rows[:first]]
    labels = [str(row[0]) for row in heads if row[0] != ""]
    if (
        usual < 2
        or first > 30
        or len(set(labels)) < len(labels)
        or not all(re.search(r"[^\W\d]", one) for one in labels)
    ):
        return None
    stubs = [row for place, row in enumerate(heads) if all(one[0] == "" for one in heads[place:])]
    full = [row for row in heads if _filled(row) == len(row) == usual]
    if not stubs and not full:
        return None
    names = [plain(row) for row in stubs or ([heads[-1]] if heads[-1] in full else full[:1])]
    return reduce(_joined, names), first


def _header(rows: list[Row], said: list[str], unit: str) -> tuple[list[str], int]:
    """The names of the columns, and how many rows they take: none if the first holds a number and otherwise only what
    could be a time, more where words are below them.
    """
    if not rows:
        return [], 0
    first = rows[0][1]
    texts = [str(cell) for cell in first]
    digits = [any(letter.isdigit() for letter in cell) for cell in texts]
    numbered = (
        len(texts) > 2
        and all(re.fullmatch(r"\d{1,9}", one) for one in texts)
        and set(np.diff([int(one) for one in texts])) == {1}
    )
    below = [_shape(row[0]) for _, row in rows[1:3]]
    dated = _DATE.fullmatch(texts[0]) and below == [_shape(texts[0])] * 2
    dated = dated and not any(map(_DATE.fullmatch, texts[1:]))
    if dated or (all(digits) and _is_number(texts[-1]) and not numbered):
        names = [f"column {number}" for number in range(1, len(first) + 1)]
        said.append(f"the first line has no names: the columns are called {listed(names)}")
        return names, 0
    header = [re.sub(r" 00:00:00$|^Unnamed: ?\d+$", "", name) for name in plain(first)]
    taken = 1
    while taken < 3 and len(rows) > taken + 1 and _is_units(rows[taken][1], [row for _, row in rows[taken:][1:10]]):
        line, units = rows[taken]
        header = _joined(header, [str(one) for one in units])
        shown = listed([one for one in units if one != ""])
        said.append(f"{unit} {line} below the header is taken as names or units: {shown}")
        taken += 1
    return header, taken


def _joined(header: list[str], below: list[str]) -> list[str]:
    """Names in two rows, the first of which may be those of groups; names alone where those tell columns apart."""
    width = max(len(header), len(below))
    names, more = header + [""] * (width - len(header)), below + [""] * (width - len(below))
    for place in range(1, width):
        if not names[place] and more[place]:
            names[place] = names[place - 1]  # a merged cell, as CSV writes it
    if len(set(names)) == width:
        return names
    return [name if name == one else f"{name} {one}".strip() for name, one in zip(names, more, strict=True)]


def _is_units(cells: list[Any], others: list[list[Any]]) -> bool:
    """Whether a row has words, and no digit, where the rows below it have numbers or dates."""
    if any(not isinstance(cell, str) or any(map(str.isdigit, cell)) for cell in cells):
        return False
    words = [place for place, cell in enumerate(cells) if cell.lower() not in MISSING]
    below = {place for row in others for place, cell in enumerate(row) if re.match(r"\W*\d", str(cell))}
    return bool(words) and any(place in below for place in words)


def _footnotes(rows: list[Row], width: int, most: int, said: list[str], unit: str) -> int:
    """How many rows at the end are footnotes and totals."""
    shapes = Counter(_shape(cells[0]) for _, cells in rows)
    labels = [without_accents(str(next(cell for cell in cells if cell != ""))) for _, cells in rows]
    full = {_shape(cells[0]) for _, cells in rows if _filled(cells) > 1}
    count = 0
    while count < most - 1 and count < len(rows):
        cells = rows[len(rows) - 1 - count][1]
        note = _filled(cells) == 1 and width > 1 and cells[0] != "" and _shape(cells[0]) not in full
        note = note or (
            str(cells[0]).startswith("#") and 2 * shapes[_shape(cells[0])] <= len(rows)
        )  # no number, as #12
        label = labels[len(rows) - 1 - count]
        total = most > 3 and TOTALS.fullmatch(label) and sum(label == one for one in labels) == 1
        if not note and not total:
            break
        count += 1
    if count:
        left = rows[len(rows) - count :]
        what = [f"{unit} {line} ({str(next(cell for cell in cells if cell != ''))[:30]})" for line, cells in left]
        said.append(f"left out as footnotes or totals: {listed(what)}")
    return count


def _shape(cell: Any) -> str:
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", str(cell)))


def _counts(column: pandas.Series) -> bool:
    """Whether a column only numbers the rows, from 0 or 1, as data frames write it."""
    return str(column.iloc[0]) in ("0", "1") and all(
        str(cell) == str(row) for row, cell in enumerate(column, int(column.iloc[0]))
    )


def _labels(column: pandas.Series) -> bool:
    """Whether the first cells of all rows are labels of rows: they are counted, or are years."""
    return _counts(column) or all(re.fullmatch(r"(1[5-9]|2[01])\d\d", str(cell)) for cell in column)


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True
