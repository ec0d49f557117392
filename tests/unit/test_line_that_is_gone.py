"""A media stream whose network has gone, which is noticed when something is sent."""

from fastapi import WebSocket
from starlette.types import Message

from telephony.counters import StreamCounters
from telephony.media_stream import GuardedWebSocket, StreamDeadlines


async def test_a_line_that_went_while_something_was_sent_is_closed_without_an_error() -> None:
    sent: list[str] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message["type"])
        if message["type"] == "websocket.send":
            raise OSError("the network is gone")

    socket = WebSocket({"type": "websocket", "headers": []}, receive, send)
    await socket.accept()
    line = GuardedWebSocket(socket, StreamCounters(), StreamDeadlines())
    await line.send_text('{"event": "mark", "mark": {"name": "first"}}')
    await line.finish()
    assert sent == ["websocket.accept", "websocket.send"]
