"""Importing people: all lines or none, nobody twice, and nothing that a file holds can break it."""

import io
import json
import threading
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook
from sqlmodel import Session, func, select
from typer.testing import CliRunner

from carecall.cli import app
from carecall.domain.language import Language
from carecall.errors import ImportFileError, StoreError
from carecall.exchange.people_file import Defaults
from carecall.exchange.people_import import ImportResult, Options, import_people
from carecall.store import Store
from carecall.store.people import Person
from carecall.store.tables import AuditRow, ConsentSource, EnrollmentRow, RecipientRow

KOREAN = Defaults(country="KR", language=Language.KOREAN)
HEADING = "name,phone,language,consent,consent_source,notes\n"
TODAY = datetime.now(UTC).date()
CAMPAIGN = "Well-being"

Import = Callable[..., ImportResult]


@pytest.fixture
def store(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("CARECALL_DATABASE_URL", url)  # for the commands
    with Store.open(url, upgrade=True) as opened:
        opened.recipients.add_campaign(CAMPAIGN, "wellbeing", TODAY)
        yield opened


@pytest.fixture
def take(store: Store, tmp_path: Path) -> Import:
    def take_in(
        content: str | bytes,
        campaign: str = CAMPAIGN,
        dry_run: bool = False,
        skip_wrong: bool = False,
        update: bool = False,
    ) -> ImportResult:
        path = tmp_path / "people.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        options = Options(campaign, dry_run, skip_wrong, update, defaults=KOREAN)
        return import_people(store, path, options, actor="tester")

    return take_in


def rows(store: Store) -> tuple[int, int, int]:
    """How many recipients, enrollments and audit entries there are."""
    with store._database.reading() as session:

        def count(session: Session, table: type) -> int:
            return session.exec(select(func.count()).select_from(table)).one()

        return count(session, RecipientRow), count(session, EnrollmentRow), count(session, AuditRow)


def messages(result: ImportResult) -> list[str]:
    return [f"{problem.line}: {problem.message}" for problem in result.problems]


def test_a_consent_to_be_recorded_is_taken_down_and_changes_only_when_the_file_is_to_be_believed(
    store: Store, take: Import
) -> None:
    line = "name,phone,recording_consent\n김영희,010-1234-5601,{}\n"

    def agreed() -> bool:
        return store.people.listed()[0].recipient.recording_consent_at is not None

    take(line.format("2026-11-02"), campaign="")
    assert agreed()
    assert take(line.format("yes"), campaign="").changed == 0
    assert take(line.format(""), campaign="", update=True).changed == 0
    (problem,) = take(line.format("no"), campaign="").problems
    assert "another recording_consent" in problem.message
    assert agreed()
    assert take(line.format("no"), campaign="", update=True).changed == 1
    assert not agreed()


def test_people_are_taken_in_enrolled_and_looked_at_by_planning_at_once(store: Store, take: Import) -> None:
    result = take(HEADING + "김영희,010-1234-5601,ko,2026-11-01,서면,귀가 어두우심\n박철수,010-1234-5602,ko,no,,\n")
    assert (result.imported, result.added, result.enrolled, result.without_consent) == (True, 2, 2, 1)
    (first,) = store.people.named("김영희")
    assert (first.recipient.phone, first.recipient.time_zone) == ("+821012345601", "Asia/Seoul")
    assert first.recipient.notes == "귀가 어두우심"
    ((enrollment, campaign),) = first.enrollments
    assert (campaign, enrollment.consent_source) == (CAMPAIGN, ConsentSource.WRITTEN)
    assert enrollment.next_due_at is not None
    assert enrollment.next_due_at <= datetime.now(UTC)
    actions = [entry.action for entry in store.audit.of(f"recipient:{first.recipient.id}")]
    assert actions == ["recipient.added", "recipient.enrolled"]
    (second,) = store.people.named("박철수")
    assert second.enrollments[0][0].consent_at is None


def test_one_wrong_line_keeps_everybody_out(store: Store, take: Import) -> None:
    result = take(HEADING + "김영희,010-1234-5601,ko,,,\n박철수,12,ko,,,\n")
    assert (result.imported, len(result.problems)) == (False, 1)
    assert rows(store) == (0, 0, 0)


def test_the_wrong_lines_can_be_put_aside_and_mended(store: Store, take: Import, tmp_path: Path) -> None:
    result = take(HEADING + '김영희,010-1234-5601,ko,,,\n=박철수,+82 12,ko,,,"a, b"\n', skip_wrong=True)
    assert (result.imported, result.added, result.rejected) == (True, 1, 1)
    aside = tmp_path / "people.csv.rejected.csv"
    assert result.rejected_file == aside
    assert aside.stat().st_mode & 0o077 == 0
    raw = aside.read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")  # so that Excel reads Korean
    text = raw.decode("utf-8-sig")
    assert text.startswith("name,phone,language,consent,consent_source,notes,reason\r\n'=박철수,'+82 12,ko,,,")
    assert "is not a number that can be called" in text
    mended = take(text.replace("+82 12", "+82 10 1234 5602"))
    assert (mended.imported, mended.added) == (True, 1)
    assert store.people.named("=박철수")[0].recipient.notes == "a, b"
    assert not list(tmp_path.glob(".*.rejected.csv"))


def test_nothing_is_imported_when_the_wrong_lines_have_nowhere_to_go(
    store: Store, take: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> tuple[int, str]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkstemp", full)
    with pytest.raises(ImportFileError, match=r"cannot be written \(No space left on device\).*nothing is imported"):
        take(HEADING + "김영희,010-1234-5601,ko,,,\nx,12,ko,,,\n", skip_wrong=True)
    assert rows(store) == (0, 0, 0)


def test_a_dry_run_writes_nothing_and_tells_what_would_be_done(store: Store, take: Import, tmp_path: Path) -> None:
    content = HEADING + "김영희,010-1234-5601,ko,yes,spoken,\nx,12,ko,,,\n"
    result = take(content, dry_run=True, skip_wrong=True)
    assert (result.imported, result.added, result.enrolled, len(result.problems)) == (False, 1, 1, 1)
    assert rows(store) == (0, 0, 0)
    assert [path.name for path in tmp_path.glob("*csv*")] == ["people.csv"]


def test_the_same_list_again_changes_nothing(store: Store, take: Import) -> None:
    content = HEADING + "김영희,010-1234-5601,ko,2026-11-01,서면,귀가 어두우심\n"
    take(content)
    before = rows(store)
    again = take(content)
    assert (again.imported, again.added, again.known, again.enrolled, again.consents) == (True, 0, 1, 0, 0)
    assert rows(store) == before


def test_a_known_person_is_enrolled_in_another_campaign_and_never_doubled(store: Store, take: Import) -> None:
    take("name,phone\n김영희,010-1234-5601\n", campaign="")
    result = take("name,phone\n김영희,+82 10 1234 5601\n")
    assert (result.added, result.known, result.enrolled) == (0, 1, 1)
    assert rows(store)[:2] == (1, 1)


def test_two_people_with_one_number_are_two_people(store: Store, take: Import) -> None:
    assert take("name,phone\n김영희,010-1234-5601\n박철수,010-1234-5601\n").added == 2


def test_consent_that_comes_later_is_recorded(store: Store, take: Import) -> None:
    take(HEADING + "김영희,010-1234-5601,ko,no,,\n")
    result = take(HEADING + "김영희,010-1234-5601,ko,yes,written,\n")
    assert (result.enrolled, result.consents) == (0, 1)
    (person,) = store.people.named("김영희")
    assert person.enrollments[0][0].consent_source is ConsentSource.WRITTEN


def test_a_recorded_consent_is_not_taken_away_in_silence(take: Import) -> None:
    take(HEADING + "김영희,010-1234-5601,ko,yes,written,\n")
    result = take(HEADING + "김영희,010-1234-5601,ko,no,,\n")
    assert not result.imported
    assert messages(result)[0].startswith("2: consent is recorded, and this line says no; if they want no calls: ")


def test_a_known_person_is_changed_only_when_asked(store: Store, take: Import) -> None:
    store.recipients.add("김영희", "+821012345601", Language.KOREAN)  # a test call leaves UTC behind
    result = take("name,phone\n김영희,010-1234-5601\n")
    assert messages(result) == ["2: known already, with another time_zone; say --update to record what this line says"]
    changed = take("name,phone\n김영희,010-1234-5601\n", update=True)
    assert (changed.imported, changed.changed, changed.enrolled) == (True, 1, 1)
    assert store.people.named("김영희")[0].recipient.time_zone == "Asia/Seoul"


def test_an_empty_cell_says_nothing_about_a_known_person(store: Store, take: Import) -> None:
    take(HEADING + "김영희,010-1234-5601,ko,,,귀가 어두우심\n")
    assert take(HEADING + "김영희,010-1234-5601,ko,,,\n", update=True).changed == 0
    assert store.people.named("김영희")[0].recipient.notes == "귀가 어두우심"


def test_a_number_whose_owner_opted_out_is_refused_under_any_name(store: Store, take: Import) -> None:
    take("name,phone\n김영희,010-1234-5601\n")
    store.recipients.opt_out(store.people.named("김영희")[0].recipient.id)
    result = take("name,phone\n영희,010-1234-5601\n박철수,010-1234-5602\n")
    assert messages(result) == ["2: phone '…01' belongs to somebody who asked not to be called; take it out"]
    assert take("name,phone\n영희,010-1234-5601\n박철수,010-1234-5602\n", skip_wrong=True).added == 1


def test_what_a_campaign_keeps_needs_a_campaign(take: Import) -> None:
    with pytest.raises(ImportFileError, match="consent and consent_source, which is recorded with a campaign"):
        take(HEADING + "김영희,010-1234-5601,ko,yes,written,\n", campaign="")


def test_a_campaign_must_be_there_and_not_over(store: Store, take: Import) -> None:
    with pytest.raises(StoreError, match=r"no campaign 'Other'\. There are: Well-being\. Add one with"):
        take("name,phone\n", campaign="Other")
    store.recipients.add_campaign("Past", "wellbeing", TODAY - timedelta(days=9), TODAY - timedelta(days=2))
    with pytest.raises(ImportFileError, match="The campaign 'Past' ended on"):
        take("name,phone\n", campaign="Past")


def test_a_list_with_the_same_person_twice_is_refused_by_the_store_too(store: Store) -> None:
    person = Person("Anna", "+12025550101", Language.ENGLISH, "America/New_York")
    with pytest.raises(StoreError, match="twice"):
        store.people.import_people([person, person])


def test_two_imports_at_once_do_not_double_anybody(url: str, store: Store, take: Import) -> None:
    people = [Person(f"Anna {n}", f"+1202555{n:04}", Language.ENGLISH, "America/New_York") for n in range(100, 200)]
    barrier = threading.Barrier(3)

    def work() -> None:
        with Store.open(url) as other:
            barrier.wait()
            other.people.import_people(people)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows(store)[0] == 100


def test_a_list_of_five_thousand_with_errors_takes_seconds_and_loses_nothing(store: Store, take: Import) -> None:
    wrong = set(range(0, 5000, 50))
    lines = [
        f"이름{n},010-12{n // 100:02}-56{n % 100:02}{'x9' if n in wrong else ''},ko,yes,written,note"
        for n in range(5000)
    ]
    began = time.monotonic()
    refused = take((HEADING + "\n".join(lines)).encode("cp949"))
    assert not refused.imported
    assert [problem.line for problem in refused.problems] == [n + 2 for n in sorted(wrong)]
    result = take((HEADING + "\n".join(lines)).encode("cp949"), skip_wrong=True)
    assert time.monotonic() - began < 60  # seconds, on a busy machine too
    assert (result.added, result.enrolled, result.rejected) == (4900, 4900, 100)
    assert rows(store) == (4900, 4900, 9800)


def test_the_command_tells_every_line_and_the_next_step(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text(HEADING + "김영희,010-1234-5601,ko,yes,written,\nx,12,ko,,,\n")
    run = CliRunner().invoke
    arguments = ["people", "import", str(path), "--country", "kr", "--campaign", CAMPAIGN]
    refused = run(app, arguments)
    assert refused.exit_code == 1
    assert "people.csv:3: phone '…12' is not a number that can be called" in refused.stderr
    assert "Nothing is imported. Mend the lines, or import the others with --skip-wrong." in refused.stdout
    done = run(app, [*arguments, "--skip-wrong"])
    assert done.exit_code == 0
    assert "carecall plan" in done.stdout
    told = json.loads(run(app, [*arguments, "--json"]).stdout)
    assert (told["imported"], told["known"], told["problems"][0]["line"]) == (False, 1, 3)
    assert "5601" not in json.dumps(told)

    listed = run(app, ["people", "list", "--campaign", CAMPAIGN]).stdout
    assert "김영희  +82 10-1234-5601  ko  Asia/Seoul  Well-being (is called)" in listed
    assert "consent written" in run(app, ["people", "show", "김영희"]).stdout
    assert run(app, ["people", "pause", "김영희"]).exit_code == 0
    assert "(paused)" in run(app, ["people", "list"]).stdout
    assert run(app, ["people", "resume", listed.split()[0]]).exit_code == 0
    assert "(is called)" in run(app, ["people", "list"]).stdout
    assert run(app, ["people", "opt-out", "김영희"]).exit_code == 0
    assert "(opted out)" in run(app, ["people", "list"]).stdout
    (person,) = store.people.named("김영희")
    actors = {entry.actor for entry in store.audit.of(f"recipient:{person.recipient.id}")}
    assert all(actor.startswith("terminal") for actor in actors)


def test_a_name_that_two_people_have_needs_the_id(store: Store) -> None:
    for number in ("+821012345601", "+821012345602"):
        store.recipients.add("김영희", number, Language.KOREAN)
    failed = CliRunner().invoke(app, ["people", "show", "김영희"])
    assert isinstance(failed.exception, Exception)
    assert str(failed.exception).startswith("2 people have this name; say the id: ")


def workbook(sheet: str, *, shared: str = "", compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An XLSX file with this as the inside of its first sheet's XML."""
    raw = io.BytesIO()
    Workbook().save(raw)
    changed = io.BytesIO()
    with zipfile.ZipFile(raw) as old, zipfile.ZipFile(changed, "w", compression) as new:
        for part in old.infolist():
            text = old.read(part)
            if part.filename == "xl/worksheets/sheet1.xml":
                text = (
                    '<?xml version="1.0"?>' + shared + "<worksheet "
                    f'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">{sheet}</worksheet>'
                ).encode()
            new.writestr(part.filename, text)
    return changed.getvalue()


def _workbook_of_people() -> bytes:
    book = Workbook()
    for row in (["name", "phone", "language", "last_day"], ["김영희", 1012345601, "ko", date(2099, 11, 1)]):
        book.worksheets[0].append(row)
    raw = io.BytesIO()
    book.save(raw)
    return raw.getvalue()


WORKBOOK = _workbook_of_people()
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
CELL = '<row r="1"><c r="A1" t="inlineStr"><is><t>{}</t></is></c></row>'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (workbook(f"<sheetData>{' ' * (101 << 20)}</sheetData>"), "unpacks to more than 100 MB"),
        (
            workbook(
                f"<sheetData>{CELL.format('&l9;')}</sheetData>",
                shared=f'<!DOCTYPE worksheet [<!ENTITY l0 "ha">{LAUGHS}]>',
            ),
            "is not an Excel workbook, or is damaged",
        ),
        (
            workbook(
                f"<sheetData>{CELL.format('&x;')}</sheetData>",
                shared='<!DOCTYPE worksheet [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
            ),
            "is damaged",
        ),
        (workbook('<dimension ref="A1:XFD1048576"/><sheetData/>'), "is empty"),
        (workbook('<sheetData><row r="99999999999"><c t="n"><v>1</v></c></row></sheetData>'), "is empty"),
        (workbook('<sheetData><row r="1"><c r="A1"><v>' + "9" * 5000 + "</v></c></row></sheetData>"), "is damaged"),
        (workbook("<sheetData><row>"), "is damaged"),
    ],
    ids=["bomb", "laughs", "entity", "dimension", "far row", "long number", "cut"],
)
def test_a_hostile_workbook_is_refused_in_one_line_and_soon(take: Import, content: bytes, message: str) -> None:
    began = time.monotonic()
    with pytest.raises(ImportFileError, match=message) as refused:
        take(content)
    assert "\n" not in str(refused.value)
    assert time.monotonic() - began < 10


def lying(part: str, size: int) -> bytes:
    """A workbook with a part that unpacks to more than the archive says of it, and to a checksum that fits the lie."""
    raw = io.BytesIO(WORKBOOK)
    content = b" " * size
    with zipfile.ZipFile(raw, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(part, content)
    entry = raw.getvalue().rindex(b"PK\x01\x02")  # the last one of the directory
    changed = bytearray(raw.getvalue())
    changed[entry + 16 : entry + 20] = zlib.crc32(content[:10]).to_bytes(4, "little")
    changed[entry + 24 : entry + 28] = (10).to_bytes(4, "little")
    return bytes(changed)


def test_a_workbook_that_lies_of_its_size_takes_no_memory(take: Import) -> None:
    content = lying("xl/comments.xml", 300 << 20)
    tracemalloc.start()
    try:
        assert take(content).added == 1
        assert tracemalloc.get_traced_memory()[1] < 50 << 20
    finally:
        tracemalloc.stop()


WORDS = st.sampled_from(
    [
        "name",
        "phone",
        "language",
        "이름",
        "consent",
        ",",
        ";",
        "\t",
        "\n",
        "\r\n",
        '"',
        "'",
        "=1+1",
        "@x",
        "김영희",
        "+82 10 1234 5601",
        "010-1234-5602",
        "ko",
        "en",
        "yes",
        "written",
        "\0",
        "\x1b",
        "\ufeff",
        "\u202e",
        "9" * 300,
        "2026-11-01",
        "0000-00-00",
        "24:00",
        "Asia/Seoul",
        "e\u0301",
        "\ud7a3",
    ]
)
GOOD = "name,phone,language\n김영희,010-1234-5601,ko\n"


@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(WORDS, max_size=40).map("".join).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.lists(WORDS, max_size=40).map(lambda words: (GOOD + "".join(words)).encode("utf-8", "surrogatepass")),
        st.lists(WORDS, max_size=20).map(lambda words: (GOOD + "".join(words)).encode("cp949", "ignore")),
        st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=40)).map(
            lambda cut: b"PK\x03\x04" + WORKBOOK[4 : cut[0]] + cut[1] + WORKBOOK[cut[0] + len(cut[1]) :]
        ),
    ),
    st.booleans(),
)
@settings(max_examples=150)
def test_no_file_gives_a_traceback_or_is_imported_by_half(
    store: Store, take: Import, content: bytes, skip_wrong: bool
) -> None:
    before = rows(store)
    try:
        result = take(content, skip_wrong=skip_wrong)
    except ImportFileError as error:
        refused = str(error)
    else:
        refused = ""
    if refused:
        assert all(line.isprintable() for line in refused.splitlines())
        assert rows(store) == before
        return
    after = rows(store)
    assert after[0] - before[0] == (result.added if result.imported else 0)
    assert after[1] - before[1] == (result.enrolled if result.imported else 0)
    assert json.dumps(asdict(result) | {"rejected_file": ""})
    if not skip_wrong:
        assert result.imported == (not result.problems)
