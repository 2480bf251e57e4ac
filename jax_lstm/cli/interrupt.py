"""Ctrl-C that ends the program at once, also while a compiler runs that does not listen."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

GRACE = 0.5
"""The seconds that Python has to unwind, so that nothing half written stays, before the process ends without it."""


@contextmanager
def ends_at_once(*, alone: bool) -> Iterator[None]:
    """Within the block an interrupt ends the process with exit code 130 after at most `GRACE` seconds.

    Python raises `KeyboardInterrupt` only between its own instructions, which a compilation can keep waiting for many
    seconds; so a thread waits beside it for the signal. It ends the process without tearing down the threads of the
    compiler, which may still run.

    Args:
        alone: whether the process is ours to end; else nothing is done.
    """
    if not alone or threading.current_thread() is not threading.main_thread():
        yield
        return
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    unwound = threading.Event()

    def watch() -> None:
        if signal.SIGINT in receiver.recv(1):
            finished = unwound.wait(GRACE)
            if not finished:
                os.write(2, b"jax-lstm: stopped\n")
            os._exit(130)

    def report(unraisable: Any) -> None:
        # raised inside a callback (JAX has one for the garbage collector) it unwinds nothing: the thread ends it all
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            sys.__unraisablehook__(unraisable)

    before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    sys.unraisablehook = report
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        sys.stderr.flush()
        unwound.set()
        sys.unraisablehook = sys.__unraisablehook__
        signal.set_wakeup_fd(before)
