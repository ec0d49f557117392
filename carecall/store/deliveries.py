"""Alerts on their way to the channels beside the dashboard."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from carecall.domain.triage import Urgency
from carecall.errors import StoreError
from carecall.store.engine import Database, Repository
from carecall.store.tables import AlertDeliveryRow, AlertRow, AttemptRow, Channel, UserRow

_DELIVERED = (Urgency.EMERGENCY, Urgency.URGENT)
_ERROR_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Delivery:
    """An alert that is to go out over a channel."""

    id: uuid.UUID  # the idempotency key
    channel: Channel
    tries: int
    alert_id: uuid.UUID
    attempt_id: uuid.UUID
    recipient_id: uuid.UUID
    code: str
    urgency: Urgency
    reason: str
    raised_at: datetime
    to: str = ""  # the address of whom an alert went on to; empty: the addresses of the installation


def send_out(session: Session, database: Database, alert: AlertRow) -> None:
    """Puts an alert that cannot wait on its way, once a channel, in the transaction that raises it."""
    if alert.urgency not in _DELIVERED or not database.alert_channels:
        return
    query = select(AlertDeliveryRow.channel).where(
        AlertDeliveryRow.alert_id == alert.id, col(AlertDeliveryRow.user_id).is_(None)
    )
    known = set(session.exec(query))
    for channel in database.alert_channels:
        if channel not in known:
            session.add(AlertDeliveryRow(alert_id=alert.id, channel=channel, next_try_at=database.now()))


class Deliveries(Repository):
    def due_deliveries(self, limit: int = 50, *, hold_s: float = 45.0) -> list[Delivery]:
        """What is to be sent now, emergencies first. It is due again after ``hold_s`` when nobody says what came of it.

        An alert that somebody has acknowledged is not mailed any more.
        """
        now = self._database.now()
        due = (col(AlertDeliveryRow.next_try_at) <= now) & (
            col(AlertRow.acknowledged_at).is_(None) | (AlertDeliveryRow.channel != Channel.EMAIL)
        )
        any_due = select(AlertDeliveryRow.id).join(AlertRow, col(AlertRow.id) == AlertDeliveryRow.alert_id).where(due)
        with self._database.reading() as session:
            if session.exec(any_due.limit(1)).first() is None:
                return []
        query = (
            select(AlertDeliveryRow, AlertRow, AttemptRow.recipient_id, UserRow)
            .join(AlertRow, col(AlertRow.id) == AlertDeliveryRow.alert_id)
            .join(AttemptRow, col(AttemptRow.id) == AlertRow.attempt_id)
            .outerjoin(UserRow, col(UserRow.id) == AlertDeliveryRow.user_id)
            .where(due)
            .order_by((col(AlertRow.urgency) == Urgency.EMERGENCY).desc(), col(AlertDeliveryRow.next_try_at))
            .limit(limit)
            .with_for_update(of=AlertDeliveryRow, skip_locked=True)
        )
        with self._database.writing() as session:
            rows = session.exec(query).all()
            for row, *_ in rows:
                row.next_try_at = now + timedelta(seconds=hold_s)
            return [
                Delivery(
                    row.id,
                    row.channel,
                    row.tries,
                    alert.id,
                    alert.attempt_id,
                    recipient_id,
                    alert.code,
                    alert.urgency,
                    alert.reason,
                    alert.raised_at,
                    user.email if user is not None else "",
                )
                for row, alert, recipient_id, user in rows
            ]

    def delivered(self, delivery_id: uuid.UUID) -> None:
        """Raises StoreError when there is no such delivery."""
        with self._database.writing() as session:
            row = _the_delivery(session, delivery_id)
            if row.delivered_at is None:
                row.tries += 1
                row.delivered_at, row.next_try_at, row.error = self._database.now(), None, ""

    def not_delivered(self, delivery_id: uuid.UUID, error: str, next_try_at: datetime) -> None:
        """Keeps why; the error carries no personal data. Nothing when it was delivered meanwhile. Raises StoreError."""
        with self._database.writing() as session:
            row = _the_delivery(session, delivery_id)
            if row.delivered_at is None:
                row.tries += 1
                row.next_try_at, row.error = next_try_at, error[:_ERROR_LENGTH]


def _the_delivery(session: Session, delivery_id: uuid.UUID) -> AlertDeliveryRow:
    row = session.get(AlertDeliveryRow, delivery_id, with_for_update=True)
    if row is None:
        raise StoreError(f"There is no delivery {delivery_id}.")
    return row
