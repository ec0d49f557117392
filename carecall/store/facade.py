"""The store as the rest of the program sees it: open it, and ask its repositories."""

import asyncio
import functools
import logging
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ParamSpec, Self, TypeVar

from carecall.domain.report import Report
from carecall.domain.triage import Alert, Urgency
from carecall.domain.turn import Turn
from carecall.errors import StoreError, StoreUnavailable
from carecall.store.api_tokens import ApiTokens
from carecall.store.attempts import Attempts
from carecall.store.audit import Audit
from carecall.store.calls import Calls
from carecall.store.care import Care
from carecall.store.days import Days
from carecall.store.engine import ESCALATE_AFTER, Database
from carecall.store.memories import Memories
from carecall.store.news import NewsOfAll
from carecall.store.outreach import Outreach
from carecall.store.people import People
from carecall.store.personal import Cipher
from carecall.store.recipients import Recipients
from carecall.store.recordings import Recordings
from carecall.store.rekey import Rekey
from carecall.store.retention import Retention
from carecall.store.rights import Rights
from carecall.store.stream_tokens import StreamTokens
from carecall.store.tables import Channel
from carecall.store.users import Users

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

P = ParamSpec("P")
T = TypeVar("T")


logger = logging.getLogger(__name__)

_RETRY_AFTER_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Store:
    """An open database. Its methods block for a few milliseconds; from a coroutine go through ``run``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.attempts = Attempts(database)
        self.calls = Calls(database)
        self.recipients = Recipients(database)
        self.outreach = Outreach(database)
        self.people = People(database)
        self.recordings = Recordings(database)
        self.memories = Memories(database)
        self.stream_tokens = StreamTokens(database)
        self.audit = Audit(database)
        self.keys = Rekey(database)
        self.retention = Retention(database)
        self.rights = Rights(database)
        self.days = Days(database)
        self.news = NewsOfAll(database)
        self.users = Users(database)
        self.care = Care(database)
        self.api_tokens = ApiTokens(database)

    @classmethod
    def open(
        cls,
        url: str,
        *,
        secret: str = "",
        upgrade: bool = False,
        clock: Callable[[], datetime] = _utc_now,
        alert_channels: Sequence[Channel] = (),
        escalate_after: Mapping[Urgency, timedelta] = ESCALATE_AFTER,
    ) -> Self:
        """Opens the database, made and migrated when ``upgrade`` is set. Without a secret nothing is encrypted.

        Alerts that cannot wait are put on their way to the channels as they are raised, and go on to the next person
        ``escalate_after`` that, unless acknowledged.
        Raises StoreError, with the mend, when it cannot be reached, is at another revision or has another key.
        """
        database = Database(url, Cipher(secret), clock, alert_channels, escalate_after)
        try:
            if upgrade:
                database.upgrade()
            database.check()
        except BaseException:
            database.close()
            raise
        return cls(database)

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls a method of a repository off the event loop: ``await store.run(store.calls.finish, id, report)``."""
        return await self._database.run(call, *args, **kwargs)

    @property
    def holder(self) -> str:
        """What this process is called where a call says who holds it."""
        return self._database.holder

    def now(self) -> datetime:
        """The moment by the store's clock."""
        return self._database.now()

    async def reachable(self, within_s: float = 2.0) -> bool:
        """Whether the database answers within so many seconds."""
        try:
            async with asyncio.timeout(within_s):
                await self.run(self._database.revision)
        except (StoreError, TimeoutError):
            return False
        return True

    def close(self) -> None:
        """Waits for what is being written, then lets go of the database."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class CallJournal:
    """Writes a call down while it happens: each method returns when what it was given is on the disk.

    While the database cannot be used the call goes on: what was to be written is kept, and written in order as soon as
    it can be, at the latest with the report.
    """

    def __init__(self, store: Store, attempt_id: uuid.UUID) -> None:
        self._store = store
        self._attempt_id = attempt_id
        self._owed: deque[Callable[[], None]] = deque()
        self._paying = asyncio.Lock()

    async def recipient_turn(self, turn: Turn) -> None:
        await self._write(self._store.calls.add_turn, self._attempt_id, turn)

    async def understood(self, index: int, understanding: "DataclassInstance") -> None:
        await self._write(self._store.calls.add_understanding, self._attempt_id, index, understanding)

    async def agent_turn(self, turn: Turn) -> None:
        await self._write(self._store.calls.add_turn, self._attempt_id, turn)

    async def alert(self, alert: Alert) -> None:
        await self._write(self._store.calls.raise_alert, self._attempt_id, alert)

    async def finish(self, report: Report) -> None:
        """Ends the call with its report. Raises StoreUnavailable when the database stays away for a minute."""
        self._owed.append(functools.partial(self._store.calls.finish, self._attempt_id, report))
        for patience_s in (*_RETRY_AFTER_S, None):
            try:
                await self._pay()
                return
            except StoreUnavailable:
                if patience_s is None:
                    raise
                await asyncio.sleep(patience_s)

    async def _write(self, call: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        self._owed.append(functools.partial(call, *args, **kwargs))
        try:
            await self._pay()
        except StoreUnavailable as error:
            logger.error("attempt %s: %d entries are not written yet: %s", self._attempt_id, len(self._owed), error)

    async def _pay(self) -> None:
        async with self._paying:
            while self._owed:
                entry = self._owed.popleft()
                try:
                    await self._store.run(entry)
                except StoreUnavailable:
                    self._owed.appendleft(entry)
                    raise


def upgrade_database(url: str, secret: str = "") -> tuple[str | None, str]:
    """Migrates the database to the newest revision, and writes the days of calls from before days were kept.

    Gives the revisions before and after. Raises StoreError.
    """
    database = Database(url, Cipher(secret), _utc_now)
    try:
        revisions = database.upgrade()
        if people := Days(database).tell_untold():
            logger.info("the days of %d people from before days were kept are written", people)
        return revisions
    finally:
        database.close()
