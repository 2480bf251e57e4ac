"""`jax-lstm forecast` and `jax-lstm fit`: from a table to forecasts, with no fitting or with a fitted model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jax_lstm.cli import outputs, reports, tables
from jax_lstm.cli.printing import plain
from jax_lstm.cli.progress import over_series

if TYPE_CHECKING:
    from jax_lstm.forecast import Forecasts, Table

EFFORTS = ("quick", "normal", "thorough")
METHODS = (
    "combined",
    "lstm",
    "theta",
    "level and season",
    "seasonal naive",
    "seasonal mean",
    "seasonal drift",
    "damped trend",
    "line",
    "naive",
    "drift",
    "median",
    "zero",
    "intermittent",
)


def add_commands(commands: Any) -> None:
    """Add this group's commands to the parser."""
    ahead = commands.add_parser(
        "forecast",
        help="forecast the series of a table, with no fitting or with a fitted model",
        description="Forecast the series of a table, with intervals: with no fitting, or with what jax-lstm fit saved.",
    )
    tables.add_table_options(ahead)
    add_forecast_options(ahead)
    ahead.add_argument(
        "--level", type=float, nargs="+", default=[80, 95], metavar="P", help="intervals in per cent (default: 80 95)"
    )
    ahead.add_argument(
        "--method",
        choices=METHODS,
        default="combined",
        help="use a single method, e.g. the one that evaluate recommends (default: %(default)s)",
    )
    ahead.add_argument(
        "--csv", type=Path, metavar="OUT.csv", help="save the forecasts, a row for each series and time; - prints them"
    )
    ahead.add_argument("--json", type=Path, metavar="OUT.json", help="the same as JSON")
    ahead.add_argument("--plot", type=Path, metavar="OUT.png", help="save a picture")
    ahead.set_defaults(command=_forecast)

    fit = commands.add_parser(
        "fit",
        help="fit a forecaster to the series of a table",
        description="Fit a forecaster to the series of a table; new weights are kept only if held-out error falls.",
    )
    tables.add_table_options(fit)
    add_horizon_option(fit)
    fit.add_argument("--effort", choices=EFFORTS, default="normal", help="how long to fit (default: %(default)s)")
    fit.add_argument("--seed", type=int, default=0, metavar="N", help="the seed of minibatches (default: %(default)s)")
    fit.add_argument(
        "-o", "--out", type=Path, required=True, metavar="MODEL.safetensors", help="where to save the forecaster"
    )
    fit.set_defaults(command=_fit)


def add_horizon_option(command: argparse.ArgumentParser) -> None:
    """Add how far ahead is forecast."""
    command.add_argument(
        "--horizon",
        type=int,
        metavar="N",
        help="how many steps ahead (default: as many as --future is known, or a season)",
    )


def add_forecast_options(command: argparse.ArgumentParser) -> None:
    """Add the options of every command that forecasts."""
    command.add_argument(
        "--model", type=Path, metavar="MODEL.safetensors", help="what jax-lstm fit saved (default: no fitting)"
    )
    add_horizon_option(command)


def _forecast(given: argparse.Namespace) -> None:
    levels = tables.levels_of(given)
    targets = {"--csv": given.csv, "--json": given.json, "--plot": given.plot}
    outputs.check_outputs(targets, [given.data, given.model])
    from jax_lstm import forecast

    model = None if given.model is None else forecast.load(given.model)
    table, horizon = tables.read_with_horizon(given, model)
    with over_series(len(table.series), "series", quiet=given.quiet) as progress:
        made = forecast.predict(table, horizon, levels=levels, model=model, method=given.method, progress=progress)
    if not any(str(path) == "-" for path in targets.values()):
        print(reports.forecast_report(made, table))
    if given.csv is not None:
        outputs.write_csv(given.csv, reports.forecast_columns(made, table))
    if given.json is not None:
        outputs.write_json(given.json, _as_json(made, table))
    if given.plot is not None:
        from jax_lstm import plot

        outputs.write_picture(given.plot, plot.forecasts(made, table))


def _as_json(made: Forecasts, table: Table) -> dict[str, Any]:
    series = []
    for number, name in enumerate(made.names):
        times = table.calendar.texts(table.times_ahead(number, len(made.forecast[number])))
        ends = {
            f"{100 * level:g}": {"low": made.lower[level][number], "high": made.upper[level][number]}
            for level in made.lower
        }
        series.append(
            {
                "name": name,
                "time": times,
                "forecast": made.forecast[number],
                "intervals": ends,
                "note": made.notes[number],
            }
        )
    return {"frequency": table.calendar.name, "season": table.season, "read": list(table.notes), "series": series}


def _fit(given: argparse.Namespace) -> None:
    outputs.check_outputs({"--out": given.out}, [given.data])
    import jax

    from jax_lstm import forecast

    table, horizon = tables.read_with_horizon(given)
    progress = not given.quiet and sys.stderr.isatty()
    model = forecast.fit(table, horizon, key=jax.random.key(given.seed), effort=given.effort, progress=progress)
    about = tables.about_table(given, table) | {"options": {"effort": given.effort, "seed": given.seed}}
    forecast.save(given.out, model._replace(about={**model.about, **about}))
    print(plain(model.report))
    print(plain(f"saved {given.out}: forecast with jax-lstm forecast {given.data} --model {given.out}"))
