"""Ten real series and panels, hourly to yearly: read with the fewest options, and compared with the actuals."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pandas")

from jax_lstm import forecast

DATA = Path(__file__).parent / "data"

TABLES = {
    "nile": ({}, "yearly", 1, ["1971"]),
    "sunspots": ({}, "yearly", 1, ["2009"]),
    "co2": ({}, "weekly", 52, ["2002-01-05"]),
    "elnino": ({}, "monthly", 12, ["2011-01"]),
    "macro": ({"wide": True}, "quarterly", 4, ["2009Q4"] * 5),
    "danish": ({"wide": True}, "quarterly", 4, ["1987Q4"] * 4),
    "seattle_weather": ({"wide": True}, "daily", 7, ["2016-01-01"] * 2),
    "seattle_temps": ({}, "hourly", 24, ["2010-03-15 00:00"]),
    "iowa_electricity": ({"id": "source"}, "yearly", 1, ["2018"] * 3),
    "us_employment": ({"wide": True}, "monthly", 12, ["2016-01-01"] * 6),
}
"""By file: options, and the frequency, the season and the next time of each series that they must give."""

QUICK = ("nile", "iowa_electricity", "us_employment")
"""What is forecast by default; the others with --exhaustive."""

HORIZON = 6


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_read_as_a_person_reads_it(name):
    options, frequency, season, following = TABLES[name]
    table = forecast.read_table(DATA / f"{name}.csv", **options)
    assert (table.calendar.name, table.season) == (frequency, (season,) if season > 1 else ())
    ahead = [table.calendar.texts(table.times_ahead(number, 1))[0] for number in range(len(table.series))]
    assert ahead == following


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.exhaustive) for name in TABLES]
)
def test_forecasts_are_finite_in_order_and_not_below_zero_without_need(name):
    table = forecast.read_table(DATA / f"{name}.csv", **TABLES[name][0])
    made = forecast.predict(table.before_end(HORIZON, range(len(table.series))), HORIZON)
    for number, series in enumerate(table.series):
        ends = [made.lower[0.95], made.lower[0.8], made.forecast, made.upper[0.8], made.upper[0.95]]
        low, *_, high = rows = np.stack([end[number] for end in ends])
        assert np.isfinite(rows).all()
        assert (np.diff(rows, axis=0) >= 0).all()
        assert (low < high).all()
        assert np.nanmin(series[:-HORIZON]) < 0 or low.min() >= 0


@pytest.mark.exhaustive
def test_forecasts_are_better_than_the_last_value_and_intervals_hold():
    ratios, held = [], []
    for name, (options, *_) in TABLES.items():
        table = forecast.read_table(DATA / f"{name}.csv", **options)
        found = forecast.evaluate(table, HORIZON, cutoffs=6)
        ratios.extend(found.by_series["combined"]["MASE"] / found.by_series["naive"]["MASE"])
        held.extend(found.coverage_by_series[0.95])
    assert len(ratios) == sum(len(following) for *_, following in TABLES.values())
    assert np.median(ratios) < 0.95
    assert np.mean(held) > 0.85
