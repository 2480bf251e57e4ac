"""The command `jax-lstm`, outside the package: Ctrl-C works also in the second in which the package loads JAX."""

import os
import signal
import sys
from typing import Any


def main() -> int:
    """Run the command line; Ctrl-C while it is loaded ends it at once and in one line."""
    listen()
    from jax_lstm.cli import main as run

    if signal.getsignal(signal.SIGINT) is stop:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run()


def listen() -> None:
    """Let Ctrl-C end the process at once, unless it is ignored or handled by somebody else.

    A KeyboardInterrupt that is raised while an extension module starts is lost, or crashes the process.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop)


def stop(*_: Any) -> None:
    """End the process."""
    os.write(2, b"jax-lstm: stopped\n")
    os._exit(130)


# `python -m jax_lstm` imports the package, which imports this module first, before it runs `jax_lstm.__main__`; until
# then Python has "-m" instead of the path as the first argument
if sys.argv[:1] == ["-m"] and "jax_lstm" in sys.orig_argv:
    listen()
