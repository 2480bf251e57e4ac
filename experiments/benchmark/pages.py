"""The tables of the results, in the pages that show them.

`python -m experiments.benchmark.pages` writes them between the marks of each page.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from experiments.benchmark import RESULTS
from experiments.benchmark.report import geometric_mean, number, table
from experiments.report import BEGIN, END

SHAPE = "shape (batch, time, features, hidden)"
ROOT = Path(__file__).parent.parent.parent


def overview(results: dict[str, Any]) -> str:
    """Forward and gradient of all systems on all shapes, in milliseconds."""
    part = results["shapes"]
    rows = part["shapes"]
    systems = list(dict.fromkeys(system for row in rows for system in row["forward"]["milliseconds"]))
    body = []
    for row in rows:
        times = [[number(row[what]["milliseconds"].get(one)) for what in ("forward", "gradient")] for one in systems]
        body.append([_sizes(row), *(" / ".join(pair).replace("– / –", "–") for pair in times)])
    return "\n".join(
        [
            "Forward / gradient of one layer, in milliseconds, best of many runs:",
            "",
            *table([SHAPE, *systems], body),
            summary(results),
        ]
    )


def summary(results: dict[str, Any]) -> str:
    """How many times faster than the fastest other framework, over all shapes."""
    said = [_times_faster(results["shapes"])]
    if "kept" in results:
        said.append(f"({_times_faster(results['kept'])} where every process keeps the memory it frees)")
    sentence = f"Geometric mean over the shapes, against the fastest other framework on each: {' '.join(said)}."
    return f"{sentence}\n{_made_by(results['shapes'])}"


def _times_faster(part: dict[str, Any]) -> str:
    """In words; a pass that nothing else ran is left out."""
    means = {what: geometric_mean(part, what) for what in ("forward", "gradient")}
    return " and ".join(f"{number(mean)}× faster {what}" for what, mean in means.items() if mean is not None)


def compared(system: str, title: str, results: dict[str, Any]) -> str:
    """Ours and one other system: time on every shape, memory where it was measured, and the first call."""
    part, fresh = results["shapes"], results["fresh"]
    memory = fresh["memory of the gradient, MiB"]
    pair = ("jax_lstm", system)
    columns = ["forward, ms", "gradient, ms", "memory of the gradient, MiB"]
    if system not in memory:
        columns = columns[:1]  # it has no gradient
    body = []
    for row in part["shapes"]:
        times = [[row[what]["milliseconds"].get(one) for one in pair] for what in ("forward", "gradient")]
        if times[0][1] is None:
            continue  # it has no lengths
        cells = [*times, [memory.get(one, {}).get(row["shape"]) for one in pair]][: len(columns)]
        body.append([_sizes(row), *(" / ".join(map(number, cell)).replace("– / –", "–") for cell in cells)])
    lines = [
        f"One layer of `jax_lstm` / {title}, the same weights and input:",
        "",
        *table([SHAPE, *columns], body),
    ]
    first = fresh["first call, seconds"]
    if system in first:
        seconds = " / ".join(number(first[one]) for one in pair)
        lines.append(f"The first gradient of a process, on `small`, takes {seconds} s, compilation included.")
    return "\n".join([*lines, _made_by(part)])


def _sizes(row: dict[str, Any]) -> str:
    return f"{row['shape']} {tuple(row['sizes'])}".replace(", ragged (", " (ragged; ")


def _made_by(part: dict[str, Any]) -> str:
    names = {"jax": "jax", "torch": "torch", "onnxruntime": "ONNX Runtime", "dm-haiku": "Haiku", "flax": "Flax"}
    names |= {"keras": "Keras", "equinox": "Equinox"}
    versions = ", ".join(f"{said} {part['versions'][name]}" for name, said in names.items())
    return f"`{part['command']}`, {part['date']}, {part['machine']}; float32; {versions}."


PAGES = {
    "README.md": summary,
    "experiments/benchmark/README.md": overview,
    "docs/guides/schedules.md": overview,
    "docs/guides/from-torch.md": partial(compared, "torch", "`torch.nn.LSTM`"),
    "docs/guides/from-keras.md": partial(compared, "Keras", "`keras.layers.LSTM` on its JAX backend"),
    "docs/guides/flax-nnx.md": partial(compared, "Flax nnx", "`nnx.RNN(nnx.OptimizedLSTMCell(…))`"),
    "docs/guides/flax-linen.md": partial(compared, "Flax linen", "`linen.RNN(linen.OptimizedLSTMCell(…))`"),
    "docs/guides/haiku.md": partial(compared, "Haiku", "`hk.dynamic_unroll(hk.LSTM(…), …)`"),
    "docs/guides/equinox.md": partial(compared, "Equinox", "`eqx.nn.LSTMCell` under `lax.scan` and `vmap`"),
    "docs/guides/onnx.md": partial(compared, "ONNX Runtime", "ONNX Runtime's LSTM operator, which has no gradient"),
}
"""The text between the marks of a page, by its path."""


def filled(page: str, made: str) -> str:
    """The text of a page with a table between its marks."""
    before, mark, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"a page without the lines {BEGIN.strip()} and {END.strip()}: put them where the table goes")
    return f"{before}{mark}\n{made}\n\n{end}{after}"


def main() -> None:
    """Rewrite the tables of every page."""
    results = json.loads((RESULTS / "results.json").read_text("utf-8"))
    for name, make in PAGES.items():
        page = ROOT / name
        page.write_text(filled(page.read_text("utf-8"), make(results)), "utf-8")


if __name__ == "__main__":
    main()
