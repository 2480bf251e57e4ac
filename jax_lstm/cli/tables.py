"""The options of every command that reads a table, and the table."""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import TYPE_CHECKING, Any

from jax_lstm.cli.printing import plain

if TYPE_CHECKING:
    from jax_lstm.forecast import Model, Table

MOST_CUTOFFS = 1000
"""The most cutoffs of an evaluation."""

_OPTIONS = {
    "value": ("NAME", "the column to forecast (default: y, value or the only column of numbers)"),
    "time": ("NAME", "the column of times, or several such as year,month (default: ds, or the first with dates); "
             "none: rows are in order"),
    "id": ("NAME", "the columns that name the series, such as region,store (default: unique_id); none: one series"),
    "every": ("PERIOD", "put times into periods, such as 15min, 1h, 1d, 1w, 1month"),
    "start": ("TIME", "the first time that is read"),
    "end": ("TIME", "the last time that is read"),
    "zone": ("ZONE", "of times that are written without one, such as Europe/Berlin"),
    "sheet": ("NAME", "the sheet of a workbook, or the file in a zip archive (default: the first)"),
    "encoding": ("NAME", "of text that is not UTF-8, such as shift_jis, gb18030 or cp1251"),
}  # fmt: skip
_CHOICES = {
    "gaps": (("missing", "zero"), "what times without a row are (default: missing, refused if they are most)"),
    "duplicates": (("sum", "mean", "min", "max", "first", "last"), "what is taken of rows of the same time"),
    "decimal": (("point", "comma"), "what the file writes in numbers, where it is ambiguous"),
    "dates": (("day-first", "month-first"), "how to read 01/02/2020, where it is ambiguous"),
}
_COVARIATES = {
    "past": "covariates that are known only up to now",
    "future": "covariates that are known ahead, in rows at the end without a value",
    "static": "covariates that do not change within a series",
}
NAMES = (*_OPTIONS, *_CHOICES, *_COVARIATES, "wide", "season")
"""The arguments of `read_table` that are options."""

_ARGUMENT = re.compile(rf"\b({'|'.join((*NAMES, 'like'))})=(?:\"([^\"]*)\"|True)?")


def add_table_options(command: argparse.ArgumentParser) -> None:
    """Add the options that say what is what in a table."""
    command.add_argument(
        "data",
        metavar="DATA",
        help="a table: CSV or other text, Excel, Parquet, Feather, JSON, also as .gz or .zip; - for standard input",
    )
    table = command.add_argument_group("the table")
    for name, (metavar, text) in _OPTIONS.items():
        table.add_argument(f"--{name}", metavar=metavar, help=text)
    for name, (choices, text) in _CHOICES.items():
        table.add_argument(f"--{name}", choices=choices, help=text)
    for name, text in _COVARIATES.items():
        table.add_argument(f"--{name}", nargs="+", default=[], metavar="NAME", help=text)
    table.add_argument("--wide", action="store_true", help="every column of numbers is a series")
    table.add_argument(
        "--season",
        type=_periods,
        metavar="N",
        help="the period or periods, such as 24,168; 1 for none (default: inferred)",
    )
    table.add_argument(
        "--holidays", metavar="COUNTRY", help="a covariate that marks the public holidays of a country, such as DE"
    )
    command.add_argument("--quiet", action="store_true", help="print no progress and nothing on how the table was read")


def _periods(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(one) for one in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no period: expected numbers such as 12 or 24,168") from None


def as_options(message: str) -> str:
    """A message about arguments of Python as one about options of the command line.

    >>> as_options('give id="shop", or take each with wide=True: time= names no column')
    'give --id shop, or take each with --wide: --time names no column'
    """

    def option(match: re.Match[str]) -> str:
        value = match[2]
        shown = "" if value is None else f" '{value}'" if re.search(r"[^\w,./:+-]", value) else f" {value}"
        return f"--{match[1]}{shown}"

    return _ARGUMENT.sub(option, message)


def read_table(given: argparse.Namespace, model: Model | None = None) -> Table:
    """The table that the options name; what they leave open is as in the table that the model was fitted to."""
    from jax_lstm import forecast

    options = {name: getattr(given, name) for name in NAMES}
    about = {} if model is None else model.about
    if "roles" in about:
        options["like"] = forecast.Roles(**{name: _tuples(columns) for name, columns in about["roles"].items()})
        options["wide"] = given.wide or (about["wide"] and given.value is None)
        options["season"] = given.season or about["season"]
    try:
        table = forecast.read_table(given.data, **options)
    except ValueError as error:
        raise ValueError(as_options(str(error))) from None
    notes = [describe(table), *table.notes[1:]]
    fitted = about.get("calendar", {})
    if fitted and (fitted["kind"], fitted["step"]) != table.calendar[:2]:
        name = forecast.Calendar(**{**fitted, "slots": tuple(fitted["slots"])}).name
        notes.append(f"the model was fitted to times that are {name}: these are {table.calendar.name}")
    tell(given, *notes)
    return table


def _tuples(columns: Any) -> Any:
    return tuple(columns) if isinstance(columns, list) else columns


def tell(given: argparse.Namespace, *notes: str) -> None:
    """Print notes to the standard error, one in each line, unless that is not wanted."""
    if not given.quiet:
        for note in notes:
            print(as_options(plain(note, longest=2000)), file=sys.stderr)


def about_table(given: argparse.Namespace, table: Table) -> dict[str, Any]:
    """What a fitted model keeps of its table, so that another one is read alike."""
    calendar = table.calendar._asdict()
    kept = {"roles": table.roles._asdict(), "wide": given.wide, "season": given.season, "calendar": calendar}
    return json.loads(json.dumps(kept | {"fitted to": describe(table)}))


def describe(table: Table) -> str:
    """What was read, in one line: how much, of which frequency and season."""
    lengths = [len(one) for one in table.series]
    values = "value" if max(lengths) == 1 else "values"
    if len(lengths) == 1:
        times = table.calendar.texts(table.times(0)[[0, -1]])
        span = f"at {times[0]}" if lengths[0] == 1 else f"from {times[0]} to {times[1]}"
        first = f"{plain(table.roles.value or table.names[0], 60)}: {lengths[0]:,} {values} {span}"
    else:
        spread = f"{min(lengths):,} to {max(lengths):,}" if min(lengths) < max(lengths) else f"{lengths[0]:,}"
        first = f"{len(lengths):,} series of {spread} {values}"
    return f"{first}; {table.notes[0]}"


def read_with_horizon(given: argparse.Namespace, model: Model | None = None) -> tuple[Table, int]:
    """The table and how many steps ahead it is forecast; holidays are added, and covariates without effect are told."""
    from jax_lstm import forecast

    check_horizon(given)
    table = read_table(given, model)
    horizon = given.horizon or forecast.default_horizon(table, None if model is None else model.horizon)
    if given.holidays is not None:
        try:
            table = forecast.with_holidays(table, given.holidays, horizon)
        except ValueError as error:
            raise ValueError(str(error).replace("holidays=", "--holidays")) from None
    unused = [name for kind in forecast.unused_covariates(table, model) for name in getattr(table.roles, kind)]
    if unused:
        tell(given, f"covariates have no effect on the forecasts of this model: {', '.join(unused)}")
    return table, horizon


def check_horizon(given: argparse.Namespace) -> None:
    """Refuse a horizon that is none, before anything is read."""
    from jax_lstm import forecast

    if given.horizon is not None:
        try:
            forecast.check_horizon(given.horizon)
        except ValueError as error:
            raise ValueError(f"--{error}") from None


def levels_of(given: argparse.Namespace) -> tuple[float, ...]:
    """The levels asked for, from per cent to shares."""
    for level in given.level:
        if not 1 <= level < 100:
            raise ValueError(f"--level is {level:g}, expected per cent from 1 to below 100, such as 80")
    return tuple(sorted({level / 100 for level in given.level}))
