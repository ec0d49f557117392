"""A call goes on while the database cannot be used, and nothing of it is lost."""

import asyncio
import logging
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from carecall.dialog.files import find_dialog
from carecall.domain.attempt import AttemptState
from carecall.domain.finding import Evidence
from carecall.domain.language import Language
from carecall.domain.report import Outcome, Report
from carecall.domain.triage import Alert, Urgency
from carecall.domain.turn import Speaker, Turn
from carecall.settings import settings
from carecall.store import CallJournal, Store, engine, facade


@dataclass
class Call:
    store: Store
    attempt_id: uuid.UUID
    path: Path
    journal: CallJournal

    @contextmanager
    def database_locked(self) -> Iterator[None]:
        """Another program holds the database's write lock."""
        other = sqlite3.connect(self.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")
            other.close()


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    monkeypatch.setattr(engine, "_BUSY_TIMEOUT_MS", 50)
    monkeypatch.setattr(facade, "_RETRY_AFTER_S", (0.05, 0.1, 0.2))
    path = tmp_path / "calls.sqlite3"
    with Store.open(f"sqlite:///{path}", upgrade=True) as store:
        dialog = find_dialog(settings().dialogs_dir, "wellbeing.en")
        attempt_id = store.attempts.ad_hoc(dialog, "Anna", Language.ENGLISH)
        store.attempts.advance(attempt_id, AttemptState.IN_PROGRESS)
        yield Call(store, attempt_id, path, CallJournal(store, attempt_id))


def turn(index: int, text: str) -> Turn:
    return Turn(index, Speaker.RECIPIENT, text, float(index), index + 0.5)


RED_FLAG = Alert("chest_pain", Urgency.EMERGENCY, "Chest pain", (Evidence(1, "my chest hurts"),))
REPORT = Report("wellbeing", "en", "1.0.0", "0" * 64, Outcome.EMERGENCY, (), (RED_FLAG,))


async def test_what_is_said_while_the_database_is_away_is_written_when_it_is_back(
    call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    await call.journal.recipient_turn(turn(0, "Hello."))
    with call.database_locked(), caplog.at_level(logging.ERROR):
        await call.journal.recipient_turn(turn(1, "My chest hurts."))
        await call.journal.alert(RED_FLAG)
    assert "2 entries are not written yet" in caplog.text
    assert "chest" not in caplog.text.replace("chest_pain", "")
    await call.journal.agent_turn(turn(2, "Please call 911 now."))
    assert [each.index for each in call.store.calls.turns(call.attempt_id)] == [0, 1, 2]
    assert [each.code for each in call.store.calls.alerts(call.attempt_id)] == ["chest_pain"]


async def test_the_report_waits_for_the_database(call: Call) -> None:
    with call.database_locked():
        finishing = asyncio.create_task(call.journal.finish(REPORT))
        await asyncio.sleep(0.1)
        assert not finishing.done()
    await finishing
    assert call.store.calls.load_report(call.attempt_id) == REPORT


async def test_two_entries_at_once_are_written_once_each(call: Call) -> None:
    await asyncio.gather(*(call.journal.recipient_turn(turn(index, "Yes.")) for index in range(8)))
    assert [each.index for each in call.store.calls.turns(call.attempt_id)] == list(range(8))


async def test_a_hang_up_in_the_middle_of_a_write_neither_loses_nor_doubles_it(call: Call) -> None:
    writing = asyncio.create_task(call.journal.recipient_turn(turn(0, "Yes.")))
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await call.journal.finish(REPORT)
    assert len(call.store.calls.turns(call.attempt_id)) == 1
    assert call.store.calls.load_report(call.attempt_id) == REPORT
