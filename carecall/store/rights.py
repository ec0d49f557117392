"""A person's rights to what is kept of them: to have a copy of all of it, and to have it erased.

What belongs to a person is found by the foreign keys that lead to their row, so that a new table is covered.
"""

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, delete, func, or_, select
from sqlmodel import Session, col

from carecall.domain.triage import Urgency
from carecall.domain.viewer import Viewer
from carecall.errors import StoreError, StoreNotFound
from carecall.store.audit import Detail, note
from carecall.store.engine import Database, Repository
from carecall.store.history import remember
from carecall.store.recordings import forget_recordings, key_of, recorded_calls
from carecall.store.sound_file import SoundFile
from carecall.store.tables import LIVE, AlertRow, AttemptRow, AuditRow, EnrollmentRow, HistoryKind, RecipientRow, Row

_RECIPIENT: Table = getattr(RecipientRow, "__table__")  # noqa: B009
_INTERNAL = frozenset(  # of the machinery, or of our staff
    {
        *("organisation_id", "name_index", "phone_index", "holder", "seen_at", "sequence", "recording_path"),
        *("user_id", "actor", "acknowledged_by", "assigned_to", "settled_by", "digest"),
    }
)
_LEFT_OUT = frozenset({"stream_token", "alert_delivery", "recording_key"})  # of our own parts, for each other


class PersonInCall(StoreError):
    """Nothing is erased while the person is in a call."""

    def __init__(self) -> None:
        super().__init__("This person is in a call now: try again when it has ended.")


class EmergencyOpen(StoreError):
    """Nothing is erased while somebody has to see to the person."""

    def __init__(self) -> None:
        super().__init__("An emergency of this person is open: resolve its alert first.")


@dataclass(frozen=True, slots=True)
class PersonFile:
    """All that is kept of one person: the rows of each table, ready for JSON, and the recordings by their call."""

    tables: dict[str, list[dict[str, Any]]]
    recordings: dict[uuid.UUID, SoundFile]


@dataclass(frozen=True, slots=True)
class Erased:
    """What went, by table, and whether the number stays so that it is not called again."""

    rows: dict[str, int]
    recordings: int
    number_kept: bool


class Rights(Repository):
    """For the operator, who may act for every organisation."""

    def copy_of(self, recipient_id: uuid.UUID, *, actor: str) -> PersonFile:
        """All that is kept of the person. Raises StoreNotFound."""
        with self._database.writing() as session:
            return _copy(session, self._database, _one(session, recipient_id), actor)

    def erase(self, recipient_id: uuid.UUID, *, actor: str) -> Erased:
        """Deletes all that is kept of the person; of who opted out, the number stays. Cannot be undone.

        Raises StoreNotFound; PersonInCall and EmergencyOpen while it cannot be.
        """
        with self._database.writing() as session:
            erased = _erase(session, self._database, _one(session, recipient_id), actor)
        self._database.tidy()
        return erased


class CareRights(Repository):
    """The same on behalf of a viewer, for people of their organisation."""

    def copy_of_person(self, viewer: Viewer, recipient_id: uuid.UUID) -> PersonFile:
        with self._database.writing() as session:
            return _copy(session, self._database, _one(session, recipient_id, viewer), str(viewer.user_id))

    def erase_person(self, viewer: Viewer, recipient_id: uuid.UUID) -> Erased:
        with self._database.writing() as session:
            erased = _erase(session, self._database, _one(session, recipient_id, viewer), str(viewer.user_id))
        self._database.tidy()
        return erased

    def delete_recordings(self, viewer: Viewer, recipient_id: uuid.UUID) -> int:
        """Deletes the audio of the person's calls but for one that goes on. Gives of how many. Raises StoreNotFound."""
        with self._database.writing() as session:
            person = _one(session, recipient_id, viewer)
            recordings = recorded_calls(session, person.id, ended=True)
            if recordings:
                forget_recordings(session, recordings)
                _delete_files(recordings.values())
                kind, count = HistoryKind.DETAILS_CHANGED, len(recordings)
                remember(session, self._database, person.id, viewer, kind, recording="deleted", calls=count)
                action = "recipient.recordings_deleted"
                note(session, self._database, str(viewer.user_id), action, f"recipient:{person.id}", calls=count)
        self._database.tidy()
        return len(recordings)


def _delete_files(recordings: Iterable[Path]) -> None:
    """Those on this machine; the others are noise from now on, where they were sealed."""
    for file in recordings:
        file.unlink(missing_ok=True)


def _one(session: Session, recipient_id: uuid.UUID, viewer: Viewer | None = None) -> RecipientRow:
    row = session.get(RecipientRow, recipient_id, with_for_update=True)
    if row is None or (viewer is not None and row.organisation_id != viewer.organisation_id):
        raise StoreNotFound("There is no such person.")
    return row


def _copy(session: Session, database: Database, person: RecipientRow, actor: str) -> PersonFile:
    tables = {
        table.name: [_as_json(row) for row in session.execute(_rows(table, person.id)).mappings()]
        for table in _owned()
        if table.name not in _LEFT_OUT
    }
    seen = select(col(AuditRow.at), col(AuditRow.action)).where(col(AuditRow.subject) == f"recipient:{person.id}")
    tables["audit"] = [_as_json(row) for row in session.execute(seen.order_by(col(AuditRow.id))).mappings()]
    calls = recorded_calls(session, person.id)
    recordings = {attempt_id: SoundFile(path, key_of(session, attempt_id)) for attempt_id, path in calls.items()}
    remember(session, database, person.id, actor, HistoryKind.EXPORTED)
    note(session, database, actor, "recipient.exported", f"recipient:{person.id}", recordings=len(recordings))
    return PersonFile(tables, recordings)


def _erase(session: Session, database: Database, person: RecipientRow, actor: str) -> Erased:
    mine = _belongs(_table(AttemptRow), person.id)
    live = select(col(AttemptRow.id)).where(mine, col(AttemptRow.ended_at).is_(None), col(AttemptRow.state).in_(LIVE))
    if session.execute(live).first() is not None:
        raise PersonInCall
    urgent = select(col(AlertRow.id)).where(
        _belongs(_table(AlertRow), person.id),
        col(AlertRow.urgency) == Urgency.EMERGENCY,
        col(AlertRow.settled_at).is_(None),
    )
    if session.execute(urgent).first() is not None:
        raise EmergencyOpen
    recordings = recorded_calls(session, person.id)
    opted_out = col(EnrollmentRow.opted_out_at).is_not(None)
    of_person = col(EnrollmentRow.recipient_id) == person.id
    number_kept = session.execute(select(col(EnrollmentRow.id)).where(of_person, opted_out)).first() is not None
    rows: dict[str, int] = {}
    for table in reversed(_owned()):
        going = _belongs(table, person.id)
        if number_kept and table is _table(EnrollmentRow):
            going &= ~opted_out
        if number_kept and table is _RECIPIENT:
            continue
        rows[table.name] = session.execute(select(func.count()).select_from(table).where(going)).scalar_one()
        session.connection().execute(delete(table).where(going))
    if number_kept:
        person.name, person.notes, person.name_index = "", "", database.cipher.name_index("")
        person.opens = person.closes = person.recording_consent_at = None
        person.patience_s = 0.0
    else:
        session.expunge(person)
    _delete_files(recordings.values())
    counts: dict[str, Detail] = {name: rows.get(name, 0) for name in ("attempt", "turn", "finding", "alert", "memory")}
    subject = f"recipient:{person.id}"
    note(session, database, actor, "recipient.erased", subject, number_kept=number_kept, **counts)
    return Erased(rows, len(recordings), number_kept)


def _rows(table: Table, recipient_id: uuid.UUID) -> Any:
    shown = [column for column in table.columns if column.name not in _INTERNAL]
    return select(*shown).where(_belongs(table, recipient_id)).order_by(*table.primary_key)


@cache
def _owned() -> tuple[Table, ...]:
    """The tables that hold something of a person, each after those that it points at."""
    owned = [_RECIPIENT]
    for table in Row.metadata.sorted_tables:
        if table is not _RECIPIENT and _links(table, owned):
            owned.append(table)
    return tuple(owned)


def _links(table: Table, owned: Iterable[Table]) -> list[tuple[Column[Any], Column[Any]]]:
    """The columns by which a row belongs to somebody, each with the key that it points at: the person's, if it can."""
    links = [
        (key.parent, key.column)
        for key in table.foreign_keys
        if key.column.table in owned and key.column.table is not table and key.column.primary_key
    ]
    return [link for link in links if link[1].table is _RECIPIENT] or links


def _belongs(table: Table, recipient_id: uuid.UUID) -> ColumnElement[bool]:
    if table is _RECIPIENT:
        return col(RecipientRow.id) == recipient_id
    return or_(
        *(
            column == recipient_id
            if key.table is _RECIPIENT
            else column.in_(select(key).where(_belongs(key.table, recipient_id)))
            for column, key in _links(table, _owned())
        )
    )


def _table(rows: type[Row]) -> Table:
    table: Table = getattr(rows, "__table__")  # noqa: B009
    return table


_WRITTEN: dict[type, Callable[[Any], Any]] = {
    uuid.UUID: str,
    datetime: datetime.isoformat,
    date: date.isoformat,
    time: time.isoformat,
}


def _as_json(row: Any) -> dict[str, Any]:
    return {name: _written(value) for name, value in row.items()}


def _written(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return value.value
    write = _WRITTEN.get(type(value))
    return write(value) if write else value
