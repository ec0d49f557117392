"""One recipient as the dashboard shows them: who, when next, how it went, what is remembered, what was done."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from carecall.domain.campaign import TaskKind
from carecall.domain.enrollment import Enrolled
from carecall.domain.finding import FindingValue, Unit
from carecall.domain.language import Language
from carecall.domain.triage import Urgency
from carecall.domain.viewer import Viewer
from carecall.store.audit import note
from carecall.store.care_call import newest_corrections
from carecall.store.codec import load_value
from carecall.store.days import local_day
from carecall.store.engine import Repository
from carecall.store.enrolled import people_enrolled, read_enrolled
from carecall.store.history import remember
from carecall.store.memories import Append, Forget, Replace, carry_out
from carecall.store.planning import AD_HOC
from carecall.store.scope import the
from carecall.store.tables import (
    LIVE,
    AlertRow,
    AttemptRow,
    CampaignRow,
    ConsentSource,
    DayRow,
    DayState,
    EnrollmentRow,
    FindingRow,
    HistoryKind,
    HistoryRow,
    MemoryRow,
    RecipientRow,
    ReportRow,
    SlotRow,
    SlotState,
    TaskRow,
    ValueKind,
)

STRIP_DAYS = 30


@dataclass(frozen=True, slots=True)
class Membership:
    """A recipient in a campaign."""

    id: uuid.UUID
    campaign: str
    scheduled: bool  # no: for calls that somebody starts
    consent_at: datetime | None
    consent_source: ConsentSource | None
    started_at: datetime
    ended_at: datetime | None
    last_day: date | None
    paused: bool
    opted_out_at: datetime | None
    enrolled: Enrolled | None  # for planning; None where nothing is planned
    next_attempt_at: datetime | None  # of the open slot, when one is waiting to be tried again
    last_ending: str  # why it is tried again, such as busy

    @property
    def active(self) -> bool:
        return self.ended_at is None and self.opted_out_at is None


@dataclass(frozen=True, slots=True)
class ShownDay:
    """What one local day was like; no state when nothing was due or is known yet."""

    day: date
    state: DayState | None
    attempt_id: uuid.UUID | None


@dataclass(frozen=True, slots=True)
class OpenAlert:
    id: uuid.UUID
    attempt_id: uuid.UUID
    urgency: Urgency
    reason: str
    raised_at: datetime
    acknowledged_at: datetime | None


@dataclass(frozen=True, slots=True)
class OpenTask:
    id: uuid.UUID
    kind: TaskKind
    reason: str
    due_at: datetime
    attempt_id: uuid.UUID | None


@dataclass(frozen=True, slots=True)
class ShownMemory:
    id: uuid.UUID
    text: str
    topic: str
    created_at: datetime
    attempt_id: uuid.UUID | None  # the call it was said in; None: a care worker wrote it
    turn: int | None
    followed_up_on: date | None
    before: tuple[str, ...] = ()  # what it took the place of, newest first


@dataclass(frozen=True, slots=True)
class ShownRecipient:
    id: uuid.UUID
    name: str
    phone: str
    language: Language
    time_zone: str
    patience_s: float
    opens: time | None
    closes: time | None
    notes: str
    recording_consent_at: datetime | None
    created_at: datetime
    memberships: tuple[Membership, ...]  # active ones first, then the newest
    days: tuple[ShownDay, ...]  # oldest first, the last is today on the person's calendar
    alerts: tuple[OpenAlert, ...]
    tasks: tuple[OpenTask, ...]
    memories: tuple[ShownMemory, ...]
    live_call: uuid.UUID | None


@dataclass(frozen=True, slots=True)
class Measured:
    """What one call found out, as corrected."""

    attempt_id: uuid.UUID
    at: datetime
    values: dict[str, FindingValue]
    units: dict[str, Unit] = field(default_factory=dict)


class CareRecipient(Repository):
    def recipient(self, viewer: Viewer, recipient_id: uuid.UUID) -> ShownRecipient:
        """Everything about a person but symptoms and history. Raises StoreNotFound."""
        with self._database.reading() as session:
            row = the(session, the_recipient(recipient_id), viewer)
            memberships = _memberships(session, recipient_id, self._database.now())
            shown = ShownRecipient(
                row.id,
                row.name,
                row.phone,
                row.language,
                row.time_zone,
                row.patience_s,
                row.opens,
                row.closes,
                row.notes,
                row.recording_consent_at,
                row.created_at,
                memberships,
                _days(session, recipient_id, local_day(self._database.now(), row.time_zone)),
                _alerts(session, [each.id for each in memberships]),
                _tasks(session, recipient_id),
                _memories(session, recipient_id),
                _live_call(session, [each.id for each in memberships]),
            )
        self._viewed(viewer, recipient_id)
        return shown

    def measured(self, viewer: Viewer, recipient_id: uuid.UUID, since: datetime) -> list[Measured]:
        """What the calls since a moment found out, oldest first. Raises StoreNotFound."""
        with self._database.reading() as session:
            the(session, the_recipient(recipient_id), viewer)
            calls = session.exec(
                select(AttemptRow.id, AttemptRow.planned_at)
                .join(ReportRow, col(ReportRow.attempt_id) == AttemptRow.id)
                .where(
                    col(AttemptRow.enrollment_id).in_(enrollments_of(session, recipient_id)),
                    AttemptRow.planned_at >= since,
                )
                .order_by(col(AttemptRow.planned_at))
            ).all()
            found = {attempt_id: Measured(attempt_id, at, {}) for attempt_id, at in calls}
            for row in session.exec(select(FindingRow).where(col(FindingRow.attempt_id).in_(list(found)))):
                stored = (row.words if row.kind is ValueKind.WORDS else row.value) or ""
                found[row.attempt_id].values[row.code] = load_value(row.kind, stored)
                if row.unit is not None:
                    found[row.attempt_id].units[row.code] = row.unit
            for (attempt_id, code), value in newest_corrections(session, list(found)).items():
                found[attempt_id].values[code] = value
            return list(found.values())

    def add_memory(self, viewer: Viewer, recipient_id: uuid.UUID, text: str, topic: str) -> None:
        """Raises StoreNotFound."""
        with self._database.writing() as session:
            the(session, the_recipient(recipient_id), viewer)
            carry_out(session, self._database, recipient_id, Append(text, topic))
            self._remembered(session, viewer, recipient_id, HistoryKind.MEMORY_ADDED, "memory.added", text)

    def edit_memory(self, viewer: Viewer, recipient_id: uuid.UUID, memory_id: uuid.UUID, text: str, topic: str) -> None:
        """The old sentence is kept as replaced. Raises StoreNotFound; StoreConflict when it does not stand any more."""
        with self._database.writing() as session:
            the(session, the_recipient(recipient_id), viewer)
            carry_out(session, self._database, recipient_id, Replace(memory_id, text, topic))
            self._remembered(session, viewer, recipient_id, HistoryKind.MEMORY_EDITED, "memory.edited", text)

    def forget_memory(self, viewer: Viewer, recipient_id: uuid.UUID, memory_id: uuid.UUID) -> None:
        """Deletes it and what it replaced, also from the history. Raises StoreNotFound, StoreConflict."""
        with self._database.writing() as session:
            the(session, the_recipient(recipient_id), viewer)
            sentences = _chain(session, recipient_id, memory_id)
            carry_out(session, self._database, recipient_id, Forget(memory_id), actor=str(viewer.user_id))
            written = select(HistoryRow).where(
                HistoryRow.recipient_id == recipient_id,
                col(HistoryRow.kind).in_((HistoryKind.MEMORY_ADDED, HistoryKind.MEMORY_EDITED)),
            )
            for entry in session.exec(written):
                if entry.words in sentences:
                    entry.words = ""
            remember(session, self._database, recipient_id, viewer, HistoryKind.MEMORY_FORGOTTEN)

    def _remembered(
        self, session: Session, viewer: Viewer, recipient_id: uuid.UUID, kind: HistoryKind, action: str, text: str
    ) -> None:
        remember(session, self._database, recipient_id, viewer, kind, words=text)
        note(session, self._database, str(viewer.user_id), action, f"recipient:{recipient_id}")

    def _viewed(self, viewer: Viewer, recipient_id: uuid.UUID) -> None:
        with self._database.writing() as session:
            note(session, self._database, str(viewer.user_id), "recipient.viewed", f"recipient:{recipient_id}")


def the_recipient(recipient_id: uuid.UUID) -> SelectOfScalar[RecipientRow]:
    return select(RecipientRow).where(RecipientRow.id == recipient_id)


def enrollments_of(session: Session, recipient_id: uuid.UUID) -> list[uuid.UUID]:
    """Attempts are found by these and a moment: there is an index of both."""
    return list(session.exec(select(EnrollmentRow.id).where(EnrollmentRow.recipient_id == recipient_id)))


def _memberships(session: Session, recipient_id: uuid.UUID, now: datetime) -> tuple[Membership, ...]:
    rows = session.exec(
        select(EnrollmentRow, CampaignRow.name)
        .join(CampaignRow, col(CampaignRow.id) == EnrollmentRow.campaign_id)
        .where(EnrollmentRow.recipient_id == recipient_id)
    ).all()
    planned = [row.id for row, campaign in rows if not campaign.startswith(AD_HOC)]
    enrolled = {
        each.enrollment_id: each
        for each in read_enrolled(session, people_enrolled().where(col(EnrollmentRow.id).in_(planned)), now)
    }
    slots = select(SlotRow).where(col(SlotRow.enrollment_id).in_(planned), SlotRow.state == SlotState.OPEN)
    waiting = {slot.enrollment_id: slot for slot in session.exec(slots) if slot.next_attempt_at is not None}
    memberships = []
    for row, campaign in rows:
        slot = waiting.get(row.id)
        memberships.append(
            Membership(
                row.id,
                campaign,
                row.id in enrolled,
                row.consent_at,
                row.consent_source,
                row.started_at,
                row.ended_at,
                row.last_day,
                row.paused,
                row.opted_out_at,
                enrolled.get(row.id),
                slot.next_attempt_at if slot else None,
                slot.reason if slot else "",
            )
        )
    return tuple(sorted(memberships, key=lambda each: (each.active, each.started_at), reverse=True))


def _days(session: Session, recipient_id: uuid.UUID, today: date) -> tuple[ShownDay, ...]:
    first = today - timedelta(days=STRIP_DAYS - 1)
    query = select(DayRow).where(DayRow.recipient_id == recipient_id, DayRow.day >= first, DayRow.day <= today)
    rows = {row.day: row for row in session.exec(query)}
    days = (first + timedelta(days=ahead) for ahead in range(STRIP_DAYS))
    return tuple(
        ShownDay(day, rows[day].state, rows[day].attempt_id) if day in rows else ShownDay(day, None, None)
        for day in days
    )


def _alerts(session: Session, enrollments: Sequence[uuid.UUID]) -> tuple[OpenAlert, ...]:
    rows = session.exec(
        select(AlertRow)
        .join(AttemptRow, col(AttemptRow.id) == AlertRow.attempt_id)
        .where(col(AttemptRow.enrollment_id).in_(enrollments), col(AlertRow.settled_at).is_(None))
    )
    alerts = [
        OpenAlert(row.id, row.attempt_id, row.urgency, row.reason, row.raised_at, row.acknowledged_at) for row in rows
    ]
    return tuple(sorted(alerts, key=lambda alert: (alert.urgency.rank, alert.raised_at)))


def _tasks(session: Session, recipient_id: uuid.UUID) -> tuple[OpenTask, ...]:
    rows = session.exec(
        select(TaskRow)
        .where(TaskRow.recipient_id == recipient_id, col(TaskRow.closed_at).is_(None))
        .order_by(col(TaskRow.due_at))
    )
    return tuple(OpenTask(row.id, row.kind, row.reason, row.due_at, row.attempt_id) for row in rows)


def _memories(session: Session, recipient_id: uuid.UUID) -> tuple[ShownMemory, ...]:
    """What stands, newest first, each with what it took the place of."""
    rows = session.exec(
        select(MemoryRow).where(MemoryRow.recipient_id == recipient_id).order_by(col(MemoryRow.created_at).desc())
    ).all()
    replaced = {row.replaced_by: row for row in rows if row.replaced_by}
    shown = []
    for row in rows:
        if row.ended_at is None:
            before, older = [], replaced.get(row.id)
            while older is not None:
                before.append(older.text)
                older = replaced.get(older.id)
            shown.append(
                ShownMemory(
                    row.id,
                    row.text,
                    row.topic,
                    row.created_at,
                    row.source_attempt_id,
                    row.source_turn,
                    row.followed_up_on,
                    tuple(before),
                )
            )
    return tuple(shown)


def _chain(session: Session, recipient_id: uuid.UUID, memory_id: uuid.UUID) -> set[str]:
    """A sentence and those that it took the place of."""
    for memory in _memories(session, recipient_id):
        if memory.id == memory_id:
            return {memory.text, *memory.before}
    return set()


def _live_call(session: Session, enrollments: Sequence[uuid.UUID]) -> uuid.UUID | None:
    query = select(AttemptRow.id).where(col(AttemptRow.enrollment_id).in_(enrollments), col(AttemptRow.state).in_(LIVE))
    return session.exec(query).first()
