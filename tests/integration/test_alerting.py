"""Alerts reach people who are not at the dashboard, at least once, whatever the receivers do or we die of."""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import socket
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from mail_server import certificate, mail_server
from sqlmodel import Session, create_engine, select

from carecall.app import Program, create_app
from carecall.domain.attempt import AttemptState
from carecall.domain.finding import Evidence
from carecall.domain.language import Language
from carecall.domain.triage import Alert, Urgency
from carecall.errors import StoreUnavailable
from carecall.outreach import alerting
from carecall.settings import Settings
from carecall.store import Store
from carecall.store.facade import upgrade_database
from carecall.store.outreach import Delivery
from carecall.store.tables import AlertRow

KEY = b"k" * 32
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
START = datetime(2026, 5, 4, 0, 30, tzinfo=UTC)
sqlite_only = pytest.mark.skipif(bool(os.environ.get("CARECALL_TEST_POSTGRES")), reason="lets a user be missing")
PERSONAL = ("Mina", "8210", "crushing my chest", "1234-5678")


@dataclass(frozen=True)
class Dialog:
    id: str = "wellbeing"
    language: Language = Language.ENGLISH
    version: str = "1.0"
    hash: str = "ab" * 32


@dataclass
class Clock:
    at: datetime = START

    def now(self) -> datetime:
        return self.at

    def pass_s(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Receiver:
    """An HTTP server that answers with the next of these, and with the last one from then on; 0 hangs."""

    answers: list[tuple[int, str]]
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    async def hold(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.requests.append((head[0], headers, body))
            status, more = self.answers[min(len(self.requests), len(self.answers)) - 1]
            if status == 0:
                await reader.read()
            else:
                writer.write(f"HTTP/1.1 {status} So\r\n{more}content-length: 0\r\nconnection: close\r\n\r\n".encode())
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for _, headers, _ in self.requests]


@asynccontextmanager
async def receiver(*answers: tuple[int, str]) -> AsyncIterator[Receiver]:
    peer = Receiver(list(answers))
    server = await asyncio.start_server(peer.hold, "127.0.0.1", 0)
    peer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/alerts?token=hush"
    try:
        yield peer
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.05)


def with_webhook(url: str) -> dict[str, Any]:
    return {"alert_webhook_url": url, "alert_webhook_secret": SECRET}


def with_mail(url: str) -> dict[str, Any]:
    return {
        "smtp_url": url,
        "alert_email_to": "night@care.test, day@care.test",
        "alert_email_from": "carecall@care.test",
        "public_url": "https://care.test",
    }


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(url: str, clock: Clock) -> Iterator["Opened"]:
    stores = Opened(url, clock)
    yield stores
    stores.close()


class Opened:
    """Opens the store as the program does with given settings."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._stores: list[Store] = []

    def __call__(self, settings: Settings) -> Store:
        channels = alerting.channels(settings)
        store = Store.open(self._url, upgrade=True, clock=self._clock.now, alert_channels=channels)
        self._stores.append(store)
        return store

    def close(self) -> None:
        for store in self._stores:
            store.close()


def raise_alert(store: Store, urgency: Urgency = Urgency.EMERGENCY, name: str = "Mina Park") -> uuid.UUID:
    attempt_id = store.attempts.ad_hoc(Dialog(), name, Language.ENGLISH, "+821012345678" if name == "Mina Park" else "")
    store.attempts.advance(attempt_id, AttemptState.IN_PROGRESS)
    evidence = (Evidence(1, "something is crushing my chest", 2.0),)
    store.calls.raise_alert(attempt_id, Alert("chest_pain", urgency, "Chest pain", evidence))
    return attempt_id


def acknowledge_all(url: str) -> None:
    """As by a user of this database; SQLite lets the user be missing."""
    engine = create_engine(url)
    with Session(engine) as session:
        for alert in session.exec(select(AlertRow)):
            alert.acknowledged_at, alert.acknowledged_by = START, uuid.uuid4()
        session.commit()
    engine.dispose()


async def rounds(store: Store, settings: Settings, clock: Clock, number: int, every_s: float = 400) -> list[int]:
    """So many rounds, each long enough after the one before for everything to be due again."""
    arrived = []
    for _ in range(number):
        arrived.append(await alerting.deliver_due(store, settings, now=clock.now))
        clock.pass_s(every_s)
    return arrived


def test_the_signature_is_the_one_of_the_standards_own_example() -> None:
    headers = alerting.signed(
        base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        b'{"test": 2432232314}',
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_a_webhook_tells_what_and_where_is_signed_and_names_nobody(opened: Opened, clock: Clock) -> None:
    async with receiver((200, "")) as peer:
        settings = Settings(**with_webhook(peer.url))
        store = opened(settings)
        attempt_id = raise_alert(store)
        assert await rounds(store, settings, clock, 3) == [1, 0, 0]
    ((first_line, headers, body),) = peer.requests
    assert first_line == "POST /alerts?token=hush HTTP/1.1"
    assert headers["content-type"] == "application/json"
    assert headers["webhook-timestamp"] == str(int(START.timestamp()))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    signature = base64.b64encode(hmac.digest(KEY, content, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{signature}"
    event = json.loads(body)
    assert (event["type"], event["id"]) == ("alert.raised", headers["webhook-id"])
    assert event["timestamp"] == "2026-05-04T00:30:00.000Z"
    alert_id = event["data"].pop("alert_id")
    assert uuid.UUID(alert_id)
    assert event["data"] == {
        "attempt_id": str(attempt_id),
        "recipient_id": str(store.attempts.get(attempt_id).recipient_id),
        "urgency": "emergency",
        "code": "chest_pain",
        "reason": "Chest pain",
        "raised_at": "2026-05-04T00:30:00.000Z",
    }
    assert not [word for word in PERSONAL if word.encode() in body]


async def test_an_alert_that_can_wait_stays_on_the_dashboard(opened: Opened, clock: Clock) -> None:
    async with receiver((200, "")) as peer:
        settings = Settings(**with_webhook(peer.url))
        store = opened(settings)
        raise_alert(store, Urgency.ATTENTION)
        assert await rounds(store, settings, clock, 1) == [0]
    assert peer.requests == []


async def test_failures_redirects_and_silence_are_followed_by_another_try_with_the_same_id(
    opened: Opened, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(alerting, "DEADLINE_S", 0.3)
    async with (
        receiver((200, "")) as elsewhere,
        receiver((500, ""), (302, f"location: {elsewhere.url}\r\n"), (0, ""), (410, ""), (204, "")) as peer,
    ):
        settings = Settings(**with_webhook(peer.url))
        store = opened(settings)
        attempt_id = raise_alert(store)
        assert await rounds(store, settings, clock, 6) == [0, 0, 0, 0, 1, 0]
        assert elsewhere.requests == []
    assert len(peer.requests) == 5
    assert len(set(peer.ids)) == 1
    assert len({body for _, _, body in peer.requests}) == 1
    assert len({headers["webhook-timestamp"] for _, headers, _ in peer.requests}) == 5
    assert [record.getMessage().split(": ")[1].split(";")[0] for record in caplog.records] == [
        "answered 500",
        "answered 302",
        "no answer within 0 s",
        "answered 410",
    ]
    assert {getattr(record, "attempt_id", None) for record in caplog.records} == {attempt_id}
    assert not [secret for secret in ("hush", SECRET, "127.0.0.1", *PERSONAL) if secret in caplog.text]


async def test_a_receiver_that_is_not_there_gets_the_alert_when_it_is(opened: Opened, clock: Clock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    settings = Settings(**with_webhook(f"http://127.0.0.1:{port}/"))
    store = opened(settings)
    raise_alert(store)
    assert await rounds(store, settings, clock, 2) == [0, 0]
    async with receiver((200, "")) as peer:
        assert await rounds(store, Settings(**with_webhook(peer.url)), clock, 1) == [1]


async def test_a_try_waits_five_seconds_then_fifteen_then_a_minute_then_five_for_ever(
    opened: Opened, clock: Clock
) -> None:
    async with receiver((503, "")) as peer:
        settings = Settings(**with_webhook(peer.url))
        store = opened(settings)
        raise_alert(store)
        tried_at = []
        for _ in range(3600):
            before = len(peer.requests)
            await alerting.deliver_due(store, settings, now=clock.now)
            if len(peer.requests) > before:
                tried_at.append((clock.at - START).total_seconds())
            clock.pass_s(1)
    gaps = [later - earlier for earlier, later in pairwise(tried_at)]
    for gap, usual in zip(gaps[:4], (5, 15, 60, 300), strict=True):
        assert 0.8 * usual <= gap <= 1.2 * usual + 1
    assert all(240 <= gap <= 361 for gap in gaps[3:])
    assert len(set(gaps[3:])) > 1
    assert len(tried_at) > 3600 / 361


async def test_a_receiver_that_asks_for_time_is_given_it_within_five_minutes(opened: Opened, clock: Clock) -> None:
    async with receiver((429, "retry-after: 120\r\n"), (429, "retry-after: 86400\r\n"), (200, "")) as peer:
        settings = Settings(**with_webhook(peer.url))
        store = opened(settings)
        raise_alert(store)
        assert await rounds(store, settings, clock, 3, every_s=119) == [0, 0, 0]
        assert len(peer.requests) == 2
        clock.pass_s(301)
        assert await rounds(store, settings, clock, 1) == [1]


async def test_a_receiver_that_hangs_holds_up_no_mail_and_its_alerts_not_one_another(
    opened: Opened, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerting, "DEADLINE_S", 4.0)
    async with receiver((0, "")) as peer, mail_server() as mails:
        settings = Settings(**with_webhook(peer.url), **with_mail(f"smtp://127.0.0.1:{mails.port}"))
        store = opened(settings)
        for number in range(10):
            raise_alert(store, name=f"Person {number}")
        begun = time.monotonic()
        delivering = asyncio.create_task(alerting.deliver_due(store, settings, now=clock.now))
        while len(mails.mails) < 10:
            await asyncio.sleep(0.01)
        assert time.monotonic() - begun < 3.5
        assert await delivering == 10
        assert time.monotonic() - begun < 8
    assert len(set(peer.ids)) == 10


async def test_a_process_killed_before_it_could_write_down_the_answer_sends_again_with_the_same_id(
    opened: Opened, clock: Clock, url: str
) -> None:
    async with receiver((200, "")) as peer:
        settings = Settings(**with_webhook(peer.url))
        store = opened(settings)
        raise_alert(store)
        program = """
import asyncio, os, signal, sys
from carecall.outreach.alerting import deliver_due
from carecall.settings import Settings
from carecall.store import Store
store = Store.open(sys.argv[1])
store.outreach.delivered = lambda delivery_id: os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(deliver_due(store, Settings(alert_webhook_url=sys.argv[2], alert_webhook_secret=sys.argv[3])))
"""
        killed = await asyncio.create_subprocess_exec(sys.executable, "-c", program, url, peer.url, SECRET)
        assert await killed.wait() == -9
        clock.at = datetime.now(UTC) + timedelta(minutes=1)
        assert await rounds(store, settings, clock, 2) == [1, 0]
    assert len(peer.ids) == 2
    assert len(set(peer.ids)) == 1


async def test_two_workers_at_once_send_an_alert_once(opened: Opened, clock: Clock) -> None:
    async with receiver((200, "")) as peer, mail_server() as mails:
        settings = Settings(**with_webhook(peer.url), **with_mail(f"smtp://127.0.0.1:{mails.port}"))
        workers = [opened(settings), opened(settings)]
        raise_alert(workers[0])
        arrived = await asyncio.gather(*(alerting.deliver_due(each, settings, now=clock.now) for each in workers))
        assert sum(arrived) == 2
    assert len(peer.ids) == len(mails.mails) == 1


@sqlite_only
async def test_an_acknowledged_alert_is_not_mailed_any_more_but_still_posted(
    opened: Opened, clock: Clock, url: str
) -> None:
    async with receiver((500, ""), (200, "")) as peer, mail_server() as mails:
        settings = Settings(**with_webhook(peer.url), **with_mail(f"smtp://127.0.0.1:{mails.port}"))
        store = opened(settings)
        raise_alert(store)
        mails.answers["DATA"] = "451 later"
        assert await rounds(store, settings, clock, 1) == [0]
        mails.answers.clear()
        acknowledge_all(url)
        assert await rounds(store, settings, clock, 2) == [1, 0]
    assert mails.mails == []


async def test_an_answer_that_cannot_be_written_down_stops_nothing(
    opened: Opened, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with receiver((200, "")) as peer:
        settings = Settings(**with_webhook(peer.url))
        store = opened(settings)
        raise_alert(store)
        raise_alert(store, name="Person")
        delivered = store.outreach.delivered

        refused: list[uuid.UUID] = []

        def refuse_once(delivery_id: uuid.UUID) -> None:
            if not refused:
                refused.append(delivery_id)
                raise StoreUnavailable("The database cannot be used.")
            delivered(delivery_id)

        monkeypatch.setattr(store.outreach, "delivered", refuse_once)
        assert await rounds(store, settings, clock, 3) == [1, 1, 0]
    assert len(peer.ids) == 3
    assert len(set(peer.ids)) == 2
    assert "is not recorded" in caplog.text


async def test_a_process_without_a_worker_delivers_too_and_outlives_an_outage_of_its_database(
    opened: Opened, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with receiver((200, "")) as peer:
        settings = Settings(**with_webhook(peer.url))
        store = opened(settings)
        due = store.outreach.due_deliveries
        troubles = [StoreUnavailable("The database cannot be used."), RuntimeError("a fault of ours")]

        def fail_first() -> list[Delivery]:
            if troubles:
                raise troubles.pop(0)
            return due()

        monkeypatch.setattr(store.outreach, "due_deliveries", fail_first)
        delivering = asyncio.create_task(alerting.keep_delivering(store, settings, every_s=0.01))
        raise_alert(store)
        while not peer.requests:
            await asyncio.sleep(0.01)
        delivering.cancel()
        await asyncio.gather(delivering, return_exceptions=True)
    assert [record.exc_info is None for record in caplog.records] == [True, False]


async def test_a_server_without_a_worker_delivers_what_is_raised_in_its_calls(url: str) -> None:
    async with receiver((200, "")) as peer:
        settings = Settings(**with_webhook(peer.url), database_url=url, llm="none", tts_en="espeak-ng")
        upgrade_database(url)
        app = create_app(settings)
        async with app.router.lifespan_context(app):
            program: Program = app.state.program
            await program.store.run(raise_alert, program.store)
            async with asyncio.timeout(10):
                while not peer.requests:
                    await asyncio.sleep(0.05)
    assert len(peer.ids) == 1


# E-mail


async def test_a_mail_says_in_both_languages_how_urgent_it_is_and_where_to_look_and_nothing_else(
    opened: Opened, clock: Clock
) -> None:
    async with mail_server() as peer:
        settings = Settings(**with_mail(f"smtp://care:p%40ss@127.0.0.1:{peer.port}"))
        store = opened(settings)
        raise_alert(store)
        assert await rounds(store, settings, clock, 2) == [1, 0]
    (mail,) = peer.mails
    assert peer.logins == [("care", "p@ss")]
    assert [each.partition(":")[2] for each in peer.recipients] == ["<night@care.test>", "<day@care.test>"]
    assert mail["Subject"] == "[CareCall] 응급 알림 · Emergency alert"
    assert mail["To"] == "night@care.test, day@care.test"
    assert mail["Auto-Submitted"] == "auto-generated"
    text = mail.get_content()
    for words in ("응급 알림입니다", "Emergency alert", "chest_pain", "2026-05-04 00:30 UTC", "https://care.test"):
        assert words in text
    assert not [word for word in PERSONAL if word in mail.as_string() or word in text]


@pytest.mark.parametrize(
    ("command", "answer", "why"),
    [
        ("RCPT", "550 no such user", "refused every address (550)"),
        ("MAIL", "452 full", "refused the mail (452)"),
        ("DATA", "554 no", "refused the mail (554)"),
        ("AUTH", "535 who are you", "refused the login (535)"),
        ("DATA", "DROP", "cannot be reached (SMTPServerDisconnected)"),
        ("EHLO", "DROP", "cannot be reached (SMTPServerDisconnected)"),
        ("MAIL", "HANG", "cannot be reached (SMTPServerDisconnected)"),
    ],
)
async def test_a_mail_server_that_refuses_or_dies_is_tried_again_with_the_same_message_id(
    command: str,
    answer: str,
    why: str,
    opened: Opened,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(alerting, "DEADLINE_S", 0.3)
    async with mail_server() as peer:
        settings = Settings(**with_mail(f"smtp://care:pass@127.0.0.1:{peer.port}"))
        store = opened(settings)
        raise_alert(store)
        peer.answers[command] = answer
        assert await rounds(store, settings, clock, 1) == [0]
        assert why in caplog.text
        assert not [secret for secret in ("care:pass", "night@", "550 no such", *PERSONAL) if secret in caplog.text]
        peer.answers.clear()
        assert await rounds(store, settings, clock, 2) == [1, 0]
        (delivery,) = {mail["Message-ID"] for mail in peer.mails}
    assert delivery.endswith("@care.test>")


async def test_a_mail_that_was_sent_but_not_recorded_comes_again_with_the_same_message_id(
    opened: Opened, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with mail_server() as peer:
        settings = Settings(**with_mail(f"smtp://127.0.0.1:{peer.port}"))
        store = opened(settings)
        raise_alert(store)

        def refuse(delivery_id: uuid.UUID) -> None:
            raise StoreUnavailable

        with monkeypatch.context() as outage:
            outage.setattr(store.outreach, "delivered", refuse)
            await rounds(store, settings, clock, 1)
        assert await rounds(store, settings, clock, 1) == [1]
    first, second = peer.mails
    assert first["Message-ID"] == second["Message-ID"]


async def test_many_mails_take_one_session_and_a_lost_one_is_not_begun_again_in_the_round(
    opened: Opened, clock: Clock
) -> None:
    async with mail_server() as peer:
        settings = Settings(**with_mail(f"smtp://127.0.0.1:{peer.port}"))
        store = opened(settings)
        for number in range(5):
            raise_alert(store, name=f"Person {number}")
        peer.answers["DATA"] = "DROP"
        assert await rounds(store, settings, clock, 1) == [0]
        peer.answers.clear()
        assert await rounds(store, settings, clock, 1) == [5]
    assert peer.sessions == 2


async def test_a_slow_mail_server_ends_the_round_in_time(
    opened: Opened, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerting, "MAIL_ROUND_S", 0.4)
    async with mail_server() as peer:
        settings = Settings(**with_mail(f"smtp://127.0.0.1:{peer.port}"))
        store = opened(settings)
        raise_alert(store)
        peer.answers["MAIL"] = "HANG"
        begun = time.monotonic()
        assert await rounds(store, settings, clock, 1) == [0]
        assert time.monotonic() - begun < 5


@pytest.fixture
def name_of_the_server(monkeypatch: pytest.MonkeyPatch) -> str:
    """A host name that leads to loopback and is not known to do so."""
    resolve = socket.getaddrinfo

    def look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        return resolve("127.0.0.1" if host == "mail.care.test" else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return "mail.care.test"


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_a_server_elsewhere_gets_the_login_and_the_mail_over_tls_only(
    scheme: str,
    name_of_the_server: str,
    opened: Opened,
    clock: Clock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tls, authority = certificate(tmp_path, name_of_the_server)
    async with mail_server(tls=tls, implicit_tls=scheme == "smtps") as peer:
        settings = Settings(**with_mail(f"{scheme}://care:pass@{name_of_the_server}:{peer.port}"))
        store = opened(settings)
        raise_alert(store)
        assert await rounds(store, settings, clock, 1) == [0]  # nobody vouches for the certificate yet
        assert peer.logins == []
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        assert await rounds(store, settings, clock, 1) == [1]
    assert peer.logins == [("care", "pass")]
    assert ("STARTTLS" in peer.commands) is (scheme == "smtp")


async def test_a_server_elsewhere_without_tls_gets_neither_login_nor_mail(
    name_of_the_server: str, opened: Opened, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async with mail_server() as peer:
        settings = Settings(**with_mail(f"smtp://care:pass@{name_of_the_server}:{peer.port}"))
        store = opened(settings)
        raise_alert(store)
        assert await rounds(store, settings, clock, 1) == [0]
    assert "offers no STARTTLS" in caplog.text
    assert not {"AUTH", "MAIL"} & set(peer.commands)


async def test_a_login_that_cannot_be_said_is_a_failure_like_others(
    opened: Opened, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async with mail_server() as peer:
        settings = Settings(**with_mail(f"smtp://care:%EB%B9%84%EB%B0%80@127.0.0.1:{peer.port}"))
        store = opened(settings)
        raise_alert(store)
        assert await rounds(store, settings, clock, 1) == [0]
    assert "cannot be reached (UnicodeEncodeError)" in caplog.text
    assert "비밀" not in caplog.text


async def test_a_channel_that_is_no_longer_set_is_named(
    opened: Opened, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    store = opened(Settings(**with_webhook("http://127.0.0.1:9/"), **with_mail("smtp://127.0.0.1:9")))
    raise_alert(store)
    assert await rounds(store, Settings(), clock, 1) == [0]
    assert "CARECALL_SMTP_URL is not set any more" in caplog.text
    assert "CARECALL_ALERT_WEBHOOK_URL is not set any more" in caplog.text
