"""`jax-lstm evaluate` and `jax-lstm explain`: how good forecasts would have been, and what they are made of."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jax_lstm.cli import outputs, reports, tables
from jax_lstm.cli.forecasting import EFFORTS
from jax_lstm.cli.progress import over_series

if TYPE_CHECKING:
    from jax_lstm.forecast import Evaluation, Forecaster, Forecasts, Table

SHOWN, DRAWN = (0.8, 0.95), (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""The levels of intervals that are printed, and those of the picture of their calibration."""

PARTS = ("lstm", "theta", "level and season")
"""The methods that a forecast combines."""


def add_commands(commands: Any) -> None:
    """Add this group's commands to the parser."""
    evaluate = commands.add_parser(
        "evaluate",
        help="test forecasts on the past of a table, and compare them with simple methods",
        description="Forecast from several times in the past what came next, and compare with simple methods.",
    )
    tables.add_table_options(evaluate)
    evaluate.add_argument(
        "--model", type=Path, metavar="MODEL.safetensors", help="what jax-lstm fit kept (default: no fitting)"
    )
    evaluate.add_argument(
        "--effort", choices=EFFORTS, help="fit a model to what lies before the first test (default: no fitting)"
    )
    evaluate.add_argument(
        "--horizon",
        type=int,
        metavar="N",
        help="how many steps ahead (default: as far as --future is known, or a season)",
    )
    evaluate.add_argument(
        "--origins", type=int, default=12, metavar="N", help="at most so many times in the past (default: %(default)s)"
    )
    evaluate.add_argument("--seed", type=int, default=0, metavar="N", help="the seed of the fit (default: %(default)s)")
    evaluate.add_argument(
        "--csv", type=Path, metavar="OUT.csv", help="save the scores, a row for each series and method; - prints them"
    )
    evaluate.add_argument("--json", type=Path, metavar="OUT.json", help="the same as JSON, with the verdict")
    evaluate.add_argument("--plot", type=Path, metavar="OUT.png", help="save a picture of how often the intervals held")
    evaluate.set_defaults(command=_evaluate)

    explain = commands.add_parser(
        "explain",
        help="draw what a forecast is made of, and what the LSTM keeps and lets go",
        description="Draw what the forecast of one series is made of, and what an LSTM takes in and keeps.",
    )
    tables.add_table_options(explain)
    explain.add_argument(
        "--model", type=Path, metavar="MODEL.safetensors", help="what jax-lstm fit kept (default: no fitting)"
    )
    explain.add_argument("--series", metavar="NAME", help="which series (default: the first)")
    explain.add_argument(
        "--horizon",
        type=int,
        metavar="N",
        help="how many steps ahead (default: as far as --future is known, or a season)",
    )
    explain.add_argument("--plot", type=Path, required=True, metavar="OUT.png", help="save a picture")
    explain.set_defaults(command=_explain)


def _evaluate(given: argparse.Namespace) -> None:
    targets = {"--csv": given.csv, "--json": given.json, "--plot": given.plot}
    outputs.check_outputs(targets, [given.data, given.model])
    if given.origins < 1:
        raise ValueError(f"--origins is {given.origins}, expected at least 1")
    if given.model is not None and given.effort is not None:
        raise ValueError("--model and --effort exclude each other: test a model that is there, or fit one")
    import jax

    from jax_lstm import forecast

    model = None if given.model is None else forecast.load(given.model)
    table = tables.read_table(given, model)
    horizon = tables.horizon_of(given, table)
    with over_series(len(table.series), "forecasts", quiet=given.quiet) as progress:
        tested = forecast.evaluate(
            table.panel(),
            horizon,
            origins=given.origins,
            levels=SHOWN if given.plot is None else DRAWN,
            model=model,
            effort=given.effort,
            key=jax.random.key(given.seed),
            progress=progress,
        )
    printed = tested._replace(
        coverage={level: share for level, share in tested.coverage.items() if level in SHOWN},
        warnings=tuple(
            warning
            for warning in tested.warnings
            if not any(f" {level:.0%} " in warning for level in set(DRAWN) - set(SHOWN))
        ),
    )
    if not any(str(path) == "-" for path in targets.values()):
        print(f"{horizon} steps ahead; {reports.evaluation_report(printed)}")
    if given.csv is not None:
        outputs.write_csv(given.csv, _rows(tested, table))
    if given.json is not None:
        content = {"horizon": horizon, "scores": tested.scores, "verdict": tested.verdict, "warnings": tested.warnings}
        coverage = {f"{100 * level:g}": share for level, share in tested.coverage.items()}
        outputs.write_json(
            given.json, content | {"coverage": coverage, "series": tested.names, "by series": tested.by_series}
        )
    if given.plot is not None:
        from jax_lstm import plot

        shown, made = _held_out(table, tested, horizon, model)
        outputs.write_picture(given.plot, plot.evaluation(table, tested, shown, made)[0])


def _held_out(table: Table, tested: Evaluation, horizon: int, model: Forecaster | None) -> tuple[list[int], Forecasts]:
    """The series that were forecast best, middling and worst, and forecasts of their last steps."""
    from jax_lstm import forecast

    errors = tested.by_series["combined"]["MASE"]
    order = [int(number) for number in np.argsort(errors, kind="stable") if np.isfinite(errors[number])]
    order = [number for number in order if len(table.series[number]) > horizon] or [0]
    shown = list(dict.fromkeys([order[0], order[len(order) // 2], order[-1]]))
    return shown, forecast.predict(table.before_end(horizon, shown).panel(), horizon, model=model)


def _rows(tested: Evaluation, table: Table) -> dict[str, list[Any]]:
    """The scores by series and method, as columns."""
    methods = list(tested.by_series)
    columns: dict[str, list[Any]] = {
        table.roles.id or "series": [name for name in tested.names for _ in methods],
        "method": [method for _ in tested.names for method in methods],
    }
    for metric in tested.by_series[methods[0]]:
        columns[metric] = [
            float(tested.by_series[method][metric][number]) for number in range(len(tested.names)) for method in methods
        ]
    return columns


def _explain(given: argparse.Namespace) -> None:
    outputs.check_outputs({"--plot": given.plot}, [given.data, given.model])
    from jax_lstm import forecast, plot

    model = None if given.model is None else forecast.load(given.model)
    table = tables.read_table(given, model)
    if given.series is not None and given.series not in table.names:
        shown = ", ".join(table.names[:5]) + (", …" if len(table.names) > 5 else "")
        raise ValueError(f"--series is {given.series!r}, expected one of {shown}")
    number = 0 if given.series is None else table.names.index(given.series)
    panel, horizon = table.panel(), tables.horizon_of(given, table)
    made = forecast.predict(panel, horizon, model=model)
    alone = {name: forecast.predict(panel, horizon, model=model, method=name).centre[number] for name in PARTS}
    rows, values = forecast.explain(panel, series=number, model=model)
    outputs.write_picture(given.plot, plot.explanation(table, number, made, alone, rows, values)[0])
