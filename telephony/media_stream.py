"""The media stream of one call: admit it, shake hands, and hand a guarded WebSocket to whoever holds the call."""

import asyncio
import base64
import json
import logging
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from fastapi import WebSocket
from starlette.responses import Response
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect, WebSocketState

from carecall.errors import StreamRefused
from telephony.admission import Admission, AdmissionRefused, Grant
from telephony.counters import StreamCounters
from telephony.outbound import FRAME_S, OutClear, OutMark, OutMedia, StreamWriter, parse_outbound
from telephony.wire import (
    CloseCode,
    Dtmf,
    Inbound,
    Mark,
    Media,
    ProtocolViolation,
    Start,
    Stop,
    StreamProtocol,
    StreamState,
    Unknown,
    Violation,
)

logger = logging.getLogger(__name__)

# Codes with which the WebSocket layer itself ends a stream whose peer broke the protocol.
_BROKEN_BELOW = {
    CloseCode.PROTOCOL_ERROR: Violation.BAD_FRAME,
    CloseCode.BAD_PAYLOAD: Violation.BAD_TEXT,
    CloseCode.TOO_BIG: Violation.FRAME_TOO_BIG,
}


@dataclass(frozen=True, slots=True)
class StreamDeadlines:
    """How long a peer is waited for, and how far it may lag behind, in seconds."""

    start_s: float = 10.0  # from the accepted socket to the start message
    silence_s: float = 30.0  # between two frames: Twilio sends fifty a second, silent or not
    send_s: float = 10.0  # until the network takes a frame
    after_stop_s: float = 0.5  # for the peer to hang up after its stop
    ahead_s: float = 0.1  # audio is sent so early: enough for the peer's buffer, little enough to be cut off


class GuardedWebSocket(WebSocket):
    """An accepted socket on which only what was checked goes in or out; pipecat's FastAPI transport takes it as it is.

    ``receive`` gives ``media`` and ``dtmf`` frames, written anew from what was checked, and one disconnect: at the
    peer's stop, when it hangs up, or when it broke the protocol. ``send_text`` takes ``media``, ``mark`` and ``clear``
    and drops them once the line is gone.
    """

    def __init__(
        self,
        websocket: WebSocket,
        counters: StreamCounters,
        deadlines: StreamDeadlines,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(websocket.scope, websocket.receive, websocket.send)
        self.client_state = WebSocketState.CONNECTED
        self.application_state = WebSocketState.CONNECTED
        self.on_mark: Callable[[str], None] | None = None
        self._line = websocket
        self._counters = counters
        self._deadlines = deadlines
        self._clock = clock
        self._protocol = StreamProtocol()
        self._writer = StreamWriter("")
        self._sending = asyncio.Lock()
        self._sent_until = 0.0  # when the audio sent so far has been played, by the clock
        self._marks: Counter[str] = Counter()

    @property
    def stopped(self) -> bool:
        """Whether the peer said that the stream is over, as at the end of a call; False of a line that dropped."""
        return self._protocol.state is StreamState.STOPPED

    async def handshake(self) -> Start | None:
        """The start message, or None when the peer hung up before. Raises ProtocolViolation."""
        try:
            async with asyncio.timeout(self._deadlines.start_s):
                while self._protocol.start is None:
                    if await self._next() is None:
                        return None
        except TimeoutError:
            raise ProtocolViolation(Violation.LATE_START, "start did not come in time") from None
        self._writer = StreamWriter(self._protocol.start.stream_sid)
        return self._protocol.start

    async def receive(self) -> Message:
        while self.client_state is WebSocketState.CONNECTED:
            try:
                message = await self._next()
            except ProtocolViolation as violation:
                await self.violated(violation)
                break
            if isinstance(message, Media):
                payload = base64.b64encode(message.payload).decode("ascii")
                return self._frame({"event": "media", "media": {"payload": payload}})
            if isinstance(message, Dtmf):
                return self._frame({"event": "dtmf", "dtmf": {"digit": message.digit}})
            if isinstance(message, Mark):
                self._played(message.name)
            elif message is None or isinstance(message, Stop):
                break
        self.client_state = WebSocketState.DISCONNECTED
        return {"type": "websocket.disconnect", "code": int(CloseCode.NORMAL)}

    async def send(self, message: Message) -> None:
        if message["type"] == "websocket.close":
            await self._close(message.get("code", CloseCode.NORMAL), message.get("reason") or "")
            return
        text = message.get("text")
        if text is None:
            raise StreamRefused("A media stream takes text frames only.")
        outbound = parse_outbound(text)
        async with self._sending:
            if isinstance(outbound, OutMark):
                self._marks[outbound.name] += 1
            for frame in self._writer.write(outbound):
                if isinstance(outbound, OutMedia):
                    await self._pace()
                await self._write(frame)
            if isinstance(outbound, OutClear):
                self._sent_until = 0.0

    async def violated(self, violation: ProtocolViolation) -> None:
        """Count a violation and close the socket with its code; what comes after a close is nobody's concern."""
        if self.application_state is WebSocketState.DISCONNECTED:
            return
        self._counters.violation(violation.violation)
        logger.warning("%s", violation)
        self.client_state = WebSocketState.DISCONNECTED
        await self._close(violation.close_code, violation.violation)

    async def finish(self) -> None:
        """Close normally; a peer that said stop hangs up first, and must say nothing more."""
        if self._protocol.state is StreamState.STOPPED and self._line.client_state is WebSocketState.CONNECTED:
            try:
                async with asyncio.timeout(self._deadlines.after_stop_s):
                    while await self._next() is not None:
                        pass
            except TimeoutError:
                pass
            except ProtocolViolation as violation:
                await self.violated(violation)
        await self._close(CloseCode.NORMAL, "")

    async def _next(self) -> Inbound | None:
        """The next message, or None when the peer is gone. Raises ProtocolViolation."""
        try:
            async with asyncio.timeout(self._deadlines.silence_s):
                message = await self._line.receive()
        except TimeoutError:
            raise ProtocolViolation(Violation.SILENT_PEER, "no frame came for too long") from None
        if message["type"] == "websocket.disconnect":
            if broken := _BROKEN_BELOW.get(message.get("code", 0)):
                raise ProtocolViolation(broken, "the peer broke the WebSocket protocol")
            return None
        text = message.get("text")
        if text is None:
            raise ProtocolViolation(Violation.BINARY_FRAME, "a binary frame came")
        inbound = self._protocol.receive(text, self._clock())
        if isinstance(inbound, Unknown):
            self._counters.unknown_event()
        return inbound

    def _frame(self, message: dict[str, object]) -> Message:
        return {"type": "websocket.receive", "text": json.dumps({"streamSid": self._writer.stream_sid, **message})}

    def _played(self, name: str) -> None:
        """Pass on the echo of a mark that was sent: what came before it has been played or cleared."""
        if self._marks[name] > 0 and self.on_mark is not None:
            self.on_mark(name)
        self._marks -= Counter([name])

    async def _pace(self) -> None:
        """Wait until the next 20 ms of audio are due, so that what counts as sent is nearly what has been heard."""
        now = self._clock()
        self._sent_until = max(self._sent_until, now) + FRAME_S
        await asyncio.sleep(max(0.0, self._sent_until - now - self._deadlines.ahead_s))

    async def _write(self, frame: str) -> None:
        if WebSocketState.DISCONNECTED in (self.client_state, self.application_state, self._line.client_state):
            return
        try:
            async with asyncio.timeout(self._deadlines.send_s):
                await self._line.send_text(frame)
        except WebSocketDisconnect:
            self.client_state = WebSocketState.DISCONNECTED
        except TimeoutError:
            await self.violated(ProtocolViolation(Violation.SILENT_PEER, "the peer takes no frames"))

    async def _close(self, code: int, reason: str) -> None:
        """Close once; a line that is gone is closed already."""
        if self.application_state is WebSocketState.DISCONNECTED:
            return
        self.application_state = WebSocketState.DISCONNECTED
        if WebSocketState.DISCONNECTED not in (self._line.client_state, self._line.application_state):
            with suppress(WebSocketDisconnect):
                await self._line.close(code, reason)


@dataclass(frozen=True, slots=True)
class MediaStream:
    """One admitted stream: the line of one call."""

    attempt_id: UUID
    call_sid: str
    stream_sid: str
    start: Start
    websocket: GuardedWebSocket  # for pipecat's FastAPIWebsocketTransport with a TwilioFrameSerializer

    async def send_mark(self, name: str) -> None:
        """Ask to be told, by the callback of ``on_mark``, when all audio sent so far has been played or cleared."""
        await self.websocket.send_text(json.dumps({"event": "mark", "mark": {"name": name}}))

    def on_mark(self, callback: Callable[[str], None]) -> None:
        """Who is told the names of marks that came back. Called while the socket is read: it must not block."""
        self.websocket.on_mark = callback


HandleCall = Callable[[MediaStream], Awaitable[None]]  # holds the call; returns when it is over


class MediaStreamEndpoint:
    """The WebSocket endpoint behind ``/telephony/stream/{token}``."""

    def __init__(
        self,
        admission: Admission,
        handle_call: HandleCall,
        counters: StreamCounters,
        deadlines: StreamDeadlines,
    ) -> None:
        self._admission = admission
        self._handle_call = handle_call
        self._counters = counters
        self._deadlines = deadlines

    async def __call__(self, websocket: WebSocket, token: str) -> None:
        try:
            grant = await self._admission.admit(websocket, token)
        except AdmissionRefused as refused:
            self._refused(refused)
            await _deny(websocket, refused.refusal.http_status)
            return
        try:
            with self._admission.gate.place():
                await websocket.accept()
                await self._run(websocket, grant)
        except AdmissionRefused as refused:
            self._refused(refused)
            if websocket.application_state is WebSocketState.CONNECTING:
                await websocket.accept()
            with suppress(WebSocketDisconnect):
                await websocket.close(CloseCode.TRY_AGAIN_LATER, refused.refusal)

    async def _run(self, websocket: WebSocket, grant: Grant) -> None:
        line = GuardedWebSocket(websocket, self._counters, self._deadlines)
        try:
            start = await line.handshake()
            if start is None:
                return
            await self._admission.check_start(grant, start)
        except ProtocolViolation as violation:
            await line.violated(violation)
            return
        self._counters.accepted()
        try:
            await self._handle_call(MediaStream(grant.attempt_id, start.call_sid, start.stream_sid, start, line))
        except Exception as error:  # noqa: BLE001 - one broken call must not take the server with it
            self._counters.failed_call()
            # Without the message, which may hold what was said.
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("the call of attempt %s failed: %s\n%s", grant.attempt_id, type(error).__name__, where)
            await line.close(CloseCode.INTERNAL_ERROR)
        else:
            await line.finish()
        finally:
            self._counters.ended()

    def _refused(self, refused: AdmissionRefused) -> None:
        self._counters.refused(refused.refusal)
        logger.warning("%s", refused)


async def _deny(websocket: WebSocket, status: int) -> None:
    """Refuse the upgrade, with the HTTP status if the server can say one."""
    if "websocket.http.response" in websocket.scope.get("extensions", {}):
        await websocket.send_denial_response(Response(status_code=status))
    else:
        await websocket.close()
