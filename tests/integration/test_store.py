"""The store on a real database: SQLite, or the Postgres server that CARECALL_TEST_POSTGRES names."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, make_url, text

from carecall.dialog.journal import Journal
from carecall.dialog.understanding.meaning import AnswerReading, FindingReading, Intent, RedFlagReading, Understanding
from carecall.domain.attempt import AttemptState, IllegalTransition
from carecall.domain.finding import Evidence, Finding, Layer, Missing, Ternary, Unit
from carecall.domain.language import Language
from carecall.domain.report import Outcome, Report
from carecall.domain.triage import Alert, Urgency
from carecall.domain.turn import Speaker, Turn
from carecall.errors import StoreError
from carecall.store import CallJournal, Grant, Store
from carecall.store.engine import newest_revision
from carecall.store.facade import upgrade_database
from carecall.store.memories import Append, End, Replace
from carecall.store.tables import ConsentSource

POSTGRES = os.environ.get("CARECALL_TEST_POSTGRES", "")
NOW = datetime(2026, 5, 4, 0, 30, tzinfo=UTC)
sqlite_only = pytest.mark.skipif(bool(POSTGRES), reason="about SQLite's file")


@dataclass(frozen=True)
class Dialog:
    id: str = "wellbeing"
    language: Language = Language.ENGLISH
    version: str = "1.0"
    hash: str = "ab" * 32


DIALOG = Dialog()


def call(store: Store, name: str = "Mina Park", state: AttemptState = AttemptState.IN_PROGRESS) -> uuid.UUID:
    attempt_id = store.attempts.ad_hoc(DIALOG, name, Language.ENGLISH)
    if state is not AttemptState.PLANNED:
        store.attempts.advance(attempt_id, state)
    return attempt_id


def enrolled(store: Store, *, consent: bool = True) -> uuid.UUID:
    recipient = store.recipients.add("Mina Park", "+82105550101", Language.KOREAN, time_zone="Asia/Seoul")
    campaign = store.recipients.add_campaign("Spring check-ups", "wellbeing", date(2026, 3, 1))
    given_at = {"consent_at": NOW, "consent_source": ConsentSource.WRITTEN} if consent else {}
    return store.recipients.enroll(recipient, campaign, **given_at)  # type: ignore[arg-type]


def said(index: int, words: str, asked: str | None = None) -> Turn:
    return Turn(index, Speaker.RECIPIENT, words, index * 2.0, index * 2.0 + 1.5, asked)


def report(outcome: Outcome = Outcome.COMPLETED, **parts: tuple[object, ...]) -> Report:
    given = {"findings": (), "alerts": (), **parts}
    return Report("wellbeing", "en", "1.0", "ab" * 32, outcome, **given)  # type: ignore[arg-type]


CHEST_PAIN = Alert("chest_pain", Urgency.EMERGENCY, "Chest pain now.", (Evidence(1, "my chest hurts", 2.0),))


class TestOpening:
    def test_an_empty_database_asks_to_be_upgraded(self, url: str) -> None:
        with pytest.raises(StoreError, match=r"is empty\. Run 'carecall db upgrade'"):
            Store.open(url)

    def test_an_upgrade_tells_from_where_to_where(self, url: str) -> None:
        assert upgrade_database(url) == (None, newest_revision())
        assert upgrade_database(url) == (newest_revision(), newest_revision())

    @pytest.mark.parametrize("upgrade", [False, True])
    def test_a_database_of_a_newer_program_is_left_alone(self, url: str, upgrade: bool) -> None:
        upgrade_database(url)
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = 'f00d'"))
        engine.dispose()
        with pytest.raises(StoreError, match=r"newer CareCall.*'carecall db upgrade'"):
            Store.open(url, upgrade=upgrade)

    def test_several_processes_may_upgrade_at_once(self, url: str) -> None:
        with ThreadPoolExecutor(4) as pool:
            befores = [before for before, _ in pool.map(upgrade_database, [url] * 4)]
        assert sorted(befores, key=str) == [newest_revision()] * 3 + [None]

    def test_another_key_or_none_is_noticed_at_once(self, url: str) -> None:
        Store.open(url, secret="a key", upgrade=True).close()
        Store.open(url, secret="a key").close()
        for secret in ("", "another key"):
            with pytest.raises(StoreError, match="CARECALL_SECRET_KEY"):
                Store.open(url, secret=secret)

    @pytest.mark.parametrize("wrong", ["nonsense", "sqlite://", "oracle://host/name"])
    def test_an_unusable_url_is_one_clear_line(self, wrong: str) -> None:
        with pytest.raises(StoreError, match="CARECALL_DATABASE_URL"):
            Store.open(wrong)

    @sqlite_only
    def test_a_file_that_is_no_database_is_one_clear_line(self, tmp_path: Path) -> None:
        (tmp_path / "letter.txt").write_text("Dear Sir or Madam, " * 100)
        with pytest.raises(StoreError, match="cannot be used: file is not a database"):
            Store.open(f"sqlite:///{tmp_path}/letter.txt")

    @sqlite_only
    def test_the_file_is_for_this_user_alone_and_every_commit_is_synced(self, url: str, store: Store) -> None:
        file = Path(make_url(url).database or "")
        assert file.stat().st_mode & 0o077 == 0
        with store._database.reading() as session:
            pragmas = {
                name: session.connection().exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys")
            }
        assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


class TestPersonalData:
    @sqlite_only
    def test_no_word_of_a_call_can_be_read_from_the_file(self, url: str, tmp_path: Path) -> None:
        with Store.open(url, secret="a key", upgrade=True) as store:
            attempt = call(store)
            store.calls.add_turn(attempt, said(1, "my chest hurts"))
            store.calls.add_understanding(
                attempt, 1, Understanding(Intent.ANSWER, red_flags=(RedFlagReading("chest_pain", "my chest hurts"),))
            )
            store.calls.raise_alert(attempt, CHEST_PAIN)
            store.calls.finish(
                attempt, report(findings=(Finding("day", "went to church"),), notes=("wants a new lamp",))
            )
            store.memories.apply(store.attempts.get(attempt).recipient_id, [Append("Has a dog named Bori.")])
            files = b"".join(file.read_bytes() for file in (tmp_path / "data").iterdir())
            assert store.calls.turns(attempt)[0].text == "my chest hurts"
        assert b"chest_pain" in files
        for words in (b"Mina", b"chest hurts", b"church", b"lamp", b"Bori"):
            assert words not in files

    def test_a_refusal_says_nothing_of_the_person(self, store: Store) -> None:
        attempt = call(store)
        store.calls.add_turn(attempt, said(1, "my chest hurts"))
        with pytest.raises(StoreError) as refusal:
            store.calls.add_turn(attempt, said(1, "my chest hurts"))
        assert "chest" not in str(refusal.value) + str(refusal.value.__cause__)


class TestAttempts:
    def test_a_dial_goes_its_way(self, store: Store) -> None:
        attempt_id = store.attempts.create(enrolled(store), DIALOG, slot_due=NOW)
        for seconds, state in enumerate(
            (AttemptState.DIALING, AttemptState.RINGING, AttemptState.IN_PROGRESS, AttemptState.COMPLETED)
        ):
            store.attempts.advance(
                attempt_id, state, at=NOW + timedelta(seconds=seconds), provider_call_sid="CA1" if seconds else None
            )
        attempt = store.attempts.get(attempt_id)
        assert attempt.slot_due == NOW
        assert attempt.dialed_at == NOW
        assert attempt.answered_at == NOW + timedelta(seconds=2)
        assert attempt.ended_at == NOW + timedelta(seconds=3)
        assert attempt.provider_call_sid == "CA1"
        assert attempt.dialog_hash == DIALOG.hash

    def test_a_late_callback_does_not_wake_an_ended_call(self, store: Store) -> None:
        attempt = call(store)
        store.attempts.advance(attempt, AttemptState.COMPLETED)
        with pytest.raises(IllegalTransition):
            store.attempts.advance(attempt, AttemptState.RINGING)
        assert store.attempts.advance(attempt, AttemptState.COMPLETED) is AttemptState.COMPLETED

    def test_a_person_is_in_one_call_at_a_time(self, store: Store) -> None:
        enrollment = enrolled(store)
        first, second = (store.attempts.create(enrollment, DIALOG, slot_due=NOW, number=n) for n in (1, 2))
        store.attempts.advance(first, AttemptState.DIALING)
        with pytest.raises(StoreError, match="another call"):
            store.attempts.advance(second, AttemptState.DIALING)
        store.attempts.advance(first, AttemptState.NO_ANSWER)
        store.attempts.advance(second, AttemptState.DIALING)

    def test_the_schema_itself_refuses_a_second_live_call(self, store: Store) -> None:
        enrollment = enrolled(store)
        for number in (1, 2):
            store.attempts.create(enrollment, DIALOG, slot_due=NOW, number=number)
        with pytest.raises(StoreError, match="attempt"), store._database.writing() as session:
            session.connection().execute(text("UPDATE attempt SET state = 'dialing'"))

    @pytest.mark.parametrize("change", ["state = 'resting'", "state = 'completed'", "number = 0", "outcome = 'fine'"])
    def test_the_schema_refuses_what_is_no_attempt(self, store: Store, change: str) -> None:
        call(store)
        with pytest.raises(StoreError, match="refused"), store._database.writing() as session:
            session.connection().execute(text(f"UPDATE attempt SET {change}"))

    def test_a_slot_has_each_attempt_once(self, store: Store) -> None:
        enrollment = enrolled(store)
        store.attempts.create(enrollment, DIALOG, slot_due=NOW, number=1)
        with pytest.raises(StoreError, match="exists already"):
            store.attempts.create(enrollment, DIALOG, slot_due=NOW, number=1)

    def test_nobody_is_called_without_consent(self, store: Store) -> None:
        with pytest.raises(StoreError, match="consent"):
            store.attempts.create(enrolled(store, consent=False), DIALOG)

    def test_an_opt_out_stops_a_call_that_is_planned_already(self, store: Store) -> None:
        planned = store.attempts.create(enrolled(store), DIALOG, slot_due=NOW)
        store.recipients.opt_out(store.attempts.get(planned).recipient_id)
        with pytest.raises(StoreError, match="not to be called"):
            store.attempts.advance(planned, AttemptState.DIALING)

    def test_the_same_name_is_the_same_person_from_call_to_call(self, store: Store) -> None:
        first = call(store)
        store.calls.finish(first, report())
        assert store.attempts.get(call(store)).recipient_id == store.attempts.get(first).recipient_id

    def test_two_unnumbered_calls_at_once_are_two_people(self, store: Store) -> None:
        first, second = call(store), call(store)
        assert store.attempts.get(first).recipient_id != store.attempts.get(second).recipient_id

    def test_whoever_asked_not_to_be_called_is_not_called_under_another_name(self, store: Store) -> None:
        attempt = store.attempts.ad_hoc(DIALOG, "Mina Park", Language.ENGLISH, "+1 555 0101")
        store.attempts.advance(attempt, AttemptState.IN_PROGRESS)
        store.calls.finish(attempt, report(Outcome.OPTED_OUT))
        with pytest.raises(StoreError, match="not to be called"):
            store.attempts.ad_hoc(DIALOG, "M. Park", Language.ENGLISH, "+1-555-0101")

    def test_an_unknown_attempt_is_one_clear_line(self, store: Store) -> None:
        with pytest.raises(StoreError, match="no attempt"):
            store.attempts.get(uuid.uuid4())


class TestJournal:
    async def test_a_call_is_written_down_as_it_happens(self, store: Store) -> None:
        attempt = call(store)
        journal: Journal = CallJournal(store, attempt)
        asked = Turn(0, Speaker.AGENT, "How did you sleep?", 0.0, 1.2, asked="sleep", interrupted=True)
        answer = said(1, "badly, and my chest hurts", asked="sleep")
        await journal.agent_turn(asked)
        await journal.recipient_turn(answer)
        await journal.understood(1, Understanding(Intent.ANSWER, scores_of_no()))
        await journal.alert(CHEST_PAIN)
        await journal.alert(CHEST_PAIN)
        assert store.calls.turns(attempt) == [asked, answer]
        assert store.calls.alerts(attempt) == [CHEST_PAIN]

    async def test_an_understanding_needs_its_turn(self, store: Store) -> None:
        with pytest.raises(StoreError, match="no turn 4"):
            await CallJournal(store, call(store)).understood(4, Understanding(Intent.UNCLEAR))

    async def test_a_turn_is_kept_though_the_hang_up_cancels_its_writer(self, url: str, store: Store) -> None:
        attempt = call(store)
        journal = CallJournal(store, attempt)
        writers = [asyncio.create_task(journal.recipient_turn(said(index, "yes"))) for index in range(10)]
        await asyncio.sleep(0)
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        await journal.finish(report())
        store.close()
        with Store.open(url) as reopened:
            assert len(reopened.calls.turns(attempt)) == 10

    async def test_calls_at_once_do_not_hinder_each_other(self, store: Store) -> None:
        attempts = [call(store, f"Person {n}") for n in range(8)]

        async def talk(attempt: uuid.UUID) -> None:
            journal = CallJournal(store, attempt)
            for index in range(10):
                await journal.recipient_turn(said(index, "yes"))

        await asyncio.gather(*map(talk, attempts))
        assert [len(store.calls.turns(attempt)) for attempt in attempts] == [10] * 8


def scores_of_no() -> AnswerReading:
    return AnswerReading(Ternary.NO, "badly", 0.9, Layer.LLM, {Ternary.NO: 0.9, Ternary.YES: 0.1})


PLAIN = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
CODES = st.from_regex(r"[a-z_]{1,20}", fullmatch=True)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
EVIDENCE = st.lists(st.builds(Evidence, st.integers(0, 500), PLAIN, st.none() | st.floats(0, 1e4)), max_size=3).map(
    tuple
)
FINDINGS = st.lists(
    st.builds(
        Finding,
        CODES,
        st.sampled_from(Ternary) | st.sampled_from(Missing) | NUMBERS | PLAIN,
        EVIDENCE,
        st.sampled_from(Layer),
        st.none() | st.sampled_from(Unit),
    ),
    max_size=6,
    unique_by=lambda finding: finding.code,
).map(tuple)
ALERTS = st.lists(
    st.builds(Alert, CODES, st.sampled_from(Urgency), PLAIN, EVIDENCE), max_size=4, unique_by=lambda alert: alert.code
).map(tuple)
REPORTS = st.builds(
    Report,
    st.just("wellbeing"),
    st.sampled_from(["en", "ko"]),
    st.just("1.0"),
    st.just("ab" * 32),
    st.sampled_from(Outcome),
    FINDINGS,
    ALERTS,
    st.lists(PLAIN, max_size=3).map(tuple),
)


class TestReports:
    @settings(max_examples=40)
    @given(given_report=REPORTS, raised_first=st.booleans())
    def test_a_report_comes_back_as_it_was_given(self, store: Store, given_report: Report, raised_first: bool) -> None:
        attempt = call(store)
        if raised_first:
            for alert in given_report.alerts[::-1]:
                store.calls.raise_alert(attempt, alert)
        store.calls.finish(attempt, given_report)
        loaded = store.calls.load_report(attempt)
        assert loaded == given_report
        assert [type(finding.value) for finding in loaded.findings] == [type(f.value) for f in given_report.findings]

    def test_a_call_that_goes_on_has_no_report(self, store: Store) -> None:
        assert store.calls.load_report(call(store)) is None

    def test_finishing_ends_the_attempt_and_leaves_one_trace(self, store: Store) -> None:
        attempt = call(store)
        first = report(findings=(Finding("slept_well", Ternary.NO),))
        store.calls.finish(attempt, first)
        store.calls.finish(attempt, report(Outcome.HUNG_UP))
        assert store.calls.load_report(attempt) == first
        assert store.attempts.get(attempt).state is AttemptState.COMPLETED
        assert store.attempts.get(attempt).outcome is Outcome.COMPLETED
        assert [(entry.action, entry.details) for entry in store.audit.of(f"attempt:{attempt}")] == [
            ("call.finished", {"outcome": "completed", "urgency": "routine", "findings": 1})
        ]

    def test_a_report_that_comes_after_the_last_callback_is_kept(self, store: Store) -> None:
        attempt = call(store)
        store.attempts.advance(attempt, AttemptState.COMPLETED)
        store.calls.finish(attempt, report(Outcome.HUNG_UP))
        assert store.calls.load_report(attempt) == report(Outcome.HUNG_UP)

    def test_a_call_that_never_began_cannot_be_finished(self, store: Store) -> None:
        attempt = call(store, state=AttemptState.PLANNED)
        with pytest.raises(IllegalTransition):
            store.calls.finish(attempt, report(findings=(Finding("slept_well", Ternary.NO),)))
        assert store.calls.load_report(attempt) is None

    def test_all_of_a_report_is_kept_or_nothing(self, store: Store) -> None:
        attempt = call(store)
        twice = (Finding("slept_well", Ternary.NO), Finding("slept_well", Ternary.YES))
        with pytest.raises(StoreError, match="refused"):
            store.calls.finish(attempt, report(findings=twice, alerts=(CHEST_PAIN,)))
        assert store.calls.alerts(attempt) == []
        assert store.attempts.get(attempt).state is AttemptState.IN_PROGRESS

    def test_an_alert_raised_in_the_call_stays_when_the_report_does_not_name_it(self, store: Store) -> None:
        attempt = call(store)
        store.calls.raise_alert(attempt, CHEST_PAIN)
        store.calls.finish(attempt, report())
        assert store.calls.alerts(attempt) == [CHEST_PAIN]
        assert store.calls.load_report(attempt) == report()


class TestInterruption:
    def test_calls_of_a_running_process_are_left_alone(self, url: str, store: Store) -> None:
        attempt = call(store)
        with Store.open(url) as another:
            assert another.attempts.close_interrupted() == 0
        assert store.attempts.get(attempt).state is AttemptState.IN_PROGRESS

    def test_a_call_left_live_is_closed_with_what_was_understood(self, url: str) -> None:
        with Store.open(url, upgrade=True) as store:
            attempt = call(store)
            for turn, answer in (
                (said(1, "I slept badly and I cough", "slept_well"), Ternary.NO),
                (said(3, "well, who can say", "slept_well"), Ternary.UNKNOWN),
                (said(5, "thirty eight point two", "temperature"), 38.2),
            ):
                store.calls.add_turn(attempt, turn)
                store.calls.add_understanding(
                    attempt,
                    turn.index,
                    Understanding(
                        Intent.ANSWER,
                        AnswerReading(answer, turn.text[:12], layer=Layer.LLM),
                        (FindingReading("cough", Ternary.YES, "I cough"),) if turn.index == 1 else (),
                    ),
                )
            store.calls.add_turn(attempt, said(7, "and then"))
            store.calls.raise_alert(attempt, CHEST_PAIN)
        with Store.open(url) as store:
            assert store.attempts.close_interrupted() == 1
            assert store.attempts.close_interrupted() == 0
            closed = store.attempts.get(attempt)
            assert closed.state is AttemptState.INTERRUPTED
            assert closed.ended_at is not None
            assert store.calls.load_report(attempt) == report(
                Outcome.INTERRUPTED,
                findings=(
                    Finding("cough", Ternary.YES, (Evidence(1, "I cough", 2.0),)),
                    Finding("slept_well", Ternary.NO, (Evidence(1, "I slept badl", 2.0),), Layer.LLM),
                    Finding("temperature", 38.2, (Evidence(5, "thirty eight", 10.0),), Layer.LLM),
                ),
                alerts=(CHEST_PAIN,),
                notes=("The call broke off on our side. Recorded turns: 4.",),
            )
            assert [entry.action for entry in store.audit.of(f"attempt:{attempt}")] == ["call.interrupted"]

    def test_a_silent_holder_on_another_host_is_given_up_after_a_while(self, url: str) -> None:
        clock = [NOW]
        with Store.open(url, upgrade=True, clock=lambda: clock[0]) as store:
            attempt = call(store)
            with store._database.writing() as session:
                session.connection().execute(text("UPDATE attempt SET holder = 'another-host boot 7 100 1'"))
            clock[0] += timedelta(minutes=14)
            assert store.attempts.close_interrupted() == 0
            store.calls.add_turn(attempt, said(0, "hello"))
            clock[0] += timedelta(minutes=14)
            assert store.attempts.close_interrupted() == 0
            clock[0] += timedelta(minutes=2)
            assert store.attempts.close_interrupted() == 1

    def test_no_acknowledged_turn_is_lost_by_a_kill(self, url: str) -> None:
        upgrade_database(url)
        with subprocess.Popen([sys.executable, "-c", KILLED, url], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            attempt = uuid.UUID(process.stdout.readline().strip())
            acknowledged = [int(process.stdout.readline()) for _ in range(60)]
            process.send_signal(signal.SIGKILL)
            acknowledged += [int(line) for line in process.stdout.read().splitlines() if line.isdigit()]
        with Store.open(url) as store:
            assert {turn.index for turn in store.calls.turns(attempt)} >= set(acknowledged)
            assert store.attempts.close_interrupted() == 1
            closed = store.calls.load_report(attempt)
            assert closed is not None
            assert closed.outcome is Outcome.INTERRUPTED

    def test_two_processes_write_to_one_database(self, url: str) -> None:
        upgrade_database(url)
        writers = [
            subprocess.Popen([sys.executable, "-c", KILLED, url, "40"], stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        printed = [writer.communicate(timeout=60)[0].split() for writer in writers]
        with Store.open(url) as store:
            assert [len(store.calls.turns(uuid.UUID(lines[0]))) for lines in printed] == [40, 40]


KILLED = """
import asyncio, itertools, sys
from dataclasses import dataclass
from carecall.domain.attempt import AttemptState
from carecall.domain.language import Language
from carecall.domain.turn import Speaker, Turn
from carecall.store import CallJournal, Store

@dataclass(frozen=True)
class Dialog:
    id: str = "wellbeing"
    language: Language = Language.ENGLISH
    version: str = "1.0"
    hash: str = "ab" * 32

async def talk():
    store = Store.open(sys.argv[1])
    attempt = store.attempts.ad_hoc(Dialog(), "Mina Park", Language.ENGLISH)
    store.attempts.advance(attempt, AttemptState.IN_PROGRESS)
    journal = CallJournal(store, attempt)
    print(attempt, flush=True)
    for index in range(int(sys.argv[2])) if len(sys.argv) > 2 else itertools.count():
        await journal.recipient_turn(Turn(index, Speaker.RECIPIENT, f"turn {index}", index, index + 0.5))
        print(index, flush=True)
    store.close()

asyncio.run(talk())
"""


class TestStreamTokens:
    def test_a_token_admits_once(self, store: Store) -> None:
        attempt = call(store)
        token = store.stream_tokens.issue(attempt, 60, needs_signature=True)
        now = datetime.now(UTC)
        assert store.stream_tokens.redeem(token, now) == Grant(attempt, needs_signature=True)
        assert store.stream_tokens.redeem(token, now) is None

    @pytest.mark.parametrize("token", ["", "unknown", "\udc80"])
    def test_an_unknown_token_admits_nobody(self, store: Store, token: str) -> None:
        assert store.stream_tokens.redeem(token, NOW) is None

    def test_a_token_expires(self, url: str) -> None:
        with Store.open(url, upgrade=True, clock=lambda: NOW) as store:
            token = store.stream_tokens.issue(call(store), 60, needs_signature=False)
            assert store.stream_tokens.redeem(token, NOW + timedelta(seconds=60)) is None
            assert store.stream_tokens.redeem(token, NOW + timedelta(seconds=59.9)) is not None

    def test_of_many_at_once_exactly_one_wins(self, url: str, store: Store) -> None:
        attempt = call(store)
        with Store.open(url) as other, ThreadPoolExecutor(8) as pool:
            for _ in range(10):
                token = store.stream_tokens.issue(attempt, 60, needs_signature=False)
                grants = pool.map(
                    lambda opened, token=token: opened.stream_tokens.redeem(token, datetime.now(UTC)),
                    [store, other] * 4,
                )
                assert sum(grant is not None for grant in grants) == 1

    @sqlite_only
    def test_the_token_itself_is_not_kept(self, url: str, store: Store, tmp_path: Path) -> None:
        token = store.stream_tokens.issue(call(store), 60, needs_signature=False)
        assert not any(token.encode() in file.read_bytes() for file in (tmp_path / "data").iterdir())


class TestMemories:
    def test_sentences_are_added_replaced_and_ended(self, store: Store) -> None:
        attempt = call(store)
        person = store.attempts.get(attempt).recipient_id
        store.memories.apply(person, [Append("Has a cough.", "health"), Append("Has a dog.", "pets")])
        cough, dog = sorted(store.memories.standing(person), key=lambda memory: memory.topic)
        store.memories.apply(
            person, [End(cough.id), Replace(dog.id, "Has two dogs.", "pets")], source_attempt_id=attempt
        )
        (now,) = store.memories.standing(person)
        assert (now.text, now.topic, now.source_attempt_id) == ("Has two dogs.", "pets", attempt)

    def test_all_operations_are_applied_or_none(self, store: Store) -> None:
        person = store.attempts.get(call(store)).recipient_id
        with pytest.raises(StoreError, match="does not stand"):
            store.memories.apply(person, [Append("Has a cough."), End(uuid.uuid4())])
        assert store.memories.standing(person) == []

    def test_one_person_s_memory_is_out_of_another_s_reach(self, store: Store) -> None:
        mina, jin = (store.attempts.get(call(store, name)).recipient_id for name in ("Mina Park", "Jin Lee"))
        store.memories.apply(mina, [Append("Has a cough.")])
        (cough,) = store.memories.standing(mina)
        with pytest.raises(StoreError, match="does not stand"):
            store.memories.apply(jin, [End(cough.id)])

    def test_a_person_can_be_forgotten(self, store: Store) -> None:
        person = store.attempts.get(call(store)).recipient_id
        store.memories.apply(person, [Append("Has a cough.")])
        (cough,) = store.memories.standing(person)
        store.memories.apply(person, [Replace(cough.id, "Has a cold.")])
        assert store.memories.forget(person, actor="operator") == 2
        assert store.memories.standing(person) == []
        last = store.audit.of(f"recipient:{person}")[-1]
        assert (last.actor, last.action, last.details) == ("operator", "memory.forgotten", {"sentences": 2})


class TestRecipients:
    def test_a_recipient_is_found_by_name_and_number(self, url: str) -> None:
        with Store.open(url, secret="a key", upgrade=True) as store:
            added = store.recipients.add("Mina Park", "+82 10-5550-101", Language.KOREAN, patience_s=1.5)
            (found,) = store.recipients.find("Mina Park", "+82105550101")
            assert (found.id, found.phone, found.patience_s) == (added, "+82 10-5550-101", 1.5)
            assert found.created_at.tzinfo is UTC
            assert store.recipients.find("Mina Park", "") == []

    def test_nobody_is_twice_in_a_campaign(self, store: Store) -> None:
        person = store.recipients.add("Mina Park", "", Language.KOREAN)
        campaign = store.recipients.add_campaign("Spring", "wellbeing", date(2026, 3, 1))
        store.recipients.enroll(person, campaign)
        with pytest.raises(StoreError, match="refused"):
            store.recipients.enroll(person, campaign)


class TestAudit:
    @pytest.mark.parametrize("change", ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"])
    def test_the_trail_cannot_be_changed(self, store: Store, change: str) -> None:
        store.audit.record("operator", "recipient.viewed", "recipient:1", page="calls")
        with pytest.raises(StoreError, match="append-only"), store._database.writing() as session:
            session.connection().execute(text(change))
        assert [entry.actor for entry in store.audit.of("recipient:1")] == ["operator"]

    def test_what_is_older_than_two_years_may_be_cleared(self, url: str) -> None:
        with Store.open(url, upgrade=True, clock=lambda: datetime.now(UTC) - timedelta(days=735)) as store:
            store.audit.record("operator", "recipient.viewed", "recipient:1")
            with store._database.writing() as session:
                session.connection().execute(text("DELETE FROM audit"))
            assert store.audit.of("recipient:1") == []


class TestCommandLine:
    @sqlite_only
    def test_db_upgrade_makes_the_database_and_says_so(self, tmp_path: Path) -> None:
        environment = {**os.environ, "CARECALL_DATA_DIR": str(tmp_path / "data"), "CARECALL_DATABASE_URL": ""}
        command = [sys.executable, "-c", "from carecall.cli import main; main()", "db", "upgrade"]
        lines = [
            subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()
            for _ in range(2)
        ]
        assert lines == [f"empty → {newest_revision()}", f"{newest_revision()}: nothing to do"]
        with closing(sqlite3.connect(tmp_path / "data" / "carecall.sqlite3")) as connection:
            assert connection.execute("SELECT count(*) FROM audit").fetchone() == (0,)
