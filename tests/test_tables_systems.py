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
         [[315.70, 317.45, 317.51]], "1958-06"),
        (  # what the file is about, in as many columns as the data
            '"Title","RATE"\n"Source dataset","AB12"\n"Unit","%"\n"Release","17-01-2024"\n"Notes",\n'
            '"2023 OCT","4.7"\n"2023 NOV","4.2"\n"2023 DEC","4.2"\n"2024 JAN","4.2"\n',
            {},
            [[4.7, 4.2, 4.2, 4.2]],
            "2024-02",
        ),
        (
            "Back,Data 1\nKey,ABC1\nDate,Oil\nNov-2023,5\nDec-2023,6\nJan-2024,7\nFeb-2024,8\n",
            {"value": "Oil"},
            [[5, 6, 7, 8]],
            "2024-03",
        ),
        (  # names of columns below those of groups, none of them for the times
            "Preise, Monate;;\nDeutschland;;\n;;Index\n;;2020=100\n2023;September;99,5\n2023;Oktober;100,5\n"
            "2023;November;101,5\n2023;Dezember;102,5\n2024;Januar;103,5\n__________\nStatistik 123\n",
            {"value": "Index 2020=100"},
            [[99.5, 100.5, 101.5, 102.5, 103.5]],
            "2024-02",
        ),
        (
            " SEAS  YR   ANOM \n  OND   1950   -0.4\n  NDJ   1950   -0.5\n  DJF   1951   -0.6\n  JFM   1951   -0.7\n",
            {},
            [[-0.4, -0.5, -0.6, -0.7]],
            "1951-03",
        ),
        (
            "Year\tDJF\tMAM\tJJA\tSON\n1950\t1\t2\t3\t4\n1951\t5\t6\t7\t8\n",
            {},
            [[1, 2, 3, 4, 5, 6, 7, 8]],
            "1952-01",
        ),
        (
            "Means\nYear,Jan,Feb,Mar,Apr,May,Jun,Jul,Aug,Sep,Oct,Nov,Dec,J-D,DJF,MAM,JJA,SON\n"
            f"1880{',-.1' * 12},-.17,***,-.1,-.2,-.3\n1881{',.1' * 11},***,***,-.17,-.1,-.2,-.3\n",
            {},
            [[-0.1] * 12 + [0.1] * 11],
            "1881-12",
        ),
        (
            "Kreis\tPeriode\tGeschäftsjahr\tBetrag\n1\t011\t2022\t5,5-\n1\t012\t2022\t6,5\n1\t001\t2023\t7,5\n",
            {},
            [[-5.5, 6.5, 7.5]],
            "2023-02",
        ),
        (  # numbers of orders are no comments, and no years
            "Name,Paid at,Total\n#1003,2024-01-03,5.1\n#1002,2024-01-02,6.1\n#1001,2024-01-01,7.1\n",
            {},
            [[7.1, 6.1, 5.1]],
            "2024-01-04",
        ),
        (
            "REF_DATE,GEO,UOM_ID,COORDINATE,VALUE,DECIMALS\n2024-01,Canada,249,1.1,5.5,1\n2024-01,Ontario,249,2.1,2.5,1\n"
            "2024-02,Canada,249,1.1,6.5,1\n2024-02,Ontario,249,2.1,3.5,1\n",
            {},
            [[5.5, 6.5], [2.5, 3.5]],
            "2024-03",
        ),
        (
            "<TICKER>,<DATE>,<CLOSE>\nA,20240101,5\nA,20240102,6\nA,20240103,7\n",
            {},
            [[5, 6, 7]],
            "2024-01-04",
        ),
        (  # inhabitants could be seconds since 1970
            "Country,Year,Population\nA,2020,331501080\nB,2020,211755692\nA,2021,331893745\nB,2021,213993437\n",
            {},
            [[331501080, 331893745], [211755692, 213993437]],
            "2022",
        ),
        (  # the first line is data though it ends in a word
            "20240101 0012.5 A\n20240102 0013.5 A\n20240103 0014.5 B\n20240104 0010.5 B\n",
            {},
            [[12.5, 13.5, 14.5, 10.5]],
            "2024-01-05",
        ),
        (
            "State,Country,Lat,1/30/24,1/31/24,2/1/24\n,Chad,3.5,1,2,3\nHubei,China,4.5,4,5,6\nBeijing,China,5.5,7,8,9\n",
            {},
            [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
            "2024-02-02",
        ),
        (
            "Prices\n,All\n2023Q3,5\n2023Q4,6\n2024Q1,7\n2024Q2,8\n\nTable information:\nUnits:\nIndex\nFootnotes:\n",
            {},
            [[5, 6, 7, 8]],
            "2024Q3",
        ),
        (  # an hour twice, told apart by its end alone
            "Datum;Anfang;Ende;MWh\n27.10.2024;01:00;02:00;1\n27.10.2024;02:00;02:00;2\n27.10.2024;02:00;03:00;3\n"
            "27.10.2024;03:00;04:00;4\n",
            {"zone": "Europe/Berlin"},
            [[1, 2, 3, 4]],
            "2024-10-27 04:00+01:00",
        ),
        (
            "entity,state,last_changed\ns,20.5,2024-01-01T00:00:00Z\ns,unavailable,2024-01-01T01:00:00Z\n"
            "s,21.5,2024-01-01T02:00:00Z\n",
            {"start": "2024-01-01T02:00:00Z"},
            [[21.5]],
            "2024-01-02 02:00Z",
        ),
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
        ('DATE,TMP\n2024-01-01,"+0012,1"\n2024-01-02,"+0013,1"\n', "no column of numbers next to the times 'DATE'"),
        ("Week,tea\n2024-01-07,<1\n2024-01-14,2\n", "line 2: tea is '<1', which is a bound: write a number"),
        ("MSN,YYYYMM,Value\nA,202311,5\nA,202312,6\nA,202313,11\nA,202401,5\n", "YYYYMM is 202313, a month 13 as of"),
        (
            "Title,RATE\n2022,5\n2023,6\n2022 Q4,5\n2023 Q1,6\n2023 Q2,7\n",
            "line 2: Title is '2022', .* keep the rows of one",
        ),
        ("Part,Shift,kg\n1,Winter,5\n2,Summer,6\n1,Winter,7\n", "2 columns of numbers"),
        (
            "month,kg\nwinter,5\nsummer,6\nwinter,7\n",
            "column 'month' seems to be a part of the times: name their columns with time=",
        ),
        (
            "MTU,MW\n30/03/2024 23:00 (CET) - 31/03/2024 00:00 (CET),5\n"
            "31/03/2024 02:00 (CEST) - 31/03/2024 03:00 (CEST),6\n",
            "whose zone CET has several meanings",
        ),
    ],
)
def test_exports_that_are_refused_by_name(read, text, fault):
    with pytest.raises(ValueError, match=fault) as caught:
        read(text)
    assert "\n" not in str(caught.value)


def test_a_series_that_is_called_a_total_is_told(read):
    table = read("month,region,kg\n" + "".join(f"2024-0{m},{r},{m}\n" for m in (1, 2, 3) for r in ("N", "S", "Total")))
    assert any(note.startswith("Total may be a total of other series") for note in table.notes)
