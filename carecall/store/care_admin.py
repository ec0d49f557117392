"""What administrators see: the audit trail of their organisation, and how the program fares."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from carecall.domain.viewer import Viewer
from carecall.store.audit import Detail, note
from carecall.store.engine import Repository, newest_revision
from carecall.store.tables import (
    DEFAULT_ORGANISATION,
    AlertDeliveryRow,
    AlertRow,
    ApiTokenRow,
    AttemptRow,
    AuditRow,
    CampaignRow,
    EnrollmentRow,
    RecipientRow,
    TaskRow,
    UserRow,
    WorkerRow,
)

_LOOKED_AT = 500  # entries at once; those of other organisations among them are passed over
_LOOKS = 20  # for one page, which may therefore hold fewer entries than it could
_WORKER_SILENT = timedelta(seconds=90)


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are asked for; what is empty does not matter."""

    actor: str = ""  # a user's id, or the part of the program
    action: str = ""  # or how it begins, such as recipient.
    subject: str = ""
    since: datetime | None = None
    until: datetime | None = None  # before this moment


@dataclass(frozen=True, slots=True)
class AuditEntry:
    id: int
    at: datetime
    actor: str
    actor_name: str  # empty for what is no user
    action: str
    subject: str
    details: Mapping[str, Detail]


@dataclass(frozen=True, slots=True)
class AuditPage:
    entries: tuple[AuditEntry, ...]  # newest first
    older: int | None  # ``before`` of the next page; None: these are the last


@dataclass(frozen=True, slots=True)
class WorkerLife:
    name: str
    seen_at: datetime
    alive: bool


@dataclass(frozen=True, slots=True)
class Fare:
    """How the program fares, over all organisations: counts, and nothing about anybody."""

    revision: str | None
    newest: str
    workers: tuple[WorkerLife, ...]
    undelivered: int  # alerts that wait for a channel
    undelivered_since: datetime | None
    delivery_error: str  # of the one that waits longest
    unacknowledged: int  # alerts that nobody has taken up
    unacknowledged_since: datetime | None


class CareAdmin(Repository):
    def audit_trail(
        self, viewer: Viewer, wanted: AuditFilter, *, before: int | None = None, size: int = 50
    ) -> AuditPage:
        """The entries about the organisation's records, and of its users, newest first."""
        entries: list[AuditRow] = []
        with self._database.reading() as session:
            query = _filtered(select(AuditRow), wanted).order_by(col(AuditRow.id).desc()).limit(_LOOKED_AT)
            for _ in range(_LOOKS):
                rows = session.exec(query if before is None else query.where(col(AuditRow.id) < before)).all()
                theirs = _of_organisation(session, rows, viewer.organisation_id)
                for row in theirs[: size - len(entries)]:
                    entries.append(row)
                    before = row.id
                if len(entries) == size:
                    break
                if len(rows) < _LOOKED_AT:
                    before = None
                    break
                before = rows[-1].id
            names = _names(session, {row.actor for row in entries})
        return AuditPage(
            tuple(
                AuditEntry(
                    row.id or 0, row.at, row.actor, names.get(row.actor, ""), row.action, row.subject, row.details
                )
                for row in entries
            ),
            before,
        )

    def audit_exported(self, viewer: Viewer, entries: int) -> None:
        """Notes that the trail was taken out of the program."""
        with self._database.writing() as session:
            subject = f"organisation:{viewer.organisation_id}"
            note(session, self._database, str(viewer.user_id), "audit.exported", subject, entries=entries)

    def fare(self, _viewer: Viewer) -> Fare:
        """How the program fares."""
        now = self._database.now()
        with self._database.reading() as session:
            workers = session.exec(select(WorkerRow).order_by(col(WorkerRow.name))).all()
            waiting = col(AlertDeliveryRow.next_try_at).is_not(None)
            undelivered, undelivered_since = session.exec(
                select(func.count(), func.min(AlertRow.raised_at))
                .select_from(AlertDeliveryRow)
                .join(AlertRow, col(AlertRow.id) == AlertDeliveryRow.alert_id)
                .where(waiting)
            ).one()
            errors = select(AlertDeliveryRow.error).where(waiting, AlertDeliveryRow.error != "")
            error = session.exec(errors.order_by(col(AlertDeliveryRow.tries).desc()).limit(1)).first()
            unacknowledged, unacknowledged_since = session.exec(
                select(func.count(), func.min(AlertRow.raised_at)).where(
                    col(AlertRow.acknowledged_at).is_(None), col(AlertRow.settled_at).is_(None)
                )
            ).one()
        return Fare(
            self._database.revision(),
            newest_revision(),
            tuple(WorkerLife(row.name, row.seen_at, now - row.seen_at < _WORKER_SILENT) for row in workers),
            undelivered,
            undelivered_since,
            error or "",
            unacknowledged,
            unacknowledged_since,
        )


def _filtered(query: SelectOfScalar[AuditRow], wanted: AuditFilter) -> SelectOfScalar[AuditRow]:
    if wanted.actor:
        query = query.where(AuditRow.actor == wanted.actor)
    if wanted.action:
        query = query.where(col(AuditRow.action).startswith(wanted.action, autoescape=True))
    if wanted.subject:
        query = query.where(AuditRow.subject == wanted.subject)
    if wanted.since is not None:
        query = query.where(col(AuditRow.at) >= wanted.since)
    if wanted.until is not None:
        query = query.where(col(AuditRow.at) < wanted.until)
    return query


def _of_organisation(session: Session, rows: Iterable[AuditRow], organisation_id: uuid.UUID) -> list[AuditRow]:
    """Those whose record belongs to the organisation; of what belongs to none, those by its users.

    What neither tells, such as the work of the operator at the terminal, is the first organisation's.
    """
    rows = list(rows)
    owners = _owners(session, {row.subject for row in rows} | {f"user:{row.actor}" for row in rows})
    return [
        row
        for row in rows
        if (owners.get(row.subject) or owners.get(f"user:{row.actor}") or DEFAULT_ORGANISATION) == organisation_id
    ]


def _owners(session: Session, subjects: Iterable[str]) -> dict[str, uuid.UUID]:
    """The organisation of each record, of those that are known."""
    wanted: dict[str, set[uuid.UUID]] = defaultdict(set)
    for subject in subjects:
        kind, _, id_ = subject.partition(":")
        try:
            wanted[kind].add(uuid.UUID(id_))
        except ValueError:
            continue
    owners = {f"organisation:{id_}": id_ for id_ in wanted.pop("organisation", ())}
    for kind, ids in wanted.items():
        if (query := _OWNERS.get(kind)) is not None:
            id_column = query.selected_columns[0]
            found = session.connection().execute(query.where(id_column.in_(ids)))
            owners |= {f"{kind}:{id_}": owner for id_, owner in found}
    return owners


_OF_PERSON = col(RecipientRow.organisation_id)
_OWNERS = {
    "user": select(UserRow.id, UserRow.organisation_id),
    "api_token": select(ApiTokenRow.id, ApiTokenRow.organisation_id),
    "campaign": select(CampaignRow.id, CampaignRow.organisation_id),
    "recipient": select(RecipientRow.id, _OF_PERSON),
    "enrollment": select(EnrollmentRow.id, _OF_PERSON).join(
        RecipientRow, col(RecipientRow.id) == EnrollmentRow.recipient_id
    ),
    "attempt": select(AttemptRow.id, _OF_PERSON).join(RecipientRow, col(RecipientRow.id) == AttemptRow.recipient_id),
    "task": select(TaskRow.id, _OF_PERSON).join(RecipientRow, col(RecipientRow.id) == TaskRow.recipient_id),
    "alert": select(AlertRow.id, _OF_PERSON)
    .join(AttemptRow, col(AttemptRow.id) == AlertRow.attempt_id)
    .join(RecipientRow, col(RecipientRow.id) == AttemptRow.recipient_id),
}


def _names(session: Session, actors: Iterable[str]) -> dict[str, str]:
    """What the users among the actors are called, by their ids as text."""
    ids = set()
    for actor in actors:
        try:
            ids.add(uuid.UUID(actor))
        except ValueError:
            continue
    users = session.exec(select(UserRow).where(col(UserRow.id).in_(ids)))
    return {str(user.id): user.name or user.email for user in users}
