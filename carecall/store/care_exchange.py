"""What is handed on to other systems and to spreadsheets, in pages that are small whatever there is.

Each method gives what comes after the last of the page before, so that a reader of everything keeps one page in memory.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Select, func, or_
from sqlmodel import Session, col, select

from carecall.domain.attempt import AttemptState
from carecall.domain.finding import Finding
from carecall.domain.record import Correction, Person, ReportedCall
from carecall.domain.report import Outcome, Report
from carecall.domain.triage import Alert, Urgency
from carecall.domain.turn import Turn
from carecall.domain.viewer import Viewer
from carecall.store.audit import Detail, note
from carecall.store.calls import read_turns
from carecall.store.codec import load_notes, load_value
from carecall.store.engine import Repository
from carecall.store.history import remember
from carecall.store.reports import evidence_of
from carecall.store.scope import scoped, the
from carecall.store.tables import (
    AlertRow,
    AttemptRow,
    CampaignRow,
    CorrectionRow,
    DayRow,
    DayState,
    Direction,
    EnrollmentRow,
    FindingRow,
    HistoryKind,
    RecipientRow,
    ReportRow,
    Resolution,
    ValueKind,
)

Place = tuple[datetime, uuid.UUID]  # where a page ended


@dataclass(frozen=True, slots=True)
class Span:
    """From a moment until before another; None: without an end."""

    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ListedPerson:
    """A recipient with the campaigns that they are in."""

    person: Person
    notes: str
    created_at: datetime
    campaigns: tuple[str, ...]
    consented: bool  # to every one of them
    opted_out: bool  # of any


@dataclass(frozen=True, slots=True)
class ListedDay:
    """What a local day was like for somebody."""

    person: Person
    day: date
    state: DayState
    attempt_id: uuid.UUID | None


@dataclass(frozen=True, slots=True)
class ListedCall:
    """One dial, whatever came of it."""

    attempt_id: uuid.UUID
    person: Person
    campaign: str
    direction: Direction
    number: int
    state: AttemptState
    planned_at: datetime
    dialed_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    outcome: Outcome | None
    urgency: Urgency | None
    summary: str  # as the call wrote it
    corrected_at: datetime | None  # when a human last corrected a finding of it


@dataclass(frozen=True, slots=True)
class ListedAlert:
    """An alert, without a word of what was said."""

    id: uuid.UUID
    attempt_id: uuid.UUID
    recipient_id: uuid.UUID
    code: str
    urgency: Urgency
    reason: str
    raised_at: datetime
    acknowledged_at: datetime | None
    settled_at: datetime | None
    resolution: Resolution | None


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said in a call."""

    attempt_id: uuid.UUID
    person: Person
    dialog: str
    began_at: datetime
    turns: tuple[Turn, ...]


class CareExchange(Repository):
    def known_person(self, viewer: Viewer, recipient_id: uuid.UUID) -> Person:
        """Raises StoreNotFound."""
        with self._database.reading() as session:
            return _person(the(session, select(RecipientRow).where(RecipientRow.id == recipient_id), viewer))

    def known_persons(
        self,
        viewer: Viewer,
        *,
        ids: Sequence[uuid.UUID] | None = None,
        after: uuid.UUID | None = None,
        limit: int = 100,
    ) -> list[Person]:
        """By id; of ``ids`` those that are there."""
        query = scoped(select(RecipientRow), viewer).order_by(col(RecipientRow.id)).limit(limit)
        if ids is not None:
            query = query.where(col(RecipientRow.id).in_(ids))
        if after is not None:
            query = query.where(col(RecipientRow.id) > after)
        with self._database.reading() as session:
            return [_person(row) for row in session.exec(query)]

    def listed_people(self, viewer: Viewer, *, after: uuid.UUID | None = None, limit: int = 500) -> list[ListedPerson]:
        """By id, each with their campaigns that have not ended."""
        query = scoped(select(RecipientRow), viewer).order_by(col(RecipientRow.id)).limit(limit)
        if after is not None:
            query = query.where(col(RecipientRow.id) > after)
        with self._database.reading() as session:
            rows = session.exec(query).all()
            enrolled: dict[uuid.UUID, list[tuple[EnrollmentRow, str]]] = {}
            enrollments = scoped(
                select(EnrollmentRow, CampaignRow.name)
                .join(CampaignRow, col(CampaignRow.id) == EnrollmentRow.campaign_id)
                .join(RecipientRow, col(RecipientRow.id) == EnrollmentRow.recipient_id)
                .where(
                    col(EnrollmentRow.recipient_id).in_([row.id for row in rows]),
                    col(EnrollmentRow.ended_at).is_(None),
                ),
                viewer,
            )
            for enrollment, name in session.exec(enrollments):
                enrolled.setdefault(enrollment.recipient_id, []).append((enrollment, name))
            return [_listed(row, enrolled.get(row.id, [])) for row in rows]

    def listed_day(
        self, viewer: Viewer, day: date, *, after: uuid.UUID | None = None, limit: int = 500
    ) -> list[ListedDay]:
        """Everybody whose day it was, by id."""
        query = (
            scoped(
                select(DayRow, RecipientRow)
                .join(RecipientRow, col(RecipientRow.id) == DayRow.recipient_id)
                .where(DayRow.day == day),
                viewer,
                by=DayRow,
            )
            .order_by(col(DayRow.recipient_id))
            .limit(limit)
        )
        if after is not None:
            query = query.where(col(DayRow.recipient_id) > after)
        with self._database.reading() as session:
            return [
                ListedDay(_person(recipient), row.day, row.state, row.attempt_id)
                for row, recipient in session.exec(query)
            ]

    def listed_calls(
        self, viewer: Viewer, span: Span, *, after: Place | None = None, limit: int = 500
    ) -> list[ListedCall]:
        """By the moment that they were planned for."""
        corrected = select(func.max(CorrectionRow.at)).where(CorrectionRow.attempt_id == AttemptRow.id)
        query = (
            scoped(
                select(AttemptRow, RecipientRow, CampaignRow.name, ReportRow)
                .add_columns(corrected.scalar_subquery())
                .join(RecipientRow, col(RecipientRow.id) == AttemptRow.recipient_id)
                .join(EnrollmentRow, col(EnrollmentRow.id) == AttemptRow.enrollment_id)
                .join(CampaignRow, col(CampaignRow.id) == EnrollmentRow.campaign_id)
                .outerjoin(ReportRow, col(ReportRow.attempt_id) == AttemptRow.id),
                viewer,
            )
            .where(*_within(AttemptRow.planned_at, span), *_beyond(AttemptRow.planned_at, AttemptRow.id, after))
            .order_by(col(AttemptRow.planned_at), col(AttemptRow.id))
            .limit(limit)
        )
        with self._database.reading() as session:
            return [_call(*row) for row in session.execute(query)]

    def reported(
        self,
        viewer: Viewer,
        *,
        recipient_id: uuid.UUID | None = None,
        attempt_id: uuid.UUID | None = None,
        changed: Span = Span(),
        began: Span = Span(),
        after: Place | None = None,
        limit: int = 100,
    ) -> list[tuple[Person, ReportedCall]]:
        """Calls that have a report, by the moment that it was written. ``changed`` counts corrections too.

        ``after`` is the moment and the attempt of the last one before.
        """
        began_at = func.coalesce(AttemptRow.answered_at, AttemptRow.dialed_at, AttemptRow.planned_at)
        query = (
            scoped(
                select(ReportRow, AttemptRow, RecipientRow)
                .join(AttemptRow, col(AttemptRow.id) == ReportRow.attempt_id)
                .join(RecipientRow, col(RecipientRow.id) == AttemptRow.recipient_id),
                viewer,
            )
            .where(
                *_within(began_at, began),
                *_within(ReportRow.written_at, Span(began.since)),  # which is never before the call
                *_beyond(ReportRow.written_at, ReportRow.attempt_id, after),
            )
            .order_by(col(ReportRow.written_at), col(ReportRow.attempt_id))
        )
        if changed.until is not None:
            query = query.where(
                col(ReportRow.written_at) < changed.until,
                col(ReportRow.attempt_id).not_in(_corrected_since(changed.until)),
            )
        if recipient_id is not None:
            query = query.where(col(ReportRow.attempt_id).in_(_calls_of(recipient_id)))
        if attempt_id is not None:
            query = query.where(AttemptRow.id == attempt_id)
        parts = [query]
        if since := changed.since:  # in two queries, of which each has its index
            written, corrected = col(ReportRow.written_at), _corrected_since(since)
            parts = [
                query.where(written < since, col(ReportRow.attempt_id).in_(corrected)),
                query.where(written >= since),
            ]
        with self._database.reading() as session:
            rows: list[tuple[ReportRow, AttemptRow, RecipientRow]] = []
            for part in parts:
                if len(rows) < limit:
                    rows += [
                        (report, attempt, person)
                        for report, attempt, person in session.exec(part.limit(limit - len(rows)))
                    ]
            calls = _reported(session, [(report, attempt) for report, attempt, _ in rows])
            return [(_person(row[2]), call) for row, call in zip(rows, calls, strict=True)]

    def listed_alerts(
        self, viewer: Viewer, *, settled: bool, span: Span = Span(), after: Place | None = None, limit: int = 100
    ) -> list[ListedAlert]:
        """By the moment that they were raised; those that are settled only where they are asked for."""
        query = (
            scoped(
                select(AlertRow, AttemptRow.recipient_id)
                .join(AttemptRow, col(AttemptRow.id) == AlertRow.attempt_id)
                .join(RecipientRow, col(RecipientRow.id) == AttemptRow.recipient_id),
                viewer,
            )
            .where(*_within(AlertRow.raised_at, span), *_beyond(AlertRow.raised_at, AlertRow.id, after))
            .order_by(col(AlertRow.raised_at), col(AlertRow.id))
            .limit(limit)
        )
        if not settled:
            query = query.where(col(AlertRow.settled_at).is_(None))
        with self._database.reading() as session:
            return [
                ListedAlert(
                    row.id,
                    row.attempt_id,
                    recipient_id,
                    row.code,
                    row.urgency,
                    row.reason,
                    row.raised_at,
                    row.acknowledged_at,
                    row.settled_at,
                    row.resolution,
                )
                for row, recipient_id in session.exec(query)
            ]

    def exported_transcript(self, viewer: Viewer, attempt_id: uuid.UUID) -> Transcript:
        """Raises StoreNotFound."""
        with self._database.reading() as session:
            attempt, recipient = _the_call(session, viewer, attempt_id)
            turns = tuple(turn for turn, _ in read_turns(session, attempt_id))
            dialog = f"{attempt.dialog_id}.{attempt.dialog_language}"
            return Transcript(attempt_id, _person(recipient), dialog, _began_at(attempt), turns)

    def corrected_call(self, viewer: Viewer, correction_id: uuid.UUID) -> uuid.UUID | None:
        """The call that a correction is of; None when there is no such correction."""
        query = scoped(
            select(CorrectionRow.attempt_id)
            .join(AttemptRow, col(AttemptRow.id) == CorrectionRow.attempt_id)
            .join(RecipientRow, col(RecipientRow.id) == AttemptRow.recipient_id)
            .where(CorrectionRow.id == correction_id),
            viewer,
        )
        with self._database.reading() as session:
            return session.exec(query).first()

    def note_read(self, actor: str, action: str, subjects: Iterable[str], **details: Detail) -> None:
        """An entry of the audit trail for each record that was read or handed out."""
        with self._database.writing() as session:
            for subject in subjects:
                note(session, self._database, actor, action, subject, **details)

    def note_export_of_person(self, viewer: Viewer, recipient_id: uuid.UUID, what: str, *, actor: str) -> None:
        """Something about one person is handed out: told in their history and in the audit trail.

        Raises StoreNotFound.
        """
        with self._database.writing() as session:
            the(session, select(RecipientRow).where(RecipientRow.id == recipient_id), viewer)
            self._note_export(session, recipient_id, what, f"recipient:{recipient_id}", actor)

    def note_export_of_call(self, viewer: Viewer, attempt_id: uuid.UUID, what: str, *, actor: str) -> None:
        """The same of one call. Raises StoreNotFound."""
        with self._database.writing() as session:
            _, recipient = _the_call(session, viewer, attempt_id)
            self._note_export(session, recipient.id, what, f"attempt:{attempt_id}", actor)

    def _note_export(self, session: Session, recipient_id: uuid.UUID, what: str, subject: str, actor: str) -> None:
        kind = HistoryKind.EXPORTED
        remember(session, self._database, recipient_id, actor, kind, subject=subject, what=what)
        note(session, self._database, actor, f"{what}.exported", subject)


def _the_call(session: Session, viewer: Viewer, attempt_id: uuid.UUID) -> tuple[AttemptRow, RecipientRow]:
    of_call = select(RecipientRow).join(AttemptRow, col(AttemptRow.recipient_id) == RecipientRow.id)
    recipient = the(session, of_call.where(AttemptRow.id == attempt_id), viewer)
    return session.get_one(AttemptRow, attempt_id), recipient


def _person(row: RecipientRow) -> Person:
    return Person(row.id, row.name, row.phone, row.language, row.time_zone)


def _listed(row: RecipientRow, enrolled: Sequence[tuple[EnrollmentRow, str]]) -> ListedPerson:
    return ListedPerson(
        _person(row),
        row.notes,
        row.created_at,
        tuple(sorted(name for _, name in enrolled)),
        bool(enrolled) and all(each.consent_at is not None for each, _ in enrolled),
        any(each.opted_out_at is not None for each, _ in enrolled),
    )


def _call(
    attempt: AttemptRow,
    recipient: RecipientRow,
    campaign: str,
    report: ReportRow | None,
    corrected_at: datetime | None,
) -> ListedCall:
    return ListedCall(
        attempt.id,
        _person(recipient),
        campaign,
        attempt.direction,
        attempt.number,
        attempt.state,
        attempt.planned_at,
        attempt.dialed_at,
        attempt.answered_at,
        attempt.ended_at,
        attempt.outcome,
        report.urgency if report is not None else None,
        (report.summary or "") if report is not None else "",
        corrected_at,
    )


def _began_at(attempt: AttemptRow) -> datetime:
    return attempt.answered_at or attempt.dialed_at or attempt.planned_at


def _within(column: Any, span: Span) -> list[Any]:
    conditions = []
    if span.since is not None:
        conditions.append(column >= span.since)
    if span.until is not None:
        conditions.append(column < span.until)
    return conditions


def _beyond(moment: Any, key: Any, after: Place | None) -> list[Any]:
    return [] if after is None else [moment >= after[0], or_(moment > after[0], key > after[1])]


def _calls_of(recipient_id: uuid.UUID) -> Any:
    """By the enrollments, which have an index."""
    of_person = select(AttemptRow.id).join(EnrollmentRow, col(EnrollmentRow.id) == AttemptRow.enrollment_id)
    return of_person.where(EnrollmentRow.recipient_id == recipient_id)


def _corrected_since(moment: datetime) -> Any:
    """The calls that somebody corrected at the moment or later."""
    return select(CorrectionRow.attempt_id).where(CorrectionRow.at >= moment)


def _reported(session: Session, rows: Sequence[tuple[ReportRow, AttemptRow]]) -> list[ReportedCall]:
    """The calls in the order of the rows, read in as many queries as for one."""
    ids = [report.attempt_id for report, _ in rows]
    findings = _by_call(session, select(FindingRow), FindingRow, ids, FindingRow.position)
    raised = select(AlertRow).where(col(AlertRow.position).is_not(None))
    alerts = _by_call(session, raised, AlertRow, ids, AlertRow.position)
    corrections = _by_call(session, select(CorrectionRow), CorrectionRow, ids, CorrectionRow.at)
    evidence = evidence_of(
        session,
        findings=[row.id for each in findings.values() for row in each],
        alerts=[row.id for each in alerts.values() for row in each],
    )
    return [
        ReportedCall(
            report.attempt_id,
            attempt.recipient_id,
            _began_at(attempt),
            report.written_at,
            Report(
                report.dialog_id,
                report.dialog_language,
                report.dialog_version,
                report.dialog_hash,
                report.outcome,
                tuple(
                    Finding(row.code, _value(row), evidence.get(row.id, ()), row.layer, row.unit)
                    for row in findings.get(report.attempt_id, ())
                ),
                tuple(
                    Alert(row.code, row.urgency, row.reason, evidence.get(row.id, ()))
                    for row in alerts.get(report.attempt_id, ())
                ),
                load_notes(report.notes),
                report.summary or "",
            ),
            tuple(
                Correction(row.id, row.code, _value(row), row.reason, row.user_id, row.at)
                for row in corrections.get(report.attempt_id, ())
            ),
        )
        for report, attempt in rows
    ]


def _by_call(
    session: Session, query: Select[Any], row: Any, ids: Iterable[uuid.UUID], order: Any
) -> dict[uuid.UUID, list[Any]]:
    found: dict[uuid.UUID, list[Any]] = {}
    for each in session.execute(query.where(row.attempt_id.in_(list(ids))).order_by(order, row.id)).scalars():
        found.setdefault(each.attempt_id, []).append(each)
    return found


def _value(row: FindingRow | CorrectionRow) -> Any:
    return load_value(row.kind, (row.words if row.kind is ValueKind.WORDS else row.value) or "")
