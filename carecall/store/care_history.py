"""The history of everything that happened to a recipient: entries, calls, and what the audit trail alone knows."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, or_
from sqlmodel import Session, col, select

from carecall.domain.attempt import AttemptState
from carecall.domain.report import Outcome
from carecall.domain.triage import Urgency
from carecall.domain.viewer import Viewer
from carecall.store.care_call import user_names
from carecall.store.care_recipient import enrollments_of, the_recipient
from carecall.store.engine import Repository
from carecall.store.scope import the
from carecall.store.tables import AttemptRow, AuditRow, HistoryKind, HistoryRow, ReportRow


class Happening(StrEnum):
    """Where an entry of the history of everything comes from. The order ranks those of the same moment."""

    CALL = "call"
    ENTRY = "entry"
    RECORD = "record"  # an event of the audit trail that nobody wrote an entry about


_RANK = {source: rank for rank, source in enumerate(Happening)}


class HistoryFilter(StrEnum):
    ALL = "all"
    CALLS = "calls"
    WORK = "work"
    MEMORY = "memory"
    RECORD = "record"  # consent, campaigns, details
    ACCESS = "access"  # who looked


@dataclass(frozen=True, slots=True)
class HistoryKey:
    """Where a page of the history goes on."""

    at: datetime
    rank: int
    id: str

    def __str__(self) -> str:
        return f"{self.at.isoformat()}~{self.rank}~{self.id}"

    @classmethod
    def parse(cls, text: str) -> "HistoryKey":
        """Raises ValueError."""
        at, rank, key = text.split("~")
        moment, source = datetime.fromisoformat(at), int(rank)
        if moment.tzinfo is None or source not in _RANK.values() or moment.year not in _YEARS:
            raise ValueError(text)
        if source != _RANK[Happening.RECORD]:
            return cls(moment, source, str(uuid.UUID(key)))
        if int(key) not in range(_MOST_ROWS):
            raise ValueError(text)
        return cls(moment, source, str(int(key)))


@dataclass(frozen=True, slots=True)
class HistoryItem:
    at: datetime
    source: Happening
    key: HistoryKey
    what: str  # a HistoryKind, the action of the audit trail, or the state of a call
    by: str  # a user's name, or the part of the program; empty for calls
    words: str = ""
    attempt_id: uuid.UUID | None = None
    outcome: Outcome | None = None
    urgency: Urgency | None = None
    details: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HistoryPage:
    items: tuple[HistoryItem, ...]  # newest first
    older: HistoryKey | None  # None: this is the end


_MOST_ROWS = 2**63
_YEARS = range(2000, 9000)  # that every time zone and database can hold
_ACCESS = ("recipient.viewed", "recipient.exported")
_USER = "________-____-____-____-____________"  # what users do has an entry of its own
_MEMORY_KINDS = (HistoryKind.MEMORY_ADDED, HistoryKind.MEMORY_EDITED, HistoryKind.MEMORY_FORGOTTEN)
_RECORD_KINDS = (
    HistoryKind.ENROLLED,
    HistoryKind.UNENROLLED,
    HistoryKind.CONSENT,
    HistoryKind.PAUSED,
    HistoryKind.RESUMED,
    HistoryKind.OPTED_OUT,
    HistoryKind.DETAILS_CHANGED,
    HistoryKind.EXPORTED,
)
_WORK_KINDS = tuple(kind for kind in HistoryKind if kind not in (*_MEMORY_KINDS, *_RECORD_KINDS))
_KINDS = {
    HistoryFilter.ALL: tuple(HistoryKind),
    HistoryFilter.WORK: _WORK_KINDS,
    HistoryFilter.MEMORY: _MEMORY_KINDS,
    HistoryFilter.RECORD: _RECORD_KINDS,
}


class CareHistory(Repository):
    def history(
        self,
        viewer: Viewer,
        recipient_id: uuid.UUID,
        kinds: HistoryFilter = HistoryFilter.ALL,
        *,
        before: HistoryKey | None = None,
        limit: int = 20,
    ) -> HistoryPage:
        """What happened to the person's record: entries, calls and what the audit trail alone knows, newest first.

        ``before`` is where an earlier page left off. Raises StoreNotFound.
        """
        with self._database.reading() as session:
            the(session, the_recipient(recipient_id), viewer)
            items: list[HistoryItem] = []
            if kinds in (HistoryFilter.ALL, HistoryFilter.CALLS):
                items += _calls(session, enrollments_of(session, recipient_id), before, limit + 1)
            if kinds in _KINDS:
                items += _entries(session, viewer, recipient_id, kinds, before, limit + 1)
            if kinds in (HistoryFilter.ALL, HistoryFilter.RECORD, HistoryFilter.ACCESS):
                items += _records(session, viewer, recipient_id, kinds, before, limit + 1)
        items.sort(key=lambda item: (item.at, item.key.rank, _order(item.key)), reverse=True)
        return HistoryPage(tuple(items[:limit]), items[limit - 1].key if len(items) > limit else None)


def _calls(
    session: Session, enrollments: Sequence[uuid.UUID], before: HistoryKey | None, limit: int
) -> list[HistoryItem]:
    query = (
        select(AttemptRow, ReportRow)
        .join(ReportRow, col(ReportRow.attempt_id) == AttemptRow.id, isouter=True)
        .where(col(AttemptRow.enrollment_id).in_(enrollments), AttemptRow.state != AttemptState.PLANNED)
        .where(*_earlier(before, Happening.CALL, AttemptRow.planned_at, AttemptRow.id))
        .order_by(col(AttemptRow.planned_at).desc(), col(AttemptRow.id).desc())
        .limit(limit)
    )
    return [
        HistoryItem(
            attempt.planned_at,
            Happening.CALL,
            HistoryKey(attempt.planned_at, _RANK[Happening.CALL], str(attempt.id)),
            attempt.state.value,
            "",
            attempt_id=attempt.id,
            outcome=report.outcome if report else None,
            urgency=report.urgency if report else None,
        )
        for attempt, report in session.exec(query)
    ]


def _entries(
    session: Session,
    viewer: Viewer,
    recipient_id: uuid.UUID,
    kinds: HistoryFilter,
    before: HistoryKey | None,
    limit: int,
) -> list[HistoryItem]:
    query = select(HistoryRow).where(HistoryRow.recipient_id == recipient_id)
    if kinds is not HistoryFilter.ALL:
        query = query.where(col(HistoryRow.kind).in_(_KINDS[kinds]))
    query = query.where(*_earlier(before, Happening.ENTRY, HistoryRow.at, HistoryRow.id))
    query = query.order_by(col(HistoryRow.at).desc(), col(HistoryRow.id).desc()).limit(limit)
    rows = session.exec(query).all()
    actors = _actors(session, viewer, [row.actor for row in rows])
    return [
        HistoryItem(
            row.at,
            Happening.ENTRY,
            HistoryKey(row.at, _RANK[Happening.ENTRY], str(row.id)),
            row.kind.value,
            actors[row.actor],
            row.words,
            _attempt_of(row.subject),
            details=row.details,
        )
        for row in rows
    ]


def _records(
    session: Session,
    viewer: Viewer,
    recipient_id: uuid.UUID,
    kinds: HistoryFilter,
    before: HistoryKey | None,
    limit: int,
) -> list[HistoryItem]:
    query = select(AuditRow).where(AuditRow.subject == f"recipient:{recipient_id}")
    if kinds is HistoryFilter.ACCESS:
        query = query.where(col(AuditRow.action).in_(_ACCESS))
    else:
        query = query.where(col(AuditRow.action).not_in(_ACCESS), col(AuditRow.actor).not_like(_USER))
    query = query.where(*_earlier(before, Happening.RECORD, AuditRow.at, AuditRow.id))
    rows = session.exec(query.order_by(col(AuditRow.at).desc(), col(AuditRow.id).desc()).limit(limit)).all()
    actors = _actors(session, viewer, [row.actor for row in rows])
    return [
        HistoryItem(
            row.at,
            Happening.RECORD,
            HistoryKey(row.at, _RANK[Happening.RECORD], str(row.id)),
            row.action,
            actors[row.actor],
        )
        for row in rows
    ]


def _earlier(key: HistoryKey | None, source: Happening, at: Any, row_id: Any) -> list[ColumnElement[bool]]:
    """The condition for what of a source stands after the key, going back in time."""
    if key is None:
        return []
    moment, own = col(at), col(row_id)
    if _RANK[source] < key.rank:
        return [moment <= key.at]
    if _RANK[source] > key.rank:
        return [moment < key.at]
    same = int(key.id) if source is Happening.RECORD else uuid.UUID(key.id)
    return [moment <= key.at, or_(moment < key.at, own < same)]


def _order(key: HistoryKey) -> tuple[int, str]:
    return (int(key.id), "") if key.rank == _RANK[Happening.RECORD] else (0, key.id)


def _actors(session: Session, viewer: Viewer, actors: Sequence[str]) -> dict[str, str]:
    """Names in place of users' ids; the parts of the program keep theirs."""
    ids = {actor: found for actor in actors if (found := _uuid(actor)) is not None}
    names = user_names(session, viewer, set(ids.values()))
    return {actor: names.get(ids[actor], "") if actor in ids else actor for actor in actors}


def _attempt_of(subject: str) -> uuid.UUID | None:
    kind, _, key = subject.partition(":")
    return _uuid(key) if kind == "attempt" else None


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
