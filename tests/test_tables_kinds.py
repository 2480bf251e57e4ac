# ruff: noqa: E501, RUF043 (one case in a line; messages as they are)
"""Tables of many kinds, each of our own making: the right numbers and times, what was judged is said, or one line that
names the row or the column and the option that cures it.
"""

import gzip
import io
import json
import zipfile

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
pytest.importorskip("narwhals")

from jax_lstm.tables import read_table  # noqa: E402


@pytest.fixture
def read(tmp_path):
    def from_content(content, name="data.csv", encoding="utf-8", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return read_table(path, **options)

    return from_content


def two(times, name="t", values=None):
    """A file of a column of times and one of values, from 0 on."""
    times = list(times)
    values = range(len(times)) if values is None else values
    return f"{name};a\n" + "".join(f"{time};{value}\n" for time, value in zip(times, values, strict=True))


def ahead(table, number=0):
    return table.calendar.texts(table.times_ahead(number, 1))[0]


MONTHS = {
    "fr": "janvier févr. mars avr. mai juin juil. août sept. oct. nov. décembre",
    "de": "Januar Feb. Mrz April Mai Juni Juli Aug. Sept. Okt. Nov. Dez.",
    "es": "enero feb. mar. abril mayo jun. julio agosto sept. octubre nov. diciembre",
    "it": "gennaio feb mar aprile mag giu luglio ago set ottobre nov dic",
    "pt": "janeiro fev. março abr. maio jun. julho ago. set. outubro nov. dez.",
    "nl": "januari feb. mrt. april mei juni juli aug. sept. okt. nov. december",
    "pl": "styczeń luty mar kwiecień maj cze lip sierpień wrz paź lis grudzień",
}


@pytest.mark.parametrize("language", MONTHS)
def test_months_in_the_languages_of_people_newest_first(read, language):
    times = [f"{month} {year}" for year in (2021, 2022) for month in MONTHS[language].split()]
    table = read(two(times[::-1]), name="d.csv")
    assert table.series[0].tolist() == list(range(23, -1, -1))
    assert (table.calendar.name, ahead(table)) == ("monthly", "2023-01")
    assert "rows were not in order of time: sorted" in table.notes


@pytest.mark.parametrize(
    ("times", "name", "then"),
    [
        (["2023-12-31 22:00:00 UTC", "2023-12-31 23:00:00 UTC", "2024-01-01 00:00:00 UTC"], "hourly", "2024-01-01 01:00Z"),
        (["FY23 Q3", "FY23 Q4", "FY24 Q1"], "quarterly", "2024Q2"),
        (["Q3/23", "Q4/23", "Q1/24"], "quarterly", "2024Q2"),
        (["Q3 '23", "Q4 '23", "Q1 '24"], "quarterly", "2024Q2"),
        (["3. Quartal 2023", "4. Quartal 2023", "1. Quartal 2024"], "quarterly", "2024Q2"),
        (["T3 2023", "T4 2023", "T1 2024"], "quarterly", "2024Q2"),
        (["2023:3", "2023:4", "2024:1", "2024:2"], "quarterly", "2024Q3"),
        (["2022H2", "2023H1", "2023H2"], "half-yearly", "2024-01"),
        (["2. Halbjahr 2022", "1. Halbjahr 2023", "2. Halbjahr 2023"], "half-yearly", "2024-01"),
        (["KW 52/2020", "KW 53/2020", "KW 1/2021"], "weekly", "2021-01-11"),
        (["2020-W52", "2020-W53", "2021-W01"], "weekly", "2021-01-11"),
        (["2020W52", "2020W53", "2021W01"], "weekly", "2021-01-11"),
        (["Week 52, 2020", "Week 53, 2020", "Week 1, 2021"], "weekly", "2021-01-11"),
        (["2020-01-06 - 2020-01-12", "2020-01-13 - 2020-01-19", "2020-01-20 - 2020-01-26"], "weekly", "2020-01-27"),
        (["6.1.2020 bis 12.1.2020", "13.1.2020 bis 19.1.2020"], "weekly", "2020-01-20"),
        (["01.01.2020 00:00 - 01.01.2020 01:00", "01.01.2020 01:00 - 01.01.2020 02:00"], "hourly", "2020-01-01 02:00"),
        (["lundi 3 août 2020", "mardi 4 août 2020", "mercredi 5 août 2020"], "daily", "2020-08-06"),
        (["Mittwoch, 4. März 2020", "Donnerstag, 5. März 2020"], "daily", "2020-03-06"),
        (["30 de abril de 2020", "1 de mayo de 2020"], "daily", "2020-05-02"),
        (["30APR2020", "01MAY2020"], "daily", "2020-05-02"),
        (["April 30th, 2020", "May 1st, 2020"], "daily", "2020-05-02"),
        (["2020年4月30日", "2020年5月1日"], "daily", "2020-05-02"),
        (["2020年4月", "2020年5月"], "monthly", "2020-06"),
        (["2020년 4월", "2020년 5월"], "monthly", "2020-06"),
        (["tháng 4 năm 2020", "tháng 5 năm 2020"], "monthly", "2020-06"),
        (["травень 2020", "червень 2020"], "monthly", "2020-07"),
        (["svibanj 2020", "lipanj 2020"], "monthly", "2020-07"),
        (["2024-365", "2024-366", "2025-001"], "daily", "2025-01-02"),
        (["20200430-0600", "20200430-1200"], "every 6 hours", "2020-04-30 18:00"),
        (["2019 4th quarter", "2020 1st quarter"], "quarterly", "2020Q2"),
        (["Fourth quarter 2019", "First quarter 2020"], "quarterly", "2020Q2"),
        (["IV kw. 2019", "I kw. 2020"], "quarterly", "2020Q2"),
        (["Oct-Dec 2019", "Jan-Mar 2020", "Apr-Jun 2020"], "quarterly", "2020-07"),
        (["FY20 P01", "FY20 P02"], "monthly", "2020-03"),
        (["012.2019", "001.2020", "002.2020"], "monthly", "2020-03"),
        (["FY18/19", "FY19/20"], "yearly", "2020"),
        (["Y2018", "Y2019"], "yearly", "2020"),
        (["Wed Jan  1 00:00:00 UTC 2020", "Thu Jan  2 00:00:00 UTC 2020"], "daily", "2020-01-03 00:00Z"),
        (["20194", "20201", "20202", "20203"], "quarterly", "2020Q4"),
        (["122019", "012020", "022020"], "monthly", "2020-03"),
        (["30042020", "01052020"], "daily", "2020-05-02"),
        (["200430", "200501"], "daily", "2020-05-02"),
        (["2020.120", "2020.121", "2020.122", "2020.123"], "daily", "2020-05-03"),
        ([637134336000000000, 637135200000000000], "daily", "2020-01-03 00:00"),
        (["2018/19", "2019/20", "2020/21"], "yearly", "2021"),
        (["FY2018", "FY2019"], "yearly", "2020"),
        (["12.2019", "01.2020", "02.2020"], "monthly", "2020-03"),
        (["1/2020", "2/2020"], "monthly", "2020-03"),
        (["2020120", "2020121"], "daily", "2020-05-01"),
        (["10:00 30/04/2020", "11:00 30/04/2020"], "hourly", "2020-04-30 12:00"),
        (["2020-01-01T00:00:00+01:00[Europe/Paris]", "2020-01-01T01:00:00+01:00[Europe/Paris]"], "hourly", "2020-01-01 02:00+01:00"),
        (["令和元年11月", "令和元年12月", "令和2年1月"], "monthly", "2020-02"),
        (["R01/12/31", "R02/01/01"], "daily", "2020-01-02"),
        (["2019年第四季度", "2020年第一季度"], "quarterly", "2020Q2"),
        (["2023年12月份", "2024年1月份"], "monthly", "2024-02"),
        (["2022年度", "2023年度"], "yearly", "2024"),
        (["2019년 4분기", "2020년 1분기"], "quarterly", "2020Q2"),
        (["2019.4/4", "2020.1/4"], "quarterly", "2020Q2"),
        (["Quý IV/2019", "Quý I/2020"], "quarterly", "2020Q2"),
        (["IV кв. 2019 г.", "I кв. 2020 г."], "quarterly", "2020Q2"),
        (["Декабрь 2019 г.", "Январь 2020 г."], "monthly", "2020-02"),
        (["2019K4", "2020K1"], "quarterly", "2020Q2"),
        (["2019 4e kwartaal", "2020 1e kwartaal*"], "quarterly", "2020Q2"),
        (["2019MM12", "2020MM01"], "monthly", "2020-02"),
        (["FQ4 2019", "FQ1 2020"], "quarterly", "2020Q2"),
        (["जनवरी २०२०", "फ़रवरी २०२०"], "monthly", "2020-03"),
        (["Nov-59", "Dec-59", "Jan-60"], "monthly", "1960-02"),
        (["Dec-29", "Jan-30"], "monthly", "2030-02"),
        (["1650-01-01", "1650-01-02"], "daily", "1650-01-03"),
        (["2399-12-31", "2400-01-01"], "daily", "2400-01-02"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)  # fmt: skip
def test_times_as_people_write_them(read, times, name, then):
    table = read(two(times, "date"))
    assert table.series[0].tolist() == list(range(len(times)))
    assert (table.calendar.name, ahead(table)) == (name, then)


@pytest.mark.parametrize("column", ["week", "yearweek", "KW", "Woche"])
def test_weeks_in_six_digits(read, column):
    weeks = [f"{year}{week:02}" for year, last in ((2019, 52), (2020, 53), (2021, 9)) for week in range(1, last + 1)]
    table = read(two(weeks, column))
    assert (table.calendar.name, table.season, ahead(table)) == ("weekly", (52,), "2021-03-08")
    assert not np.isnan(table.series[0]).any()


def test_years_of_two_digits_say_their_century(read):
    table = read(two(pd.date_range("1999-12-20", periods=30).strftime("%d/%m/%y")))
    assert ahead(table) == "2000-01-19"
    assert any("two digits" in note and "99 is 1999" in note for note in table.notes)


@pytest.mark.parametrize(
    ("times", "name", "said"),
    [
        (["Mon", "Tue", "Wed"], "weekday", r"line 2: weekday is 'Mon', which has no date: .* time=\"none\""),
        (["09:00", "09:15", "09:30"], "uhrzeit", "line 2: uhrzeit is '09:00', which has no date"),
        (["Jan 10", "Jan 11", "Jan 12"], "day", "line 2: day is 'Jan 10', expected a date as in the other rows"),
        (["mars 2020", "avrul 2020", "mai 2020"], "mois", "line 3: mois is 'avrul 2020', expected a date"),
        (["2020-W52", "2020-W54"], "t", "line 3: t is '2020-W54', expected a date"),
        (["2019/20", "2020/22"], "t", "line 3: t is '2020/22', expected a date"),
        (["Nov-Jan 2020", "Feb-Apr 2020"], "t", "line 2: t is 'Nov-Jan 2020', expected a date"),
        (["大正1年", "大正2年"], "年", "line 2: 年 is '大正1年', expected a date"),
        (
            ["01022020", "02022020", "03022020"],
            "date",
            "date is 01022020, which can be read in two ways, 2020-02-01 or",
        ),
        (["Week 1", "Week 2"], "week", "line 2: week is 'Week 1', expected a date"),
        (["FW01 FY22", "FW02 FY22"], "Fiscal Week", "line 2: Fiscal Week is 'FW01 FY22', expected a date"),
        (["فروردین 1401", "اردیبهشت 1401"], "date", "whose year 1401 is one of the Persian or Islamic calendar"),
        (["ม.ค. 2565", "ก.พ. 2565"], "t", "whose year 2565 is one of the Buddhist calendar: write 2022"),
        (["2020-01-01 10:00 CET", "2020-01-01 11:00 CET"], "t", "whose zone CET has several meanings: .* zone="),
        (["2020-01-01 25:00", "2020-01-01 26:00"], "t", "line 2: t is '2020-01-01 25:00', which no clock shows"),
        (["31/04/2020", "01/05/2020"], "t", "line 2: t is '31/04/2020', expected a date"),
    ],
)
def test_times_that_cannot_be_read_are_refused(read, times, name, said):
    with pytest.raises(ValueError, match=said):
        read(two(times, name))


def test_days_of_the_year_in_numbers_that_are_not_dates_stay_numbers(read):
    assert read(two(range(43831, 43840), "sample")).calendar.name == "steps of 1"
    assert read(two(range(43831, 43840), "date")).calendar.name == "daily"  # Excel's days
    assert ahead(read(two(range(43831, 43840), "date"))) == "2020-01-10"


def shops(ids, disjoint=False, count=24):
    lines = []
    for place, one in enumerate(ids):
        months = np.datetime64("2019-03", "M") + np.arange(count) + (count * place if disjoint else 0)
        lines += [f"{one};{month};{100 * place + row}" for row, month in enumerate(months)]
    return lines


def test_series_are_told_apart_by_the_column_that_does(read):
    table = read("filiale;mois;ventes\n" + "\n".join(shops(["Lyon", "Nice"])))
    assert (table.names, table.roles.id) == (("Lyon", "Nice"), ("filiale",))
    assert any("named by filiale" in note for note in table.notes)
    table = read("region;store;mois;ventes\n" + "\n".join(shops(["N;1", "N;2", "S;1", "S;2"])))
    assert table.names == ("N / 1", "N / 2", "S / 1", "S / 2")
    assert [one[0] for one in table.series] == [0, 100, 200, 300]
    table = read("store;mois;ventes\n" + "\n".join(shops(["7", "8", "9"])))
    assert (table.names, table.roles.value) == (("7", "8", "9"), "ventes")


def test_series_with_disjoint_times_are_not_glued(read):
    text = "filiale;mois;ventes\n" + "\n".join(shops(["Lyon", "Nice"], disjoint=True))
    with pytest.raises(ValueError, match='column \'filiale\' may name 2 series .* id="filiale", or id="none"'):
        read(text)
    assert read(text, id="filiale").names == ("Lyon", "Nice")
    table = read(text, id="none")
    assert len(table.series[0]) == 48
    assert any(note.startswith("not used: filiale") for note in table.notes)


def test_every_column_without_a_role_is_named(read):
    rows = [f"2020-{month:02};{month};{'xyzxyzxyzxyz'[month - 1]};{month % 2};{month}.5" for month in range(1, 13)]
    table = read("mois;y;kind;promo;price\n" + "\n".join(rows))
    assert any(note.startswith("not used: kind, promo, price (") for note in table.notes)


def test_a_misspelt_column_is_told_which(read):
    with pytest.raises(ValueError, match="no column 'slaes', which value= names: did you mean 'sales'"):
        read("d;sales\n2020-01;5\n", value="slaes")


def times_of(index):
    return [time.isoformat() for time in index]


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin"])
def test_local_midnights_in_utc_are_dates(read, zone):
    days = pd.date_range("2021-02-01", periods=90, tz=zone)
    table = read(two(times_of(days.tz_convert("UTC"))))
    assert (table.calendar.name, table.season, ahead(table)) == ("daily", (7,), "2021-05-02")
    assert len(table.series[0]) == 90
    assert any("local midnights" in note for note in table.notes)


def test_local_times_without_a_zone_where_clocks_change(read):
    hours = pd.date_range("2021-10-30", periods=60, freq="h", tz="Europe/Berlin")
    text = two(hours.strftime("%Y-%m-%d %H:%M"))
    with pytest.raises(
        ValueError, match='lines 28 and 29 both have the time 2021-10-31 02:00: .* zone="Europe/Berlin"'
    ):
        read(text)
    table = read(text, zone="Europe/Berlin")
    assert (table.series[0].tolist(), ahead(table)) == (list(range(60)), "2021-11-01 11:00+01:00")
    with pytest.raises(ValueError, match="2021-03-28 02:30:00 does not exist in Europe/Berlin"):
        read(two(["2021-03-28 01:30", "2021-03-28 02:30"]), zone="Europe/Berlin")


def test_trading_hours_have_no_gaps(read):
    days = pd.bdate_range("2021-01-04", periods=15)
    times = [day + pd.Timedelta(minutes=30 * slot) for day in days for slot in range(19, 33)]
    table = read(two(map(str, times)))
    assert (table.season, ahead(table)) == ((14,), "2021-01-25 09:30")
    assert not np.isnan(table.series[0]).any()
    closed = [time for time in times if time.date() != pd.Timestamp("2021-01-12").date()]  # a holiday
    assert int(np.isnan(read(two(map(str, closed))).series[0]).sum()) == 14


def test_shops_that_are_closed_on_sundays(read):
    days = [day for day in pd.date_range("2021-01-04", periods=60) if day.weekday() < 6]
    table = read(two(day.strftime("%Y-%m-%d") for day in days))
    assert (table.calendar.name, table.season, len(table.series[0])) == ("6 days a week", (6,), len(days))


def test_ends_of_4_4_5_periods_count_as_months_and_it_is_said(read):
    ends = pd.Timestamp("2020-01-25") + pd.to_timedelta(np.cumsum([0, *[28, 35, 28] * 5]), unit="D")
    table = read(two(ends.strftime("%Y-%m-%d")))
    assert (table.calendar.name, ahead(table)) == ("monthly", "2021-05")
    assert any("days of the months vary" in note for note in table.notes)


def test_jitter_is_refused_and_cured_by_every(read):
    hours = pd.date_range("2021-01-01", periods=40, freq="h")
    times = hours + pd.to_timedelta(np.random.default_rng(0).integers(-40, 40, 40), unit="s")
    with pytest.raises(ValueError, match='not a whole number of steps .* every="1h"'):
        read(two(map(str, times)))
    table = read(two(map(str, times)), every="1h")
    assert (table.series[0].tolist(), ahead(table)) == (list(range(40)), "2021-01-02 16:00")


def test_events_are_summed_by_period(read):
    times = ["2021-01-01 08:10", "2021-01-01 23:59", "2021-01-03 00:00", "2021-01-04 12:00"]
    with pytest.raises(ValueError, match='both have the time 2021-01-01: .* duplicates="sum"'):
        read(two(times), every="1d")
    table = read(two(times, values=[1, 2, 3, 4]), every="1d", duplicates="sum", gaps="zero")
    assert table.series[0].tolist() == [3, 0, 3, 4]
    for how, value in {"mean": 1.5, "min": 1, "max": 2, "first": 1, "last": 2}.items():
        assert read(two(times, values=[1, 2, 3, 4]), every="1d", duplicates=how).series[0][0] == value
    weeks = read(two(times, values=[1, 2, 3, 4]), every="1w", duplicates="sum")
    assert (weeks.series[0].tolist(), weeks.times(0)[0].weekday()) == ([6, 4], 0)
    with pytest.raises(ValueError, match="every= is '5 moons', expected a number and s, min"):
        read(two(times), every="5 moons")


def test_many_gaps_name_the_series_and_the_options(read):
    text = "id;t;y\n" + "".join(f"A;2020-01-{day:02};1\n" for day in range(1, 9)) + "B;2020-01-01;1\nB;2020-06-01;2\n"
    with pytest.raises(ValueError, match=r"line 11: .* of series 'B'\): fill them with gaps=\"zero\""):
        read(text, id="id")
    assert len(read(text, id="id", gaps="missing").series[1]) == 153


def test_start_and_end(read):
    text = two(pd.date_range("2020-01-01", periods=100).strftime("%Y-%m-%d"))
    table = read(text, start="2020-02-01", end="2020-02")
    assert (len(table.series[0]), ahead(table)) == (29, "2020-03-01")
    with pytest.raises(ValueError, match="has no rows from 2030 to its last"):
        read(text, start="2030")


@pytest.mark.parametrize(
    ("text", "name", "then", "values"),
    [
        ("year,month,v\n" + "".join(f"{y},{m},{m}\n" for y in (2020, 2021) for m in range(1, 13)), "monthly", "2022-01", 24),
        ("año;mes;v\n" + "".join(f"2021;{m};1\n" for m in ("enero", "febrero", "marzo")), "monthly", "2021-04", 3),
        ("Jahr;Monat;Tag;v\n" + "".join(f"2020;2;{d};{d}\n" for d in range(20, 30)), "daily", "2020-03-01", 10),
        ("year,quarter,v\n" + "".join(f"{y},Q{q},{q}\n" for y in (2020, 2021) for q in (1, 2, 3, 4)), "quarterly", "2022Q1", 8),
        ("year,week,v\n" + "".join(f"2020,{w},{w}\n" for w in range(40, 54)), "weekly", "2021-01-04", 14),
        ("date,hour,v\n" + "".join(f"2020-01-0{d},{h},1\n" for d in (1, 2) for h in range(24)), "hourly", "2020-01-03 00:00", 48),
        ("date,HE,v\n" + "".join(f"2020-01-0{d},{h},1\n" for d in (1, 2) for h in range(1, 25)), "hourly", "2020-01-03 01:00", 48),
        ("Datum;Uhrzeit;v\n" + "".join(f"0{d}.01.2020;{h:02}:30;1\n" for d in (1, 2) for h in range(24)), "hourly", "2020-01-03 00:30", 48),
        ("land,2018,2019,2020,2021\nFR,1,2,3,4\nDE,5,6,7,8\n", "yearly", "2022", 4),
        ("land;Jan 2020;Feb 2020;Mrz 2020\nFR;1;2;3\nDE;5;6;7\n", "monthly", "2020-04", 3),
        ("Year,Jan,Feb,Mar,Apr,May,Jun,Jul,Aug,Sep,Oct,Nov,Dec\n" + "".join(f"{y}" + ",1" * 12 + "\n" for y in (2019, 2020)), "monthly", "2021-01", 24),
        ("Year,Jan,Feb,Mar,Apr,May,Jun,Jul,Aug,Sep,Oct,Nov,Dec,Total\n" + "".join(f"{y}" + ",1" * 12 + f",{y}\n" for y in (2019, 2020)), "monthly", "2021-01", 24),
        ("year;Q1;Q2;Q3;Q4\n2019;1;2;3;4\n2020;5;6;7;8\n", "quarterly", "2021Q1", 8),
        ("date," + ",".join(f"{h}:00" for h in range(24)) + "\n" + "".join(f"2020-01-0{d}" + ",1" * 24 + "\n" for d in (1, 2)), "hourly", "2020-01-03 00:00", 48),
        ("Report 2020;;\n\nmois;ventes;\n;kEUR;\n2020-01;5;\n2020-02;6;\n2020-03;7;\nTotal;18;\n\n* provisional;;\n", "monthly", "2020-04", 3),
        ("sep=;\nd;v\n2020-01;5\n2020-02;6\n", "monthly", "2020-03", 2),
        ("date        v\n2020-01-01  5\n2020-01-02  6\n", "daily", "2020-01-03", 2),
        ("date v\n2020-01-01 5\n2020-01-02 6\n2020-01-03 7\n", "daily", "2020-01-04", 3),
        ("d,v,\n2020-01,5,\n2020-02,6,\n", "monthly", "2020-03", 2),
        ("YEAR,MO,DY,v\n" + "".join(f"2020,2,{d},{d}\n" for d in range(20, 30)), "daily", "2020-03-01", 10),
        ("YEAR,DOY,v\n" + "".join(f"2020,{d},{d}\n" for d in range(51, 61)), "daily", "2020-03-01", 10),
        ("Year,Period,v\n" + "".join(f"{y},M{m:02},{m}\n" for y in (2020, 2021) for m in range(1, 13)), "monthly", "2022-01", 24),
        ("Year,Period,v\n" + "".join(f"{y},Q0{q},{q}\n" for y in (2020, 2021) for q in (1, 2, 3, 4)), "quarterly", "2022Q1", 8),
        ("TYPE,DATE,START TIME,END TIME,USAGE\n" + "".join(f"E,2020-01-0{d},{h:02}:00,{h:02}:59,1\n" for d in (1, 2) for h in range(24)), "hourly", "2020-01-03 00:00", 48),
        ("m,date," + ",".join(f"{h // 2:02}:{h % 2 * 30:02}" for h in range(48)) + "\n" + "".join(f"A,2020-01-0{d}" + ",1" * 48 + "\n" for d in (1, 2)), "half-hourly", "2020-01-03 00:00", 96),
        ("date," + ",".join(f"{h // 4}:{h % 4 * 15:02}" for h in [*range(1, 96), 0]) + "\n" + "".join(f"2020-01-0{d}" + ",1" * 96 + "\n" for d in (1, 2)), "every 15 minutes", "2020-01-03 00:15", 192),
        ("date," + ",".join(f"HH{h}" for h in range(1, 49)) + "\n" + "".join(f"2020-01-0{d}" + ",1" * 48 + "\n" for d in (1, 2)), "half-hourly", "2020-01-03 00:00", 96),
        ("Month,2019,2020,2021\n" + "".join(f"{m},1,2,3\n" for m in ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]), "monthly", "2022-01", 36),
        ("week,2019,2021,2022\n" + "".join(f"{w},1,2,3\n" for w in range(1, 53)), "weekly", "2023-01-02", 209),
        (" YEAR   1    2    3    4    5    6    7    8    9   10   11   12\n" + "".join(f" {y} " + "  0.5" * 12 + "\n" for y in (2019, 2020)), "monthly", "2021-01", 24),
        ("     Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec\n" + "".join(f"{y}" + "  112" * 12 + "\n" for y in (1949, 1950, 1951)), "monthly", "1952-01", 36),
        ("| d | v |\n|---|--:|\n| 2020-01 | 5 |\n| 2020-02 | 6 |\n", "monthly", "2020-03", 2),
        ("+---------+---+\n| d       | v |\n+---------+---+\n| 2020-01 | 5 |\n| 2020-02 | 6 |\n| 2020-03 | 7 |\n+---------+---+\n3 rows in set\n", "monthly", "2020-04", 3),
        ("  d       | v \n----------+---\n 2020-01 | 5\n 2020-02 | 6\n 2020-03 | 7\n(3 rows)\n", "monthly", "2020-04", 3),
        ("% made by hand\n// twice\nd,v\n2020-01,5\n# a note\n2020-02,6\nd,v\n2020-03,7\n", "monthly", "2020-04", 3),
        ("# d,v\n2020-01,5\n2020-02,6\n", "monthly", "2020-03", 2),
        ("d^v\n2020-01^5\n2020-02^6\n", "monthly", "2020-03", 2),
        ('d,v\n"=""2020-01""","=""5"""\n"=""2020-02""","=""6"""\n', "monthly", "2020-03", 2),
        ("Price,Close\nTicker,AAPL\nDate,\n2020-01-01,5\n2020-01-02,6\n2020-01-03,7\n", "daily", "2020-01-04", 3),
        ("result,table,_time,_value\nr,0,2020-01-01T00:00:00Z,5\nr,0,2020-01-02T00:00:00Z,6\n", "daily", "2020-01-03 00:00Z", 2),
        ("id,store,d_1,d_2,d_3,d_4\nA,s1,1,2,3,4\nB,s1,5,6,7,8\n", "steps of 1", "5", 4),
        ("V1,V2,V3,V4,V5\nY1,1,2,3,4\nY2,5,6,7,8\n", "steps of 1", "6", 4),
    ],
)  # fmt: skip
def test_layouts(read, text, name, then, values):
    table = read(text)
    assert (table.calendar.name, ahead(table), len(table.series[0])) == (name, then, values)
    assert np.isnan(table.series[0]).sum() == (53 if values == 209 else 0)  # 2020 has 53 weeks, and no column


def test_names_of_groups_above_the_header(read):
    table = read("d,Sales,,Cost,\n,N,S,N,S\n2020-01,1,2,3,4\n2020-02,5,6,7,9\n", wide=True)
    assert table.names == ("Sales N", "Sales S", "Cost N", "Cost S")


def test_labels_of_letters_and_digits_name_series_and_are_no_numbers(read):
    table = read("store,date,sales\n" + "".join(f"s{s},2020-01-0{d},{d}\n" for s in (1, 2) for d in (1, 2, 3)))
    assert (table.names, table.roles.value) == (("s1", "s2"), "sales")


def test_names_that_end_in_numbers_are_no_numbers(read):
    names = [f"{name} {number}" for number, name in enumerate(["Lyon", "Nice", "Metz", "Brest", "Dijon"], 1)]
    table = read("shop,date,sales\n" + "".join(f"{name},2020-01-0{d},{d}\n" for name in names for d in (1, 2, 3)))
    assert (table.names, table.roles.value) == (tuple(names), "sales")


def test_a_constant_column_is_not_forecast_but_named(read):
    table = read("station,date,level\n44,2020-01-01,1\n44,2020-01-02,-999\n44,2020-01-03,3\n")
    np.testing.assert_array_equal(table.series[0], [1, np.nan, 3])
    assert any(note.startswith("not used: station") for note in table.notes)
    assert "level: -999 is taken as missing in 1 row" in table.notes


def test_a_table_of_eurostat(read):
    text = "freq,unit,geo\\TIME_PERIOD\t2019-Q1 \t2019-Q2 \t2019-Q3 \nQ,I15,FR\t101.5 \t102 p\t: \nQ,I15,EL\t99 \t98.5 e\t97 \n"
    table = read(text, "data.tsv")
    assert (table.names, table.calendar.name) == (("FR", "EL"), "quarterly")
    assert [one.tolist() for one in table.series] == [[101.5, 102], [99, 98.5, 97]]
    assert "flags after the values are left out" in table.notes


def test_a_table_of_the_world_bank(read):
    years = ",".join(f'"{year}"' for year in range(2000, 2006))
    text = f'"Data Source","WDI",\n\n"Last Updated","2024-01-01",\n\n"Country Name","Country Code","Indicator Name",{years},\n'
    text += '"Chad","TCD","GDP","1","2","","4","5","6",\n"Peru","PER","GDP","1","2","3","4","5","6",\n'
    table = read(text)
    assert (table.names, ahead(table)) == (("Chad", "Peru"), "2006")
    np.testing.assert_array_equal(table.series[0], [1, 2, np.nan, 4, 5, 6])
    assert any("lines 1 to 3 before the header" in note for note in table.notes)
    assert any(note.startswith("not used: Country Code") for note in table.notes)


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["12.3K", "950", "1.2M"], [12300, 950, 1200000]),
        (["USD 5", "USD 6.5"], [5, 6.5]),
        (["7 kWh", "8 kWh"], [7, 8]),
        (["1,23,456", "12,34,567.5"], [123456, 1234567.5]),
        (["(7)", "8"], [-7, 8]),
        (["$(1,207)", "$8.50"], [-1207, 8.5]),
        (["١٬٢٠٧٫٥", "٨٫٥"], [1207.5, 8.5]),
        (["１２．５", "８"], [12.5, 8]),
        (["***", "8", "unavailable"], [np.nan, 8, np.nan]),
        (["7-", "8"], [-7, 8]),
        (["(£7)", "£8"], [-7, 8]),
        (["-$7", "$8"], [-7, 8]),
        (["7\u202f654,5", "1\u2009234"], [7654.5, 1234]),
        (["7,5 %", "8,5 %"], [7.5, 8.5]),
        (["7*", "8", "9 p"], [7, 8, 9]),
        (["7 654 321", "8"], [7654321, 8]),
        (["true", "false", "1"], [1, 0, 1]),
        ([":", "8", "n.d."], [np.nan, 8, np.nan]),
    ],
)
def test_numbers_with_units(read, cells, values):
    months = [f"2020-{month:02}" for month in range(1, len(cells) + 1)]
    found = read(two(months, values=cells), value="a", time="t").series[0]
    known = np.flatnonzero(np.isfinite(values))
    np.testing.assert_array_equal(found, values[known[0] : known[-1] + 1])


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["5 EUR", "6 USD"], "line 3: a is '6 USD', but other cells have the unit 'EUR'"),
        (["5 %", "6"], "line 2: a is '5 %', but other cells have no unit"),
        (["<5", "6"], "line 2: a is '<5'"),
        (["1/2", "6"], "line 2: a is '1/2', expected a finite number"),
        (["1_000", "6"], "line 2: a is '1_000', expected a finite number"),
        (["x" * 300, "6", "7"], "line 2: a is 'x{59}…, expected a finite number"),
    ],
)
def test_numbers_that_are_none(read, cells, said):
    months = [f"2020-{month:02}" for month in range(1, len(cells) + 1)]
    with pytest.raises(ValueError, match=said):
        read(two(months, values=cells), value="a")


DAYS = two(pd.date_range("2021-01-01", periods=10).strftime("%Y-%m-%d"))
RECORDS = [{"t": f"2021-01-{day:02}", "a": day - 1} for day in range(1, 11)]


def zipped(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def written(kind, **options):
    frame = pd.DataFrame({"t": pd.date_range("2021-01-01", periods=10), "a": np.arange(10.0)})
    file = io.BytesIO()
    getattr(frame, f"to_{kind}")(file, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "library"),
    [
        ("d.csv.gz", lambda: gzip.compress(DAYS.encode()), None),
        ("d.zip", lambda: zipped(**{"in.csv": DAYS}), None),
        ("d.json", lambda: json.dumps(RECORDS).encode(), None),
        ("d.jsonl", lambda: "\n".join(map(json.dumps, RECORDS)).encode(), None),
        ("d.json", lambda: json.dumps({"meta": "x", "data": RECORDS}).encode(), None),
        ("d.json", lambda: json.dumps({row["t"]: row["a"] for row in RECORDS}).encode(), None),
        ("d.json", lambda: json.dumps([[row["t"], row["a"]] for row in RECORDS]).encode(), None),
        ("d.json", lambda: json.dumps([row["a"] for row in RECORDS]).encode(), "rows"),
        (
            "d.json",
            lambda: json.dumps([{"t": {"$date": row["t"]}, "m": {"a": row["a"]}} for row in RECORDS]).encode(),
            None,
        ),
        ("d.json", lambda: json.dumps([[{**row, "tags": ["x"]} for row in RECORDS]]).encode(), None),
        *[
            ("d.json", lambda kind=kind: pd.DataFrame(RECORDS).set_index("t").to_json(orient=kind).encode(), None)
            for kind in ("split", "columns", "index")
        ],
        ("d.json", lambda: json.dumps({"hits": {"hits": [{"_source": row} for row in RECORDS]}}).encode(), None),
        *[
            ("d.json", lambda kind=kind: pd.DataFrame(RECORDS).to_json(orient=kind).encode(), None)
            for kind in ("split", "records", "columns", "table")
        ],
        ("d.csv", lambda: DAYS.encode("utf-32"), None),
        ("d.xlsx", lambda: written("excel", index=False, engine="openpyxl"), "openpyxl"),
        ("d.parquet", lambda: written("parquet"), "pyarrow"),
        ("d.feather", lambda: written("feather"), "pyarrow"),
    ],
)
def test_kinds_of_files(read, name, content, library):
    if library not in (None, "rows"):
        pytest.importorskip(library)
    if name.endswith("xlsx"):
        pytest.importorskip("python_calamine")
    table = read(content(), name)
    assert (table.series[0].tolist(), ahead(table)[:10]) == (
        list(range(10)),
        "11" if library == "rows" else "2021-01-11",
    )


def test_merged_cells_of_a_workbook(read):
    pytest.importorskip("python_calamine")
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    sheet = book.active
    for row in (["Report", None, None], ["Region", "Month", "Sales"]):
        sheet.append(row)
    for number in range(6):
        sheet.append([["North", "South"][number // 3] if number % 3 == 0 else None, f"2020-0{number % 3 + 1}", number])
    for cells in ("A1:C1", "A3:A5", "A6:A8"):
        sheet.merge_cells(cells)
    file = io.BytesIO()
    book.save(file)
    table = read(file.getvalue(), "d.xlsx")
    assert (table.names, [one.tolist() for one in table.series]) == (("North", "South"), [[0, 1, 2], [3, 4, 5]])


def test_covers_and_titles_of_a_workbook(read):
    pytest.importorskip("python_calamine")
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active["A1"] = "Annual report"
    sheet = book.create_sheet("data")
    sheet["B2"] = "Sales by month"
    sheet.merge_cells("B2:D2")
    for row, cells in enumerate([["month", "kg", "EUR"], *([f"2020-0{one}", one, 9 * one] for one in range(1, 6))], 4):
        for place, cell in enumerate(cells, 2):
            sheet.cell(row, place, cell)
    file = io.BytesIO()
    book.save(file)
    table = read(file.getvalue(), "d.xlsx", value="kg")
    assert (table.series[0].tolist(), ahead(table)) == ([1, 2, 3, 4, 5], "2020-06")
    assert "sheet 'data' is read; others with sheet=: Sheet" in table.notes


def test_sheets_and_members_by_name(read):
    pytest.importorskip("python_calamine")
    pytest.importorskip("openpyxl")
    file = io.BytesIO()
    with pd.ExcelWriter(file, engine="openpyxl") as book:
        for number, name in enumerate(("first", "second")):
            pd.DataFrame({"d": ["2020-01", "2020-02"], "v": [number, 9]}).to_excel(book, sheet_name=name, index=False)
    table = read(file.getvalue(), "d.xlsx")
    assert (table.series[0][0], "sheet 'first' is read; others with sheet=: second" in table.notes) == (0, True)
    assert read(file.getvalue(), "d.xlsx", sheet="second").series[0][0] == 1
    two_files = zipped(**{"a.csv": DAYS, "b.csv": DAYS})
    with pytest.raises(ValueError, match='holds 2 files: choose one with sheet=, such as sheet="a.csv"'):
        read(two_files, "d.zip")
    assert len(read(two_files, "d.zip", sheet="b.csv").series[0]) == 10


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("d.gz", gzip.compress(DAYS.encode(), mtime=0)[:40], "is a damaged archive"),
        ("d.zip", b"PK\x03\x04zzz", "is a damaged zip archive"),
        ("d.json", b'[{"a": 1},', "line 1 is not JSON"),
        ("d.json", b"[" * 100_000, "nested too deeply"),
        ("d.json", b'[{"a": [1]}]', "has nested values in 'a'"),
        # found by mutants: the words of a date were looked up in time quadratic in its length, which took hours here
        ("d.json", json.dumps([{"t": "2020-01-31T" + "00T" * 30_000, "a": 1.0}]).encode(), "too long for a date"),
        ("d.dta", b"<stata_dta><header>", "a Stata file: read it with pandas.read_stata"),
        ("d.db", b"SQLite format 3\0", "an SQLite database: read it with pandas.read_sql"),
    ],
)
def test_files_that_are_refused(read, name, content, said):
    with pytest.raises(ValueError, match=said):
        read(content, name)


def test_a_season_without_dates_is_found_among_noise():
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(60):
        count = rng.integers(48, 200)
        values = (
            rng.normal(0, 0.4, count) + np.tile(rng.normal(size=12), count // 12 + 1)[:count] + 0.02 * np.arange(count)
        )
        found += read_table(pd.DataFrame({"y": values})).season == (12,)
    assert found > 50
    walks = [read_table(pd.DataFrame({"y": np.cumsum(rng.normal(size=100))})).season for _ in range(40)]
    assert sum(season != () for season in walks) <= 2
