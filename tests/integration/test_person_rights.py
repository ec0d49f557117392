"""A person's data: a copy of all of it, and its erasure without a trace but that it happened."""

import asyncio
import io
import json
import os
import stat
import uuid
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, func, select
from typer.testing import CliRunner

from carecall.cli import app
from carecall.domain.attempt import AttemptState
from carecall.domain.finding import Evidence, Finding, Layer, Ternary
from carecall.domain.language import Language
from carecall.domain.report import Outcome, Report
from carecall.domain.triage import Alert, Urgency
from carecall.domain.turn import Speaker, Turn
from carecall.domain.viewer import Role, Viewer
from carecall.errors import StoreError, StoreNotFound
from carecall.exchange.person_file import write_person
from carecall.outreach import retention
from carecall.settings import Settings, settings
from carecall.store import Store
from carecall.store.engine import Database
from carecall.store.history import remember
from carecall.store.memories import Append, End
from carecall.store.personal import Cipher, personal_columns
from carecall.store.tables import (
    DEFAULT_ORGANISATION,
    AlertRow,
    ConsentSource,
    DayRow,
    DayState,
    HistoryKind,
    Resolution,
    Row,
)

SECRET = "a-key-of-at-least-thirty-two-characters"
LONG_AGO = datetime.now(UTC) - timedelta(days=2000)
WORDS = "제 가슴이 아파요"


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


class Dialog:
    id, language, version, hash = "wellbeing", Language.KOREAN, "1.0", "ab" * 32


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[Store]:
    with Store.open(url, secret=SECRET, upgrade=True, clock=clock) as opened:
        yield opened


@pytest.fixture
def database(url: str, store: Store, clock: Clock) -> Iterator[Database]:
    opened = Database(url, Cipher(SECRET), clock)
    opened.check()
    yield opened
    opened.close()


def someone(store: Store, name: str = "Mina Park", phone: str = "+82105550101") -> tuple[uuid.UUID, uuid.UUID]:
    """A person in a campaign, and their enrollment."""
    person = store.recipients.add(name, phone, Language.KOREAN, notes="hard of hearing")
    campaign = store.recipients.add_campaign(f"of {name}", "wellbeing", store.now().date())
    written = ConsentSource.WRITTEN
    return person, store.recipients.enroll(person, campaign, consent_at=store.now(), consent_source=written)


def talk(store: Store, enrollment: uuid.UUID, *, urgency: Urgency = Urgency.URGENT, recording: str = "") -> uuid.UUID:
    attempt = store.attempts.create(enrollment, Dialog())
    store.attempts.advance(attempt, AttemptState.DIALING)
    store.attempts.advance(attempt, AttemptState.IN_PROGRESS, recording_path=recording or None)
    store.calls.add_turn(attempt, Turn(0, Speaker.AGENT, "잘 지내셨어요?", 0.0, 2.0, "feeling"))
    store.calls.add_turn(attempt, Turn(1, Speaker.RECIPIENT, WORDS, 2.5, 4.5))
    evidence = (Evidence(1, WORDS, 2.5),)
    findings = (
        Finding("chest_pain", Ternary.YES, evidence, Layer.RULES),
        Finding("worry", "my son", evidence, Layer.RULES),
    )
    alerts = (Alert("chest_pain", urgency, "Chest pain now.", evidence),)
    report = Report("wellbeing", "ko", "1.0", "ab" * 32, Outcome.COMPLETED, findings, alerts, ("a note",), "a summary")
    store.calls.finish(attempt, report)
    return attempt


def settle(database: Database) -> None:
    with database.writing() as session:
        for alert in session.scalars(select(AlertRow)):
            alert.settled_at, alert.resolution = database.now(), Resolution.HANDLED


def remembered(store: Store, database: Database, person: uuid.UUID) -> None:
    store.memories.apply(person, [Append("Has a son."), Append("Has a dog.")])
    store.memories.apply(person, [End(store.memories.standing(person)[1].id)])
    with database.writing() as session:
        remember(session, database, person, "user:1", HistoryKind.NOTE, words="spoke to the neighbour")
        day = database.now().date()
        if session.get(DayRow, (person, day)) is None:
            session.add(
                DayRow(recipient_id=person, day=day, organisation_id=DEFAULT_ORGANISATION, state=DayState.URGENT)
            )


def counts(url: str) -> dict[str, int]:
    engine = create_engine(url)
    with engine.begin() as connection:
        found = {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in Row.metadata.sorted_tables
        }
    engine.dispose()
    return found


class TestCopy:
    def test_it_holds_everything_and_nobody_else(self, store: Store, database: Database, tmp_path: Path) -> None:
        person, enrollment = someone(store)
        recording = tmp_path / "call.wav"
        recording.write_bytes(b"RIFF the sound")
        attempt = talk(store, enrollment, recording=str(recording))
        remembered(store, database, person)
        _, other = someone(store, "Jun Lee", "+82105550102")
        talk(store, other)

        file = io.BytesIO()
        assert write_person(file, store.rights.copy_of(person, actor="terminal:op")) == []
        archive = zipfile.ZipFile(file)
        told = json.loads(archive.read("person.json"))
        assert told["recipient"][0]["name"] == "Mina Park"
        assert told["recipient"][0]["phone"] == "+82105550101"
        assert [turn["text"] for turn in told["turn"]] == ["잘 지내셨어요?", WORDS]
        assert {row["quote"] for row in told["evidence"]} == {WORDS}
        assert {row["code"] for row in told["finding"]} == {"chest_pain", "worry"}
        assert [row["text"] for row in told["memory"]].count("Has a son.") == 1
        assert "spoke to the neighbour" in {row["words"] for row in told["history"]}
        assert "recipient.added" in {row["action"] for row in told["audit"]}
        assert archive.read(f"recordings/{attempt}.wav") == b"RIFF the sound"
        (conversation,) = [name for name in archive.namelist() if name.startswith("conversations/")]
        assert f"Person: {WORDS}" in archive.read(conversation).decode()
        everything = "".join(archive.read(name).decode("utf-8", "replace") for name in archive.namelist())
        assert "Jun Lee" not in everything
        assert "5550102" not in everything
        assert store.audit.of(f"recipient:{person}")[-1].action == "recipient.exported"

    def test_every_table_with_personal_text_is_in_it(self, store: Store) -> None:
        person, _ = someone(store)
        told = store.rights.copy_of(person, actor="terminal:op").tables
        personal = {table.name for table in Row.metadata.sorted_tables if personal_columns(table)}
        assert personal - told.keys() == {"user", "key_check", "audit_head", "recording_key"}

    def test_a_person_of_another_organisation_is_not_there(self, store: Store) -> None:
        person, _ = someone(store)
        stranger = Viewer(uuid.uuid4(), uuid.uuid4(), Role.ADMIN, Language.ENGLISH, "UTC")
        with pytest.raises(StoreNotFound):
            store.care.copy_of_person(stranger, person)
        with pytest.raises(StoreNotFound):
            store.care.erase_person(stranger, person)

    def test_the_command_writes_a_file_for_this_user_alone_and_replaces_none(
        self, url: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        someone(store)
        _configure(monkeypatch, url)
        file = tmp_path / "mina.zip"
        run = CliRunner().invoke
        assert run(app, ["people", "export", "Mina Park", "--to", str(file)]).exit_code == 0
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        again = run(app, ["people", "export", "Mina Park", "--to", str(file)])
        assert again.exit_code != 0
        assert zipfile.ZipFile(file).testzip() is None


class TestErasure:
    def test_nothing_stays_but_that_it_happened(
        self, url: str, store: Store, database: Database, tmp_path: Path
    ) -> None:
        before = counts(url)
        person, enrollment = someone(store)
        recording = tmp_path / "call.wav"
        recording.write_bytes(b"RIFF")
        attempt = talk(store, enrollment, recording=str(recording))
        settle(database)
        remembered(store, database, person)
        erased = store.rights.erase(person, actor="terminal:op")
        assert (erased.recordings, erased.number_kept, erased.rows["turn"]) == (1, False, 2)
        assert not recording.exists()
        left = {name: rows for name, rows in counts(url).items() if rows != before[name]}
        assert left.keys() <= {"audit", "audit_head", "campaign", "news"}
        last = store.audit.of(f"recipient:{person}")[-1]
        assert last.action == "recipient.erased"
        assert last.details == {
            "number_kept": False,
            "attempt": 1,
            "turn": 2,
            "finding": 2,
            "alert": 1,
            "memory": 2,
        }
        assert store.audit.check().trouble == ""
        with pytest.raises(StoreError):
            store.attempts.get(attempt)

    def test_others_keep_all_that_is_theirs(self, url: str, store: Store, database: Database) -> None:
        person, enrollment = someone(store)
        talk(store, enrollment)
        settle(database)
        before = counts(url)
        second, other = someone(store, "Jun Lee", "+82105550102")
        talk(store, other)
        settle(database)
        store.rights.erase(second, actor="terminal:op")
        left = {name: rows for name, rows in counts(url).items() if rows != before[name]}
        assert left.keys() <= {"audit", "audit_head", "campaign", "news"}
        assert store.recipients.get(person).name == "Mina Park"

    def test_who_opted_out_is_not_taken_in_again(self, store: Store, database: Database) -> None:
        person, enrollment = someone(store)
        talk(store, enrollment)
        settle(database)
        store.recipients.opt_out(person)
        assert store.rights.erase(person, actor="terminal:op").number_kept
        row = store.recipients.get(person)
        assert (row.name, row.notes, row.phone) == ("", "", "+82105550101")
        with pytest.raises(StoreError, match="not to be called"):
            store.attempts.ad_hoc(Dialog(), "Somebody", Language.KOREAN, "+82105550101")

    def test_not_while_the_person_is_in_a_call(self, store: Store) -> None:
        person, enrollment = someone(store)
        attempt = store.attempts.create(enrollment, Dialog())
        store.attempts.advance(attempt, AttemptState.DIALING)
        with pytest.raises(StoreError, match="in a call now"):
            store.rights.erase(person, actor="terminal:op")
        assert store.recipients.get(person).name == "Mina Park"

    def test_not_while_an_emergency_is_open(self, store: Store, database: Database) -> None:
        person, enrollment = someone(store)
        talk(store, enrollment, urgency=Urgency.EMERGENCY)
        with pytest.raises(StoreError, match="emergency"):
            store.rights.erase(person, actor="terminal:op")
        settle(database)
        store.rights.erase(person, actor="terminal:op")

    def test_the_command_asks_first(self, url: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        person, _ = someone(store)
        _configure(monkeypatch, url)
        run = CliRunner().invoke
        assert run(app, ["people", "erase", str(person)], input="n\n").exit_code != 0
        assert store.recipients.get(person).name == "Mina Park"
        done = run(app, ["people", "erase", str(person)], input="y\n")
        assert (done.exit_code, "Erased" in done.stdout) == (0, True)
        with pytest.raises(StoreError):
            store.recipients.get(person)


class TestRetention:
    async def test_what_is_past_its_time_goes_and_the_rest_stays(
        self, url: str, store: Store, database: Database, clock: Clock
    ) -> None:
        now = clock.now
        for days in (2000, 400, 10):
            clock.now = now - timedelta(days=days)
            person, enrollment = someone(store, f"Person {days}", f"+8210555{days:04}")
            talk(store, enrollment)
            remembered(store, database, person)
        settle(database)
        clock.now = now
        await retention.clear(store, _settings(url))
        left = counts(url)
        assert (left["turn"], left["evidence"]) == (2, 3), "of the newest call"
        assert (left["report"], left["finding"], left["alert"]) == (2, 4, 2)
        assert left["attempt"] == 3, "that there was a call is not forgotten"
        assert left["memory"] == 4, "of sentences that are no longer true only the newest is left"
        assert (left["history"], left["day"]) == (2, 2)
        noted = [row.details for row in store.audit.of("database")]
        assert {"transcripts": 2, "reports": 1} in noted
        assert {"history": 1, "day": 1, "memory": 2} in noted
        assert store.audit.check().trouble == ""
        rows = left["audit"]
        await retention.clear(store, _settings(url))
        assert counts(url)["audit"] == rows, "a second time there is nothing to do and nothing to note"

    async def test_a_report_with_an_open_alert_stays(self, url: str, store: Store, clock: Clock) -> None:
        now = clock.now
        clock.now = LONG_AGO
        _, enrollment = someone(store)
        attempt = talk(store, enrollment)
        clock.now = now
        await retention.clear(store, _settings(url))
        report = store.calls.load_report(attempt)
        assert report is not None
        assert [alert.code for alert in report.alerts] == ["chest_pain"]
        assert store.calls.turns(attempt) == []

    async def test_recordings_go_by_their_age(self, url: str, store: Store, database: Database) -> None:
        effective = _settings(url)
        effective.recordings_dir.mkdir(parents=True)
        _, enrollment = someone(store)
        attempts = [talk(store, enrollment) for _ in range(2)]
        old, new = (effective.recordings_dir / f"{attempt}.wav" for attempt in attempts)
        for file in (old, new):
            file.write_bytes(b"RIFF")
        for attempt, file in zip(attempts, (old, new), strict=True):
            store.attempts.advance(attempt, AttemptState.COMPLETED, recording_path=str(file))
        os.utime(old, (0, (datetime.now(UTC) - timedelta(days=31)).timestamp()))
        await retention.clear(store, effective)
        assert (old.exists(), new.exists()) == (False, True)
        assert [store.attempts.get(attempt).recording_path for attempt in attempts] == [None, str(new)]

    async def test_two_workers_at_once_do_it_once(
        self, url: str, store: Store, database: Database, clock: Clock
    ) -> None:
        now = clock.now
        clock.now = LONG_AGO
        _, enrollment = someone(store)
        for _ in range(3):
            talk(store, enrollment)
        settle(database)
        clock.now = now
        with Store.open(url, secret=SECRET, clock=clock) as other:
            await asyncio.gather(*(retention.clear(each, _settings(url)) for each in (store, other)))
        assert counts(url)["report"] == 0
        assert store.audit.check().trouble == ""


def _settings(url: str) -> Settings:
    return Settings(database_url=url)


def _configure(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("CARECALL_DATABASE_URL", url)
    monkeypatch.setenv("CARECALL_SECRET_KEY", SECRET)
    settings.cache_clear()
