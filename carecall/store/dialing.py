"""One dial: may it be made, was it made, how does it fare, and what follows. Every step may be done again."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row
from sqlmodel import Session, col, select

from carecall.domain.attempt import AttemptState
from carecall.domain.campaign import Ending, Ladder
from carecall.domain.enrollment import Close, Enrolled, HandOver, LadderStep, NotYet, PastAttempt, Reason, TryAgain
from carecall.domain.progress import CallFailure, CallProgress, fold
from carecall.store.attempts import held, interrupt
from carecall.store.audit import PROGRAM, note
from carecall.store.calls import the_attempt
from carecall.store.codec import parse_ladder
from carecall.store.engine import Repository
from carecall.store.enrolled import enrolled_of, people_enrolled
from carecall.store.line import in_a_call, locked_line
from carecall.store.slots import (
    attempts_of,
    close,
    give_up,
    hand_over,
    past_attempts,
    record_of,
    slot_of,
    wait,
)
from carecall.store.tables import (
    AttemptRow,
    CampaignRow,
    Direction,
    EnrollmentRow,
    RecipientRow,
    SlotRow,
    SlotState,
)

_IN_A_CALL_AGAIN = timedelta(seconds=60)

MayDial = Callable[[Enrolled, datetime], NotYet | None]
NextStep = Callable[[Ladder, Sequence[PastAttempt], datetime], LadderStep]


@dataclass(frozen=True, slots=True)
class Fresh:
    """The attempt is dialing now: ask the provider for the call at this moment, not before and not much later."""

    to: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Unknown:
    """It was dialing already and has no call id: the call may exist. It was to be asked for at ``since``."""

    to: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Placed:
    call_sid: str


@dataclass(frozen=True, slots=True)
class Over:
    """There is nothing to dial: the attempt has ended, or its slot has."""


@dataclass(frozen=True, slots=True)
class NotNow:
    """Not allowed now. The planned attempt is gone; its slot waits or is closed."""

    reason: Reason


DialStart = Fresh | Unknown | Placed | Over | NotNow


@dataclass(frozen=True, slots=True)
class Followed:
    """How an attempt fares."""

    state: AttemptState
    call_sid: str | None
    dialed_at: datetime | None
    answered_at: datetime | None
    line_ended_at: datetime | None
    ended_at: datetime | None  # in a terminal state
    held: bool  # the process that holds the call is there


class Dialing(Repository):
    def begin_dial(self, attempt_id: uuid.UUID, may_dial: MayDial, *, spacing_s: float) -> DialStart:
        """Takes a planned attempt to dialing and reserves the line, when it may be dialed at the moment so reserved.

        ``spacing_s`` is the time between the beginnings of two calls. The rows are locked in the order attempt,
        enrollment, slot, line; the line's lock keeps another worker from dialing the same number at this moment.
        """
        with self._database.writing() as session:
            attempt = session.get(AttemptRow, attempt_id, with_for_update=True)
            if attempt is None or attempt.state.terminal:
                return Over()
            query = people_enrolled().where(col(EnrollmentRow.id) == attempt.enrollment_id)
            query = query.add_columns(col(RecipientRow.phone))
            person = session.execute(query.with_for_update(of=EnrollmentRow, key_share=True)).one()
            if attempt.state is not AttemptState.PLANNED:
                if attempt.provider_call_sid is not None:
                    return Placed(attempt.provider_call_sid)
                return Unknown(person.phone, attempt.dialed_at or attempt.planned_at)
            slot = slot_of(session, attempt)
            if attempt.slot_due is not None and (slot is None or slot.state is not SlotState.OPEN):
                session.delete(attempt)
                return Over()
            now = self._database.now()
            line = locked_line(session, now)
            at = max(now, line.free_at)
            refusal = _refusal(session, attempt, person, slot, may_dial, at)
            if refusal is not None:
                session.delete(attempt)
                session.flush()
                if slot is not None:
                    _wait_or_give_up(session, slot, refusal, now)
                return NotNow(refusal.reason)
            line.free_at = at + timedelta(seconds=spacing_s)
            attempt.state, attempt.dialed_at = AttemptState.DIALING, at
            attempt.holder, attempt.seen_at = self._database.holder, now
            return Fresh(person.phone, at)

    def placed(self, attempt_id: uuid.UUID, call_sid: str) -> None:
        """Keeps the id of the call that was made. Nothing when a callback has told it already."""
        with self._database.writing() as session:
            attempt = the_attempt(session, attempt_id, lock=True)
            attempt.provider_call_sid = attempt.provider_call_sid or call_sid

    def not_placed(self, attempt_id: uuid.UUID, failure: CallFailure) -> None:
        """No call was made. Nothing when the attempt has ended, or a callback has told that there is one."""
        with self._database.writing() as session:
            attempt = the_attempt(session, attempt_id, lock=True)
            if attempt.state is AttemptState.DIALING and attempt.provider_call_sid is None:
                attempt.state, attempt.failure = AttemptState.FAILED, failure
                attempt.ended_at = self._database.now()

    def unclaimed(self, call_sids: Sequence[str]) -> list[str]:
        """Those of the calls that no attempt has, in the order given."""
        with self._database.reading() as session:
            query = select(AttemptRow.provider_call_sid).where(col(AttemptRow.provider_call_sid).in_(call_sids))
            claimed = set(session.exec(query))
        return [call_sid for call_sid in call_sids if call_sid not in claimed]

    def fold(self, progress: CallProgress) -> AttemptState:
        """Takes in a message about a call. Gives the attempt's state. Raises StoreError when there is no attempt."""
        with self._database.writing() as session:
            attempt = the_attempt(session, progress.attempt_id, lock=True)
            record = fold(record_of(attempt), progress, self._database.now())
            attempt.state, attempt.provider_call_sid = record.state, record.call_sid
            attempt.sequence, attempt.answered_by, attempt.failure = record.sequence, record.answered_by, record.failure
            attempt.answered_at, attempt.line_ended_at = record.answered_at, record.line_ended_at
            attempt.ended_at, attempt.outcome = record.ended_at, record.outcome
            return record.state

    def followed(self, attempt_id: uuid.UUID) -> Followed:
        """Raises StoreError when there is no such attempt."""
        with self._database.reading() as session:
            attempt = the_attempt(session, attempt_id)
            return Followed(
                attempt.state,
                attempt.provider_call_sid,
                attempt.dialed_at,
                attempt.answered_at,
                attempt.line_ended_at,
                attempt.ended_at,
                held(attempt, self._database.now()),
            )

    def close_broken(self, attempt_id: uuid.UUID) -> bool:
        """Ends a talk that nobody will end any more, with a report of what was understood. False: there is none."""
        with self._database.writing() as session:
            attempt = the_attempt(session, attempt_id, lock=True)
            if attempt.state is not AttemptState.IN_PROGRESS:
                return False
            interrupt(session, self._database, attempt)
            return True

    def resume(self, attempt_id: uuid.UUID, at_most: int = 2) -> bool:
        """Whether a stream that dropped may be taken up again; counts it."""
        with self._database.writing() as session:
            attempt = the_attempt(session, attempt_id, lock=True)
            if attempt.state.terminal or attempt.line_ended_at is not None or attempt.resumes >= at_most:
                return False
            attempt.resumes += 1
            note(session, self._database, PROGRAM, "call.resumed", f"attempt:{attempt_id}", times=attempt.resumes)
            return True

    def conclude(self, attempt_id: uuid.UUID, next_step: NextStep) -> LadderStep | None:
        """Takes the slot of an ended attempt to the ladder's next step, with the tasks for humans.

        None, and nothing done, for an attempt that has no slot, has not ended, or was concluded already.
        """
        with self._database.writing() as session:
            attempt = session.get(AttemptRow, attempt_id, with_for_update=True)
            if attempt is None or not attempt.state.terminal or attempt.direction is Direction.INBOUND:
                return None
            slot = slot_of(session, attempt)
            if slot is None or slot.state is not SlotState.OPEN or slot.next_attempt_at is not None:
                return None
            attempts = attempts_of(session, slot)
            dials = [each.number for each in attempts if each.direction is Direction.OUTBOUND]
            if attempt.number != max(dials):
                return None
            past = past_attempts(attempts)
            last = past[-1].ending
            now = self._database.now()
            of_enrollment = select(CampaignRow.ladder, EnrollmentRow.opted_out_at).join(EnrollmentRow)
            stored, opted_out_at = session.exec(of_enrollment.where(EnrollmentRow.id == slot.enrollment_id)).one()
            ladder = parse_ladder(stored)
            step = next_step(ladder, past, now)
            if opted_out_at is not None:
                step = step if isinstance(step, Close) else Close(False, Ending.OPTED_OUT)
            elif isinstance(step, TryAgain) and step.at >= slot.until:
                step = HandOver(last)
            match step:
                case TryAgain(at):
                    wait(slot, at, last.value)
                case HandOver(reason, human):
                    hand_over(
                        session,
                        slot,
                        attempt.recipient_id,
                        ladder,
                        human,
                        reason.value,
                        now,
                        attempt_id=attempt_id,
                    )
                case Close(reached, reason):
                    close(slot, SlotState.REACHED if reached else SlotState.DROPPED, reason.value, now)
            return step


def _refusal(
    session: Session, attempt: AttemptRow, person: Row[Any], slot: SlotRow | None, may_dial: MayDial, at: datetime
) -> NotYet | None:
    if not person.phone:
        return NotYet(Reason.NO_NUMBER, None)
    (enrolled,) = enrolled_of(session, [person], at)
    refusal = may_dial(enrolled, at)
    if refusal is not None:
        return refusal
    if slot is not None and at >= slot.until:
        return NotYet(Reason.TOO_LATE, None)
    if in_a_call(session, person.recipient_id, person.phone, at, besides=attempt.id):
        return NotYet(Reason.IN_A_CALL, at + _IN_A_CALL_AGAIN)
    return None


def _wait_or_give_up(session: Session, slot: SlotRow, refusal: NotYet, now: datetime) -> None:
    again = refusal.look_again_at
    if again is None or again >= slot.until:
        give_up(session, slot, refusal.reason, now)
    else:
        wait(slot, again, refusal.reason.value)
