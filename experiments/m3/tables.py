"""The scores of forecasts, their tables in Markdown, and a figure of accuracy against CPU time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from experiments.m3.collection import KINDS, Collection, mase, smape
from jax_lstm import forecast

PUBLISHED = {
    "Theta, the competition's winner (published)": (16.90, 8.96, 13.85, 4.41, 13.01),
    "N-BEATS (published)": (15.93, 8.84, 13.11, 4.24, 12.37),
}

PUBLISHED_MASE = {
    "TiRex, 35 million parameters (published)": (2.710, 1.154, 0.831),
    "TimesFM 2.0, 500 million (published)": (2.822, 1.202, 0.832),
    "Chronos-Bolt base, 205 million (published)": (2.906, 1.289, 0.851),
    "Chronos-Bolt tiny, 9 million (published)": (3.368, 1.365, 0.874),
    "Chronos-T5 large, 710 million (published)": (3.024, 1.187, 0.856),
    "seasonal naive (published next to them)": (3.172, 1.425, 1.146),
}
"""Models not fitted to M3, on its yearly, quarterly and monthly series; the README says where this is from."""


class Scores(NamedTuple):
    """The scores of a method on one frequency: errors by series, coverage by level, and CPU seconds."""

    smape: np.ndarray
    mase: np.ndarray
    coverage: dict[float, float]
    seconds: float


def judge(collection: Collection, made: forecast.Forecasts, seconds: float) -> Scores:
    """The scores of forecasts."""
    values = np.stack(made.forecast)
    coverage = {
        level: float(
            np.mean(
                (collection.actuals >= np.stack(made.lower[level]))
                & (collection.actuals <= np.stack(made.upper[level]))
            )
        )
        for level in made.lower
    }
    return Scores(smape(collection, values), mase(collection, values), coverage, seconds)


def overall(parts: dict[str, Scores], horizons: dict[str, int]) -> np.ndarray:
    """The sMAPE over all forecast values, of every draw of a bootstrap over series; the first is that of all series."""
    rng = np.random.default_rng(0)
    totals, counts = np.zeros(1001), 0
    for kind, one in parts.items():
        drawn = np.concatenate(
            [[one.smape.mean()], one.smape[rng.integers(0, len(one.smape), (1000, len(one.smape)))].mean(axis=1)]
        )
        totals += drawn * len(one.smape) * horizons[kind]
        counts += len(one.smape) * horizons[kind]
    return totals / counts


def by_method(found: dict[str, dict[str, Scores]]) -> dict[str, dict[str, Scores]]:
    """The same scores, by method first."""
    return {name: {kind: found[kind][name] for kind in found} for name in next(iter(found.values()))}


def report(
    found: dict[str, dict[str, Scores]], horizons: dict[str, int], against: str, *, published: bool = False
) -> str:
    """Tables in Markdown: sMAPE with its bootstrap interval, MASE, coverage and CPU seconds."""
    methods = by_method(found)
    draws = {name: overall(parts, horizons) for name, parts in methods.items()}
    head = " | ".join(found)
    lines = [f"| sMAPE | {head} | overall | 95 % of resamples | less {against} |", "|---" * (len(found) + 4) + "|"]
    for name, parts in methods.items():
        low, high = np.quantile(draws[name][1:], [0.025, 0.975])
        less = np.quantile((draws[name] - draws[against])[1:], [0.025, 0.975])
        cells = " | ".join(f"{one.smape.mean():.2f}" for one in parts.values())
        lines.append(
            f"| {name} | {cells} | {draws[name][0]:.2f} | {low:.2f} to {high:.2f} | {less[0]:+.2f} to {less[1]:+.2f} |"
        )
    if published and tuple(found) == KINDS:
        lines += [
            f"| {name} | {' | '.join(f'{one:.2f}' for one in values)} | | |" for name, values in PUBLISHED.items()
        ]
    lines += ["", f"| MASE | {head} | CPU seconds |", "|---" * (len(found) + 2) + "|"]
    for name, parts in methods.items():
        cells = " | ".join(f"{np.nanmean(one.mase):.3f}" for one in parts.values())
        lines.append(f"| {name} | {cells} | {sum(one.seconds for one in parts.values()):.0f} |")
    if published and tuple(found) == KINDS:
        lines += [
            f"| {name} | {' | '.join(f'{one:.3f}' for one in values)} | | |" for name, values in PUBLISHED_MASE.items()
        ]
    lines += ["", f"| coverage of 80 / 95 % intervals | {head} |", "|---" * (len(found) + 1) + "|"]
    for name, parts in methods.items():
        if all(one.coverage for one in parts.values()):
            cells = " | ".join(
                " / ".join(f"{100 * share:.0f}" for share in one.coverage.values()) for one in parts.values()
            )
            lines.append(f"| {name} | {cells} |")
    return "\n".join(lines) + "\n"


def picture(found: dict[str, dict[str, Scores]], horizons: dict[str, int]) -> Figure:
    """The overall sMAPE with its bootstrap interval against CPU seconds, and published figures as lines."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for name, parts in by_method(found).items():
        draws = overall(parts, horizons)
        low, high = np.quantile(draws[1:], [0.025, 0.975])
        seconds = sum(one.seconds for one in parts.values())
        axes.errorbar(seconds, draws[0], [[draws[0] - low], [high - draws[0]]], marker="o", capsize=3, label=name)
    for name, values in PUBLISHED.items():
        axes.axhline(values[-1], color="grey", linestyle="--", linewidth=1)
        axes.annotate(name, (1, values[-1]), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8)
    axes.set(xscale="log", xlabel="CPU seconds for all 3,003 series", ylabel="sMAPE over all forecast values")
    axes.legend(fontsize=8)
    return figure
