"""What planning a day costs in time and memory, with 10,000 and 100,000 people enrolled.

Each size has a database of its own, seeded by one process and planned by another, so that peak memory is planning's:
first as `carecall plan` does, then as the worker's tick does, when everybody's next look is due at once: in the night,
when nobody is called, and at noon, when a check of each person is opened. Run: python benchmarks/planning.py [N ...]
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert, update

from carecall.cli.plan import Totals, day_lines
from carecall.domain.campaign import DEFAULT_LADDER, Campaign, Schedule
from carecall.domain.language import Language
from carecall.outreach.planning import next_check
from carecall.store import Store
from carecall.store.engine import Database, insert_all_new
from carecall.store.personal import Cipher
from carecall.store.tables import DEFAULT_ORGANISATION, ConsentSource, EnrollmentRow, RecipientRow

SECRET = "0123456789abcdef0123456789abcdef"
DAY = date(2026, 11, 24)
NIGHT, NOON = datetime(2026, 11, 23, 15, 0, tzinfo=UTC), datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
ZONES = ("Asia/Seoul", "Asia/Seoul", "Asia/Tokyo", "Asia/Shanghai", "Asia/Manila", "Asia/Singapore")
TICK = 500  # people that a worker's tick plans in one transaction
PORTION = 5000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[10_000, 100_000])
    for size in parser.parse_args().sizes:
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{Path(folder) / 'planning.sqlite3'}"
            _apart(_seed, url, size)
            for what in (_day, _ticks_at_night, _ticks_at_noon):
                _apart(what, url, size)


def _apart(work: Callable[[str, int], None], url: str, size: int) -> None:
    """Runs it in a process of its own."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=(url, size))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(process.exitcode)


def _seed(url: str, size: int) -> None:
    from datetime import time as clock

    with Store.open(url, secret=SECRET, upgrade=True) as store:
        schedule = Schedule(times=(clock(9, 30), clock(16)), holidays="KR")
        of = Campaign("contacts", "active-monitoring", date(2026, 1, 1), None, schedule, DEFAULT_LADDER)
        campaign_id = store.outreach.save_campaign(of)
    database = Database(url, Cipher(SECRET), lambda: NIGHT)
    try:
        for portion in range(0, size, PORTION):
            people = list(_people(database.cipher, portion, min(size, portion + PORTION)))
            with database.writing() as session:
                insert_all_new(session, RecipientRow, people)
                session.connection().execute(insert(EnrollmentRow), [_enrollment(each, campaign_id) for each in people])
    finally:
        database.close()


def _people(cipher: Cipher, first: int, end: int) -> Iterator[dict[str, Any]]:
    for number in range(first, end):
        name, phone = f"Person {number}", f"+8210{number:08}"
        yield {
            "id": uuid.uuid4(),
            "organisation_id": DEFAULT_ORGANISATION,
            "name": name,
            "phone": phone,
            "name_index": cipher.name_index(name),
            "phone_index": cipher.phone_index(phone),
            "language": Language.KOREAN,
            "time_zone": ZONES[number % len(ZONES)],
            "patience_s": 0.0,
            "notes": "",
            "created_at": NIGHT,
        }


def _enrollment(person: dict[str, Any], campaign_id: uuid.UUID) -> dict[str, Any]:
    return {
        "id": uuid.uuid4(),
        "recipient_id": person["id"],
        "campaign_id": campaign_id,
        "consent_at": NIGHT,
        "consent_source": ConsentSource.WRITTEN,
        "started_at": NIGHT - timedelta(days=3),
        "paused": False,
        "next_due_at": NIGHT,
        "why": "",
    }


def _day(url: str, size: int) -> None:
    with Store.open(url, secret=SECRET, clock=lambda: NIGHT) as store, _Measured("carecall plan", size):
        totals = Totals()
        for line in day_lines(store, store.outreach.campaigns(), DAY, NIGHT, names=True):
            totals.add(line.entry)
    assert totals.standings.total() == 2 * size


def _ticks_at_night(url: str, size: int) -> None:
    _ticks(url, size, NIGHT, "ticks in the night, nobody due")


def _ticks_at_noon(url: str, size: int) -> None:
    database = Database(url, Cipher(SECRET), lambda: NOON)
    with database.writing() as session:
        session.connection().execute(update(EnrollmentRow).values(next_due_at=NOON))
    database.close()
    _ticks(url, size, NOON, "ticks at noon, everybody due")


def _ticks(url: str, size: int, now: datetime, what: str) -> None:
    planned = 0
    with Store.open(url, secret=SECRET, clock=lambda: now) as store, _Measured(what, size):
        while looked_at := store.outreach.plan_due(next_check, limit=TICK):
            planned += looked_at
    assert planned == size


class _Measured:
    """Prints the time that the block took, that of one core, and by how much it raised the peak memory."""

    def __init__(self, what: str, size: int) -> None:
        self._what, self._size = what, size

    def __enter__(self) -> None:
        self._peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._began, self._used = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        seconds, used = time.perf_counter() - self._began, time.process_time() - self._used
        grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - self._peak_kib) / 1024
        print(
            f"{self._size:7} enrolled: {self._what}: {seconds:.2f} s, {self._size / seconds:,.0f}/s, "
            f"{used:.2f} s of one core, "
            f"peak memory +{grown_mib:.1f} MiB",
            flush=True,
        )


if __name__ == "__main__":
    main()
