"""Exports of systems, each made up here: the right numbers, or one line that says what the file is."""

import pytest

from jax_lstm.tables import read_table

pytest.importorskip("pandas")


@pytest.fixture
def read(tmp_path):
    def from_text(text, **options):
        path = tmp_path / "data.txt"
        path.write_text(text, encoding="utf-8")
        return read_table(path, **options)

    return from_text


@pytest.mark.parametrize(
    ("text", "options", "values", "then"),
    [
        (  # an agency's: when the file was written is no time, and comes first
            "flow,last update,geo,period,value,flag\nX,01/02/24 11:00:00,DE,2023-11,7,\n"
            "X,01/02/24 11:00:00,DE,2023-12,8,p\nX,01/02/24 11:00:00,FR,2023-11,5,\n"
            "X,01/02/24 11:00:00,FR,2023-12,4,\n",
            {},
            [[7, 8], [5, 4]],
            "2024-01",
        ),
        (  # fixed widths, some of them full, so that one space is between some cells
            "STATION           PLACE       DAY        RAIN   TMAX\n"
            "----------------- ----------- -------- ------ ------\n"
            "GHCND:USW00000001 CENTRALPARK 20240101     12     50\n"
            "GHCND:USW00000001 CENTRALPARK 20240102      0     61\n"
            "GHCND:USW00000001 CENTRALPARK 20240103  -9999     72\n",
            {"value": "TMAX"},
            [[50, 61, 72]],
            "2024-01-04",
        ),
        (
            "time,hits\n[01/Jan/2024:00:00:00 +0000],5\n[01/Jan/2024:01:00:00 +0000],6\n",
            {},
            [[5, 6]],
            "2024-01-01 02:00Z",
        ),
        (
            "Datum;Von;Bis;kWh\n01.01.2024;00:00;00:15;0,12\n01.01.2024;00:15;00:30;0,13\n01.01.2024;00:30;00:45;0,10\n",
            {},
            [[0.12, 0.13, 0.10]],
            "2024-01-01 00:45",
        ),
        (
            "-------------------------\n|Datum     |Menge     |ME|\n-------------------------\n"
            "|01.01.2024|1.200,000-|ST|\n|02.01.2024|   900,500|ST|\n",
            {},
            [[-1200, 900.5]],
            "2024-01-03",
        ),
        ("1958 3 1958.2 315.70\n1958 4 1958.3 317.45\n1958 5 1958.4 317.51\n", {"value": "column 4"},
         [[315.70, 317.45, 317.51]], "4"),
    ],
)  # fmt: skip
def test_exports_that_are_read(read, text, options, values, then):
    table = read(text, **options)
    assert [one.tolist() for one in table.series] == values
    assert table.calendar.texts(table.times_ahead(0, 1)) == [then]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "-- dump\n\nINSERT INTO `sales` VALUES (1,'2024-01-01',10);\n",
            "is a script of SQL: .* export the table as CSV",
        ),
        ("cpu,host=a usage=10.5 1704067200000000000\n", "is InfluxDB's line protocol: export"),
        ("DTPOSTED,AMT\n20240101120000[-5:EST],5\n20240102120000[-5:EST],6\n", "line 2: DTPOSTED is '20240101120000"),
        ("\n" * 50_000 + "x", "has no rows"),
    ],
)
def test_exports_that_are_refused_by_name(read, text, fault):
    with pytest.raises(ValueError, match=fault) as caught:
        read(text)
    assert "\n" not in str(caught.value)
