"""What a call costs the worker: claimed, queued, dialed, followed and concluded, on a network that answers at once.

Run: python benchmarks/outreach.py [--slots 500] [--postgres URL of an empty database]
Without --postgres, CARECALL_TEST_POSTGRES is taken when it is set.
"""

import argparse
import asyncio
import os
import tempfile
import time
import uuid
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from pathlib import Path

from carecall.dialog.files import find_dialog
from carecall.domain.campaign import Campaign, Ending, HumanStep, Ladder, Schedule, TaskKind, Window
from carecall.domain.language import Language
from carecall.domain.progress import CallProgress, CallStatus
from carecall.outreach.dialer import DialRequest, PlacedCall
from carecall.outreach.worker import Worker
from carecall.settings import Settings
from carecall.store import Store
from carecall.store.tables import ConsentSource

TARGET_MS = 20.0
ENDS = (CallStatus.BUSY, CallStatus.NO_ANSWER)


class Network:
    """Every call rings and is busy or not answered, as fast as it can be told."""

    def __init__(self, store: Store, calls: int) -> None:
        self._store = store
        self._left = calls
        self.callbacks_s = 0.0  # of CPU, which callbacks take and not the worker
        self._telling: set[asyncio.Task[None]] = set()
        self.worker: Worker | None = None
        self.done = asyncio.Event()

    async def place(self, request: DialRequest) -> str:
        call_sid = f"CA{uuid.uuid4().hex}"
        task = asyncio.create_task(self._tell(request.attempt_id, call_sid))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)
        return call_sid

    async def _tell(self, attempt_id: uuid.UUID, call_sid: str) -> None:
        for sequence, status in enumerate((CallStatus.RINGING, ENDS[attempt_id.int % len(ENDS)])):
            progress = CallProgress(attempt_id, call_sid, status, sequence)
            await self._store.run(self._fold, progress)
        assert self.worker is not None
        self.worker.notice(attempt_id)
        self._left -= 1
        if not self._left:
            self.done.set()

    def _fold(self, progress: CallProgress) -> None:
        began = time.thread_time()
        self._store.outreach.fold(progress)
        self.callbacks_s += time.thread_time() - began

    async def find(self, to: str, since: datetime) -> list[PlacedCall]:
        return []

    async def look(self, attempt_id: uuid.UUID, call_sid: str) -> CallProgress:
        return CallProgress(attempt_id, call_sid, CallStatus.BUSY, None)

    async def hang_up(self, call_sid: str) -> None:
        """Every call has ended."""


async def measure(settings: Settings, slots: int) -> None:
    with Store.open(settings.database, upgrade=True) as store:
        _enroll(store, slots)
        network = Network(store, slots)
        dialogs = {Language.ENGLISH: find_dialog(settings.dialogs_dir, "wellbeing.en")}
        worker = network.worker = Worker(settings, store, network, lambda _, language: dialogs[language])
        began, cpu = time.perf_counter(), time.process_time()
        await worker.start()
        await network.done.wait()
        await worker.drain()
        wall_ms = 1000 * (time.perf_counter() - began) / slots
        cpu_ms = 1000 * (time.process_time() - cpu - network.callbacks_s) / slots
        await worker.close()
        assert len(store.outreach.tasks()) == slots
    kind = "SQLite" if settings.database.startswith("sqlite") else "Postgres"
    callbacks_ms = 1000 * network.callbacks_s / slots
    print(
        f"{kind}: {slots} calls, {cpu_ms:.1f} ms of CPU a call (target {TARGET_MS:.0f}), "
        f"and {callbacks_ms:.1f} ms for its callbacks; {wall_ms:.1f} ms by the clock"
    )


def _enroll(store: Store, slots: int) -> None:
    """As many people whose check is due now, each to be called once."""
    now = datetime.now(UTC)
    schedule = Schedule((clock(12),), window=Window(clock(9), clock(21)))
    ladder = Ladder(
        1, {Ending.BUSY: timedelta(), Ending.NO_ANSWER: timedelta()}, (HumanStep(TaskKind.CALL, timedelta(hours=4)),)
    )
    campaign = Campaign(f"Benchmark {uuid.uuid4()}", "wellbeing", date(2020, 1, 1), None, schedule, ladder)
    campaign_id = store.outreach.save_campaign(campaign)
    midday = f"Etc/GMT{now.hour - 12:+d}"
    for number in range(slots):
        recipient_id = store.recipients.add("Anna", f"+8210{number:08}", Language.ENGLISH, time_zone=midday)
        store.recipients.enroll(recipient_id, campaign_id, consent_at=now, consent_source=ConsentSource.WRITTEN)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slots", type=int, default=500)
    parser.add_argument("--postgres", default=os.environ.get("CARECALL_TEST_POSTGRES", ""))
    arguments = parser.parse_args()
    for url in ("", arguments.postgres) if arguments.postgres else ("",):
        with tempfile.TemporaryDirectory() as folder:
            settings = Settings(data_dir=Path(folder), database_url=url, calls_per_second=100, calls_at_once=50)
            asyncio.run(measure(settings, arguments.slots))


if __name__ == "__main__":
    main()
