"""Text files that are refused as tables of series: in one line, with the line of the file and what to do."""

import pytest

from jax_lstm.tables import read_table

pd = pytest.importorskip("pandas")


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


@pytest.mark.parametrize(
    ("text", "options", "notes"),
    [
        (
            rows([1, 2], ["1,010", "2,020"]),
            {},
            r"line 2: a is '1,010', which can be read in two ways: give decimal=.point. \(1010\)",
        ),
        (rows([1, 2], ["5,5", "6.5"]), {}, "line 3: a is '6.5', which has a decimal point, but line 2 has '5,5'"),
        (rows([1, 2], ["5", "x"]), {}, "line 3: a is 'x', expected a finite number"),
        (rows([1, 2], ["5", "inf"]), {}, "line 3: a is 'inf', expected a finite number"),
        (rows([1, 2], ["5", "1e999"]), {}, "line 3: a is '1e999', expected a finite number"),
        (
            rows(dates("D", 9, "%d/%m/%Y")),
            {},
            r"line 3: t is '02/01/2020', which can be read in two ways: give dates=.day-first. \(2020-01-02\)",
        ),
        (
            rows(["13/01/2020", "01/13/2020", "02/02/2020"]),
            {},
            "line [23]: t is '.*', expected a date as in the other rows",
        ),
        (rows(["2020-01-01", "", "2020-01-03"]), {}, "line 3: t is '', expected a time in every row"),
        (rows(["2020-12-01", "2020-13-01", "2020-11-01"]), {}, "line 3: t is '2020-13-01', expected a date"),
        (rows(["2020-01-01 00:00Z", "2020-01-01 01:00"]), {}, "line 3: .* expected a zone such as Z or"),
        (
            rows(["2020-01-03", "2020-01-01", "2020-01-03"]),
            {},
            "lines 2 and 4 both have the time 2020-01-03: keep one row",
        ),
        (
            rows(["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-03 11:00"]),
            {},
            "line 5: the time 2020-01-03 11:00 is not a whole number",
        ),
        (rows(["2020-01-01", "2020-01-02", "2021-01-03"]), {}, "line 4: the times are daily but 366 are missing"),
        (
            "date,a,b\n2020-01-01,1,2\n2020-01-02,3,4\n",
            {},
            r"has 2 columns of numbers \(a, b\): choose one with value=, or .* wide=True",
        ),
        ("date,a\n2020-01-01,x\n2020-01-02,y\n", {}, "has no column of numbers next to the times 'date'"),
        ("t,a\n1,2\n2,3\n", {"value": "b"}, "has no column 'b', which value= names: expected one of t, a"),
        ("t,a\n1,2\n2,3\n", {"value": "a", "wide": True}, "wide=True takes every column as a series: leave out value="),
        ("t,a\n1,2\n2,3\n", {"season": 0}, "season= is 0, expected at least 1"),
        ("t,a\n1,2\n2,3\n", {"decimal": "."}, "decimal= is '.', expected point or comma"),
        ("t,a\n1,2\n2,3,4\n", {}, "line 3 has 3 cells, but the header has 2"),
        ("t,a\n1,2\n2\n3,4\n", {}, "line 3 has 1 cell, but the header has 2"),
        ("a,a\n1,2\n", {}, "has 2 columns 'a'"),
        ('a,b\n"1,2\n3,4\n', {}, "look for a quote that is not closed"),
        ("t,a\n1,\n2,NA\n", {"value": "a"}, "has no values in a"),
        (
            "i,t,a,s\nA,1,2,5\nA,2,3,6\n",
            {"id": "i", "value": "a", "time": "t", "static": ["s"]},
            "line 3: the static covariate 's' changes within",
        ),
        ("t,a\n", {}, "has no rows"),
        ("", {}, "has no rows"),
        (b"\x00\x01\x02\x89" * 30, {}, "is not a text file"),
        (b"PK\x03\x04zzz", {}, "is a damaged zip archive or Excel workbook"),
        (b"\xff\xfea", {}, "begins as utf-16 and is broken"),
    ],
)
def test_refusals_are_one_line_that_says_what_to_do(read, text, options, notes):
    with pytest.raises(ValueError, match=notes) as caught:
        read(text, **options)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "absent.csv")
