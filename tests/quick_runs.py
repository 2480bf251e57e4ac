"""The quick form of an experiment's command, run as a user runs it: without `--out`."""

import hashlib
import tempfile
from pathlib import Path

import pytest


def quick_run(main, folder: Path, *arguments: str) -> Path:
    """Run `main(["--quick", …])`; the folder of its results, which lies in `folder`.

    The published files next to the module of `main` have to stay as they are.
    """
    published = Path(main.__globals__["__file__"]).parent
    before = _contents(published)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        main(["--quick", *arguments])
    assert _contents(published) == before
    (results,) = folder.glob("quick-*")
    return results


def _contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
