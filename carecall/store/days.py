"""Days: what each local day was like for a recipient, told anew from its calls and checks whenever one of them ends."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from carecall.domain.report import Outcome
from carecall.domain.triage import Urgency
from carecall.store.engine import Repository
from carecall.store.tables import (
    AlertRow,
    AttemptRow,
    DayRow,
    DayState,
    EnrollmentRow,
    RecipientRow,
    ReportRow,
    Resolution,
    SlotRow,
    SlotState,
)

_SPOKEN_TO = (Outcome.COMPLETED, Outcome.EMERGENCY, Outcome.SAID_GOODBYE)
_NO_CONCERN = (Resolution.FALSE_ALARM, Resolution.DUPLICATE)
_BEFORE = timedelta(days=1)  # a call is planned at most so long before it takes place
_STATES = {
    Urgency.EMERGENCY: DayState.EMERGENCY,
    Urgency.URGENT: DayState.URGENT,
    Urgency.ATTENTION: DayState.ATTENTION,
    Urgency.ROUTINE: DayState.FINE,
}
_PRESSING = (DayState.EMERGENCY, DayState.URGENT, DayState.ATTENTION)


@dataclass(frozen=True, slots=True)
class Event:
    """A call that was talked in, or a check that nobody was reached in."""

    state: DayState
    at: datetime
    attempt_id: uuid.UUID | None


def what_counts(events: Iterable[Event]) -> Event | None:
    """Of a day's events: the most pressing concern, the earliest of equals; without any, the last event."""
    listed = sorted(events, key=lambda event: event.at)
    concerns = [event for event in listed if event.state in _PRESSING]
    if concerns:
        return min(concerns, key=lambda event: _PRESSING.index(event.state))
    return listed[-1] if listed else None


def local_day(moment: datetime, time_zone: str) -> date:
    """The date on somebody's own clock; in UTC when their time zone is not known."""
    return moment.astimezone(_zone(time_zone)).date()


def tell_day(session: Session, recipient_id: uuid.UUID, moment: datetime) -> None:
    """Writes the day that a moment lies in, by what its calls and checks are now, in the caller's transaction."""
    recipient = session.get_one(RecipientRow, recipient_id)
    day = local_day(moment, recipient.time_zone)
    session.flush()
    event = what_counts(_events(session, recipient, day))
    row = session.get(DayRow, (recipient_id, day))
    if event is None:
        if row is not None:
            session.delete(row)
        return
    if row is None:
        row = DayRow(recipient_id=recipient_id, day=day, organisation_id=recipient.organisation_id, state=event.state)
        session.add(row)
    row.state, row.attempt_id, row.at = event.state, event.attempt_id, event.at


def tell_day_of(session: Session, attempt: AttemptRow) -> None:
    """The same for the day of a call."""
    tell_day(session, attempt.recipient_id, _talked_at(attempt))


class Days(Repository):
    def tell_days(self, *, after: uuid.UUID | None = None, limit: int = 100) -> uuid.UUID | None:
        """Writes all days of up to so many recipients, by their ids, for calls that were made before days were kept.

        Gives the last of them, to go on after; None at the end. Repeating it changes nothing.
        """
        with self._database.writing() as session:
            query = select(RecipientRow).order_by(col(RecipientRow.id)).limit(limit)
            if after is not None:
                query = query.where(col(RecipientRow.id) > after)
            recipients = session.exec(query).all()
            for recipient in recipients:
                _tell_all(session, recipient)
            return recipients[-1].id if recipients else None

    def tell_untold(self, *, at_once: int = 100) -> int:
        """Writes all days of those who were spoken to and have none, as before days were kept. Gives their number."""
        people = self._untold()
        for first in range(0, len(people), at_once):
            with self._database.writing() as session:
                some = select(RecipientRow).where(col(RecipientRow.id).in_(people[first : first + at_once]))
                for recipient in session.exec(some).all():
                    _tell_all(session, recipient)
        return len(people)

    def _untold(self) -> Sequence[uuid.UUID]:
        spoken_to = (
            select(EnrollmentRow.id)
            .join(AttemptRow, col(AttemptRow.enrollment_id) == EnrollmentRow.id)
            .join(ReportRow, col(ReportRow.attempt_id) == AttemptRow.id)
            .where(EnrollmentRow.recipient_id == RecipientRow.id, col(ReportRow.outcome).in_(_SPOKEN_TO))
        )
        with self._database.reading() as session:
            day = select(DayRow.recipient_id).where(DayRow.recipient_id == RecipientRow.id)
            return session.exec(select(RecipientRow.id).where(~day.exists(), spoken_to.exists())).all()


def _tell_all(session: Session, recipient: RecipientRow) -> None:
    days = {local_day(moment, recipient.time_zone): moment for moment in _moments(session, recipient.id)}
    for moment in days.values():
        tell_day(session, recipient.id, moment)


def _moments(session: Session, recipient_id: uuid.UUID) -> list[datetime]:
    """When the recipient was in calls with a report, and had checks that were handed over."""
    enrollments = _enrollments(recipient_id)
    attempts = session.exec(
        select(AttemptRow)
        .join(ReportRow, col(ReportRow.attempt_id) == AttemptRow.id)
        .where(col(AttemptRow.enrollment_id).in_(enrollments))
    )
    slots = session.exec(
        select(SlotRow.due_at).where(
            col(SlotRow.enrollment_id).in_(enrollments), SlotRow.state == SlotState.HANDED_OVER
        )
    )
    return [*map(_talked_at, attempts), *slots]


def _events(session: Session, recipient: RecipientRow, day: date) -> list[Event]:
    zone = _zone(recipient.time_zone)
    begins = datetime.combine(day, time(), zone).astimezone(UTC)
    ends = datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)
    enrollments = _enrollments(recipient.id)
    return _calls(session, enrollments, begins, ends) + _unreached(session, enrollments, begins, ends)


def _calls(session: Session, enrollments: SelectOfScalar[uuid.UUID], begins: datetime, ends: datetime) -> list[Event]:
    query = (
        select(AttemptRow, ReportRow.outcome)
        .join(ReportRow, isouter=True)
        .where(
            col(AttemptRow.enrollment_id).in_(enrollments),
            col(AttemptRow.planned_at) >= begins - _BEFORE,
            col(AttemptRow.planned_at) < ends,
        )
    )
    of_day = {
        attempt.id: (attempt, outcome)
        for attempt, outcome in session.exec(query)
        if begins <= _talked_at(attempt) < ends
    }
    concerns: dict[uuid.UUID, Urgency] = {}
    for alert in session.exec(select(AlertRow).where(col(AlertRow.attempt_id).in_(of_day))):
        if alert.resolution not in _NO_CONCERN:
            known = concerns.get(alert.attempt_id, Urgency.ROUTINE)
            concerns[alert.attempt_id] = min(known, alert.urgency, key=lambda urgency: urgency.rank)
    events = []
    for attempt_id, (attempt, outcome) in of_day.items():
        state = _STATES[concerns.get(attempt_id, Urgency.ROUTINE)]
        if state in _PRESSING or outcome in _SPOKEN_TO:
            events.append(Event(state, _talked_at(attempt), attempt_id))
    return events


def _unreached(
    session: Session, enrollments: SelectOfScalar[uuid.UUID], begins: datetime, ends: datetime
) -> list[Event]:
    slots = session.exec(
        select(SlotRow).where(
            col(SlotRow.enrollment_id).in_(enrollments),
            col(SlotRow.due_at) >= begins,
            col(SlotRow.due_at) < ends,
            SlotRow.state == SlotState.HANDED_OVER,
        )
    )
    return [Event(DayState.UNREACHED, slot.closed_at or slot.due_at, None) for slot in slots]


def _enrollments(recipient_id: uuid.UUID) -> SelectOfScalar[uuid.UUID]:
    return select(EnrollmentRow.id).where(EnrollmentRow.recipient_id == recipient_id)


def _talked_at(attempt: AttemptRow) -> datetime:
    return attempt.answered_at or attempt.dialed_at or attempt.planned_at


def _zone(time_zone: str) -> ZoneInfo:
    try:
        return ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")
