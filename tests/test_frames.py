"""Data frames in and out: the same table from pandas, polars and a file, and forecasts as the frame asked for."""

import datetime

import numpy as np
import pytest

from jax_lstm import forecast

pd = pytest.importorskip("pandas")
pytest.importorskip("narwhals")

DAYS = [datetime.datetime(2020, 1, day) for day in range(1, 7)]
VALUES = [1.0, 2.5, None, 4.123456789012345, 5.0, 6.0]


def polars():
    return pytest.importorskip("polars")


def made(table):
    """Forecasts that say their series and step."""
    centre = tuple(10.0 * number + np.arange(2) for number in range(len(table.names)))
    ends = {0.8: tuple(one - 1 for one in centre)}, {0.8: tuple(one + 1 for one in centre)}
    return forecast.Forecasts(table.names, centre, *ends, ("",) * len(table.names))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_frame_is_read_exactly(library):
    frame = (
        pd.DataFrame({"ds": DAYS, "y": VALUES})
        if library == "pandas"
        else polars().DataFrame({"ds": DAYS, "y": VALUES})
    )
    table = forecast.from_frame(frame)
    np.testing.assert_array_equal(table.series[0], [np.nan if value is None else value for value in VALUES])
    assert (table.calendar.name, table.season, table.roles.time, table.roles.column) == ("daily", 7, "ds", "y")
    assert table.calendar.texts(table.times(0)[:1]) == ["2020-01-01"]


@pytest.mark.parametrize(
    ("index", "name", "then"),
    [
        (pd.period_range("2020-01", periods=3, freq="M"), "monthly", "2020-04"),
        (pd.period_range("2020Q1", periods=3, freq="Q"), "quarterly", "2020Q4"),
        (pd.period_range("2020", periods=3, freq="Y"), "yearly", "2023"),
        (pd.date_range("2020-01-31", periods=3, freq="ME"), "monthly", "2020-04-30"),
        (pd.date_range("2020-01-01", periods=3, freq="h", tz="UTC"), "hourly", "2020-01-01 03:00Z"),
        (pd.RangeIndex(3), "rows in order, without times", "4"),
    ],
    ids=str,
)
def test_an_index_of_pandas_counts_as_a_column(index, name, then):
    table = forecast.from_frame(pd.Series([1.0, 2.0, 4.0], index=index, name="a"))
    assert (table.calendar.name, table.roles.column) == (name, "a")
    assert table.calendar.texts(table.times_ahead(0, 1)) == [then]


@pytest.mark.parametrize("backend", ["pandas", "polars"])
def test_forecasts_as_a_frame(backend):
    if backend == "polars":
        polars()
    rows = {"unique_id": ["a"] * 3 + ["b"] * 3, "ds": [*DAYS[:3], *DAYS[1:4]], "y": [1.0, 2, 3, 4, 5, 6]}
    table = forecast.from_frame(pd.DataFrame(rows))
    frame = forecast.to_frame(made(table), table, backend=backend)
    assert type(frame).__module__.split(".")[0] == backend
    columns = frame.to_dict("list") if backend == "pandas" else frame.to_dict(as_series=False)
    assert list(columns) == ["unique_id", "ds", "forecast", "low 80 %", "high 80 %"]
    assert columns["unique_id"] == ["a", "a", "b", "b"]
    assert [str(time)[:10] for time in columns["ds"]] == ["2020-01-04", "2020-01-05", "2020-01-05", "2020-01-06"]
    assert columns["forecast"] == [0, 1, 10, 11]
    assert columns["high 80 %"] == [1, 2, 11, 12]


def test_forecasts_of_other_series_are_refused():
    table = forecast.from_frame(pd.DataFrame({"ds": DAYS, "y": VALUES}))
    with pytest.raises(ValueError, match="forecasts are of 1 series, expected the 1 of the table, named alike"):
        forecast.to_frame(made(table)._replace(names=("other",)), table)


def test_a_refusal_names_the_row():
    with pytest.raises(ValueError, match="data frame row 1: y is 'x', expected a finite number"):
        forecast.from_frame(pd.DataFrame({"ds": DAYS[:3], "y": ["1", "x", "3"]}))
