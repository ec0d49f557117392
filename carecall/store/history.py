"""The history of a recipient's record: what was done to it and by whom, for people to read."""

import uuid

from sqlmodel import Session

from carecall.domain.viewer import Viewer
from carecall.store.audit import Detail
from carecall.store.engine import Database
from carecall.store.tables import HistoryKind, HistoryRow


def remember(
    session: Session,
    database: Database,
    recipient_id: uuid.UUID,
    actor: Viewer | str,
    kind: HistoryKind,
    *,
    subject: str = "",
    words: str = "",
    id_: uuid.UUID | None = None,
    **details: Detail,
) -> None:
    """An entry in the transaction that does what it tells of.

    ``actor`` is the viewer, or the part of the program. ``subject`` is like ``alert:ID``. ``words`` are what somebody
    wrote, and are encrypted; ``details`` carry nothing personal. ``id_`` is the entry's id, when it has one before.
    """
    by = actor if isinstance(actor, str) else str(actor.user_id)
    session.add(
        HistoryRow(
            id=id_ or uuid.uuid4(),
            recipient_id=recipient_id,
            at=database.now(),
            actor=by,
            kind=kind,
            subject=subject,
            words=words,
            details=details,
        )
    )
