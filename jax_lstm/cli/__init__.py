"""The command line, `jax-lstm` or `python -m jax_lstm`: a thin layer over the public functions.

Each group of commands has a module of its own, which is loaded when one of them is called.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from jax_lstm.cli.printing import plain

GROUPS = {
    "notebook": ("run",),
    "forecasting": ("forecast", "fit"),
    "evaluating": ("evaluate", "explain"),
    "files": ("convert", "show"),
    "completion": ("completion",),
}
"""The modules of this package that add commands, and which; only what is called for is loaded."""


class _Parser(argparse.ArgumentParser):
    """A parser whose refusals are one line, as all others are, with the nearest option or choice."""

    def error(self, message: str) -> NoReturn:
        known = _words(self)
        # "invalid choice: 'forcast' (choose from …)" and "unrecognized arguments: --horizn 4"
        given = re.findall(r"invalid choice: '([^']*)'", message) or re.findall(r"(--[\w-]+)", message.split("(")[0])
        near = [match for word in given for match in difflib.get_close_matches(word, known, 1) if match != word]
        hint = f": did you mean {near[0]}?" if near else ":"
        self.exit(2, f"{self.prog}: {plain(message)}{hint} see {self.prog} --help\n")


def _words(parser: argparse.ArgumentParser) -> list[str]:
    """The options and choices of a parser, and of its commands."""
    words = []
    for action in parser._actions:
        words += [*action.option_strings, *map(str, action.choices or ())]
        if isinstance(action, argparse._SubParsersAction):
            words += [word for command in action.choices.values() for word in _words(command)]
    return words


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
    """Run one command and return its exit code: 2 for what the user can correct, said in one line."""
    if arguments is None and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Python's handler waits for compilers to return; files are whole without it, as they are renamed when complete
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    given = sys.argv[1:] if arguments is None else list(arguments)
    groups = [group for group, commands in GROUPS.items() if given[:1] and given[0] in commands]
    try:
        parser = parser_of(groups or tuple(GROUPS))
        if not given:
            parser.print_help()
            return 0
        options = parser.parse_args(given)
        return options.command(options) or 0
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, TypeError, OSError, ImportError, MemoryError) as error:
        print(f"jax-lstm: {_said(error)}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if "nitialize backend" not in str(error):  # JAX's own, of JAX_PLATFORMS or a driver
            raise
        print(f"jax-lstm: JAX cannot start: {_said(error)}", file=sys.stderr)
        return 2


def _said(error: Exception) -> str:
    """What an error says, in one line; of a file its name first."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return plain(f"{error.filename}: {error.strerror}")
    return plain(" ".join(str(error).split())) or type(error).__name__
