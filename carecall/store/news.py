"""News for open screens: ids of what has changed, in the order in which it happened."""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, func
from sqlmodel import Session, col, select

from carecall.domain.viewer import Viewer
from carecall.store.engine import Repository
from carecall.store.tables import NewsRow

KEPT_FOR = timedelta(hours=1)
_MOST = 1000


@dataclass(frozen=True, slots=True)
class News:
    """Something has changed."""

    id: int  # rises
    organisation_id: uuid.UUID
    kind: str  # alert, attempt, task, turn
    subject: uuid.UUID  # of a turn: its attempt


class NewsOfAll(Repository):
    def newest(self) -> int:
        """The id of the newest, 0 without any."""
        with self._database.reading() as session:
            return newest_news(session)

    def after(self, last: int) -> list[News]:
        """What has come after the id, oldest first, of all organisations; a thousand at most."""
        with self._database.reading() as session:
            query = select(NewsRow).where(col(NewsRow.id) > last).order_by(col(NewsRow.id)).limit(_MOST)
            return [_news(row) for row in session.exec(query)]

    def missed(self, viewer: Viewer, last: int) -> list[News] | None:
        """What the viewer's organisation has news of since the id; None when some of it is not kept any more."""
        with self._database.reading() as session:
            oldest = session.exec(select(func.min(NewsRow.id))).one()
            newest = session.exec(select(func.max(NewsRow.id))).one() or 0
            if last > newest or (oldest is not None and last < oldest - 1) or newest - last > _MOST:
                return None
            query = select(NewsRow).where(col(NewsRow.id) > last, NewsRow.organisation_id == viewer.organisation_id)
            return [_news(row) for row in session.exec(query.order_by(col(NewsRow.id)))]

    def forget(self) -> None:
        """Lets go of what is older than ``KEPT_FOR``, but for the newest, after which screens count."""
        with self._database.writing() as session:
            newest = session.exec(select(func.max(NewsRow.id))).one() or 0
            old = (col(NewsRow.at) < self._database.now() - KEPT_FOR) & (col(NewsRow.id) < newest)
            session.connection().execute(delete(NewsRow).where(old))


def newest_news(session: Session) -> int:
    """The id of the newest that the transaction sees, 0 without any."""
    return session.exec(select(func.max(NewsRow.id))).one() or 0


def _news(row: NewsRow) -> News:
    return News(row.id or 0, row.organisation_id, row.kind, row.subject)
