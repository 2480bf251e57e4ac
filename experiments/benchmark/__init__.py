"""How fast, compared with other frameworks on the same work in the same process."""

from pathlib import Path

RESULTS = Path(__file__).parent / "results"
