"""After a day of calls no name, number or word of a talk lies open: in the database, the queue, or a log."""

import json
import logging
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from databases import POSTGRES
from pydantic import SecretStr
from sqlmodel import select
from test_worker import Call, Network, World, daily, midday

from carecall import logs
from carecall.dialog.files import find_dialog
from carecall.dialog.manager import DialogManager
from carecall.dialog.red_flags import load_red_flags
from carecall.dialog.understanding.rules import rules_for
from carecall.domain.attempt import AttemptState
from carecall.domain.language import Language
from carecall.domain.progress import AnsweredBy, CallStatus
from carecall.domain.viewer import Role
from carecall.exchange.person_file import write_person
from carecall.settings import LogFormat, Settings
from carecall.store import CallJournal, Store
from carecall.store.history import remember
from carecall.store.memories import Append
from carecall.store.tables import ConsentSource, HistoryKind, RecipientRow, SlotRow, SlotState, TurnRow

SECRET = "a-key-of-at-least-thirty-two-characters"
NOTES = "daughter in Gwangyang has the key"
MEMORY = "Keeps eleven goldfish."
COLLEAGUE, ADDRESS = "Nurse Abernathy", "abernathy@clinic.example"
PEOPLE = {
    "+821055504711": ("Philippa Thistlewood", Language.ENGLISH),
    "+821055504712": ("남궁옥분", Language.KOREAN),
    "+821055504713": ("Bartholomew Quigley", Language.ENGLISH),
}
SAID = {
    Language.ENGLISH: ["yes this is me", "I fed the peacocks at dawn", "my chest hurts since breakfast and it is bad"],
    Language.KOREAN: ["네 맞아요", "새벽에 공작새 밥을 줬어요", "아침부터 가슴이 너무 아파요"],
}


class TalkingNetwork(Network):
    """Whoever answers holds a real talk."""

    async def talk(self, call: Call, act: str) -> None:
        await self._tell(call, CallStatus.IN_PROGRESS, 2, AnsweredBy.HUMAN)
        store = self.store
        await store.run(store.attempts.advance, call.attempt_id, AttemptState.IN_PROGRESS)
        name, language = PEOPLE[call.to]
        folder = Settings().dialogs_dir
        journal = CallJournal(store, call.attempt_id)
        dialog = find_dialog(folder, f"wellbeing.{language}")
        flags = load_red_flags(folder, language)
        today = date(2026, 3, 9)
        manager = DialogManager(dialog, flags, rules_for(language), journal, recipient_name=name, today=today)
        turn = manager.open()
        for now, text in enumerate([*SAID[language], *["no"] * 40]):
            heard = " ".join([sentence.text async for sentence in turn])
            await manager.spoken(heard, started_s=now, ended_s=now + 0.4, interrupted=False)
            if manager.ended:
                break
            turn = manager.reply(text, started_s=now + 0.5, ended_s=now + 0.9)
        await journal.finish(manager.report())
        await self._tell(call, CallStatus.COMPLETED, 3)


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Path]:
    """Everything that is logged, down to the smallest."""
    file = tmp_path / "log.json"
    loggers = [logging.getLogger(), logging.getLogger("dbos")]
    before = [(logger, logger.handlers[:], logger.level) for logger in loggers]
    logs.configure("DEBUG", LogFormat.JSON)
    handler = logging.FileHandler(file)
    handler.setFormatter(loggers[0].handlers[0].formatter)
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    yield file
    handler.close()
    for logger, handlers, level in before:
        logger.handlers[:] = handlers
        logger.setLevel(level)


@pytest.mark.skipif(bool(POSTGRES), reason="looks into the files of SQLite")
@pytest.mark.timeout(120)
async def test_after_a_day_of_calls_nothing_about_a_person_lies_open(tmp_path: Path, logged: Path) -> None:
    data = tmp_path / "data"
    settings = Settings(
        data_dir=data,
        secret_key=SecretStr(SECRET),
        calls_per_second=100,
        calls_at_once=4,
        drain_s=2,
        worker_name="one",
    )
    with Store.open(settings.database, secret=SECRET, upgrade=True) as store:
        network = TalkingNetwork(store)
        world = World(settings, store, network)
        campaign = store.outreach.save_campaign(daily())
        ids = [enrolled(store, campaign, name, phone, language) for phone, (name, language) in PEOPLE.items()]
        network.acts["+821055504713"] = ["busy", "no_answer", "talk"]
        store.memories.apply(ids[0], [Append(MEMORY)])
        store.users.add(ADDRESS, Role.CARE_WORKER, "no password", name=COLLEAGUE)
        with store._database.writing() as session:
            remember(session, store._database, ids[0], "user:1", HistoryKind.NOTE, words=f"told by {COLLEAGUE}")
        async with world.worker():
            await world.until(lambda: closed(world) == len(PEOPLE), within_s=60)
        with store._database.reading() as session:
            said = [row.text for row in session.exec(select(TurnRow))]
            assert len(session.exec(select(RecipientRow)).all()) == len(PEOPLE)
        assert SAID[Language.KOREAN][1] in said
        write_person(tmp_path / "copy.zip", store.rights.copy_of(ids[0], actor="terminal:op"))

        private = [
            *PEOPLE,
            *(name for name, _ in PEOPLE.values()),
            *(part for name, _ in PEOPLE.values() for part in name.split()),
            *("5550 4711", "055504711", NOTES, MEMORY, COLLEAGUE, ADDRESS),
            *(text for text in said if len(text) > 12),
        ]
        assert '"level": "debug"' in logged.read_text()
        looked_into = [file for file in data.rglob("*") if file.is_file()] + [logged]
        names = {file.name for file in looked_into}
        assert {"carecall.sqlite3", "carecall.sqlite3-wal", "log.json"} < names
        assert len([name for name in names if name.endswith((".sqlite3", ".sqlite"))]) > 1, "the queue's file too"
        found = [(file.name, text) for file in looked_into for text in private if lies_open(text, file.read_bytes())]
        assert found == []


def enrolled(store: Store, campaign: uuid.UUID, name: str, phone: str, language: Language) -> uuid.UUID:
    recipient = store.recipients.add(name, phone, language, time_zone=midday(), notes=NOTES)
    written = ConsentSource.WRITTEN
    store.recipients.enroll(recipient, campaign, consent_at=datetime.now(UTC), consent_source=written)
    return recipient


def closed(world: World) -> int:
    with world.store._database.reading() as session:
        return len([slot for slot in session.exec(select(SlotRow)) if slot.state is not SlotState.OPEN])


def lies_open(text: str, content: bytes) -> bool:
    """Whether it stands there: as UTF-8, as UTF-16, or as JSON writes it."""
    forms = (text.encode(), text.encode("utf-16-le"), json.dumps(text)[1:-1].encode())
    return any(form in content for form in forms)
