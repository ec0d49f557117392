"""The telephone line, and who is in a call on it."""

import uuid
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from carecall.domain.attempt import AttemptState
from carecall.domain.report import Outcome
from carecall.store.engine import insert_new
from carecall.store.enrolled import OLDEST_OPEN
from carecall.store.personal import cipher_of
from carecall.store.tables import LIVE, AttemptRow, Direction, EnrollmentRow, LineRow, RecipientRow

_OPENS_WITHIN = timedelta(minutes=2)  # a call that came in and whose stream has not opened by then never opens it
_HANGS_UP_WITHIN = timedelta(minutes=2)  # a call that has ended for us may keep the line busy for so long


def locked_line(session: Session, now: datetime) -> LineRow:
    """The line, until the transaction ends: meanwhile no other call begins, so that ``in_a_call`` stays true."""
    line = session.get(LineRow, 1, with_for_update=True)
    if line is None:
        insert_new(session, LineRow(free_at=now))
        line = session.get_one(LineRow, 1, with_for_update=True)
    return line


def in_a_call(
    session: Session, recipient_id: uuid.UUID, phone: str, now: datetime, *, besides: uuid.UUID | None = None
) -> bool:
    """Whether this person, or anybody with the same number, is in a call, or one has ended so lately that it may be."""
    indexes = cipher_of(session.get_bind().dialect).phone_indexes(phone)
    same = (col(RecipientRow.id) == recipient_id) | col(RecipientRow.phone_index).in_(indexes)
    still_on_the_line = (
        col(AttemptRow.provider_call_sid).is_not(None)
        & col(AttemptRow.line_ended_at).is_(None)
        & (col(AttemptRow.ended_at) > now - _HANGS_UP_WITHIN)
    )
    query = (
        select(AttemptRow.id)
        .join(EnrollmentRow, col(EnrollmentRow.id) == AttemptRow.enrollment_id)
        .join(RecipientRow, col(RecipientRow.id) == EnrollmentRow.recipient_id)
        .where(
            same,
            col(AttemptRow.planned_at) > now - OLDEST_OPEN,
            col(AttemptRow.state).in_(LIVE) | still_on_the_line,
        )
    )
    return any(attempt_id != besides for attempt_id in session.exec(query))


def end_unopened(session: Session, now: datetime) -> None:
    """Ends the calls that came in and never opened their stream: they have no worker who would follow them."""
    query = select(AttemptRow).where(
        col(AttemptRow.ended_at).is_(None),
        AttemptRow.direction == Direction.INBOUND,
        AttemptRow.state == AttemptState.RINGING,
        col(AttemptRow.planned_at) < now - _OPENS_WITHIN,
    )
    for attempt in session.exec(query.with_for_update(skip_locked=True)):
        attempt.state, attempt.ended_at = AttemptState.COMPLETED, now
        attempt.line_ended_at, attempt.outcome = attempt.line_ended_at or now, Outcome.HUNG_UP
    session.flush()
