"""Recipients, campaigns and who is enrolled in what."""

import uuid
from datetime import date, datetime
from typing import Any

from sqlmodel import Session, col, select

from carecall.domain.language import Language
from carecall.errors import StoreError
from carecall.store.audit import PROGRAM, note
from carecall.store.engine import Database
from carecall.store.tables import CampaignRow, ConsentSource, EnrollmentRow, RecipientRow


def new_recipient(
    database: Database,
    name: str,
    phone: str,
    language: Language,
    *,
    time_zone: str = "UTC",
    patience_s: float = 0.0,
    notes: str = "",
) -> RecipientRow:
    return RecipientRow(
        name=name,
        phone=phone,
        name_index=database.cipher.name_index(name),
        phone_index=database.cipher.phone_index(phone),
        language=language,
        time_zone=time_zone,
        patience_s=patience_s,
        notes=notes,
        created_at=database.now(),
    )


def find(session: Session, database: Database, name: str, phone: str) -> list[RecipientRow]:
    """The recipients of exactly this name and number, oldest first."""
    query = select(RecipientRow).where(
        RecipientRow.name_index == database.cipher.name_index(name),
        RecipientRow.phone_index == database.cipher.phone_index(phone),
    )
    return list(session.exec(query.order_by(col(RecipientRow.created_at))))


def opt_out(session: Session, database: Database, recipient_id: uuid.UUID, actor: str) -> None:
    """The person wants no more calls: all their enrollments end in the caller's transaction."""
    query = select(EnrollmentRow).where(
        EnrollmentRow.recipient_id == recipient_id, col(EnrollmentRow.opted_out_at).is_(None)
    )
    for enrollment in session.exec(query):
        enrollment.opted_out_at = database.now()
    note(session, database, actor, "recipient.opted_out", f"recipient:{recipient_id}")


class Recipients:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        name: str,
        phone: str,
        language: Language,
        *,
        time_zone: str = "UTC",
        patience_s: float = 0.0,
        notes: str = "",
        actor: str = PROGRAM,
    ) -> uuid.UUID:
        """A new recipient. ``time_zone`` is an IANA name, ``patience_s`` is added to the pause that ends a reply."""
        with self._database.writing() as session:
            row = new_recipient(
                self._database, name, phone, language, time_zone=time_zone, patience_s=patience_s, notes=notes
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
        actor: str = PROGRAM,
    ) -> uuid.UUID:
        """Puts a recipient in a campaign; without consent they stand on the list and are not called.

        Raises StoreError when they are in it already.
        """
        with self._database.writing() as session:
            row = EnrollmentRow(
                recipient_id=recipient_id,
                campaign_id=campaign_id,
                consent_at=consent_at,
                consent_source=consent_source,
                started_at=self._database.now(),
            )
            session.add(row)
            note(session, self._database, actor, "recipient.enrolled", f"recipient:{recipient_id}")
            return row.id

    def opt_out(self, recipient_id: uuid.UUID, *, actor: str = PROGRAM) -> None:
        """The person wants no more calls. In force when this returns."""
        with self._database.writing() as session:
            opt_out(session, self._database, recipient_id, actor)
