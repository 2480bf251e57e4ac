"""CSV files as regular series: what is handled, and what is refused with its line."""

import numpy as np
import pytest

from jax_lstm.forecast import read_csv


@pytest.fixture
def write(tmp_path):
    def to_file(text, encoding="utf-8"):
        path = tmp_path / "data.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return to_file


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", ", "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_quotes_and_blank_lines(write, separator, end):
    rows = ['"when"', "sales", "rain"], ["1", "2.5", "7"], ["2", "3", "NA"], [], ["3", "4e1", "9"]
    path = write(end.join(separator.join(row) for row in rows), "utf-8-sig")
    table = read_csv(path, "sales", time="when", inputs=["rain"])
    np.testing.assert_array_equal(table.values, [[2.5, 7], [3, np.nan], [40, 9]])
    assert table.names == ("sales", "rain")
    assert table.times(np.arange(5)).tolist() == [1, 2, 3, 4, 5]


def test_decimal_commas_where_semicolons_separate(write):
    np.testing.assert_array_equal(read_csv(write("a;b\n1,5;2\n-2,25;3\n"), "a").values[:, 0], [1.5, -2.25])


def test_missing_ends_are_left_out_and_times_go_on_from_there(write):
    table = read_csv(write("t,a\n2001,\n2002,5\n2003,\n2004,6\n2005,\n"), "a", time="t")
    np.testing.assert_array_equal(table.values[:, 0], [5, np.nan, 6])
    assert table.times([0, 3]).tolist() == [2002, 2005]


@pytest.mark.parametrize(
    ("times", "then", "season"),
    [
        (["1949-11", "1949-12", "1950-01"], "1950-02", 12),
        (["1949-11-15", "1949-12-15", "1950-01-15"], "1950-02-15", 12),
        (["1951-12-31", "1952-01-31", "1952-02-29"], "1952-03-31", 12),
        (["2001-01", "2001-04", "2001-07"], "2001-10", 4),
        (["2001-01-01", "2002-01-01", "2003-01-01"], "2004-01-01", 1),
        (["2020-02-27", "2020-02-28", "2020-02-29"], "2020-03-01", 7),
        (["2020-02-03", "2020-02-10", "2020-02-17"], "2020-02-24", None),
        (["2020-02-28 22:00", "2020-02-28 23:00", "2020-02-29 00:00"], "2020-02-29T01:00:00", 24),
        (["1700", "1701", "1702"], "1703", None),
        (["0.5", "1.0", "1.5"], "2.0", None),
    ],
)
def test_the_time_that_follows(write, times, then, season):
    table = read_csv(write("t,a\n" + "".join(f"{time},{row}\n" for row, time in enumerate(times))), "a", time="t")
    assert str(table.times(np.array([3]))[0]) == then
    assert table.calendar.season == season


def test_rows_left_out_are_missing_values(write):
    table = read_csv(write("t,a\n2001-01,1\n2001-02,2\n2001-04,4\n2001-05,5\n"), "a", time="t")
    np.testing.assert_array_equal(table.values[:, 0], [1, 2, np.nan, 4, 5])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("t,a\n1,2\n2,x\n", r"line 3: a is 'x', expected a finite number"),
        ("t,a\n1,2\n\n2,inf\n", r"line 4: a is 'inf', expected a finite number"),
        ("t,a\n1,2\n2\n", r"line 3 has 1 cells, but the header has 2"),
        ("t,b\n1,2\n2,3\n", r"has no column 'a', expected one of t, b"),
        ("t,a,a\n1,2,3\n2,3,4\n", r"has more than one column 'a'"),
        ("x,a\n1,2\n2,3\n", r"has no column 't', expected one of x, a"),
        ("t,a\n1,\n2,NA\n", r"has no values in column 'a'"),
        ("t,a\n", r"has 1 lines, expected a header and one line"),
        ("", r"has 0 lines, expected a header and one line"),
        ("t,a\n2001-01,1\n2001-01,2\n", r"line 3: t '2001-01' is there twice"),
        ("t,a\n3,1\n2,2\n", r"line 3: t '2' comes after a later time"),
        ("t,a\n1,1\n2,2\n3,3\n4.5,4\n", r"line 5: t '4.5' is not a whole number of steps of 1 after the first"),
        (
            "t,a\n2001-01-01,1\n2001-01-02,2\n2001-01-03,2\n2001-01-03T11:00,3\n",
            r"line 5: .* not a whole number of steps of 86400s",
        ),
        ("t,a\n1,1\n2,2\n99,3\n", r"line 4: before t '99' more rows are missing than there are"),
        ("t,a\n01/02/2001,1\n02/02/2001,2\n", r"line 2: t is '01/02/2001', expected a number or an ISO date"),
        ("t,a\n2001-01,1\n,2\n", r"line 3: t is '', expected a number or an ISO date"),
        ("t,a\n2001-13,1\n2002-01,2\n", r"line 2: t is '2001-13', expected a number or an ISO date"),
    ],
)
def test_refusals_name_the_line(write, text, said):
    with pytest.raises(ValueError, match=said) as caught:
        read_csv(write(text), "a", time="t")
    assert "\n" not in str(caught.value)


def test_a_file_in_another_encoding_or_none(write, tmp_path):
    with pytest.raises(ValueError, match="not a text file of comma-separated values in UTF-8"):
        read_csv(write("größe,a\n1,2\n", "latin-1"), "a")
    with pytest.raises(FileNotFoundError):
        read_csv(tmp_path / "absent.csv", "a")
