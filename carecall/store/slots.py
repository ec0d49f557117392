"""Slots inside a transaction that the caller has begun: read, left, closed, and handed over to humans."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlmodel import Session, col, select, update
from sqlmodel.sql.expression import SelectOfScalar

from carecall.domain.campaign import Ending, HumanStep, Ladder, TaskKind
from carecall.domain.enrollment import PastAttempt, Reason
from carecall.domain.progress import DialRecord, ending_of
from carecall.store.codec import parse_ladder
from carecall.store.days import tell_day
from carecall.store.tables import (
    AttemptRow,
    CampaignRow,
    Direction,
    EnrollmentRow,
    SlotRow,
    SlotState,
    TaskRow,
)

LADDER_ENDED = HumanStep(TaskKind.REVIEW, timedelta(hours=24))  # for a ladder that names no human step
NO_STEP = -1  # of a task that stands beside the ladder
_WRONG_NUMBER = {Ending.BAD_NUMBER.value, Reason.NO_NUMBER.value}
_UNWANTED = {
    Reason.NO_CONSENT,
    Reason.OPTED_OUT,
    Reason.PAUSED,
    Reason.CAMPAIGN_PAUSED,
    Reason.NOT_STARTED,
    Reason.ENDED,
}


def record_of(attempt: AttemptRow) -> DialRecord:
    return DialRecord(
        attempt.state,
        attempt.provider_call_sid,
        attempt.sequence,
        attempt.answered_by,
        attempt.failure,
        attempt.answered_at,
        attempt.line_ended_at,
        attempt.ended_at,
        attempt.outcome,
    )


def slot_of(session: Session, attempt: AttemptRow) -> SlotRow | None:
    """The attempt's slot, locked."""
    if attempt.slot_due is None:
        return None
    return session.get(SlotRow, (attempt.enrollment_id, attempt.slot_due), with_for_update=True)


def attempts_of(session: Session, slot: SlotRow) -> list[AttemptRow]:
    """All attempts of the slot, in order, people's own calls to us too."""
    query = select(AttemptRow).where(AttemptRow.enrollment_id == slot.enrollment_id, AttemptRow.slot_due == slot.due_at)
    return list(session.exec(query.order_by(col(AttemptRow.number))))


def past_attempts(attempts: Iterable[AttemptRow]) -> list[PastAttempt]:
    """What the ladder counts: our own dials that have ended."""
    return [
        PastAttempt(each.number, ending_of(record_of(each)), each.ended_at)
        for each in attempts
        if each.direction is Direction.OUTBOUND and each.ended_at is not None
    ]


def ladder_of(session: Session, enrollment_id: uuid.UUID) -> Ladder:
    query = select(CampaignRow.ladder).join(EnrollmentRow).where(EnrollmentRow.id == enrollment_id)
    return parse_ladder(session.exec(query).one())


def wait(slot: SlotRow, at: datetime, reason: str) -> None:
    slot.next_attempt_at = at
    slot.reason = reason


def close(slot: SlotRow, state: SlotState, reason: str, now: datetime) -> None:
    slot.state, slot.reason = state, reason
    slot.next_attempt_at, slot.closed_at = None, now


def give_up(session: Session, slot: SlotRow, reason: Reason, now: datetime) -> None:
    """Ends a slot that may not be tried any more: dropped when nobody wants it, else a human's."""
    if reason in _UNWANTED:
        close(slot, SlotState.DROPPED, reason.value, now)
    else:
        enrollment = session.get_one(EnrollmentRow, slot.enrollment_id)
        hand_over(session, slot, enrollment.recipient_id, ladder_of(session, enrollment.id), 0, reason.value, now)


def hand_over(
    session: Session,
    slot: SlotRow,
    recipient_id: uuid.UUID,
    ladder: Ladder,
    step: int,
    reason: str,
    now: datetime,
    *,
    attempt_id: uuid.UUID | None = None,
) -> None:
    """Ends the slot's ladder of calls with a human's task, and another one when the number is wrong."""
    close(slot, SlotState.HANDED_OVER, reason, now)
    human = step_of(ladder, step)
    add_task(session, slot, recipient_id, human, step, reason, now, attempt_id=attempt_id)
    if reason in _WRONG_NUMBER and human.kind is not TaskKind.CHECK_NUMBER:
        check = HumanStep(TaskKind.CHECK_NUMBER, human.within)
        add_task(session, slot, recipient_id, check, NO_STEP, reason, now, attempt_id=attempt_id)
    tell_day(session, recipient_id, slot.due_at)


def step_of(ladder: Ladder, step: int) -> HumanStep:
    return ladder.then[step] if step < len(ladder.then) else LADDER_ENDED


def add_task(
    session: Session,
    slot: SlotRow,
    recipient_id: uuid.UUID,
    human: HumanStep,
    step: int,
    reason: str,
    now: datetime,
    *,
    attempt_id: uuid.UUID | None = None,
) -> None:
    session.add(
        TaskRow(
            recipient_id=recipient_id,
            enrollment_id=slot.enrollment_id,
            slot_due=slot.due_at,
            attempt_id=attempt_id,
            kind=human.kind,
            step=step,
            reason=reason,
            due_at=now + human.within,
            opened_at=now,
        )
    )


def reached_by_their_own_call(session: Session, attempt: AttemptRow, now: datetime) -> None:
    """A person who rang us was spoken to: their slot is reached, and nobody needs to call or visit any more."""
    slot = slot_of(session, attempt)
    if slot is None or ending_of(record_of(attempt)) is not Ending.REACHED:
        return
    if slot.state in (SlotState.OPEN, SlotState.HANDED_OVER):
        close(slot, SlotState.REACHED, Ending.REACHED.value, now)
        session.exec(
            update(TaskRow)
            .where(
                col(TaskRow.enrollment_id) == slot.enrollment_id,
                col(TaskRow.slot_due) == slot.due_at,
                col(TaskRow.kind).in_((TaskKind.CALL, TaskKind.VISIT)),
                col(TaskRow.closed_at).is_(None),
            )
            .values(closed_at=now)
        )
        tell_day(session, attempt.recipient_id, slot.due_at)


def look_again(enrollments: Iterable[EnrollmentRow], now: datetime) -> None:
    """Planning looks at these at the next tick."""
    for enrollment in enrollments:
        if enrollment.ended_at is None and enrollment.opted_out_at is None:
            enrollment.next_due_at = now


def drop_waiting(
    session: Session, enrollment_ids: Sequence[uuid.UUID] | SelectOfScalar[uuid.UUID], reason: Reason, now: datetime
) -> None:
    """Ends the open slots that no attempt of is under way; those with one end when it does."""
    session.exec(
        update(SlotRow)
        .where(
            col(SlotRow.enrollment_id).in_(enrollment_ids),
            col(SlotRow.state) == SlotState.OPEN,
            col(SlotRow.next_attempt_at).is_not(None),
        )
        .values(state=SlotState.DROPPED, reason=reason.value, next_attempt_at=None, closed_at=now)
        .execution_options(synchronize_session=False)
    )
