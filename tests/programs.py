"""What compiled programs are searched for."""

import re

COLLECTIVE = re.compile(
    r"\b(all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute|collective-broadcast)(-start)?\("
)


def collectives_in_loops(program: str) -> set[str]:
    """The collectives in the body of any loop of a compiled program, and in what the body calls."""
    blocks = {}
    for name, body in re.findall(r"^(?:ENTRY )?%?([\w.\-]+) \([^\n]*\{\n(.*?)^\}", program, re.MULTILINE | re.DOTALL):
        blocks[name] = body
    reached = [name for body in blocks.values() for name in re.findall(r"\b(?:body|condition)=%?([\w.\-]+)", body)]
    assert reached, "the program has no loop"
    seen, found = set(), set()
    while reached:
        name = reached.pop()
        if name not in seen:
            seen.add(name)
            found |= {match[0] for match in COLLECTIVE.findall(blocks[name])}
            reached += [called for called in re.findall(r"%([\w.\-]+)", blocks[name]) if called in blocks]
    return found
