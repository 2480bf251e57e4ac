"""The file of results: one row for each release, collection and method."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from experiments.collections.ours import Scores
from experiments.results import write_file


class Result(NamedTuple):
    """What one method of one release scored on one collection.

    Args:
        collection: its name.
        release: of the package.
        method: its name.
        series: how many were forecast, windows counted singly.
        horizon: how many steps.
        scores: of the method.
    """

    collection: str
    release: str
    method: str
    series: int
    horizon: int
    scores: Scores


def read(path: Path) -> list[Result]:
    """The results in a file; none where there is no file."""
    if not path.exists():
        return []
    return [Result(**{**row, "scores": _scores(row["scores"])}) for row in json.loads(path.read_text())]


def write(path: Path, results: list[Result]) -> None:
    """Write results, one row to a line."""
    rows = [json.dumps({**one._asdict(), "scores": one.scores._asdict()}) for one in results]
    write_file(path, "[\n" + ",\n".join(rows) + "\n]\n")


def merge(old: list[Result], new: list[Result]) -> list[Result]:
    """Old results and new ones, which replace those of the same collection, release and method."""
    keyed = {(one.collection, one.release, one.method): one for one in [*old, *new]}
    return list(keyed.values())


def _scores(row: dict[str, Any]) -> Scores:
    return Scores(**{key: tuple(value) if isinstance(value, list) else value for key, value in row.items()})
