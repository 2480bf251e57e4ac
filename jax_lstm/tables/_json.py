"""JSON as a sheet: records, rows or columns, also inside of other objects, or one record on each line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jax_lstm.tables._frames import typed
from jax_lstm.tables._numbers import is_numeric
from jax_lstm.tables._sheet import Sheet

if TYPE_CHECKING:
    import pandas

_DEEPEST = 4
"""Through how many objects a list of records is looked for, and records are unpacked."""


def sheet_of_json(name: str, text: str) -> Sheet:
    """The sheet of the records of a JSON text.

    Args:
        name: of the source.
        text: JSON, or a JSON value on each line.

    Raises:
        ValueError: no JSON, no records, or records that hold lists.
    """
    frame = _frame(_parsed(name, text), _DEEPEST)
    if frame is None or frame.empty:
        raise ValueError(f'{name} has no table: expected a list of records, such as [{{"date": "2020-01", "y": 5}}]')
    frame = frame.rename(columns=str).reset_index(drop=True)
    frame.index += 1
    if frame.columns.has_duplicates:
        raise ValueError(f"{name} has several columns {frame.columns[frame.columns.duplicated()][0]!r}")
    nested = [column for column in frame if frame[column].map(lambda cell: isinstance(cell, list | dict)).any()]
    kept = frame.drop(columns=nested).apply(typed)
    if nested and not any(map(is_numeric, (kept[column] for column in kept))):
        raise ValueError(f"{name} has nested values in {nested[0]!r}: expected one value for each record")
    notes = (f"left out, as they hold lists: {', '.join(nested)}",) if nested else ()
    return Sheet(name, kept, "record", notes)


def _parsed(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(f"{name} is nested too deeply: expected a list of records") from None
    except ValueError:
        content = []
    for line, one in enumerate(text.splitlines(), 1):
        try:
            content += [json.loads(one)] if one.strip() else []
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{name} line {line} is not JSON: {error}") from None
    return content


def _frame(content: Any, deepest: int) -> pandas.DataFrame | None:
    """The table of a JSON value, None where it holds none."""
    import pandas as pd

    if isinstance(content, list):
        if all(isinstance(one, dict) for one in content):
            return pd.json_normalize(content, max_level=_DEEPEST)
        if len(content) == 1 and isinstance(content[0], list) and _is_records(content[0]):
            return _frame(content[0], deepest)
        rows = [one if isinstance(one, list) else [one] for one in content if not isinstance(one, dict)]
        if len(rows) < len(content):  # of the World Bank: an object about the data, and the records
            lists = [one for one in content if isinstance(one, list)]
            return _frame(lists[0], deepest - 1) if len(lists) == 1 and deepest else None
        return pd.DataFrame(rows).rename(columns=lambda place: f"column {place + 1}")
    if not isinstance(content, dict) or not content or not deepest:
        return None
    values = list(content.values())
    if not any(isinstance(one, list | dict) for one in values):  # {time: value}
        return pd.DataFrame({"time": list(content), "value": values})
    if isinstance(content.get("columns"), list) and isinstance(content.get("data"), list):  # as pandas splits a frame
        found = _frame(content["data"], 0)
        names = [str(one) for one in content["columns"]]
        if found is None or len(names) != found.shape[1]:
            return None
        index = content.get("index")
        known = isinstance(index, list) and len(index) == len(found)
        found = found.set_axis(names, axis=1)
        return _with_index(found.set_axis(index, axis=0)) if known else found
    records = [one for one in values if isinstance(one, list) and one and isinstance(one[0], dict | list)]
    if len(records) == 1:
        return _frame(records[0], deepest)
    same = len({(type(one), len(one)) for one in values if isinstance(one, list | dict)}) == 1
    if same and all(isinstance(one, list | dict) for one in values) and not _has_records(values):
        found = pd.DataFrame(content)  # {column: [values]}, {column: {row: value}} or {row: {column: value}}
        turned = isinstance(values[0], dict) and found.shape[1] > found.shape[0]
        return _with_index(found.T.infer_objects() if turned else found)
    within = [_frame(one, deepest - 1) for one in values if isinstance(one, dict)]
    return max((one for one in within if one is not None), key=lambda one: one.size, default=None)


def _is_records(content: list[Any]) -> bool:
    return bool(content) and all(isinstance(one, dict) for one in content)


def _with_index(frame: pandas.DataFrame) -> pandas.DataFrame:
    """A frame with its index as a column, unless that only counts the rows."""
    if list(map(str, frame.index)) == list(map(str, range(len(frame)))) or "time" in frame:
        return frame
    return frame.rename_axis(index="time").reset_index()


def _has_records(values: list[Any]) -> bool:
    """Whether a list of records is within some values, not too deep."""
    for _ in range(_DEEPEST):
        values = [inner for one in values if isinstance(one, dict) for inner in one.values()]
        if any(isinstance(one, list) and one and isinstance(one[0], dict) for one in values):
            return True
    return False
