"""Published figures of other models, from `published.csv`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).parent / "published.csv"


class Published(NamedTuple):
    """One figure.

    Args:
        collection: its name here.
        model: as published.
        parameters: in words, or "".
        metric: `MASE`, `WQL` or `sMAPE`, on the test part.
        value: the figure.
        source: where it is from.
    """

    collection: str
    model: str
    parameters: str
    metric: str
    value: float
    source: str


def published(collection: str | None = None) -> list[Published]:
    """All published figures, or those of one collection."""
    with TABLE.open(newline="") as lines:
        rows = [Published(**{**row, "value": float(row["value"])}) for row in csv.DictReader(lines)]
    return [row for row in rows if collection in (None, row.collection)]
