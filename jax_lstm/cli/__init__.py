"""The command line, `jax-lstm` or `python -m jax_lstm`: a thin layer over the public functions, one module a group of commands."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from jax_lstm.cli import files, forecasting, notebook

GROUPS = (notebook, files, forecasting)


class _Parser(argparse.ArgumentParser):
    """A parser whose refusals are one line, as all others are."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}: see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; what the user can mend is said in one line on standard error, with exit code 2."""
    parser = _Parser(prog="jax-lstm", description="LSTMs as pure functions: run, convert, fit and forecast.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for group in GROUPS:
        group.add_commands(commands)
    given = parser.parse_args(arguments)
    try:
        return given.command(given) or 0
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"jax-lstm: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
