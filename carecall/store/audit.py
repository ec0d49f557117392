"""The audit trail: who did what to which record. It is added to and read, never changed."""

from sqlmodel import Session, col, select

from carecall.store.engine import Database
from carecall.store.tables import AuditRow

PROGRAM = "carecall"  # the actor of what no user asked for

Detail = str | int | float | bool | None


def note(session: Session, database: Database, actor: str, action: str, subject: str, **details: Detail) -> None:
    """An entry in the transaction that does what it tells of. ``details`` carry no personal data."""
    session.add(AuditRow(at=database.now(), actor=actor, action=action, subject=subject, details=details))


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
