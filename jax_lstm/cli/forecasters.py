"""`jax-lstm show` of a forecaster: what it was fitted to, how that went, and what it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jax_lstm.cli.printing import plain

if TYPE_CHECKING:
    from jax_lstm.forecast import Model


def is_forecaster(path: Path) -> bool:
    """Whether a file holds a forecasting model; what cannot be read holds none."""
    from jax_lstm.checkpoint import kind_of

    try:
        return kind_of(path) == "jax_lstm.forecast"
    except OSError:
        return False


def show(path: Path) -> None:
    """Print a forecaster as a person reads it."""
    from jax_lstm import forecast

    print(report(forecast.load(path)))


def report(model: Model) -> str:
    """What a forecaster was fitted to, how that went, its seasons, shares and size, in lines."""
    import jax

    about = model.about
    lines = [("fitted to", about.get("fitted to", "a panel"))]
    options = about.get("options", {})
    lines += [(name, str(value)) for name, value in options.items()] if isinstance(options, dict) else []
    lines += [("horizon", "any" if model.horizon is None else f"{model.horizon} steps; others by request")]
    if model.report:
        lines.append(("how it went", model.report))
    for name, network in model.networks.items():
        members, hidden = network.layer.w_h.shape[0], network.layer.w_h.shape[-2]
        count = sum(leaf.size for leaf in jax.tree.leaves(network))
        lines.append((f"{name} seasons", f"{members} LSTMs of {hidden} units, {count:,} parameters"))
    widest = max(len(name) for name, _ in lines)
    text = "\n".join(f"{name:{widest}}  {value}" for name, value in lines)
    return "\n".join(map(plain, text.splitlines()))
