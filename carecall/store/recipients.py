"""Recipients, campaigns and who is enrolled in what."""

import uuid
from collections.abc import Collection
from datetime import date, datetime, time
from typing import Any

from sqlmodel import Session, col, select

from carecall.domain.campaign import Window
from carecall.domain.enrollment import Reason
from carecall.domain.language import Language
from carecall.domain.viewer import Viewer
from carecall.errors import StoreError
from carecall.store.audit import PROGRAM, note
from carecall.store.engine import Database, Repository
from carecall.store.history import remember
from carecall.store.slots import drop_waiting, look_again
from carecall.store.tables import (
    DEFAULT_ORGANISATION,
    CampaignRow,
    ConsentSource,
    EnrollmentRow,
    HistoryKind,
    RecipientRow,
)


def new_recipient(
    database: Database,
    name: str,
    phone: str,
    language: Language,
    *,
    time_zone: str = "UTC",
    patience_s: float = 0.0,
    opens: time | None = None,
    closes: time | None = None,
    notes: str = "",
    organisation_id: uuid.UUID = DEFAULT_ORGANISATION,
) -> RecipientRow:
    return RecipientRow(
        organisation_id=organisation_id,
        name=name,
        phone=phone,
        name_index=database.cipher.name_index(name),
        phone_index=database.cipher.phone_index(phone),
        language=language,
        time_zone=time_zone,
        patience_s=patience_s,
        opens=opens,
        closes=closes,
        notes=notes,
        created_at=database.now(),
    )


def find(session: Session, database: Database, name: str, phone: str) -> list[RecipientRow]:
    """The recipients of exactly this name and number, oldest first."""
    numbers = database.cipher.phone_indexes(phone)
    query = select(RecipientRow).where(
        col(RecipientRow.name_index).in_(database.cipher.name_indexes(name)),
        col(RecipientRow.phone_index).in_(numbers) if numbers else col(RecipientRow.phone_index).is_(None),
    )
    return list(session.exec(query.order_by(col(RecipientRow.created_at))))


def record_from(
    session: Session, database: Database, recipient: RecipientRow, at: datetime | None, actor: Viewer | str
) -> None:
    """The person agreed at a moment to be recorded, or with None does so no longer: from the next call on."""
    recipient.recording_consent_at = at
    session.flush()
    agreed = at is not None
    remember(session, database, recipient.id, actor, HistoryKind.CONSENT, recording="agreed" if agreed else "withdrawn")
    by = actor if isinstance(actor, str) else str(actor.user_id)
    action = "recipient.recording_agreed" if agreed else "recipient.recording_withdrawn"
    note(session, database, by, action, f"recipient:{recipient.id}")


def opt_out(session: Session, database: Database, recipient_id: uuid.UUID, actor: str) -> None:
    """The person wants no more calls: all their enrollments and waiting slots end in the caller's transaction."""
    now = database.now()
    query = select(EnrollmentRow).where(
        EnrollmentRow.recipient_id == recipient_id, col(EnrollmentRow.opted_out_at).is_(None)
    )
    enrollments = session.exec(query.order_by(col(EnrollmentRow.id)).with_for_update(key_share=True)).all()
    for enrollment in enrollments:
        enrollment.opted_out_at = now
        enrollment.next_due_at, enrollment.why = None, Reason.OPTED_OUT.value
    session.flush()
    drop_waiting(session, [enrollment.id for enrollment in enrollments], Reason.OPTED_OUT, now)
    note(session, database, actor, "recipient.opted_out", f"recipient:{recipient_id}")


class Recipients(Repository):
    def add(
        self,
        name: str,
        phone: str,
        language: Language,
        *,
        time_zone: str = "UTC",
        patience_s: float = 0.0,
        opens: time | None = None,
        closes: time | None = None,
        notes: str = "",
        actor: str = PROGRAM,
    ) -> uuid.UUID:
        """A new recipient. ``time_zone`` is an IANA name, ``patience_s`` is added to the pause that ends a reply.

        ``opens`` and ``closes`` are the person's own hours on the local clock, within those of the campaign.
        """
        with self._database.writing() as session:
            row = new_recipient(
                self._database,
                name,
                phone,
                language,
                time_zone=time_zone,
                patience_s=patience_s,
                opens=opens,
                closes=closes,
                notes=notes,
            )
            session.add(row)
            note(session, self._database, actor, "recipient.added", f"recipient:{row.id}")
            return row.id

    def get(self, recipient_id: uuid.UUID) -> RecipientRow:
        """Raises StoreError when there is none."""
        with self._database.reading() as session:
            row = session.get(RecipientRow, recipient_id)
        if row is None:
            raise StoreError(f"There is no recipient {recipient_id}.")
        return row

    def names(self, recipient_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, str]:
        """The names of up to some thousands of recipients."""
        query = select(RecipientRow.id, RecipientRow.name).where(col(RecipientRow.id).in_(recipient_ids))
        with self._database.reading() as session:
            return dict(session.exec(query).all())

    def find(self, name: str, phone: str) -> list[RecipientRow]:
        """The recipients of exactly this name and number, oldest first."""
        with self._database.reading() as session:
            return find(session, self._database, name, phone)

    def add_campaign(
        self,
        name: str,
        dialog: str,
        starts_on: date,
        ends_on: date | None = None,
        schedule: dict[str, Any] | None = None,
    ) -> uuid.UUID:
        """A new campaign with the dialog of this id. Raises StoreError when the name is taken."""
        with self._database.writing() as session:
            row = CampaignRow(name=name, dialog=dialog, starts_on=starts_on, ends_on=ends_on, schedule=schedule or {})
            session.add(row)
            return row.id

    def enroll(
        self,
        recipient_id: uuid.UUID,
        campaign_id: uuid.UUID,
        *,
        consent_at: datetime | None = None,
        consent_source: ConsentSource | None = None,
        last_day: date | None = None,
        actor: str = PROGRAM,
    ) -> uuid.UUID:
        """Puts a recipient in a campaign; without consent they stand on the list and are not called.

        ``last_day`` is the last local day that they are called on. Raises StoreError when they are in it already, and
        when it is of another organisation.
        """
        with self._database.writing() as session:
            person = select(RecipientRow.organisation_id).where(RecipientRow.id == recipient_id)
            campaign = select(CampaignRow.organisation_id).where(CampaignRow.id == campaign_id)
            if len({*session.exec(person), *session.exec(campaign)}) > 1:
                raise StoreError("The person and the campaign are of different organisations: choose another campaign.")
            now = self._database.now()
            row = EnrollmentRow(
                recipient_id=recipient_id,
                campaign_id=campaign_id,
                consent_at=consent_at,
                consent_source=consent_source,
                started_at=now,
                last_day=last_day,
                next_due_at=now,
            )
            session.add(row)
            note(session, self._database, actor, "recipient.enrolled", f"recipient:{recipient_id}")
            return row.id

    def record_from(self, recipient_id: uuid.UUID, at: datetime | None, *, actor: str = PROGRAM) -> None:
        """The person agreed at a moment to be recorded; None: no longer. Raises StoreError when there is nobody."""
        with self._database.writing() as session:
            recipient = _the_recipient(session, recipient_id)
            if recipient.recording_consent_at != at:
                record_from(session, self._database, recipient, at, actor)

    def opt_out(self, recipient_id: uuid.UUID, *, actor: str = PROGRAM) -> None:
        """The person wants no more calls. In force when this returns."""
        with self._database.writing() as session:
            opt_out(session, self._database, recipient_id, actor)

    def give_consent(
        self, enrollment_id: uuid.UUID, consent_at: datetime, source: ConsentSource, *, actor: str = PROGRAM
    ) -> None:
        """The person agrees to be called. Raises StoreError when there is no such enrollment."""
        with self._database.writing() as session:
            enrollment = _the_enrollment(session, enrollment_id)
            enrollment.consent_at, enrollment.consent_source = consent_at, source
            look_again([enrollment], self._database.now())
            note(session, self._database, actor, "enrollment.consent", f"enrollment:{enrollment_id}")

    def end_enrollment(self, enrollment_id: uuid.UUID, *, actor: str = PROGRAM) -> None:
        """Takes the person out of the campaign; waiting slots are dropped. Raises StoreError when there is none."""
        with self._database.writing() as session:
            enrollment = _the_enrollment(session, enrollment_id)
            if enrollment.ended_at is None:
                now = self._database.now()
                enrollment.ended_at, enrollment.next_due_at, enrollment.why = now, None, Reason.ENDED.value
                session.flush()
                drop_waiting(session, [enrollment_id], Reason.ENDED, now)
                note(session, self._database, actor, "enrollment.ended", f"enrollment:{enrollment_id}")

    def set_hours(self, recipient_id: uuid.UUID, hours: Window | None, *, actor: str = PROGRAM) -> None:
        """The person's own hours, within which the telephone may ring. Raises StoreError when there is nobody."""
        with self._database.writing() as session:
            recipient = _the_recipient(session, recipient_id)
            recipient.opens, recipient.closes = (hours.opens, hours.closes) if hours is not None else (None, None)
            enrollments = select(EnrollmentRow).where(EnrollmentRow.recipient_id == recipient_id)
            look_again(session.exec(enrollments.with_for_update(key_share=True)), self._database.now())
            note(session, self._database, actor, "recipient.hours", f"recipient:{recipient_id}")


def _the_recipient(session: Session, recipient_id: uuid.UUID) -> RecipientRow:
    recipient = session.get(RecipientRow, recipient_id, with_for_update={"key_share": True})
    if recipient is None:
        raise StoreError(f"There is no recipient {recipient_id}.")
    return recipient


def _the_enrollment(session: Session, enrollment_id: uuid.UUID) -> EnrollmentRow:
    enrollment = session.get(EnrollmentRow, enrollment_id, with_for_update={"key_share": True})
    if enrollment is None:
        raise StoreError(f"There is no enrollment {enrollment_id}.")
    return enrollment
