"""Media streams over a real server: who gets in, what a hostile peer gets, and that audio goes there and back."""

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from carecall.errors import StoreError
from carecall.settings import Environment, Settings
from telephony.counters import StreamCounters
from telephony.media_stream import MediaStream, StreamDeadlines
from telephony.router import WS_MAX_SIZE, TelephonyPorts, telephony_router

PUBLIC_URL = "https://calls.example.org/care"
AUTH_TOKEN = "an auth token of Twilio"
TOKEN = "signed-token-0123456789"
LOCAL_TOKEN = "local-token-0123456789"
CALL_SID = "CA" + "1" * 32
STREAM_SID = "MZ" + "2" * 32
ACCOUNT_SID = "AC" + "3" * 32
CONNECTED = json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})
SIGNATURE = RequestValidator(AUTH_TOKEN).compute_signature(f"wss://calls.example.org/care/telephony/stream/{TOKEN}", {})


@dataclass(frozen=True)
class Grant:
    attempt_id: str
    needs_signature: bool


@dataclass
class Exchange:
    """The ports of the bridge, in memory, and what they saw."""

    grants: dict[str, Grant] = field(
        default_factory=lambda: {TOKEN: Grant("attempt-1", True), LOCAL_TOKEN: Grant("attempt-1", False)}
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

    async def expected_call_sid(self, attempt_id: str) -> str | None:
        return self.expected

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
async def running(exchange: Exchange | None = None, **changes: Any) -> AsyncIterator[Server]:
    exchange, counters = exchange or Exchange(), StreamCounters()
    app = FastAPI()
    ports = TelephonyPorts(exchange.redeem, exchange.expected_call_sid, exchange.handle_call)
    deadlines = StreamDeadlines(start_s=0.4, silence_s=0.8, after_stop_s=0.2)
    app.include_router(telephony_router(ports, some_settings(**changes), counters=counters, deadlines=deadlines))
    config = uvicorn.Config(app, log_level="critical", ws_max_size=WS_MAX_SIZE, lifespan="off", proxy_headers=False)
    server = ListeningServer(config)
    listening = socket.create_server(("127.0.0.1", 0))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve([listening]))
        await server.ready.wait()
        try:
            yield Server(listening.getsockname()[1], counters, exchange)
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
