"""The line of a test call: a browser's microphone and loudspeaker over WebRTC, without a telephone."""

import asyncio
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

from pipecat.transports.base_transport import BaseTransport, TransportParams

from carecall.errors import StreamRefused

if TYPE_CHECKING:
    from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection

_OVER = ("failed", "closed")


def browser_calls_possible() -> bool:
    """Whether what WebRTC needs is installed: the extra ``webrtc``."""
    return find_spec("aiortc") is not None


class BrowserLine:
    """One browser. It is offered addresses of this machine, and those that the operator's own ICE servers give it."""

    def __init__(self, connection: "SmallWebRTCConnection", answer: str) -> None:
        from pipecat.transports.smallwebrtc.transport import SmallWebRTCTransport

        self._connection = connection
        self.answer = answer  # SDP, for the browser
        self.transport: BaseTransport = SmallWebRTCTransport(
            connection, TransportParams(audio_in_enabled=True, audio_out_enabled=True, audio_out_end_silence_secs=1)
        )

    @classmethod
    async def answering(cls, offer: str, ice_servers: Sequence[Mapping[str, Any]] = ()) -> Self:
        """The line that a browser offers in SDP. Raises StreamRefused for an offer that is none of a microphone.

        ``ice_servers`` are as RTCPeerConnection takes them; without any, no server elsewhere learns of the call.
        """
        from pipecat.transports.smallwebrtc.connection import IceServer, SmallWebRTCConnection

        connection = SmallWebRTCConnection([IceServer(**server) for server in ice_servers])
        try:
            if "m=audio" not in offer:
                raise ValueError("no microphone")
            await connection.initialize(offer, "offer")
            if (answer := connection.get_answer()) is None:
                raise ValueError("no answer")
        except Exception as error:  # noqa: BLE001 - what stands in an offer comes from outside
            await connection.disconnect()
            raise StreamRefused(f"The browser's offer cannot be answered: {type(error).__name__}.") from None
        return cls(connection, answer["sdp"])

    async def connected(self, within_s: float) -> bool:
        """Waits until the browser is on the line; False when it does not come."""
        pc = self._connection.pc
        changed = asyncio.Event()
        pc.add_listener("connectionstatechange", changed.set)
        try:
            async with asyncio.timeout(within_s):
                while pc.connectionState != "connected":
                    if pc.connectionState in _OVER:
                        return False
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            return False
        finally:
            pc.remove_listener("connectionstatechange", changed.set)
        return True

    async def close(self) -> None:
        await self._connection.disconnect()
