"""Results as tables in Markdown: one for each collection, and geometric means over collections."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.collections.metrics import geometric_mean
from experiments.collections.ours import BASELINE, Scores
from experiments.collections.published import published
from experiments.collections.results_file import Result
from experiments.report import markdown, table

METRICS = {"MASE": "mase", "WQL": "wql", "sMAPE": "smape"}


def report(results: Sequence[Result], part: str) -> str:
    """All tables."""
    names = list(dict.fromkeys(one.collection for one in results))
    parts = [overview(results)]
    for name in names:
        rows = [one for one in results if one.collection == name]
        parts.append(f"## {name}\n\n{rows[0].series:,} series, {rows[0].horizon} steps ahead\n\n{of_one(rows, part)}")
    return "\n".join(parts)


def of_one(rows: Sequence[Result], part: str) -> str:
    """The table of one collection, with published figures of the test part below."""
    coverage = "in 80 %, by third", "in 95 %, by third"
    made = table("method", "MASE", "relative", "WQL", "relative", "sMAPE", *coverage, "failed", "CPU s", "MiB")
    base = next(one.scores for one in rows if one.method == BASELINE)
    for one in rows:
        found = one.scores
        made.add_row(
            one.method if one.method == BASELINE else f"{one.release} {one.method}",
            f"{found.mase:.3f}",
            f"{found.mase / base.mase:.3f}",
            f"{found.wql:.4f}",
            f"{found.wql / base.wql:.3f}",
            f"{found.smape:.2f}",
            thirds(found.within_80),
            thirds(found.within_95),
            str(found.failed),
            f"{found.seconds:.1f}",
            f"{found.peak:.0f}",
        )
    return markdown(made) + anchors(rows[0].collection, base, part)


def anchors(collection: str, base: Scores, part: str) -> str:
    """Published figures of one collection, relative to the seasonal naive forecast where it was published too."""
    rows = published(collection)
    if not rows:
        return ""
    naive = {one.metric: one.value for one in rows if one.model == BASELINE}
    made = table("published, on the test part", "parameters", "MASE", "relative", "WQL", "relative", "sMAPE")
    for model, parameters in dict.fromkeys((one.model, one.parameters) for one in rows):
        figures = {one.metric: one.value for one in rows if one.model == model}
        cells = []
        for metric in ("MASE", "WQL"):
            value = figures.get(metric)
            against = getattr(base, METRICS[metric]) if part == "test" else naive.get(metric)
            cells.append("" if value is None else f"{value:.4g}")
            cells.append("" if value is None or against is None else f"{value / against:.3f}")
        made.add_row(model, parameters, *cells, f"{figures['sMAPE']:.2f}" if "sMAPE" in figures else "")
    sources = "; ".join(dict.fromkeys(one.source for one in rows))
    return f"\n{markdown(made)}\nSources: {sources}.\n"


def overview(results: Sequence[Result]) -> str:
    """Geometric means of MASE and WQL relative to the seasonal naive forecast, over all collections that a method of a
    release has forecast, and the worst of them.
    """
    base = {one.collection: one.scores for one in results if one.method == BASELINE}
    made = table("method", "collections", "MASE", "WQL", "highest relative MASE", "CPU s")
    for release, method in dict.fromkeys((one.release, one.method) for one in results if one.method != BASELINE):
        rows = [one for one in results if (one.release, one.method) == (release, method)]
        ratios = {one.collection: one.scores.mase / base[one.collection].mase for one in rows}
        worst = max(ratios, key=lambda name: ratios[name])
        losses = [one.scores.wql / base[one.collection].wql for one in rows]
        made.add_row(
            f"{release} {method}",
            str(len(rows)),
            f"{geometric_mean(list(ratios.values())):.3f}",
            f"{geometric_mean(losses):.3f}",
            f"{ratios[worst]:.3f} ({worst})",
            f"{sum(one.scores.seconds for one in rows):.0f}",
        )
    return f"Relative to the seasonal naive forecast, geometric means:\n\n{markdown(made)}"


def thirds(shares: Sequence[float] | None) -> str:
    """Coverage in per cent, in each third of the horizon."""
    return "" if shares is None else " / ".join(f"{100 * one:.0f}" for one in shares)
