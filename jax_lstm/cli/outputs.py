"""Files and standard output: checked before any work, written whole."""

from __future__ import annotations

import csv
import json
import math
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from jax_lstm._files import check_writable, replacing

PICTURES = (".png", ".pdf", ".svg", ".jpg")


def check_outputs(outputs: Mapping[str, Path | None], inputs: Sequence[str | Path | None] = ()) -> None:
    """Refuse, before any work, what could not be written after it.

    Args:
        outputs: by option; "-" is standard output.
        inputs: files that are read.

    Raises:
        ValueError: a file that cannot be written, or one file for two purposes.
    """
    given = {option: path for option, path in outputs.items() if path is not None}
    used = {os.path.realpath(path): "the data" for path in inputs if path is not None and str(path) != "-"}
    for option, path in given.items():
        place = "-" if str(path) == "-" else os.path.realpath(path)
        if place in used:
            raise ValueError(f"{option} is {path}, which is {used[place]} already: choose another file")
        used[place] = f"what {option} names"
        if place == "-" and option in ("--out", "--plot"):
            raise ValueError(f"{option} is -, expected a file")
        if place != "-":
            _check_file(option, path)
        if option == "--plot" and path.suffix.lower() not in PICTURES:
            raise ValueError(f"--plot is {path}, expected a file that ends in {', '.join(PICTURES)}")


def _check_file(option: str, path: Path) -> None:
    folder = path.parent
    if not folder.is_dir():
        fault = f"{folder} is not a folder" if folder.exists() else f"there is no folder {folder}: make it first"
        raise ValueError(f"{option} is {path}, but {fault}")
    if path.is_dir():
        raise ValueError(f"{option} is {path}, which is a folder: add the name of a file")
    try:
        check_writable(path)
    except OSError as error:
        raise ValueError(f"{option} is {path}, which cannot be written: {error.strerror or error}") from error


def write_csv(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Columns as CSV, numbers in full precision, empty where there is none."""

    def write(file: TextIO) -> None:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_cell(value) for value in row] for row in zip(*columns.values(), strict=True))

    _write(path, write)


def write_json(path: Path, content: Any) -> None:
    """JSON, numbers in full precision, null where there is none."""

    def write(file: TextIO) -> None:
        json.dump(_plain(content), file, indent=1, ensure_ascii=False, allow_nan=False)
        file.write("\n")

    _write(path, write)


def write_picture(path: Path, figure: Any) -> None:
    """A figure of matplotlib, in the format of the suffix."""
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the picture shows a box for it
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=150)
    print(f"saved {path}", file=sys.stderr)


def _write(path: Path, write: Any) -> None:
    if str(path) == "-":
        write(sys.stdout)
        return
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        write(file)
    print(f"saved {path}", file=sys.stderr)


def _cell(value: Any) -> Any:
    return "" if isinstance(value, float) and math.isnan(value) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
