"""Where an experiment writes its results."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path


def results_folder(out: Path | None, published: Path, *, quick: bool) -> Path:
    """The folder that was given; else that of the published results, which a quick run leaves untouched.

    Args:
        out: what `--out` gave, or None.
        published: the folder whose files are tracked.
        quick: whether the run is a quick one, which says only that the experiment runs.
    """
    if out is None and quick:
        out = Path(tempfile.mkdtemp(prefix="quick-"))
        print(f"quick run: results go to {out}, not over the published ones", file=sys.stderr)
    return published if out is None else out


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file under a temporary name in its folder, which is made if it does not exist, and rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    temporary.replace(path)
