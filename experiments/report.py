"""The output of an experiment: tables as Markdown, the machine they were made on, and a figure."""

from __future__ import annotations

import argparse
import io
import os
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from rich import box
from rich.console import Console
from rich.table import Table

from experiments.results import results_folder

BEGIN, END = "<!-- results -->\n", "<!-- end of results -->\n"
"""The lines of a README around the last output of the command."""


def arguments(name: str, description: str, folder: Path, given: list[str] | None) -> argparse.Namespace:
    """The options that experiments share."""
    parser = argparse.ArgumentParser(prog=f"python -m experiments.{name}", description=description)
    parser.add_argument(
        "--quick", action="store_true", help="seconds instead of minutes: says whether it runs, not how good it is"
    )
    parser.add_argument("--seed", type=int, default=0, help="the seed of all draws (default: %(default)s)")
    parser.add_argument(
        "--out",
        type=Path,
        help="the folder for results.md and figure.png (default: here; a temporary one if quick)",
    )
    options = parser.parse_args(given)
    options.out = results_folder(options.out, folder, quick=options.quick)
    return options


def table(*columns: str) -> Table:
    """A Markdown table whose first column is a name."""
    made = Table(columns[0], box=box.MARKDOWN)
    for name in columns[1:]:
        made.add_column(name, justify="right")
    return made


def markdown(*tables: Table) -> str:
    """The tables as text, with an empty line between them."""
    text = io.StringIO()
    Console(file=text, width=140).print(*tables, sep="\n")
    return "\n".join(line.strip() for line in text.getvalue().strip().splitlines()) + "\n"


def spread(values: ArrayLike, digits: int) -> tuple[str, str]:
    """The median of the seeds, and their range."""
    values = np.asarray(values)
    return f"{np.median(values):.{digits}f}", f"{values.min():.{digits}f} to {values.max():.{digits}f}"


def save_figure(picture: Figure, path: Path, dpi: int = 80) -> None:
    """Save a figure, in a folder that is made if it does not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=dpi)


def save(folder: Path, results: str, picture: Figure, dpi: int = 80) -> None:
    """Save the results as `results.md` and in the README of the folder, between its marks, and `figure.png`."""
    save_figure(picture, folder / "figure.png", dpi)
    (folder / "results.md").write_text(results)
    readme = folder / "README.md"
    if readme.exists() and BEGIN in (text := readme.read_text()):
        before, _, rest = text.partition(BEGIN)
        readme.write_text(f"{before}{BEGIN}\n{results}\n{END}{rest.partition(END)[2]}")


def write(folder: Path, tables: list[Table], remarks: list[str], picture: Figure, seconds: float) -> None:
    """Print tables, remarks and the machine they were made on, and save them with the figure."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("jax", "optax"))
    python = f"Python {platform.python_version()}"
    machine = f"{seconds:.0f} s on {os.cpu_count()} cores ({platform.machine()}), {python}, {versions}"
    results = "\n".join([markdown(*tables), *remarks, "", machine]).strip() + "\n"
    print(results)
    save(folder, results, picture)
