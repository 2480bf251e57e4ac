"""Commands: (to come)."""

from __future__ import annotations


def add_commands(commands) -> None:
    """Add this group's commands to the parser."""
