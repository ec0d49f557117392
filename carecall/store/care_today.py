"""The work list: who needs somebody now, who could not be reached, who is fine, who is on the line."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, case, func
from sqlmodel import Session, col, select

from carecall.domain.attempt import AttemptState
from carecall.domain.campaign import TaskKind
from carecall.domain.language import Language
from carecall.domain.triage import Urgency
from carecall.domain.viewer import Role, Viewer
from carecall.store.audit import note
from carecall.store.codec import parse_ladder
from carecall.store.days import local_day
from carecall.store.engine import Repository
from carecall.store.news import newest_news
from carecall.store.planning import AD_HOC
from carecall.store.scope import from_here, scoped, the
from carecall.store.slots import past_attempts
from carecall.store.tables import (
    LIVE,
    AlertRow,
    AttemptRow,
    CampaignRow,
    DayRow,
    DayState,
    Direction,
    EnrollmentRow,
    EvidenceRow,
    HistoryKind,
    HistoryRow,
    RecipientRow,
    ReportRow,
    Resolution,
    SlotRow,
    SlotState,
    TaskRow,
    UserRow,
)

PAGE = 20
_RANK = case(*[(col(AlertRow.urgency) == urgency, urgency.rank) for urgency in Urgency], else_=len(Urgency))
_EVER = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_NOTES = 3  # the newest entries that a card shows


class Whose(StrEnum):
    ALL = "all"
    MINE = "mine"
    UNASSIGNED = "unassigned"


@dataclass(frozen=True, slots=True)
class Filters:
    """What of the work list is looked at."""

    campaign_id: uuid.UUID | None = None
    urgency: Urgency | None = None
    whose: Whose = Whose.ALL
    language: Language | None = None

    @property
    def any(self) -> bool:
        return self != Filters()


@dataclass(frozen=True, slots=True)
class Person:
    """Who a card is about."""

    id: uuid.UUID
    name: str
    phone: str
    language: Language
    time_zone: str


@dataclass(frozen=True, slots=True)
class Colleague:
    id: uuid.UUID
    name: str
    works: bool = True  # may be given something to do


@dataclass(frozen=True, slots=True)
class Done:
    """An entry of the history that a card shows."""

    kind: HistoryKind
    at: datetime
    by: Colleague | None  # None: the program
    to: Colleague | None
    words: str


@dataclass(frozen=True, slots=True)
class Case:
    """An alert with all that is needed to act on it."""

    id: uuid.UUID
    attempt_id: uuid.UUID
    person: Person
    campaign: str
    urgency: Urgency
    code: str
    reason: str
    quote: str  # the sentence that it rests on; empty when none was said
    turn: int | None  # in which it was said
    summary: str
    raised_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: Colleague | None
    assigned_to: Colleague | None
    escalations: int
    escalate_at: datetime | None
    settled_at: datetime | None
    settled_by: Colleague | None
    resolution: Resolution | None
    done: tuple[Done, ...] = ()  # newest first


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody who could not be reached: a task for a human, or a check that is tried again by itself."""

    person: Person
    campaign: str
    enrollment_id: uuid.UUID | None
    slot_due: datetime | None
    tries: int  # calls of this check that have ended
    of: int  # calls that its ladder allows
    last: str  # how the last of them ended, or why it is not tried now
    next_at: datetime | None  # of a check: when it is tried again; None: a call is under way
    task_id: uuid.UUID | None = None
    kind: TaskKind | None = None
    step: int = -1
    due_at: datetime | None = None
    assigned_to: Colleague | None = None
    overdue: bool = False
    closed_at: datetime | None = None
    done: tuple[Done, ...] = ()


@dataclass(frozen=True, slots=True)
class Fine:
    """Somebody who was spoken to, and nothing is the matter."""

    person: Person
    attempt_id: uuid.UUID | None
    at: datetime | None
    summary: str


@dataclass(frozen=True, slots=True)
class Ongoing:
    """A call under way."""

    attempt_id: uuid.UUID
    person: Person
    state: AttemptState
    inbound: bool
    since: datetime


@dataclass(frozen=True, slots=True)
class Today:
    """The screen."""

    now: datetime
    day: date  # the viewer's
    cases: list[Case]
    needs: dict[Urgency, int]  # how many unsettled alerts there are
    waiting: list[Waiting]
    tasks: int
    slots: int
    fine: list[Fine]
    fine_count: int
    ongoing: list[Ongoing]
    newest_emergency: Case | None  # that nobody has acknowledged
    next_due: datetime | None  # when the next check is looked at
    anybody: bool  # there are recipients
    campaigns: list[tuple[uuid.UUID, str]] = field(default_factory=list)
    colleagues: list[Colleague] = field(default_factory=list)
    page: int = 1  # of the cases
    waiting_page: int = 1
    fine_page: int = 1
    news: int = 0  # the id of the newest that the screen has taken in

    @property
    def needs_count(self) -> int:
        return sum(self.needs.values())


class CareToday(Repository):
    def today(
        self,
        viewer: Viewer,
        filters: Filters = Filters(),
        *,
        page: int = 1,
        waiting_page: int = 1,
        fine_page: int = 1,
        again: bool = False,
    ) -> Today:
        """The viewer's work list. Pages count from 1 and hold ``PAGE`` lines; ``again``: a screen refreshes itself."""
        now = self._database.now()
        day = local_day(now, viewer.time_zone)
        with self._database.reading() as session:
            names = colleagues(session, viewer)
            cases = _cases(session, viewer, names, filters, page)
            tasks = _tasks(session, viewer, names, filters, now, _offset(waiting_page), PAGE)
            task_count = _count(session, _of_tasks(viewer, filters, select(func.count(col(TaskRow.id)))))
            slot_count, slots = 0, list[Waiting]()
            if filters.whose is not Whose.MINE:
                slot_count = _count(session, _of_slots(viewer, filters, select(func.count()).select_from(SlotRow)))
            if slot_count and len(tasks) < PAGE:
                begin = max(0, _offset(waiting_page) - task_count)
                slots = _slots(session, viewer, filters, begin, PAGE - len(tasks))
            fine_count, fine = _fine(session, viewer, filters, day, fine_page)
            emergencies = [each for each in cases if each.urgency is Urgency.EMERGENCY and not each.acknowledged_at]
            shown = Today(
                now,
                day,
                cases,
                _needs(session, viewer, filters),
                tasks + slots,
                task_count,
                slot_count,
                fine,
                fine_count,
                _ongoing(session, viewer),
                max(emergencies, key=lambda each: each.raised_at, default=None),
                _next_due(session, viewer),
                session.exec(scoped(select(RecipientRow.id), viewer).limit(1)).first() is not None,
                campaigns(session, viewer),
                _workers(names),
                page,
                waiting_page,
                fine_page,
                newest_news(session),
            )
        if not again:
            with self._database.writing() as session:
                subject = f"organisation:{viewer.organisation_id}"
                people = len(shown.cases) + len(shown.waiting) + len(shown.fine) + len(shown.ongoing)
                note(session, self._database, str(viewer.user_id), "today.viewed", subject, people=people)
        return shown

    def case(self, viewer: Viewer, alert_id: uuid.UUID) -> Case:
        """One card. Raises StoreNotFound."""
        with self._database.reading() as session:
            return read_case(session, viewer, alert_id)

    def task(self, viewer: Viewer, task_id: uuid.UUID) -> Waiting:
        """One line of a task, done or not. Raises StoreNotFound."""
        with self._database.reading() as session:
            return read_task(session, viewer, task_id, self._database.now())

    def person(self, viewer: Viewer, recipient_id: uuid.UUID) -> Person:
        """Raises StoreNotFound."""
        with self._database.reading() as session:
            return as_person(the(session, select(RecipientRow).where(RecipientRow.id == recipient_id), viewer))

    def colleagues(self, viewer: Viewer) -> list[Colleague]:
        """Whom an alert or a task can be given to."""
        with self._database.reading() as session:
            return _workers(colleagues(session, viewer))

    def ongoing(self, viewer: Viewer) -> list[Ongoing]:
        """The calls under way, oldest first."""
        with self._database.reading() as session:
            return _ongoing(session, viewer)


def read_case(session: Session, viewer: Viewer, alert_id: uuid.UUID) -> Case:
    """One card. Raises StoreNotFound."""
    the(session, _alerts(select(AlertRow.id)).where(AlertRow.id == alert_id), viewer)
    rows = session.exec(scoped(_alerts(_case_columns()), viewer, few=True).where(col(AlertRow.id) == alert_id)).all()
    return _as_cases(session, colleagues(session, viewer), rows)[0]


def read_task(session: Session, viewer: Viewer, task_id: uuid.UUID, now: datetime) -> Waiting:
    """One line. Raises StoreNotFound."""
    query = select(TaskRow).join(RecipientRow, col(RecipientRow.id) == TaskRow.recipient_id)
    task = the(session, query.where(TaskRow.id == task_id), viewer)
    return _as_tasks(session, colleagues(session, viewer), [task], now)[0]


def colleagues(session: Session, viewer: Viewer) -> dict[uuid.UUID, Colleague]:
    """The users of the organisation, also those who have left."""
    rows = session.exec(scoped(select(UserRow), viewer))
    able = {role for role in Role if role.rank >= Role.CARE_WORKER.rank}
    return {row.id: Colleague(row.id, row.name or row.email, row.active and row.role in able) for row in rows}


def campaigns(session: Session, viewer: Viewer) -> list[tuple[uuid.UUID, str]]:
    """The campaigns by name, without those of calls outside of any schedule."""
    rows = session.exec(scoped(select(CampaignRow.id, CampaignRow.name), viewer)).all()
    return sorted(((row[0], row[1]) for row in rows if not row[1].startswith(AD_HOC)), key=lambda row: row[1])


def _workers(names: dict[uuid.UUID, Colleague]) -> list[Colleague]:
    return sorted((each for each in names.values() if each.works), key=lambda each: each.name.casefold())


def _offset(page: int) -> int:
    return (max(page, 1) - 1) * PAGE


def _count(session: Session, query: Any) -> int:
    return int(session.scalar(query) or 0)


# Who needs somebody now


def _alerts(query: Any) -> Any:
    return (
        query.select_from(AlertRow)
        .join(AttemptRow, col(AttemptRow.id) == from_here(AlertRow.attempt_id))
        .join(RecipientRow, col(RecipientRow.id) == from_here(AttemptRow.recipient_id))
        .join(EnrollmentRow, col(EnrollmentRow.id) == from_here(AttemptRow.enrollment_id))
        .join(CampaignRow, col(CampaignRow.id) == from_here(EnrollmentRow.campaign_id))
    )


def _unsettled(viewer: Viewer, filters: Filters, query: Any) -> Any:
    query = scoped(_alerts(query), viewer, few=True).where(
        col(AlertRow.settled_at).is_(None), *_narrowed(filters), *_whose(viewer, filters, AlertRow.assigned_to)
    )
    return query if filters.urgency is None else query.where(AlertRow.urgency == filters.urgency)


def _narrowed(filters: Filters) -> list[ColumnElement[bool]]:
    wanted = []
    if filters.campaign_id is not None:
        wanted.append(col(EnrollmentRow.campaign_id) == filters.campaign_id)
    if filters.language is not None:
        wanted.append(col(RecipientRow.language) == filters.language)
    return wanted


def _whose(viewer: Viewer, filters: Filters, assigned_to: Any) -> list[ColumnElement[bool]]:
    match filters.whose:
        case Whose.MINE:
            return [col(assigned_to) == viewer.user_id]
        case Whose.UNASSIGNED:
            return [col(assigned_to).is_(None)]
        case Whose.ALL:
            return []


def _needs(session: Session, viewer: Viewer, filters: Filters) -> dict[Urgency, int]:
    query = _unsettled(viewer, filters, select(AlertRow.urgency, func.count())).group_by(AlertRow.urgency)
    counts = dict(session.exec(query).all())
    return {urgency: counts.get(urgency, 0) for urgency in Urgency}


def _cases(
    session: Session, viewer: Viewer, names: dict[uuid.UUID, Colleague], filters: Filters, page: int
) -> list[Case]:
    query = _unsettled(viewer, filters, _case_columns())
    query = query.order_by(_RANK, col(AlertRow.raised_at), col(AlertRow.id)).offset(_offset(page)).limit(PAGE)
    return _as_cases(session, names, session.exec(query).all())


def _case_columns() -> Any:
    return select(AlertRow, RecipientRow, CampaignRow.name)


def _as_cases(session: Session, names: dict[uuid.UUID, Colleague], rows: Sequence[Any]) -> list[Case]:
    alerts: list[AlertRow] = [alert for alert, *_ in rows]
    quotes = _quotes(session, [alert.id for alert in alerts])
    summaries = _summaries(session, [alert.attempt_id for alert in alerts])
    since = min((alert.raised_at for alert in alerts), default=_EVER)
    done = _done(session, names, {person.id for _, person, _ in rows}, [f"alert:{alert.id}" for alert in alerts], since)
    cases = []
    for alert, person, campaign in rows:
        turn, quote = quotes.get(alert.id, (None, ""))
        cases.append(
            Case(
                alert.id,
                alert.attempt_id,
                as_person(person),
                campaign,
                alert.urgency,
                alert.code,
                alert.reason,
                quote,
                turn,
                summaries.get(alert.attempt_id, ""),
                alert.raised_at,
                alert.acknowledged_at,
                names.get(alert.acknowledged_by),
                names.get(alert.assigned_to),
                alert.escalations,
                alert.escalate_at,
                alert.settled_at,
                names.get(alert.settled_by),
                alert.resolution,
                tuple(done.get(f"alert:{alert.id}", ())),
            )
        )
    return cases


def as_person(row: RecipientRow) -> Person:
    return Person(row.id, row.name, row.phone, row.language, row.time_zone)


def _quotes(session: Session, alerts: Sequence[uuid.UUID]) -> dict[uuid.UUID, tuple[int | None, str]]:
    """The first sentence of each alert's evidence."""
    rows = session.exec(
        select(EvidenceRow).where(col(EvidenceRow.alert_id).in_(alerts)).order_by(col(EvidenceRow.position).desc())
    )
    return {row.alert_id: (row.turn_index, row.quote) for row in rows if row.alert_id is not None}


def _summaries(session: Session, attempts: Sequence[uuid.UUID | None]) -> dict[uuid.UUID, str]:
    rows = session.exec(select(ReportRow.attempt_id, ReportRow.summary).where(col(ReportRow.attempt_id).in_(attempts)))
    return {attempt_id: summary or "" for attempt_id, summary in rows}


def _done(
    session: Session,
    names: dict[uuid.UUID, Colleague],
    recipients: Iterable[uuid.UUID],
    subjects: Sequence[str],
    since: datetime,
) -> dict[str, list[Done]]:
    """The newest entries about each subject."""
    rows = session.exec(
        select(HistoryRow)
        .where(
            col(HistoryRow.recipient_id).in_(recipients),
            col(HistoryRow.at) >= since,
            col(HistoryRow.subject).in_(subjects),
        )
        .order_by(col(HistoryRow.at).desc())
    )
    done: dict[str, list[Done]] = defaultdict(list)
    for row in rows:
        if len(done[row.subject]) < _NOTES:
            to = row.details.get("to")
            done[row.subject].append(
                Done(row.kind, row.at, _named(names, row.actor), _named(names, str(to or "")), row.words)
            )
    return done


def _named(names: dict[uuid.UUID, Colleague], user_id: str) -> Colleague | None:
    try:
        return names.get(uuid.UUID(user_id))
    except ValueError:
        return None


# Who could not be reached


def _of_tasks(viewer: Viewer, filters: Filters, query: Any) -> Any:
    query = query.select_from(TaskRow).join(RecipientRow, col(RecipientRow.id) == from_here(TaskRow.recipient_id))
    if filters.campaign_id is not None:
        query = query.join(EnrollmentRow, col(EnrollmentRow.id) == from_here(TaskRow.enrollment_id))
    return scoped(query, viewer, few=True).where(
        col(TaskRow.closed_at).is_(None), *_narrowed(filters), *_whose(viewer, filters, TaskRow.assigned_to)
    )


def _tasks(
    session: Session,
    viewer: Viewer,
    names: dict[uuid.UUID, Colleague],
    filters: Filters,
    now: datetime,
    offset: int,
    limit: int,
) -> list[Waiting]:
    query = _of_tasks(viewer, filters, select(TaskRow)).order_by(col(TaskRow.due_at), col(TaskRow.id))
    return _as_tasks(session, names, session.exec(query.offset(offset).limit(limit)).all(), now)


def _as_tasks(
    session: Session, names: dict[uuid.UUID, Colleague], tasks: Sequence[TaskRow], now: datetime
) -> list[Waiting]:
    recipients = {task.recipient_id for task in tasks}
    people = {row.id: row for row in session.exec(select(RecipientRow).where(col(RecipientRow.id).in_(recipients)))}
    of_enrollment = _campaigns_of(session, {task.enrollment_id for task in tasks if task.enrollment_id})
    checks = [(task.enrollment_id, task.slot_due) for task in tasks if task.enrollment_id and task.slot_due]
    ladders = _ladders(session, checks)
    since = min((task.opened_at for task in tasks), default=_EVER)
    done = _done(session, names, recipients, [f"task:{task.id}" for task in tasks], since)
    lines = []
    for task in tasks:
        campaign = of_enrollment.get(task.enrollment_id) if task.enrollment_id else None
        tries = ladders.get((task.enrollment_id, task.slot_due), [])
        lines.append(
            Waiting(
                as_person(people[task.recipient_id]),
                campaign.name if campaign else "",
                task.enrollment_id,
                task.slot_due,
                len(tries),
                parse_ladder(campaign.ladder).attempts if campaign and task.step >= 0 else 0,
                task.reason,
                None,
                task.id,
                task.kind,
                task.step,
                task.due_at,
                names.get(task.assigned_to) if task.assigned_to else None,
                task.due_at <= now,
                task.closed_at,
                tuple(done.get(f"task:{task.id}", ())),
            )
        )
    return lines


def _of_slots(viewer: Viewer, filters: Filters, query: Any) -> Any:
    """The open checks that were tried, and are tried again."""
    query = query.join(EnrollmentRow, col(EnrollmentRow.id) == from_here(SlotRow.enrollment_id)).join(
        RecipientRow, col(RecipientRow.id) == from_here(EnrollmentRow.recipient_id)
    )
    tried = (
        select(AttemptRow.id)
        .where(
            AttemptRow.enrollment_id == SlotRow.enrollment_id,
            AttemptRow.slot_due == SlotRow.due_at,
            col(AttemptRow.ended_at).is_not(None),
            AttemptRow.direction == Direction.OUTBOUND,
        )
        .exists()
    )
    return scoped(query, viewer, few=True).where(
        col(SlotRow.next_attempt_at) > _EVER,
        SlotRow.state == SlotState.OPEN,
        SlotRow.reason != "",
        tried,
        *_narrowed(filters),
    )


def _slots(session: Session, viewer: Viewer, filters: Filters, offset: int, limit: int) -> list[Waiting]:
    query = _of_slots(viewer, filters, select(SlotRow, RecipientRow)).order_by(col(SlotRow.next_attempt_at))
    rows = session.exec(query.offset(offset).limit(limit)).all()
    of_enrollment = _campaigns_of(session, {slot.enrollment_id for slot, _ in rows})
    ladders = _ladders(session, [(slot.enrollment_id, slot.due_at) for slot, _ in rows])
    lines = []
    for slot, person in rows:
        campaign = of_enrollment[slot.enrollment_id]
        tries = past_attempts(ladders.get((slot.enrollment_id, slot.due_at), []))
        lines.append(
            Waiting(
                as_person(person),
                campaign.name,
                slot.enrollment_id,
                slot.due_at,
                len(tries),
                parse_ladder(campaign.ladder).attempts,
                slot.reason,
                slot.next_attempt_at,
            )
        )
    return lines


def _campaigns_of(session: Session, enrollments: Iterable[uuid.UUID]) -> dict[uuid.UUID, CampaignRow]:
    query = select(EnrollmentRow.id, CampaignRow).join(CampaignRow, col(CampaignRow.id) == EnrollmentRow.campaign_id)
    return dict(session.exec(query.where(col(EnrollmentRow.id).in_(enrollments))).all())


def _ladders(
    session: Session, checks: Sequence[tuple[uuid.UUID, datetime]]
) -> dict[tuple[uuid.UUID | None, datetime | None], list[AttemptRow]]:
    """Our dials of each check that have ended, in order."""
    rows = session.exec(
        select(AttemptRow)
        .where(
            col(AttemptRow.enrollment_id).in_({enrollment_id for enrollment_id, _ in checks}),
            col(AttemptRow.slot_due).in_({due for _, due in checks}),
            AttemptRow.direction == Direction.OUTBOUND,
            col(AttemptRow.ended_at).is_not(None),
        )
        .order_by(col(AttemptRow.number))
    )
    ladders: dict[tuple[uuid.UUID | None, datetime | None], list[AttemptRow]] = defaultdict(list)
    for row in rows:
        ladders[row.enrollment_id, row.slot_due].append(row)
    return ladders


# Who is fine, and who is on the line


def _fine(session: Session, viewer: Viewer, filters: Filters, day: date, page: int) -> tuple[int, list[Fine]]:
    def narrowed(query: Any) -> Any:
        query = query.select_from(DayRow)
        if filters.campaign_id is not None:
            query = query.join(AttemptRow, col(AttemptRow.id) == from_here(DayRow.attempt_id)).join(
                EnrollmentRow, col(EnrollmentRow.id) == from_here(AttemptRow.enrollment_id)
            )
        if filters.language is not None:
            query = query.join(RecipientRow, col(RecipientRow.id) == from_here(DayRow.recipient_id))
        return scoped(query, viewer, by=DayRow).where(
            DayRow.day == day, DayRow.state == DayState.FINE, *_narrowed(filters)
        )

    count = _count(session, narrowed(select(func.count())))
    newest = col(DayRow.at).desc()
    days: list[DayRow] = list(session.exec(narrowed(select(DayRow)).order_by(newest).offset(_offset(page)).limit(PAGE)))
    ids = [each.recipient_id for each in days]
    people = {row.id: row for row in session.exec(select(RecipientRow).where(col(RecipientRow.id).in_(ids)))}
    summaries = _summaries(session, [each.attempt_id for each in days])
    return count, [
        Fine(
            as_person(people[each.recipient_id]),
            each.attempt_id,
            each.at,
            summaries.get(each.attempt_id, "") if each.attempt_id else "",
        )
        for each in days
    ]


def _ongoing(session: Session, viewer: Viewer) -> list[Ongoing]:
    query = select(AttemptRow, RecipientRow).join(
        RecipientRow, col(RecipientRow.id) == from_here(AttemptRow.recipient_id)
    )
    rows = session.exec(
        scoped(query, viewer, few=True)
        .where(col(AttemptRow.ended_at).is_(None), col(AttemptRow.state).in_(LIVE))
        .order_by(col(AttemptRow.planned_at))
    )
    return [
        Ongoing(
            attempt.id,
            as_person(person),
            attempt.state,
            attempt.direction is Direction.INBOUND,
            attempt.answered_at or attempt.dialed_at or attempt.planned_at,
        )
        for attempt, person in rows
    ]


def _next_due(session: Session, viewer: Viewer) -> datetime | None:
    query = select(EnrollmentRow.next_due_at).join(
        RecipientRow, col(RecipientRow.id) == from_here(EnrollmentRow.recipient_id)
    )
    return session.exec(
        scoped(query, viewer, few=True)
        .where(col(EnrollmentRow.next_due_at) > _EVER)
        .order_by(col(EnrollmentRow.next_due_at))
        .limit(1)
    ).first()
