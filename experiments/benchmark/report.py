"""The tables, the picture and the files of the benchmark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.benchmark.peers import JAX_PEERS
from jax_lstm._files import replacing

OURS = ("jax_lstm", "jax_lstm, all cores")


def ratios(times: dict[str, float]) -> dict[str, dict[str, float]]:
    """For each of ours: every peer's time over ours, and the best peer's; above one we are ahead."""
    found = {}
    for mine in OURS:
        if mine in times:
            others = {peer: time / times[mine] for peer, time in times.items() if peer not in OURS}
            of_jax = [ratio for peer, ratio in others.items() if peer in JAX_PEERS]
            best = {"best of all": min(others.values())} if others else {}
            found[mine] = others | best | ({"best of JAX": min(of_jax)} if of_jax else {})
    return found


def as_text(measured: dict[str, Any]) -> str:
    """Markdown: a table a pass, then the geometric means and the uses."""
    lines = [f"{measured['machine']}; {measured['date']}; `{measured['command']}`", ""]
    lines += [", ".join(f"{name} {number}" for name, number in measured["versions"].items()), ""]
    missing = sorted({name for shape in measured["shapes"] for name in shape["missing"]})
    if missing:
        lines += [f"Not installed, so not compared: {', '.join(missing)}.", ""]
    rates = [measured[key] for key in measured if key.startswith("GF/s")]
    lines += [
        f"One matrix product of 2048 cubed: {rates[0]:.0f} GF/s before, {rates[-1]:.0f} after; "
        "the limit is from the first.",
        "",
    ]
    for what in ("forward", "last", "gradient"):
        rows = [(shape["shape"], shape[what]) for shape in measured["shapes"] if what in shape]
        systems = list(dict.fromkeys(system for _, row in rows for system in row["milliseconds"]))
        lines += [f"**{what}**, milliseconds (least of many turns)", ""]
        lines += _table(
            ["shape", "limit", *systems],
            [[name, row["limit"], *map(row["milliseconds"].get, systems)] for name, row in rows],
        )
        lines += [f"**{what}**, a peer's time over ours, and the share of the limit", ""]
        body = []
        for name, row in rows:
            for mine, others in ratios(row["milliseconds"]).items():
                share = None if "ragged" in name else row["limit"] / row["milliseconds"][mine]
                body.append([f"{name}: {mine}", others.get("best of JAX"), others.get("best of all"), share])
        lines += _table(["", "best JAX peer", "best of all peers", "share of the limit"], body)
        for mine in OURS:
            for best in ("best of JAX", "best of all"):
                values = [ratios(row["milliseconds"]).get(mine, {}).get(best) for _, row in rows]
                values = [value for value in values if value is not None]
                if values:
                    lines.append(f"geometric mean, {mine}, {best}: {np.exp(np.mean(np.log(values))):.2f}")
        lines.append("")
    lines += ["**compile the gradient**, seconds (a peer's includes one run)", ""]
    systems = list(dict.fromkeys(system for row in measured["compile seconds"].values() for system in row))
    lines += _table(
        ["shape", *systems], [[name, *map(row.get, systems)] for name, row in measured["compile seconds"].items()]
    )
    for name, row in measured.get("uses", {}).items():
        lines += [f"**{name}**: " + ", ".join(f"{system} {value:.3g}" for system, value in row.items()), ""]
    if "scaling" in measured:
        for axis in ("length", "batch"):
            row = ", ".join(f"{size}: {value:.3g}" for size, value in measured["scaling"][axis].items())
            lines += [f"**gradient against {axis}**, milliseconds: {row}", ""]
        slopes = {name: value for name, value in measured["scaling"].items() if name.startswith("slope")}
        lines += [", ".join(f"{name}: {value:.3f}" for name, value in slopes.items()), ""]
    if "memory" in measured:
        body = [[name, row["MiB"], row["milliseconds"]] for name, row in measured["memory"].items()]
        lines += ["**gradient of the last state, 10,000 steps, 8 rows, 8 features, 64 units**", ""]
        lines += _table(["schedule", "temporary MiB", "milliseconds"], body)
    return "\n".join(lines)


def keep(folder: Path, measured: dict[str, Any], text: str) -> None:
    """`results.json`, `results.md` and `figure.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "results.json") as temporary:
        temporary.write_text(json.dumps(measured, indent=1) + "\n")
    with replacing(folder / "results.md") as temporary:
        temporary.write_text(text.rstrip() + "\n")
    with replacing(folder / "figure.png") as temporary:
        _picture(measured).savefig(temporary, dpi=80)


def _picture(measured: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(11, 7), layout="constrained")
    passes = ("forward", "gradient")
    timed = [shape[what]["milliseconds"] for shape in measured["shapes"] for what in passes]
    systems = list(dict.fromkeys(system for times in timed for system in times))
    for axes, what in zip(figure.subplots(2, 1), passes, strict=True):
        rows = [(shape["shape"], shape[what]) for shape in measured["shapes"]]
        for place, system in enumerate(systems):
            heights = [row["milliseconds"].get(system, np.nan) / row["limit"] for _, row in rows]
            where = np.arange(len(rows)) + 0.8 * (place / len(systems) - 0.5)
            shade = ("black", "dimgray")[OURS.index(system)] if system in OURS else f"C{place}"
            axes.bar(where, heights, 0.8 / len(systems), label=system, color=shade, edgecolor="black", linewidth=0.4)
        axes.set_xticks(range(len(rows)), [name for name, _ in rows])
        axes.set_yscale("log")
        axes.axhline(1, color="black", linestyle=":", linewidth=1)
        axes.set_ylabel(f"{what}: time over the arithmetic limit")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(systems), fontsize="small")
    return figure


def _table(head: list[str], body: list[list]) -> list[str]:
    rows = [[cell if isinstance(cell, str) else "–" if cell is None else f"{cell:.3g}" for cell in row] for row in body]
    return ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]] + [""]
