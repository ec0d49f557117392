"""A list of people as a file: what is understood, and that every wrong cell is told in one line with its mend."""

import io
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from openpyxl import Workbook

from carecall.domain.language import Language
from carecall.errors import ImportFileError
from carecall.exchange.people_file import Column, Defaults, PeopleFile, read_people
from carecall.exchange.table_file import MAX_BYTES, write_csv
from carecall.store.people import Person
from carecall.store.tables import ConsentSource

NOW = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
HEADING = "name,phone,language,time_zone,consent,consent_source,opens,closes,patience_s,notes,last_day"
ANNA = "Anna Lee,+1 202 555 0101,en,America/New_York,2026-11-01,written,09:30,18:00,1.5,hard of hearing,2026-12-31"

Read = Callable[..., PeopleFile]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read_file(content: str | bytes, defaults: Defaults | None = None, encoding: str = "") -> PeopleFile:
        path = tmp_path / "people.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_people(path, defaults or Defaults(), now=NOW, encoding=encoding)

    return read_file


def only(file: PeopleFile) -> Person:
    assert not file.problems
    (person,) = file.people.values()
    return person


def messages(file: PeopleFile) -> list[str]:
    return [problem.message for problem in file.problems]


def wrong(read: Read, column: Column, cell: str, defaults: Defaults | None = None) -> str:
    """The one problem of a good line in which one cell is replaced."""
    cells = dict(zip(HEADING.split(","), ANNA.split(","), strict=True)) | {column: cell}
    text = io.StringIO()
    write_csv(text, [list(cells), list(cells.values())])
    file = read(text.getvalue(), defaults)
    assert not file.people
    (problem,) = file.problems
    assert problem.line == 2
    return problem.message


def test_every_column_is_read(read: Read) -> None:
    assert only(read(f"{HEADING}\n{ANNA}\n")) == Person(
        name="Anna Lee",
        phone="+12025550101",
        language=Language.ENGLISH,
        time_zone="America/New_York",
        consent_at=datetime(2026, 11, 1, tzinfo=ZoneInfo("America/New_York")),
        consent_source=ConsentSource.WRITTEN,
        patience_s=1.5,
        opens=time(9, 30),
        closes=time(18),
        notes="hard of hearing",
        last_day=date(2026, 12, 31),
    )


@pytest.mark.parametrize(
    ("cell", "at", "denied"),
    [
        ("2026-11-02", datetime(2026, 11, 2, tzinfo=ZoneInfo("Asia/Seoul")), False),
        ("예", NOW, False),
        ("no", None, True),
        ("", None, False),
    ],
)
def test_a_consent_to_be_recorded_is_read_as_a_consent_to_calls_is(
    read: Read, cell: str, at: datetime | None, denied: bool
) -> None:
    person = only(read(f"이름,전화번호,언어,녹음 동의\n김영희,010-1234-5601,ko,{cell}\n", Defaults(country="KR")))
    assert (person.recording_consent_at, person.recording_denied) == (at, denied)


def test_a_consent_to_be_recorded_that_is_still_to_come_is_told(read: Read) -> None:
    file = read("name,phone,language,recording_consent\n김영희,+82 10 1234 5601,ko,2027-01-01\n")
    assert messages(file) == ["recording_consent on 2027-01-01 is in the future"]


def test_korean_headings_and_words_are_read(read: Read) -> None:
    person = only(
        read(
            "연락처,성명,언어,동의 여부,동의방법,통화시작,통화종료,비고\n"
            "010-1234-5601,김영희,한국어,예,구두,오전 9시 30분,오후 6시,귀가 어두우심\n",
            Defaults(country="KR"),
        )
    )
    assert (person.name, person.phone, person.language) == ("김영희", "+821012345601", Language.KOREAN)
    assert (person.time_zone, person.opens, person.closes) == ("Asia/Seoul", time(9, 30), time(18))
    assert (person.consent_at, person.consent_source) == (NOW, ConsentSource.SPOKEN)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "euc-kr", "utf-16"])
def test_the_encodings_that_spreadsheet_programs_write_are_told_apart(read: Read, encoding: str) -> None:
    raw = "이름,전화번호\n박철수,010-1234-5602\n".encode(encoding)
    assert only(read(raw, Defaults("KR", Language.KOREAN))).name == "박철수"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("first", ["", "sep={}\r\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_separator_is_found_out(read: Read, separator: str, first: str, end: str) -> None:
    rows = [["name", "phone", "language", "notes"], ["Anna", "+82 10 1234 5601", "en", '"a, b; c"']]
    file = read(first.format(separator) + end.join(separator.join(row) for row in rows))
    assert only(file).notes == "a, b; c"


def test_lines_are_counted_as_an_editor_counts_them(read: Read) -> None:
    heading = "name,phone,language,notes"
    file = read(f'{heading}\n\nAnna,+82 10 1234 5601,en,"two\nlines"\n,,,\nBen,+82 10 1234 5602,xx,\n')
    assert [problem.line for problem in file.problems] == [6]
    assert list(file.people) == [3]


def test_names_are_composed_and_single_spaced_however_they_are_typed(read: Read) -> None:
    file = read("name,phone,language\n\u1100\u1175\u11b7  \u3000영희 ,+82 10 1234 5601,ko\n")
    assert only(file).name == "김 영희"


def test_numbers_are_kept_in_one_form_however_they_are_written(read: Read) -> None:
    for written in ("010-1234-5601", "+82 (0)10 1234 5601", "1012345601", "821012345601", "０１０ １２３４ ５６０１"):
        assert only(read(f"name,phone,language\nAnna,{written},ko\n", Defaults("KR"))).phone == "+821012345601"


@pytest.mark.parametrize(
    "number", ["010-1234-5601", "12345", "anna@example.org", "+999 1", "119", "+82 10 1234 5601 ext. 3"]
)
def test_a_number_that_cannot_be_called_is_refused_and_not_printed(read: Read, number: str) -> None:
    message = wrong(read, Column.PHONE, number)
    assert message == (
        f"phone '…{number[-2:]}' is not a number that can be called; "
        "write it with country code, such as +82 10 1234 5678, or say --country KR"
    )


def test_a_number_that_the_spreadsheet_rounded_is_told_as_such(read: Read) -> None:
    assert "was rounded; format the column as text" in wrong(read, Column.PHONE, "8.21012E+11")


def test_a_number_that_costs_extra_is_refused(read: Read) -> None:
    assert "costs extra" in wrong(read, Column.PHONE, "+1 900 234 5678")


def test_the_time_zone_follows_from_the_country_only_where_the_country_has_one(read: Read) -> None:
    assert only(read("name,phone,language\nAnna,+82 2 555 0101,ko\n")).time_zone == "Asia/Seoul"
    message = wrong(read, Column.TIME_ZONE, "")
    assert message.startswith("time_zone is missing, and +1 has several; write it, such as America/New_York")
    american = "name,phone,language\nAnna,+1 202 555 0101,en\n"
    assert only(read(american, Defaults(time_zone="America/Chicago"))).time_zone == "America/Chicago"


@pytest.mark.parametrize(
    ("zone", "mend"),
    [("Asia/Soul", "Asia/Seoul"), ("EST", ""), ("UTC+9", ""), ("../../etc/passwd", ""), ("America", "America/")],
)
def test_what_is_no_time_zone_is_refused(read: Read, zone: str, mend: str) -> None:
    assert wrong(read, Column.TIME_ZONE, zone).startswith(
        f"time_zone '{zone}' is not the name of a time zone; write a place such as {mend}"
    )


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        (Column.NAME, "", "name is missing"),
        (Column.NAME, "12", "name has no letters; it is spoken in the call"),
        (Column.NAME, "A" * 101, "name is longer than 100 characters"),
        (Column.NAME, "An\x1b[31mna", "name has control characters or line breaks; type it anew"),
        (Column.NAME, "Anna\u202eeeL", "name has control characters or line breaks; type it anew"),
        (Column.NAME, "Anna\nLee", "name has control characters or line breaks; type it anew"),
        (Column.PHONE, "", "phone is missing"),
        (Column.LANGUAGE, "fr", "language 'fr' is not spoken here; write ko or en"),
        (Column.LANGUAGE, "", "language is missing; write ko or en"),
        (Column.CONSENT, "maybe", "consent 'maybe' is not a day; write yes, no, or the day such as 2026-11-22"),
        (
            Column.CONSENT,
            "11/22/2026",
            "consent '11/22/2026' is not a day; write yes, no, or the day such as 2026-11-22",
        ),
        (Column.CONSENT, "2026-11-30", "consent on 2026-11-30 is in the future"),
        (Column.CONSENT_SOURCE, "", "consent_source is missing; write written or spoken"),
        (Column.CONSENT_SOURCE, "trial", "consent_source 'trial' is neither written nor spoken"),
        (Column.OPENS, "9", "opens '9' is not a time of day; write it as 09:30"),
        (Column.OPENS, "19:00", "closes 18:00 is not after opens 19:00"),
        (Column.CLOSES, "24:00", "closes '24:00' is not a time of day; write it as 09:30"),
        (Column.CLOSES, "", "of opens and closes only one is given; a person's hours need both"),
        (Column.PATIENCE_S, "-1", "patience_s '-1' is not a number of seconds from 0 to 10"),
        (Column.PATIENCE_S, "nan", "patience_s 'nan' is not a number of seconds from 0 to 10"),
        (Column.PATIENCE_S, "11", "patience_s '11' is not a number of seconds from 0 to 10"),
        (Column.NOTES, "x" * 2001, "notes is longer than 2000 characters"),
        (Column.LAST_DAY, "2026-02-30", "last_day '2026-02-30' is not a day; write it as 2026-11-22"),
        (
            Column.LAST_DAY,
            "2026-11-01",
            "last_day 2026-11-01 is over; leave it empty for as long as the campaign lasts",
        ),
    ],
)
def test_a_wrong_cell_is_named_with_its_mend(read: Read, column: Column, cell: str, message: str) -> None:
    assert wrong(read, column, cell) == message


@pytest.mark.parametrize("cell", ["9:30", "09:30", "09:30:00", "9시 30분", "오전 9:30", "9:30 AM", "9:30 a.m."])
def test_times_of_day_are_read_as_people_write_them(read: Read, cell: str) -> None:
    assert only(read(f"{HEADING}\n{ANNA.replace('09:30', cell)}\n")).opens == time(9, 30)


@pytest.mark.parametrize("cell", ["2026-11-01", "2026. 11. 1.", "2026.11.01", "2026/11/1", "2026년 11월 1일"])
def test_days_are_read_as_people_write_them(read: Read, cell: str) -> None:
    assert only(read(f"{HEADING}\n{ANNA.replace('2026-11-01', cell)}\n")).consent_at == datetime(
        2026, 11, 1, tzinfo=ZoneInfo("America/New_York")
    )


def test_all_problems_of_all_lines_are_told_at_once(read: Read) -> None:
    file = read("name,phone,language\n,1,fr\nAnna,+82 10 1234 5601,ko\n99,,\n")
    assert [(problem.line, problem.column) for problem in file.problems] == [
        (2, "name"),
        (2, "phone"),
        (2, "language"),
        (4, "name"),
        (4, "phone"),
        (4, "language"),
    ]
    assert list(file.people) == [3]


def test_a_person_who_stands_twice_in_the_file_is_told_of_with_both_lines(read: Read) -> None:
    file = read(
        "name,phone,language\nAnna,+82 10 1234 5601,ko\nBen,+82 10 1234 5601,ko\nAnna,010-1234-5601,ko\n",
        Defaults("KR"),
    )
    assert messages(file) == ["the same name and phone as in line 2; keep one of them"]
    assert list(file.people) == [2, 3]


def test_a_comma_too_many_is_told(read: Read) -> None:
    assert messages(read("name,phone,language\nLee, Anna,+82 10 1234 5601,ko\n"))[0].startswith(
        "more cells than columns"
    )


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0 Anna", "@SUM(Anna)", "+Anna", "-Anna", "'=Anna", "'t Hooft"])
def test_what_a_spreadsheet_would_run_is_text_and_is_written_so_that_it_stays_text(read: Read, name: str) -> None:
    text = io.StringIO()
    write_csv(text, [["name", "phone", "language"], [name, "+82 10 1234 5601", "ko"]])
    assert not any(
        cell.startswith(("=", "@", "+", "-")) for line in text.getvalue().split() for cell in line.split(",")
    )
    assert only(read(text.getvalue())).name == name


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "people.csv is empty: its first row must name the columns (docs/people.md)."),
        (b"\n , \n", "people.csv is empty: its first row must name the columns (docs/people.md)."),
        (b"a,b\n1,2\n", "people.csv:1: the first row must name the columns, at least name and phone (docs/people.md)"),
        (b"name,language\nAnna,en\n", "people.csv:1: there is no column phone"),
        (
            b"name,phone\nA,1\n",
            "people.csv:1: there is no column language; add it (ko or en), or say --language ko for all",
        ),
        (b"name,Full Name,phone,language\n", "people.csv:1: column name is there twice; keep one of them"),
        (
            b"name,phone,language,address\n",
            "people.csv:1: column 'address' is not known; rename it (docs/people.md), "
            "or leave it out: --ignore 'address'",
        ),
        (
            b"name,phone,language,opens\n",
            "people.csv:1: of opens and closes there is only one; a person's hours need both",
        ),
        (
            b"name,phone\0,language\n",
            "people.csv holds NUL bytes: it is not a CSV file. Save it as 'CSV UTF-8' or as .xlsx.",
        ),
        (
            "name,phone,language\nRenée,+33,fr\n".encode("latin-1"),
            "people.csv is not written in UTF-8 or CP949: save it as 'CSV UTF-8', "
            "or name its encoding with --encoding.",
        ),
        (b'name,phone,language\nAnna,"+82', "people.csv:2: a quotation mark is opened here and never closed."),
        (b'name,phone,language\nAnna,"1"2,en', "people.csv:2: a quotation mark stands inside a cell; write it twice."),
        (
            b"name,phone,language\nAnna,1,en\n" + b"x" * 1_000_000,
            "people.csv:3: a cell has more than 131,072 characters, or a quotation mark is not closed.",
        ),
        (b"name,phone,language" + b"," * 100, "people.csv:1: more than 100 columns: it is not a list of people."),
        (b"n" * (MAX_BYTES + 1), "people.csv is larger than 20 MB: split it."),
        (
            b"name,phone,language\n" + b"x,,\n" * 100_001,
            "people.csv has more than 100,000 rows: split it.",
        ),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            "people.csv is an old Excel workbook, or one with a password: "
            "save it as .xlsx without one, or as CSV UTF-8.",
        ),
        (
            b"PK\x03\x04 and no archive",
            "people.csv is not an Excel workbook, or is damaged: save it again as .xlsx or CSV.",
        ),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else "",
)
def test_a_file_that_is_no_list_is_refused_in_one_line(read: Read, content: bytes, message: str) -> None:
    with pytest.raises(ImportFileError) as refused:
        read(content)
    assert str(refused.value) == message


def test_another_encoding_can_be_named(read: Read) -> None:
    raw = "name,phone,language\nRenée,+82 10 1234 5601,en\n".encode("latin-1")
    assert only(read(raw, encoding="latin-1")).name == "Renée"
    with pytest.raises(ImportFileError, match="There is no encoding 'latin-one'"):
        read(raw, encoding="latin-one")


def test_a_column_can_be_left_out(read: Read) -> None:
    file = read("name,address,phone,language\nAnna,12 Elm St,+82 10 1234 5601,en\n", Defaults(ignored=("Address",)))
    assert only(file).name == "Anna"


def test_no_message_shows_a_whole_number_that_stands_in_the_wrong_column(read: Read) -> None:
    assert "5601" not in wrong(read, Column.TIME_ZONE, "+82 10 1234 5601")


def test_a_workbook_is_read_with_its_numbers_dates_and_times_as_cells(tmp_path: Path) -> None:
    workbook = Workbook()
    sheet = workbook.worksheets[0]
    sheet.append(["이름", "전화번호", "언어", "동의", "동의방법", "opens", "closes", "patience", "비고"])
    sheet.append(["김영희", 1012345601, "ko", date(2026, 11, 1), "서면", time(9, 30), time(18), 1.5, "=1+1"])
    sheet.append(["박철수", "010-1234-5602", "ko", True, "구두"])
    workbook.create_sheet("other").append(["nothing"])
    path = tmp_path / "people.xlsx"
    workbook.save(path)
    file = read_people(path, Defaults("KR"), now=NOW)
    assert not file.problems
    first, second = file.people.values()
    assert (first.phone, first.consent_at) == ("+821012345601", datetime(2026, 11, 1, tzinfo=ZoneInfo("Asia/Seoul")))
    assert (first.opens, first.closes, first.patience_s, first.notes) == (time(9, 30), time(18), 1.5, "=1+1")
    assert (second.phone, second.consent_at) == ("+821012345602", NOW)
    with pytest.raises(ImportFileError, match="no sheet of this name; it has: Sheet, other"):
        read_people(path, Defaults("KR"), now=NOW, sheet="people")
    with pytest.raises(ImportFileError, match="the first row must name the columns"):
        read_people(path, Defaults("KR"), now=NOW, sheet="other")


def test_the_example_list_and_the_table_of_columns_are_right() -> None:
    root = Path(__file__).parents[2]
    file = read_people(root / "campaigns" / "people.csv", Defaults(), now=NOW)
    assert not file.problems
    assert len(file.people) == 5
    page = (root / "docs" / "people.md").read_text()
    assert all(f"`{column}`" in page for column in Column)
