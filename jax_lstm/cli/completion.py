"""`jax-lstm completion`: what a shell needs to complete commands, options, their choices and files."""

from __future__ import annotations

import argparse
from typing import Any

SHELLS = ("bash", "zsh", "tcsh")


def add_commands(commands: Any) -> None:
    """Add this group's commands to the parser."""
    command = commands.add_parser(
        "completion",
        help="print a script that completes commands, options and files in a shell",
        description='Print a script for a shell. In bash: eval "$(jax-lstm completion bash)", for good in ~/.bashrc.',
    )
    command.add_argument("shell", choices=SHELLS)
    command.set_defaults(command=_print)


def _print(given: argparse.Namespace) -> None:
    try:
        import shtab
    except ImportError as error:
        raise ImportError("completion needs shtab: pip install shtab") from error
    from jax_lstm.cli import parser_of

    parser = parser_of()
    [commands] = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for command in commands.values():
        for action in command._actions:
            if (action.metavar is not None and "." in str(action.metavar)) or action.dest == "data":
                action.complete = shtab.FILE
    print(shtab.complete(parser, shell=given.shell))
