"""Twilio's REST interface over a real socket: what is sent, and what each answer and each silence means."""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID
from xml.etree import ElementTree

import pytest
from pydantic import SecretStr

from carecall.domain.language import Language
from carecall.domain.progress import AnsweredBy, CallFailure, CallProgress, CallStatus
from carecall.errors import SettingsError
from carecall.outreach.dialer import Dialer, DialRefused, DialRequest, DialUnknown, PlacedCall
from carecall.settings import Settings
from telephony.dialer import TwilioDialer

ATTEMPT = UUID("0b6f7a52-58a0-4f3c-9f0e-0d8f4f1f3c11")
ACCOUNT, AUTH_TOKEN = "AC" + "2" * 32, "an auth token of Twilio"
OURS, THEIRS = "+15005550006", "+821012345678"
CALL_SID = "CA" + "1" * 32
CALLS = f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json"
CALL = f"/2010-04-01/Accounts/{ACCOUNT}/Calls/{CALL_SID}.json"
REQUEST = DialRequest(ATTEMPT, THEIRS, ring_s=30, longest_s=900)
NOW = datetime(2025, 6, 2, 1, 0, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: dict[str, str]
    form: list[tuple[str, str]]
    headers: dict[str, str]


Answer = tuple[int, str]
Behaviour = Callable[[Asked, asyncio.StreamWriter], Awaitable[Answer | None]]


@dataclass
class Twilio:
    """A small server on loopback; what it does with a request is the test's to say."""

    behave: Behaviour
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    serving: set[asyncio.Task[None]] = field(default_factory=set)

    def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.add(asyncio.create_task(self.serve(reader, writer)))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, _ = head[0].split(" ")
            pairs = (line.split(": ", 1) for line in head[1:] if line)
            headers = {name.lower(): value for name, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            url = urlsplit(target)
            form = parse_qsl(body.decode(), keep_blank_values=True)
            asked = Asked(method, url.path, dict(parse_qsl(url.query)), form, headers)
            self.asked.append(asked)
            answer = await self.behave(asked, writer)
            if answer is not None:
                status, text = answer
                payload = text.encode()
                writer.write(
                    f"HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nConnection: close\r\n"
                    f"Content-Length: {len(payload)}\r\n\r\n".encode()
                    + payload
                )
                await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def twilio(behave: Behaviour, port: int = 0) -> AsyncIterator[Twilio]:
    peer = Twilio(behave)
    server = await asyncio.start_server(peer.take, "127.0.0.1", port)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for each in peer.serving:
            each.cancel()
        await asyncio.gather(*peer.serving, return_exceptions=True)
        await server.wait_closed()


def says(status: int, body: object) -> Behaviour:
    async def behave(asked: Asked, writer: asyncio.StreamWriter) -> Answer:
        return status, body if isinstance(body, str) else json_of(body)

    return behave


def json_of(body: object) -> str:
    return json.dumps(body)


def call(status: str = "queued", **changes: Any) -> dict[str, Any]:
    """A Call resource as Twilio writes it."""
    return {
        "sid": CALL_SID,
        "date_created": format_datetime(NOW),
        "date_updated": format_datetime(NOW),
        "parent_call_sid": None,
        "account_sid": ACCOUNT,
        "to": THEIRS,
        "from": OURS,
        "phone_number_sid": None,
        "status": status,
        "start_time": None,
        "end_time": None,
        "duration": None,
        "price": None,
        "price_unit": "USD",
        "direction": "outbound-api",
        "answered_by": None,
        "api_version": "2010-04-01",
        "queue_time": "0",
        "uri": CALL,
        "subresource_uris": {},
    } | changes


def error(code: int, status: int = 400) -> dict[str, object]:
    """An error as Twilio writes it; its words name the number."""
    page = f"https://www.twilio.com/docs/errors/{code}"
    return {"code": code, "message": f"The number {THEIRS} is not right", "more_info": page, "status": status}


def page(*calls: dict[str, Any], next_page: str | None = None) -> dict[str, object]:
    return {
        "calls": list(calls),
        "first_page_uri": CALLS,
        "next_page_uri": next_page,
        "previous_page_uri": None,
        "page": 0,
        "page_size": 50,
        "start": 0,
        "end": len(calls),
        "uri": CALLS,
    }


def dialer_of(port: int, *, within_s: float = 5.0, **changes: Any) -> TwilioDialer:
    values: dict[str, Any] = {
        "twilio_account_sid": ACCOUNT,
        "twilio_auth_token": SecretStr(AUTH_TOKEN),
        "twilio_number": OURS,
        "twilio_api_url": f"http://127.0.0.1:{port}",
        "public_url": "https://calls.example.org/care",
    }
    return TwilioDialer(Settings(**(values | changes)), within_s=within_s)


async def test_a_call_is_asked_for_with_all_its_addresses_and_limits() -> None:
    async with twilio(says(201, call())) as peer:
        dialer: Dialer = dialer_of(peer.port)
        assert await dialer.place(REQUEST) == CALL_SID
    (asked,) = peer.asked
    assert (asked.method, asked.path, asked.query) == ("POST", CALLS, {})
    voice, status = (f"https://calls.example.org/care/telephony/{hook}/{ATTEMPT}" for hook in ("voice", "status"))
    assert sorted(asked.form) == sorted(
        [
            ("To", THEIRS),
            ("From", OURS),
            ("Url", voice),
            ("Method", "POST"),
            ("FallbackUrl", f"{voice}?again=1"),
            ("FallbackMethod", "POST"),
            ("StatusCallback", status),
            ("StatusCallbackMethod", "POST"),
            ("StatusCallbackEvent", "initiated"),
            ("StatusCallbackEvent", "ringing"),
            ("StatusCallbackEvent", "answered"),
            ("StatusCallbackEvent", "completed"),
            ("Timeout", "30"),
            ("TimeLimit", "900"),
            ("MachineDetection", "DetectMessageEnd"),
            ("AsyncAmd", "true"),
            ("AsyncAmdStatusCallback", status),
            ("AsyncAmdStatusCallbackMethod", "POST"),
        ]
    )
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    scheme, _, credentials = asked.headers["authorization"].partition(" ")
    assert (scheme, base64.b64decode(credentials).decode()) == ("Basic", f"{ACCOUNT}:{AUTH_TOKEN}")


@pytest.mark.parametrize(
    ("status", "body", "failure"),
    [
        (400, error(21211), CallFailure.BAD_NUMBER),
        (400, error(21214), CallFailure.BAD_NUMBER),
        (400, error(21217), CallFailure.BAD_NUMBER),
        (400, error(13224), CallFailure.BAD_NUMBER),
        (400, error(21219), CallFailure.ACCOUNT),
        (400, error(21210), CallFailure.ACCOUNT),
        (400, error(21212), CallFailure.ACCOUNT),
        (400, error(21215), CallFailure.ACCOUNT),
        (403, error(13227, 403), CallFailure.ACCOUNT),
        (403, error(21216, 403), CallFailure.BLOCKED),
        (400, error(21610), CallFailure.BLOCKED),
        (401, error(20003, 401), CallFailure.ACCOUNT),
        (403, error(20005, 403), CallFailure.ACCOUNT),
        (400, error(10001), CallFailure.ACCOUNT),
        (429, error(20429, 429), CallFailure.LIMIT),
        (400, error(10004), CallFailure.LIMIT),
        (429, "slow down", CallFailure.LIMIT),
        (401, "", CallFailure.ACCOUNT),
        (404, error(20404, 404), CallFailure.ACCOUNT),
        (400, error(21205), CallFailure.ACCOUNT),
        (400, {"code": "a word"}, CallFailure.ACCOUNT),
        (
            400,
            {"type": "https://www.twilio.com", "title": "No", "status": 400, "code": 21211, "detail": THEIRS},
            CallFailure.BAD_NUMBER,
        ),
    ],
)
async def test_a_refusal_says_what_follows_from_it(status: int, body: object, failure: CallFailure) -> None:
    async with twilio(says(status, body)) as peer:
        with pytest.raises(DialRefused) as refused:
            await dialer_of(peer.port).place(REQUEST)
    assert refused.value.failure is failure
    assert THEIRS not in str(refused.value)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, error(20500, 500)),
        (502, "<html>Bad gateway</html>"),
        (503, ""),
        (408, ""),
        (302, ""),
        (201, ""),
        (201, "{"),
        (201, "<html>"),
        (201, []),
        (201, [1]),
        (201, "null"),
        (201, {}),
        (201, {"sid": None}),
        (201, {"sid": 5}),
        (201, {"sid": "SM123"}),
        (201, {"sid": CALL_SID, "date_created": 5}),
    ],
)
async def test_an_answer_that_leaves_open_whether_the_call_was_made_is_unknown(status: int, body: object) -> None:
    async with twilio(says(status, body)) as peer:
        with pytest.raises(DialUnknown):
            await dialer_of(peer.port).place(REQUEST)
    assert len(peer.asked) == 1, "a request to make a call is never repeated"


async def hang(asked: Asked, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(1.0)


async def cut_before(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def cut_in_the_middle(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{"sid": "CA1')
    await writer.drain()


async def babble(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
    await writer.drain()


async def drip(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 900\r\n\r\n")
    for _ in range(20):
        writer.write(b" ")
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("trouble", [hang, cut_before, cut_in_the_middle, babble, drip])
async def test_a_connection_that_is_lost_after_sending_leaves_it_open(trouble: Behaviour) -> None:
    async with twilio(trouble) as peer:
        dialer = dialer_of(peer.port, within_s=0.5)
        began = asyncio.get_running_loop().time()
        for ask in (
            lambda: dialer.place(REQUEST),
            lambda: dialer.find(THEIRS, NOW),
            lambda: dialer.look(ATTEMPT, CALL_SID),
            lambda: dialer.hang_up(CALL_SID),
        ):
            with pytest.raises(DialUnknown):
                await ask()
        assert asyncio.get_running_loop().time() - began < 4 * 0.5 + 1.0


async def free_port() -> int:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def test_where_nothing_could_be_sent_no_telephone_rang() -> None:
    dialer = dialer_of(await free_port())
    with pytest.raises(DialRefused) as refused:
        await dialer.place(REQUEST)
    assert refused.value.failure is CallFailure.NOT_PLACED
    with pytest.raises(DialUnknown):
        await dialer.find(THEIRS, NOW)
    with pytest.raises(DialUnknown):
        await dialer.look(ATTEMPT, CALL_SID)


async def test_our_calls_to_a_number_are_found_on_all_pages_oldest_first() -> None:
    older = call("completed", sid="CA" + "a" * 32, date_created=format_datetime(NOW + timedelta(seconds=1)))
    newer = call("ringing", sid="CA" + "b" * 32, date_created=format_datetime(NOW + timedelta(seconds=9)))
    queued = call("queued", sid="CA" + "c" * 32, date_created=format_datetime(NOW + timedelta(seconds=5)))
    before = call("completed", sid="CA" + "d" * 32, date_created=format_datetime(NOW - timedelta(minutes=5)))
    theirs = call("completed", sid="CA" + "e" * 32, direction="inbound")

    async def behave(asked: Asked, writer: asyncio.StreamWriter) -> Answer:
        if asked.query.get("Status") == "queued":
            return 200, json_of(page(queued))
        if asked.query.get("Page") == "1":
            return 200, json_of(page(older, queued, theirs))
        return 200, json_of(page(newer, before, next_page=f"{CALLS}?To=%2B821012345678&Page=1&PageToken=PT1"))

    async with twilio(behave) as peer:
        found = await dialer_of(peer.port).find(THEIRS, NOW)
    assert [placed.call_sid[2] for placed in found] == ["a", "c", "b"]
    assert found[0] == PlacedCall("CA" + "a" * 32, NOW + timedelta(seconds=1))
    queue, started, more = peer.asked
    assert (queue.query["To"], queue.query["From"], queue.query["Status"]) == (THEIRS, OURS, "queued")
    assert (started.query["To"], started.query["From"]) == (THEIRS, OURS)
    assert datetime.fromisoformat(started.query["StartTime>"]) <= NOW
    assert more.query["PageToken"] == "PT1"


async def test_a_call_made_in_the_same_second_is_found_though_twilio_writes_whole_seconds() -> None:
    async with twilio(says(200, page(call()))) as peer:
        assert len(await dialer_of(peer.port).find(THEIRS, NOW + timedelta(seconds=0.9))) == 1


@pytest.mark.parametrize(
    "body", ["", "[]", "{}", '{"calls": null}', '{"calls": [1]}', '{"calls": [{}]}', '{"a": "b"}', '{"a": 1, "b": 2}']
)
async def test_a_list_that_cannot_be_read_is_not_an_empty_list(body: str) -> None:
    async with twilio(says(200, body)) as peer:
        with pytest.raises(DialUnknown):
            await dialer_of(peer.port).find(THEIRS, NOW)


@pytest.mark.parametrize(
    ("resource", "progress"),
    [
        (call("queued"), CallProgress(ATTEMPT, CALL_SID, CallStatus.QUEUED, None)),
        (
            call("completed", answered_by="machine_end_beep", duration="12"),
            CallProgress(ATTEMPT, CALL_SID, CallStatus.COMPLETED, None, AnsweredBy.MACHINE_END_BEEP, 12),
        ),
        (
            call("in-progress", answered_by="machine"),
            CallProgress(ATTEMPT, CALL_SID, CallStatus.IN_PROGRESS, None, AnsweredBy.MACHINE_START),
        ),
        (call("no-answer"), CallProgress(ATTEMPT, CALL_SID, CallStatus.NO_ANSWER, None)),
        (
            call("failed", duration="0"),
            CallProgress(ATTEMPT, CALL_SID, CallStatus.FAILED, None, None, 0, CallFailure.CARRIER),
        ),
    ],
)
async def test_a_look_says_how_the_call_fares(resource: dict[str, Any], progress: CallProgress) -> None:
    async with twilio(says(200, resource)) as peer:
        assert await dialer_of(peer.port).look(ATTEMPT, CALL_SID) == progress
    assert [(asked.method, asked.path) for asked in peer.asked] == [("GET", CALL)]


async def test_a_look_for_no_call_is_refused_and_any_other_trouble_is_unknown() -> None:
    async with twilio(says(404, error(20404, 404))) as peer:
        with pytest.raises(DialRefused):
            await dialer_of(peer.port).look(ATTEMPT, CALL_SID)
    for status, body in [(401, error(20003, 401)), (429, error(20429, 429)), (500, ""), (200, call("teleported"))]:
        async with twilio(says(status, body)) as peer:
            with pytest.raises(DialUnknown):
                await dialer_of(peer.port).look(ATTEMPT, CALL_SID)


async def test_a_call_is_hung_up() -> None:
    async with twilio(says(200, call("completed"))) as peer:
        await dialer_of(peer.port).hang_up(CALL_SID)
    assert [(asked.method, asked.path, asked.form) for asked in peer.asked] == [
        ("POST", CALL, [("Status", "completed")])
    ]


@pytest.mark.parametrize(("status", "code"), [(404, 20404), (400, 21220)])
async def test_a_call_that_is_over_needs_no_hanging_up_and_takes_no_message(status: int, code: int) -> None:
    async with twilio(says(status, error(code, status))) as peer:
        await dialer_of(peer.port).hang_up(CALL_SID)
        await dialer_of(peer.port).leave_message(CALL_SID, "Goodbye.", Language.ENGLISH)


@pytest.mark.parametrize("status", [401, 429, 500])
async def test_a_call_that_may_go_on_is_said_to_be_unknown(status: int) -> None:
    async with twilio(says(status, "")) as peer:
        with pytest.raises(DialUnknown):
            await dialer_of(peer.port).hang_up(CALL_SID)


@pytest.mark.parametrize(("language", "code"), [(Language.ENGLISH, "en-US"), (Language.KOREAN, "ko-KR")])
async def test_a_message_is_said_in_the_persons_language_and_ends_the_call(language: Language, code: str) -> None:
    text = "안녕하세요 & <hello>"
    async with twilio(says(200, call("in-progress"))) as peer:
        await dialer_of(peer.port).leave_message(CALL_SID, text, language)
    (asked,) = peer.asked
    ((name, twiml),) = asked.form
    say, end = ElementTree.fromstring(twiml)
    assert (name, say.tag, say.text, say.attrib["language"], end.tag) == ("Twiml", "Say", text, code, "Hangup")


async def test_no_number_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with twilio(says(200, page(call()))) as peer:
        await dialer_of(peer.port).find(THEIRS, NOW)
    async with twilio(says(400, error(21211))) as peer:
        with pytest.raises(DialRefused):
            await dialer_of(peer.port).place(REQUEST)
    assert THEIRS[1:] not in caplog.text
    assert AUTH_TOKEN not in caplog.text


@pytest.mark.parametrize(
    "missing",
    [
        {"twilio_account_sid": ""},
        {"twilio_auth_token": SecretStr("")},
        {"twilio_number": ""},
        {"public_url": ""},
        {"twilio_api_url": "api.twilio.com"},
        {"twilio_api_url": "https://"},
    ],
)
def test_what_is_not_set_is_said_before_the_first_call(missing: dict[str, Any]) -> None:
    (name,) = missing
    with pytest.raises(SettingsError, match=f"CARECALL_{name.upper()}"):
        dialer_of(1, **missing)


def test_the_dialer_may_be_used_from_one_event_loop_after_another() -> None:
    port = asyncio.run(free_port())
    dialer = dialer_of(port)

    async def place() -> str:
        async with twilio(says(201, call()), port):
            return await dialer.place(REQUEST)

    assert [asyncio.run(place()) for _ in range(2)] == [CALL_SID, CALL_SID]
