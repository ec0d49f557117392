"""The worker with a real store and a real durable queue; the telephone network is a script."""

import asyncio
import itertools
import multiprocessing
import os
import signal
import uuid
from base64 import b64encode
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from pydantic import SecretStr
from sqlalchemy import update
from sqlmodel import SQLModel, select

from carecall.dialog.files import find_dialog
from carecall.domain.attempt import AttemptState
from carecall.domain.campaign import Campaign, Ending, HumanStep, Ladder, Schedule, TaskKind, Window
from carecall.domain.language import Language
from carecall.domain.progress import AnsweredBy, CallFailure, CallProgress, CallStatus
from carecall.domain.report import Outcome, Report
from carecall.domain.triage import Alert, Urgency
from carecall.errors import SettingsError
from carecall.outreach import alerting
from carecall.outreach.dialer import DialRefused, DialRequest, DialUnknown, PlacedCall
from carecall.outreach.dialing import Pace
from carecall.outreach.worker import Worker, running_worker
from carecall.settings import Settings
from carecall.store import Store
from carecall.store.attempts import DialogIdentity
from carecall.store.tables import AttemptRow, ConsentSource, NewsRow, SlotRow, SlotState, TaskRow

Row = TypeVar("Row", bound=SQLModel)

PACE = Pace(
    tick_s=0.05,
    queue_s=0.05,
    look_s=0.03,
    request_s=0.2,
    fence_s=3.0,
    find_again_s=0.05,
    quiet_s=1.5,
    orphan_s=0.05,
    report_s=0.3,
    linger_s=0.2,
    voicemail_s=0.2,
    refused_s=0.3,
    silent_s=1.0,
)
SOON = timedelta(seconds=0.1)
LADDER = Ladder(
    3,
    {ending: SOON for ending in Ending if ending not in (Ending.WRONG_PERSON, Ending.BAD_NUMBER)},
    (HumanStep(TaskKind.CALL, timedelta(hours=4)), HumanStep(TaskKind.VISIT, timedelta(hours=24))),
)


@dataclass
class Call:
    """A telephone call as the network sees it."""

    sid: str
    attempt_id: uuid.UUID
    to: str
    made_at: datetime
    status: CallStatus = CallStatus.QUEUED


@dataclass
class Network:
    """Plays a script: for every call to a number the next of its acts, and the last one for ever."""

    store: Store
    acts: dict[str, list[str]] = field(default_factory=lambda: defaultdict(lambda: ["talk"]))
    calls: list[Call] = field(default_factory=list)
    requests: int = 0
    hung_up: list[str] = field(default_factory=list)
    away: bool = False  # the provider cannot be asked
    asked_in_vain: int = 0
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    async def place(self, request: DialRequest) -> str:
        self.requests += 1
        script = self.acts[request.to]
        act = script.pop(0) if len(script) > 1 else script[0]
        match act:
            case "bad_number" | "account" | "limit":
                raise DialRefused("refused", CallFailure(act))
            case "never_made":
                raise DialUnknown
            case "hangs":
                await asyncio.sleep(60)
        assert not [call for call in self.calls if call.to == request.to and not call.status.terminal]
        call = Call(f"CA{uuid.uuid4().hex}", request.attempt_id, request.to, datetime.now(UTC))
        self.calls.append(call)
        if act == "made_and_lost":
            raise DialUnknown
        task = asyncio.create_task(self._play(call, act))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return call.sid

    async def _play(self, call: Call, act: str) -> None:
        if act == "callbacks_lost":
            call.status = CallStatus.BUSY
            return
        await self._tell(call, CallStatus.RINGING, 1)
        match act:
            case "busy":
                await self._tell(call, CallStatus.BUSY, 2)
            case "no_answer":
                await self._tell(call, CallStatus.NO_ANSWER, 2)
            case "machine":
                await self._tell(call, CallStatus.IN_PROGRESS, 2, AnsweredBy.MACHINE_END_BEEP)
            case "machine_end_lost":
                await self._tell(call, CallStatus.IN_PROGRESS, 2, AnsweredBy.MACHINE_END_BEEP)
                call.status = CallStatus.COMPLETED
            case "carrier":
                await self._tell(call, CallStatus.FAILED, 2)
            case "rings_on":
                return
            case _:
                await self.talk(call, act)

    async def talk(self, call: Call, act: str) -> None:
        await self._tell(call, CallStatus.IN_PROGRESS, 2, AnsweredBy.HUMAN)
        store = self.store
        await store.run(store.attempts.advance, call.attempt_id, AttemptState.IN_PROGRESS)
        if act == "talks_on":
            return
        if act != "cut_off":
            outcome = Outcome.COMPLETED if act in ("talk", "line_stays_up") else Outcome(act)
            report = Report("wellbeing", "en", "1", "0" * 64, outcome, (), ())
            await store.run(store.calls.finish, call.attempt_id, report)
        if act != "line_stays_up":
            await self._tell(call, CallStatus.COMPLETED, 3)

    async def _tell(self, call: Call, status: CallStatus, sequence: int, answered_by: AnsweredBy | None = None) -> None:
        call.status = status
        progress = CallProgress(call.attempt_id, call.sid, status, sequence, answered_by)
        await self.store.run(self.store.outreach.fold, progress)

    async def find(self, to: str, since: datetime) -> list[PlacedCall]:
        self._ask()
        return [PlacedCall(call.sid, call.made_at) for call in self.calls if call.to == to and call.made_at >= since]

    async def look(self, attempt_id: uuid.UUID, call_sid: str) -> CallProgress:
        self._ask()
        return CallProgress(attempt_id, call_sid, self._call(call_sid).status, None)

    async def hang_up(self, call_sid: str) -> None:
        self._ask()
        self.hung_up.append(call_sid)
        call = self._call(call_sid)
        if not call.status.terminal:
            await self._tell(call, CallStatus.COMPLETED, 9)

    def _ask(self) -> None:
        if self.away:
            self.asked_in_vain += 1
            raise DialUnknown

    def _call(self, call_sid: str) -> Call:
        return next(call for call in self.calls if call.sid == call_sid)


def dialogs(dialog_id: str, language: Language) -> DialogIdentity:
    return find_dialog(Settings().dialogs_dir, f"{dialog_id}.{language}")


def midday() -> str:
    """A time zone in which it is midday now, so that telephones may ring for hours to come."""
    return f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"


@dataclass
class World:
    """A database, a telephone network, and what became of the people in them."""

    settings: Settings
    store: Store
    network: Network

    def person(self, *acts: str, phone: str = "", campaign: Campaign | None = None) -> uuid.UUID:
        """Somebody whose check is due now. Gives the recipient's id."""
        phone = phone or f"+82105555{len(self.network.acts):04}"
        self.network.acts[phone] = list(acts)
        campaign_id = self.store.outreach.save_campaign(campaign or daily())
        recipient_id = self.store.recipients.add("Anna", phone, Language.ENGLISH, time_zone=midday())
        self.store.recipients.enroll(
            recipient_id, campaign_id, consent_at=datetime.now(UTC), consent_source=ConsentSource.WRITTEN
        )
        return recipient_id

    def slots(self) -> list[SlotRow]:
        return self._rows(SlotRow)

    def attempts(self) -> list[AttemptRow]:
        return sorted(self._rows(AttemptRow), key=lambda attempt: attempt.planned_at)

    def tasks(self) -> list[TaskRow]:
        return self.store.outreach.tasks()

    def _rows(self, kind: type[Row]) -> list[Row]:
        with self.store._database.reading() as session:
            return list(session.exec(select(kind)).all())

    @asynccontextmanager
    async def worker(self, **changes: float) -> AsyncIterator[Worker]:
        pace = replace(PACE, **changes)
        async with running_worker(self.settings, self.store, self.network, dialogs, pace=pace) as worker:
            yield worker

    async def until(self, seen: Callable[[], object], within_s: float = 10.0) -> None:
        async with asyncio.timeout(within_s):
            while not seen():
                await asyncio.sleep(0.02)

    async def until_closed(self, within_s: float = 10.0) -> SlotRow:
        """The one slot, when it is closed."""
        await self.until(lambda: self.slots() and self.slots()[0].state is not SlotState.OPEN, within_s)
        (slot,) = self.slots()
        return slot


def daily(**changes: object) -> Campaign:
    schedule = Schedule((time(12),), window=Window(time(9), time(21)), daily_cap=20)
    campaign = Campaign("Daily", "wellbeing", date(2020, 1, 1), None, schedule, LADDER)
    return replace(campaign, **changes)  # type: ignore[arg-type]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    settings = Settings(data_dir=tmp_path, calls_per_second=100, calls_at_once=4, drain_s=2, worker_name="one")
    with Store.open(settings.database, upgrade=True) as store:
        yield World(settings, store, Network(store))


async def test_a_person_who_answers_is_reached_with_one_call(world: World) -> None:
    world.person("talk")
    async with world.worker():
        slot = await world.until_closed()
    assert (slot.state, slot.reason) == (SlotState.REACHED, "reached")
    assert [attempt.state for attempt in world.attempts()] == [AttemptState.COMPLETED]
    assert world.network.requests == 1


@pytest.mark.parametrize(
    "act", ["busy", "no_answer", "carrier", "machine", "hung_up", "silent", "call_later", "cut_off", "line_stays_up"]
)
async def test_whatever_happens_first_the_next_call_reaches_the_person(world: World, act: str) -> None:
    world.person(act, "talk")
    async with world.worker():
        slot = await world.until_closed()
    assert slot.state is SlotState.REACHED
    assert len(world.attempts()) == (1 if act == "line_stays_up" else 2)
    assert all(call.status.terminal for call in world.network.calls)


async def test_a_call_that_could_not_be_ended_at_first_is_ended_soon_after(world: World) -> None:
    world.person("line_stays_up")
    async with world.worker(linger_s=6.0):
        await world.until(world.network.calls.__len__)
        world.network.away = True
        await world.until(lambda: world.network.asked_in_vain)
        world.network.away = False
        slot = await world.until_closed(within_s=5.5)
    assert slot.state is SlotState.REACHED


async def test_the_end_of_a_machines_call_that_nobody_told_is_asked_for(world: World) -> None:
    world.person("machine_end_lost", "talk")
    async with world.worker(voicemail_s=60.0, quiet_s=0.4):
        slot = await world.until_closed()
    assert slot.state is SlotState.REACHED
    assert not world.network.hung_up


async def test_three_unanswered_calls_become_a_humans_task(world: World) -> None:
    world.person("busy", "no_answer", "machine")
    async with world.worker():
        slot = await world.until_closed()
    assert (slot.state, slot.reason) == (SlotState.HANDED_OVER, "machine")
    assert [task.kind for task in world.tasks()] == [TaskKind.CALL]
    assert world.network.requests == 3


async def test_a_number_that_cannot_be_called_is_checked_by_a_human_at_once(world: World) -> None:
    world.person("bad_number")
    async with world.worker():
        slot = await world.until_closed()
    assert slot.state is SlotState.HANDED_OVER
    assert TaskKind.CHECK_NUMBER in [task.kind for task in world.tasks()]
    assert world.network.requests == 1


async def test_someone_else_on_the_line_is_for_a_human(world: World) -> None:
    world.person("wrong_person")
    async with world.worker():
        assert (await world.until_closed()).state is SlotState.HANDED_OVER
    assert world.network.requests == 1


async def test_an_opt_out_in_the_talk_ends_it_all(world: World) -> None:
    world.person("opted_out")
    async with world.worker():
        assert (await world.until_closed()).state is SlotState.DROPPED
        await asyncio.sleep(0.3)
    assert world.network.requests == 1
    assert world.tasks() == []


async def test_a_call_whose_request_failed_is_found_and_not_dialed_again(world: World) -> None:
    world.person("made_and_lost")
    async with world.worker():
        await world.until(lambda: [a for a in world.attempts() if a.provider_call_sid])
        await world.network.talk(world.network.calls[0], "talk")
        slot = await world.until_closed()
    assert slot.state is SlotState.REACHED
    assert world.network.requests == 1


async def test_a_call_that_was_never_made_is_made_once_that_is_certain(world: World) -> None:
    world.person("never_made", "hangs", "talk")
    async with world.worker():
        assert (await world.until_closed()).state is SlotState.REACHED
    assert [attempt.failure for attempt in world.attempts()] == [CallFailure.NOT_PLACED, CallFailure.NOT_PLACED, None]


async def test_nothing_is_dialed_while_the_provider_cannot_say_what_became_of_a_call(world: World) -> None:
    world.person("made_and_lost")
    world.network.away = True
    async with world.worker():
        await asyncio.sleep(2)
        assert world.network.requests == 1
        assert world.attempts()[0].state is AttemptState.DIALING
        world.network.away = False
        world.network.calls[0].status = CallStatus.NO_ANSWER
        world.network.acts[world.network.calls[0].to] = ["talk"]
        assert (await world.until_closed()).state is SlotState.REACHED
    assert world.network.requests == 2


async def test_callbacks_that_never_come_are_made_up_for_by_asking(world: World) -> None:
    world.person("callbacks_lost", "talk")
    async with world.worker(quiet_s=0.1):
        world.settings.ring_s = 0
        assert (await world.until_closed()).state is SlotState.REACHED
    assert [attempt.state for attempt in world.attempts()] == [AttemptState.BUSY, AttemptState.COMPLETED]


async def test_a_worker_that_dies_between_intent_and_request_does_not_dial_late(world: World) -> None:
    world.person("hangs", "talk")
    first = Worker(world.settings, world.store, world.network, dialogs, pace=replace(PACE, request_s=60))
    await first.start()
    await world.until(lambda: world.network.requests)
    await first.close()
    assert [attempt.state for attempt in world.attempts()] == [AttemptState.DIALING]
    async with world.worker():
        assert (await world.until_closed()).state is SlotState.REACHED
    assert [attempt.state for attempt in world.attempts()] == [AttemptState.FAILED, AttemptState.COMPLETED]


async def test_a_call_goes_on_while_the_worker_is_replaced(world: World) -> None:
    world.person("talks_on")
    first = Worker(world.settings, world.store, world.network, dialogs, pace=PACE)
    await first.start()
    await world.until(lambda: [a for a in world.attempts() if a.state is AttemptState.IN_PROGRESS])
    await first.close()
    async with world.worker():
        await asyncio.sleep(0.3)
        await world.network.talk(world.network.calls[0], "talk")
        assert (await world.until_closed()).state is SlotState.REACHED
    assert world.network.requests == 1


async def test_a_call_goes_on_when_the_queue_has_been_lost(world: World) -> None:
    world.person("talks_on")
    first = Worker(world.settings, world.store, world.network, dialogs, pace=PACE)
    await first.start()
    await world.until(lambda: [a for a in world.attempts() if a.state is AttemptState.IN_PROGRESS])
    await first.close()
    lost = list(world.settings.data_dir.rglob("outreach.sqlite3*"))
    assert lost
    for file in lost:
        file.unlink()
    await world.network.talk(world.network.calls[0], "talk")
    async with world.worker():
        assert (await world.until_closed()).state is SlotState.REACHED
    assert world.network.requests == 1


async def test_draining_ends_the_call_and_begins_no_other(world: World) -> None:
    world.person("talks_on")
    worker = Worker(world.settings, world.store, world.network, dialogs, pace=PACE)
    await worker.start()
    await world.until(lambda: [a for a in world.attempts() if a.state is AttemptState.IN_PROGRESS])
    draining = asyncio.create_task(worker.drain())
    world.person("talk")
    await asyncio.sleep(0.3)
    assert not draining.done()
    await world.network.talk(world.network.calls[0], "talk")
    await draining
    await worker.close()
    assert worker.calls == 0
    assert world.network.requests == 1
    assert [slot.state for slot in world.slots()] == [SlotState.REACHED]


async def test_an_opt_out_while_the_slot_waits_stops_the_next_call(world: World) -> None:
    ladder = replace(LADDER, retry_after={Ending.BUSY: timedelta(seconds=0.8)})
    recipient_id = world.person("busy", "talk", campaign=daily(ladder=ladder))
    async with world.worker():
        await world.until(lambda: [slot for slot in world.slots() if slot.reason == "busy"])
        world.store.recipients.opt_out(recipient_id)
        await asyncio.sleep(1.2)
    assert [(slot.state, slot.reason) for slot in world.slots()] == [(SlotState.DROPPED, "opted_out")]
    assert world.network.requests == 1


async def test_a_person_whose_hours_end_while_the_call_is_queued_is_not_rung(world: World) -> None:
    world.settings.calls_at_once = 1
    world.person("talks_on")
    async with world.worker():
        await world.until(lambda: [a for a in world.attempts() if a.state is AttemptState.IN_PROGRESS])
        late = world.person("talk")
        await world.until(lambda: len(world.attempts()) == 2)
        world.store.recipients.set_hours(late, Window(time(9), time(10)))
        await world.network.talk(world.network.calls[0], "talk")
        await world.until(lambda: all(slot.state is not SlotState.OPEN for slot in world.slots()))
    assert world.network.requests == 1
    assert sorted(slot.reason for slot in world.slots()) == ["outside_hours", "reached"]


async def test_no_more_calls_than_allowed_are_under_way(world: World) -> None:
    for _ in range(6):
        world.person("talks_on")
    async with world.worker():
        await world.until(lambda: len(world.network.calls) == 4)
        await asyncio.sleep(0.4)
        assert len(world.network.calls) == 4
        for _ in range(6):
            await world.until(lambda: [c for c in world.network.calls if not c.status.terminal])
            await world.network.talk(next(c for c in world.network.calls if not c.status.terminal), "talk")
        await world.until(lambda: all(slot.state is SlotState.REACHED for slot in world.slots()))


async def test_calls_begin_no_faster_than_the_rate(world: World) -> None:
    world.settings.calls_per_second = 5
    for _ in range(4):
        world.person("busy", "talk")
    async with world.worker():
        await world.until(lambda: all(slot.state is SlotState.REACHED for slot in world.slots()) and world.slots())
    made = [call.made_at for call in world.network.calls]
    assert len(made) == 8
    assert min(b - a for a, b in itertools.pairwise(made)) > timedelta(seconds=0.15)


async def test_a_line_that_refuses_everybody_rests(world: World, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        world.person("account", "talk")
    async with world.worker():
        await world.until(lambda: [slot for slot in world.slots() if slot.state is SlotState.REACHED])
        await world.until(lambda: all(slot.state is SlotState.REACHED for slot in world.slots()))
    said = [record.getMessage() for record in caplog.records if "refuses calls" in record.getMessage()]
    assert 1 <= len(said) <= 3
    assert not any("+82" in line for line in said)


async def test_an_alert_of_the_talk_is_delivered_at_once(tmp_path: Path) -> None:
    posted: list[bytes] = []

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        posted.append(await reader.readuntil(b"\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(receive, "127.0.0.1", 0) as receiver:
        port = receiver.sockets[0].getsockname()[1]
        settings = Settings(
            data_dir=tmp_path,
            alert_webhook_url=f"http://127.0.0.1:{port}/alerts",
            alert_webhook_secret=SecretStr("whsec_" + b64encode(bytes(32)).decode()),
            calls_per_second=100,
        )
        with Store.open(settings.database, upgrade=True, alert_channels=alerting.channels(settings)) as store:
            world = World(settings, store, Network(store))
            world.person("talks_on")
            async with world.worker(tick_s=0.1):
                await world.until(lambda: [a for a in world.attempts() if a.state is AttemptState.IN_PROGRESS])
                alert = Alert("chest_pain", Urgency.EMERGENCY, "chest pain", ())
                store.calls.raise_alert(world.attempts()[0].id, alert)
                await world.until(lambda: posted)
                await world.network.talk(world.network.calls[0], "talk")
                await world.until_closed()
    assert posted == [b"POST /alerts HTTP/1.1\r\n"]


async def test_a_tick_that_fails_is_followed_by_the_next(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.person("talk")
    plan_due, failures = world.store.outreach.plan_due, iter([True, True])

    def fails_twice(*args: object, **kwargs: object) -> int:
        if next(failures, False):
            raise RuntimeError("a fault of the program")
        return plan_due(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(world.store.outreach, "plan_due", fails_twice)
    async with world.worker():
        assert (await world.until_closed()).state is SlotState.REACHED


async def test_two_workers_of_one_name_on_one_machine_are_refused(world: World) -> None:
    async with world.worker():
        with pytest.raises(SettingsError, match="CARECALL_WORKER_NAME"):
            await Worker(world.settings, world.store, world.network, dialogs, pace=PACE).start()


def _work(data_dir: Path, name: str, log: Path, die: bool) -> None:
    """Another worker's process: every call it makes is a line of the log and is busy at once."""
    asyncio.run(_works(data_dir, name, log, die))


async def _works(data_dir: Path, name: str, log: Path, die: bool) -> None:
    settings = Settings(data_dir=data_dir, calls_per_second=100, calls_at_once=4, worker_name=name)
    with Store.open(settings.database) as store:
        network = Network(store)
        place = network.place

        async def logged(request: DialRequest) -> str:
            with log.open("a") as file:
                file.write(f"{name} {request.to}\n")
            if die:
                os.kill(os.getpid(), signal.SIGKILL)
            return await place(request)

        network.place = logged  # type: ignore[method-assign]
        async with AsyncExitStack() as stack:
            pace = replace(PACE, silent_s=20.0)  # a slow machine is not taken for a dead one
            await stack.enter_async_context(running_worker(settings, store, network, dialogs, pace=pace))
            await asyncio.sleep(8)


def _lines(log: Path) -> Sequence[str]:
    return log.read_text().splitlines() if log.exists() else []


async def test_two_workers_on_one_database_dial_everybody_once(world: World, tmp_path: Path) -> None:
    for number in range(30):
        world.person("talk", phone=f"+8210777700{number:02}")
    log = tmp_path / "calls.log"
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_work, args=(tmp_path, name, log, False)) for name in ("two", "three")]
    for worker in workers:
        worker.start()
    for worker in workers:
        await asyncio.to_thread(worker.join, 30)
    assert len(_lines(log)) == 30
    assert len({line.split()[1] for line in _lines(log)}) == 30
    assert {line.split()[0] for line in _lines(log)} == {"two", "three"}
    assert all(slot.state is SlotState.REACHED for slot in world.slots())


async def test_a_worker_that_was_killed_is_taken_over_by_another(world: World, tmp_path: Path) -> None:
    world.person("talk", phone="+821077770000")
    log = tmp_path / "calls.log"
    killed = multiprocessing.get_context("spawn").Process(target=_work, args=(tmp_path, "two", log, True))
    killed.start()
    await asyncio.to_thread(killed.join, 30)
    assert len(_lines(log)) == 1
    async with world.worker():
        assert (await world.until_closed(15)).state is SlotState.REACHED
    assert [attempt.failure for attempt in world.attempts()] == [CallFailure.NOT_PLACED, None]


async def test_news_that_no_screen_waits_for_are_let_go_of(world: World) -> None:
    world.person("talk")
    async with world.worker():
        await world.until_closed()
    long_ago = datetime.now(UTC) - timedelta(hours=2)
    with world.store._database.writing() as session:
        session.connection().execute(update(NewsRow).values(at=long_ago))
    newest = world.store.news.newest()
    assert len(world.store.news.after(0)) > 1
    async with world.worker():
        await world.until(lambda: len(world.store.news.after(0)) == 1)
    assert world.store.news.newest() == newest
