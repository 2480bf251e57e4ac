"""`jax-lstm completion`: what a shell needs to complete commands, options and files."""

from __future__ import annotations

import argparse
from typing import Any

_BASH = """_jax_lstm() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} words
  case "${{COMP_WORDS[1]}}" in
{cases}
    *) words="{commands}" ;;
  esac
  [ "$COMP_CWORD" -eq 1 ] && words="{commands}"
  case "$word" in
    -*) COMPREPLY=($(compgen -W "$words" -- "$word")) ;;
    *) [ "$COMP_CWORD" -eq 1 ] && COMPREPLY=($(compgen -W "$words" -- "$word")) ;;
  esac
}}
complete -o bashdefault -o default -F _jax_lstm jax-lstm
"""


def add_commands(commands: Any) -> None:
    """Add this group's commands to the parser."""
    command = commands.add_parser(
        "completion",
        help="print a script that completes commands and options in a shell",
        description="Print a script for a shell: bash: source <(jax-lstm completion bash); zsh and fish likewise.",
    )
    command.add_argument("shell", choices=("bash", "zsh", "fish"))
    command.set_defaults(command=_print)


def _print(given: argparse.Namespace) -> None:
    options = _options()
    if given.shell == "fish":
        print("complete -c jax-lstm -n __fish_use_subcommand -f -a '" + " ".join(options) + "'")
        for command, words in options.items():
            for word in words:
                flag = f"-l {word[2:]}" if word.startswith("--") else f"-s {word[1:]}"
                print(f"complete -c jax-lstm -n '__fish_seen_subcommand_from {command}' {flag}")
        return
    cases = "\n".join(f'    {command}) words="{" ".join(words)}" ;;' for command, words in options.items())
    prefix = "autoload -Uz bashcompinit && bashcompinit\n" if given.shell == "zsh" else ""
    print(prefix + _BASH.format(cases=cases, commands=" ".join(options)), end="")


def _options() -> dict[str, list[str]]:
    """The options of every command, from the parser itself."""
    from jax_lstm.cli import parser_of

    [commands] = [action.choices for action in parser_of()._actions if isinstance(action, argparse._SubParsersAction)]
    return {
        name: [option for action in command._actions for option in action.option_strings]
        for name, command in commands.items()
    }
