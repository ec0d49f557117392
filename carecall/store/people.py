"""People in bulk: a list is taken in as a whole or not at all, and people are found again."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from enum import StrEnum
from typing import TypeVar

from sqlalchemy import and_, text
from sqlmodel import Session, col, select

from carecall.domain.language import Language
from carecall.errors import StoreError, StoreNotFound
from carecall.store.audit import PROGRAM, note
from carecall.store.engine import Database
from carecall.store.history import remember
from carecall.store.recipients import new_recipient, record_from
from carecall.store.tables import (
    DEFAULT_ORGANISATION,
    AttemptRow,
    CampaignRow,
    ConsentSource,
    EnrollmentRow,
    HistoryKind,
    RecipientRow,
)

_AT_ONCE = 500  # values in one query, rows in one flush
_IMPORT_LOCK = 4_119_989  # any number, the same in every process
_RECORDING = "recording_consent"  # as the column is called
_AD_HOC = "Ad hoc: "  # campaigns of test calls

T = TypeVar("T")
Key = tuple[str, str | None]  # the blind indexes of name and number


@dataclass(frozen=True, slots=True)
class Person:
    """One person of a list. None: the list says nothing about it."""

    name: str
    phone: str  # E.164
    language: Language
    time_zone: str  # IANA name
    consent_at: datetime | None = None
    consent_source: ConsentSource | None = None
    consent_denied: bool = False  # the list says expressly that there is no consent
    recording_consent_at: datetime | None = None
    recording_denied: bool = False  # as above, of the consent to be recorded
    patience_s: float | None = None
    opens: time | None = None
    closes: time | None = None
    notes: str | None = None
    last_day: date | None = None


class Refusal(StrEnum):
    """Why a person of a list is not taken in."""

    OPTED_OUT = "opted_out"  # somebody with this number wants no more calls
    DIFFERS = "differs"  # known, and recorded otherwise
    CONSENT_RECORDED = "consent_recorded"  # the list denies a consent that is recorded


@dataclass(frozen=True, slots=True)
class Fate:
    """What an import means for one person."""

    known: uuid.UUID | None = None  # the recipient, when there is one already
    enrolls: bool = False
    consents: bool = False  # a consent is recorded that was not
    changes: tuple[str, ...] = ()  # fields that are recorded otherwise
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A recipient with the campaigns they are or were in, the newest first."""

    recipient: RecipientRow
    enrollments: tuple[tuple[EnrollmentRow, str], ...]


class People:
    def __init__(self, database: Database) -> None:
        self._database = database

    def campaign(self, name: str, organisation_id: uuid.UUID = DEFAULT_ORGANISATION) -> CampaignRow:
        """Raises StoreError, naming those there are, when the organisation has none of this name."""
        query = select(CampaignRow).where(
            ~col(CampaignRow.name).startswith(_AD_HOC), CampaignRow.organisation_id == organisation_id
        )
        with self._database.reading() as session:
            rows = session.exec(query.order_by(CampaignRow.name)).all()
        for row in rows:
            if row.name == name:
                return row
        there = f"There are: {', '.join(row.name for row in rows)}." if rows else "There is none yet."
        raise StoreError(f"There is no campaign {name!r}. {there} Add one with 'carecall campaign add FILE'.")

    def import_people(
        self,
        people: Sequence[Person],
        *,
        campaign_id: uuid.UUID | None = None,
        update: bool = False,
        skip_refused: bool = False,
        dry_run: bool = False,
        actor: str = PROGRAM,
        progress: Callable[[int], None] = lambda _done: None,
        organisation_id: uuid.UUID = DEFAULT_ORGANISATION,
    ) -> list[Fate]:
        """Takes people in and enrolls them in the campaign, in one transaction; gives what became of each, in order.

        Known people are those of the organisation of the same name and number; what is recorded of them changes only
        with ``update``. When one is refused nobody is taken in, unless ``skip_refused``; with ``dry_run`` nobody is.
        Raises StoreError.
        """
        keys = [self.key(person) for person in people]
        if len(set(keys)) < len(keys):
            raise StoreError("The list names the same person twice.")
        if dry_run:
            with self._database.reading() as session:
                return _Look(session, self._same(people), keys, campaign_id, organisation_id).fates(people, update)
        with self._database.writing() as session:
            _one_at_a_time(session)
            look = _Look(session, self._same(people), keys, campaign_id, organisation_id)
            fates = look.fates(people, update)
            if skip_refused or not any(fate.refusal for fate in fates):
                self._write(session, look, people, fates, actor, progress)
            return fates

    def listed(
        self, campaign_id: uuid.UUID | None = None, organisation_id: uuid.UUID = DEFAULT_ORGANISATION
    ) -> list[Listed]:
        """Everybody of the organisation, or who is in a campaign, in the order in which they came."""
        query = (
            select(RecipientRow)
            .where(RecipientRow.organisation_id == organisation_id)
            .order_by(col(RecipientRow.created_at), col(RecipientRow.id))
        )
        if campaign_id is not None:
            of_campaign = select(EnrollmentRow.recipient_id).where(EnrollmentRow.campaign_id == campaign_id)
            query = query.where(col(RecipientRow.id).in_(of_campaign))
        with self._database.reading() as session:
            return _with_enrollments(session, session.exec(query).all())

    def named(self, name: str) -> list[Listed]:
        """Everybody of exactly this name, oldest first."""
        of_name = col(RecipientRow.name_index).in_(self._database.cipher.name_indexes(name))
        query = select(RecipientRow).where(of_name).order_by(col(RecipientRow.created_at))
        with self._database.reading() as session:
            return _with_enrollments(session, session.exec(query).all())

    def one(self, recipient_id: uuid.UUID) -> Listed:
        """Raises StoreError when there is none."""
        with self._database.reading() as session:
            row = session.get(RecipientRow, recipient_id)
            if row is None:
                raise StoreError(f"There is no recipient {recipient_id}.")
            return _with_enrollments(session, [row])[0]

    def recent_attempts(self, recipient_id: uuid.UUID, limit: int = 10) -> list[AttemptRow]:
        """The newest attempts to reach a person, newest first."""
        query = select(AttemptRow).where(AttemptRow.recipient_id == recipient_id)
        with self._database.reading() as session:
            return list(session.exec(query.order_by(col(AttemptRow.planned_at).desc()).limit(limit)))

    def key(self, person: Person) -> Key:
        """People with the same key are the same person."""
        cipher = self._database.cipher
        return cipher.name_index(person.name), cipher.phone_index(person.phone)

    def _same(self, people: Sequence[Person]) -> dict[Key, Key]:
        """The people's keys, by their keys under each key of the cipher."""
        cipher = self._database.cipher
        return {
            key: self.key(person)
            for person in people
            for key in zip(cipher.name_indexes(person.name), cipher.phone_indexes(person.phone), strict=False)
        }

    def _write(
        self,
        session: Session,
        look: "_Look",
        people: Sequence[Person],
        fates: Sequence[Fate],
        actor: str,
        progress: Callable[[int], None],
    ) -> None:
        wanted = [(person, fate) for person, fate in zip(people, fates, strict=True) if fate.refusal is None]
        for person, fate in wanted:
            if fate.known is not None and (fate.changes or fate.consents):
                self._change(session, look, person, fate, actor)
        now, campaign = self._database.now(), look.campaign
        for start in range(0, len(wanted), _AT_ONCE):
            enrolled: list[EnrollmentRow] = []
            for person, fate in wanted[start : start + _AT_ONCE]:
                recipient_id = fate.known or self._add(session, person, actor, look.organisation_id)
                if campaign is not None and fate.enrolls:
                    enrolled.append(
                        EnrollmentRow(
                            recipient_id=recipient_id,
                            campaign_id=campaign.id,
                            consent_at=person.consent_at,
                            consent_source=person.consent_source,
                            started_at=now,
                            last_day=person.last_day,
                            next_due_at=now,
                        )
                    )
                    note(session, self._database, actor, "recipient.enrolled", f"recipient:{recipient_id}")
            session.flush()
            for enrollment in enrolled:
                self._remember(session, enrollment.recipient_id, actor, HistoryKind.ENROLLED, campaign)
            session.add_all(enrolled)
            session.flush()
            session.expunge_all()
            progress(min(start + _AT_ONCE, len(wanted)))

    def _add(self, session: Session, person: Person, actor: str, organisation_id: uuid.UUID) -> uuid.UUID:
        row = row_of(self._database, person, organisation_id)
        session.add(row)
        note(session, self._database, actor, "recipient.added", f"recipient:{row.id}")
        if person.recording_consent_at is not None:
            record_from(session, self._database, row, person.recording_consent_at, actor)
        return row.id

    def _change(self, session: Session, look: "_Look", person: Person, fate: Fate, actor: str) -> None:
        recipient = look.recipients[self.key(person)]
        enrollment = look.enrollments.get(recipient.id)
        fields = [name for name in fate.changes if name != _RECORDING]
        for name in fields:
            setattr(enrollment if name == "last_day" else recipient, name, getattr(person, name))
        subject = f"recipient:{recipient.id}"
        if _RECORDING in fate.changes:
            record_from(session, self._database, recipient, person.recording_consent_at, actor)
        if fields:
            named = ", ".join(fields)
            note(session, self._database, actor, "recipient.changed", subject, fields=named)
            kind = HistoryKind.DETAILS_CHANGED
            remember(session, self._database, recipient.id, actor, kind, fields=named)
        if enrollment is not None:
            enrollment.next_due_at = self._database.now()
            if fate.consents:
                enrollment.consent_at, enrollment.consent_source = person.consent_at, person.consent_source
                note(session, self._database, actor, "recipient.consented", subject)
                self._remember(session, recipient.id, actor, HistoryKind.CONSENT, look.campaign)

    def _remember(
        self, session: Session, recipient_id: uuid.UUID, actor: str, kind: HistoryKind, campaign: CampaignRow | None
    ) -> None:
        if campaign is not None:
            subject = f"campaign:{campaign.id}"
            remember(session, self._database, recipient_id, actor, kind, subject=subject, campaign=campaign.name)


class _Look:
    """What is recorded of the people of a list."""

    def __init__(
        self,
        session: Session,
        same: Mapping[Key, Key],
        keys: Sequence[Key],
        campaign_id: uuid.UUID | None,
        organisation_id: uuid.UUID,
    ) -> None:
        """``same`` are the keys under which the people may be recorded."""
        self._keys = keys
        self.organisation_id = organisation_id
        self.campaign = session.get(CampaignRow, campaign_id) if campaign_id is not None else None
        if campaign_id is not None and (self.campaign is None or self.campaign.organisation_id != organisation_id):
            raise StoreNotFound("The organisation has no such campaign.")
        self.recipients: dict[Key, RecipientRow] = {}
        self.enrollments: dict[uuid.UUID, EnrollmentRow] = {}  # active ones of the campaign, by recipient
        self._opted_out: set[str] = set()  # indexes of numbers
        numbers = {recorded: phone for (_, recorded), (_, phone) in same.items() if recorded and phone}
        for phones in _portions(sorted(numbers)):
            of_phones = and_(
                col(RecipientRow.phone_index).in_(phones), col(RecipientRow.organisation_id) == organisation_id
            )
            for row in session.exec(select(RecipientRow).where(of_phones).order_by(col(RecipientRow.created_at))):
                if key := same.get((row.name_index, row.phone_index)):
                    self.recipients.setdefault(key, row)
            opted_out = select(RecipientRow.phone_index).join(EnrollmentRow)
            opted_out = opted_out.where(of_phones, col(EnrollmentRow.opted_out_at).is_not(None)).distinct()
            self._opted_out.update(numbers[phone] for phone in session.exec(opted_out) if phone)
        for ids in _portions([row.id for row in self.recipients.values()]):
            active = select(EnrollmentRow).where(
                col(EnrollmentRow.recipient_id).in_(ids),
                EnrollmentRow.campaign_id == campaign_id,
                col(EnrollmentRow.ended_at).is_(None),
                col(EnrollmentRow.opted_out_at).is_(None),
            )
            self.enrollments.update((row.recipient_id, row) for row in session.exec(active))

    def fates(self, people: Sequence[Person], update: bool) -> list[Fate]:
        return [self._fate(person, key, update) for person, key in zip(people, self._keys, strict=True)]

    def _fate(self, person: Person, key: Key, update: bool) -> Fate:
        recipient = self.recipients.get(key)
        known = recipient.id if recipient else None
        if key[1] in self._opted_out:
            return Fate(known, refusal=Refusal.OPTED_OUT)
        if recipient is None:
            return Fate(enrolls=self.campaign is not None, consents=person.consent_at is not None)
        enrollment = self.enrollments.get(recipient.id)
        if enrollment is not None and enrollment.consent_at is not None and person.consent_denied:
            return Fate(known, refusal=Refusal.CONSENT_RECORDED)
        changes = tuple(_changes(person, recipient, enrollment))
        if changes and not update:
            return Fate(known, changes=changes, refusal=Refusal.DIFFERS)
        consents = person.consent_at is not None and (enrollment is None or enrollment.consent_at is None)
        return Fate(known, self.campaign is not None and enrollment is None, consents, changes)


def _changes(person: Person, recipient: RecipientRow, enrollment: EnrollmentRow | None) -> Iterator[str]:
    for name in ("language", "time_zone", "patience_s", "opens", "closes", "notes"):
        value = getattr(person, name)
        if value is not None and value != getattr(recipient, name):
            yield name
    agrees = person.recording_consent_at is not None
    if (agrees or person.recording_denied) and agrees != (recipient.recording_consent_at is not None):
        yield _RECORDING
    if person.last_day is not None and enrollment is not None and person.last_day != enrollment.last_day:
        yield "last_day"


def _with_enrollments(session: Session, recipients: Sequence[RecipientRow]) -> list[Listed]:
    found: dict[uuid.UUID, list[tuple[EnrollmentRow, str]]] = {row.id: [] for row in recipients}
    for ids in _portions(list(found)):
        query = (
            select(EnrollmentRow, CampaignRow.name).join(CampaignRow).where(col(EnrollmentRow.recipient_id).in_(ids))
        )
        for enrollment, campaign in session.exec(query.order_by(col(EnrollmentRow.started_at).desc())):
            found[enrollment.recipient_id].append((enrollment, campaign))
    return [Listed(row, tuple(found[row.id])) for row in recipients]


def _one_at_a_time(session: Session) -> None:
    """Two imports at once must not both add the same person; in SQLite there is one writer anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.connection().execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _IMPORT_LOCK})


def _portions(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]


def row_of(database: Database, person: Person, organisation_id: uuid.UUID) -> RecipientRow:
    """A new recipient, not yet added to a session. Consent to recording is recorded apart from it."""
    return new_recipient(
        database,
        person.name,
        person.phone,
        person.language,
        time_zone=person.time_zone,
        patience_s=person.patience_s or 0.0,
        opens=person.opens,
        closes=person.closes,
        notes=person.notes or "",
        organisation_id=organisation_id,
    )
