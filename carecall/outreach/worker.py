"""The worker: a tick that does what is due, and the queue that carries the attempts.

Any number of workers may run on one database. Everything that a tick claims is claimed in one transaction, so that
another worker's tick repeats it without effect.
"""

import asyncio
import logging
import platform
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from opentelemetry import metrics

from carecall.domain.language import Language
from carecall.errors import CareCallError
from carecall.outreach import alerting, planning, retention
from carecall.outreach.dialer import Dialer
from carecall.outreach.dialing import Dialing, Pace
from carecall.outreach.durable import DurableQueue
from carecall.settings import Settings
from carecall.store import Store
from carecall.store.attempts import DialogIdentity

_PLANNED_AT_ONCE = 500  # enrollments looked at in one transaction
_ROUNDS = 20  # of them in one tick
_REMEMBERED = timedelta(days=7)  # how long ended workflows are kept
_FORGET_EVERY_S = 3600.0

logger = logging.getLogger(__name__)
_meter = metrics.get_meter("carecall.outreach")
_tick = _meter.create_histogram("carecall.tick", "s", "how long a tick took")
_taken_over = _meter.create_counter("carecall.taken_over", description="attempts taken over from a worker that is gone")


class Worker:
    """One worker: ``start``, and at the end ``drain`` and ``close``."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        dialer: Dialer,
        dialogs: Callable[[str, Language], DialogIdentity],
        *,
        pace: Pace | None = None,
    ) -> None:
        """``dialogs`` gives the dialog of an id and a language."""
        self.name = settings.worker_name or platform.node() or "worker"
        self._settings = settings
        self._store = store
        self._dialogs = dialogs
        self._pace = pace or Pace()
        self._dialing = Dialing(settings, store, dialer, self._pace)
        self._queue = DurableQueue(settings, self.name, poll_s=self._pace.queue_s)
        self._queued: set[UUID] = set()
        self._forget_at = 0.0
        self._ticking: asyncio.Task[None] | None = None
        self._other: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begins to work. Raises SettingsError when a worker of this name runs here already."""
        await self._queue.open(self._dialing.carry)
        await self._queue.put(await self._store.run(self._store.outreach.unfinished))
        self._other = [
            asyncio.create_task(retention.keep_clearing(self._store, self._settings), name="worker-retention"),
            asyncio.create_task(self._every(self._pace.silent_s / 8, self._show_life), name="worker-life"),
            asyncio.create_task(
                alerting.keep_delivering(self._store, self._settings, every_s=self._pace.tick_s), name="worker-alerts"
            ),
        ]
        self._ticking = asyncio.create_task(self._every(self._pace.tick_s, self.tick), name="worker-tick")

    def notice(self, attempt_id: UUID) -> None:
        """There is news of an attempt, such as a callback: it need not be waited for."""
        self._dialing.notice(attempt_id)

    @property
    def calls(self) -> int:
        """How many attempts this worker carries."""
        return len(self._queue.carried)

    async def drain(self) -> None:
        """Begins no call any more and lets those that are under way end, for at most ``drain_s`` seconds."""
        await _cancelled(self._ticking)
        self._queue.stop_taking()
        self._dialing.stop()
        try:
            async with asyncio.timeout(self._settings.drain_s):
                await self._queue.idle()
        except TimeoutError:
            logger.warning("%d attempts are carried on after the next start", self.calls)

    async def close(self) -> None:
        """Ends at once. Attempts under way are carried on by the next start, or by another worker."""
        await _cancelled(self._ticking, *self._other)
        await self._queue.close()

    async def tick(self) -> None:
        """Does all that is due."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        store, outreach = self._store, self._store.outreach
        for _ in range(_ROUNDS):
            if await store.run(outreach.plan_due, planning.next_check, limit=_PLANNED_AT_ONCE) < _PLANNED_AT_ONCE:
                break
        waiting = await store.run(outreach.planned)
        if (room := self._room() - len(waiting)) > 0:
            waiting += await store.run(outreach.start_attempts, self._dialogs, limit=room)
        self._queued.intersection_update(waiting)
        new = [attempt_id for attempt_id in waiting if attempt_id not in self._queued]
        if new:
            await self._queue.put(new)
            self._queued.update(new)
        await store.run(outreach.escalate_tasks)
        await store.run(outreach.escalate_alerts)
        for worker in await store.run(outreach.silent_workers, self._pace.silent_s):
            if worker != self.name:
                await self._take_over(worker)
        if began >= self._forget_at:
            self._forget_at = began + _FORGET_EVERY_S
            await self._queue.forget(datetime.now(UTC) - _REMEMBERED)
            await store.run(store.news.forget)
        _tick.record(loop.time() - began)

    def _room(self) -> int:
        """How many attempts may wait for the line: no more than it can take soon, so that a change of mind counts."""
        return self._settings.calls_at_once + round(2 * self._pace.tick_s * self._settings.calls_per_second)

    async def _take_over(self, worker: str) -> None:
        taken = await self._queue.take_over(worker)
        await self._store.run(self._store.outreach.forget_worker, worker)
        if taken:
            _taken_over.add(taken)
            logger.warning("worker %s is gone; %d attempts of it are taken over", worker, taken)

    async def _show_life(self) -> None:
        await self._store.run(self._store.outreach.sign_of_life, self.name)

    async def _every(self, interval_s: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Again and again: work that fails is told in one line, and done the next time."""
        while True:
            try:
                await work()
            except CareCallError as error:
                logger.error("%s failed and is tried again: %s", work.__name__.strip("_"), error)
            except Exception:
                logger.exception("%s failed and is tried again", work.__name__.strip("_"))
            await asyncio.sleep(interval_s)


@asynccontextmanager
async def running_worker(
    settings: Settings,
    store: Store,
    dialer: Dialer,
    dialogs: Callable[[str, Language], DialogIdentity],
    *,
    pace: Pace | None = None,
) -> AsyncIterator[Worker]:
    """A worker for as long as the block; then it is drained. Cancelled while it drains, it ends at once."""
    worker = Worker(settings, store, dialer, dialogs, pace=pace)
    try:
        await worker.start()
        yield worker
        await worker.drain()
    finally:
        await worker.close()


async def _cancelled(*tasks: asyncio.Task[None] | None) -> None:
    there = [task for task in tasks if task is not None]
    for task in there:
        task.cancel()
    await asyncio.gather(*there, return_exceptions=True)
