"""The durable queue carries every attempt to its end, whatever happens to the worker, and never twice at once here."""

import asyncio
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from carecall.outreach.durable import DurableQueue
from carecall.settings import Settings


class Carrier:
    """Carries attempts for as long as they are not let go on."""

    def __init__(self) -> None:
        self.begun: Counter[uuid.UUID] = Counter()
        self.at_once: Counter[uuid.UUID] = Counter()
        self.most = 0
        self.go_on = asyncio.Event()

    async def carry(self, attempt_id: uuid.UUID) -> None:
        self.begun[attempt_id] += 1
        self.at_once[attempt_id] += 1
        self.most = max(self.most, self.at_once[attempt_id])
        try:
            await self.go_on.wait()
        finally:
            self.at_once[attempt_id] -= 1

    async def until_begun(self, times: int) -> None:
        async with asyncio.timeout(10):
            while self.begun.total() < times:
                await asyncio.sleep(0.02)


def _queue(tmp_path: Path) -> DurableQueue:
    return DurableQueue(Settings(data_dir=tmp_path), "one", poll_s=0.05)


async def test_an_attempt_that_is_queued_twice_is_carried_once(tmp_path: Path) -> None:
    queue, carrier, attempt_id = _queue(tmp_path), Carrier(), uuid.uuid4()
    await queue.open(carrier.carry)
    await queue.put([attempt_id, attempt_id])
    await carrier.until_begun(1)
    await queue.put([attempt_id])
    carrier.go_on.set()
    await queue.idle()
    await asyncio.sleep(0.3)
    await queue.close()
    assert carrier.begun == {attempt_id: 1}


async def test_an_attempt_that_was_left_is_carried_on_after_the_next_start(tmp_path: Path) -> None:
    carrier, attempt_id = Carrier(), uuid.uuid4()
    for times in (1, 2):
        queue = _queue(tmp_path)
        await queue.open(carrier.carry)
        await queue.put([attempt_id])
        await carrier.until_begun(times)
        await queue.close()
    assert carrier.at_once[attempt_id] == 0


async def test_an_attempt_taken_over_from_a_worker_that_is_there_is_not_carried_twice_at_once(tmp_path: Path) -> None:
    queue, carrier, attempt_id = _queue(tmp_path), Carrier(), uuid.uuid4()
    await queue.open(carrier.carry)
    await queue.put([attempt_id])
    await carrier.until_begun(1)
    assert await queue.take_over("one") == 1
    await asyncio.sleep(0.5)
    carrier.go_on.set()
    await carrier.until_begun(2)
    await queue.idle()
    await queue.close()
    assert carrier.most == 1


async def test_no_attempt_is_begun_once_the_queue_takes_none(tmp_path: Path) -> None:
    queue, carrier = _queue(tmp_path), Carrier()
    await queue.open(carrier.carry)
    await queue.put([uuid.uuid4()])
    await carrier.until_begun(1)
    queue.stop_taking()
    await asyncio.sleep(0.2)
    await queue.put([uuid.uuid4()])
    await asyncio.sleep(0.3)
    assert len(queue.carried) == 1
    await queue.close()


async def test_ended_attempts_are_forgotten_and_others_are_not(tmp_path: Path) -> None:
    queue, carrier, ended, left = _queue(tmp_path), Carrier(), uuid.uuid4(), uuid.uuid4()
    await queue.open(carrier.carry)
    await queue.put([ended])
    await carrier.until_begun(1)
    carrier.go_on.set()
    await queue.idle()
    carrier.go_on.clear()
    await queue.put([left])
    await carrier.until_begun(2)
    await asyncio.sleep(0.3)
    await queue.forget(datetime.now(UTC) + timedelta(seconds=1))
    await queue.put([ended])
    await carrier.until_begun(3)
    await queue.close()
    assert carrier.begun == {ended: 2, left: 1}
