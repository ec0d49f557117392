"""The people of an organisation for its pages: found, listed, added, changed, put into campaigns and taken out."""

import hashlib
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, and_, case, func, literal, or_
from sqlmodel import Session, col, select

from carecall.domain.enrollment import Enrolled, Reason
from carecall.domain.language import Language
from carecall.domain.viewer import Viewer
from carecall.errors import StoreConflict, StoreNotFound
from carecall.store.audit import note
from carecall.store.days import local_day
from carecall.store.engine import Database, Repository
from carecall.store.enrolled import people_enrolled, read_enrolled
from carecall.store.history import remember
from carecall.store.people import Person
from carecall.store.planning import AD_HOC
from carecall.store.recipients import new_recipient, opt_out, record_from
from carecall.store.recordings import recorded_calls
from carecall.store.scope import scoped, the
from carecall.store.slots import drop_waiting, look_again
from carecall.store.tables import (
    CampaignRow,
    ConsentSource,
    DayRow,
    DayState,
    EnrollmentRow,
    HistoryKind,
    RecipientRow,
    SlotRow,
    SlotState,
    UtcDateTime,
)

PAGE = 50  # people
_FIELDS = ("name", "phone", "language", "time_zone", "opens", "closes", "patience_s", "notes")
_NEVER = datetime(9999, 12, 31, tzinfo=UTC)  # sorts after every call
_PRESSING = {
    DayState.EMERGENCY: 5,
    DayState.URGENT: 4,
    DayState.ATTENTION: 3,
    DayState.UNREACHED: 2,
    DayState.FINE: 1,
}


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


class Called(StrEnum):
    """Whether somebody is called, over all their campaigns."""

    CALLED = "called"
    PAUSED = "paused"
    NO_CONSENT = "no_consent"
    OPTED_OUT = "opted_out"
    NOWHERE = "nowhere"  # in no campaign


class Order(StrEnum):
    """What a list begins with. Names are encrypted, and cannot be put in order."""

    PRESSING = "pressing"  # today's state
    NEXT = "next"  # the soonest call
    NEWEST = "newest"
    OLDEST = "oldest"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which people, in which order, after which key."""

    name: str = ""  # exactly this name, or one of the numbers
    numbers: tuple[str, ...] = ()  # E.164
    campaign_id: uuid.UUID | None = None
    state: DayState | None = None
    called: Called | None = None
    order: Order = Order.NEWEST
    after: str = ""  # the key of a page before


@dataclass(frozen=True, slots=True)
class Place:
    """A person's place in a campaign."""

    enrollment_id: uuid.UUID
    campaign_id: uuid.UUID
    campaign: str
    consent_at: datetime | None
    consent_source: ConsentSource | None
    started_at: datetime
    ended_at: datetime | None
    opted_out_at: datetime | None
    paused: bool
    last_day: date | None
    enrolled: Enrolled
    try_at: datetime | None  # when a check that is open is tried, or tried again; None: none is, or a call is under way

    @property
    def active(self) -> bool:
        return self.ended_at is None and self.opted_out_at is None


@dataclass(frozen=True, slots=True)
class Someone:
    """A person on the list."""

    id: uuid.UUID
    name: str
    phone: str
    language: Language
    time_zone: str
    state: DayState | None  # of today; None: not spoken to yet
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Details:
    """What is recorded of a person, and a mark by which a later change is noticed."""

    id: uuid.UUID
    name: str
    phone: str
    language: Language
    time_zone: str
    opens: time | None
    closes: time | None
    patience_s: float
    notes: str
    recording_consent_at: datetime | None
    recordings: int  # of their calls
    opted_out: bool
    places: tuple[Place, ...]  # the newest first
    seen: str


@dataclass(frozen=True, slots=True)
class PeoplePage:
    people: tuple[Someone, ...]
    count: int  # of all pages
    next: str  # the key of the page after this one; empty: it is the last


@dataclass(frozen=True, slots=True)
class Enrolling:
    """What became of people who were put into a campaign."""

    enrolled: int
    already: int
    opted_out: int


class CarePeople(Repository):
    def people_page(self, viewer: Viewer, wanted: Wanted) -> PeoplePage:
        """A page of the list. That it was seen is noted."""
        now = self._database.now()
        today = now.astimezone(ZoneInfo(viewer.time_zone)).date()
        key, rising = _key(wanted)
        conditions = self._conditions(viewer, wanted, today)
        keys: Any = select(RecipientRow.id, key.label("key"))
        if wanted.order is Order.PRESSING:
            keys = _with_day(keys, today)
        ids = scoped(keys, viewer).where(*conditions)
        if wanted.after:
            value, after = _from_mark(wanted.after, wanted.order)
            ahead, recipient_id = (key > value, col(RecipientRow.id) > after)
            if not rising:
                ahead, recipient_id = (key < value, col(RecipientRow.id) < after)
            ids = ids.where(or_(ahead, and_(key == value, recipient_id)))
        order = (key.asc(), col(RecipientRow.id).asc()) if rising else (key.desc(), col(RecipientRow.id).desc())
        counted = scoped(select(func.count(col(RecipientRow.id))), viewer).where(*conditions)
        with self._database.reading() as session:
            found = session.exec(ids.order_by(*order).limit(PAGE + 1)).all()
            shown = [recipient_id for recipient_id, _ in found[:PAGE]]
            people = self._people(session, viewer, shown, today)
            count = session.exec(counted).one()
        with self._database.writing() as session:
            subject = f"organisation:{viewer.organisation_id}"
            note(session, self._database, str(viewer.user_id), "people.listed", subject, people=len(people))
        more = len(found) > PAGE
        return PeoplePage(people, count, _mark(found[PAGE - 1][1], shown[-1]) if more else "")

    def person_details(self, viewer: Viewer, recipient_id: uuid.UUID) -> Details:
        """What is recorded of a person. That it was seen is noted. Raises StoreNotFound."""
        with self._database.reading() as session:
            row = the(session, select(RecipientRow).where(RecipientRow.id == recipient_id), viewer)
            places = _places(session, viewer, [recipient_id], self._database.now(), ended=True)[recipient_id]
            recordings = len(recorded_calls(session, recipient_id, ended=True))
        with self._database.writing() as session:
            note(session, self._database, str(viewer.user_id), "recipient.viewed", f"recipient:{recipient_id}")
        return Details(
            row.id,
            row.name,
            row.phone,
            row.language,
            row.time_zone,
            row.opens,
            row.closes,
            row.patience_s,
            row.notes,
            row.recording_consent_at,
            recordings,
            any(place.opted_out_at for place in places),
            tuple(places),
            _seen(row),
        )

    def add_person(self, viewer: Viewer, person: Person) -> uuid.UUID:
        """A new person. Raises PersonKnown, NumberOptedOut."""
        with self._database.writing() as session:
            _refuse_double(session, self._database, viewer, person, None)
            row = new_recipient(
                self._database,
                person.name,
                person.phone,
                person.language,
                time_zone=person.time_zone,
                patience_s=person.patience_s or 0.0,
                opens=person.opens,
                closes=person.closes,
                notes=person.notes or "",
                organisation_id=viewer.organisation_id,
            )
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
            if _seen(row) != seen:
                raise PersonChanged
            values = {
                **{name: getattr(person, name) for name in _FIELDS},
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
                        _active(),
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
                _active(),
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

    def _conditions(self, viewer: Viewer, wanted: Wanted, today: date) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = []
        cipher = self._database.cipher
        if wanted.name or wanted.numbers:
            numbers = [index for number in wanted.numbers for index in cipher.phone_indexes(number)]
            named = col(RecipientRow.name_index).in_(cipher.name_indexes(wanted.name))
            conditions.append(or_(named, col(RecipientRow.phone_index).in_(numbers)))
        if wanted.campaign_id is not None:
            conditions.append(_has(col(EnrollmentRow.campaign_id) == wanted.campaign_id, _active()))
        if wanted.state is not None:
            days = scoped(select(DayRow.recipient_id), viewer).where(DayRow.day == today, DayRow.state == wanted.state)
            conditions.append(col(RecipientRow.id).in_(days))
        match wanted.called:
            case Called.CALLED:
                unhindered = col(EnrollmentRow.consent_at).is_not(None), col(EnrollmentRow.paused).is_(False)
                conditions.append(_has(_active(), *unhindered))
            case Called.PAUSED:
                conditions.append(_has(_active(), col(EnrollmentRow.paused).is_(True)))
            case Called.NO_CONSENT:
                conditions.append(_has(_active(), col(EnrollmentRow.consent_at).is_(None)))
            case Called.OPTED_OUT:
                conditions.append(_has(col(EnrollmentRow.opted_out_at).is_not(None)))
            case Called.NOWHERE:
                conditions.append(~_has(_active()))
            case None:
                pass
        return conditions

    def _people(self, session: Session, viewer: Viewer, ids: Sequence[uuid.UUID], today: date) -> tuple[Someone, ...]:
        query = _with_day(select(RecipientRow, DayRow.state), today).where(col(RecipientRow.id).in_(ids))
        rows = {row.id: (row, state) for row, state in session.exec(scoped(query, viewer))}
        places = _places(session, viewer, ids, self._database.now(), ended=False)
        return tuple(
            Someone(row.id, row.name, row.phone, row.language, row.time_zone, state, tuple(places[row.id]))
            for row, state in (rows[each] for each in ids)
        )

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


def _key(wanted: Wanted) -> tuple[ColumnElement[Any], bool]:
    """What the list is ordered by, before the id, and whether it rises."""
    match wanted.order:
        case Order.PRESSING:
            return case(_PRESSING, value=col(DayRow.state), else_=0), False
        case Order.NEXT:
            soonest = (
                select(func.min(EnrollmentRow.next_due_at))
                .where(EnrollmentRow.recipient_id == RecipientRow.id, _active(), col(EnrollmentRow.paused).is_(False))
                .correlate(RecipientRow)
                .scalar_subquery()
            )
            return func.coalesce(soonest, literal(_NEVER, UtcDateTime()), type_=UtcDateTime()), True
        case Order.NEWEST | Order.OLDEST:
            return col(RecipientRow.created_at), wanted.order is Order.OLDEST  # type: ignore[return-value]


def _agreed_on(at: datetime | None, zone: str) -> date | None:
    """The day of a consent, which is what a form shows of it."""
    return at and local_day(at, zone)


def _mark(key: Any, recipient_id: uuid.UUID) -> str:
    return f"{key.isoformat() if isinstance(key, datetime) else key}~{recipient_id}"


def _from_mark(mark: str, order: Order) -> tuple[Any, uuid.UUID]:
    """Raises StoreNotFound for what is no mark: there is no such page."""
    value, _, recipient_id = mark.partition("~")
    try:
        if order is Order.PRESSING:
            return int(value), uuid.UUID(recipient_id)
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)), uuid.UUID(recipient_id)
    except ValueError:
        raise StoreNotFound from None


def _with_day(query: Any, today: date) -> Any:
    day = and_(col(DayRow.recipient_id) == RecipientRow.id, col(DayRow.day) == today)
    return query.select_from(RecipientRow).outerjoin(DayRow, day)


def _active() -> ColumnElement[bool]:
    return and_(col(EnrollmentRow.ended_at).is_(None), col(EnrollmentRow.opted_out_at).is_(None))


def _has(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether there is such a place of the person in a campaign."""
    return select(EnrollmentRow.id).where(EnrollmentRow.recipient_id == RecipientRow.id, *conditions).exists()


def _places(
    session: Session, viewer: Viewer, ids: Sequence[uuid.UUID], now: datetime, *, ended: bool
) -> dict[uuid.UUID, list[Place]]:
    """The campaigns that people are in, the newest first; with ``ended`` also those they were in."""
    places: dict[uuid.UUID, list[Place]] = {each: [] for each in ids}
    query = (
        select(EnrollmentRow, CampaignRow.name)
        .join(CampaignRow, col(CampaignRow.id) == EnrollmentRow.campaign_id)
        .where(col(EnrollmentRow.recipient_id).in_(ids), ~col(CampaignRow.name).startswith(AD_HOC, autoescape=True))
        .order_by(col(EnrollmentRow.started_at).desc(), col(EnrollmentRow.id))
    )
    if not ended:
        query = query.where(col(EnrollmentRow.ended_at).is_(None))
    rows = session.exec(scoped(query, viewer)).all()
    enrollment_ids = [row.id for row, _ in rows]
    planned = people_enrolled().where(col(EnrollmentRow.id).in_(enrollment_ids))
    enrolled = {each.enrollment_id: each for each in read_enrolled(session, planned, now)}
    waiting = select(SlotRow.enrollment_id, SlotRow.next_attempt_at).where(
        col(SlotRow.enrollment_id).in_(enrollment_ids), SlotRow.state == SlotState.OPEN
    )
    tries = dict(session.exec(waiting).all())
    for row, name in rows:
        places[row.recipient_id].append(
            Place(
                row.id,
                row.campaign_id,
                name,
                row.consent_at,
                row.consent_source,
                row.started_at,
                row.ended_at,
                row.opted_out_at,
                row.paused,
                row.last_day,
                enrolled[row.id],
                tries.get(row.id),
            )
        )
    return places


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


def _seen(row: RecipientRow) -> str:
    """Another one for every change of what a form shows."""
    shown = "\x1f".join(str(getattr(row, name)) for name in (*_FIELDS, "recording_consent_at"))
    return hashlib.sha256(f"{row.id}\x1f{shown}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
