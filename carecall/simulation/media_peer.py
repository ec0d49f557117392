"""The far end of a media stream: behaves as Twilio does towards our server, in real time.

Frames as in Twilio's "Media Streams - WebSocket Messages": 20 ms of 8 kHz μ-law, base64. What the agent sends is played
from a buffer at the speed of sound; ``clear`` empties it; a ``mark`` is echoed once what came before it was played.
"""

import asyncio
import audioop
import base64
import json
import secrets
import time
import wave
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from carecall.errors import SimulationError

RATE = 8_000
FRAME_S = 0.02
FRAME_BYTES = 160
_SILENCE = b"\xff" * FRAME_BYTES
_VOICED = 400  # peak amplitude (16-bit) from which a frame counts as speech


def sid(prefix: str) -> str:
    """A made-up Twilio identifier."""
    return prefix + secrets.token_hex(16)


def _is_voiced(frame: bytes) -> bool:
    return audioop.max(audioop.ulaw2lin(frame, 2), 2) >= _VOICED


@dataclass(slots=True)
class MediaPeer:
    """One stream. Times are time.monotonic() seconds."""

    socket: ClientConnection
    stream_sid: str
    call_sid: str
    account_sid: str
    latencies: list[float] = field(default_factory=list)  # end of own speech → first agent audio played, seconds
    clears: int = 0
    violations: list[str] = field(default_factory=list)
    close_code: int | None = None
    _mouth: deque[bytes] = field(default_factory=deque)  # own speech still to be sent
    _ear: deque[bytes | str] = field(default_factory=deque)  # agent audio and mark names still to be played
    _partial: bytes = b""
    _sequence: int = 0
    _sent: list[bytes] = field(default_factory=list)
    _played: list[bytes] = field(default_factory=list)
    _spoke_until: float | None = None
    _agent_voiced_at: float = 0.0
    _agent_voiced: bool = False
    _mouth_empty: asyncio.Event = field(default_factory=asyncio.Event)
    _closed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_closed(self) -> bool:
        return self._closed.is_set()

    @property
    def agent_is_speaking(self) -> bool:
        return bool(self._ear) or time.monotonic() - self._agent_voiced_at < 0.2

    async def say(self, pcm: bytes) -> None:
        """Speak 16-bit PCM at 8 kHz; returns when it has been sent."""
        encoded = audioop.lin2ulaw(pcm, 2)
        frames = [encoded[at : at + FRAME_BYTES] for at in range(0, len(encoded), FRAME_BYTES)]
        if frames:
            frames[-1] = frames[-1].ljust(FRAME_BYTES, b"\xff")
        self._agent_voiced = False
        self._mouth_empty.clear()
        self._mouth.extend(frames)
        await self._mouth_empty.wait()

    async def agent_turn(self, *, quiet_s: float = 0.8, timeout_s: float = 30.0) -> bool:
        """Wait until the agent has spoken and fallen silent; False when the line went down first.

        Raises SimulationError when the agent says nothing, or does not stop, within timeout_s.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._agent_voiced and not self._ear and time.monotonic() - self._agent_voiced_at >= quiet_s:
                self._agent_voiced = False
                return True
            if self.is_closed:
                return False
            await asyncio.sleep(FRAME_S)
        raise SimulationError(
            f"the agent {'did not stop' if self._agent_voiced else 'said nothing'} for {timeout_s:g} s"
        )

    async def closed(self) -> None:
        """Wait until the stream is no more."""
        await self._closed.wait()

    def drop(self) -> None:
        """The network between Twilio and the server breaks; nothing is said about it."""
        self.socket.transport.abort()

    async def hang_up(self) -> None:
        """The recipient puts the receiver down."""
        if not self.is_closed:
            await self._send({"event": "stop", "stop": {"accountSid": self.account_sid, "callSid": self.call_sid}})
            await self.socket.close()

    def save(self, path: Path) -> None:
        """Write what was heard on the line as stereo WAV: the recipient left, the agent right."""
        with wave.open(str(path), "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(RATE)
            left, right = (
                np.frombuffer(audioop.ulaw2lin(b"".join(side), 2), dtype=np.int16)
                for side in (self._sent, self._played)
            )
            length = min(len(left), len(right))
            file.writeframes(np.stack([left[:length], right[:length]], axis=1).tobytes())

    async def _send(self, message: dict[str, Any]) -> None:
        self._sequence += 1
        numbered = {"sequenceNumber": str(self._sequence), "streamSid": self.stream_sid, **message}
        await self.socket.send(json.dumps(numbered))

    async def _talk(self) -> None:
        """Send a frame every 20 ms and play one of the agent's."""
        chunk = 0
        began = time.monotonic()
        while True:
            if self._mouth:
                frame = self._mouth.popleft()
            else:
                frame = _SILENCE
                self._mouth_empty.set()
            chunk += 1
            await self._send(
                {
                    "event": "media",
                    "media": {
                        "track": "inbound",
                        "chunk": str(chunk),
                        "timestamp": str(round((chunk - 1) * FRAME_S * 1000)),
                        "payload": base64.b64encode(frame).decode(),
                    },
                }
            )
            self._sent.append(frame)
            if frame is not _SILENCE and _is_voiced(frame):
                self._spoke_until = time.monotonic()
            await self._play()
            await asyncio.sleep(max(0.0, began + chunk * FRAME_S - time.monotonic()))

    async def _play(self) -> None:
        while self._ear and isinstance(self._ear[0], str):
            await self._send({"event": "mark", "mark": {"name": str(self._ear.popleft())}})
        frame = self._ear.popleft() if self._ear else _SILENCE
        assert isinstance(frame, bytes)
        self._played.append(frame)
        if _is_voiced(frame):
            self._agent_voiced = True
            self._agent_voiced_at = time.monotonic()

    async def _listen(self) -> None:
        try:
            async for text in self.socket:
                self._receive(json.loads(text))
        except ConnectionClosed:
            pass
        finally:
            self.close_code = self.socket.close_code
            self._mouth_empty.set()
            self._closed.set()

    def _receive(self, message: dict[str, Any]) -> None:
        if message.get("streamSid") != self.stream_sid:
            self.violations.append(f"{message.get('event')} for another stream")
        match message.get("event"):
            case "media":
                self._hear(base64.b64decode(message["media"]["payload"], validate=True))
            case "mark":
                self._ear.append(str(message["mark"]["name"]))
            case "clear":
                self.clears += 1
                self._ear = deque(item for item in self._ear if isinstance(item, str))
                self._partial = b""
            case other:
                self.violations.append(f"event {other!r} is not one that a server may send")

    def _hear(self, audio: bytes) -> None:
        if self._spoke_until is not None and not self._mouth and _is_voiced(audio):
            self.latencies.append(time.monotonic() - self._spoke_until)
            self._spoke_until = None
        audio = self._partial + audio
        whole = len(audio) - len(audio) % FRAME_BYTES
        self._ear.extend(audio[at : at + FRAME_BYTES] for at in range(0, whole, FRAME_BYTES))
        self._partial = audio[whole:]


@asynccontextmanager
async def dial(
    url: str, *, call_sid: str = "", account_sid: str = "", headers: Mapping[str, str] | None = None
) -> AsyncIterator[MediaPeer]:
    """Open a media stream as Twilio does, and keep audio flowing both ways until the block ends."""
    async with connect(url, additional_headers=headers, open_timeout=10, close_timeout=2, max_size=1 << 16) as socket:
        peer = MediaPeer(socket, sid("MZ"), call_sid or sid("CA"), account_sid or sid("AC"))
        await socket.send(json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}))
        await peer._send(
            {
                "event": "start",
                "start": {
                    "accountSid": peer.account_sid,
                    "streamSid": peer.stream_sid,
                    "callSid": peer.call_sid,
                    "tracks": ["inbound"],
                    "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": RATE, "channels": 1},
                    "customParameters": {},
                },
            }
        )
        listening = asyncio.create_task(peer._listen())
        talking = asyncio.create_task(peer._talk())
        try:
            yield peer
        finally:
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)
            await peer.hang_up()
            await listening
