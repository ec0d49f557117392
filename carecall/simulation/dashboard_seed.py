"""Fills a database as years of use would, to measure and to look at the dashboard: people, calls, alerts, tasks.

``python -m carecall.simulation.dashboard_seed --recipients 10000 --calls 1000000 --database sqlite:///FILE`` makes two
towns with their users, campaigns and people, each of whom was called about twice a week until a moment in the afternoon
of a working day (``--at``, in the towns' time zone). Every call has its check, report and day; turns, findings and
evidence are there for the calls of the last days only (``--detailed-days``), to keep the seeding short. What is random
comes from ``--seed``: the same options give the same records.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import typer

from carecall.domain.language import Language
from carecall.domain.viewer import Role
from carecall.errors import CareCallError
from carecall.settings import settings
from carecall.simulation.bulk import bulk
from carecall.simulation.progress import Progress
from carecall.simulation.seed_calls import Calls
from carecall.simulation.seed_run import GROUPS, ZONE, Run, Seeded, Size
from carecall.simulation.seed_towns import PASSWORD, Towns, address
from carecall.store.facade import Store
from carecall.store.personal import Cipher

__all__ = ["PASSWORD", "SECRET", "Seeded", "Size", "address", "last_afternoon", "seed_dashboard"]

SECRET = "a key for databases that are made to be looked at"  # unless CARECALL_SECRET_KEY names another
_DIALS_A_CHECK = 1.09


def last_afternoon(now: datetime) -> datetime:
    """Two o'clock in the towns on the last working day that is over."""
    day = now.astimezone(ZoneInfo(ZONE)).date() - timedelta(days=1)
    while day.weekday() > 4:
        day -= timedelta(days=1)
    return datetime.combine(day, time(14), ZoneInfo(ZONE)).astimezone(UTC)


def seed_dashboard(
    url: str, size: Size, *, at: datetime, secret: str = "", seed: int = 7, progress: Progress | None = None
) -> Seeded:
    """Fills the database, which is made where it is missing. Raises StoreError when it has people already."""
    with Store.open(url, secret=secret, upgrade=True) as store:
        if store.outreach.campaigns():
            raise CareCallError("This database is in use: name a new one.")
    watch = Progress()
    cipher = Cipher(secret)
    with bulk(url, cipher) as rows:
        run = Run(rows, size, at, random.Random(seed))
        for share in _fill(run, cipher):
            if progress is not None:
                progress.show(f"{share:4.0%}  {run.made.calls:,} calls, {rows.written:,} rows")
    run.made.rows, run.made.seconds = rows.written, watch.seconds
    return run.made


def _fill(run: Run, cipher: Cipher) -> Iterator[float]:
    """Gives the share that is done. Checks are made day by day, so that a person's calls lie scattered in the table."""
    towns, calls = Towns(run, cipher), Calls(run)
    towns.add()
    checks = max(1, round(run.size.calls / run.size.recipients / _DIALS_A_CHECK))
    people = towns.enroll(run.today - timedelta(days=checks * 7 // 2 + 7))
    days = sorted((day, group) for group in range(GROUPS) for day in run.days(group, checks))
    for done, (day, group) in enumerate(days):
        calls.check_all(people[group], day)
        yield (done + 1) / len(days)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="dashboard_seed", description=(__doc__ or "").partition("\n")[0])
    standard = Size()
    parser.add_argument("--database", required=True, metavar="URL", help="sqlite:///FILE or postgresql+psycopg://…")
    parser.add_argument("--recipients", type=int, default=standard.recipients)
    parser.add_argument("--calls", type=int, default=standard.calls)
    parser.add_argument("--detailed-days", type=int, default=standard.detailed_days)
    parser.add_argument("--at", type=datetime.fromisoformat, help="the moment of the last call, with its zone")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true", dest="as_json")
    given = parser.parse_args(arguments)
    at = given.at or last_afternoon(datetime.now(UTC))
    size = Size(given.recipients, given.calls, given.detailed_days)
    secret = settings().secret_key.get_secret_value() or SECRET
    progress = Progress()
    try:
        made = seed_dashboard(given.database, size, at=at, secret=secret, seed=given.seed, progress=progress)
    except CareCallError as error:
        typer.echo(f"dashboard_seed: {error}", err=True)
        sys.exit(1)
    progress.end()
    if given.as_json:
        typer.echo(json.dumps({"at": at.isoformat(), "rows": made.rows, "calls": made.calls, "seconds": made.seconds}))
        return
    behind = round((datetime.now(UTC) - at).total_seconds())
    typer.echo(
        f"{made.recipients:,} recipients, {made.calls:,} calls ({made.details:,} with turns and findings), "
        f"{made.alerts} open alerts, {made.tasks} open tasks: {made.rows:,} rows in {made.seconds:.0f} s.\n"
        f"The clock stands at {at.isoformat()}. To look at it on http://127.0.0.1:8090:\n"
        f"  python -m carecall.simulation.dashboard_server --database {given.database} --behind {behind}\n"
        f"Sign in as {address(Role.ADMIN, Language.ENGLISH)}, {address(Role.CARE_WORKER)} and so on: {PASSWORD}"
    )


if __name__ == "__main__":
    main()
