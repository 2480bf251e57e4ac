"""What an experiment leaves behind: its tables, with the machine they were made on, and its figure."""

from __future__ import annotations

import argparse
import io
import os
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table

from jax_lstm._files import replacing

BEGIN, END = "<!-- results -->\n", "<!-- end of results -->\n"
"""What stands between these lines of a README is what the command printed last."""


def arguments(name: str, description: str, folder: Path, given: list[str] | None) -> argparse.Namespace:
    """The options that these experiments share."""
    parser = argparse.ArgumentParser(prog=f"python -m experiments.{name}", description=description)
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes: says whether it runs, not how good it is")
    parser.add_argument("--seed", type=int, default=0, help="the seed of all draws (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=folder, help="the folder for results.md and figure.png (default: here)")
    return parser.parse_args(given)


def table(*columns: str) -> Table:
    """A Markdown table whose first column is a name."""
    made = Table(columns[0], box=box.MARKDOWN)
    for name in columns[1:]:
        made.add_column(name, justify="right")
    return made


def spread(values, digits: int) -> tuple[str, str]:
    """The median of the seeds, and their range."""
    values = np.asarray(values)
    return f"{np.median(values):.{digits}f}", f"{values.min():.{digits}f} to {values.max():.{digits}f}"


def write(folder: Path, tables: list[Table], remarks: list[str], picture: Figure, seconds: float) -> None:
    """Print the tables and remarks, and keep them as `results.md` and in the README of the folder, and the picture as `figure.png`."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("jax", "optax"))
    machine = f"{seconds:.0f} s on {os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, {versions}"
    text = io.StringIO()
    for one in tables:
        Console(file=text, width=140).print(one)
    lines = [line.strip() for line in text.getvalue().splitlines()]
    results = "\n".join([*lines, *remarks, "", machine]).strip() + "\n"
    print(results)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "results.md") as temporary:
        temporary.write_text(results)
    if (readme := folder / "README.md").exists():
        before, _, rest = readme.read_text().partition(BEGIN)
        with replacing(readme) as temporary:
            temporary.write_text(f"{before}{BEGIN}\n{results}\n{END}{rest.partition(END)[2]}")
    with replacing(folder / "figure.png") as temporary:
        picture.savefig(temporary, dpi=80)
