"""What this server may send on a media stream: media in frames of 20 ms, mark and clear. Pure."""

import base64
import binascii
import json
from dataclasses import dataclass, field

from carecall.errors import StreamRefused
from telephony.wire import MAX_MARK_NAME

FRAME_BYTES = 160  # of μ-law at 8000 Hz
FRAME_S = 0.02
SILENCE = b"\xff"  # one sample of μ-law silence


@dataclass(frozen=True, slots=True)
class OutMedia:
    payload: bytes


@dataclass(frozen=True, slots=True)
class OutMark:
    name: str


@dataclass(frozen=True, slots=True)
class OutClear:
    pass


Outbound = OutMedia | OutMark | OutClear


def parse_outbound(frame: str) -> Outbound:
    """What the voice pipeline wants to send. Raises StreamRefused for what Twilio would answer with a broken call."""
    try:
        message = json.loads(frame)
        event = message["event"]
        if event == "media":
            return OutMedia(base64.b64decode(message["media"]["payload"], validate=True))
        if event == "mark":
            name = message["mark"]["name"]
            if isinstance(name, str) and 0 < len(name) <= MAX_MARK_NAME:
                return OutMark(name)
            raise ValueError(event)
        if event == "clear":
            return OutClear()
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise StreamRefused("A frame for the media stream is malformed; see telephony.outbound.") from None
    raise StreamRefused("Only media, mark and clear may be sent on a media stream.")


@dataclass(slots=True)
class StreamWriter:
    """Writes the frames of one stream; audio that does not fill a frame waits for more, or for a mark."""

    stream_sid: str
    _rest: bytearray = field(default_factory=bytearray)

    def write(self, message: Outbound) -> list[str]:
        """The text frames to send now, in order."""
        if isinstance(message, OutMedia):
            self._rest += message.payload
            whole = len(self._rest) - len(self._rest) % FRAME_BYTES
            frames = [self._media(bytes(self._rest[at : at + FRAME_BYTES])) for at in range(0, whole, FRAME_BYTES)]
            del self._rest[:whole]
            return frames
        if isinstance(message, OutMark):
            return [*self.flush(), self._frame({"event": "mark", "mark": {"name": message.name}})]
        self._rest.clear()
        return [self._frame({"event": "clear"})]

    def flush(self) -> list[str]:
        """What is left of the audio, filled up with silence."""
        if not self._rest:
            return []
        last = bytes(self._rest).ljust(FRAME_BYTES, SILENCE)
        self._rest.clear()
        return [self._media(last)]

    def _media(self, payload: bytes) -> str:
        return self._frame({"event": "media", "media": {"payload": base64.b64encode(payload).decode("ascii")}})

    def _frame(self, message: dict[str, object]) -> str:
        return json.dumps({"streamSid": self.stream_sid, **message})
