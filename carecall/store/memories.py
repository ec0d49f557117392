"""What is remembered of a recipient: sentences that stand until they are replaced or ended."""

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from sqlmodel import Session, col, delete, func, select

from carecall.errors import StoreConflict
from carecall.store.audit import PROGRAM, note
from carecall.store.engine import Database
from carecall.store.tables import MemoryRow


@dataclass(frozen=True, slots=True)
class Append:
    """Something new."""

    text: str
    topic: str = ""
    source_turn: int | None = None  # index of the turn it was said in


@dataclass(frozen=True, slots=True)
class Replace:
    """What takes the place of an outdated sentence."""

    memory_id: uuid.UUID
    text: str
    topic: str = ""
    source_turn: int | None = None  # index of the turn it was said in
    followed_up_on: datetime.date | None = None  # when a call asked about the old one


@dataclass(frozen=True, slots=True)
class End:
    """A sentence is no longer true, and nothing takes its place."""

    memory_id: uuid.UUID


@dataclass(frozen=True, slots=True)
class FollowedUp:
    """A call asked about a sentence that still stands."""

    memory_id: uuid.UUID
    on: datetime.date


@dataclass(frozen=True, slots=True)
class Forget:
    """The recipient does not want a sentence, nor what it replaced, to be remembered: they are deleted."""

    memory_id: uuid.UUID


Operation = Append | Replace | End | FollowedUp | Forget


class Memories:
    def __init__(self, database: Database) -> None:
        self._database = database

    def standing(self, recipient_id: uuid.UUID) -> list[MemoryRow]:
        """What is remembered now, oldest first."""
        with self._database.reading() as session:
            query = select(MemoryRow).where(MemoryRow.recipient_id == recipient_id, col(MemoryRow.ended_at).is_(None))
            return list(session.exec(query.order_by(col(MemoryRow.created_at), col(MemoryRow.id))))

    def apply(
        self, recipient_id: uuid.UUID, operations: Sequence[Operation], *, source_attempt_id: uuid.UUID | None = None
    ) -> None:
        """All operations or none, in one transaction.

        Raises StoreConflict when a sentence to replace, end or mark does not stand, or is another person's.
        """
        with self._database.writing() as session:
            for operation in operations:
                carry_out(session, self._database, recipient_id, operation, source_attempt_id=source_attempt_id)

    def forget(self, recipient_id: uuid.UUID, *, actor: str = PROGRAM) -> int:
        """Deletes all that is and was remembered of the person. Gives the number of sentences."""
        with self._database.writing() as session:
            query = select(func.count()).select_from(MemoryRow).where(col(MemoryRow.recipient_id) == recipient_id)
            sentences = session.exec(query).one()
            session.exec(delete(MemoryRow).where(col(MemoryRow.recipient_id) == recipient_id))
            note(session, self._database, actor, "memory.forgotten", f"recipient:{recipient_id}", sentences=sentences)
            return sentences


def carry_out(
    session: Session,
    database: Database,
    recipient_id: uuid.UUID,
    operation: Operation,
    *,
    source_attempt_id: uuid.UUID | None = None,
    actor: str = PROGRAM,
) -> None:
    """One operation in a transaction that the caller has begun.

    Raises StoreConflict when a sentence to replace, end, mark or forget does not stand, or is another person's.
    """
    now = database.now()
    match operation:
        case Append():
            _add(session, recipient_id, operation, source_attempt_id, now)
        case Replace(memory_id):
            old = _end(session, recipient_id, memory_id, now)
            old.replaced_by = _add(session, recipient_id, operation, source_attempt_id, now).id
        case End(memory_id):
            _end(session, recipient_id, memory_id, now)
        case FollowedUp(memory_id, on):
            _standing(session, recipient_id, memory_id).followed_up_on = on
        case Forget(memory_id):
            sentences = _forget(session, _standing(session, recipient_id, memory_id))
            note(session, database, actor, "memory.forgotten", f"recipient:{recipient_id}", sentences=sentences)
        case _:
            assert_never(operation)


def _add(
    session: Session,
    recipient_id: uuid.UUID,
    new: Append | Replace,
    source_attempt_id: uuid.UUID | None,
    now: datetime.datetime,
) -> MemoryRow:
    row = MemoryRow(
        recipient_id=recipient_id,
        text=new.text,
        topic=new.topic,
        source_attempt_id=source_attempt_id,
        source_turn=new.source_turn,
        followed_up_on=new.followed_up_on if isinstance(new, Replace) else None,
        created_at=now,
    )
    session.add(row)
    session.flush()  # a replaced sentence points at this row
    return row


def _end(session: Session, recipient_id: uuid.UUID, memory_id: uuid.UUID, now: datetime.datetime) -> MemoryRow:
    row = _standing(session, recipient_id, memory_id)
    row.ended_at = now
    return row


def _forget(session: Session, row: MemoryRow) -> int:
    """Deletes the sentence and those that it took the place of. Gives their number."""
    older = select(MemoryRow).where(MemoryRow.recipient_id == row.recipient_id, MemoryRow.replaced_by == row.id)
    sentences = sum(_forget(session, each) for each in session.exec(older).all())
    session.delete(row)
    session.flush()
    return sentences + 1


def _standing(session: Session, recipient_id: uuid.UUID, memory_id: uuid.UUID) -> MemoryRow:
    row = session.get(MemoryRow, memory_id, with_for_update=True)
    if row is None or row.recipient_id != recipient_id or row.ended_at is not None:
        raise StoreConflict(f"Memory {memory_id} does not stand any more.")
    return row
