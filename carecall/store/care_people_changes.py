"""The people of an organisation as its workers change them: added, changed, put into campaigns, paused, taken out."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlmodel import Session, col, select

from carecall.domain.enrollment import Reason
from carecall.domain.viewer import Viewer
from carecall.errors import StoreConflict, StoreNotFound
from carecall.store.audit import note
from carecall.store.care_people import FIELDS, active, seen_of
from carecall.store.days import local_day
from carecall.store.engine import Database, Repository
from carecall.store.history import remember
from carecall.store.people import Person, row_of
from carecall.store.recipients import opt_out, record_from
from carecall.store.scope import scoped, the
from carecall.store.slots import drop_waiting, look_again
from carecall.store.tables import CampaignRow, ConsentSource, EnrollmentRow, HistoryKind, RecipientRow


class PersonChanged(StoreConflict):
    """Somebody else has changed this person since the form was opened."""

    code = "person_changed"


class PersonKnown(StoreConflict):
    """Somebody of this name and number is on the list already."""

    code = "person_known"

    def __init__(self, recipient_id: uuid.UUID) -> None:
        super().__init__()
        self.recipient_id = recipient_id


class NumberOptedOut(StoreConflict):
    """Somebody with this number wants no more calls."""

    code = "number_opted_out"


@dataclass(frozen=True, slots=True)
class Enrolling:
    """What became of people who were put into a campaign."""

    enrolled: int
    already: int
    opted_out: int


class CarePeopleChanges(Repository):
    def add_person(self, viewer: Viewer, person: Person) -> uuid.UUID:
        """A new person. Raises PersonKnown, NumberOptedOut."""
        with self._database.writing() as session:
            _refuse_double(session, self._database, viewer, person, None)
            row = row_of(self._database, person, viewer.organisation_id)
            session.add(row)
            session.flush()
            self._remember(session, viewer, row.id, HistoryKind.DETAILS_CHANGED, "recipient.added", added=True)
            if person.recording_consent_at is not None:
                record_from(session, self._database, row, person.recording_consent_at, viewer)
            return row.id

    def change_person(self, viewer: Viewer, recipient_id: uuid.UUID, person: Person, seen: str) -> tuple[str, ...]:
        """Records what the form says, and gives the fields that are new; planning looks at the person again.

        Raises StoreNotFound, PersonChanged, PersonKnown, NumberOptedOut.
        """
        with self._database.writing() as session:
            query = select(RecipientRow).where(RecipientRow.id == recipient_id).with_for_update(key_share=True)
            row = the(session, query, viewer)
            if seen_of(row) != seen:
                raise PersonChanged
            values = {
                **{name: getattr(person, name) for name in FIELDS},
                "patience_s": person.patience_s or 0.0,
                "notes": person.notes or "",
            }
            changed = tuple(name for name, value in values.items() if value != getattr(row, name))
            if {"name", "phone"} & set(changed):
                _refuse_double(session, self._database, viewer, person, row)
                cipher = self._database.cipher
                row.name_index, row.phone_index = cipher.name_index(person.name), cipher.phone_index(person.phone)
            zone = row.time_zone
            for name in changed:
                setattr(row, name, values[name])
            if changed:
                enrollments = select(EnrollmentRow).where(EnrollmentRow.recipient_id == recipient_id)
                look_again(session.exec(enrollments.with_for_update(key_share=True)), self._database.now())
                fields = ", ".join(changed)
                self._remember(
                    session, viewer, recipient_id, HistoryKind.DETAILS_CHANGED, "recipient.changed", fields=fields
                )
            if _agreed_on(row.recording_consent_at, zone) != _agreed_on(person.recording_consent_at, person.time_zone):
                record_from(session, self._database, row, person.recording_consent_at, viewer)
                changed += ("recording_consent",)
            return changed

    def enrol_people(
        self,
        viewer: Viewer,
        recipient_ids: Collection[uuid.UUID],
        campaign_id: uuid.UUID,
        *,
        consent_at: datetime | None = None,
        consent_source: ConsentSource | None = None,
        last_day: date | None = None,
    ) -> Enrolling:
        """Puts people into a campaign; who is in it already or has opted out is left alone.

        Without consent they stand on the list and are not called. Raises StoreNotFound when one of them, or the
        campaign, is not there.
        """
        with self._database.writing() as session:
            campaign = the(session, select(CampaignRow).where(CampaignRow.id == campaign_id), viewer)
            people = _these(session, viewer, recipient_ids)
            already = set(
                session.exec(
                    select(EnrollmentRow.recipient_id).where(
                        EnrollmentRow.campaign_id == campaign.id,
                        col(EnrollmentRow.recipient_id).in_(recipient_ids),
                        active(),
                    )
                )
            )
            opted_out = _opted_out(session, viewer, {row.phone_index for row in people if row.phone_index})
            now = self._database.now()
            enrolled = 0
            for row in people:
                if row.id in already or row.phone_index in opted_out:
                    continue
                enrolled += 1
                session.add(
                    EnrollmentRow(
                        recipient_id=row.id,
                        campaign_id=campaign.id,
                        consent_at=consent_at,
                        consent_source=consent_source,
                        started_at=now,
                        last_day=last_day,
                        next_due_at=now,
                    )
                )
                subject = f"campaign:{campaign.id}"
                self._remember(
                    session, viewer, row.id, HistoryKind.ENROLLED, "recipient.enrolled", subject, campaign=campaign.name
                )
            refused = sum(row.phone_index in opted_out and row.id not in already for row in people)
            return Enrolling(enrolled, len(already), refused)

    def record_consent(
        self, viewer: Viewer, enrollment_id: uuid.UUID, consent_at: datetime, source: ConsentSource
    ) -> uuid.UUID:
        """The person agrees to be called in this campaign. Gives whom. Raises StoreNotFound."""
        with self._database.writing() as session:
            enrollment = _the_enrollment(session, viewer, enrollment_id)
            enrollment.consent_at, enrollment.consent_source = consent_at, source
            look_again([enrollment], self._database.now())
            self._remember_of(
                session, viewer, enrollment, HistoryKind.CONSENT, "enrollment.consent", source=source.value
            )
            return enrollment.recipient_id

    def withdraw_consent(self, viewer: Viewer, enrollment_id: uuid.UUID) -> uuid.UUID:
        """The person agrees no longer, in this campaign; waiting checks are dropped. Gives whom.

        Raises StoreNotFound.
        """
        with self._database.writing() as session:
            enrollment = _the_enrollment(session, viewer, enrollment_id)
            if enrollment.consent_at is not None:
                now = self._database.now()
                enrollment.consent_at = enrollment.consent_source = None
                look_again([enrollment], now)
                session.flush()
                drop_waiting(session, [enrollment_id], Reason.NO_CONSENT, now)
                kind = HistoryKind.CONSENT
                self._remember_of(session, viewer, enrollment, kind, "enrollment.consent_withdrawn", withdrawn=True)
            return enrollment.recipient_id

    def leave_campaign(self, viewer: Viewer, enrollment_id: uuid.UUID) -> uuid.UUID:
        """Takes the person out of the campaign; waiting checks are dropped. Gives whom. Raises StoreNotFound."""
        with self._database.writing() as session:
            enrollment = _the_enrollment(session, viewer, enrollment_id)
            if enrollment.ended_at is None:
                now = self._database.now()
                enrollment.ended_at, enrollment.next_due_at, enrollment.why = now, None, Reason.ENDED.value
                session.flush()
                drop_waiting(session, [enrollment_id], Reason.ENDED, now)
                self._remember_of(session, viewer, enrollment, HistoryKind.UNENROLLED, "enrollment.ended")
            return enrollment.recipient_id

    def pause_people(self, viewer: Viewer, recipient_ids: Collection[uuid.UUID], *, paused: bool) -> int:
        """Stops or resumes the calls to people, in all their campaigns. Gives of how many that is new.

        Raises StoreNotFound when one of them is not there.
        """
        with self._database.writing() as session:
            _these(session, viewer, recipient_ids)
            query = select(EnrollmentRow).where(
                col(EnrollmentRow.recipient_id).in_(recipient_ids),
                col(EnrollmentRow.paused).is_(not paused),
                active(),
            )
            changed = session.exec(query.order_by(col(EnrollmentRow.id)).with_for_update(key_share=True)).all()
            for enrollment in changed:
                enrollment.paused = paused
            now = self._database.now()
            look_again(changed, now)
            session.flush()
            if paused:
                drop_waiting(session, [each.id for each in changed], Reason.PAUSED, now)
            people = {each.recipient_id for each in changed}
            kind = HistoryKind.PAUSED if paused else HistoryKind.RESUMED
            for recipient_id in people:
                self._remember(session, viewer, recipient_id, kind, f"recipient.{kind.value}")
            return len(people)

    def opt_person_out(self, viewer: Viewer, recipient_id: uuid.UUID) -> bool:
        """The person wants no more calls, in any campaign; False when that was known, or they are in none.

        Raises StoreNotFound.
        """
        with self._database.writing() as session:
            the(session, select(RecipientRow.id).where(RecipientRow.id == recipient_id), viewer)
            waiting = select(EnrollmentRow.id).where(
                EnrollmentRow.recipient_id == recipient_id, col(EnrollmentRow.opted_out_at).is_(None)
            )
            if session.exec(waiting).first() is None:
                return False
            opt_out(session, self._database, recipient_id, str(viewer.user_id))
            remember(session, self._database, recipient_id, viewer, HistoryKind.OPTED_OUT)
            return True

    def _remember_of(
        self,
        session: Session,
        viewer: Viewer,
        enrollment: EnrollmentRow,
        kind: HistoryKind,
        action: str,
        **details: str | bool,
    ) -> None:
        name = session.exec(select(CampaignRow.name).where(CampaignRow.id == enrollment.campaign_id)).one()
        subject = f"campaign:{enrollment.campaign_id}"
        self._remember(session, viewer, enrollment.recipient_id, kind, action, subject, campaign=name, **details)

    def _remember(
        self,
        session: Session,
        viewer: Viewer,
        recipient_id: uuid.UUID,
        kind: HistoryKind,
        action: str,
        subject: str = "",
        **details: str | bool,
    ) -> None:
        """In the history and in the audit trail."""
        entry: dict[str, Any] = {**details}
        remember(session, self._database, recipient_id, viewer, kind, subject=subject, **entry)
        note(session, self._database, str(viewer.user_id), action, f"recipient:{recipient_id}", **details)


def _agreed_on(at: datetime | None, zone: str) -> date | None:
    """The day of a consent, which is what a form shows of it."""
    return at and local_day(at, zone)


def _these(session: Session, viewer: Viewer, ids: Collection[uuid.UUID]) -> Sequence[RecipientRow]:
    """Raises StoreNotFound when one is not there, or of another organisation."""
    rows = session.exec(scoped(select(RecipientRow).where(col(RecipientRow.id).in_(ids)), viewer)).all()
    if len(rows) < len(set(ids)):
        raise StoreNotFound
    return rows


def _the_enrollment(session: Session, viewer: Viewer, enrollment_id: uuid.UUID) -> EnrollmentRow:
    query = (
        select(EnrollmentRow)
        .join(RecipientRow, col(RecipientRow.id) == EnrollmentRow.recipient_id)
        .where(EnrollmentRow.id == enrollment_id)
        .with_for_update(of=EnrollmentRow, key_share=True)
    )
    return the(session, query, viewer)


def _opted_out(session: Session, viewer: Viewer, phones: Collection[str]) -> set[str | None]:
    """Those of the numbers, by their indexes, whose owner wants no more calls."""
    query = (
        select(RecipientRow.phone_index)
        .join(EnrollmentRow, col(EnrollmentRow.recipient_id) == RecipientRow.id)
        .where(col(RecipientRow.phone_index).in_(phones), col(EnrollmentRow.opted_out_at).is_not(None))
    )
    return set(session.exec(scoped(query, viewer)))


def _refuse_double(
    session: Session, database: Database, viewer: Viewer, person: Person, changed: RecipientRow | None
) -> None:
    phones = database.cipher.phone_indexes(person.phone)
    query = select(RecipientRow.id).where(
        col(RecipientRow.name_index).in_(database.cipher.name_indexes(person.name)),
        col(RecipientRow.phone_index).in_(phones),
    )
    for known in session.exec(scoped(query, viewer)):
        if changed is None or known != changed.id:
            raise PersonKnown(known)
    if (changed is None or changed.phone_index not in phones) and _opted_out(session, viewer, phones):
        raise NumberOptedOut
