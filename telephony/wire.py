"""What Twilio may send on a media stream, checked field by field, and the order in which it may be sent. Pure.

The messages: https://www.twilio.com/docs/voice/media-streams/websocket-messages. Audio is G.711 μ-law, 8000 Hz,
mono: one byte a sample, 8000 bytes a second.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Never, assert_never

from carecall.errors import StreamRefused

BYTES_PER_SECOND = 8000
MAX_FRAME_BYTES = 16 * 1024  # of one WebSocket text frame
MAX_PAYLOAD_BYTES = 4 * 1024  # of audio in one frame: half a second
MAX_MARK_NAME = 256  # characters
MAX_BRACKETS = 64  # a message of Twilio has about five
MIN_CHARGED_BYTES = 40  # a shorter payload counts as much: crumbs are a flood too
MAX_AHEAD_S = 10.0  # audio may run this far ahead of the clock: a stalled network catches up
MAX_CONTROL_BURST = 200.0  # frames without audio that may come at once
CONTROL_PER_SECOND = 50.0  # and how many a second after that


class CloseCode(IntEnum):
    """WebSocket close codes (RFC 6455, section 7.4, and the IANA registry) that this server sends."""

    NORMAL = 1000
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    BAD_PAYLOAD = 1007
    POLICY = 1008
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    TRY_AGAIN_LATER = 1013


class Violation(StrEnum):
    """How a peer can break the protocol. The words are stable: they are counted and may be alarmed on."""

    FRAME_TOO_BIG = "frame_too_big"
    PAYLOAD_TOO_BIG = "payload_too_big"
    BINARY_FRAME = "binary_frame"
    BAD_FRAME = "bad_frame"  # broken below the level of messages
    BAD_TEXT = "bad_text"  # not UTF-8
    NOT_JSON = "not_json"
    TOO_DEEP = "too_deep"
    NOT_AN_OBJECT = "not_an_object"
    BAD_FIELD = "bad_field"
    BAD_BASE64 = "bad_base64"
    UNSUPPORTED_MEDIA = "unsupported_media"
    OUT_OF_ORDER = "out_of_order"
    SECOND_START = "second_start"
    AFTER_STOP = "after_stop"
    SEQUENCE_BACKWARDS = "sequence_backwards"
    OTHER_STREAM = "other_stream"
    OTHER_CALL = "other_call"
    OTHER_ACCOUNT = "other_account"
    TOO_FAST = "too_fast"
    LATE_START = "late_start"
    SILENT_PEER = "silent_peer"

    @property
    def close_code(self) -> CloseCode:
        return _CLOSE_CODES[self]


_CLOSE_CODES = {
    Violation.FRAME_TOO_BIG: CloseCode.TOO_BIG,
    Violation.PAYLOAD_TOO_BIG: CloseCode.TOO_BIG,
    Violation.BINARY_FRAME: CloseCode.UNSUPPORTED_DATA,
    Violation.BAD_FRAME: CloseCode.PROTOCOL_ERROR,
    Violation.BAD_TEXT: CloseCode.BAD_PAYLOAD,
    Violation.NOT_JSON: CloseCode.BAD_PAYLOAD,
    Violation.TOO_DEEP: CloseCode.BAD_PAYLOAD,
    Violation.NOT_AN_OBJECT: CloseCode.BAD_PAYLOAD,
    Violation.BAD_FIELD: CloseCode.BAD_PAYLOAD,
    Violation.BAD_BASE64: CloseCode.BAD_PAYLOAD,
    Violation.UNSUPPORTED_MEDIA: CloseCode.UNSUPPORTED_DATA,
    Violation.OUT_OF_ORDER: CloseCode.PROTOCOL_ERROR,
    Violation.SECOND_START: CloseCode.PROTOCOL_ERROR,
    Violation.AFTER_STOP: CloseCode.PROTOCOL_ERROR,
    Violation.SEQUENCE_BACKWARDS: CloseCode.PROTOCOL_ERROR,
    Violation.OTHER_STREAM: CloseCode.POLICY,
    Violation.OTHER_CALL: CloseCode.POLICY,
    Violation.OTHER_ACCOUNT: CloseCode.POLICY,
    Violation.TOO_FAST: CloseCode.POLICY,
    Violation.LATE_START: CloseCode.POLICY,
    Violation.SILENT_PEER: CloseCode.POLICY,
}


class ProtocolViolation(StreamRefused):
    """The peer of a media stream broke the protocol."""

    code = "protocol_violation"

    def __init__(self, violation: Violation, what: str) -> None:
        super().__init__(f"The media stream broke the protocol ({violation}): {what}.")
        self.violation = violation
        self.close_code = violation.close_code


@dataclass(frozen=True, slots=True)
class Connected:
    """The first message; it says nothing that is used."""


@dataclass(frozen=True, slots=True)
class Start:
    stream_sid: str
    call_sid: str
    account_sid: str
    tracks: tuple[str, ...]
    encoding: str
    sample_rate: int  # Hz
    channels: int
    custom_parameters: Mapping[str, str]
    sequence: int | None  # rises within a stream; test clients may leave it out


@dataclass(frozen=True, slots=True)
class Media:
    stream_sid: str
    payload: bytes  # G.711 μ-law, 8000 Hz, mono
    sequence: int | None  # rises within a stream; test clients may leave it out


@dataclass(frozen=True, slots=True)
class Dtmf:
    stream_sid: str
    digit: str
    sequence: int | None  # rises within a stream; test clients may leave it out


@dataclass(frozen=True, slots=True)
class Mark:
    stream_sid: str
    name: str
    sequence: int | None  # rises within a stream; test clients may leave it out


@dataclass(frozen=True, slots=True)
class Stop:
    stream_sid: str
    call_sid: str | None
    sequence: int | None


@dataclass(frozen=True, slots=True)
class Unknown:
    """An event that this program does not know; Twilio may add some, so it is ignored and counted."""


Inbound = Connected | Start | Media | Dtmf | Mark | Stop | Unknown


def parse(frame: str) -> Inbound:
    """The message in one text frame. Raises ProtocolViolation for anything that is not one, and nothing else."""
    if len(frame) > MAX_FRAME_BYTES or len(frame.encode("utf-8", "surrogatepass")) > MAX_FRAME_BYTES:
        raise ProtocolViolation(Violation.FRAME_TOO_BIG, f"a frame has more than {MAX_FRAME_BYTES} bytes")
    if frame.count("{") + frame.count("[") > MAX_BRACKETS:
        raise ProtocolViolation(Violation.TOO_DEEP, "a frame is nested too deep")
    try:
        message = json.loads(frame, parse_constant=_no_constant)
    except ValueError:
        raise ProtocolViolation(Violation.NOT_JSON, "a frame is not JSON") from None
    if not isinstance(message, dict):
        raise ProtocolViolation(Violation.NOT_AN_OBJECT, "a frame is not a JSON object")
    match _text(message, "event", limit=64):
        case "connected":
            for name in ("protocol", "version"):
                if name in message:
                    _text(message, name, limit=32)
            return Connected()
        case "start":
            return _start(message)
        case "media":
            return _media(message)
        case "dtmf":
            digit = _text(_object(message, "dtmf"), "digit", limit=1)
            if digit not in "0123456789*#ABCD":
                _bad("dtmf.digit")
            return Dtmf(_sid(message, "streamSid"), digit, _sequence(message))
        case "mark":
            name = _text(_object(message, "mark"), "name", limit=MAX_MARK_NAME)
            return Mark(_sid(message, "streamSid"), name, _sequence(message))
        case "stop":
            call_sid = _sid(_object(message, "stop"), "callSid") if "stop" in message else None
            return Stop(_sid(message, "streamSid"), call_sid, _sequence(message))
        case _:
            return Unknown()


def _start(message: dict[str, object]) -> Start:
    start = _object(message, "start")
    stream_sid = _sid(start, "streamSid")
    if _sid(message, "streamSid") != stream_sid:
        raise ProtocolViolation(Violation.OTHER_STREAM, "start names two streams")
    form = _object(start, "mediaFormat")
    encoding = _text(form, "encoding", limit=64)
    sample_rate, channels = _count(form, "sampleRate"), _count(form, "channels")
    if (encoding, sample_rate, channels) != ("audio/x-mulaw", BYTES_PER_SECOND, 1):
        raise ProtocolViolation(Violation.UNSUPPORTED_MEDIA, "only audio/x-mulaw at 8000 Hz, mono, is understood")
    tracks = start.get("tracks", ["inbound"])
    if not isinstance(tracks, list) or not tracks or not all(track in ("inbound", "outbound") for track in tracks):
        _bad("start.tracks")
    if "inbound" not in tracks:
        raise ProtocolViolation(Violation.UNSUPPORTED_MEDIA, "the stream has no inbound track")
    parameters = start.get("customParameters", {})
    if not isinstance(parameters, dict) or len(parameters) > 32:
        _bad("start.customParameters")
    return Start(
        stream_sid=stream_sid,
        call_sid=_sid(start, "callSid"),
        account_sid=_sid(start, "accountSid"),
        tracks=tuple(tracks),
        encoding=encoding,
        sample_rate=sample_rate,
        channels=channels,
        custom_parameters=MappingProxyType({name: _text(parameters, name, limit=500) for name in parameters}),
        sequence=_sequence(message),
    )


def _media(message: dict[str, object]) -> Media:
    media = _object(message, "media")
    if media.get("track", "inbound") != "inbound":
        raise ProtocolViolation(Violation.UNSUPPORTED_MEDIA, "only the inbound track is understood")
    encoded = media.get("payload")
    if not isinstance(encoded, str) or not encoded:
        _bad("media.payload")
    if len(encoded) > (MAX_PAYLOAD_BYTES + 2) // 3 * 4:
        raise ProtocolViolation(Violation.PAYLOAD_TOO_BIG, f"a payload has more than {MAX_PAYLOAD_BYTES} bytes")
    try:
        payload = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ProtocolViolation(Violation.BAD_BASE64, "a payload is not base64") from None
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ProtocolViolation(Violation.PAYLOAD_TOO_BIG, f"a payload has more than {MAX_PAYLOAD_BYTES} bytes")
    for name in ("chunk", "timestamp"):
        if name in media:
            _count(media, name)
    return Media(
        stream_sid=_sid(message, "streamSid"),
        payload=payload,
        sequence=_sequence(message),
    )


def _no_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


def _bad(name: str) -> Never:
    raise ProtocolViolation(Violation.BAD_FIELD, f"field {name} is missing or wrong")


def _object(parent: dict[str, object], name: str) -> dict[str, object]:
    value = parent.get(name)
    if not isinstance(value, dict):
        _bad(name)
    return value


def _text(parent: dict[str, object], name: str, *, limit: int) -> str:
    value = parent.get(name)
    if not isinstance(value, str) or not value or len(value) > limit:
        _bad(name if len(name) <= 64 and name.isascii() and name.isprintable() else "of a custom parameter")
    return value


_SID = re.compile(r"[0-9A-Za-z_.:-]{1,64}")


def _sid(parent: dict[str, object], name: str) -> str:
    """An identifier; Twilio's begin with MZ, CA and AC, those of other peers as they like."""
    value = _text(parent, name, limit=64)
    if not _SID.fullmatch(value):
        _bad(name)
    return value


_DIGITS = re.compile(r"[0-9]{1,15}")


def _count(parent: dict[str, object], name: str) -> int:
    """A whole number from 0 to 10^15 - 1; Twilio writes most of them as text."""
    value = parent.get(name)
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15:
        return value
    _bad(name)


def _sequence(message: dict[str, object]) -> int | None:
    return _count(message, "sequenceNumber") if "sequenceNumber" in message else None


class StreamState(StrEnum):
    AWAITING_CONNECTED = "awaiting_connected"
    AWAITING_START = "awaiting_start"
    STREAMING = "streaming"
    STOPPED = "stopped"


@dataclass(slots=True)
class _Bucket:
    """What came faster than it may, in the unit of ``rate`` a second."""

    rate: float
    limit: float
    level: float = 0.0
    at: float | None = None

    def add(self, amount: float, now: float) -> bool:
        """Whether it still holds with ``amount`` more; ``now`` in seconds, never running backwards."""
        elapsed = 0.0 if self.at is None else now - self.at
        self.at = now
        self.level = max(0.0, self.level - elapsed * self.rate) + amount
        return self.level <= self.limit


@dataclass(slots=True)
class StreamProtocol:
    """The order of messages on one stream: connected, start, then media, dtmf and mark until stop."""

    state: StreamState = StreamState.AWAITING_CONNECTED
    start: Start | None = None
    unknown_events: int = 0
    _sequence: int = -1
    _audio: _Bucket = field(default_factory=lambda: _Bucket(BYTES_PER_SECOND, BYTES_PER_SECOND * MAX_AHEAD_S))
    _control: _Bucket = field(default_factory=lambda: _Bucket(CONTROL_PER_SECOND, MAX_CONTROL_BURST))

    def receive(self, frame: str, now: float) -> Inbound:
        """The next message, checked against all before it; ``now`` in seconds of a clock that never runs backwards.

        Raises ProtocolViolation, after which the stream is to be closed.
        """
        message = parse(frame)
        if isinstance(message, Media):
            held = self._audio.add(max(len(message.payload), MIN_CHARGED_BYTES), now)
        else:
            held = self._control.add(1, now)
        if not held:
            raise ProtocolViolation(Violation.TOO_FAST, "frames come faster than a telephone speaks")
        if isinstance(message, Unknown):
            self.unknown_events += 1
            return message
        if self.state is StreamState.AWAITING_CONNECTED:
            if not isinstance(message, Connected):
                raise ProtocolViolation(Violation.OUT_OF_ORDER, "the first message is not connected")
            self.state = StreamState.AWAITING_START
        elif self.state is StreamState.AWAITING_START:
            if not isinstance(message, Start):
                raise ProtocolViolation(Violation.OUT_OF_ORDER, "the second message is not start")
            self.start, self._sequence = message, -1 if message.sequence is None else message.sequence
            self.state = StreamState.STREAMING
        elif self.state is StreamState.STREAMING:
            self._streaming(message)
        elif self.state is StreamState.STOPPED:
            raise ProtocolViolation(Violation.AFTER_STOP, "a message came after stop")
        else:
            assert_never(self.state)
        return message

    def _streaming(self, message: Connected | Start | Media | Dtmf | Mark | Stop) -> None:
        if isinstance(message, Start):
            raise ProtocolViolation(Violation.SECOND_START, "start came twice")
        if isinstance(message, Connected):
            raise ProtocolViolation(Violation.OUT_OF_ORDER, "connected came after start")
        assert self.start is not None
        if message.stream_sid != self.start.stream_sid:
            raise ProtocolViolation(Violation.OTHER_STREAM, "a message belongs to another stream")
        if message.sequence is not None:
            if message.sequence <= self._sequence:
                raise ProtocolViolation(Violation.SEQUENCE_BACKWARDS, "the sequence number does not rise")
            self._sequence = message.sequence
        if isinstance(message, Stop):
            if message.call_sid not in (None, self.start.call_sid):
                raise ProtocolViolation(Violation.OTHER_CALL, "stop belongs to another call")
            self.state = StreamState.STOPPED
