"""The tables, the picture and the files of the benchmark."""

from __future__ import annotations

import json
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.benchmark import RESULTS, chart, timing
from experiments.benchmark.peers import JAX_PEERS
from experiments.report import save_figure
from jax_lstm.schedules.kernels.cpu import library

OURS = ("jax_lstm", "jax_lstm, mesh")
PACKAGES = ("jax", "jaxlib", "optax", "torch", "onnxruntime", "dm-haiku", "flax", "keras", "equinox", "numpy")
TITLES = {
    "shapes": "Every system on every shape",
    "kept": "Every system on every shape, with freed memory kept",
    "mesh": "The batch over one device for each core",
    "wide": "Large layers, single rows, stacks, both directions, float64",
    "variants": "Variants of the layer",
    "uses": "Uses",
    "fresh": "In a fresh process",
}


def about(command: str) -> dict[str, Any]:
    """What a part of the results was made with."""
    cpu = Path("/proc/cpuinfo")
    names = [line for line in cpu.read_text().splitlines() if line.startswith("model name")] if cpu.exists() else []
    name = names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()
    kernel = library.variant() or "no compiled kernel"
    return {
        "machine": f"{name}, {timing.cores()} cores ({kernel}), {platform.system()}",
        "date": time.strftime("%Y-%m-%d"),
        "command": command.strip(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def ratios(times: dict[str, float], mine: str = "jax_lstm") -> dict[str, float]:
    """The time of the best peer over ours, and of the best in JAX; above one we are ahead."""
    others = {peer: time for peer, time in times.items() if peer not in OURS}
    in_jax = [time for peer, time in others.items() if peer in JAX_PEERS]
    found = {"best of all": min(others.values())} if others else {}
    found |= {"best of JAX": min(in_jax)} if in_jax else {}
    return {name: best / times[mine] for name, best in found.items()}


def geometric_mean(part: dict[str, Any], what: str, best: str = "best of all") -> float | None:
    """Over all shapes, of the best peer's time over ours."""
    values = [ratios(row[what]["milliseconds"]).get(best) for row in part["shapes"] if what in row]
    known = [value for value in values if value is not None]
    return float(np.exp(np.mean(np.log(known)))) if known else None


def number(value: float | str | None) -> str:
    """Three digits, and no exponent."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(head: list[str], body: list[list[Any]]) -> list[str]:
    """Lines of Markdown, and an empty one."""
    rows = [head, ["---"] * len(head), *([number(cell) for cell in row] for row in body)]
    return ["| " + " | ".join(row) + " |" for row in rows] + [""]


def source(part: dict[str, Any]) -> str:
    """The machine, the date, the versions and the command of a part."""
    versions = ", ".join(f"{name} {number}" for name, number in part["versions"].items() if number != "missing")
    return f"{part['machine']}; {part['date']}; {versions}; `{part['command']}`"


def part_text(name: str, part: dict[str, Any]) -> str:
    """The tables of one part."""
    tables = {"uses": _uses, "fresh": _fresh, "mesh": _mesh, "wide": _wide, "variants": _variants}
    body = tables.get(name, _shapes)(part)
    return "\n".join([f"## {TITLES[name]}", "", source(part), "", *body]).rstrip() + "\n"


def _shapes(part: dict[str, Any]) -> list[str]:
    missing = sorted({name for row in part["shapes"] for name in row["missing"]})
    lines = [f"Not installed, so not compared: {', '.join(missing)}.", ""] if missing else []
    lines += [_peaks(part), ""]
    for what in ("forward", "last", "gradient"):
        rows = [(row["shape"], row["schedule"], row[what]) for row in part["shapes"] if what in row]
        if not rows:
            continue
        systems = list(dict.fromkeys(system for *_, row in rows for system in row["milliseconds"]))
        lines += [f"**{what}**, milliseconds", ""]
        lines += table(["shape", *systems], [[name, *map(row["milliseconds"].get, systems)] for name, _, row in rows])
        lines += [f"**{what}**, the best peer's time over ours", ""]
        body = []
        for name, schedule, row in rows:
            best, time = ratios(row["milliseconds"]), row["milliseconds"]["jax_lstm"]
            share = None if row["limit"] is None else row["limit"] / time
            body.append([name, schedule, best.get("best of all"), best.get("best of JAX"), share])
        means = [geometric_mean(part, what, best) for best in ("best of all", "best of JAX")]
        lines += table(
            ["shape", "schedule", "of all", "of JAX", "share of the peak"],
            [*body, ["geometric mean", "", *means, None]],
        )
    return lines + _ragged(part)


def _peaks(part: dict[str, Any]) -> str:
    peaks = part["peak GF/s"]
    if not peaks:
        return "Without the compiled kernel, whose library measures the peak rate of the cores."
    rates = ", ".join(f"{number(rate)} GF/s on {count}" for count, rate in peaks.items())
    return f"The peak, by number of cores: {rates}, multiply-adds alone, in this run. One row is held against one core."


def _ragged(part: dict[str, Any]) -> list[str]:
    rows = {row["shape"]: row for row in part["shapes"]}
    body = []
    for name in (name for name in rows if f"{name}, ragged" in rows):
        for what in ("forward", "gradient"):
            full, ragged = (rows[key][what]["milliseconds"] for key in (name, f"{name}, ragged"))
            body.append(
                [f"{name}, {what}", *(ragged[one] / full[one] for one in ("jax_lstm", "torch") if one in ragged)]
            )
    if not body:
        return []
    lines = ["**ragged**, lengths uniform in 1 to all steps: the time over that of the same shape, full", ""]
    return lines + table(["", "jax_lstm", *(["torch"] if len(body[0]) > 2 else [])], body)


def _wide(part: dict[str, Any]) -> list[str]:
    lines = []
    for what in ("forward", "gradient"):
        times = {f"{row['shape']} {tuple(row['sizes'])}": row[what]["milliseconds"] for row in part["shapes"]}
        systems = list(dict.fromkeys(system for row in times.values() for system in row))
        best = [ratios(row).get("best of all") for row in times.values()]
        body = [[name, *map(row.get, systems), over] for (name, row), over in zip(times.items(), best, strict=True)]
        body.append(["geometric mean", *[None] * len(systems), geometric_mean(part, what)])
        lines += [f"**{what}**, milliseconds, and the best peer's time over ours", ""]
        lines += table(["work (batch, time, features, hidden)", *systems, "best peer over ours"], body)
    return lines


def _variants(part: dict[str, Any]) -> list[str]:
    body = []
    for row in part["variants"]:
        cells = [row["variant"], row["schedule"], row["multiply-adds"]]
        for what in ("forward", "gradient"):
            plain, own = row[what]["plain"], row[what]["variant"]
            cells += [own, own / plain / row["multiply-adds"]]
        body.append(cells)
    sizes = ", ".join(map(str, part["sizes"]))
    head = ["variant", "schedule", "multiply-adds"]
    for what in ("forward", "gradient"):
        head += [f"{what}, ms", f"{what}, per multiply-add"]
    return [
        f"Shape ({sizes}). Multiply-adds, and time per multiply-add, relative to the plain layer timed in turn:",
        "",
        *table(head, body),
    ]


def _mesh(part: dict[str, Any]) -> list[str]:
    body = [
        [f"{row['shape']}, {what}", *map(row[what]["milliseconds"].get, OURS)]
        for row in part["shapes"]
        for what in ("forward", "gradient")
    ]
    return ["Milliseconds, after `parallel.use_all_cores()`", "", *table(["", "plain call", "over the mesh"], body)]


def _uses(part: dict[str, Any]) -> list[str]:
    lines = []
    for name, row in part["times"].items():
        lines += [f"**{name}**: " + ", ".join(f"{system} {number(value)}" for system, value in row.items()), ""]
    for axis in ("length", "batch"):
        row = ", ".join(f"{size}: {number(value)}" for size, value in part["scaling"][axis].items())
        lines += [f"**gradient against {axis}**, milliseconds: {row}", ""]
    slopes = {name: value for name, value in part["scaling"].items() if name.startswith("slope")}
    lines += [", ".join(f"{name}: {number(value)}" for name, value in slopes.items()), ""]
    lines += ["**gradient of the last state, 10,000 steps, 8 rows, 8 features, 64 units**", ""]
    body = [[name, row["MiB"], row["milliseconds"]] for name, row in part["memory"].items()]
    return lines + table(["schedule", "temporary MiB", "milliseconds"], body)


def _fresh(part: dict[str, Any]) -> list[str]:
    first, memory = part["first call, seconds"], part["memory of the gradient, MiB"]
    names = list(dict.fromkeys(name for row in memory.values() for name in row))
    lines = ["The first gradient of a process, on `small`, and how far a gradient raises the memory that is held:", ""]
    body = [[system, first[system], *map(memory[system].get, names)] for system in first]
    return lines + table(["", "first call, s", *(f"{name}, MiB" for name in names)], body)


def keep(folder: Path, results: dict[str, Any]) -> None:
    """`results.json`, `results.md`, and `figure.png` where shapes were measured."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    text = "\n".join(part_text(name, part) for name, part in results.items())
    (folder / "results.md").write_text(f"# Results\n\n{text}", "utf-8")
    if "shapes" in results:
        save_figure(_picture(results["shapes"]), folder / "figure.png")
    if folder == RESULTS:
        chart.main()


def _picture(part: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(11, 7), layout="constrained")
    passes = ("forward", "gradient")
    timed = [row[what]["milliseconds"] for row in part["shapes"] for what in passes]
    systems = [one for one in dict.fromkeys(one for times in timed for one in times) if one not in OURS]
    for axes, what in zip(figure.subplots(2, 1), passes, strict=True):
        rows = [(row["shape"], row[what]["milliseconds"]) for row in part["shapes"]]
        for place, system in enumerate(systems):
            heights = [times.get(system, np.nan) / times["jax_lstm"] for _, times in rows]
            where = np.arange(len(rows)) + 0.8 * ((place + 0.5) / len(systems) - 0.5)
            axes.bar(where, heights, 0.8 / len(systems), label=system, edgecolor="black", linewidth=0.4)
        axes.set_xticks(range(len(rows)), [name for name, _ in rows])
        axes.set_yscale("log")
        axes.axhline(1, color="black", linewidth=1)
        axes.set_ylabel(f"{what}: time over that of jax_lstm")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(systems), fontsize="small")
    return figure
