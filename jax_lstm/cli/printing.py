"""Text from files and from their names, as it may be printed."""

from __future__ import annotations

LONGEST = 400
"""Characters of one value, or of one error, that are printed."""


def plain(text: str, longest: int = LONGEST) -> str:
    r"""Text without what a terminal would execute, and short enough to be read.

    Args:
        text: any text.
        longest: characters that are kept; the middle of longer text is left out.

    Returns:
        The text; characters that are not printable, such as those of escape sequences, are written as in Python.

    >>> plain("a name\x1b[2J")
    'a name\\x1b[2J'
    >>> plain("0123456789", longest=5)
    '012…9'
    """
    if len(text) > longest:
        end = longest // 4
        text = f"{text[: longest - 1 - end]}…{text[-end:]}"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
