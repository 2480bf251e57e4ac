"""`jax-lstm fit`, `forecast` and `explain`: a forecaster for a series in a CSV file."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from jax_lstm import forecast
from jax_lstm._files import replacing
from jax_lstm.forecast import Calendar, Evaluation, Forecaster, Table


def add_commands(commands) -> None:
    """Add this group's commands to the parser."""
    fit = commands.add_parser(
        "fit",
        help="train a forecaster on a column of a CSV file, test it on the past and compare it with simple methods",
        description="Train LSTMs, with smoothing beside them, on a series, test them in the past, and compare them with simple methods.",
    )
    fit.add_argument("data", type=Path, metavar="DATA.csv", help="a header and one line for each time; commas, semicolons, tabs or bars")
    fit.add_argument("--column", required=True, metavar="NAME", help="the column to forecast")
    fit.add_argument("--time", metavar="NAME", help="the column of times: numbers, or ISO dates such as 1949-01 or 1949-01-31 12:00")
    fit.add_argument("--inputs", nargs="+", default=[], metavar="NAME", help="other columns to learn from; their future is not needed")
    fit.add_argument("--horizon", type=int, default=12, metavar="N", help="how many steps ahead to forecast (default: %(default)s)")
    fit.add_argument("--season", type=int, metavar="N", help="the period, 1 for none (default: as the dates say, 12 for months; else 12)")
    fit.add_argument("--seed", type=int, default=0, metavar="N", help="the seed of weights and minibatches (default: %(default)s)")
    fit.add_argument("-o", "--out", type=Path, required=True, metavar="MODEL.safetensors", help="where to keep the forecaster")
    fit.set_defaults(command=_fit)

    ahead = commands.add_parser(
        "forecast",
        help="forecast what follows a CSV file, with intervals",
        description="Forecast what follows the last row of a CSV file, with intervals of 80 % and 95 %.",
    )
    ahead.add_argument("--steps", type=int, metavar="N", help="how many steps (default: the horizon it was fitted for)")
    ahead.add_argument("--csv", type=Path, metavar="OUT.csv", help="save the forecast as CSV")
    ahead.set_defaults(command=_forecast)

    explain = commands.add_parser(
        "explain",
        help="draw the gates of a forecaster over time, beside the series",
        description="Draw what the first LSTM of the ensemble thinks at each time: its gates and states beside the series.",
    )
    explain.set_defaults(command=_explain)
    for command, required in ((ahead, False), (explain, True)):
        command.add_argument("model", type=Path, metavar="MODEL.safetensors", help="what jax-lstm fit kept")
        command.add_argument("data", type=Path, metavar="DATA.csv", help="the same columns, up to now")
        command.add_argument("--plot", type=Path, required=required, metavar="OUT.png", help="save a picture")


def _fit(given: argparse.Namespace) -> None:
    if not given.out.parent.is_dir():
        raise ValueError(f"--out is {given.out}, but there is no folder {given.out.parent}: make it first")
    table = forecast.read_csv(given.data, given.column, time=given.time, inputs=given.inputs)
    usual = None if table.calendar is None else table.calendar.season
    season = given.season if given.season is not None else usual or 12
    rows = len(table.values)
    first, last = table.times(np.array([0, rows - 1]))
    print(f"{given.column}: {rows} values from {first} to {last}, season {season}, {given.horizon} steps ahead")
    missing = int(np.isnan(table.values).sum())
    if missing:
        print(f"{missing} values are missing: they are interpolated where they are inputs, and no forecast is judged by them")
    model, test = forecast.backtest(table.values, season=season, horizon=given.horizon, seed=given.seed)
    calendar = None if table.calendar is None else table.calendar._asdict()
    about = {"column": given.column, "time": given.time, "inputs": given.inputs, "calendar": calendar, "backtest": test.scores}
    forecast.save(given.out, model._replace(about=about))
    print("\n".join(_report(test)))
    print(f"what is saved takes {model.share:.0%} of a forecast from the LSTMs and {1 - model.share:.0%} from exponential smoothing")
    print(f"saved {given.out}")


def _report(test: Evaluation) -> list[str]:
    """The backtest as text, with a plain word on whether a simple method is better."""
    origins = test.origins
    lines = [f"backtest at {len(origins)} origins, after {origins[0]} to {origins[-1]} values, each with a model of what was known there:"]
    lines += ["", f"{'':24}{'MAE':>12}{'RMSE':>12}{'MASE':>8}"]
    lines += [f"{name:24}{one['MAE']:12.4g}{one['RMSE']:12.4g}{one['MASE']:8.3f}" for name, one in test.scores.items()]
    lines += ["", *(f"the {level} % interval held {share:.0%} of the values" for level, share in test.coverage.items())]
    ours = test.scores[forecast.OURS]["MAE"]
    best = min(forecast.BASELINES, key=lambda name: test.scores[name]["MAE"])
    theirs = test.scores[best]["MAE"]
    if theirs < ours:
        lines.append(f"{best} is better here (MAE {theirs:.4g} against {ours:.4g}): prefer it")
    else:
        lines.append(f"this is better than the best simple method, {best} (MAE {ours:.4g} against {theirs:.4g})")
    return lines


def _open(given: argparse.Namespace) -> tuple[Forecaster, Table, int]:
    """The model, the data, and which row of the data it was fitted to the first row here is."""
    model = forecast.load(given.model)
    about = model.about
    table = forecast.read_csv(given.data, about["column"], time=about["time"], inputs=about["inputs"])
    if table.calendar is None:
        return model, table, 0
    fitted = Calendar(**about["calendar"])
    start = (table.calendar.first - fitted.first) / fitted.step
    if table.calendar._replace(first=0) != fitted._replace(first=0) or start != round(start):
        raise ValueError(
            f"{given.data} has other times than the model was fitted to: expected steps of {fitted.step:g} {fitted.unit}".rstrip()
        )
    return model, table, round(start)


def _forecast(given: argparse.Namespace) -> None:
    model, table, start = _open(given)
    steps = model.horizon if given.steps is None else given.steps
    if not 1 <= steps <= model.horizon:
        raise ValueError(f"--steps is {steps}, but the model was fitted for 1 to {model.horizon}: fit it again with --horizon {steps}")
    rows = len(table.values)
    made = forecast.predict(model, table.values, start=start)
    times = table.times(np.arange(rows, rows + steps))
    columns = {"forecast": made.values} | {
        f"{end} {level} %": side for level, pair in made.intervals.items() for end, side in zip(("low", "high"), pair, strict=True)
    }
    lines = [[str(time), *(f"{values[step]:.6g}" for values in columns.values())] for step, time in enumerate(times)]
    for line in [[model.about["time"] or "row", *columns], *lines]:
        print("".join(f"{cell:>12}" if place else f"{cell:20}" for place, cell in enumerate(line)))
    if given.csv is not None:
        with replacing(given.csv) as temporary, open(temporary, "w", newline="") as file:
            csv.writer(file).writerows([[model.about["time"] or "row", *columns], *lines])
    if given.plot is not None:
        from jax_lstm import plot

        shown = np.arange(max(0, rows - 8 * steps), rows)
        intervals = {f"{level} %": (low[:steps], high[:steps]) for level, (low, high) in made.intervals.items()}
        axes = plot.forecast(table.times(shown), table.values[shown, 0], times, {"forecast": made.values[:steps]}, intervals=intervals)
        axes.set_ylabel(model.about["column"])
        _save(axes, given.plot)


def _explain(given: argparse.Namespace) -> None:
    from jax_lstm import plot

    model, table, start = _open(given)
    rows = np.arange(model.window - 1, len(table.values))
    axes = plot.gates(forecast.explain(model, table.values, start=start), table.values[rows, 0], times=table.times(rows))
    axes[0].set_ylabel(model.about["column"])
    _save(axes[0], given.plot)


def _save(axes, path: Path) -> None:
    with replacing(path) as temporary:
        axes.figure.savefig(temporary, format=path.suffix[1:] or "png")
    print(f"saved {path}")
