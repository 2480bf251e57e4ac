"""`jax-lstm convert` and `jax-lstm show`: files that hold an LSTM."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from jax_lstm import checkpoint
from jax_lstm._describe import variant
from jax_lstm._files import regular, replacing
from jax_lstm._types import Params, directions
from jax_lstm.checkpoint import Checkpoint
from jax_lstm.cli import forecasters, formats, outputs
from jax_lstm.cli.printing import plain

KINDS = "a .safetensors (jax_lstm.checkpoint), .npz, .onnx, .pt, .pth or .ckpt (PyTorch), .keras or .h5 file"


def add_commands(commands: Any) -> None:
    """Add this group's commands to the parser."""
    convert = commands.add_parser(
        "convert",
        help="convert the weights of an LSTM from one kind of file to another",
        description="Convert the weights of an LSTM from one kind of file to another, by suffix, without rounding.",
    )
    convert.add_argument("source", type=Path, metavar="SOURCE", help=KINDS)
    convert.add_argument("target", type=Path, metavar="TARGET", help="one of the same, replaced where it exists")
    convert.add_argument(
        "--partial", action="store_true", help="take the LSTM out of a larger model and leave out the rest"
    )
    convert.set_defaults(command=_convert)
    show = commands.add_parser(
        "show",
        help="print what a file holds",
        description="Print the layers of a file, their sizes, parameters, dtypes and variants.",
    )
    show.add_argument("file", type=Path, metavar="FILE", help=KINDS)
    for command in (convert, show):
        command.add_argument(
            "--prefix", metavar="PATH", help="the path of the LSTM in a file that has several (of ONNX: its operator)"
        )
        command.add_argument(
            "--readout",
            metavar="PATH",
            help="the path of the linear layer on top of the LSTM",
        )
    show.add_argument("--plot", type=Path, metavar="OUT.png", help="save a picture of the weights by gate")
    show.set_defaults(command=_show)


def _convert(given: argparse.Namespace) -> None:
    with jax.enable_x64(True):
        held, unread = formats.read(given.source, given.prefix, given.readout)
        if unread and not given.partial:
            raise ValueError(
                f"{given.source} holds more than its LSTM: {', '.join(unread)}; leave that out with --partial"
            )
        unwritten = formats.write(given.target, held)
    for path, names in ((given.source, unread), (given.target, unwritten)):
        if names:
            print(plain(f"jax-lstm: {path}: left out {', '.join(names)}"), file=sys.stderr)
    print(f"{given.target}: {len(held.layers)} layer(s), {_count((held.layers, held.readout)):,} parameters")


def _show(given: argparse.Namespace) -> None:
    outputs.check_outputs({"--plot": given.plot}, [given.file])
    with regular(given.file) as file:
        if forecasters.is_forecaster(file):
            forecasters.show(file)
        else:
            _show_network(file, given.prefix, given.readout, given.plot)


def _show_network(file: Path, prefix: str | None, readout: str | None, picture: Path | None) -> None:
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError as error:
        raise ImportError("tables need rich: pip install rich, or in a clone pip install '.[files]'") from error

    with jax.enable_x64(True):
        held, unread = formats.read(file, prefix, readout)
    description = json.loads(checkpoint.describe(held)[0])
    rows = list(_rows(held, description))
    if picture is not None:
        first = (0,) * len(description["members"])
        note = ", the first of the members" if first else ""
        _plot(picture, [(name + note, jax.tree.map(lambda leaf: leaf[first], params)) for name, params, _ in rows])
    table = Table()
    for name in ("layer", "variant", "features", "hidden", "out", "parameters", "dtype"):
        table.add_column(name, justify="left" if name in ("layer", "variant", "dtype") else "right")
    for name, params, node in rows:
        sizes = (str(node[size]) for size in ("features", "hidden", "out"))
        table.add_row(name, variant(params), *sizes, f"{_count(params):,}", node["w_x"]["dtype"])
    if held.readout is not None:
        width, outputs = map(str, held.readout.w.shape[-2:])
        bias = "linear" if held.readout.b is not None else "linear, no bias"
        table.add_row("readout", bias, width, "", outputs, f"{_count(held.readout):,}", str(held.readout.w.dtype))
    table.add_section()
    table.add_row("all", "", "", "", "", f"{_count((held.layers, held.readout)):,}", "")
    Console().print(table)
    for name, value in {"members": description["members"], "metadata": held.metadata, "left out": unread}.items():
        if value:
            print(f"{name}: {plain(json.dumps(value, ensure_ascii=False))}")


def _rows(held: Checkpoint, description: dict[str, Any]) -> Iterator[tuple[str, Params, dict[str, Any]]]:
    """Name, parameters and description of every layer, of a bidirectional one of each direction."""
    for k, (layer, node) in enumerate(zip(held.layers, description["layers"], strict=True)):
        for name, params in directions(layer, str(k)):
            place, _, side = name.partition(".")
            yield f"{place} {side}".rstrip(), params, node[side] if side else node


def _count(tree: Any) -> int:
    """The number of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def _plot(path: Path, layers: list[tuple[str, Params]]) -> None:
    """The weights of every layer and direction by gate, one below the other."""
    from jax_lstm import plot

    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "pictures need matplotlib: pip install matplotlib, or in a clone pip install '.[plot]'"
        ) from error
    picture = Figure(figsize=(8, 6 * len(layers)), layout="constrained")
    for part, (name, params) in zip(picture.subfigures(len(layers), squeeze=False)[:, 0], layers, strict=True):
        part.suptitle(f"layer {name}")
        plot.weights(params, figure=part)
    with replacing(path) as temporary:
        picture.savefig(temporary, format=path.suffix[1:] or "png")
