"""The command: `python -m tests.fuzz --seconds N [--format F]`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from .farm import available, read_kept, read_mutants
from .formats import FORMATS, seeds


def main() -> int:
    """Read mutants of the formats and report the findings; the exit code says whether there are any."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="for each format (default: %(default)g)")
    parser.add_argument("--count", type=int, default=2000, help="mutants of each format (default: %(default)d)")
    parser.add_argument("--format", choices=FORMATS, action="append", help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, default=0, help="of the mutants (default: %(default)d)")
    parser.add_argument("--keep", type=Path, help="a folder to write the mutants to that fail")
    given = parser.parse_args()
    total = 0
    for name in given.format or FORMATS:
        missing = available(name)
        if missing:
            print(f"{name}: left out, {missing} is not installed")
            continue
        if not seeds(name):
            print(f"{name}: left out, there is no valid file in seeds")
            continue
        begun, read, findings = time.monotonic(), 0, read_kept(name)
        for number, finding in read_mutants(name, given.seed, given.count, begun + given.seconds):
            read = number + 1
            if finding is not None:
                findings.append(finding)
        print(f"{name}: {read} mutants in {time.monotonic() - begun:.0f} s, {len(findings)} findings", flush=True)
        for finding in findings:
            print(f"  {finding.name}: {finding.fault}", flush=True)
            if given.keep:
                given.keep.mkdir(parents=True, exist_ok=True)
                (given.keep / finding.name).write_bytes(finding.data)
        total += len(findings)
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
