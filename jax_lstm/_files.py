"""Output files that are either complete or untouched."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path whose content becomes that of `path` when the block ends without an error.

    A regular file is replaced at once, after its data has reached the disk: a reader sees the old content or the new,
    never a part. A symbolic link stays, and its target is replaced; the file keeps its mode. What is no regular file
    (`/dev/null`, a pipe) is written to instead of replaced. The temporary path has the suffix of `path`.

    Args:
        path: where the content goes.

    Raises:
        OSError: the path cannot be written. The message names `path`, never the temporary file.

    >>> import pathlib, tempfile
    >>> target = pathlib.Path(tempfile.mkdtemp(), "note.txt")
    >>> with replacing(target) as temporary:
    ...     _ = temporary.write_text("complete")
    >>> target.read_text(), len(list(target.parent.iterdir()))
    ('complete', 1)
    """
    name = os.fspath(path)
    try:
        mode: int | None = os.stat(name).st_mode
    except FileNotFoundError:
        mode = None
    write = _replace if mode is None or stat.S_ISREG(mode) else _stream
    with write(name, mode) as temporary:
        try:
            yield temporary
        except OSError as error:
            if error.filename is not None and os.fspath(error.filename) == os.fspath(temporary):
                error.filename = name
            raise


@contextmanager
def _replace(name: str, mode: int | None) -> Iterator[Path]:
    """A temporary file beside the target of `name`, renamed to it at the end."""
    target = Path(os.path.realpath(name))
    if mode is not None and not os.access(target, os.W_OK):  # a rename asks for the folder's permission alone
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)
    temporary = target.with_name(f".{secrets.token_hex(8)}{Path(name).suffix}")
    try:
        # nobody else reads a private file while it is being written
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666 if mode is None else 0o600))
    except OSError as error:
        error.filename = name
        raise
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, stat.S_IMODE(mode))
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _stream(name: str, mode: int | None) -> Iterator[Path]:
    """A temporary file in the system's folder for them, copied into `name` at the end."""
    with (
        open(name, "wb") as stream,
        tempfile.TemporaryDirectory() as folder,
    ):  # a directory is refused here, by its name
        temporary = Path(folder, f"content{Path(name).suffix}")
        temporary.touch()
        yield temporary
        with temporary.open("rb") as content:
            shutil.copyfileobj(content, stream)
