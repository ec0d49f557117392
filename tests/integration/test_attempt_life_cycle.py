"""The life of attempts, whatever comes when: callbacks lost, late, twice and out of order, processes that die.

The machine plays the workers, the voice side and the telephone network. Every rule is one step of one of them, so that
a process may die between any two calls of the store, and any step may be done again.
"""

import tempfile
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, TypeVar

from databases import FilledDatabase
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlmodel import select

from carecall.domain.attempt import AttemptState, IllegalTransition
from carecall.domain.campaign import DEFAULT_LADDER, Campaign, Schedule
from carecall.domain.enrollment import Due, Enrolled, NotYet, Reason
from carecall.domain.language import Language
from carecall.domain.progress import AnsweredBy, CallFailure, CallProgress, CallStatus
from carecall.domain.report import Outcome, Report
from carecall.outreach.ladder import next_step
from carecall.store import Store
from carecall.store.facade import upgrade_database
from carecall.store.outreach import Fresh
from carecall.store.tables import (
    LIVE,
    AttemptRow,
    ConsentSource,
    Direction,
    EnrollmentRow,
    RecipientRow,
    ReportRow,
    SlotRow,
    SlotState,
    TaskRow,
)

T = TypeVar("T")

NOW = datetime(2026, 5, 4, 1, tzinfo=UTC)
OPEN_FOR = timedelta(hours=3)
CAMPAIGN = Campaign("Check-ups", "wellbeing", date(2026, 3, 1), None, Schedule((time(10),)), DEFAULT_LADDER)
PHONES = {"Mina": "+821055501010", "Jun": "+821055501010", "Ara": "+821055502020"}  # two people have one number
NEVER_MADE = timedelta(seconds=20)  # after so long a request that was not answered is no longer under way
DATABASE = FilledDatabase(upgrade_database)
ENDS = [CallStatus.BUSY, CallStatus.NO_ANSWER, CallStatus.FAILED, CallStatus.CANCELED]


@dataclass(frozen=True)
class Dialog:
    id: str = "wellbeing"
    language: Language = Language.ENGLISH
    version: str = "1.0"
    hash: str = "ab" * 32


def dialog_of(name: str, language: Language) -> Dialog:
    return Dialog(name, language)


@dataclass
class Call:
    """A call as the telephone network knows it."""

    sid: str
    attempt: uuid.UUID
    phone: str
    status: CallStatus = CallStatus.QUEUED
    sequence: int = -1
    callbacks: list[CallProgress] = field(default_factory=list)  # on their way

    @property
    def live(self) -> bool:
        return not self.status.terminal

    def go(self, status: CallStatus) -> None:
        self.status, self.sequence = status, self.sequence + 1
        self.callbacks.append(CallProgress(self.attempt, self.sid, status, self.sequence))


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.cleanup = ExitStack()
        folder = Path(self.cleanup.enter_context(tempfile.TemporaryDirectory()))
        self.url = self.cleanup.enter_context(DATABASE.copy(folder))[0]
        self.now = NOW
        self.store = self.open()
        self.voice = self.open()  # the process that holds the talks
        self.calls: list[Call] = []
        self.ended: dict[uuid.UUID, AttemptState] = {}
        self.enrollments: list[uuid.UUID] = []

    def open(self) -> Store:
        return Store.open(self.url, clock=lambda: self.now)

    @initialize()
    def enroll(self) -> None:
        campaign = self.store.outreach.save_campaign(CAMPAIGN)
        for name, phone in PHONES.items():
            person = self.store.recipients.add(name, phone, Language.ENGLISH)
            self.enrollments.append(
                self.store.recipients.enroll(person, campaign, consent_at=NOW, consent_source=ConsentSource.WRITTEN)
            )

    # the workers

    def decide(self, enrolled: Enrolled, now: datetime) -> Due | NotYet:
        refusal = self.may_dial(enrolled, now)
        return refusal or Due(now, now + OPEN_FOR, now + timedelta(hours=12))

    def may_dial(self, enrolled: Enrolled, now: datetime) -> NotYet | None:
        if enrolled.opted_out:
            return NotYet(Reason.OPTED_OUT, None)
        return NotYet(Reason.PAUSED, None) if enrolled.paused else None

    @rule()
    def tick(self) -> None:
        self.store.outreach.plan_due(self.decide)
        self.store.outreach.start_attempts(dialog_of)
        self.store.outreach.escalate_tasks()

    @rule(data=st.data(), answered=st.booleans(), made=st.booleans())
    @precondition(lambda self: self.store.outreach.planned())
    def place(self, data: st.DataObject, answered: bool, made: bool) -> None:
        """The request may reach the network or not, and its answer may reach us or not."""
        attempt = pick(data, [row.id for row in self.attempts() if row.id in self.store.outreach.planned()])
        start = self.store.outreach.begin_dial(attempt, self.may_dial, spacing_s=0)
        assert not isinstance(self.store.outreach.begin_dial(attempt, self.may_dial, spacing_s=0), Fresh)
        if isinstance(start, Fresh) and made:
            assert not any(call.live and call.phone == start.to for call in self.calls), "a number is rung twice"
            call = Call(f"CA{len(self.calls)}", attempt, start.to)
            self.calls.append(call)
            if answered:
                self.store.outreach.placed(attempt, call.sid)

    @rule(data=st.data())
    @precondition(lambda self: self.unknown())
    def reconcile(self, data: st.DataObject) -> None:
        self.find_out(pick(data, self.unknown()))

    def unknown(self) -> list[AttemptRow]:
        return [
            row
            for row in self.attempts()
            if row.state is AttemptState.DIALING
            and row.provider_call_sid is None
            and row.dialed_at is not None
            and self.now > row.dialed_at + NEVER_MADE
        ]

    def find_out(self, row: AttemptRow) -> None:
        phone = self.store.recipients.get(row.recipient_id).phone
        found = self.store.outreach.unclaimed([call.sid for call in self.calls if call.phone == phone])
        if found:
            self.store.outreach.placed(row.id, found[0])
        else:
            self.store.outreach.not_placed(row.id, CallFailure.NOT_PLACED)

    @rule(data=st.data())
    @precondition(lambda self: self.calls)
    def look(self, data: st.DataObject) -> None:
        call = pick(data, self.calls)
        self.store.outreach.fold(CallProgress(call.attempt, call.sid, call.status, None))

    @rule(data=st.data())
    @precondition(lambda self: self.attempts())
    def conclude(self, data: st.DataObject) -> None:
        self.store.outreach.conclude(pick(data, self.attempts()).id, next_step)

    @rule()
    def close_broken(self) -> None:
        for row in self.attempts():
            followed = self.store.outreach.followed(row.id)
            if followed.line_ended_at is not None and not followed.held:
                self.store.outreach.close_broken(row.id)

    # the telephone network

    def live_calls(self, *statuses: CallStatus) -> list[Call]:
        return [call for call in self.calls if call.live and (not statuses or call.status in statuses)]

    @rule(data=st.data())
    @precondition(lambda self: self.live_calls())
    def the_call_goes_on(self, data: st.DataObject) -> None:
        call = pick(data, self.live_calls())
        match call.status:
            case CallStatus.QUEUED:
                call.go(CallStatus.RINGING)
            case CallStatus.RINGING:
                call.go(data.draw(st.sampled_from([CallStatus.IN_PROGRESS, *ENDS])))
            case _:
                call.go(CallStatus.COMPLETED)

    @rule(data=st.data())
    @precondition(lambda self: any(call.callbacks for call in self.calls))
    def a_callback_comes(self, data: st.DataObject) -> None:
        call = pick(data, [call for call in self.calls if call.callbacks])
        progress = pick(data, call.callbacks)
        match data.draw(st.sampled_from(["once", "twice", "lost"])):
            case "once":
                call.callbacks.remove(progress)
                self.store.outreach.fold(progress)
            case "twice":
                self.store.outreach.fold(progress)
            case _:
                call.callbacks.remove(progress)

    @rule(data=st.data(), by=st.sampled_from(AnsweredBy))
    @precondition(lambda self: self.live_calls(CallStatus.IN_PROGRESS))
    def who_answered(self, data: st.DataObject, by: AnsweredBy) -> None:
        call = pick(data, self.live_calls(CallStatus.IN_PROGRESS))
        self.store.outreach.fold(CallProgress(call.attempt, call.sid, None, None, by))

    @rule(phone=st.sampled_from(sorted(set(PHONES.values()))))
    def a_person_rings(self, phone: str) -> None:
        if any(call.phone == phone for call in self.live_calls()):
            return
        sid = f"CA{len(self.calls)}"
        attempt = self.store.outreach.inbound(phone, sid, dialog_of)
        if attempt is not None:
            assert self.store.outreach.inbound(phone, sid, dialog_of) == attempt
            self.calls.append(Call(sid, attempt, phone, CallStatus.IN_PROGRESS, 0))

    # the voice side

    @rule(data=st.data())
    @precondition(lambda self: self.live_calls(CallStatus.IN_PROGRESS))
    def the_stream_opens(self, data: st.DataObject) -> None:
        call = pick(data, self.live_calls(CallStatus.IN_PROGRESS))
        try:
            self.voice.attempts.advance(call.attempt, AttemptState.IN_PROGRESS, provider_call_sid=call.sid)
        except IllegalTransition:
            call.go(CallStatus.COMPLETED)

    @rule(data=st.data(), outcome=st.sampled_from(Outcome))
    @precondition(lambda self: self.talks())
    def the_talk_ends(self, data: st.DataObject, outcome: Outcome) -> None:
        attempt = pick(data, self.talks())
        self.voice.calls.finish(attempt, Report("wellbeing", "en", "1.0", "ab" * 32, outcome, (), ()))
        for call in self.live_calls():
            if call.attempt == attempt:
                call.go(CallStatus.COMPLETED)

    def talks(self) -> list[uuid.UUID]:
        return [row.id for row in self.attempts() if row.state is AttemptState.IN_PROGRESS]

    @rule()
    def the_voice_process_dies(self) -> None:
        self.voice.close()
        self.voice = self.open()
        self.voice.attempts.close_interrupted(resumable=False)

    @rule(data=st.data())
    @precondition(lambda self: self.talks())
    def the_stream_drops(self, data: st.DataObject) -> None:
        attempt = pick(data, self.talks())
        again = self.voice.outreach.resume(attempt)
        for call in self.live_calls():
            if call.attempt == attempt and not again:
                call.go(CallStatus.COMPLETED)

    # the world

    @rule(minutes=st.sampled_from([1, 5, 30, 90, 400]))
    def time_passes(self, minutes: int) -> None:
        """No call outlives the attempt that it was made for by a minute: it is hung up."""
        self.now += timedelta(minutes=minutes)
        states = {row.id: row.state for row in self.attempts()}
        for call in self.live_calls():
            if states[call.attempt].terminal or minutes > 30:
                call.go(CallStatus.COMPLETED)

    @rule(index=st.integers(0, len(PHONES) - 1), paused=st.booleans())
    def a_person_is_paused(self, index: int, paused: bool) -> None:
        self.store.outreach.set_paused(self.enrollments[index], paused)

    @rule(index=st.integers(0, len(PHONES) - 1), sure=st.integers(0, 9))
    def a_person_opts_out(self, index: int, sure: int) -> None:
        if sure == 0:
            enrolled = self.store.outreach.enrolled_one(self.enrollments[index])
            self.store.recipients.opt_out(enrolled.recipient_id)

    # what holds at every moment

    def rows(self, table: Any) -> list[Any]:
        with self.store._database.reading() as session:
            return list(session.exec(select(table)))

    def attempts(self) -> list[AttemptRow]:
        """In the same order in every run."""
        rows = self.rows(AttemptRow)
        return sorted(rows, key=lambda row: (self.enrollments.index(row.enrollment_id), row.planned_at, row.number))

    @invariant()
    def nobody_is_in_two_calls(self) -> None:
        people = {row.id: row.phone for row in self.rows(RecipientRow)}
        live = [people[row.recipient_id] for row in self.attempts() if row.state in LIVE]
        assert len(live) == len(set(live))
        on_the_line = [call.phone for call in self.live_calls()]
        assert len(on_the_line) == len(set(on_the_line))

    @invariant()
    def an_end_is_final(self) -> None:
        states = {row.id: row.state for row in self.attempts()}
        for attempt, state in self.ended.items():
            assert states[attempt] is state
        self.ended = {attempt: state for attempt, state in states.items() if state.terminal}

    @invariant()
    def every_slot_has_a_next_step(self) -> None:
        attempts = self.attempts()
        for slot in self.rows(SlotRow):
            if slot.state is SlotState.OPEN and slot.next_attempt_at is None:
                dials = [row for row in attempts if of(slot, row) and row.direction is Direction.OUTBOUND]
                assert dials, "nobody works at a slot"
                assert all(row.state.terminal for row in sorted(dials, key=lambda row: row.number)[:-1])
            if slot.next_attempt_at is not None:
                assert slot.next_attempt_at < slot.until

    # the end: workers that live long enough bring everything to its end

    def teardown(self) -> None:
        try:
            self.bring_to_an_end()
            self.everything_has_ended_well()
        finally:
            self.voice.close()
            self.store.close()
            self.cleanup.close()

    def bring_to_an_end(self) -> None:
        self.voice.close()
        self.voice = self.open()
        over = False
        for _ in range(40):
            self.now += timedelta(minutes=20)
            self.store.outreach.start_attempts(dialog_of)
            for attempt in self.store.outreach.planned():
                self.store.outreach.begin_dial(attempt, self.may_dial, spacing_s=0)
            self.now += NEVER_MADE * 2
            for row in self.unknown():
                self.find_out(row)
            for call in self.calls:
                if call.live:
                    call.go(CallStatus.COMPLETED)
                self.store.outreach.fold(CallProgress(call.attempt, call.sid, call.status, None))
            self.close_broken()
            for row in self.attempts():
                self.store.outreach.conclude(row.id, next_step)
            self.nobody_is_in_two_calls()
            self.an_end_is_final()
            if over:
                return
            over = self.nothing_is_open()  # and another round changes nothing

    def nothing_is_open(self) -> bool:
        slots, attempts = self.rows(SlotRow), self.attempts()
        return all(row.state.terminal for row in attempts) and all(slot.state is not SlotState.OPEN for slot in slots)

    def everything_has_ended_well(self) -> None:
        assert all(row.state.terminal for row in self.attempts())
        reports = {row.attempt_id for row in self.rows(ReportRow)}
        tasks = self.rows(TaskRow)
        stopped = {row.id for row in self.rows(EnrollmentRow) if row.opted_out_at is not None}
        for slot in self.rows(SlotRow):
            match slot.state:
                case SlotState.REACHED:
                    assert any(of(slot, row) and row.id in reports for row in self.attempts())
                case SlotState.HANDED_OVER:
                    assert any(
                        (task.enrollment_id, task.slot_due) == (slot.enrollment_id, slot.due_at) for task in tasks
                    )
                case SlotState.DROPPED:
                    assert slot.reason == Reason.PAUSED.value or slot.enrollment_id in stopped
                case _:
                    raise AssertionError("a slot is still open")


def pick(data: st.DataObject, things: list[T]) -> T:
    return things[data.draw(st.integers(0, 11)) % len(things)]


def of(slot: SlotRow, attempt: AttemptRow) -> bool:
    return (attempt.enrollment_id, attempt.slot_due) == (slot.enrollment_id, slot.due_at)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=15, stateful_step_count=40)
