"""People who ring us."""

import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from carecall.domain.attempt import AttemptState
from carecall.domain.language import Language
from carecall.store.attempts import DialogIdentity, planned_attempt
from carecall.store.audit import PROGRAM, note
from carecall.store.engine import Repository
from carecall.store.line import end_unopened, in_a_call, locked_line
from carecall.store.slots import attempts_of
from carecall.store.tables import (
    AttemptRow,
    CampaignRow,
    Direction,
    EnrollmentRow,
    RecipientRow,
    SlotRow,
    SlotState,
)

_MISSED_FOR = timedelta(hours=24)


class Inbound(Repository):
    def inbound(self, phone: str, call_sid: str, dialog: Callable[[str, Language], DialogIdentity]) -> uuid.UUID | None:
        """The attempt for a call that came in, for the check that its caller has missed; else outside of any slot.

        None for a number that nobody has, who consented to no calls, opted out, or is in another call with us. A call
        that is known already has its attempt. Raises what ``dialog`` raises.
        """
        with self._database.writing() as session:
            now = self._database.now()
            locked_line(session, now)
            known = session.exec(select(AttemptRow.id).where(AttemptRow.provider_call_sid == call_sid)).one_or_none()
            if known is not None:
                return known
            end_unopened(session, now)
            indexes = self._database.cipher.phone_indexes(phone)
            people = select(RecipientRow).where(col(RecipientRow.phone_index).in_(indexes))
            recipients = session.exec(people.order_by(col(RecipientRow.created_at))).all()
            if not recipients or in_a_call(session, recipients[0].id, phone, now):
                return None
            enrollments = _callable(session, recipients)
            if not enrollments:
                return None
            slot = _missed(session, [each.id for each in enrollments], now)
            enrollment = next((each for each in enrollments if slot and each.id == slot.enrollment_id), enrollments[0])
            recipient = session.get_one(RecipientRow, enrollment.recipient_id)
            campaign = session.get_one(CampaignRow, enrollment.campaign_id)
            number = max((each.number for each in attempts_of(session, slot)), default=0) + 1 if slot else 1
            attempt = planned_attempt(
                enrollment.id,
                recipient.id,
                dialog(campaign.dialog, recipient.language),
                slot.due_at if slot else None,
                number,
                now,
            )
            attempt.state, attempt.direction = AttemptState.RINGING, Direction.INBOUND
            attempt.provider_call_sid, attempt.answered_at = call_sid, now
            attempt.holder, attempt.seen_at = self._database.holder, now
            session.add(attempt)
            note(session, self._database, PROGRAM, "call.came_in", f"attempt:{attempt.id}")
            return attempt.id


def _callable(session: Session, recipients: Sequence[RecipientRow]) -> list[EnrollmentRow]:
    """The enrollments of these people that a call may be held for, newest first."""
    ids = [recipient.id for recipient in recipients]
    rows = session.exec(
        select(EnrollmentRow)
        .where(col(EnrollmentRow.recipient_id).in_(ids))
        .order_by(col(EnrollmentRow.started_at).desc())
    ).all()
    opted_out = {row.recipient_id for row in rows if row.opted_out_at is not None}
    return [
        row for row in rows if row.consent_at is not None and row.ended_at is None and row.recipient_id not in opted_out
    ]


def _missed(session: Session, enrollments: Sequence[uuid.UUID], now: datetime) -> SlotRow | None:
    """The newest slot that is open, else the newest that was handed over within a day."""
    rows = session.exec(
        select(SlotRow)
        .where(
            col(SlotRow.enrollment_id).in_(enrollments),
            (col(SlotRow.state) == SlotState.OPEN)
            | ((col(SlotRow.state) == SlotState.HANDED_OVER) & (col(SlotRow.closed_at) > now - _MISSED_FOR)),
        )
        .order_by(col(SlotRow.due_at).desc())
    ).all()
    return next((row for row in rows if row.state is SlotState.OPEN), rows[0] if rows else None)
