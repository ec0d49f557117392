"""What is past its time is deleted, a portion in a transaction: calls in the order they were planned, then people."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Uuid, literal, tuple_
from sqlmodel import Session, col, delete, func, or_, select

from carecall.store.audit import PROGRAM, note
from carecall.store.engine import Repository
from carecall.store.recordings import forget_recordings
from carecall.store.tables import (
    AlertDeliveryRow,
    AlertRow,
    AttemptRow,
    CorrectionRow,
    DayRow,
    EvidenceRow,
    FindingRow,
    HistoryRow,
    MemoryRow,
    RecipientRow,
    ReportRow,
    TurnRow,
    UtcDateTime,
)

_AT_ONCE = 200  # calls or people in one transaction

Call = tuple[datetime, uuid.UUID]  # when it was planned, and its id


@dataclass(frozen=True, slots=True)
class Limits:
    """How long each kind is kept. Sentences that are no longer true go with the transcripts."""

    transcripts: timedelta
    reports: timedelta


class Retention(Repository):
    def clear_calls(self, limits: Limits, after: Call | None = None) -> Call | None:
        """Deletes what is past its time of the next calls after ``after``. Gives the last of them; None at the end.

        Transcripts go with the words that findings and alerts quote; reports with findings, corrections and alerts.
        A report with an alert that nobody has resolved stays.
        """
        now = self._database.now()
        with self._database.reading() as session:
            calls = _calls(session, now - min(limits.transcripts, limits.reports), after)
            if not calls:
                return None
            talks = _there(session, TurnRow, _older(calls, now - limits.transcripts))
            reports = _there(session, ReportRow, _older(calls, now - limits.reports))
        if talks or reports:
            with self._database.writing() as session:
                held = select(AlertRow.attempt_id).where(
                    col(AlertRow.attempt_id).in_(reports), col(AlertRow.settled_at).is_(None)
                )
                waiting = session.exec(held).all()
                reports = [attempt_id for attempt_id in reports if attempt_id not in waiting]
                _delete_words(session, talks)
                _delete_reports(session, reports)
                if talks or reports:
                    counts = {"transcripts": len(talks), "reports": len(reports)}
                    note(session, self._database, PROGRAM, "retention.cleared", "database", **counts)
        return calls[-1]

    def clear_people(self, limits: Limits, after: uuid.UUID | None = None) -> uuid.UUID | None:
        """The same for what hangs on people: history and days with the reports, ended memories with the transcripts."""
        now = self._database.now()
        with self._database.reading() as session:
            query = select(RecipientRow.id).order_by(col(RecipientRow.id)).limit(_AT_ONCE)
            if after is not None:
                query = query.where(col(RecipientRow.id) > after)
            people = session.exec(query).all()
            if not people:
                return None
        history = (
            col(HistoryRow.recipient_id).in_(people),
            col(HistoryRow.at) < now - limits.reports,
        )
        days = (col(DayRow.recipient_id).in_(people), col(DayRow.day) < (now - limits.reports).date())
        memories = (col(MemoryRow.recipient_id).in_(people), col(MemoryRow.ended_at) < now - limits.transcripts)
        parts = ((HistoryRow, history), (DayRow, days), (MemoryRow, memories))
        with self._database.reading() as session:
            counts = {
                row.__tablename__: session.exec(select(func.count()).select_from(row).where(*past)).one()
                for row, past in parts
            }
        if any(counts.values()):
            with self._database.writing() as session:
                for row, past in parts:
                    session.exec(delete(row).where(*past))
                note(session, self._database, PROGRAM, "retention.cleared", "database", **counts)
        return people[-1]

    def recordings_gone(self, attempt_ids: Sequence[uuid.UUID]) -> None:
        """Notes that the audio of these calls was deleted, and deletes what it was sealed with."""
        with self._database.writing() as session:
            forget_recordings(session, attempt_ids)
            note(session, self._database, PROGRAM, "retention.cleared", "database", recordings=len(attempt_ids))


def _calls(session: Session, before: datetime, after: Call | None) -> list[Call]:
    """The next ended calls, oldest first."""
    order = tuple_(col(AttemptRow.planned_at), col(AttemptRow.id))
    query = select(AttemptRow.planned_at, AttemptRow.id).where(
        col(AttemptRow.planned_at) < before, col(AttemptRow.ended_at).is_not(None)
    )
    if after is not None:
        query = query.where(order > tuple_(literal(after[0], UtcDateTime()), literal(after[1], Uuid())))
    query = query.order_by(col(AttemptRow.planned_at), col(AttemptRow.id)).limit(_AT_ONCE)
    return [(planned_at, attempt_id) for planned_at, attempt_id in session.exec(query)]


def _older(calls: Sequence[Call], before: datetime) -> list[uuid.UUID]:
    return [attempt_id for planned_at, attempt_id in calls if planned_at < before]


def _there(session: Session, row: type[TurnRow] | type[ReportRow], attempt_ids: Sequence[uuid.UUID]) -> list[uuid.UUID]:
    """Those of the calls that have such rows."""
    return list(session.exec(select(row.attempt_id).where(col(row.attempt_id).in_(attempt_ids)).distinct()))


def _delete_words(session: Session, attempt_ids: Sequence[uuid.UUID]) -> None:
    """What was said in the calls, and where it is quoted."""
    _delete_evidence(session, attempt_ids)
    session.exec(delete(TurnRow).where(col(TurnRow.attempt_id).in_(attempt_ids)))


def _delete_reports(session: Session, attempt_ids: Sequence[uuid.UUID]) -> None:
    _delete_evidence(session, attempt_ids)
    alerts = select(AlertRow.id).where(col(AlertRow.attempt_id).in_(attempt_ids))
    session.exec(delete(AlertDeliveryRow).where(col(AlertDeliveryRow.alert_id).in_(alerts)))
    for row in (AlertRow, CorrectionRow, FindingRow, ReportRow):
        session.exec(delete(row).where(col(row.attempt_id).in_(attempt_ids)))


def _delete_evidence(session: Session, attempt_ids: Sequence[uuid.UUID]) -> None:
    findings = select(FindingRow.id).where(col(FindingRow.attempt_id).in_(attempt_ids))
    alerts = select(AlertRow.id).where(col(AlertRow.attempt_id).in_(attempt_ids))
    of_calls = or_(col(EvidenceRow.finding_id).in_(findings), col(EvidenceRow.alert_id).in_(alerts))
    session.exec(delete(EvidenceRow).where(of_calls))
