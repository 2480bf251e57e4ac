"""The command `jax-lstm`, beside the package: that Ctrl-C works also in the second in which the package loads JAX."""

import os
import signal
from typing import Any


def main() -> int:
    """Run the command line, and end at once and in one line if Ctrl-C is pressed while it is loaded."""

    def stop(*_: Any) -> None:
        os.write(2, b"jax-lstm: stopped\n")
        os._exit(130)

    interactive = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interactive:  # a KeyboardInterrupt inside the start of an extension module is lost, or crashes the process
        signal.signal(signal.SIGINT, stop)
    from jax_lstm.cli import main as run

    if interactive:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run()
