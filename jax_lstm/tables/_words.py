"""Words in dates and in the names of columns: months and weekdays in the languages that Babel knows."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas

_LOCALES = re.findall(
    r"\w+",
    "en fr de es it pt nl sv da nb fi pl cs sk hu ro tr ru uk be bg sr sr_Latn hr bs sl mk el et lv lt is ga ca gl eu "
    "sq id ms he ar fa hi vi az ka hy af sw",
)
"""Languages in the order in which they are tried."""
_MARKS = {
    "q": "q qtr quarter quartal quart trimestre trim t quartaal kwartaal kvartal kv k fq quy кв квартал 季度 季 "
    "분기 四半期",
    "h": "h hy half semestre sem semester halbjahr hj s",
    "w": "w wk kw week woche semaine settimana semana",
    "m": "m mm per thang 월 月 月份",
    "fy": "fy cy gj",
}
_MARK = {word: mark for mark, words in _MARKS.items() for word in words.split()}
_NUMBERS = {"first": "1", "second": "2", "third": "3", "fourth": "4", "i": "1", "ii": "2", "iii": "3", "iv": "4"}
_ROMAN = re.compile(rf"\b({'|'.join(_NUMBERS)})\W*(?:q|kw|kv|кв|trim|quart)[^\W\d]*\.?")
_ROMAN_AFTER = re.compile(r"\b(?:quy|kwartal|quart[^\W\d]*|trim[^\W\d]*|q)\W*(iv|i{1,3})\b")
_HAN = dict(zip("一二三四", "1234", strict=True))
_MONTHS = "january february march april may june july august september october november december"
_INITIALS = "JFMAMJJASOND"
_SEASONS = {
    _INITIALS[month - 1] + _INITIALS[month] + _INITIALS[(month + 1) % 12]: name[:3].title()
    for month, name in enumerate(_MONTHS.split())
}
_ALIASES = {"mrz": 3, "sept": 9, "okt": 10}
_WORD = re.compile(r"(?<!:\d\d )(?<!:\d\d)(?<!:\d\d \()[^\W\d_]+")  # what follows a clock is a zone
_TIMES = re.compile(
    r"ds|date.*|.*date|.*_dt|dt|day|month|months|week|weeks|year|years|quarter|period|time.*|.*time|.*timestamp|index|"
    r"datum|tag|monat|woche|jahr|quartal|zeit.*|jour|mois|semaine|annee|trimestre|periode|heure|horodatage|fecha|dia|mes|"
    r"semana|ano|trimestre|periodo|hora|data|giorno|mese|settimana|anno|ora|dag|maand|jaar|kwartaal|tijd.*|yw|yearweek|"
    r"年|年度|月|日|年月|月份|日期|日付|时间|날짜|월|년|연도|kw|yearmonth|year_?month|year_?week|ym|hour|as_?of|week_?(start|end|ending|beginning|of)|month_?(end|start)",
)
_NUMBERED = re.compile(r"year.*|month.*|week.*|quarter|yw|kw|ym|jahr|annee|ano|anno|jaar|index|timestamp|time|period")


def without_accents(text: str) -> str:
    """Lower case without accents, and with the digits of ASCII.

    >>> without_accents("Février")
    'fevrier'
    """
    if text.isascii():
        return text.lower()
    letters = unicodedata.normalize("NFKD", text.lower())
    letters = "".join(one for one in letters if unicodedata.category(one)[0] != "M")
    letters = "".join(str(int(one)) if one.isdecimal() else one for one in letters)
    return unicodedata.normalize("NFC", letters)  # syllables of Hangul in one piece again


def is_time_name(name: Any, *, dates: bool = False) -> bool:
    """Whether a column is called as columns of times are; of dates alone where asked for."""
    key = without_accents(str(name)).strip()
    if str(name).strip() == "kW":  # KW is a week
        return False
    return _TIMES.fullmatch(key) is not None and not (dates and _NUMBERED.fullmatch(key))


def simple(column: pandas.Series) -> pandas.Series:
    """Texts of times in lower case with a token such as <03> for every month, without weekdays and ordinal endings."""
    texts = column.astype(str).map(without_accents).str.strip().str.replace(r"\s+", " ", regex=True)
    texts = texts.str.replace(r"^\[([^\[]*)\]$", r"\1", regex=True)
    texts = texts.str.replace(_ROMAN, lambda match: f"{_NUMBERS[match[1]]} q", regex=True)
    texts = texts.str.replace(_ROMAN_AFTER, lambda match: f"q {_NUMBERS[match[1]]}", regex=True)
    texts = texts.str.replace(r"(?<=\d{4})\s?(?:年度?|년도?)", "-", regex=True)
    texts = texts.str.replace(
        r"第?([一二三四1-4])(?=季|四半期)", lambda match: f"{_HAN.get(match[1], match[1])} ", regex=True
    )
    words = {word for text in texts for word in _WORD.findall(text)} - {"t", "z", "utc", "gmt", "am", "pm", "a", "p"}
    unknown = {word for word in words if word not in _MARK}
    months = _months(frozenset(unknown)) if unknown else {}

    def token(match: re.Match[str]) -> str:
        word = match[0]
        text, start, end = match.string, match.start(), match.end()
        if word == "t" and re.fullmatch(r"\d\d", text[max(start - 2, 0) : start]):
            return "t" if re.fullmatch(r"\d\d", text[end : end + 2]) else "q"
        if word == "p" and re.match(r"\W*\d", text[end:]):
            return "m"
        return months.get(word, _MARK.get(word, word))

    found = texts.map(lambda text: _WORD.sub(token, text))
    found = found.str.replace(r"^(\d{1,2}:\d\d(?::\d\d)?)[ ,]+([^-]*\d.*)$", r"\2 \1", regex=True)  # the clock first
    found = found.str.replace(r"^(.*\d) (\d\d:\d\d:\d\d)( \S+)? (\d{4})$", r"\1 \4 \2\3", regex=True)  # the year last
    found = found.str.replace(r"(?<=\d)(st|nd|rd|th|er|e|o|a)(?=\W|$)", "", regex=True)
    return found.str.replace(r"(?<!\w)(of|de|del|di|the|nam|г|год|года|r|roku)(?!\w)", " ", regex=True).str.strip(
        " ,.-'()*"
    )


def are_seasons(column: pandas.Series) -> bool:
    """Whether all cells are initials of three months, as climate centers name seasons."""
    return bool(column.isin(_SEASONS).all())


def seasons_as_months(column: pandas.Series) -> pandas.Series:
    """Texts, with the initials of three months replaced by the middle one, where at least four seasons are there.

    >>> import pandas
    >>> seasons_as_months(pandas.Series(["DJF", "MAM", "JJA", "SON", "year"])).tolist()
    ['Jan', 'Apr', 'Jul', 'Oct', 'year']
    """
    return column.replace(_SEASONS) if len(set(column) & set(_SEASONS)) > 3 else column


@cache
def _months(words: frozenset[str]) -> dict[str, str]:
    """Tokens of words: of the first language that knows all of them, else of English."""
    best: dict[str, str] = {}
    for locale in _LOCALES:
        names = _names(locale)
        found = {word: token for word in words if (token := _token(word, names)) is not None}
        if len(found) > len(best):
            best = found
        ignored = {"of", "de", "del", "di", "the", "st", "nd", "rd", "th", "er", "o", "a"}
        if len(found) == len(words - ignored):
            break
    return best


def _token(word: str, names: dict[str, int]) -> str | None:
    if word in _ALIASES:
        return f"<{_ALIASES[word]:02}>"
    found = {names[word]} if word in names else {
        number for name, number in names.items() if len(word) >= 3 and name.startswith(word)
    }  # fmt: skip
    months = {number for number in found if number > 0}
    if len(months) == 1:
        return f"<{months.pop():02}>"
    return "" if found == {0} and (len(word) > 1 or not word.isascii()) else None


@cache
def _names(locale: str) -> dict[str, int]:
    """The months of a language by their names, and 0 for the days of the week."""
    if locale == "en":
        months = _MONTHS.split()
        days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
        return {day: 0 for day in days} | {name: number for number, name in enumerate(months, 1)}
    try:
        from babel.dates import get_day_names, get_month_names
    except ImportError:
        return {}
    found: dict[str, int] = {}
    widths: tuple[Literal["wide", "abbreviated"], ...] = ("wide", "abbreviated")
    contexts: tuple[Literal["format", "stand-alone"], ...] = ("format", "stand-alone")
    pairs = [(width, context) for width in widths for context in contexts]
    for width, context in pairs:
        found |= {_bare(name): 0 for name in get_day_names(width, context, locale).values()}
    for width, context in pairs:  # months win over days: mar. is both in French
        found |= {_bare(name): number for number, name in get_month_names(width, context, locale).items()}
    return found


def _bare(name: Any) -> str:
    return without_accents(str(name)).strip(".")
