"""`jax-lstm show` of a forecaster: what it was fitted to, how that went, and what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jax_lstm.forecast import Forecaster

MARK = "jax_lstm.forecast"
"""The metadata of safetensors files that hold a forecaster."""

LONGEST = 1 << 24
"""The longest header that is looked into, in bytes."""


def is_forecaster(path: Path) -> bool:
    """Whether a file is a safetensors file with a forecaster; what cannot be read is none."""
    try:
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size)) if size <= LONGEST else {}
        return MARK in header["__metadata__"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def show(path: Path) -> None:
    """Print a forecaster as a person reads it."""
    from jax_lstm import forecast

    print(report(forecast.load(path)))


def report(model: Forecaster) -> str:
    """What a forecaster was fitted to, how that went, its seasons, shares and size, in lines."""
    import jax

    about = model.about
    lines = [("fitted to", about.get("fitted to", "a panel"))]
    lines += [(name, str(value)) for name, value in about.get("options", {}).items()]
    lines += [("horizon", f"{model.horizon} steps; others by request")]
    if model.report:
        lines.append(("how it went", model.report))
    for season, tuned in model.tuned.items():
        shares = zip(tuned.calibration.methods, tuned.calibration.shares.tolist(), strict=True)
        mixed = ", ".join(f"{share:.0%} {name}" for name, share in shares if share > 0.005)
        lines.append((f"season {season}" if season > 1 else "no season", mixed))
        if tuned.network is None:
            lines.append(("network", "the package's, as no further training helped"))
        else:
            members, hidden = tuned.network.layer.w_h.shape[0], tuned.network.layer.w_h.shape[-2]
            count = sum(leaf.size for leaf in jax.tree.leaves(tuned.network))
            lines.append(("network", f"{members} LSTMs of {hidden} units, {count:,} parameters"))
    widest = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:{widest}}  {value}" for name, value in lines)
