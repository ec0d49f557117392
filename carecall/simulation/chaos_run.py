"""Kills the program again and again while it calls people, and looks whether anything was lost or done twice.

``python -m carecall.simulation.chaos_run --kills 500`` lets the real server and workers call people through the
telephone exchange for tests, and kills them as ``kill -9`` does: half the times at a random moment, half just before or
just after a commit, each kind of commit in its turn. What is killed is started again at once, under the same name.
Ctrl-C ends the killing, and what was called so far is judged. The last line is
``kills N lost 0 doubled 0 stuck 0 worst_recovery_s X``; the exit status is 1 when it reads otherwise.
"""

import argparse
import asyncio
import itertools
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import typer

from carecall.domain.campaign import Ending
from carecall.errors import CareCallError
from carecall.settings import settings
from carecall.simulation.chaos_worker import deaths
from carecall.simulation.crowd import Crowd, awake_zones, quick_ladder, short_dialog
from carecall.simulation.exchange import Exchange, recipient_mouth, running_exchange
from carecall.simulation.exchange_log import CallLog
from carecall.simulation.exchange_plan import Answer, Faults, Line, Pickup, Plan
from carecall.simulation.fleet import Fleet, free_port, running_fleet
from carecall.simulation.progress import Progress, hush
from carecall.simulation.scenario import Recipient
from carecall.simulation.throwaway_postgres import throwaway_postgres
from carecall.simulation.verdict import Ledger, SlotNow, Verdict
from carecall.store.engine import Database
from carecall.store.facade import upgrade_database
from carecall.store.personal import Cipher

RINGS = 3
RECOVERED_WITHIN_S = 60.0
_AT_ONCE = 6
_PER_SECOND = 4.0
_WAITING = 8  # checks that are kept open, so that every kill hits something
_SERVER = "server"
_SERVER_EVERY = 12  # one kill of the server for so many in all
_SERVER_COMMITS_WITHIN_S = 30.0  # most of it until it is ready
_COMMITS_WITHIN_S = 12.0  # a worker that has come to no commit whose turn it is by then is killed where it is
_WORKS = "makes calls"  # says a worker once it is up
_UP_WITHIN_S = 30.0
_CALM_EVERY = 12  # kills; then nothing is killed until all that was interrupted has gone on
_CALM_AT_MOST_S = 90.0
_QUIET_WITHIN_S = 240.0  # for the last checks to be closed, once nothing is killed any more
_AFTER_S: dict[Ending, float] = {
    ending: 1.0
    for ending in Ending
    if ending not in (Ending.REACHED, Ending.BAD_NUMBER, Ending.WRONG_PERSON, Ending.OPTED_OUT)
}
_SAYS_GOODBYE = Recipient(name="Anna", greets="Yes, this is Anna.", default=["Sorry, I have to go. Goodbye."])


@dataclass(slots=True)
class Recovery:
    """How long work stood still after the last kill that hit it, until its next progress, in seconds."""

    worst_s: float = 0.0
    _hit: dict[UUID, tuple[SlotNow, float]] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether all work that was hit has gone on."""
        return not self._hit

    def killed(self, under_way: list[SlotNow]) -> None:
        """Something was killed just now."""
        self.look(under_way)
        self._hit = {slot.enrollment_id: (slot, time.monotonic()) for slot in under_way}

    def look(self, under_way: list[SlotNow]) -> None:
        now, there = time.monotonic(), {slot.enrollment_id: slot for slot in under_way}
        for key, (slot, since) in list(self._hit.items()):
            if there.get(key) != slot:
                self.worst_s = max(self.worst_s, now - since)
                del self._hit[key]


class Chaos:
    """One run."""

    def __init__(self, kills: int, workers: int, folder: Path, url: str, database: Database, seed: int) -> None:
        """``database`` is open at ``url``, and at the newest revision."""
        self._wanted = self._to_go = kills
        self._url = url
        self._workers = [f"worker-{number}" for number in range(1, workers + 1)]
        self._folder = folder
        self._chance = random.Random(seed)
        self._ledger = Ledger(database)
        self._plan = Plan(
            otherwise=Line(calls=[Pickup(recipient=_SAYS_GOODBYE)]),
            calls_per_second=20.0,
            requests_per_second=1000.0,
            detection_s=0.5,
            time_scale=0.1,
            listing_lag_s=1.0,
            faults=Faults(latency_s=0.3, error=0.02, cut=0.04, lost=0.05, doubled=0.1, late=0.1, stream_drops=0.1),
            seed=seed,
        )
        self._crowd = Crowd(database, quick_ladder(RINGS, _AFTER_S), self._plan.lines)
        self._exchange = Exchange(
            self._plan, log=CallLog(folder / "exchange.jsonl"), mouth=recipient_mouth(self._plan), asked=self._asked
        )
        self._progress = Progress()
        self.recovery = Recovery()
        self.kills = 0
        self._storm = asyncio.Event()  # not set while nothing is killed, so that work may recover
        self._calm_until = 0.0
        self._died = asyncio.Event()  # something was killed
        self._commits = {command: folder / f"{command}-commits.jsonl" for command in ("work", "serve")}
        self._rounds = Counter({(command, when): 1 for command in self._commits for when in ("before", "after")})

    def stop(self) -> None:
        """Kills nothing more: what was called so far comes to rest and is judged."""
        self._to_go = 0
        self._storm.set()
        self._died.set()

    async def run(self) -> Verdict:
        """Kills, lets everything come to rest, and judges. Raises SimulationError."""
        port = free_port()
        dialogs = await asyncio.to_thread(short_dialog, settings().dialogs_dir, self._folder)
        async with AsyncExitStack() as stack:
            url = await stack.enter_async_context(running_exchange(self._exchange))
            fleet = await stack.enter_async_context(
                running_fleet(
                    self._folder,
                    url,
                    self._plan,
                    port,
                    database_url=self._url,
                    dialogs_dir=str(dialogs),
                    calls_per_second=_PER_SECOND,
                    calls_at_once=_AT_ONCE,
                    max_calls=_AT_ONCE + 2,
                    ring_s=10,
                    drain_s=2,
                )
            )
            fleet.serve(_SERVER)
            self._progress.show("the server starts")
            await fleet.ready(_SERVER)
            await self._torment(fleet)
            await self._rest(fleet)
        return await asyncio.to_thread(self._judge)

    def commit_points(self) -> Counter[str]:
        """How often a process was killed at which commit."""
        return Counter(
            {
                f"{command} {point}": count
                for command, file in self._commits.items()
                for point, count in deaths(file).items()
            }
        )

    async def _asked(self, call_sid: str) -> str | None:
        return await asyncio.to_thread(self._ledger.asked, call_sid)

    async def _torment(self, fleet: Fleet) -> None:
        for wish in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(wish, self.stop)
        helpers = [asyncio.create_task(self._feed()), asyncio.create_task(self._watch())]
        victims = [asyncio.create_task(self._kill_workers(fleet, name)) for name in self._workers]
        victims.append(asyncio.create_task(self._kill_server(fleet)))
        try:
            await asyncio.gather(*victims)
        finally:
            for task in (*victims, *helpers):
                task.cancel()
            await asyncio.gather(*victims, *helpers, return_exceptions=True)

    async def _feed(self) -> None:
        """Keeps a few checks open."""
        zones = awake_zones(datetime.now(UTC))
        while True:
            missing = _WAITING - await asyncio.to_thread(self._ledger.unfinished, len(self._crowd.enrollments))
            for _ in range(missing):
                await asyncio.to_thread(self._crowd.add, self._pickups(), self._chance.choice(zones))
            await asyncio.sleep(0.5)

    def _pickups(self) -> list[Pickup]:
        """How the calls to a person go. Most of those who answer stay for a moment, some say goodbye."""
        chance, answer = self._chance, self._chance.random()
        rings_s = chance.uniform(1.0, 9.0)
        if answer < 0.15:
            return [Pickup(rings_s=rings_s, recipient=_SAYS_GOODBYE)]
        if answer < 0.6:
            stays_s = chance.uniform(0.3, 4.0)
            return [Pickup(rings_s=rings_s, leaves_after_s=stays_s)]
        if answer < 0.7:
            return [Pickup(rings_s=rings_s, answer=Answer.MACHINE, leaves_after_s=8.0)]
        unreached = chance.choice((Answer.BUSY, Answer.NO_ANSWER, Answer.NO_ANSWER, Answer.FAILED, Answer.INVALID))
        return [Pickup(rings_s=rings_s, answer=unreached)]

    async def _watch(self) -> None:
        while True:
            under_way = await asyncio.to_thread(self._ledger.under_way, datetime.now(UTC))
            self.recovery.look(under_way)
            if self.recovery.whole or time.monotonic() > self._calm_until:
                self._storm.set()
            self._progress.show(
                f"kills {self.kills}/{self._wanted}, checks {len(self._crowd.enrollments)}, "
                f"calls {len(self._exchange.log.calls)}, worst recovery {self.recovery.worst_s:.1f} s"
            )
            await asyncio.sleep(0.3)

    async def _kill_workers(self, fleet: Fleet, name: str) -> None:
        for when in itertools.cycle(("", "before", "", "after")):
            if not self._storm.is_set():
                fleet.start(name, "carecall", "work")
                await self._storm.wait()
                fleet.kill(name)
                if not self._take():
                    return
                await self._killed()
            if not self._take():
                return
            if when:
                await self._dies_at_commit(fleet, name, when, _COMMITS_WITHIN_S, "work")
            else:
                await self._dies_at_random(fleet, name)

    async def _dies_at_random(self, fleet: Fleet, name: str) -> None:
        """A worker lives for some seconds after it is up."""
        process = fleet.start(name, "carecall", "work")
        await fleet.says(name, _WORKS, _UP_WITHIN_S)
        await self._dies(fleet, name, process, self._chance.uniform(0.0, 4.0))

    async def _dies_at_commit(self, fleet: Fleet, name: str, when: str, within_s: float, *command: str) -> None:
        """A process lives until the next kind of commit whose turn it is; when all have had it, a new round begins."""
        file = self._commits[command[0]]
        arguments = (when, str(self._rounds[command[0], when]), str(file), *command)
        process = fleet.start(name, "carecall.simulation.chaos_worker", *arguments)
        if not await self._dies(fleet, name, process, within_s):
            self._rounds[command[0], when] += 1

    async def _kill_server(self, fleet: Fleet) -> None:
        """Kills the server now and then: it takes long to start, and no call is answered meanwhile."""
        times = max(1, self._wanted // _SERVER_EVERY)
        whens = itertools.cycle(("before", "after"))
        for number in range(times):
            while self._wanted - self._to_go < self._wanted * (2 * number + 1) // (2 * times):
                self._died.clear()
                await self._died.wait()
            await self._until_answered()
            await self._storm.wait()
            if not self._take():
                return
            await asyncio.sleep(self._chance.uniform(0.0, 1.5))
            fleet.kill(_SERVER)
            await self._killed()
            if number % 2 and self._take():
                command = ("serve", "--port", str(fleet.port))
                await self._dies_at_commit(fleet, _SERVER, next(whens), _SERVER_COMMITS_WITHIN_S, *command)
            fleet.serve(_SERVER)
            await fleet.ready(_SERVER)

    async def _until_answered(self) -> None:
        """Waits a while for a call that is held at this moment."""
        for _ in range(100):
            if any(call.streams and call.ended_at is None for call in self._exchange.log.calls):
                return
            await asyncio.sleep(0.1)

    def _take(self) -> bool:
        """Whether one more may be killed."""
        self._to_go -= 1
        return self._to_go >= 0

    async def _dies(self, fleet: Fleet, name: str, process: "subprocess.Popen[bytes]", within_s: float) -> bool:
        """Kills a process unless it has killed itself in time. Whether it has."""
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(process.wait, within_s)
        by_itself = process.returncode == -signal.SIGKILL
        if process.returncode is not None and not by_itself:
            fleet.check(name)
        fleet.kill(name)
        await self._killed()
        return by_itself

    async def _killed(self) -> None:
        self.kills += 1
        self._died.set()
        if self.kills % _CALM_EVERY == 0:
            self._storm.clear()
            self._calm_until = time.monotonic() + _CALM_AT_MOST_S
        self.recovery.killed(await asyncio.to_thread(self._ledger.under_way, datetime.now(UTC)))

    async def _rest(self, fleet: Fleet) -> None:
        """Lets the workers close every check, undisturbed."""
        for name in self._workers:
            fleet.start(name, "carecall", "work")
        until = time.monotonic() + _QUIET_WITHIN_S
        while time.monotonic() < until:
            for name in (_SERVER, *self._workers):
                fleet.check(name)
            self.recovery.look(await asyncio.to_thread(self._ledger.under_way, datetime.now(UTC)))
            verdict = await asyncio.to_thread(self._judge)
            self._progress.show(
                f"kills {self.kills}, checks open {verdict.open}, calls live {len(self._exchange.live())}"
            )
            if not (verdict.open or verdict.stuck or self._exchange.live()):
                break
            await asyncio.sleep(0.5)
        self._progress.end()

    def _judge(self) -> Verdict:
        calls = self._exchange.log.calls
        return self._ledger.judge(self._crowd.enrollments, calls, per_second=_PER_SECOND, rings=RINGS)


async def run_chaos(kills: int, workers: int, *, seed: int, url: str, folder: Path) -> tuple[Chaos, Verdict]:
    """Raises CareCallError when the program does not start."""
    await asyncio.to_thread(upgrade_database, url)
    database = Database(url, Cipher(""), lambda: datetime.now(UTC))
    try:
        chaos = Chaos(kills, workers, folder, url, database, seed)
        return chaos, await chaos.run()
    finally:
        database.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m carecall.simulation.chaos_run", description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--workers", type=int, default=1, help="worker processes on one database")
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--seed", type=int, default=1, help="who does what, and when something dies")
    parser.add_argument(
        "--keep", type=Path, help="an empty folder for the database and the logs, to look at afterwards"
    )
    options = parser.parse_args()
    hush()
    with ExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="carecall-chaos-", ignore_cleanup_errors=True)
        folder: Path = options.keep or Path(stack.enter_context(temporary))
        try:
            if options.database == "postgres":
                url = stack.enter_context(throwaway_postgres())
            else:
                url = f"sqlite:///{folder / 'carecall.sqlite3'}"
            chaos, verdict = asyncio.run(
                run_chaos(options.kills, options.workers, seed=options.seed, url=url, folder=folder)
            )
        except CareCallError as error:
            raise SystemExit(f"chaos: {error}") from None
        points = chaos.commit_points()
    for point, times in sorted(points.items()):
        typer.echo(f"killed {times:4} x {point}", err=True)
    typer.echo(f"{verdict} commit_points {len(points)}")
    lost, doubled, worst_s = (
        verdict.open + verdict.lost,
        verdict.doubled + verdict.too_often + verdict.unowned,
        chaos.recovery.worst_s,
    )
    typer.echo(
        f"kills {chaos.kills} lost {lost} doubled {doubled} stuck {verdict.stuck} worst_recovery_s {worst_s:.1f}"
    )
    raise SystemExit(0 if verdict.good and worst_s <= RECOVERED_WITHIN_S else 1)


if __name__ == "__main__":
    main()
