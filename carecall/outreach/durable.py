"""The durable queue of attempts, on DBOS: one workflow an attempt, begun again wherever it was left, until it ends.

A workflow does no more than carry its attempt on, and whoever carries it reads our own tables first. So DBOS may run it
again at any time, and nothing but the attempt's id is kept here.
"""

import asyncio
import logging
import re
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from dbos import DBOS, DBOSConfig, SetWorkflowID
from filelock import FileLock, Timeout
from sqlalchemy import make_url

from carecall.errors import SettingsError
from carecall.settings import Settings

QUEUE = "line"
SHAPE = "1"  # of the workflow: raised when one that was begun by the program before can no longer be carried on
_PENDING = "PENDING"
_FORGOTTEN_AT_ONCE = 500

logger = logging.getLogger(__name__)


class DurableQueue:
    """Attempts that are to be carried. One in a process; ``open`` before all else."""

    def __init__(self, settings: Settings, worker: str, *, poll_s: float) -> None:
        """``poll_s``: seconds between two looks for an attempt to be carried."""
        self._settings = settings
        self._worker = worker
        self._poll_s = poll_s
        file = settings.data_dir / f"worker-{re.sub(r'[^A-Za-z0-9.-]', '_', worker)}.lock"
        self._lock = FileLock(file, thread_local=False)
        self._dbos: DBOS | None = None
        self._carried: dict[UUID, asyncio.Task[Any]] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    async def open(self, carry: Callable[[UUID], Awaitable[None]]) -> None:
        """From now on attempts are carried, on this event loop; first those that this worker left when it last ended.

        Raises SettingsError when a worker of this name runs here already.
        """
        loop = asyncio.get_running_loop()

        async def carried(attempt_id: UUID) -> None:
            while earlier := self._carried.get(attempt_id):  # it was taken over from this very worker
                await asyncio.wait([earlier])
            self._carried[attempt_id] = _this_task()
            self._idle.clear()
            try:
                await carry(attempt_id)
            finally:
                del self._carried[attempt_id]
                if not self._carried:
                    self._idle.set()

        async def attempt(attempt_id: str) -> None:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(carried(UUID(attempt_id)), loop))

        await asyncio.to_thread(self._launch, attempt)

    def _launch(self, attempt: Callable[[str], Awaitable[None]]) -> None:
        self._settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise SettingsError(
                f"A worker named {self._worker} runs here already: give this one another CARECALL_WORKER_NAME."
            ) from None
        _quieten()
        database = _database(self._settings.database)
        config = DBOSConfig(
            name="carecall",
            system_database_url=database,
            db_engine_kwargs={"pool_pre_ping": not database.startswith("sqlite")},
            executor_id=self._worker,
            application_version=SHAPE,
            log_level="WARNING",
            sys_db_pool_size=5,
        )
        self._dbos = DBOS(config=config)
        self._workflow = DBOS.workflow(name="attempt", max_recovery_attempts=None)(attempt)
        DBOS.launch()
        DBOS.register_queue(
            QUEUE,
            global_concurrency=self._settings.calls_at_once,
            polling_interval_sec=self._poll_s,
            on_conflict="always_update",
        )

    @property
    def carried(self) -> frozenset[UUID]:
        """The attempts that this worker carries at the moment."""
        return frozenset(self._carried)

    async def put(self, attempts: Iterable[UUID]) -> None:
        """Queues attempts; one that was queued before is not queued twice."""
        await asyncio.to_thread(self._put, list(attempts))

    def _put(self, attempts: list[UUID]) -> None:
        for attempt_id in attempts:
            with SetWorkflowID(str(attempt_id)):
                DBOS.enqueue_workflow(QUEUE, self._workflow, str(attempt_id))

    async def take_over(self, worker: str) -> int:
        """Queues again what a worker that is gone was carrying. Gives the number of attempts."""
        return await asyncio.to_thread(self._take_over, worker)

    def _take_over(self, worker: str) -> int:
        left = DBOS.list_workflows(status=_PENDING, executor_id=worker, load_input=False, load_output=False)
        if left:
            DBOS.resume_workflows([workflow.workflow_id for workflow in left], queue_name=QUEUE)
        return len(left)

    async def forget(self, before: datetime) -> None:
        """Forgets attempts that ended before a moment."""
        await asyncio.to_thread(self._forget, before)

    def _forget(self, before: datetime) -> None:
        while ended := DBOS.list_workflows(
            completed_before=before.isoformat(), limit=_FORGOTTEN_AT_ONCE, load_input=False, load_output=False
        ):
            DBOS.delete_workflows([workflow.workflow_id for workflow in ended])

    def stop_taking(self) -> None:
        """No attempt is begun any more; those that are carried go on."""
        if self._dbos is not None:
            logging.getLogger("dbos").setLevel(logging.CRITICAL)  # it warns of each attempt that is let go of
            for event in self._dbos.background_thread_stop_events:
                event.set()

    async def idle(self) -> None:
        """Waits until no attempt is carried."""
        await self._idle.wait()

    async def close(self) -> None:
        """Lets go of every attempt; one that has not ended is carried on after the next ``open``."""
        if self._dbos is not None:
            self.stop_taking()
            self._dbos = None
            await asyncio.to_thread(DBOS.destroy, destroy_registry=True)
            await self.idle()  # cancelled with its workflow, an attempt is let go of in a moment
        self._lock.release()


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None  # within a coroutine there is one
    return task


def _database(url: str) -> str:
    """Where DBOS keeps its tables: a schema of the same Postgres, or a file beside ours."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return url
    file = Path(parsed.database or "").with_name("outreach.sqlite3")
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch(mode=0o600, exist_ok=True)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")  # stays with the file; a commit then costs one write
    return f"sqlite:///{file}"


def _quieten() -> None:
    """DBOS's own lines go where ours go, and only what an operator should know."""
    chatty = logging.getLogger("dbos")
    if not chatty.handlers:
        chatty.addHandler(logging.NullHandler())
