"""Media streams over a real server: who gets in, what a hostile peer gets, and that audio goes there and back."""

import asyncio
import base64
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid4

import pytest
import uvicorn
from fastapi import FastAPI
from pipecat.frames.frames import Frame, InputAudioRawFrame, OutputAudioRawFrame, OutputTransportMessageFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports.base_transport import BaseTransport
from pipecat.workers.runner import WorkerRunner
from pydantic import SecretStr
from twilio.request_validator import RequestValidator
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from carecall.domain.progress import CallProgress
from carecall.errors import StoreError, StreamRefused
from carecall.settings import Environment, Settings
from telephony.admission import Gate
from telephony.counters import StreamCounters
from telephony.media_stream import MediaStream, StreamDeadlines
from telephony.router import WS_MAX_SIZE, TelephonyPorts, telephony_router
from telephony.transport import telephone_transport
from telephony.wire import Violation

PUBLIC_URL = "https://calls.example.org/care"
AUTH_TOKEN = "an auth token of Twilio"
ATTEMPT = uuid4()
TOKEN = "signed-token-0123456789"
LOCAL_TOKEN = "local-token-0123456789"
CALL_SID = "CA" + "1" * 32
STREAM_SID = "MZ" + "2" * 32
ACCOUNT_SID = "AC" + "3" * 32
CONNECTED = json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})
SIGNATURE = RequestValidator(AUTH_TOKEN).compute_signature(f"wss://calls.example.org/care/telephony/stream/{TOKEN}", {})


@dataclass(frozen=True)
class Grant:
    attempt_id: UUID
    needs_signature: bool


@dataclass
class Exchange:
    """The ports of the bridge, in memory, and what they saw."""

    grants: dict[str, Grant] = field(
        default_factory=lambda: {TOKEN: Grant(ATTEMPT, True), LOCAL_TOKEN: Grant(ATTEMPT, False)}
    )
    expected: str | None = CALL_SID
    handle: Callable[[MediaStream], Awaitable[None]] | None = None
    handled: list[MediaStream] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    store_fails: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def redeem(self, token: str, now: datetime) -> Grant | None:
        assert now.tzinfo is not None
        if self.store_fails:
            raise StoreError
        return self.grants.pop(token, None)

    async def expected_call_sid(self, attempt_id: UUID) -> str | None:
        return self.expected

    async def open_stream(self, attempt_id: UUID, call_sid: str) -> str | None:
        return None

    async def after_stream(self, attempt_id: UUID) -> Literal["hang_up", "reconnect"]:
        return "hang_up"

    async def report_progress(self, progress: CallProgress) -> None:
        raise AssertionError("no status is reported here")

    async def handle_call(self, stream: MediaStream) -> None:
        self.handled.append(stream)
        try:
            await (self.handle or self.echo)(stream)
        finally:
            self.ended.set()

    async def echo(self, stream: MediaStream) -> None:
        while (message := await stream.websocket.receive())["type"] != "websocket.disconnect":
            self.heard.append(message["text"])
            if json.loads(message["text"])["event"] == "media":
                await stream.websocket.send_text(message["text"])


@dataclass(frozen=True)
class Server:
    port: int
    counters: StreamCounters
    exchange: Exchange
    gate: Gate

    def url(self, token: str = LOCAL_TOKEN) -> str:
        return f"ws://127.0.0.1:{self.port}/telephony/stream/{token}"


def some_settings(**changes: Any) -> Settings:
    values: dict[str, Any] = {
        "environment": Environment.DEVELOPMENT,
        "public_url": PUBLIC_URL,
        "twilio_account_sid": ACCOUNT_SID,
        "twilio_auth_token": SecretStr(AUTH_TOKEN),
        "max_calls": 2,
    }
    return Settings(**(values | changes))


class ListeningServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@asynccontextmanager
async def running(exchange: Exchange | None = None, *, ahead_s: float = 60, **changes: Any) -> AsyncIterator[Server]:
    exchange, counters = exchange or Exchange(), StreamCounters()
    app = FastAPI()
    ports = TelephonyPorts(
        redeem=exchange.redeem,
        expected_call_sid=exchange.expected_call_sid,
        handle_call=exchange.handle_call,
        open_stream=exchange.open_stream,
        after_stream=exchange.after_stream,
        report_progress=exchange.report_progress,
    )
    settings, deadlines = (
        some_settings(**changes),
        StreamDeadlines(start_s=0.4, silence_s=0.8, after_stop_s=0.2, ahead_s=ahead_s),
    )
    gate = Gate(settings.max_calls)
    app.include_router(telephony_router(ports, settings, counters=counters, deadlines=deadlines, gate=gate))
    config = uvicorn.Config(app, log_level="critical", ws_max_size=WS_MAX_SIZE, lifespan="off", proxy_headers=False)
    server = ListeningServer(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve([listening]))
            await server.ready.wait()
            try:
                yield Server(listening.getsockname()[1], counters, exchange, gate)
            finally:
                server.should_exit = True


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with running() as server:
        yield server


def start(**changes: Any) -> str:
    about = {
        "streamSid": STREAM_SID,
        "callSid": CALL_SID,
        "accountSid": ACCOUNT_SID,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {},
    }
    return json.dumps({"event": "start", "sequenceNumber": "1", "streamSid": STREAM_SID, "start": about | changes})


def media(sequence: int, payload: bytes = b"\x7f" * 160, stream_sid: str = STREAM_SID) -> str:
    about = {
        "track": "inbound",
        "chunk": str(sequence - 1),
        "timestamp": str(sequence * 20),
        "payload": base64.b64encode(payload).decode(),
    }
    return json.dumps({"event": "media", "sequenceNumber": str(sequence), "streamSid": stream_sid, "media": about})


def event(name: str, sequence: int, about: dict[str, str]) -> str:
    return json.dumps({"event": name, "sequenceNumber": str(sequence), "streamSid": STREAM_SID, name: about})


def stop(sequence: int) -> str:
    return event("stop", sequence, {"accountSid": ACCOUNT_SID, "callSid": CALL_SID})


async def close_code(socket: ClientConnection) -> int | None:
    """With which code the server ends the stream."""
    async with asyncio.timeout(5):
        while True:
            try:
                await socket.recv()
            except ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else None


async def after(server: Server, *frames: str | bytes) -> int | None:
    """The close code that an admitted peer gets for these frames."""
    async with connect(server.url()) as socket:
        try:
            for frame in frames:
                await socket.send(frame)
        except ConnectionClosed:
            pass
        return await close_code(socket)


async def refused_with(server: Server, token: str, headers: dict[str, str] | None = None) -> int:
    with pytest.raises(InvalidStatus) as refused:
        await connect(server.url(token), additional_headers=headers)
    return refused.value.response.status_code


async def test_audio_goes_there_and_back_in_frames_of_20_ms(server: Server) -> None:
    async with connect(server.url()) as socket:
        await socket.send(CONNECTED)
        await socket.send(start())
        spoken = bytes(index % 251 for index in range(400))
        await socket.send(media(2, spoken[:300]))
        await socket.send(media(3, spoken[300:]))
        frames = [json.loads(await socket.recv()) for _ in range(2)]
        await socket.send(stop(4))
        assert await close_code(socket) == 1000
    assert [base64.b64decode(frame["media"]["payload"]) for frame in frames] == [spoken[:160], spoken[160:320]]
    assert {frame["streamSid"] for frame in frames} == {STREAM_SID}
    assert server.counters.snapshot().accepted == 1
    assert not server.counters.snapshot().violations


async def test_digits_pass_and_everything_is_written_anew(server: Server) -> None:
    odd = json.loads(media(3)) | {"unheard": "of"}
    await after(server, CONNECTED, start(), event("dtmf", 2, {"digit": "5"}), json.dumps(odd), stop(4))
    assert [json.loads(text) for text in server.exchange.heard] == [
        {"streamSid": STREAM_SID, "event": "dtmf", "dtmf": {"digit": "5"}},
        {"streamSid": STREAM_SID, "event": "media", "media": {"payload": base64.b64encode(b"\x7f" * 160).decode()}},
    ]


async def test_marks_come_back_to_the_call_and_only_ours() -> None:
    played: list[str] = []
    exchange = Exchange()

    async def ask_to_be_told(stream: MediaStream) -> None:
        stream.on_mark(played.append)
        await stream.websocket.send_text(json.dumps({"event": "media", "media": {"payload": "f39/"}}))
        await stream.send_mark("closing line")
        await exchange.echo(stream)

    exchange.handle = ask_to_be_told
    async with running(exchange) as server, connect(server.url()) as socket:
        await socket.send(CONNECTED)
        await socket.send(start())
        rest, mark = json.loads(await socket.recv()), json.loads(await socket.recv())
        for sequence, name in enumerate(["never sent", mark["mark"]["name"], mark["mark"]["name"]], start=2):
            await socket.send(event("mark", sequence, {"name": name}))
        await socket.send(stop(5))
        assert await close_code(socket) == 1000
    assert base64.b64decode(rest["media"]["payload"]) == b"\x7f\x7f\x7f" + b"\xff" * 157
    assert mark == {"event": "mark", "streamSid": STREAM_SID, "mark": {"name": "closing line"}}
    assert played == ["closing line"]


async def test_the_socket_closes_normally_when_the_call_is_over() -> None:
    async def say_nothing(stream: MediaStream) -> None:
        assert (stream.attempt_id, stream.call_sid, stream.stream_sid) == (ATTEMPT, CALL_SID, STREAM_SID)

    async with running(Exchange(handle=say_nothing)) as server:
        assert await after(server, CONNECTED, start()) == 1000
        assert server.counters.snapshot().open == 0


async def test_a_call_that_breaks_closes_its_socket_and_leaves_the_server_up(caplog: pytest.LogCaptureFixture) -> None:
    async def breaks(stream: MediaStream) -> None:
        raise ValueError(stream.call_sid)

    async with running(Exchange(handle=breaks)) as server:
        assert await after(server, CONNECTED, start()) == 1011
        assert server.counters.snapshot().failed_calls == 1
        server.exchange.grants[LOCAL_TOKEN], server.exchange.handle = Grant(ATTEMPT, False), None
        assert await after(server, CONNECTED, start(), stop(2)) == 1000
    assert "ValueError" in caplog.text
    assert CALL_SID not in caplog.text


async def test_a_recipient_who_hangs_up_ends_the_call(server: Server) -> None:
    async with connect(server.url()) as socket:
        await socket.send(CONNECTED)
        await socket.send(start())
        await socket.send(media(2))
        await socket.recv()
    async with asyncio.timeout(2):
        await server.exchange.ended.wait()
    assert not server.counters.snapshot().violations


async def test_only_media_mark_and_clear_go_out() -> None:
    refused = []

    async def talk(stream: MediaStream) -> None:
        for frame in ("not json", "[]", '{"event": "stop"}', '{"event": "media", "media": {"payload": "!"}}'):
            try:
                await stream.websocket.send_text(frame)
            except StreamRefused as wrong:
                refused.append(wrong)
        try:
            await stream.websocket.send_bytes(b"audio")
        except StreamRefused as wrong:
            refused.append(wrong)
        await stream.websocket.send_text(json.dumps({"event": "media", "media": {"payload": "f39/"}}))
        await stream.websocket.send_text(json.dumps({"event": "clear", "streamSid": "of another stream"}))

    async with running(Exchange(handle=talk)) as server, connect(server.url()) as socket:
        await socket.send(CONNECTED)
        await socket.send(start())
        assert json.loads(await socket.recv()) == {"event": "clear", "streamSid": STREAM_SID}
        assert await close_code(socket) == 1000
    assert len(refused) == 5


async def test_an_unknown_event_is_ignored_and_counted(server: Server) -> None:
    assert await after(server, CONNECTED, '{"event": "weather"}', start(), '{"event": "weather"}', stop(2)) == 1000
    assert server.counters.snapshot().unknown_events == 2


NO_MULAW = {"encoding": "audio/x-l16", "sampleRate": 16000, "channels": 1}

VIOLATIONS: list[tuple[Violation, int, list[str | bytes]]] = [
    (Violation.NOT_JSON, 1007, ["\x00\x01 not json"]),
    (Violation.NOT_JSON, 1007, ['{"event": NaN}']),
    (Violation.NOT_AN_OBJECT, 1007, ["[1, 2]"]),
    (Violation.TOO_DEEP, 1007, ["[" * 10_000]),
    (Violation.FRAME_TOO_BIG, 1009, [json.dumps({"event": "connected", "padding": "x" * 20_000})]),
    (Violation.BINARY_FRAME, 1003, [b"\x00\x01"]),
    (Violation.BINARY_FRAME, 1003, [CONNECTED, start(), b"\x7f" * 160]),
    (Violation.OUT_OF_ORDER, 1002, [start()]),
    (Violation.OUT_OF_ORDER, 1002, [CONNECTED, media(2)]),
    (Violation.OUT_OF_ORDER, 1002, [CONNECTED, start(), CONNECTED]),
    (Violation.SECOND_START, 1002, [CONNECTED, start(), start()]),
    (Violation.UNSUPPORTED_MEDIA, 1003, [CONNECTED, start(mediaFormat=NO_MULAW)]),
    (Violation.OTHER_CALL, 1008, [CONNECTED, start(callSid="CA" + "9" * 32)]),
    (Violation.OTHER_STREAM, 1008, [CONNECTED, start(streamSid="MZ" + "9" * 32)]),
    (Violation.OTHER_STREAM, 1008, [CONNECTED, start(), media(2, stream_sid="MZ" + "9" * 32)]),
    (Violation.SEQUENCE_BACKWARDS, 1002, [CONNECTED, start(), media(5), media(4)]),
    (Violation.BAD_FIELD, 1007, [CONNECTED, start(), media(-2)]),
    (Violation.BAD_FIELD, 1007, [CONNECTED, start(tracks="inbound")]),
    (Violation.BAD_BASE64, 1007, [CONNECTED, start(), media(2).replace("f39/", "f39!")]),
    (Violation.PAYLOAD_TOO_BIG, 1009, [CONNECTED, start(), media(2, b"\x7f" * 5000)]),
    (Violation.AFTER_STOP, 1002, [CONNECTED, start(), stop(2), media(3)]),
    (Violation.TOO_FAST, 1008, [CONNECTED, start(), *(media(number, b"\x7f" * 4000) for number in range(2, 30))]),
    (Violation.TOO_FAST, 1008, [CONNECTED, start(), *(media(number, b"\x7f") for number in range(2, 2500))]),
    (Violation.TOO_FAST, 1008, [CONNECTED, start(), *['{"event": "weather"}'] * 400]),
    (Violation.LATE_START, 1008, []),
    (Violation.LATE_START, 1008, [CONNECTED]),
    (Violation.SILENT_PEER, 1008, [CONNECTED, start()]),
]


async def test_audio_goes_out_at_the_speed_of_sound_however_fast_it_is_made() -> None:
    async with running(ahead_s=0.1) as server, connect(server.url()) as socket:
        for frame in (CONNECTED, start(), media(2, b"\x7f" * 4000)):  # half a second, echoed
            await socket.send(frame)
        await socket.recv()
        began = time.monotonic()
        for _ in range(24):
            await socket.recv()
        assert 0.3 < time.monotonic() - began < 3
        await socket.send(stop(3))
        assert await close_code(socket) == 1000


@pytest.mark.parametrize(
    ("violation", "code", "frames"), VIOLATIONS, ids=[f"{v}-{i}" for i, (v, *_) in enumerate(VIOLATIONS)]
)
async def test_a_violation_closes_with_its_code_and_is_counted(
    server: Server, violation: Violation, code: int, frames: list[str | bytes]
) -> None:
    assert await after(server, *frames) == code == violation.close_code
    for stream in server.exchange.handled:
        assert stream.websocket.client_state.name == "DISCONNECTED"
    assert dict(server.counters.snapshot().violations) == {violation: 1}
    assert server.counters.snapshot().open == 0


async def test_a_text_frame_that_is_not_utf_8_is_refused(server: Server) -> None:
    async with connect(server.url()) as socket:
        await socket.send(b"\xff\xfe", text=True)
        assert await close_code(socket) == 1007
    assert dict(server.counters.snapshot().violations) == {Violation.BAD_TEXT: 1}


async def test_bytes_that_are_no_websocket_end_the_stream(server: Server) -> None:
    async with connect(server.url()) as socket:
        await socket.send(CONNECTED)
        await socket.send(start())
        await socket.send(media(2))
        await socket.recv()
        socket.transport.write(b"\xff" * 64)
        await close_code(socket)
    async with asyncio.timeout(2):
        await server.exchange.ended.wait()
    assert dict(server.counters.snapshot().violations) == {Violation.BAD_FRAME: 1}


async def test_an_unknown_token_is_not_found(server: Server) -> None:
    assert await refused_with(server, "never-minted-0123456789") == 404
    assert await refused_with(server, "short") == 404
    assert await refused_with(server, "%00" * 20) == 404
    assert dict(server.counters.snapshot().refused) == {"unknown_token": 3}


async def test_a_token_opens_one_stream(server: Server) -> None:
    assert await after(server, CONNECTED, start(), stop(2)) == 1000
    assert await refused_with(server, LOCAL_TOKEN) == 404


async def test_a_signed_upgrade_is_admitted(server: Server) -> None:
    async with connect(server.url(TOKEN), additional_headers={"X-Twilio-Signature": SIGNATURE}) as socket:
        for frame in (CONNECTED, start(), stop(2)):
            await socket.send(frame)
        assert await close_code(socket) == 1000
    assert server.counters.snapshot().accepted == 1


async def test_a_signed_stream_of_another_account_is_refused(server: Server) -> None:
    async with connect(server.url(TOKEN), additional_headers={"X-Twilio-Signature": SIGNATURE}) as socket:
        await socket.send(CONNECTED)
        await socket.send(start(accountSid="AC" + "9" * 32))
        assert await close_code(socket) == 1008
    assert dict(server.counters.snapshot().violations) == {Violation.OTHER_ACCOUNT: 1}


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "missing_signature"),
        ({"X-Twilio-Signature": SIGNATURE[::-1]}, "wrong_signature"),
        ({"X-Twilio-Signature": "é"}, "wrong_signature"),
        # Signed for the address by which the peer reached us, which anyone can choose.
        (
            {
                "X-Twilio-Signature": RequestValidator(AUTH_TOKEN).compute_signature(
                    f"wss://127.0.0.1/telephony/stream/{TOKEN}", {}
                ),
                "X-Forwarded-Host": "127.0.0.1",
            },
            "wrong_signature",
        ),
    ],
)
async def test_an_upgrade_that_is_not_signed_is_forbidden(server: Server, headers: dict[str, str], reason: str) -> None:
    assert await refused_with(server, TOKEN, headers) == 403
    assert dict(server.counters.snapshot().refused) == {reason: 1}
    assert not server.exchange.handled


@pytest.mark.parametrize("missing", [{"twilio_auth_token": SecretStr("")}, {"public_url": ""}])
async def test_without_an_auth_token_nobody_is_admitted(missing: dict[str, Any]) -> None:
    async with running(**missing) as server:
        empty = RequestValidator("").compute_signature(f"wss://calls.example.org/care/telephony/stream/{TOKEN}", {})
        assert await refused_with(server, TOKEN, {"X-Twilio-Signature": empty}) == 503


async def test_a_store_that_fails_admits_nobody() -> None:
    async with running(Exchange(store_fails=True)) as server:
        assert await refused_with(server, TOKEN, {"X-Twilio-Signature": SIGNATURE}) == 503
        assert dict(server.counters.snapshot().refused) == {"store_failed": 1}


async def test_a_development_token_is_for_this_machine_only() -> None:
    async with running(host="0.0.0.0") as server:
        assert await refused_with(server, LOCAL_TOKEN) == 403
    async with running(environment=Environment.PRODUCTION, secret_key=SecretStr("secret")) as server:
        assert await refused_with(server, LOCAL_TOKEN) == 403
    async with running() as server:
        assert await refused_with(server, LOCAL_TOKEN, {"X-Forwarded-For": "203.0.113.7"}) == 403
        assert dict(server.counters.snapshot().refused) == {"not_local": 1}


async def test_one_call_more_than_there_is_room_for_is_told_to_try_again() -> None:
    exchange = Exchange(grants={f"local-token-{number:010}": Grant(ATTEMPT, False) for number in range(4)})
    async with running(exchange) as server:
        tokens = list(exchange.grants)
        async with connect(server.url(tokens[0])) as first, connect(server.url(tokens[1])) as second:
            async with connect(server.url(tokens[2])) as third:
                assert await close_code(third) == 1013
            for held in (first, second):
                await held.send(CONNECTED)
                await held.send(start())
                await held.send(stop(2))
                assert await close_code(held) == 1000
        async with connect(server.url(tokens[3])) as fourth:
            for frame in (CONNECTED, start(), stop(2)):
                await fourth.send(frame)
            assert await close_code(fourth) == 1000
        assert dict(server.counters.snapshot().refused) == {"full": 1}


async def test_a_server_that_drains_keeps_its_calls_and_spends_no_token(server: Server) -> None:
    server.exchange.grants["another-token-0123456789"] = Grant(ATTEMPT, False)
    async with connect(server.url()) as held:
        await held.send(CONNECTED)
        await held.send(start())
        await held.send(media(2))
        await held.recv()
        server.gate.shut()
        assert await refused_with(server, "another-token-0123456789") == 503
        assert "another-token-0123456789" in server.exchange.grants
        assert not await server.gate.emptied(0.05)
        await held.send(media(3))
        await held.recv()
        await held.send(stop(4))
        assert await close_code(held) == 1000
    assert await server.gate.emptied(1)
    assert dict(server.counters.snapshot().refused) == {"draining": 1}


class Parrot(FrameProcessor):
    """Says what it hears, and asks to be told when the first of it has been played."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = False

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            await self.push_frame(OutputAudioRawFrame(frame.audio, frame.sample_rate, frame.num_channels))
            if not self.asked:
                self.asked = True
                mark = {"event": "mark", "mark": {"name": "first"}}
                await self.push_frame(OutputTransportMessageFrame(message=mark))
        else:
            await self.push_frame(frame, direction)


async def test_pipecats_transport_takes_the_guarded_socket_as_it_is() -> None:
    played: list[str] = []

    async def talk(stream: MediaStream) -> None:
        stream.on_mark(played.append)
        transport = telephone_transport(stream)
        worker = PipelineWorker(
            Pipeline([transport.input(), Parrot(), transport.output()]),
            params=PipelineParams(audio_in_sample_rate=16000, audio_out_sample_rate=16000),
            enable_rtvi=False,
        )

        async def hung_up(_transport: BaseTransport, _peer: object) -> None:
            await worker.cancel()

        transport.add_event_handler("on_client_disconnected", hung_up)
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(worker)
        await runner.run()

    async with running(Exchange(handle=talk)) as server, connect(server.url()) as socket:
        await socket.send(CONNECTED)
        await socket.send(start())
        heard: list[dict[str, Any]] = []
        for sequence in range(2, 52):
            await socket.send(media(sequence, bytes([0x20 + sequence]) * 160))
            await asyncio.sleep(0.02)
        async with asyncio.timeout(10):
            while sum(frame["event"] == "media" for frame in heard) < 40:
                heard.append(json.loads(await socket.recv()))
        await socket.send(event("mark", 52, {"name": "first"}))
        await socket.send(stop(53))
        assert await close_code(socket) == 1000
        assert not server.counters.snapshot().violations
        assert server.counters.snapshot().failed_calls == 0
    assert {len(base64.b64decode(frame["media"]["payload"])) for frame in heard if frame["event"] == "media"} == {160}
    assert [frame["mark"] for frame in heard if frame["event"] == "mark"] == [{"name": "first"}]
    assert {frame["streamSid"] for frame in heard} == {STREAM_SID}
    assert played == ["first"]
