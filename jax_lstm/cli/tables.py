"""The options of every command that reads a table, and the table."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jax_lstm.forecast import Forecaster, Table


def add_table_options(command: argparse.ArgumentParser) -> None:
    """Add the options that say what is what in a table."""
    command.add_argument(
        "data",
        metavar="DATA.csv",
        help="one line for each time, or - for standard input; any usual separator and encoding",
    )
    table = command.add_argument_group("the table")
    table.add_argument("--column", metavar="NAME", help="what to forecast (default: y, or the only column of numbers)")
    table.add_argument(
        "--time", metavar="NAME", help="the times (default: ds, or the first column of dates); none: rows are in order"
    )
    table.add_argument("--id", metavar="NAME", help="the series of a row (default: unique_id, where there is one)")
    table.add_argument("--wide", action="store_true", help="every column of numbers is a series")
    table.add_argument(
        "--inputs", nargs="+", default=[], metavar="NAME", help="columns to learn from, whose future is not known"
    )
    table.add_argument(
        "--future",
        nargs="+",
        default=[],
        metavar="NAME",
        help="columns known ahead, in rows at the end without a value",
    )
    table.add_argument(
        "--static", nargs="+", default=[], metavar="NAME", help="columns that do not change within a series"
    )
    table.add_argument("--season", type=int, metavar="N", help="the period, 1 for none (default: as the times say)")
    table.add_argument(
        "--decimal", choices=("point", "comma"), help="what the file writes in numbers, where it is not clear"
    )
    table.add_argument(
        "--dates", choices=("day-first", "month-first"), help="how to read 01/02/2020, where it is not clear"
    )
    command.add_argument("--quiet", action="store_true", help="print no progress and nothing on how the table was read")


def read_table(given: argparse.Namespace, model: Forecaster | None = None) -> Table:
    """The table that the options name; what they leave open is as in the table that the model was fitted to."""
    from jax_lstm import forecast

    names = ("column", "time", "id", "inputs", "future", "static", "wide", "season", "decimal", "dates")
    options = {name: getattr(given, name) for name in names}
    if model is not None and "roles" in model.about:
        options["like"] = forecast.Roles(**model.about["roles"])
        options["wide"] = options["wide"] or (model.about["wide"] and given.column is None)
        options["season"] = model.about["season"] if given.season is None else given.season
    table = forecast.read_csv(given.data, **options)
    notes = [describe(table)]
    fitted = forecast.Calendar(**model.about["calendar"]) if model is not None and "calendar" in model.about else None
    if fitted is not None and fitted.name != table.calendar.name:
        notes.append(f"the model was fitted to times that are {fitted.name}: these are {table.calendar.name}")
    inputs = [*table.roles.inputs, *table.roles.future, *table.roles.static]
    if inputs and model is None and getattr(given, "effort", None) is None:
        notes.append(f"inputs have no effect without a model from jax-lstm fit: {', '.join(inputs)}")
    if not given.quiet:
        print("\n".join(notes), file=sys.stderr)
    return table


def about_table(given: argparse.Namespace, table: Table) -> dict[str, Any]:
    """What a fitted model keeps of its table, so that another one is read alike."""
    calendar = table.calendar._asdict()
    kept = {"roles": table.roles._asdict(), "wide": given.wide, "season": given.season, "calendar": calendar}
    return kept | {"fitted to": describe(table).splitlines()[0]}


def describe(table: Table) -> str:
    """What was read, in a few lines."""
    lengths = [len(one) for one in table.series]
    values = "value" if max(lengths) == 1 else "values"
    if len(lengths) == 1:
        times = table.calendar.texts(table.times(0)[[0, -1]])
        span = f"at {times[0]}" if lengths[0] == 1 else f"from {times[0]} to {times[1]}"
        first = f"{table.roles.column or table.names[0]}: {lengths[0]:,} {values} {span}"
    else:
        spread = f"{min(lengths):,} to {max(lengths):,}" if min(lengths) < max(lengths) else f"{lengths[0]:,}"
        first = f"{len(lengths):,} series of {spread} {values}"
    return "\n".join([f"{first}; {table.notes[0]}", *table.notes[1:]])


def default_horizon(season: int) -> int:
    """How many steps are forecast where nobody says: a season, more where it is short, less where it is long.

    >>> [default_horizon(season) for season in (1, 4, 7, 12, 52, 168)]
    [6, 8, 14, 12, 52, 48]
    """
    if season == 1:
        return 6
    return 2 * season if season < 12 else season if season <= 52 else 48


def known_ahead(table: Table) -> int:
    """How many steps after its last value the future inputs of every series are known; 0 where there are none."""
    if table.future is None:
        return 0
    return min(len(rows) - len(one) for rows, one in zip(table.future, table.series, strict=True))


def horizon_of(given: argparse.Namespace, table: Table, fitted: int | None = None) -> int:
    """The horizon asked for; else as far as future inputs are known, that of a fitted model, or the season's."""
    if given.horizon is None:
        return known_ahead(table) or fitted or default_horizon(table.season)
    if given.horizon < 1:
        raise ValueError(f"--horizon is {given.horizon}, expected at least 1")
    return given.horizon


def levels_of(given: argparse.Namespace) -> tuple[float, ...]:
    """The levels asked for, from per cent to shares."""
    for level in given.level:
        if not 1 <= level < 100:
            raise ValueError(f"--level is {level:g}, expected per cent from 1 to below 100, such as 80")
    return tuple(sorted({level / 100 for level in given.level}))
