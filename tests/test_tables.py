"""Text files as regular series: what is read, how it is told, and what is refused with its line and what to do."""

import io
import sys

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

from jax_lstm.tables import read_table  # noqa: E402


@pytest.fixture
def read(tmp_path):
    def from_text(text, encoding="utf-8", **options):
        path = tmp_path / "data.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return read_table(path, **options)

    return from_text


def rows(times, values=None):
    """A file of two columns."""
    times = list(times)
    return "t;a\n" + "".join(
        f"{time};{value}\n" for time, value in zip(times, values or range(len(times)), strict=True)
    )


def dates(frequency, count, form="%Y-%m-%d", start="2020-01-01"):
    return pd.date_range(start, periods=count, freq=frequency).strftime(form).tolist()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", ", "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_quotes_blank_lines_and_comments(read, separator, end):
    lines = ['"when"', "sales", "rain"], ["1", "2.5", "7"], ["2", "3", "NA"], [], ["3", "4e1", "9"]
    text = "# made by hand" + end + end.join(separator.join(row) for row in lines)
    table = read(text, "utf-8-sig", value="sales", time="when", past=["rain"])
    np.testing.assert_array_equal(table.series[0], [2.5, 3, 40])
    np.testing.assert_array_equal(table.past[0], [[7], [np.nan], [9]])
    assert table.times(0).tolist() == [1, 2, 3]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings(read, encoding):
    table = read("größe;a\n1;2\n2;3\n", encoding)
    assert (table.roles.time_name, table.roles.value, table.series[0].tolist()) == ("größe", "a", [2, 3])
    said = any(note.startswith("not UTF-8: read as Latin-1 (Windows-1252)") for note in table.notes)
    assert said == (encoding == "latin-1")


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1.5", "-2", "3e2", "+.5"], [1.5, -2, 300, 0.5]),
        (["1,5", "-2,25", "3"], [1.5, -2.25, 3]),
        (["1.010,5", "2.020"], [1010.5, 2020]),
        (["1,010.5", "2,020"], [1010.5, 2020]),
        (["(1,010.5)", "2,020", "(3)"], [-1010.5, 2020, -3]),
        (["1,010,000", "2,020"], [1010000, 2020]),
        (["0,125", "2,020"], [0.125, 2.02]),
        (["1.010", "2.020"], [1.01, 2.02]),
        (["1 010,5", "2\u00a0020,5"], [1010.5, 2020.5]),
        (["1'010", "7"], [1010, 7]),
        (["$5", "$6.5"], [5, 6.5]),
        (["5 %", "6 %"], [5, 6]),
        (["\u22125", "6"], [-5, 6]),
        (["1", "-", "#N/A", ".", "", "NA", "null", "NaN", "2"], [1, *[np.nan] * 7, 2]),
    ],
)
def test_numbers_are_read_by_the_whole_column(read, cells, values):
    np.testing.assert_array_equal(read(rows(range(1, len(cells) + 1), cells)).series[0], values)


def test_a_decimal_mark_asked_for(read):
    text = rows([1, 2], ["1,010", "2,020"])
    assert read(text, decimal="point").series[0].tolist() == [1010, 2020]
    assert read(text, decimal="comma").series[0].tolist() == [1.01, 2.02]


@pytest.mark.parametrize(
    ("times", "name", "season", "then"),
    [
        (dates("YS", 6), "yearly", 1, "2026-01-01"),
        (dates("YE", 6), "yearly", 1, "2026-12-31"),
        (range(1990, 2000), "yearly", 1, "2000"),
        (["1959.0", "1960.0", "1961.0"], "yearly", 1, "1962"),
        (dates("QS", 6), "quarterly", 4, "2021-07-01"),
        (dates("QE", 6), "quarterly", 4, "2021-09-30"),
        (["2020Q1", "2020Q2", "2020Q3"], "quarterly", 4, "2020Q4"),
        (["Q1 2020", "Q2 2020", "Q3 2020"], "quarterly", 4, "2020Q4"),
        (["2020-Q4", "2021-Q1", "2021-Q2"], "quarterly", 4, "2021Q3"),
        ([1990 + n / 4 for n in range(9)], "quarterly", 4, "1992-04"),
        (dates("MS", 6), "monthly", 12, "2020-07-01"),
        (dates("ME", 6), "monthly", 12, "2020-07-31"),
        (dates("BME", 9), "monthly", 12, "2020-10-30"),
        (dates("BMS", 9), "monthly", 12, "2020-10-01"),
        (["2020-01-15", "2020-02-15", "2020-03-15"], "monthly", 12, "2020-04-15"),
        (["2020-01-30", "2020-02-29", "2020-03-30"], "monthly", 12, "2020-04-30"),
        (dates("MS", 5, "%Y-%m"), "monthly", 12, "2020-06"),
        (dates("MS", 5, "%Y%m"), "monthly", 12, "2020-06"),
        (dates("MS", 5, "%Y/%m"), "monthly", 12, "2020-06"),
        (dates("MS", 5, "%b %Y"), "monthly", 12, "2020-06"),
        (dates("MS", 5, "%B %Y"), "monthly", 12, "2020-06"),
        (dates("MS", 5, "%b-%y"), "monthly", 12, "2020-06"),
        (["2020M01", "2020M02", "2020M03"], "monthly", 12, "2020-04"),
        ([1990 + n / 12 for n in range(30)], "monthly", 12, "1992-07"),
        ([round(1990 + n / 12, 2) for n in range(30)], "monthly", 12, "1992-07"),
        (dates("W", 6), "weekly", 52, "2020-02-16"),
        (["2020-W01", "2020-W02", "2020-W03"], "weekly", 52, "2020-01-20"),
        (dates("B", 12), "business days", 5, "2020-01-17"),
        (dates("D", 5), "daily", 7, "2020-01-06"),
        (dates("D", 5, "%Y/%m/%d"), "daily", 7, "2020-01-06"),
        (dates("D", 5, "%Y%m%d"), "daily", 7, "2020-01-06"),
        (dates("D", 5, "%d %B %Y"), "daily", 7, "2020-01-06"),
        (dates("D", 5, "%d-%b-%Y"), "daily", 7, "2020-01-06"),
        (dates("D", 5, "%b %d, %Y"), "daily", 7, "2020-01-06"),
        (dates("D", 5, "%a, %d %b %Y"), "daily", 7, "2020-01-06"),
        (dates("D", 20, "%d/%m/%Y"), "daily", 7, "2020-01-21"),
        (dates("D", 20, "%m/%d/%Y"), "daily", 7, "2020-01-21"),
        (dates("D", 20, "%d/%m/%y"), "daily", 7, "2020-01-21"),
        (dates("MS", 24, "%d/%m/%Y"), "monthly", 12, "2022-01-01"),
        (dates("MS", 9, "%d.%m.%Y"), "monthly", 12, "2020-10-01"),
        (dates("h", 60, "%m/%d/%Y %I:%M %p"), "hourly", 24, "2020-01-03 12:00"),
        (dates("h", 60, "%Y-%m-%d %H:%M"), "hourly", 24, "2020-01-03 12:00"),
        (dates("30min", 100, "%Y-%m-%dT%H:%M:%S"), "half-hourly", 48, "2020-01-03 02:00"),
        (dates("15min", 200, "%Y-%m-%d %H:%M:%S.000"), "every 15 minutes", 96, "2020-01-03 02:00"),
        (dates("h", 60, "%Y-%m-%dT%H:%M:%SZ"), "hourly", 24, "2020-01-03 12:00Z"),
        (dates("h", 60, "%Y-%m-%dT%H:%M:%S-05:00"), "hourly", 24, "2020-01-03 12:00-05:00"),
        (dates("h", 60, "%Y-%m-%d %H:%M:%S +0100"), "hourly", 24, "2020-01-03 12:00+01:00"),
        ([1577836800 + 3600 * n for n in range(60)], "hourly", 24, "2020-01-03 12:00Z"),
        ([1577836800000 + 86400000 * n for n in range(6)], "daily", 7, "2020-01-07 00:00Z"),
        ([0.5, 1.0, 1.5], "steps of 0.5", 1, "2.0"),
        ([7, 14, 21], "steps of 7", 1, "28"),
    ],
    ids=lambda value: None if isinstance(value, list | range) else value,
)
def test_frequency_season_and_the_time_that_follows(read, times, name, season, then):
    table = read(rows(times))
    assert (table.calendar.name, table.season) == (name, (season,) if season > 1 else ())
    assert table.calendar.texts(table.times_ahead(0, 1)) == [then]
    assert table.notes[0].startswith(f"{name}, {f'season {season}' if season > 1 else 'no season'} (")


@pytest.mark.parametrize("frequency", ["MS", "ME", "BME", "QE", "YE", "W-WED", "B", "D", "h", "30min"])
def test_future_times_are_those_of_pandas(read, frequency):
    at = pd.date_range("2019-03-01", periods=60, freq=frequency)
    table = read(rows(at[:40].strftime("%Y-%m-%d %H:%M")))
    assert table.times(0).tolist() == at[:40].tolist()
    assert table.times_ahead(0, 20).tolist() == at[40:].tolist()


def test_dates_that_only_the_option_decides(read):
    text = rows(dates("D", 9, "%d/%m/%Y"))
    assert read(text, dates="day-first").calendar.name == "daily"
    assert read(text, dates="month-first").calendar.name == "monthly"


@pytest.mark.parametrize(
    "form",
    ["%Y-%m-%dT%H", "%Y-%m-%d %H", "%Y%m%dT%H", "%Y-%m-%dT%HZ", "%d/%m/%Y %I %p", "%Y%m%d%H", "%Y%m%d%H%M"],
)
def test_hours_without_minutes(read, form):
    table = read(rows(dates("h", 24 * 16, form)))
    assert (table.calendar.name, table.calendar.texts(table.times(0)[23:25])[0][:16]) == ("hourly", "2020-01-01 23:00")


def test_the_24th_hour_is_the_end_of_the_day(read):
    times = [f"0{1 + hour // 24}.01.2023 {hour % 24 + 1}:00" for hour in range(96)]
    table = read(rows(times))
    assert table.calendar.texts(table.times(0)[[0, 23, 24]]) == [
        "2023-01-01 01:00",
        "2023-01-02 00:00",
        "2023-01-02 01:00",
    ]


def test_seconds_since_1970_are_not_hours_in_digits(read):
    table = read(rows([1600000000 + 3600 * hour for hour in range(30)]))
    assert table.calendar.texts(table.times(0)[:1])[0].startswith("2020-09-13 12:26:40")


def test_zones_that_change_in_summer(read):
    days = [time.isoformat() for time in pd.date_range("2020-03-27", periods=6, tz="Europe/Berlin")]
    table = read(rows(days))
    assert table.calendar.texts(table.times_ahead(0, 1)) == ["2020-04-02"]
    assert any("+01:00 and +02:00: read as dates" in note for note in table.notes)
    hours = [time.isoformat() for time in pd.date_range("2020-03-28", periods=72, freq="h", tz="Europe/Berlin")]
    table = read(rows(hours))
    assert table.calendar.texts(table.times(0)[:1]) == ["2020-03-27 23:00Z"]
    assert any("brought to UTC" in note for note in table.notes)
    assert not np.isnan(table.series[0]).any()


def test_rows_out_of_order_are_sorted_and_gaps_counted(read):
    table = read(rows(["2020-01-06", "2020-01-01", "2020-01-02", "2020-01-03", "2020-01-05"]))
    np.testing.assert_array_equal(table.series[0], [1, 2, 3, np.nan, 4, 0])
    assert table.notes[1] == "rows were not in order of time: sorted"
    assert table.notes[2] == "1 time without a row (in 1 place, the first before line 6): counted as missing"


def test_missing_ends_are_left_out_and_times_go_on_from_there(read):
    table = read(rows([2001, 2002, 2003, 2004, 2005], ["", 5, "", 6, ""]))
    np.testing.assert_array_equal(table.series[0], [5, np.nan, 6])
    assert table.times(0).tolist() == [2002, 2003, 2004]
    assert table.times_ahead(0, 1).tolist() == [2005]
    assert table.notes[1:] == ("1 value missing", "1 row without a value at the end: forecasts begin there")


def test_a_week_is_the_season_of_hours_whose_values_say_so(read):
    hours = np.arange(24 * 7 * 5)
    values = np.sin(hours * 2 * np.pi / 24) + 3 * (hours // 24 % 7 >= 5)
    table = read(rows(dates("h", len(hours), "%Y-%m-%d %H:%M"), values.tolist()))
    assert (table.season, "a week apart are more alike" in table.notes[0]) == ((24, 168), True)


@pytest.mark.parametrize("season", [1, 4, 12])
def test_a_season_without_dates_is_found_in_the_values(read, season):
    values = (
        np.arange(120) + 5 * np.sin(np.arange(120) * 2 * np.pi / season) + np.random.default_rng(0).normal(size=120)
    )
    assert read("a\n" + "".join(f"{value}\n" for value in values)).season == ((season,) if season > 1 else ())


def test_the_long_format_needs_no_option(read):
    text = "unique_id,ds,y\nA,2020-01-01,1\nA,2020-01-02,2\nB,2020-01-05,3\nB,2020-01-07,4\nA,2020-01-03,4\n"
    table = read(text)
    assert table.names == ("A", "B")
    assert [one.tolist() for one in table.series] == [[1, 2, 4], [3, pytest.approx(np.nan, nan_ok=True), 4]]
    assert [table.calendar.texts(table.times_ahead(number, 1)) for number in (0, 1)] == [["2020-01-04"], ["2020-01-08"]]


def test_a_wide_table(read):
    text = "date,a,b,note\n2020-01-01,1,,x\n2020-02-01,3,4,y\n2020-03-01,5,,z\n"
    table = read(text, wide=True)
    assert table.names == ("a", "b")
    assert [one.tolist() for one in table.series] == [[1, 3, 5], [4]]
    assert [table.calendar.texts(table.times_ahead(number, 1)) for number in (0, 1)] == [["2020-04-01"], ["2020-03-01"]]


def test_inputs_past_known_ahead_and_static(read):
    text = (
        "shop,day,sold,rain,open,town\n"
        "A,2020-01-01,1,5,0,red\nA,2020-01-02,2,6,1,red\nA,2020-01-03,,,1,red\n"
        "B,2020-01-01,1,7,0,blue\nB,2020-01-02,2,8,1,blue\nB,2020-01-03,,,0,blue\n"
    )
    table = read(text, id="shop", value="sold", past=["rain"], future=["open"], static=["town"])
    assert [one.tolist() for one in table.past] == [[[5], [6]], [[7], [8]]]
    assert [one.tolist() for one in table.future] == [[[0], [1], [1]], [[0], [1], [0]]]
    assert [one.tolist() for one in table.static] == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("text", "column", "time", "values"),
    [
        ("5\n6\n7\n", "column 1", "row", [5, 6, 7]),
        ("2020-01-01,5\n2020-01-02,6\n", "column 2", "column 1", [5, 6]),
        (",a\n0,5\n1,6\n", "a", "row", [5, 6]),
        (",a\n2020-01-01,5\n2020-01-02,6\n", "a", "column 1", [5, 6]),
        ("a;t;\n5;2020-01-01;\n6;2020-01-02;\n", "a", "t", [5, 6]),
    ],
)
def test_headers_that_are_not_there_or_empty(read, text, column, time, values):
    table = read(text)
    assert (table.roles.value, table.roles.time_name, table.series[0].tolist()) == (column, time, values)


def test_rows_as_they_come(read):
    table = read(rows(["2020-01-01", "2020-05-02", "2023-01-01"]), time="none")
    assert (table.roles.time_name, table.times_ahead(0, 2).tolist()) == ("row", [4, 5])


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"t,a\n1,2\n2,3\n")))
    assert read_table("-").series[0].tolist() == [2, 3]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(ValueError, match="standard input has no rows"):
        read_table("-")
