"""Runs a whole campaign: the real program calls two hundred people through the telephone exchange for tests.

``python -m carecall.simulation.campaign_run`` prints its progress, and as the last line what became of the checks. It
ends with 1 when a check was left open or lost, or a telephone rang that should not have.
"""

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import typer

from carecall.domain.campaign import Ending
from carecall.errors import CareCallError
from carecall.settings import settings
from carecall.simulation.crowd import (
    Crowd,
    answers_of_a_campaign,
    asleep_zones,
    awake_zones,
    quick_ladder,
    short_dialog,
)
from carecall.simulation.exchange import Exchange, recipient_mouth, running_exchange
from carecall.simulation.exchange_log import CallLog
from carecall.simulation.exchange_plan import Faults, Plan
from carecall.simulation.fleet import free_port, running_fleet
from carecall.simulation.progress import Progress, hush
from carecall.simulation.verdict import Ledger, Verdict
from carecall.store.engine import Database
from carecall.store.facade import upgrade_database
from carecall.store.personal import Cipher

RINGS = 3
_AFTER_S = {
    Ending.BUSY: 5.0,
    Ending.NO_ANSWER: 5.0,
    Ending.MACHINE: 5.0,
    Ending.FAILED: 3.0,
    Ending.NOT_PLACED: 1.0,
    Ending.HUNG_UP: 5.0,
    Ending.SILENT: 5.0,
    Ending.CALL_LATER: 10.0,
    Ending.INTERRUPTED: 2.0,
}
_PER_SECOND = 2.0
_ASLEEP = 10  # one person whose hours are closed for so many who may be called


async def run_campaign(
    people: int, at_once: int, *, seed: int, folder: Path, within_s: float
) -> tuple[Verdict, Exchange]:
    """Calls so many people, and some more who may not be called now. Raises SimulationError."""
    url = f"sqlite:///{folder / 'carecall.sqlite3'}"
    await asyncio.to_thread(upgrade_database, url)
    database = Database(url, Cipher(""), lambda: datetime.now(UTC))
    try:
        crowd = Crowd(database, quick_ladder(RINGS, _AFTER_S))
        await asyncio.to_thread(_gather, crowd, people, seed)
        return await _call(crowd, at_once, seed, folder, within_s)
    finally:
        database.close()


def _gather(crowd: Crowd, people: int, seed: int) -> None:
    now, chance = datetime.now(UTC), random.Random(seed)
    awake, asleep = awake_zones(now), asleep_zones(now)
    answers = answers_of_a_campaign(chance)
    for index in range(people):
        crowd.add(answers(), awake[index % len(awake)])
    for index in range(-(-people // _ASLEEP)):
        if index % 3 == 2:
            zone = awake[index % len(awake)]
            later = (now.astimezone(ZoneInfo(zone)) + timedelta(hours=1, minutes=30)).time()
            crowd.add(answers(), zone, asleep=True, opens=later.replace(second=0, microsecond=0))
        else:
            crowd.add(answers(), asleep[index % len(asleep)], asleep=True)


async def _call(crowd: Crowd, at_once: int, seed: int, folder: Path, within_s: float) -> tuple[Verdict, Exchange]:
    ledger = Ledger(crowd.database)
    port = free_port()
    plan = Plan(
        lines=crowd.lines,
        calls_per_second=10.0,
        time_scale=0.1,
        listing_lag_s=1.0,
        faults=Faults(latency_s=0.3, doubled=0.05, late=0.05, lost=0.01, late_s=2.0),
        seed=seed,
    )

    async def asked(call_sid: str) -> str | None:
        return await asyncio.to_thread(ledger.asked, call_sid)

    exchange = Exchange(plan, log=CallLog(folder / "exchange.jsonl"), mouth=recipient_mouth(plan), asked=asked)
    progress = Progress()
    dialogs = await asyncio.to_thread(short_dialog, settings().dialogs_dir, folder)
    async with (
        running_exchange(exchange) as url,
        running_fleet(
            folder,
            url,
            plan,
            port,
            dialogs_dir=str(dialogs),
            calls_per_second=_PER_SECOND,
            calls_at_once=at_once,
            max_calls=at_once + 2,
        ) as fleet,
    ):
        fleet.serve("up", "up")
        progress.show("the program starts")
        await fleet.ready("up")
        total = len(crowd.enrollments)
        while progress.seconds < within_s:
            fleet.check("up")
            verdict = await asyncio.to_thread(_judge, ledger, crowd, exchange)
            live = len(exchange.live())
            progress.show(f"checks closed {total - verdict.open}/{total}, calls made {verdict.calls}, live {live}")
            if not verdict.open and not verdict.stuck and not live:
                break
            await asyncio.sleep(1.0)
        progress.end()
        return await asyncio.to_thread(_judge, ledger, crowd, exchange), exchange


def _judge(ledger: Ledger, crowd: Crowd, exchange: Exchange) -> Verdict:
    return ledger.judge(crowd.enrollments, exchange.log.calls, per_second=_PER_SECOND, rings=RINGS)


def _latencies(exchange: Exchange) -> dict[str, float]:
    waits = sorted(latency for call in exchange.log.calls for latency in call.latencies)
    if len(waits) < 2:
        return {}
    return {"p50": round(statistics.median(waits), 2), "p95": round(statistics.quantiles(waits, n=20)[-1], 2)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m carecall.simulation.campaign_run", description=__doc__)
    parser.add_argument("--people", type=int, default=200, help="who may be called now")
    parser.add_argument("--at-once", type=int, default=10, help="calls at once")
    parser.add_argument("--seed", type=int, default=1, help="who does what")
    parser.add_argument("--within", type=float, default=3600.0, help="seconds after which it has failed")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    parser.add_argument(
        "--keep", type=Path, help="an empty folder for the database and the logs, to look at afterwards"
    )
    options = parser.parse_args()
    hush()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="carecall-campaign-", ignore_cleanup_errors=True) as temporary:
        try:
            verdict, exchange = asyncio.run(
                run_campaign(
                    options.people,
                    options.at_once,
                    seed=options.seed,
                    folder=options.keep or Path(temporary),
                    within_s=options.within,
                )
            )
        except CareCallError as error:
            raise SystemExit(f"campaign: {error}") from None
    seconds = round(time.monotonic() - began)
    latencies = _latencies(exchange)
    if options.json:
        typer.echo(json.dumps({**asdict(verdict), "seconds": seconds, "latency_s": latencies, "good": verdict.good}))
    else:
        spread = " ".join(f"latency_{name} {value:.2f}" for name, value in latencies.items())
        typer.echo(f"{verdict} seconds {seconds} {spread}".rstrip())
    raise SystemExit(0 if verdict.good else 1)


if __name__ == "__main__":
    main()
