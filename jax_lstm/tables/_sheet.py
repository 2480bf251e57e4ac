"""A sheet: a pandas frame whose index counts lines as its source does, so that messages can name them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

if TYPE_CHECKING:
    import pandas


INSTALL = "pip install pandas narwhals tzdata, or in a clone pip install '.[forecast]'"
"""The command that installs what reads tables."""


class Sheet(NamedTuple):
    """Columns and where they come from.

    Args:
        name: of the source, such as its file.
        frame: typed columns, or text where the source is text; the index counts lines from the source's beginning.
        unit: what the index counts.
        notes: how it was read.
        native: the frame as it was given (a narwhals frame), or None for files.
        levels: the names of the columns that were the index of a pandas frame.
    """

    name: str
    frame: pandas.DataFrame
    unit: str = "line"
    notes: tuple[str, ...] = ()
    native: Any = None
    levels: tuple[Any, ...] = ()

    def line(self, column: pandas.Series, where: Any) -> str:
        """The first line where a mask is true, such as "line 7"."""
        return f"{self.unit} {column.index[int(np.argmax(np.asarray(where)))]}"

    def refuse(self, column: pandas.Series, where: Any, fault: str) -> NoReturn:
        """Raise a `ValueError` that names the first cell where a mask is true, what it holds and what is wrong."""
        raise ValueError(self.refusal(column, where, fault))

    def refusal(self, column: pandas.Series, where: Any, fault: str) -> str:
        """What `refuse` says."""
        value = column.iloc[int(np.argmax(np.asarray(where)))]
        shown = repr(value) if isinstance(value, str) else str(value)
        shown = f"{shown[:60]}…" if len(shown) > 61 else shown
        return f"{self.name} {self.line(column, where)}: {column.name} is {shown}, {fault}"


def is_text(column: pandas.Series) -> bool:
    """Whether a column holds text: strings, categories, or objects that are not all numbers."""
    import pandas as pd

    return bool(pd.api.types.is_string_dtype(column.dtype) or column.dtype == object)


def listed(names: Sequence[Any], most: int = 3) -> str:
    """The first of some names.

    >>> listed(["a", "b", "c", "d"])
    'a, b, c, …'
    """
    return ", ".join(str(name) for name in names[:most]) + (", …" if len(names) > most else "")


def counted(number: int, what: str) -> str:
    """A number and its noun.

    >>> counted(1, "row"), counted(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"
