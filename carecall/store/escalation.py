"""Alerts that nobody acknowledged in time go on to the next person."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, select

from carecall.domain.viewer import Role
from carecall.store.audit import PROGRAM, note
from carecall.store.engine import Repository
from carecall.store.history import remember
from carecall.store.tables import (
    AlertDeliveryRow,
    AlertRow,
    AttemptRow,
    Channel,
    HistoryKind,
    RecipientRow,
    UserRow,
)

_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class NextPerson:
    """Whom an alert goes on to."""

    user_id: uuid.UUID
    passed: int  # places of the order, this one with them
    last: bool  # there is nobody after them


def next_person(order: Sequence[uuid.UUID], passed: int, assigned_to: uuid.UUID | None) -> NextPerson | None:
    """The first of the order that it has not passed and whose it is not already; None when there is nobody left."""
    for place in range(passed, len(order)):
        if order[place] != assigned_to:
            return NextPerson(order[place], place + 1, place + 1 == len(order))
    return None


class Escalations(Repository):
    def escalate_alerts(self) -> int:
        """Hands each alert whose time is up to the next person of its organisation's order; gives how many.

        With the last person it stays. Two workers at once hand on different ones.
        """
        now = self._database.now()
        due = select(AlertRow.id).where(col(AlertRow.escalate_at) <= now)
        with self._database.reading() as session:
            if session.exec(due.limit(1)).first() is None:
                return 0
        handed_on = 0
        with self._database.writing() as session:
            alerts = session.exec(
                select(AlertRow)
                .where(col(AlertRow.escalate_at) <= now)
                .order_by(col(AlertRow.escalate_at))
                .limit(_AT_ONCE)
                .with_for_update(skip_locked=True)
            ).all()
            orders: dict[uuid.UUID, list[uuid.UUID]] = {}
            for alert in alerts:
                if alert.acknowledged_at is not None or alert.settled_at is not None:
                    alert.escalate_at = None
                    continue
                handed_on += self._hand_on(session, alert, orders)
        return handed_on

    def _hand_on(self, session: Session, alert: AlertRow, orders: dict[uuid.UUID, list[uuid.UUID]]) -> bool:
        recipient_id, organisation_id = session.exec(
            select(RecipientRow.id, RecipientRow.organisation_id)
            .join(AttemptRow, col(AttemptRow.recipient_id) == RecipientRow.id)
            .where(AttemptRow.id == alert.attempt_id)
        ).one()
        if organisation_id not in orders:
            orders[organisation_id] = escalation_order(session, organisation_id)
        person = next_person(orders[organisation_id], alert.escalations, alert.assigned_to)
        if person is None:
            alert.escalate_at = None
            return False
        alert.assigned_to, alert.escalations = person.user_id, person.passed
        alert.escalate_at = None if person.last else self._database.goes_on_at(alert.urgency)
        self._mail(session, alert, person.user_id)
        subject = f"alert:{alert.id}"
        to = str(person.user_id)
        remember(session, self._database, recipient_id, PROGRAM, HistoryKind.ALERT_ESCALATED, subject=subject, to=to)
        note(session, self._database, PROGRAM, "alert.escalated", subject, to=to, step=person.passed)
        return True

    def _mail(self, session: Session, alert: AlertRow, user_id: uuid.UUID) -> None:
        if Channel.EMAIL not in self._database.alert_channels:
            return
        known = select(AlertDeliveryRow.id).where(
            AlertDeliveryRow.alert_id == alert.id, AlertDeliveryRow.user_id == user_id
        )
        if session.exec(known).first() is None:
            session.add(
                AlertDeliveryRow(
                    alert_id=alert.id, channel=Channel.EMAIL, user_id=user_id, next_try_at=self._database.now()
                )
            )


def escalation_order(session: Session, organisation_id: uuid.UUID) -> list[uuid.UUID]:
    """The active users that alerts go on to, first to last; without those who may only look."""
    query = select(UserRow.id).where(
        UserRow.organisation_id == organisation_id,
        col(UserRow.active),
        UserRow.role != Role.VIEWER,
        col(UserRow.escalation).is_not(None),
    )
    return list(session.exec(query.order_by(col(UserRow.escalation), col(UserRow.id))))
