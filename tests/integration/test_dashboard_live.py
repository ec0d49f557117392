"""Live updates over a real connection: what another process writes is on open screens within a second."""

import asyncio
import html
import re
import statistics
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import pytest
import uvicorn
from dashboard_office import Dialog, Office
from databases import POSTGRES
from sqlmodel import select

from carecall.dashboard import live
from carecall.domain.attempt import AttemptState
from carecall.domain.triage import Alert, Urgency
from carecall.domain.turn import Speaker, Turn
from carecall.domain.viewer import Role, Viewer
from carecall.store.news import News
from carecall.store.tables import AlertRow, NewsRow, TaskRow

_ALERTS = 7
_RAISE = """
import sys, time, uuid
from carecall.domain.triage import Alert, Urgency
from carecall.store import Store
url, attempt, alerts = sys.argv[1:]
with Store.open(url, secret="a key") as store:
    for number in range(int(alerts)):
        store.calls.raise_alert(uuid.UUID(attempt), Alert(f"fall_{number}", Urgency.EMERGENCY, "A fall.", ()))
        print(time.time(), flush=True)
        time.sleep(0.33)
"""


@dataclass(frozen=True)
class Event:
    id: str
    name: str
    data: str
    at: float


class Screen:
    """An open stream."""

    def __init__(self, status: int, headers: dict[str, str], lines: asyncio.StreamReader) -> None:
        self.status = status
        self.headers = headers
        self._lines = lines

    async def next(self, within_s: float = 5.0) -> Event:
        """The next event that has a name. Raises EOFError at the end of the stream."""
        async with asyncio.timeout(within_s):
            fields: dict[str, str] = {}
            while line := await self._lines.readline():
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    fields[name] = value
                elif "event" in fields:
                    return Event(fields["id"], fields["event"], fields.get("data", ""), time.time())
                else:
                    fields = {}
        raise EOFError


class Site:
    """The office behind a real server."""

    def __init__(self, office: Office, port: int) -> None:
        self.office = office
        self._port = port

    @asynccontextmanager
    async def screen(self, viewer: Viewer, query: str = "", last: str = "") -> AsyncIterator[Screen]:
        token = self.office.store.users.begin_session(viewer.user_id, verified=True)
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        asked = [f"GET /events{query} HTTP/1.0", f"Cookie: carecall={token}", "HX-Request: true"]
        asked += [f"Last-Event-ID: {last}"] if last else []
        try:
            writer.write("\r\n".join([*asked, "", ""]).encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            yield Screen(int(head[0].split()[1]), headers, reader)
        finally:
            writer.close()
            await writer.wait_closed()

    @asynccontextmanager
    async def mine(self, query: str = "", last: str = "") -> AsyncIterator[Screen]:
        async with self.screen(self.office.ours.users[Role.CARE_WORKER], query, last) as screen:
            yield screen

    def call(self) -> uuid.UUID:
        """A call under way."""
        call = self.office.store.attempts.create(self.office.ours.enrollment, Dialog())
        self.office.store.attempts.advance(call, AttemptState.IN_PROGRESS)
        return call

    def alert(self, call: uuid.UUID, code: str = "fall") -> uuid.UUID:
        self.office.store.calls.raise_alert(call, Alert(code, Urgency.EMERGENCY, "A fall.", ()))
        with self.office.store._database.reading() as session:
            return session.exec(select(AlertRow.id).where(AlertRow.attempt_id == call, AlertRow.code == code)).one()


@asynccontextmanager
async def _serving(office: Office) -> AsyncIterator[Site]:
    config = uvicorn.Config(office.app, port=0, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Site(office, port)
    finally:
        office.app.state.live.close()
        server.should_exit = True
        with suppress(asyncio.CancelledError):
            await task


async def test_alerts_of_another_process_are_on_their_way_to_an_open_screen_within_a_second(office: Office) -> None:
    async with _serving(office) as site:
        call = site.call()
        async with site.mine() as screen:
            assert (await screen.next()).name == "ready"
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                _RAISE,
                office.settings.database,
                str(call),
                str(_ALERTS),
                stdout=asyncio.subprocess.PIPE,
            )
            told = [await screen.next(60.0) for _ in range(_ALERTS)]
            output, _ = await process.communicate()
        assert {event.name for event in told} == {"alert"}
        spans = [event.at - float(raised) for event, raised in zip(told, output.split(), strict=True)]
        assert statistics.median(spans) < 1.0, spans


async def test_events_carry_ids_and_nothing_else(office: Office) -> None:
    async with _serving(office) as site, site.mine() as screen:
        await screen.next()
        office.store.care.acknowledge(office.ours.users[Role.CARE_WORKER], office.ours.alert)
        told = await screen.next()
    assert (told.name, told.data) == ("alert", str(office.ours.alert))
    assert screen.headers["content-type"].startswith("text/event-stream")
    assert screen.headers["cache-control"] == "no-store"


async def test_a_call_can_be_watched(office: Office) -> None:
    async with _serving(office) as site:
        call = site.call()
        async with site.mine(f"?call={call}") as watching, site.mine() as today:
            await watching.next()
            await today.next()
            office.store.calls.add_turn(call, Turn(0, Speaker.AGENT, "안녕하세요", 0.0, 1.0))
            told = await watching.next()
            assert (told.name, told.data) == (f"turn:{call}", str(call))
            office.store.attempts.advance(call, AttemptState.COMPLETED)
            assert (await today.next()).name == "attempt"  # the turn was not told to a screen that does not watch
            assert (await watching.next()).name == "attempt"


async def test_what_is_said_before_the_page_of_a_call_listens_is_told_once(office: Office) -> None:
    async with _serving(office) as site:
        call = site.call()
        office.store.calls.add_turn(call, Turn(0, Speaker.AGENT, "안녕하세요?", 0.0, 1.0))
        page = (await office.care_worker.get(f"/calls/{call}")).text
        address = re.search(r'hx-sse:connect="/events([^"]+)"', page)
        assert address is not None
        office.store.calls.add_turn(call, Turn(1, Speaker.RECIPIENT, "네.", 1.5, 2.0))
        async with site.mine(html.unescape(address[1])) as screen:
            told = await screen.next()
            with pytest.raises(TimeoutError):
                await screen.next(1.5)
            office.store.calls.add_turn(call, Turn(2, Speaker.AGENT, "식사하셨어요?", 2.5, 3.5))
            after = await screen.next()
        assert told.name == after.name == f"turn:{call}"
        assert int(told.id) < int(after.id)


async def test_another_organisation_hears_nothing(office: Office) -> None:
    async with _serving(office) as site, site.screen(office.others.users[Role.CARE_WORKER]) as theirs:
        await theirs.next()
        office.store.care.acknowledge(office.ours.users[Role.CARE_WORKER], office.ours.alert)
        with pytest.raises(TimeoutError):
            await theirs.next(1.5)


async def test_a_lost_connection_misses_nothing(office: Office) -> None:
    async with _serving(office) as site:
        call = site.call()
        async with site.mine() as screen:
            last = (await screen.next()).id
        raised = [site.alert(call, f"fall_{number}") for number in range(3)]
        async with site.mine(last=last) as again:
            assert [(await again.next()).data for _ in range(3)] == [str(alert) for alert in raised]
            fourth = site.alert(call, "fall_4")
            assert (await again.next()).data == str(fourth)


async def test_a_screen_that_was_away_too_long_is_told_to_look_anew(office: Office) -> None:
    async with _serving(office) as site, site.mine(last="999999") as screen:
        assert (await screen.next()).name == "stale"


async def test_the_stream_ends_with_the_session(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.5)
    async with _serving(office) as site, site.mine() as screen:
        await screen.next()
        office.store.users.sign_out_everywhere(office.ours.users[Role.CARE_WORKER])
        assert (await screen.next()).name == "signed_out"
        with pytest.raises(EOFError):
            await screen.next()


async def test_nobody_holds_more_streams_than_they_may(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_STREAMS", 2)
    async with _serving(office) as site:
        async with site.mine() as one, site.mine() as two:
            await one.next()
            await two.next()
            async with site.mine() as three:
                assert three.status == 429
            async with site.screen(office.ours.users[Role.ADMIN]) as somebody_else:
                assert (await somebody_else.next()).name == "ready"
        await asyncio.sleep(2.5)  # both are noticed to be gone
        async with site.mine() as again:
            assert (await again.next()).name == "ready"


async def test_whoever_is_not_signed_in_hears_nothing(office: Office) -> None:
    async with office.browser() as browser:
        answer = await browser.get("/events", headers={"HX-Request": "true"})
    assert answer.status_code == 401


async def test_old_news_are_let_go_of(office: Office) -> None:
    newest = office.store.news.newest()
    office.clock.now = office.clock.now.replace(year=2099)
    office.store.news.forget()
    with office.store._database.reading() as session:
        assert [row.id for row in session.exec(select(NewsRow))] == [newest]


@pytest.mark.skipif(not POSTGRES, reason="SQLite has one writer at a time")
async def test_whoever_begins_first_and_ends_last_has_the_newest_news(office: Office) -> None:
    news, care_worker = office.store.news, office.ours.users[Role.CARE_WORKER]
    before = news.newest()
    with office.store._database.writing() as session:
        task = session.get_one(TaskRow, office.ours.task)
        task.due_at += timedelta(hours=1)
        session.flush()
        office.store.care.acknowledge(care_worker, office.ours.alert)
        (first,) = news.after(before)
    (second,) = news.after(first.id)
    assert (first.kind, second.kind) == ("alert", "task")


async def test_a_screen_is_told_of_what_comes_while_it_begins_to_listen(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _serving(office) as site:
        call = site.call()
        newest = office.store.news.newest()
        look, raised = office.store.news.missed, []

        def missed(viewer: Viewer, last: int) -> list[News] | None:
            found = look(viewer, last)
            raised.append(site.alert(call))  # too late for what was missed
            return found

        monkeypatch.setattr(office.store.news, "missed", missed)
        async with site.mine(f"?after={newest}") as screen:
            told = await screen.next()
        assert (told.name, told.data) == ("alert", str(raised[0]))
