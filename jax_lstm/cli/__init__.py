"""The command line, `jax-lstm` or `python -m jax_lstm`: a thin layer over the public functions.

Each group of commands has a module of its own, which is loaded when one of them is called.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from jax_lstm.cli.interrupt import ends_at_once

GROUPS = {
    "notebook": ("run",),
    "forecasting": ("forecast", "fit"),
    "evaluating": ("evaluate", "explain"),
    "files": ("convert", "show"),
    "completion": ("completion",),
}
"""The modules of this package that add commands, and which; only what is called for is loaded."""


class _Parser(argparse.ArgumentParser):
    """A parser whose refusals are one line, as all others are."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}: see {self.prog} --help\n")


class _Version(argparse.Action):
    """Prints the version; it is read only where it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"jax-lstm {version('jax_lstm')}")
        parser.exit()


def parser_of(groups: Sequence[str] = tuple(GROUPS)) -> argparse.ArgumentParser:
    """The parser of some groups of commands."""
    parser = _Parser(prog="jax-lstm", description="LSTMs as pure functions: run, convert, fit and forecast.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for group in groups:
        import_module(f"jax_lstm.cli.{group}").add_commands(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 2 for what the user can correct, said in one line; 130 for Ctrl-C."""
    with ends_at_once(alone=arguments is None):
        given = sys.argv[1:] if arguments is None else list(arguments)
        groups = [group for group, commands in GROUPS.items() if given[:1] and given[0] in commands]
        try:
            options = parser_of(groups or tuple(GROUPS)).parse_args(given)
            return options.command(options) or 0
        except BrokenPipeError:  # the reader of a pipe has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except (ValueError, TypeError, OSError, ImportError, MemoryError) as error:
            print(f"jax-lstm: {_said(error)}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("jax-lstm: stopped", file=sys.stderr)
            return 130


def _said(error: Exception) -> str:
    """What an error says, in one line; of a file its name first."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
