"""Files in other encodings and with years of other calendars: read as asked for, or refused with what to do."""

import pytest

from jax_lstm.tables import read_table

pytest.importorskip("pandas")

FILES = {
    "shift_jis": "日付,売上\n2020年1月,5\n2020年2月,6\n2020年3月,8\n",
    "gb18030": "日期,销售额\n2020-01,5\n2020-02,6\n2020-03,8\n",
    "cp1251": "Дата;Продажи\nянварь 2020;5\nфевраль 2020;6\nмарт 2020;8\n",
    "cp1250": "miesiąc;sprzedaż\nstyczeń 2020;5\nluty 2020;6\nmarzec 2020;8\n",
    "cp850": "Monat;Umsätze\nJanuar 2020;5\nFebruar 2020;6\nMärz 2020;8\n",
}


@pytest.fixture
def read(tmp_path):
    def from_bytes(content, **options):
        path = tmp_path / "data.csv"
        path.write_bytes(content)
        return read_table(path, **options)

    return from_bytes


@pytest.mark.parametrize("encoding", FILES)
def test_text_in_another_encoding_is_refused_with_the_option_and_read_with_it(read, encoding):
    content = FILES[encoding].encode(encoding)
    with pytest.raises(ValueError, match=rf'line 1 is not UTF-8, and .* encoding="{encoding}"') as caught:
        read(content)
    assert "\n" not in str(caught.value)
    table = read(content, encoding=encoding)
    name = FILES[encoding].split("\n")[0].replace(";", ",").split(",")[1]
    assert (table.roles.value, table.series[0].tolist()) == (name, [5.0, 6.0, 8.0])
    assert table.calendar.texts(table.times_ahead(0, 1)) == ["2020-04"]


def test_text_of_western_europe_is_read_with_a_note_that_names_the_option(read):
    table = read("Mois;Créées à l’été €\nfévr. 2020;5\xa0000\nmars 2020;6\xa0000\n".encode("cp1252"))
    assert (table.roles.value, table.series[0].tolist()) == ("Créées à l’été €", [5000.0, 6000.0])
    assert any("encoding=" in note for note in table.notes)


@pytest.mark.parametrize(
    ("content", "options", "fault"),
    [
        (b"t,y\n1,2\n", {"encoding": "shift-jiss"}, "encoding= is 'shift-jiss', expected the name of an encoding"),
        (b"t,y\n1,2\n", {"encoding": "base64"}, "encoding= is 'base64', expected the name of an encoding"),
        (b"t,y\n1,2\n2,\xe9\n", {"encoding": "utf-8"}, "line 3: byte 10 is not utf-8: give another encoding="),
        ("Straße;Größe\n1;2\n".encode() + b"3;4\xe9\n", {}, "line 3: byte 23 is not UTF-8 as the others are"),
    ],
)
def test_encodings_that_are_wrong(read, content, options, fault):
    with pytest.raises(ValueError, match=fault):
        read(content, **options)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("month,y\n2563-01,5\n2563-02,6\n2563-03,7\n", "2563 is one of the Buddhist calendar: write 2020"),
        ("date,y\n31/01/2563,5\n29/02/2563,6\n31/03/2563,7\n", "2563 is one of the Buddhist calendar"),
        ("date,y\n๒๕๖๓-๐๑-๐๑,5\n๒๕๖๓-๐๑-๐๒,6\n๒๕๖๓-๐๑-๐๓,7\n", "2563 is one of the Buddhist calendar"),
        ("date,y\nม.ค. 2563,5\nก.พ. 2563,6\nมี.ค. 2563,7\n", "2563 is one of the Buddhist calendar"),
        ("year,y\n2560,5\n2561,6\n2562,7\n", "2560 is one of the Buddhist calendar: write 2017"),
        ("date,y\n1402/01/30,5\n1402/01/31,6\n1402/02/01,7\n", "1402 is one of the Persian or Islamic calendar"),
        ("date,y\n1402/02/30,5\n1402/02/31,6\n1402/03/01,7\n", "1402 is one of the Persian or Islamic calendar"),
        ("date,y\n14020230,5\n14020231,6\n14020301,7\n", "1402 is one of the Persian or Islamic calendar"),
        ("date,y\n۱۴۰۲-۰۱-۰۱,5\n۱۴۰۲-۰۱-۰۲,6\n", "1402 is one of the Persian or Islamic calendar"),
        ("date,y\nRamadan 1445,5\nShawwal 1445,6\n", "1445 is one of the Persian or Islamic calendar"),
    ],
)
def test_years_of_other_calendars_are_refused(read, text, fault):
    with pytest.raises(ValueError, match=rf"line 2: .*whose year {fault}"):
        read(text.encode())


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("year,width\n1300,5\n1301,6\n1302,7\n", "1303"),
        ("date,y\n٢٠٢٠-٠١,5\n٢٠٢٠-٠٢,6\n٢٠٢٠-٠٣,7\n", "2020-04"),
        ("date,y\n2020-01-01,2450\n2020-01-02,2563\n2020-01-03,1402\n", "2020-01-04"),
    ],
)
def test_numbers_and_years_that_are_no_other_calendar(read, text, then):
    table = read(text.encode())
    assert table.calendar.texts(table.times_ahead(0, 1)) == [then]


@pytest.mark.parametrize(
    ("zone", "fix"),
    [
        ("CET", "zone CET has several meanings: .* give its full name as zone="),
        ("(CET)", "zone CET has several meanings"),
        ("Europe/Berlin", 'remove it and give zone="Europe/Berlin"'),
        ("Eastern Standard Time", "zone Eastern Standard Time has several meanings"),
    ],
)
def test_the_name_of_a_zone_after_the_time(read, zone, fix):
    with pytest.raises(ValueError, match=fix):
        read(f"t,y\n2020-01-01 00:00 {zone},5\n2020-01-01 01:00 {zone},6\n".encode())
