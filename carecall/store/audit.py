"""The audit trail: who did what to which record. It is added to and read, never changed."""

from collections.abc import Callable
from datetime import datetime

from sqlmodel import Session, col, select

from carecall.store import chain
from carecall.store.chain import Checked
from carecall.store.engine import Database
from carecall.store.tables import AuditRow

PROGRAM = "carecall"  # the actor of what no user asked for

Detail = str | int | float | bool | None


def note(session: Session, database: Database, actor: str, action: str, subject: str, **details: Detail) -> None:
    """An entry in the transaction that does what it tells of. ``details`` carry no personal data."""
    chain.wait(session, at=database.now(), actor=actor, action=action, subject=subject, details=details)


class Audit:
    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, actor: str, action: str, subject: str, **details: Detail) -> None:
        """An entry of its own, such as for a look at a record. ``subject`` is like ``recipient:ID``."""
        with self._database.writing() as session:
            note(session, self._database, actor, action, subject, **details)

    def of(self, subject: str) -> list[AuditRow]:
        """What happened to the record, oldest first."""
        with self._database.reading() as session:
            query = select(AuditRow).where(AuditRow.subject == subject).order_by(col(AuditRow.id))
            return list(session.exec(query))

    def check(self, *, seen: str = "", progress: Callable[[int], None] = lambda _rows: None) -> Checked:
        """Follows the chain of hashes through the whole trail. ``seen`` is a hash that was noted elsewhere."""
        with self._database.reading() as session:
            return chain.check(session, seen=seen, progress=progress)

    def newest_hash(self) -> str:
        """The end of the chain, to be noted outside of the database; empty before the first row."""
        with self._database.reading() as session:
            return chain.newest(session)

    def forget(self, before: datetime) -> int:
        """Deletes some of the oldest rows that are older than the moment. Gives their number, 0 when all are gone."""
        with self._database.writing() as session:
            return chain.forget(session, before)
