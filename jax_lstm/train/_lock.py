"""One process at a time in a folder of checkpoints."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: folders are not locked
    fcntl = None  # type: ignore[assignment]

NAME = "jax_lstm.lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder within the block.

    The system releases the lock of a process that dies, however it dies, so that a lock is never stale. Where the file
    system has no locks, none is held.

    Args:
        folder: the folder.

    Raises:
        ValueError: another run holds it.
    """
    if fcntl is None:
        yield
        return
    path = folder / NAME
    descriptor = _hold(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before the lock is released, or it could be that of another run
        os.close(descriptor)


def _hold(path: Path) -> int:
    """A descriptor that holds the lock at a path, or a refusal."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
            os.close(descriptor)
            raise ValueError(
                f"{path.parent} is in use by another run ({holder}): give another folder, or wait until it ends"
            ) from None
        except OSError:  # a file system without locks
            return descriptor
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
                return descriptor
        os.close(descriptor)  # a run that ended meanwhile removed the file
