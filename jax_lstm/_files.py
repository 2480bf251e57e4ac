"""Output files that are either complete or untouched, and input files that are opened once."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows: files are not locked, and what a killed process leaves is not removed
    fcntl = None  # type: ignore[assignment]

LARGEST_STREAM = 1 << 30
"""The most bytes that are read of a pipe or a device, which states no size and may have no end."""

_TEMPORARY = ".jax_lstm-writing-"
_DESCRIPTORS = re.compile(r"/proc/\d+(/task/\d+)?/fd|/dev/fd")


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path whose content becomes that of `path` when the block ends without an error.

    A regular file is replaced at once, after its data has reached the disk: a reader sees the old content or the new,
    never a part. A symbolic link stays, and its target is replaced; the file keeps its mode and, where that is
    permitted, its owner. What is no regular file (`/dev/null`, a pipe) is written to and not replaced. So is an open
    file by its descriptor (`/dev/stdout`): after `>>` the content is appended. The temporary path has the suffix of
    `path`. It is removed at the end, or by the next write in the same folder if this process is killed.

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
    write = _stream if _is_stream(name) else _replace
    with _errors_name(name, _TEMPORARY), write(name) as temporary:
        yield temporary


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise the error that `replacing` would raise at its start or its end, without changing what `path` holds.

    Args:
        path: the file that is to be written later.

    Raises:
        OSError: its folder is missing or does not take files, or the file must not be written.
    """
    name = os.fspath(path)
    with _errors_name(name, _TEMPORARY):
        if _is_stream(name):
            if _descriptor(name) is None and not os.access(name, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)
            return
        with _replaceable(name):
            pass


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of a file, a pipe or a device, opened once.

    Args:
        path: the file.

    Raises:
        OSError: it cannot be read. ValueError: it is a stream of more than `LARGEST_STREAM` bytes.
    """
    with open(path, "rb") as file:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file.read()
        content = file.read(LARGEST_STREAM + 1)
    if len(content) > LARGEST_STREAM:
        raise ValueError(_too_long(path))
    return content


@contextmanager
def regular(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A regular file with the content of `path`: the file itself, or a temporary copy of a pipe or a device.

    Libraries open files several times and ask for their size, which a pipe does not permit.

    Args:
        path: the file.

    Raises:
        OSError: it cannot be read. ValueError: it is a stream of more than `LARGEST_STREAM` bytes. Errors of both kinds
            that are raised in the block name `path`, never the copy.
    """
    name = os.fspath(path)
    if not os.path.exists(name) or os.path.isfile(name):  # what is missing is refused by whoever opens it
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix=_TEMPORARY) as folder, _errors_name(name, folder):
        copy = Path(folder, f"content{Path(name).suffix}")
        with open(name, "rb") as source, copy.open("wb") as target:
            _copy(source, target, name)
        yield copy


def _copy(source: IO[bytes], target: IO[bytes], name: str) -> None:
    """Copy a stream, or refuse it once it is longer than `LARGEST_STREAM`."""
    left = LARGEST_STREAM
    while piece := source.read(1 << 20):
        left -= len(piece)
        if left < 0:
            raise ValueError(_too_long(name))
        target.write(piece)


def _too_long(path: str | os.PathLike[str]) -> str:
    return f"{os.fspath(path)} has more than {LARGEST_STREAM:,} bytes and is no regular file: store it in one first"


@contextmanager
def _errors_name(name: str, temporary: str) -> Iterator[None]:
    """Errors about a path that contains `temporary`, or about no path at all, become errors about `name`."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # such as HDF5's, whose text has the path in it
            raise OSError(_renamed(str(error), name, temporary)) from error
        if error.filename is None or temporary in os.fsdecode(error.filename):
            error.filename, error.filename2 = name, None
        raise
    except ValueError as error:
        if temporary not in str(error):
            raise
        raise ValueError(_renamed(str(error), name, temporary)) from error


def _renamed(text: str, name: str, temporary: str) -> str:
    """A message with `name` where it has a path that contains `temporary`."""
    return re.sub(rf"[^\s'\"]*{re.escape(temporary)}[^\s'\",:;)]*", lambda _: name, text)


def _is_stream(name: str) -> bool:
    """Whether a path is written to and not replaced: it exists and is no regular file, or it is an open descriptor."""
    try:
        mode = os.stat(name).st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    return not stat.S_ISREG(mode) or _descriptor(name) is not None


def _descriptor(name: str) -> str | None:
    """The path by which the system names an open descriptor, where a path leads to one, as `/dev/stdout` does."""
    place = os.path.abspath(name)
    for _ in range(40):  # the system's own limit to a chain of links
        folder, last = os.path.split(place)
        place = os.path.join(os.path.realpath(folder), last)
        if last.isdigit() and _DESCRIPTORS.fullmatch(os.path.dirname(place)):
            return place
        if not os.path.islink(place):
            return None
        place = os.path.abspath(os.path.join(os.path.dirname(place), os.readlink(place)))
    return None


@contextmanager
def _replace(name: str) -> Iterator[Path]:
    """A temporary file in the folder of the target of `name`, renamed to it at the end."""
    with _replaceable(name) as (temporary, target, before):
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        if before is not None:
            _keep_owner(temporary, before)
            os.chmod(temporary, stat.S_IMODE(before.st_mode))
        os.replace(temporary, target)


@contextmanager
def _replaceable(name: str) -> Iterator[tuple[Path, Path, os.stat_result | None]]:
    """An empty temporary file, the path that it may replace, and what is known of the file there."""
    target = Path(os.path.realpath(name))
    before = None
    with suppress(FileNotFoundError):
        before = os.stat(target)
        os.close(os.open(target, os.O_WRONLY))  # a rename needs only the folder's permission
    with _temporary_folder(target.parent) as folder:
        temporary = folder / f"content{Path(name).suffix}"
        # a private file is private also while it is written
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666 if before is None else 0o600))
        yield temporary, target, before


def _keep_owner(path: Path, before: os.stat_result) -> None:
    """Give a file the owner and the group that another had, where that is permitted."""
    now = os.stat(path)
    if hasattr(os, "chown") and (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        for owner, group in ((before.st_uid, -1), (-1, before.st_gid)):
            with suppress(OSError):
                os.chown(path, owner, group)


@contextmanager
def _temporary_folder(parent: Path) -> Iterator[Path]:
    """A private folder inside another, which is locked as long as this process lives."""
    _remove_abandoned(parent)
    while True:
        folder = parent / f"{_TEMPORARY}{secrets.token_hex(8)}"
        os.mkdir(folder, 0o700)
        lock = _lock(folder, wait=True)
        if lock is None or folder.exists():  # else another process took it for abandoned before it was locked
            break
        os.close(lock)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _remove_abandoned(parent: Path) -> None:
    """Remove the temporary folders of processes that were killed: those that no process has locked."""
    if fcntl is None:
        return
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if entry.name.startswith(_TEMPORARY) and entry.stat(follow_symlinks=False).st_uid == os.geteuid():
                lock = _lock(Path(entry.path), wait=False)
                if lock is not None:
                    shutil.rmtree(entry.path, ignore_errors=True)
                    os.close(lock)


def _lock(folder: Path, *, wait: bool) -> int | None:
    """A descriptor that locks a folder; None if it is locked, or on a file system without locks."""
    if fcntl is None:
        return None
    descriptor = None
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        if descriptor is not None:
            os.close(descriptor)
        return None
    return descriptor


@contextmanager
def _stream(name: str) -> Iterator[Path]:
    """A temporary file in the system's folder for them, copied into what `name` leads to at the end."""
    with _opened(name) as stream, tempfile.TemporaryDirectory(prefix=_TEMPORARY) as folder:
        temporary = Path(folder, f"content{Path(name).suffix}")
        temporary.touch()
        yield temporary
        with temporary.open("rb") as content:
            shutil.copyfileobj(content, stream)


def _opened(name: str) -> Any:
    """A stream that writes where a path leads to: an open descriptor of this process as it is, with its position."""
    place = _descriptor(name)
    if place is None:
        return open(name, "wb")
    if re.match(rf"/proc/{os.getpid()}/|/dev/fd", place):
        for printed in (sys.stdout, sys.stderr):  # what was printed before comes first
            with suppress(OSError, ValueError, AttributeError):
                printed.flush()
        return os.fdopen(os.dup(int(os.path.basename(place))), "wb")
    return open(name, "ab")  # of another process
