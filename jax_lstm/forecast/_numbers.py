"""Columns of text as numbers: what a comma and a point mean is decided by all of them together, never by one cell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from jax_lstm.forecast._cells import MISSING

if TYPE_CHECKING:
    import pandas

DECIMALS = {"point": ".", "comma": ","}

_SPACES = re.compile(r"(?<=\d)[\s\u00a0\u2009\u202f'’](?=\d{3})")
_PARENTHESES = re.compile(r"^\((\d.*)\)$")
_AMBIGUOUS = re.compile(r"[-+]?[1-9]\d{0,2}([.,])\d{3}")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(([.,])\d{3})(\2\d{3})+")
_NUMBER = {
    mark: re.compile(
        rf"[-+]?(\d+|\d{{1,3}}({re.escape(other)}\d{{3}})+|(?={re.escape(mark)}\d))({re.escape(mark)}\d*)?([eE][-+]?\d+)?"
    )
    for mark, other in ((".", ","), (",", "."))
}


def numbers(
    texts: pandas.DataFrame, place: str, decimal: str | None = None
) -> tuple[pandas.DataFrame, tuple[str, ...]]:
    """Columns of text as float64, NaN where missing, and what a person should know about how they were read.

    Args:
        texts: stripped text, indexed by the line of the file.
        place: what the index counts, such as "data.csv line", for messages.
        decimal: "point" or "comma"; decided by the columns where None.

    Raises:
        ValueError: text that is no number, or commas that can be read in two ways.

    >>> import pandas
    >>> numbers(pandas.DataFrame({"a": ["1.010,5", "7"]}), "data.csv line")[0]["a"].tolist()
    [1010.5, 7.0]
    """
    import pandas as pd

    plain = texts.apply(_plain)
    notes: tuple[str, ...] = ()
    if decimal is None:
        mark, notes = _decide(plain, texts, place)
    else:
        mark = DECIMALS[decimal]
    columns = {}
    for column in texts:
        unique = {text: _value(text, mark) for text in plain[column].unique()}
        values = plain[column].map(unique).astype(float)
        bad = np.isinf(values)
        if bad.any():
            line = bad.idxmax()
            raise ValueError(
                f"{place} {line}: {column} is {texts[column][line]!r}, expected a finite number{_with(mark)},"
                " or an empty cell, -, . or NA where it is missing"
            )
        columns[column] = values
    return pd.DataFrame(columns, index=texts.index), notes


def is_numeric(texts: pandas.Series) -> bool:
    """Whether most cells of a column are numbers in one way or another, and at least one is."""
    cells = [text for text in _plain(texts.iloc[:1000]) if text.lower() not in MISSING]
    good = sum(any(np.isfinite(_value(text, mark)) for mark in ".,") for text in cells)
    return good > 0 and 2 * good >= len(cells)


def _plain(column: pandas.Series) -> pandas.Series:
    """The text without spaces or apostrophes between digits, and without a sign of currency that all cells have; a
    number in parentheses, as accountants write it, is negative.
    """
    unique = {text: _SPACES.sub("", text.replace("\u2212", "-")) for text in column.unique()}
    for sign in "€$£¥%":
        present = [sign in text for text in unique.values() if text.lower() not in MISSING]
        if present and all(present):
            unique = {text: kept.replace(sign, "").strip() for text, kept in unique.items()}
    return column.map({text: _PARENTHESES.sub(r"-\1", kept) for text, kept in unique.items()})


def _decide(plain: pandas.DataFrame, texts: pandas.DataFrame, place: str) -> tuple[str, tuple[str, ...]]:
    """The decimal mark that the columns show."""
    evidence: dict[str, tuple[int, str]] = {}
    unclear: dict[str, tuple[int, str]] = {}
    for column in plain:
        cells = plain[column][plain[column].str.contains("[.,]", regex=True)].drop_duplicates()
        for line, text in cells.items():
            marks = [letter for letter in text if letter in ".,"]
            if text.lower() in MISSING:
                continue
            if len(set(marks)) == 2:
                mark = marks[-1]
            elif _THOUSANDS.fullmatch(text):
                mark = "," if marks[0] == "." else "."
            elif _AMBIGUOUS.fullmatch(text):
                unclear.setdefault(marks[0], (line, column))
                continue
            else:
                mark = marks[0]
            evidence.setdefault(mark, (line, column))
    if len(evidence) == 2:
        (line, column), (other, other_column) = evidence["."], evidence[","]
        raise ValueError(
            f"{place} {line}: {column} is {texts[column][line]!r}, which has a decimal point,"
            f" but line {other} has {texts[other_column][other]!r},"
            " which has a decimal comma: write all numbers in one way"
        )
    if not evidence and "," in unclear:
        line, column = unclear[","]
        text = texts[column][line]
        raise ValueError(
            f"{place} {line}: {column} is {text!r}, which can be read in two ways:"
            f" give --decimal point ({text.replace(',', '')}) or --decimal comma ({text.replace(',', '.')})"
        )
    mark = next(iter(evidence), ".")
    separate = "thousands separated by points" if mark == "," else "thousands separated by commas"
    return mark, (f"decimal {'comma' if mark == ',' else 'point'}, {separate}",) if (set(unclear) - {mark}) else ()


def _value(text: str, mark: str) -> float:
    """The number; NaN where it is missing, infinity where it is none."""
    if text.lower() in MISSING:
        return np.nan
    if not _NUMBER[mark].fullmatch(text):
        return np.inf
    return float(text.replace("," if mark == "." else ".", "").replace(mark, "."))


def _with(mark: str) -> str:
    return " with a decimal comma" if mark == "," else ""
