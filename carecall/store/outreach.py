"""Outreach as the rest of the program sees it: planning, dialing, tasks, alerts on their way, and who does the work."""

from datetime import timedelta

from sqlmodel import col, delete, select

from carecall.store.deliveries import Deliveries, Delivery
from carecall.store.dialing import Dialing, DialStart, Followed, Fresh, NotNow, Over, Placed, Unknown
from carecall.store.engine import Repository, insert_new
from carecall.store.escalation import Escalations
from carecall.store.inbound import Inbound
from carecall.store.planning import Planning
from carecall.store.tables import WebhookReceiptRow, WorkerRow
from carecall.store.tasks import Tasks

__all__ = [
    "Delivery",
    "DialStart",
    "Followed",
    "Fresh",
    "NotNow",
    "Outreach",
    "Over",
    "Placed",
    "Unknown",
]

_RECEIPTS_FOR = timedelta(days=2)


class Workers(Repository):
    def sign_of_life(self, worker: str) -> None:
        """This worker is there."""
        with self._database.writing() as session:
            row = WorkerRow(name=worker, seen_at=self._database.now())
            if not insert_new(session, row):
                session.get_one(WorkerRow, worker).seen_at = row.seen_at

    def silent_workers(self, for_s: float) -> list[str]:
        """Those that have given no sign of life for so many seconds."""
        with self._database.reading() as session:
            latest = self._database.now() - timedelta(seconds=for_s)
            return list(session.exec(select(WorkerRow.name).where(WorkerRow.seen_at < latest)))

    def forget_worker(self, worker: str) -> None:
        """Its work has been taken over, or it has ended in order."""
        with self._database.writing() as session:
            session.exec(delete(WorkerRow).where(col(WorkerRow.name) == worker))


class Receipts(Repository):
    def receive_once(self, digest: str) -> bool:
        """Notes a webhook's digest for two days. False when it was noted before."""
        with self._database.writing() as session:
            now = self._database.now()
            session.exec(delete(WebhookReceiptRow).where(col(WebhookReceiptRow.received_at) < now - _RECEIPTS_FOR))
            return insert_new(session, WebhookReceiptRow(digest=digest, received_at=now))

    def received(self, digest: str) -> bool:
        """Whether the webhook's digest was noted."""
        with self._database.reading() as session:
            return session.get(WebhookReceiptRow, digest) is not None


class Outreach(Planning, Dialing, Inbound, Tasks, Deliveries, Escalations, Workers, Receipts):
    """All of them on one database."""
