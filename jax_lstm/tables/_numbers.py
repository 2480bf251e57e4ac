"""Columns as float64: what commas, points, units and flags mean is decided by whole columns, never by one cell."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from jax_lstm.tables._sheet import Sheet, counted, is_text, listed

if TYPE_CHECKING:
    import pandas

MISSING = frozenset(
    {"", "-", "--", "—", "–", ".", "..", "...", ":", "?", "na", "n/a", "#n/a", "#na", "#nv", "nan", "null", "none"}
    | {"nil", "nat", "<na>", "n.a.", "n.d.", "n/d", "missing", "#div/0!", "#value!", "#ref!", "#null!", "not available"}
    | {"no data", "unavailable", "unknown", "---", "----", "***", "****", "*****"}
)
"""Cells that mark a missing value, in any case."""
_SPELLED = {spelled for mark in MISSING for spelled in (mark, mark.upper(), mark.title(), mark.capitalize())} | {
    "NaN",
    "NaT",
}

DECIMALS = {"point": ".", "comma": ","}
_MULTIPLIERS = {"k": 1e3, "K": 1e3, "M": 1e6, "mn": 1e6, "mio": 1e6, "Mio": 1e6, "B": 1e9, "bn": 1e9, "Mrd": 1e9}
_SPACES = str.maketrans(
    {
        "\u00a0": " ",
        "\u2009": " ",
        "\u202f": " ",
        "\u2212": "-",
        "–": "-",
        "’": "'",
        "٬": ",",
        "٫": ".",
        "，": ",",
        "．": ".",
    }
)
_CELL = re.compile(
    r"(?P<open>[-+(]?)\s*(?P<before>[^\d.,()+\-']*?)(?P<space>\s*)(?P<sign>[-+]?)"
    r"(?P<digits>(?:\d[\d.,' ]*|[.,]\d+)(?:[eE][-+]?\d+)?)"
    r"\s*(?P<after>[^\d,()+\-' ]*?)\s*(?P<close>[)-]?)"
)
_INNER = re.compile(r"^([^\d(]+)\((.*)\)$")  # $(5) is ($5)
_CURRENCY = re.compile(
    "USD|EUR|GBP|CHF|JPY|CNY|RMB|INR|AUD|CAD|NZD|HKD|SGD|TWD|KRW|THB|IDR|MYR|PHP|VND|SEK|NOK|DKK|ISK|PLN|CZK|HUF|RON|BGN"
    "|RUB|UAH|TRY|ILS|AED|SAR|EGP|NGN|KES|ZAR|BRL|ARS|CLP|COP|PEN|MXN|Rs|RM|Rp|[Kk]r|Fr"
)
"""Letters that are a unit where digits follow at once: all others make a label, such as SKU12."""
_SENTINELS = (-99.9, -99.99, -999.0, -999.9, -999.99, -9999.0, -9999.9, -99999.0, -999999.0)
"""Numbers that mark a missing value, where all others are far above."""
_GROUPED = r"\d{{1,3}}(?:{0}\d{{3}}){{1,6}}|\d{{1,2}}(?:{0}\d{{2}})+{0}\d{{3}}"
_NUMBER = {
    mark: re.compile(
        rf"(?:\d+|{_GROUPED.format(other)}|{_GROUPED.format(' ')}|{_GROUPED.format(chr(39))}|(?=[.,]\d))"
        rf"(?:{re.escape(mark)}\d*)?(?:[eE][-+]?\d+)?"
    )
    for mark, other in ((".", ","), (",", r"\."))
}
_THOUSANDS = re.compile(r"[^.]*|.?\d{1,3}\.\d{3}")
_AMBIGUOUS = re.compile(r"[1-9]\d{0,2}[.,]\d{3}")
_WORDS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}


def is_missing(column: pandas.Series) -> np.ndarray:
    """Which cells of a column hold no value."""
    missing = column.isna().to_numpy()
    return missing | column.isin(_SPELLED).to_numpy() if is_text(column) else missing


def numbers(
    columns: pandas.DataFrame, sheet: Sheet, decimal: str | None = None
) -> tuple[pandas.DataFrame, tuple[str, ...]]:
    """Columns as float64, NaN where missing, and notes on how they were read.

    Args:
        columns: typed or text, indexed by the line of the file.
        sheet: names the line in messages.
        decimal: "point" or "comma"; decided by the columns where None.

    Raises:
        ValueError: text that is no number, or commas that can be read in two ways.
    """
    import pandas as pd

    plainly = {} if decimal else {name: _plain(columns[name]) for name in columns if is_text(columns[name])}
    if not decimal and all(values is not None for values in plainly.values()):
        found = {name: plainly[name] if name in plainly else _of_type(columns[name], sheet) for name in columns}
        return _without_sentinels(pd.DataFrame(found, index=columns.index), [])
    text = [name for name in columns if is_text(columns[name])]
    cells = {name: _unique_cells(columns[name]) for name in text}
    mark, notes = (DECIMALS[decimal], []) if decimal else _decide(cells, columns, sheet)
    found = {}
    for name in columns:
        if name in cells:
            values, note = _of_text(columns[name], cells[name], mark, sheet)
            notes += note
        else:
            values = _of_type(columns[name], sheet)
        found[name] = values
    return _without_sentinels(pd.DataFrame(found, index=columns.index), notes)


def _without_sentinels(values: pandas.DataFrame, notes: list[str]) -> tuple[pandas.DataFrame, tuple[str, ...]]:
    """Values without numbers that mark a missing one, such as -9999, and the notes."""
    for name in values:
        least = values[name].min()
        others = values[name][values[name] != least]
        if least in _SENTINELS and len(others) and others.min() > least / 2:
            count = int((values[name] == least).sum())
            values[name] = values[name].where(values[name] != least)
            notes = [*notes, f"{name}: {least:g} is taken as missing in {counted(count, 'row')}"]
    return values, tuple(dict.fromkeys(notes))


def _plain(column: pandas.Series) -> np.ndarray | None:
    """A column of text whose numbers can be read in one way only, which is the fast way."""
    import pandas as pd

    values = pd.to_numeric(column, errors="coerce").to_numpy(float)
    if np.isinf(values).any() or not (np.isfinite(values) | is_missing(column)).all():
        return None
    pointed = column.str.contains(".", regex=False).any()
    return None if pointed and all(map(_THOUSANDS.fullmatch, column)) else values


def is_numeric(column: pandas.Series) -> bool:
    """Whether most cells that are not missing are numbers in one way or another, and at least one is."""
    if not is_text(column):
        return column.dtype.kind in "biufc" or (hasattr(column.dtype, "numpy_dtype") and column.dtype.kind in "biuf")
    cells = _unique_cells(column.iloc[:1000])
    good = sum(any(np.isfinite(_value(cell, mark)) for mark in ".,") for cell in cells.values())
    known = sum(text.strip().lower() not in MISSING for text in cells)
    words = {unit for cell in cells.values() if cell and len(unit := cell["before"] + cell["after"]) > 3}
    return good > 0 and 2 * good >= known and len(words) < 4  # many words are names that end in a number


def _of_type(column: pandas.Series, sheet: Sheet) -> np.ndarray:
    if column.dtype.kind in "mMc":
        sheet.refuse(column, column.notna().to_numpy(), f"which is of type {column.dtype}, expected numbers")
    values = column.to_numpy(np.float64, na_value=np.nan)
    if np.isinf(values).any():
        sheet.refuse(column, np.isinf(values), "expected a finite number, or an empty cell where it is missing")
    return values


def _unique_cells(column: pandas.Series) -> dict[str, dict[str, str] | None]:
    """The parts of every cell by its text, None where it is no number."""
    found: dict[str, dict[str, str] | None] = {}
    for text in column.dropna().unique():
        cell_text = _INNER.sub(r"(\1\2)", str(text).strip().translate(_SPACES))
        match = _CELL.fullmatch(cell_text)
        cell = match.groupdict() if match else None
        if cell and (cell["open"] == "(") != (cell["close"] == ")"):
            cell = None
        before = cell["before"] if cell and not cell["space"] else ""
        if before and (before[-1].isalpha() or before[-1] in "_#") and not _CURRENCY.fullmatch(before):
            cell = None
        found[str(text)] = cell
    return found


def _of_text(
    column: pandas.Series, cells: dict[str, dict[str, str] | None], mark: str, sheet: Sheet
) -> tuple[np.ndarray, list[str]]:
    """A column of text under one decimal mark: units that all cells share are removed, and multipliers applied."""
    import pandas as pd

    values = {}
    units = {text: (cell["before"] + cell["after"]).rstrip(".") for text, cell in cells.items() if cell}
    kinds = set(units.values())
    scaled = bool(kinds & set(_MULTIPLIERS)) and kinds <= {"", "m", *_MULTIPLIERS}
    flagged = not scaled and "" in kinds and all(re.fullmatch(r"[A-Za-z*†‡]", unit) for unit in kinds - {""})
    for text, cell in cells.items():
        values[text] = _value(cell, mark) if cell else _WORDS.get(text.strip().lower(), np.inf)
        values[text] = np.nan if text.strip().lower() in MISSING else values[text]
        if scaled and cell and units[text]:
            values[text] *= _MULTIPLIERS.get(units[text], 1e6)
    at = column.map({**values}).astype(float).to_numpy()
    if np.isinf(at).any():
        comma = " with a decimal comma" if mark == "," else ""
        sheet.refuse(
            column, np.isinf(at), f"expected a finite number{comma}, or an empty cell, -, . or NA where it is missing"
        )
    if len(kinds) > 1 and not scaled and not flagged:
        usual = pd.Series(list(units.values())).mode()[0]
        odd = column.isin([text for text, unit in units.items() if unit != usual]).to_numpy()
        if kinds & set("<>≤≥"):
            odd = column.isin([text for text, unit in units.items() if unit in set("<>≤≥")]).to_numpy()
            sheet.refuse(column, odd, "which is a bound: write a number such as 0.5 for <1, or leave the cell empty")
        sheet.refuse(
            column, odd, f"but other cells have {f'the unit {usual!r}' if usual else 'no unit'}: write all in one unit"
        )
    named = listed(sorted(kinds - {""}))
    what = (
        f"{named} taken as a multiplier" if scaled else f"flags {named} removed" if flagged else f"unit {named} removed"
    )
    return at, [f"{column.name}: {what}"] if kinds - {""} else []


def _decide(
    cells: dict[Any, dict[str, dict[str, str] | None]], columns: pandas.DataFrame, sheet: Sheet
) -> tuple[str, list[str]]:
    """The decimal mark that the columns show together."""
    evidence: dict[str, tuple[Any, str]] = {}
    unclear: dict[str, tuple[Any, str]] = {}
    for name, column in cells.items():
        for text, cell in column.items():
            marks = [letter for letter in cell["digits"] if letter in ".,"] if cell else []
            if not marks or text.strip().lower() in MISSING:
                continue
            if len(set(marks)) == 2:
                mark = marks[-1]
            elif len(marks) > 1:
                mark = "," if marks[0] == "." else "."
            elif cell and _AMBIGUOUS.fullmatch(cell["digits"].strip()):
                unclear.setdefault(marks[0], (name, text))
                continue
            else:
                mark = marks[0]
            evidence.setdefault(mark, (name, text))
    if len(evidence) == 2:
        (name, text), (other_name, other) = evidence["."], evidence[","]
        line = sheet.line(columns[other_name], columns[other_name] == other)
        fault = f"which has a decimal point, but {line} has {other!r}, which has a decimal comma"
        fault = f"{fault}: write all numbers in one way"
        sheet.refuse(columns[name], (columns[name] == text).to_numpy(), fault)
    if not evidence and "," in unclear:
        name, text = unclear[","]
        ways = f'decimal="point" ({text.replace(",", "")}) or decimal="comma" ({text.replace(",", ".")})'
        sheet.refuse(columns[name], (columns[name] == text).to_numpy(), f"which can be read in two ways: give {ways}")
    mark = next(iter(evidence), ".")
    if evidence:
        separate = "thousands separated by points" if mark == "," else "thousands separated by commas"
        return mark, [f"decimal {'comma' if mark == ',' else 'point'}, {separate}"] if set(unclear) - {mark} else []
    if unclear:
        text = unclear["."][1]
        return mark, [f'{text} is read with a decimal point: give decimal="comma" for {text.replace(".", "")}']
    return mark, []


def _value(cell: dict[str, str] | None, mark: str) -> float:
    """The number of a cell without its unit; infinity where it is none."""
    digits = cell["digits"].strip() if cell else ""
    if not cell or not _NUMBER[mark].fullmatch(digits) or re.match(r"00\d*,", digits):  # 0012,1 is a value and a flag
        return np.inf
    value = float(re.sub(rf"[ '{'.' if mark == ',' else ','}]", "", digits).replace(mark, "."))
    negative = "-" in (cell["open"], cell["sign"], cell["close"]) or cell["open"] == "("
    return -value if negative else value


def plain(values: Iterable[Any]) -> list[str]:
    """Numbers or texts as text without what only a float adds: 2020.0 is "2020"."""
    return [str(int(one)) if isinstance(one, float | np.floating) and one.is_integer() else str(one) for one in values]
