"""`jax-lstm evaluate` and `jax-lstm explain`: how good forecasts would have been, and what they are made of."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jax_lstm.cli import outputs, reports, tables
from jax_lstm.cli.forecasting import EFFORTS, add_forecast_options
from jax_lstm.cli.progress import over_series

if TYPE_CHECKING:
    from jax_lstm.forecast import Evaluation, Forecasts, Model, Table

SHOWN, DRAWN = (0.8, 0.95), (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""The levels of intervals that are printed, and those of the picture of their calibration."""

MOST_METHODS = 5
"""How many methods the picture of an explanation shows, those with the largest weights."""


def add_commands(commands: Any) -> None:
    """Add this group's commands to the parser."""
    evaluate = commands.add_parser(
        "evaluate",
        help="test forecasts on the past of a table, and compare them with simple methods",
        description="Forecast from several cutoffs in the past, and compare with simple methods.",
    )
    tables.add_table_options(evaluate)
    add_forecast_options(evaluate)
    evaluate.add_argument(
        "--effort", choices=EFFORTS, help="fit a model to the values before the first cutoff (default: no fitting)"
    )
    evaluate.add_argument(
        "--cutoffs",
        "--origins",
        type=int,
        default=12,
        metavar="N",
        help="the most cutoffs in the past of each series, from which it is forecast (default: %(default)s)",
    )
    evaluate.add_argument("--seed", type=int, default=0, metavar="N", help="the seed of the fit (default: %(default)s)")
    evaluate.add_argument(
        "--csv",
        type=Path,
        metavar="OUT.csv",
        help="save the cross-validation, a row for each series, cutoff and step; - prints it",
    )
    evaluate.add_argument("--json", type=Path, metavar="OUT.json", help="save the scores and the verdict as JSON")
    evaluate.add_argument(
        "--plot", type=Path, metavar="OUT.png", help="save a picture of the coverage of the intervals"
    )
    evaluate.set_defaults(command=_evaluate)

    explain = commands.add_parser(
        "explain",
        help="draw what a forecast is made of, and what the LSTM keeps and lets go",
        description="Draw what the forecast of one series is made of, and what an LSTM takes in and keeps.",
    )
    tables.add_table_options(explain)
    add_forecast_options(explain)
    explain.add_argument("--series", metavar="NAME", help="which series (default: the first)")
    explain.add_argument("--plot", type=Path, required=True, metavar="OUT.png", help="save a picture")
    explain.set_defaults(command=_explain)


def _evaluate(given: argparse.Namespace) -> None:
    targets = {"--csv": given.csv, "--json": given.json, "--plot": given.plot}
    outputs.check_outputs(targets, [given.data, given.model])
    if not 1 <= given.cutoffs <= tables.MOST_CUTOFFS:
        most = f"1 to {tables.MOST_CUTOFFS:,}: each forecasts every series once more"
        raise ValueError(f"--cutoffs is {given.cutoffs}, expected {most}")
    if given.model is not None and given.effort is not None:
        raise ValueError("--model and --effort exclude each other: test a model that is there, or fit one")
    import jax

    from jax_lstm import forecast

    model = None if given.model is None else forecast.load(given.model)
    table, horizon = tables.read_with_horizon(given, model)
    with over_series(len(table.series), "forecasts", quiet=given.quiet) as progress:
        tested = forecast.evaluate(
            table,
            horizon,
            cutoffs=given.cutoffs,
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
        outputs.write_csv(given.csv, reports.evaluation_columns(tested, table))
    if given.json is not None:
        content = {"horizon": horizon, "scores": tested.scores, "verdict": tested.verdict, "warnings": tested.warnings}
        coverage = {f"{100 * level:g}": share for level, share in tested.coverage.items()}
        outputs.write_json(
            given.json, content | {"coverage": coverage, "series": tested.names, "by series": tested.by_series}
        )
    if given.plot is not None:
        from jax_lstm import plot

        shown, made = _held_out(table, tested, horizon, model)
        outputs.write_picture(given.plot, plot.evaluation(tested, table, shown, made))


def _held_out(table: Table, tested: Evaluation, horizon: int, model: Model | None) -> tuple[list[int], Forecasts]:
    """The series that were forecast best, middling and worst, and forecasts of their last steps."""
    from jax_lstm import forecast

    errors = tested.by_series["combined"]["MASE"]
    order = [int(number) for number in np.argsort(errors, kind="stable") if np.isfinite(errors[number])]
    order = [number for number in order if len(table.series[number]) > horizon] or [0]
    shown = list(dict.fromkeys([order[0], order[len(order) // 2], order[-1]]))
    return shown, forecast.predict(table.before_end(horizon, shown), horizon, model=model)


def _explain(given: argparse.Namespace) -> None:
    outputs.check_outputs({"--plot": given.plot}, [given.data, given.model])
    from jax_lstm import forecast, plot

    model = None if given.model is None else forecast.load(given.model)
    table, horizon = tables.read_with_horizon(given, model)
    if given.series is not None and given.series not in table.names:
        shown = ", ".join(table.names[:5]) + (", …" if len(table.names) > 5 else "")
        raise ValueError(f"--series is {given.series!r}, expected one of {shown}")
    number = 0 if given.series is None else table.names.index(given.series)
    made = forecast.predict(table, horizon, model=model)
    weights = forecast.method_weights(table, horizon, series=number, model=model)
    best = list(weights)[:MOST_METHODS]
    alone = {name: forecast.predict(table, horizon, model=model, method=name).forecast[number] for name in best}
    rows, values = forecast.explain(table, series=number, model=model)
    outputs.write_picture(given.plot, plot.explanation(made, table, number, alone, rows, values, weights=weights))
