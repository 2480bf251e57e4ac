# ruff: noqa: E501 (one case in a line)
"""Data frames in and out: read by their types, and forecasts as the frame that came in: types, zone, names, index, library."""

import datetime
import decimal

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
pytest.importorskip("narwhals")

from jax_lstm import forecast  # noqa: E402
from jax_lstm.tables import read_table, to_frame  # noqa: E402

DAYS = pd.date_range("2020-03-27", periods=6)
VALUES = [1.0, 2.5, None, 4.123456789012345, 5.0, 6.0]


def library(name):
    return pytest.importorskip(name)


def made(table, steps=2):
    """Forecasts that tell their series and step."""
    forecasts = tuple(10.0 * number + np.arange(steps) for number in range(len(table.names)))
    ends = {0.8: tuple(one - 1 for one in forecasts)}, {0.8: tuple(one + 1 for one in forecasts)}
    return forecast.Forecasts(table.names, forecasts, *ends, ("",) * len(table.names))


def out(frame, **options):
    table = read_table(frame, **options)
    return to_frame(made(table), table)


@pytest.mark.parametrize(
    "values",
    [
        pd.array([1, 2, None, 4, 5, 6], "Int64"),
        pd.array([1, 2, None, 4, 5, 6], "Float64"),
        pd.array(["1", "2", None, "4", "5", "6"], "string"),
        pd.Categorical(["1", "2", None, "4", "5", "6"]),
        pd.Series([decimal.Decimal(1), decimal.Decimal(2), None, 4, 5, 6], dtype=object),
        pd.Series(["1", 2, None, 4.0, "5", 6], dtype=object),
        "double[pyarrow]",
        "int64[pyarrow]",
        "decimal",
        "string[pyarrow]",
    ],
    ids=str,
)
def test_values_of_every_type(values):
    if isinstance(values, str):
        pyarrow = library("pyarrow")
        dtype = pd.ArrowDtype(pyarrow.decimal128(9, 2)) if values == "decimal" else values
        cells = ["1", "2", None, "4", "5", "6"] if values == "string[pyarrow]" else [1, 2, None, 4, 5, 6]
        cells = [None if one is None else decimal.Decimal(one) for one in cells] if values == "decimal" else cells
        values = pd.array(cells, dtype)
    table = read_table(pd.DataFrame({"ds": DAYS, "y": values}))
    np.testing.assert_array_equal(table.series[0], [1, 2, np.nan, 4, 5, 6])


def test_booleans_and_exact_digits():
    assert read_table(pd.DataFrame({"ds": DAYS, "y": [True, False] * 3})).series[0].tolist() == [1, 0] * 3
    assert read_table(pd.DataFrame({"ds": DAYS, "y": VALUES})).series[0][3] == VALUES[3]


@pytest.mark.parametrize(
    ("index", "name", "then"),
    [
        (pd.period_range("2020Q1", periods=6, freq="Q-MAR"), "quarterly", pd.Period("2021Q3", "Q-MAR")),
        (pd.period_range("2020Q1", periods=6, freq="Q"), "quarterly", pd.Period("2021Q3", "Q-DEC")),
        (pd.period_range("2020-01", periods=6, freq="M"), "monthly", pd.Period("2020-07", "M")),
        (pd.period_range("2020-01-06", periods=6, freq="W"), "weekly", pd.Period("2020-02-17", "W")),
        (pd.period_range("2020", periods=6, freq="Y"), "yearly", pd.Period("2026", "Y")),
        (pd.date_range("2020-01-31", periods=6, freq="ME"), "monthly", pd.Timestamp("2020-07-31")),
        (pd.date_range("2020-03-28", periods=6, tz="Europe/Berlin"), "daily", pd.Timestamp("2020-04-03", tz="Europe/Berlin")),
        (pd.date_range("2020-03-28 22:00", periods=6, freq="h", tz="Europe/Berlin"), "hourly", pd.Timestamp("2020-03-29 05:00", tz="Europe/Berlin")),
        (pd.date_range("2020-01-01", periods=6, freq="h", tz="UTC"), "hourly", pd.Timestamp("2020-01-01 06:00", tz="UTC")),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("label", ["when", None])
def test_an_index_of_pandas_comes_back(index, name, then, label):
    series = pd.Series(np.arange(6.0), index=index.rename(label), name="sales")
    table = read_table(series)
    assert (table.calendar.name, table.roles.value) == (name, "sales")
    frame = to_frame(made(table), table)
    assert (frame.index[0], frame.index.dtype, frame.index.name) == (then, index.dtype, label)
    assert list(frame.columns) == ["forecast", "low 80 %", "high 80 %"]


@pytest.mark.parametrize(
    ("index", "name", "then"),
    [
        (["2020-01", "2020-02", "2020-03"], "monthly", "2020-04"),
        (pd.CategoricalIndex(["2020Q1", "2020Q2", "2020Q3"]), "quarterly", "2020Q4"),
        ([2019, 2020, 2021], "yearly", "2022"),
        (pd.interval_range(pd.Timestamp("2020-01-01"), periods=3), "daily", "2020-01-04"),
        ([5, 7, 9], "rows in order, without times", "4"),  # what is left of a larger frame
        (["a", "b", "c"], "rows in order, without times", "4"),
    ],
    ids=str,
)
def test_an_index_without_a_name_that_says_times_is_no_less_read(index, name, then):
    table = read_table(pd.DataFrame({"y": [1.0, 2.0, 4.0]}, index=index))
    assert (table.calendar.name, table.calendar.texts(table.times_ahead(0, 1))) == (name, [then])
    assert to_frame(made(table), table)["forecast"].shape == (2,)


@pytest.mark.parametrize("names", [["shop", "day"], [None, None]])
def test_an_index_of_two_levels_comes_back(names):
    index = pd.MultiIndex.from_product([[7, 8], DAYS], names=names)
    frame = out(pd.DataFrame({"y": np.arange(12.0)}, index=index))
    assert frame.index.names == names
    assert frame.index[[0, 2]].tolist() == [(7, pd.Timestamp("2020-04-02")), (8, pd.Timestamp("2020-04-02"))]


@pytest.mark.parametrize(
    "ids",
    [[3, 4], ["a", "b"], pd.Categorical(["a", "b"]), pd.array([3, 4], "Int32"), pd.array(["a", "b"], "string")],
    ids=lambda ids: str(getattr(ids, "dtype", type(ids[0]).__name__)),
)
def test_ids_keep_their_type_so_that_frames_merge(ids):
    ids = pd.Series(ids)
    frame = pd.DataFrame({"unique_id": ids.repeat(6).array, "ds": [*DAYS, *DAYS], "y": np.arange(12.0)})
    found = out(frame)
    assert found["unique_id"].dtype == frame["unique_id"].dtype
    assert found["ds"].dtype == frame["ds"].dtype
    assert len(found.merge(frame[["unique_id"]].drop_duplicates(), on="unique_id")) == 4


def test_several_ids_are_several_columns():
    rows = [(region, shop, day, 1.0) for region in "NS" for shop in (1, 2) for day in DAYS]
    found = out(pd.DataFrame(rows, columns=["region", "shop", "ds", "y"]), id=["region", "shop"])
    assert found[["region", "shop"]].drop_duplicates().to_numpy().tolist() == [["N", 1], ["N", 2], ["S", 1], ["S", 2]]


@pytest.mark.parametrize("lazy", [False, True])
def test_polars_in_and_out(lazy):
    pl = library("polars")
    days = [datetime.date(2020, 3, 26 + step) for step in range(6)]
    frame = pl.DataFrame(
        {"unique_id": [3] * 6 + [4] * 6, "ds": days * 2, "y": VALUES * 2}, schema_overrides={"unique_id": pl.Int32}
    )
    found = out(frame.lazy() if lazy else frame)
    assert isinstance(found, pl.DataFrame)
    assert found.schema == {
        "unique_id": pl.Int32, "ds": pl.Date, "forecast": pl.Float64, "low 80 %": pl.Float64, "high 80 %": pl.Float64
    }  # fmt: skip
    assert found["ds"].to_list() == [datetime.date(2020, 4, 1), datetime.date(2020, 4, 2)] * 2
    assert found["unique_id"].to_list() == [3, 3, 4, 4]


def test_polars_with_zones_and_categories():
    pl = library("polars")
    frame = pl.DataFrame({"shop": ["a"] * 6 + ["b"] * 6, "ds": [*DAYS, *DAYS], "y": VALUES * 2})
    frame = frame.with_columns(pl.col("ds").dt.replace_time_zone("Europe/Berlin"), pl.col("shop").cast(pl.Categorical))
    found = out(frame, id="shop")
    assert (found.schema["ds"], found.schema["shop"]) == (frame.schema["ds"], frame.schema["shop"])
    assert found["ds"][0].isoformat() == "2020-04-02T00:00:00+02:00"


def test_pyarrow_in_and_out():
    pa = library("pyarrow")
    found = out(pa.table({"ds": [day.date() for day in DAYS], "y": VALUES}))
    assert isinstance(found, pa.Table)
    assert found.schema.field("ds").type == pa.date32()


def test_another_library_comes_out_where_asked_for():
    pl = library("polars")
    table = read_table(pd.DataFrame({"ds": DAYS, "y": VALUES}))
    assert isinstance(to_frame(made(table), table, backend="polars"), pl.DataFrame)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (lambda: pd.DataFrame(), "data frame has no rows"),
        (lambda: pd.DataFrame({"ds": [], "y": []}), "data frame has no rows"),
        (lambda: pd.DataFrame(np.ones((3, 2)), columns=pd.MultiIndex.from_product([["a"], list("xy")])), "columns of several levels: join"),
        (lambda: pd.DataFrame(np.ones((3, 2)), columns=["a", "a"]), "several columns 'a'"),
        (lambda: pd.DataFrame({"ds": [*DAYS[:2], pd.NaT], "y": [1, 2, 3]}), "row 2: ds is NaT, expected a time in every row"),
        (lambda: pd.DataFrame({"ds": DAYS, "y": [1, 2, np.inf, 4, 5, 6]}), "row 2: y is inf, expected a finite number"),
        (lambda: pd.DataFrame({"ds": DAYS, "y": ["1", "2", "x", "4", "5", "6"]}), "row 2: y is 'x', expected a finite number"),
        (lambda: pd.DataFrame({"ds": DAYS, "y": pd.to_timedelta(range(6), unit="D")}), "timedelta64.*expected numbers"),
        (lambda: pd.DataFrame({"ds": [f"0{day}/01/2020" for day in range(1, 10)], "y": range(9)}), 'give dates="day-first"'),
        (lambda: pd.DataFrame({"id": ["a"], "start": DAYS[:1], "target": [[1.0, 2.0]]}), "column 'target' holds lists"),
        (lambda: library("polars").DataFrame({"y": [1.0], "path": [[1.0, 2.0]]}), "column 'path' holds lists"),
        (lambda: pd.DataFrame({"ds": DAYS, "y": np.arange(6) * 1j}), "column 'y' holds complex numbers"),
        (lambda: pd.DataFrame({"y": np.arange(6)}, index=pd.to_timedelta(range(6), unit="h")), "'time' holds durations: add"),
        (lambda: pd.DataFrame({"unique_id": ["a", None], "ds": DAYS[:2], "y": [1, 2]}), "row 1: unique_id is .*expected the name"),
    ],
)  # fmt: skip
def test_frames_that_are_refused(frame, said):
    with pytest.raises(ValueError, match=said) as caught:
        read_table(frame())
    assert "--" not in str(caught.value)


@pytest.mark.parametrize("data", [[1, 2], {"y": [1]}, 5])
def test_what_is_no_frame(data):
    with pytest.raises(TypeError, match="expected a path, or a frame of pandas, polars or pyarrow"):
        read_table(data)


def test_forecasts_of_other_series_are_refused():
    table = read_table(pd.DataFrame({"ds": DAYS, "y": VALUES}))
    with pytest.raises(ValueError, match="forecasts are of 1 series, expected the 1 of the table, named alike"):
        to_frame(made(table)._replace(names=("other",)), table)


def test_the_forecaster_takes_tables_frames_and_files(tmp_path):
    frame = pd.DataFrame({"ds": pd.date_range("2020", periods=30, freq="MS"), "y": np.arange(30.0) % 12})
    frame.to_csv(tmp_path / "data.csv", index=False)
    table = read_table(frame)
    expected = forecast.predict(table, 3, method="naive").forecast[0]
    for data in (frame, frame.set_index("ds")["y"], tmp_path / "data.csv", table):
        np.testing.assert_array_equal(forecast.predict(data, 3, method="naive").forecast[0], expected)
    assert forecast.evaluate(frame, 3, cutoffs=2).names == ("y",)


def test_years_before_1677_and_after_2262():
    for first in ("1499-01-01", "2500-01-01"):
        months = np.datetime64(first[:7], "M") + np.arange(30)
        frame = pd.DataFrame({"ds": months.astype("datetime64[s]"), "y": np.arange(30.0)})
        assert str(out(frame)["ds"].iloc[0])[:10] == f"{int(first[:4]) + 2}-07-01"
