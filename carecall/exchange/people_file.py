"""A list of people as a file: its columns in English and Korean, and every line checked."""

import difflib
import functools
import re
import unicodedata
import zoneinfo
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

import phonenumbers
from phonenumbers.tzdata import TIMEZONE_DATA

from carecall.domain.language import Language
from carecall.errors import ImportFileError
from carecall.exchange.table_file import FileInMemory, Line, Table, read_table, unprinted
from carecall.store.people import Person
from carecall.store.tables import ConsentSource

MAX_PATIENCE_S = 10.0
_LONGEST = {"name": 100, "notes": 2000}
_LONGEST_OTHER = 64
_EXAMPLE = "write it with country code, such as +82 10 1234 5678"


class Column(StrEnum):
    """A column that a list may have."""

    NAME = "name"
    PHONE = "phone"
    LANGUAGE = "language"
    TIME_ZONE = "time_zone"
    CONSENT = "consent"
    CONSENT_SOURCE = "consent_source"
    RECORDING_CONSENT = "recording_consent"
    OPENS = "opens"
    CLOSES = "closes"
    PATIENCE_S = "patience_s"
    NOTES = "notes"
    LAST_DAY = "last_day"
    REASON = "reason"  # of a list of rejected lines; not read


OF_THE_CAMPAIGN = (Column.CONSENT, Column.CONSENT_SOURCE, Column.LAST_DAY)  # what is kept with an enrollment

_HEADINGS: Mapping[Column, str] = {
    Column.NAME: "name, full name, 이름, 성명, 성함",
    Column.PHONE: "phone, phone number, telephone, mobile, 전화, 전화번호, 휴대전화, 휴대폰, 휴대폰번호, 연락처",
    Column.LANGUAGE: "language, 언어",
    Column.TIME_ZONE: "time zone, 시간대",
    Column.CONSENT: "consent, 동의, 동의여부, 동의일",
    Column.CONSENT_SOURCE: "consent source, 동의방법, 동의방식",
    Column.RECORDING_CONSENT: "recording consent, recording, 녹음동의, 녹음동의여부, 녹음동의일, 녹음",
    Column.OPENS: "opens, 통화시작, 시작시각",
    Column.CLOSES: "closes, 통화종료, 종료시각",
    Column.PATIENCE_S: "patience s, patience, 기다림, 대기시간",
    Column.NOTES: "notes, note, 비고, 메모",
    Column.LAST_DAY: "last day, 마지막날, 종료일",
    Column.REASON: "reason, 사유",
}
_LANGUAGES = {"ko": "ko, kor, korean, 한국어", "en": "en, eng, english, 영어"}
_CONSENTS = {
    "yes": "yes, y, true, 1, 예, 네, 동의, 동의함, o",
    "no": "no, n, false, 0, 아니오, 아니요, 미동의, 거부, x",
}
_SOURCES = {"written": "written, paper, 서면", "spoken": "spoken, verbal, oral, 구두, 전화"}


def _plain(text: str) -> str:
    return re.sub(r"[\s_\-]", "", text).casefold()


def _words(names: Mapping[Column, str] | Mapping[str, str]) -> dict[str, str]:
    return {_plain(word): str(value) for value, words in names.items() for word in words.split(",")}


_COLUMN_OF = _words(_HEADINGS)
_LANGUAGE_OF = _words(_LANGUAGES)
_CONSENT_OF = _words(_CONSENTS)
_SOURCE_OF = _words(_SOURCES)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where the list is silent."""

    country: str | None = None  # ISO 3166 code for numbers without country code
    language: Language | None = None
    time_zone: str | None = None
    ignored: tuple[str, ...] = ()  # headings of columns that are left out


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a line. The message names the trouble and the mend, and shows no name and no whole number."""

    line: int
    column: str  # empty: the line as a whole
    message: str
    code: str = ""  # of the trouble, and what the message tells beside it, for other languages
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PeopleFile:
    """A list that was read: the people of its good lines by line number, and every problem of the others."""

    table: Table
    people: Mapping[int, Person]
    problems: Sequence[Problem]
    columns: Mapping[Column, int]  # and where each stands

    def cell(self, line: Line, column: Column) -> str:
        """As it stands in the file; empty when there is none."""
        place = self.columns.get(column, len(line.cells))
        return line.cells[place] if place < len(line.cells) else ""


def check_person(cells: Mapping[Column, str], defaults: Defaults, now: datetime) -> tuple[Person | None, list[Problem]]:
    """One person as typed into a form: checked as a line of a list is. There is a person when there is no problem."""
    line = Line(1, tuple(unicodedata.normalize("NFC", cell.strip()) for cell in cells.values()))
    checked = _Line(line, len(cells), {column: place for place, column in enumerate(cells)}, defaults, now)
    person = checked.person()
    return (None if checked.problems else person), checked.problems


def read_people(
    file: Path | FileInMemory,
    defaults: Defaults,
    *,
    now: datetime,
    sheet: str = "",
    encoding: str = "",
    progress: Callable[[Sequence[Line]], Iterator[Line]] = iter,
) -> PeopleFile:
    """Reads and checks a list. Raises ImportFileError when the file as a whole is not one."""
    if defaults.country is not None and defaults.country not in phonenumbers.SUPPORTED_REGIONS:
        raise ImportFileError(f"{defaults.country!r} is not a country: say its two letters, such as --country KR.")
    if defaults.time_zone is not None and (trouble := _zone_trouble(defaults.time_zone)):
        raise ImportFileError(f"time zone {trouble}.")
    table = read_table(file, lambda heading: _plain(heading) in _COLUMN_OF, sheet=sheet, encoding=encoding)
    places = _columns(table, defaults)
    people: dict[int, Person] = {}
    problems: list[Problem] = []
    seen: dict[tuple[str, str], int] = {}
    for line in progress(table.lines):
        checked = _Line(line, len(table.heading.cells), places, defaults, now)
        person = checked.person()
        if person is not None:
            first = seen.setdefault((person.name, person.phone), line.number)
            if first != line.number:
                message = f"the same name and phone as in line {first}; keep one of them"
                checked.wrong(None, "twice", message, line=str(first))
        problems += checked.problems
        if person is not None and not checked.problems:
            people[line.number] = person
    return PeopleFile(table, people, problems, places)


def _columns(table: Table, defaults: Defaults) -> dict[Column, int]:
    """Where each column stands. Raises ImportFileError with everything that is wrong with the headings."""
    places: dict[Column, int] = {}
    troubles: list[str] = []
    ignored = {_plain(heading) for heading in defaults.ignored}
    for place, heading in enumerate(table.heading.cells):
        if not heading or _plain(heading) in ignored:
            continue
        column = _COLUMN_OF.get(_plain(heading))
        if column is None:
            shown = _shown(heading)
            troubles.append(
                f"column {shown} is not known; rename it (docs/people.md), or leave it out: --ignore {shown}"
            )
        elif Column(column) in places:
            troubles.append(f"column {column} is there twice; keep one of them")
        else:
            places[Column(column)] = place
    if Column.NAME not in places and Column.PHONE not in places:
        troubles = ["the first row must name the columns, at least name and phone (docs/people.md)"]
    else:
        troubles += [f"there is no column {each}" for each in (Column.NAME, Column.PHONE) if each not in places]
        if Column.LANGUAGE not in places and defaults.language is None:
            troubles.append("there is no column language; add it (ko or en), or say --language ko for all")
        if (Column.OPENS in places) != (Column.CLOSES in places):
            troubles.append("of opens and closes there is only one; a person's hours need both")
    if troubles:
        raise ImportFileError("\n".join(f"{table.name}:{table.heading.number}: {trouble}" for trouble in troubles))
    return places


class _Line:
    """One line under examination: what is wrong with it is gathered, so that all of it can be told at once."""

    def __init__(self, line: Line, width: int, places: Mapping[Column, int], defaults: Defaults, now: datetime) -> None:
        self._line = line
        self._width = width  # cells of the heading
        self._places = places
        self._defaults = defaults
        self._now = now
        self.problems: list[Problem] = []

    def wrong(self, column: Column | None, code: str, message: str, **values: str) -> None:
        self.problems.append(Problem(self._line.number, column or "", message, code, values))

    def person(self) -> Person | None:
        """The person, when name and number are good; there may be problems besides."""
        if any(self._line.cells[self._width :]):
            self.wrong(
                None,
                "more_cells",
                "more cells than columns; a comma inside a cell needs quotation marks around the cell",
            )
        name = self._name()
        number = self._phone()
        zone = self._time_zone(number)
        opens, closes = self._hours()
        consent_at, denied, source = self._consent(zone)
        recording_at, recording_denied = self._given(Column.RECORDING_CONSENT, zone)
        person = Person(
            name=name,
            phone=phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) if number else "",
            language=self._language(),
            time_zone=zone.key if zone else "",
            consent_at=consent_at,
            consent_source=source,
            consent_denied=denied,
            recording_consent_at=recording_at,
            recording_denied=recording_denied,
            patience_s=self._patience(),
            opens=opens,
            closes=closes,
            notes=self._text(Column.NOTES) or None,
            last_day=self._last_day(zone),
        )
        return person if name and number else None

    def _text(self, column: Column) -> str:
        """The cell; empty when there is none or when it is not fit to be read."""
        place = self._places.get(column)
        text = self._line.cells[place] if place is not None and place < len(self._line.cells) else ""
        if len(text) > _LONGEST.get(column, _LONGEST_OTHER):
            most = str(_LONGEST.get(column, _LONGEST_OTHER))
            self.wrong(column, "too_long", f"{column} is longer than {most} characters", most=most)
            return ""
        if unprinted(text) or (column is not Column.NOTES and re.search(r"[\t\r\n]", text)):
            self.wrong(column, "control_characters", f"{column} has control characters or line breaks; type it anew")
            return ""
        return text

    def _fine(self, column: Column) -> bool:
        """Whether nothing has been found wrong with the cell."""
        return all(problem.column != column for problem in self.problems)

    def _name(self) -> str:
        name = " ".join(self._text(Column.NAME).split())
        if not name and self._fine(Column.NAME):
            self.wrong(Column.NAME, "name_missing", "name is missing")
        elif name and not any(character.isalpha() for character in name):
            self.wrong(Column.NAME, "name_without_letters", "name has no letters; it is spoken in the call")
            return ""
        return name

    def _phone(self) -> phonenumbers.PhoneNumber | None:
        text = self._text(Column.PHONE)
        if not text:
            if self._fine(Column.PHONE):
                self.wrong(Column.PHONE, "phone_missing", "phone is missing")
            return None
        end = f"…{text[-2:]}"
        shown = f"phone '{end}'"
        if re.fullmatch(r"\d+([.,]\d+)?E\+?\d+", text, re.IGNORECASE):
            mend = "format the column as text in the spreadsheet program, and type the number again"
            self.wrong(Column.PHONE, "phone_rounded", f"{shown} was rounded; {mend}", end=end)
            return None
        try:
            number = phonenumbers.parse(text, self._defaults.country)
        except phonenumbers.NumberParseException:
            number = None
        if number is None or not phonenumbers.is_valid_number(number) or number.extension:
            country = "" if self._defaults.country else ", or say --country KR"
            message = f"{shown} is not a number that can be called; {_EXAMPLE}{country}"
            self.wrong(Column.PHONE, "phone_wrong", message, end=end)
            return None
        if phonenumbers.number_type(number) in (
            phonenumbers.PhoneNumberType.PREMIUM_RATE,
            phonenumbers.PhoneNumberType.SHARED_COST,
        ):
            message = f"{shown} is a number that costs extra; write the person's own"
            self.wrong(Column.PHONE, "phone_costs", message, end=end)
            return None
        return number

    def _language(self) -> Language:
        text = self._text(Column.LANGUAGE)
        known = _LANGUAGE_OF.get(_plain(text)) or _LANGUAGE_OF.get(re.split(r"[-_]", text.casefold())[0])
        if known is not None:
            return Language(known)
        if text:
            message = f"language {_shown(text)} is not spoken here; write ko or en"
            self.wrong(Column.LANGUAGE, "language_unknown", message, text=_shown(text))
        elif self._defaults.language is None and self._fine(Column.LANGUAGE):
            self.wrong(Column.LANGUAGE, "language_missing", "language is missing; write ko or en")
        return self._defaults.language or Language.KOREAN

    def _time_zone(self, number: phonenumbers.PhoneNumber | None) -> ZoneInfo | None:
        text = self._text(Column.TIME_ZONE)
        if text:
            trouble = _zone_trouble(text)
            if trouble:
                self.wrong(Column.TIME_ZONE, "zone_unknown", f"time_zone {trouble}", text=_shown(text))
                return None
            return ZoneInfo(text)
        if not self._fine(Column.TIME_ZONE):
            return None
        if self._defaults.time_zone is not None:
            return ZoneInfo(self._defaults.time_zone)
        if number is None:
            return None
        zones = TIMEZONE_DATA.get(str(number.country_code), ())
        if len(zones) == 1 and not _zone_trouble(zones[0]):
            return ZoneInfo(zones[0])
        mend = "write it, such as America/New_York, or say --time-zone for all"
        message = f"time_zone is missing, and +{number.country_code} has several; {mend}"
        self.wrong(Column.TIME_ZONE, "zone_missing", message)
        return None

    def _consent(self, zone: ZoneInfo | None) -> tuple[datetime | None, bool, ConsentSource | None]:
        source_text = self._text(Column.CONSENT_SOURCE)
        known_source = _SOURCE_OF.get(_plain(source_text))
        if source_text and known_source is None:
            message = f"consent_source {_shown(source_text)} is neither written nor spoken"
            self.wrong(Column.CONSENT_SOURCE, "source_unknown", message, text=_shown(source_text))
        given, denied = self._given(Column.CONSENT, zone)
        if given is None:
            return None, denied, None
        if not source_text and self._fine(Column.CONSENT_SOURCE):
            self.wrong(Column.CONSENT_SOURCE, "source_missing", "consent_source is missing; write written or spoken")
        return given, False, ConsentSource(known_source) if known_source else None

    def _given(self, column: Column, zone: ZoneInfo | None) -> tuple[datetime | None, bool]:
        """When a consent was given, and whether the list says expressly that there is none."""
        text = self._text(column)
        word = _CONSENT_OF.get(_plain(text))
        if not text or word == "no":
            return None, word == "no"
        day = None if word else self._date(column, text, "write yes, no, or the day such as 2026-11-22")
        if word is None and day is None:
            return None, False
        given = self._now if day is None else datetime.combine(day, time(), zone or UTC)
        if given > self._now:
            self.wrong(column, "consent_ahead", f"{column} on {day} is in the future", day=str(day))
        return given, False

    def _hours(self) -> tuple[time | None, time | None]:
        opens, closes = self._time(Column.OPENS), self._time(Column.CLOSES)
        if not self._fine(Column.OPENS) or not self._fine(Column.CLOSES):
            return None, None
        if (opens is None) != (closes is None):
            self.wrong(
                Column.OPENS, "half_of_hours", "of opens and closes only one is given; a person's hours need both"
            )
        elif opens is not None and closes is not None and closes <= opens:
            self.wrong(Column.CLOSES, "closes_first", f"closes {closes:%H:%M} is not after opens {opens:%H:%M}")
        return opens, closes

    def _time(self, column: Column) -> time | None:
        text = self._text(column)
        if not text:
            return None
        parsed = _time_of_day(text)
        if parsed is None:
            message = f"{column} {_shown(text)} is not a time of day; write it as 09:30"
            self.wrong(column, "no_time", message, text=_shown(text))
        return parsed

    def _patience(self) -> float | None:
        text = self._text(Column.PATIENCE_S)
        if not text:
            return None
        if re.fullmatch(r"\d{1,2}([.,]\d{1,6})?", text) and float(text.replace(",", ".")) <= MAX_PATIENCE_S:
            return float(text.replace(",", "."))
        message = f"patience_s {_shown(text)} is not a number of seconds from 0 to {MAX_PATIENCE_S:g}"
        self.wrong(Column.PATIENCE_S, "patience", message, text=_shown(text), most=f"{MAX_PATIENCE_S:g}")
        return None

    def _last_day(self, zone: ZoneInfo | None) -> date | None:
        text = self._text(Column.LAST_DAY)
        day = self._date(Column.LAST_DAY, text, "write it as 2026-11-22") if text else None
        if day is not None and day < self._now.astimezone(zone or UTC).date():
            message = f"last_day {day} is over; leave it empty for as long as the campaign lasts"
            self.wrong(Column.LAST_DAY, "day_is_over", message, day=str(day))
        return day

    def _date(self, column: Column, text: str, mend: str) -> date | None:
        match = re.fullmatch(
            r"(\d{4})(?:[-/.]\s?|년\s?)(\d{1,2})(?:[-/.]\s?|월\s?)(\d{1,2})(?:[.일])?(?:[T ][\d:.]+)?", text
        )
        try:
            if match and int(match[1]) >= 1900:
                return date(int(match[1]), int(match[2]), int(match[3]))
        except ValueError:
            pass
        self.wrong(column, "no_day", f"{column} {_shown(text)} is not a day; {mend}", text=_shown(text))
        return None


def _time_of_day(text: str) -> time | None:
    match = re.fullmatch(
        r"(오전|오후)?\s?(\d{1,2})(?:\s?시(?:\s?(\d{1,2})\s?분?)?|:(\d{2})(?::00(?:\.0+)?)?)?\s?([ap]\.?m\.?)?",
        text.casefold(),
    )
    if match is None or not (match[3] or match[4] or match[5] or "시" in text):
        return None
    hour, minute = int(match[2]), int(match[3] or match[4] or 0)
    half = {"오전": "a", "오후": "p"}.get(match[1] or "", (match[5] or "")[:1])
    if half and not 1 <= hour <= 12:
        return None
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    return time(hour, minute) if hour < 24 and minute < 60 else None


@functools.cache
def _zones() -> frozenset[str]:
    """Places; not abbreviations such as EST, which know no summer time."""
    return frozenset(zone for zone in zoneinfo.available_timezones() if "/" in zone and not zone.startswith("Etc/"))


@functools.lru_cache(1000)
def _zone_trouble(name: str) -> str:
    if name in _zones():
        return ""
    near = difflib.get_close_matches(name, _zones(), 1) or ["Asia/Seoul"]
    return f"{_shown(name)} is not the name of a time zone; write a place such as {near[0]}"


def _shown(text: str) -> str:
    """A cell as it may stand in a message: short, and without what could be a telephone number."""
    if sum(character.isdigit() for character in text) >= 9:
        return f"'…{text[-2:]}'"
    short = "".join(character if character.isprintable() else "?" for character in text[:24])
    return f"'{short}{'…' if len(text) > 24 else ''}'"
