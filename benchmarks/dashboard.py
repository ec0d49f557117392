"""What a page of the dashboard costs the server, with 10,000 people and a million calls behind it.

Seeds a database (kept under build/ between runs where it is SQLite), serves the dashboard as the program does in a
process of its own, signs in by the form, and asks for every list and record over one loopback connection, the next
request when the last is answered: what is timed is the server's work and the way there and back. At last
alerts are raised, and it is timed when they stand on a work list that is open in Chromium, where that is installed.
Run: python benchmarks/dashboard.py [--database postgres]
"""

import argparse
import hashlib
import random
import re
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from live_alerts import find_chromium, measure_alerts
from sqlmodel import Session, col, select

import carecall.simulation
from carecall.domain.viewer import Role
from carecall.exchange.lists import Listing
from carecall.simulation.dashboard_seed import PASSWORD, SECRET, Size, address, seed_dashboard
from carecall.simulation.dashboard_server import clock, running_dashboard
from carecall.simulation.progress import Progress
from carecall.simulation.throwaway_postgres import throwaway_postgres
from carecall.store.engine import Database, newest_revision
from carecall.store.facade import Store
from carecall.store.personal import Cipher
from carecall.store.tables import (
    DEFAULT_ORGANISATION,
    AttemptRow,
    CampaignRow,
    RecipientRow,
    ReportRow,
)

AT = datetime(2026, 5, 4, 5, tzinfo=UTC)  # a Monday, 14:00 in Seoul
CACHE = Path("build") / "bench-dashboard"
WITHIN_MS = 100.0
AT_MOST_KB = 100.0
SHOWN_WITHIN_MS = 1000.0
_SETTLES_S = 1.0  # until the server has noticed that nobody reads a list to its end
_OURS = {"Sec-Fetch-Site": "same-origin", "Accept-Encoding": "gzip"}


@dataclass(frozen=True, slots=True)
class Look:
    """One kind of request: its addresses in turn; posted with a ``form``; a ``stream`` is timed to its first byte."""

    name: str
    addresses: Sequence[str]
    form: Sequence[dict[str, str]] = ()
    stream: bool = False
    headers: dict[str, str] | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--recipients", type=int, default=Size().recipients)
    parser.add_argument("--calls", type=int, default=Size().calls)
    parser.add_argument("--requests", type=int, default=60, help="of each kind; 0 measures alerts alone")
    parser.add_argument("--alerts", type=int, default=20)
    given = parser.parse_args()
    size = Size(given.recipients, given.calls)
    seeded = _in_postgres(size) if given.database == "postgres" else _in_sqlite(size)
    with seeded as url, tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        behind = datetime.now(UTC) - AT
        base = stack.enter_context(running_dashboard(url, behind, Path(folder))).base
        client = stack.enter_context(httpx.Client(base_url=base, headers=_OURS, trust_env=False, timeout=60))
        _sign_in(client)
        looks = _looks(url, client) if given.requests else ()
        slow = [look.name for look in looks if _measure(client, look, given.requests) > WITHIN_MS]
        if given.alerts and _alerts(url, behind, base, client, given.alerts) > SHOWN_WITHIN_MS:
            slow.append("alert on the screen")
        weight = _first_load(client)
    print(f"first load: {weight:.1f} KB gzipped (at most {AT_MOST_KB:.0f})")
    if slow or weight > AT_MOST_KB:
        print(f"too slow at the 95th percentile: {', '.join(slow) or 'nothing'}")
        sys.exit(1)
    print(f"every p95 is within its limit ({WITHIN_MS:.0f} ms; {SHOWN_WITHIN_MS:.0f} ms for an alert on the screen)")


@contextmanager
def _in_sqlite(size: Size) -> Iterator[str]:
    """The database, seeded anew when the seeding or the tables have changed."""
    folder = Path(carecall.simulation.__file__ or "").parent
    made_by = b"".join(
        file.read_bytes()
        for file in (folder / "bulk.py", folder / "dashboard_seed.py", *sorted(folder.glob("seed_*.py")))
    )
    mark = hashlib.sha256(made_by + newest_revision().encode()).hexdigest()[:8]
    file = CACHE / f"{size.recipients}-{size.calls}-{mark}.sqlite3"
    url = f"sqlite:///{file}"
    if not file.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        for old in CACHE.iterdir():
            old.unlink()
        half = file.with_suffix(".half")
        _seed(f"sqlite:///{half}", size)
        half.rename(file)
    yield url


@contextmanager
def _in_postgres(size: Size) -> Iterator[str]:
    with throwaway_postgres() as url:
        _seed(url, size)
        yield url


def _seed(url: str, size: Size) -> None:
    progress = Progress()
    made = seed_dashboard(url, size, at=AT, secret=SECRET, progress=progress)
    progress.end()
    print(f"seeded {made.recipients:,} recipients, {made.calls:,} calls, {made.rows:,} rows in {made.seconds:.0f} s")


def _sign_in(client: httpx.Client) -> None:
    answer = client.post("/sign-in", data={"email": address(Role.ADMIN), "password": PASSWORD})
    if answer.status_code != httpx.codes.SEE_OTHER:
        raise SystemExit(f"signing in was answered {answer.status_code}")


def _looks(url: str, client: httpx.Client) -> Iterator[Look]:
    database = Database(url, Cipher(SECRET), lambda: AT)
    chance = random.Random(11)
    with database.reading() as session:
        people = chance.sample(_people(session), 60)
        calls = _calls(session, people)
        campaigns = session.exec(
            select(CampaignRow.id).where(CampaignRow.organisation_id == DEFAULT_ORGANISATION)
        ).all()
        names = [row.name for row in session.exec(select(RecipientRow).where(col(RecipientRow.id).in_(people)))]
    database.close()
    yield Look("today", ["/"])
    filters = ("urgency=urgent", "whose=mine", "language=ko", f"campaign={campaigns[0]}", "fine=40", "waiting=2")
    yield Look("today, filtered", [f"/?{each}" for each in filters])
    yield Look("people", ["/people"])
    orders = ("pressing", "next", "newest", "oldest")
    yield Look("people, ordered", [f"/people?order={order}" for order in orders])
    choices = ("state=urgent", "state=fine", "called=no_consent", "called=called", f"campaign={campaigns[1]}")
    yield Look("people, filtered", [f"/people?{each}" for each in choices])
    yield Look("people, next page", _next_pages(client))
    yield Look("people, searched", ["/people/search"], [{"search": name} for name in names])
    yield Look("person's details", [f"/people/{each}" for each in people])
    yield Look("recipient", [f"/recipients/{each}" for each in people])
    yield Look("recipient, history", [f"/recipients/{each}/history" for each in people])
    yield Look("call", [f"/calls/{each}" for each in calls])
    yield Look("campaigns", ["/campaigns"])
    yield Look("campaign", [f"/campaigns/{each}" for each in campaigns])
    yield Look("plan of a day", [f"/campaigns/{each}/plan" for each in campaigns] + ["/plan", "/plan?only=no_consent"])
    yield Look("users", ["/admin"])
    yield Look("health", ["/admin/health"])
    entries = ("", "?action=recipient.viewed", f"?subject=recipient:{people[0]}", "?since=2026-05-01")
    yield Look("audit trail", [f"/admin/audit{each}" for each in entries])
    exports = [f"/downloads/list?what={what}&format=csv&from=2026-04-04&to=2026-05-04" for what in Listing]
    yield Look("export, first byte", exports, stream=True)
    yield Look("transcript", [f"/calls/{each}/transcript.txt" for each in calls])
    yield Look("FHIR bundle of a person", [f"/recipients/{each}/fhir" for each in people])
    by_token = {"Authorization": f"Bearer {_token(client)}"}
    api = (
        f"Patient/{people[0]}",
        "Patient?_count=50",
        "QuestionnaireResponse?_count=20",
        f"Observation?patient={people[0]}",
    )
    yield Look("API, FHIR", [f"/api/fhir/{each}" for each in api], headers=by_token)
    by_token = {"Authorization": f"Bearer {_token(client)}"}  # another: each may ask so often a minute
    yield Look("API, alerts", ["/api/alerts"], headers=by_token)


def _token(client: httpx.Client) -> str:
    """A new one of the interface for other systems."""
    page = client.post("/admin/api-tokens", data={"name": f"Measuring {uuid.uuid4().hex[:8]}"})
    found = re.search(r"<code>([^<\s]{20,})</code>", page.text)
    if found is None:
        raise SystemExit(f"no token was given out ({page.status_code})")
    return found[1]


def _people(session: Session) -> list[uuid.UUID]:
    return list(session.exec(select(RecipientRow.id).where(RecipientRow.organisation_id == DEFAULT_ORGANISATION)))


def _calls(session: Session, people: Sequence[uuid.UUID]) -> list[uuid.UUID]:
    """The newest talk of each."""
    found = []
    for person in people:
        query = select(AttemptRow.id).join(ReportRow, col(ReportRow.attempt_id) == AttemptRow.id)
        newest = query.where(AttemptRow.recipient_id == person).order_by(col(AttemptRow.planned_at).desc()).limit(1)
        found.append(session.exec(newest).one())
    return found


def _next_pages(client: httpx.Client) -> list[str]:
    """The pages that a link leads on to, for each order."""
    pages = []
    for order in ("pressing", "next", "newest", "oldest"):
        address = f"/people?order={order}"
        for _ in range(8):
            found = re.search(r'href="(/people\?[^"]*after=[^"]*)"', client.get(address).text)
            if found is None:
                break
            address = found[1].replace("&amp;", "&")
            pages.append(address)
    return pages


def _measure(client: httpx.Client, look: Look, requests: int) -> float:
    """Prints a line. Gives the 95th percentile in milliseconds."""
    spans, size = [], 0
    for number in range(requests + 2):  # the first two warm the server
        address = look.addresses[number % len(look.addresses)]
        form = look.form[number % len(look.form)] if look.form else None
        request = client.build_request("POST" if form else "GET", address, data=form, headers=look.headers)
        began = time.perf_counter()
        answer = client.send(request, stream=True)
        if look.stream:
            next(answer.iter_raw(), b"")
            spans.append(time.perf_counter() - began)
            answer.close()
            time.sleep(_SETTLES_S)
        else:
            answer.read()
            spans.append(time.perf_counter() - began)
            size = max(size, answer.num_bytes_downloaded)
        if answer.status_code != httpx.codes.OK:
            raise SystemExit(f"{address} was answered {answer.status_code}")
    return _tell(look.name, [span * 1000 for span in spans[2:]], WITHIN_MS, f"  {size / 1024:6.1f} KB")


def _alerts(url: str, behind: timedelta, base: str, client: httpx.Client, alerts: int) -> float:
    """Prints two lines. Gives the 95th percentile of the way to the screen in milliseconds."""
    chromium = find_chromium()
    if chromium is None:
        print("alerts are not measured: Chromium is not installed ('make browser' sees to it)")
        return 0.0
    database = Database(url, Cipher(SECRET), clock(behind))
    with Store.open(url, secret=SECRET, clock=clock(behind)) as store:
        told, shown = measure_alerts(chromium, base, client.cookies["carecall"], store, database, alerts)
    database.close()
    _tell("alert, told to the browser", told, SHOWN_WITHIN_MS)
    return _tell("alert, on the screen", shown, SHOWN_WITHIN_MS)


def _tell(name: str, spans: Sequence[float], within: float, size: str = "") -> float:
    """Prints a line. Gives the 95th percentile."""
    p50, p95 = statistics.median(spans), statistics.quantiles(spans, n=20, method="inclusive")[-1]
    over = "  over" if p95 > within else ""
    print(f"{name:28} p50 {p50:7.1f} ms  p95 {p95:7.1f} ms  most {max(spans):7.1f} ms{size}{over}", flush=True)
    return p95


def _first_load(client: httpx.Client) -> float:
    """Kilobytes over the line for the first page with everything that it asks for."""
    page = client.get("/")
    weight = page.num_bytes_downloaded
    for file in sorted(set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text))):
        weight += client.get(file).num_bytes_downloaded
    return weight / 1000


if __name__ == "__main__":
    main()
