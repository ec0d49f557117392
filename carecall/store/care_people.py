"""The people of an organisation for its pages: found, listed, and one of them with all details."""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, and_, case, func, literal, or_
from sqlmodel import Session, col, select

from carecall.domain.enrollment import Enrolled
from carecall.domain.language import Language
from carecall.domain.viewer import Viewer
from carecall.errors import StoreNotFound
from carecall.store.audit import note
from carecall.store.engine import Repository
from carecall.store.enrolled import people_enrolled, read_enrolled
from carecall.store.planning import AD_HOC
from carecall.store.recordings import recorded_calls
from carecall.store.scope import from_here, scoped, the
from carecall.store.tables import (
    CampaignRow,
    ConsentSource,
    DayRow,
    DayState,
    EnrollmentRow,
    RecipientRow,
    SlotRow,
    SlotState,
    UtcDateTime,
)

PAGE = 50  # people
FIELDS = ("name", "phone", "language", "time_zone", "opens", "closes", "patience_s", "notes")  # of a person
_NEVER = datetime(9999, 12, 31, tzinfo=UTC)  # sorts after every call
_PRESSING = {
    DayState.EMERGENCY: 5,
    DayState.URGENT: 4,
    DayState.ATTENTION: 3,
    DayState.UNREACHED: 2,
    DayState.FINE: 1,
}


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
        listed = scoped(keys, viewer).where(*conditions).cte().prefix_with("MATERIALIZED")  # a key is found out once
        ids: Any = select(listed.c.id, listed.c.key)
        if wanted.after:
            value, after = _from_mark(wanted.after, wanted.order)
            ahead, recipient_id = (listed.c.key > value, listed.c.id > after)
            if not rising:
                ahead, recipient_id = (listed.c.key < value, listed.c.id < after)
            ids = ids.where(or_(ahead, and_(listed.c.key == value, recipient_id)))
        order = (listed.c.key.asc(), listed.c.id.asc()) if rising else (listed.c.key.desc(), listed.c.id.desc())
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
            seen_of(row),
        )

    def _conditions(self, viewer: Viewer, wanted: Wanted, today: date) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = []
        cipher = self._database.cipher
        if wanted.name or wanted.numbers:
            numbers = [index for number in wanted.numbers for index in cipher.phone_indexes(number)]
            named = col(RecipientRow.name_index).in_(cipher.name_indexes(wanted.name))
            conditions.append(or_(named, col(RecipientRow.phone_index).in_(numbers)))
        if wanted.campaign_id is not None:
            conditions.append(_has(col(EnrollmentRow.campaign_id) == wanted.campaign_id, active()))
        if wanted.state is not None:
            days = scoped(select(DayRow.recipient_id), viewer).where(DayRow.day == today, DayRow.state == wanted.state)
            conditions.append(col(RecipientRow.id).in_(days))
        match wanted.called:
            case Called.CALLED:
                unhindered = col(EnrollmentRow.consent_at).is_not(None), col(EnrollmentRow.paused).is_(False)
                conditions.append(_has(active(), *unhindered))
            case Called.PAUSED:
                conditions.append(_has(active(), col(EnrollmentRow.paused).is_(True)))
            case Called.NO_CONSENT:
                conditions.append(_has(active(), col(EnrollmentRow.consent_at).is_(None)))
            case Called.OPTED_OUT:
                conditions.append(_has(col(EnrollmentRow.opted_out_at).is_not(None)))
            case Called.NOWHERE:
                conditions.append(~_has(active()))
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


def _key(wanted: Wanted) -> tuple[ColumnElement[Any], bool]:
    """What the list is ordered by, before the id, and whether it rises."""
    match wanted.order:
        case Order.PRESSING:
            return case(_PRESSING, value=col(DayRow.state), else_=0), False
        case Order.NEXT:
            soonest = (
                select(func.min(EnrollmentRow.next_due_at))
                .where(EnrollmentRow.recipient_id == RecipientRow.id, active(), col(EnrollmentRow.paused).is_(False))
                .correlate(RecipientRow)
                .scalar_subquery()
            )
            return func.coalesce(soonest, literal(_NEVER, UtcDateTime()), type_=UtcDateTime()), True
        case Order.NEWEST | Order.OLDEST:
            return col(RecipientRow.created_at), wanted.order is Order.OLDEST  # type: ignore[return-value]


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
    day = and_(
        col(DayRow.recipient_id) == RecipientRow.id,
        col(DayRow.day) == today,
        col(DayRow.organisation_id) == RecipientRow.organisation_id,  # that day's rows lie together by organisation
    )
    return query.select_from(RecipientRow).outerjoin(DayRow, day)


def active() -> ColumnElement[bool]:
    """Whether somebody's place in a campaign goes on."""
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
        .join(CampaignRow, col(CampaignRow.id) == from_here(EnrollmentRow.campaign_id))
        .where(col(EnrollmentRow.recipient_id).in_(ids), ~col(CampaignRow.name).startswith(AD_HOC, autoescape=True))
        .order_by(col(EnrollmentRow.started_at).desc(), col(EnrollmentRow.id))
    )
    if not ended:
        query = query.where(col(EnrollmentRow.ended_at).is_(None))
    rows = session.exec(scoped(query, viewer, few=True)).all()
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


def seen_of(row: RecipientRow) -> str:
    """Another one for every change of what a form shows."""
    shown = "\x1f".join(str(getattr(row, name)) for name in (*FIELDS, "recording_consent_at"))
    return hashlib.sha256(f"{row.id}\x1f{shown}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
