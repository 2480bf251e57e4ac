"""The committed pictures of the front page and the README, for light and for dark pages: `python docs/draw.py`."""

import contextlib
import io
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.style

from jax_lstm import init, plot, trace
from jax_lstm.cli import main

STATIC = Path(__file__).parent / "_static"
AIRLINE = str(STATIC.parent.parent / "experiments" / "data" / "airline.csv")
LOOKS = {"": "default", "-dark": "dark_background"}
SAVING = {"savefig.transparent": True, "svg.hashsalt": "jax_lstm", "svg.fonttype": "none"}


def draw_gates(path: Path) -> None:
    """The values of three units over a sine whose amplitude doubles halfway."""
    times = jnp.arange(40)
    series = jnp.sin(0.5 * times) * jnp.where(times < 20, 0.5, 1.0)
    _, values = trace(init(jax.random.key(4), features=1, hidden=3), series[:, None])
    plot.gates(values, series).savefig(path, metadata={"Date": None, "Creator": None})


def draw_by_command(path: Path, command: str, *options: str) -> None:
    """What a command draws of the airline passengers."""
    with contextlib.redirect_stdout(io.StringIO()):
        assert main([command, AIRLINE, "--horizon", "24", *options, "--plot", str(path)]) == 0


os.environ["SOURCE_DATE_EPOCH"] = "0"  # no date in the files
for suffix, style in LOOKS.items():
    with matplotlib.style.context(style), matplotlib.rc_context(SAVING):
        draw_gates(STATIC / f"gates{suffix}.svg")
        draw_by_command(STATIC / f"forecast{suffix}.svg", "forecast")
        draw_by_command(STATIC / f"explain{suffix}.png", "explain")
        draw_by_command(STATIC / f"evaluate{suffix}.svg", "evaluate")
