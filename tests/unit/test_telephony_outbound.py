"""What goes out on a media stream."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carecall.errors import StreamRefused
from telephony.outbound import OutClear, OutMark, OutMedia, StreamWriter, parse_outbound


def audio(frames: list[str]) -> list[bytes]:
    messages = [json.loads(frame) for frame in frames]
    assert all(message["streamSid"] == "MZ1" for message in messages)
    return [base64.b64decode(message["media"]["payload"]) for message in messages if message["event"] == "media"]


@given(st.lists(st.binary(max_size=700)))
def test_audio_leaves_in_frames_of_160_bytes_and_none_is_lost(chunks: list[bytes]) -> None:
    writer = StreamWriter("MZ1")
    sent = audio([frame for chunk in chunks for frame in writer.write(OutMedia(chunk))] + writer.flush())
    spoken = b"".join(chunks)
    assert all(len(frame) == 160 for frame in sent)
    assert b"".join(sent)[: len(spoken)] == spoken
    assert set(b"".join(sent)[len(spoken) :]) <= {0xFF}
    assert len(b"".join(sent)) - len(spoken) < 160


def test_a_mark_comes_after_all_audio_before_it() -> None:
    writer = StreamWriter("MZ1")
    assert writer.write(OutMedia(b"\x01" * 100)) == []
    rest, mark = writer.write(OutMark("closing"))
    assert audio([rest]) == [b"\x01" * 100 + b"\xff" * 60]
    assert json.loads(mark) == {"streamSid": "MZ1", "event": "mark", "mark": {"name": "closing"}}


def test_clear_drops_what_was_not_sent() -> None:
    writer = StreamWriter("MZ1")
    writer.write(OutMedia(b"\x01" * 100))
    assert [json.loads(frame) for frame in writer.write(OutClear())] == [{"streamSid": "MZ1", "event": "clear"}]
    assert writer.flush() == []


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "null",
        "{}",
        '{"event": "stop"}',
        '{"event": ["media"]}',
        '{"event": "media"}',
        '{"event": "media", "media": {"payload": "?"}}',
        '{"event": "mark", "mark": "name"}',
        '{"event": "mark", "mark": {"name": ""}}',
        '{"event": "mark", "mark": {"name": "' + "n" * 257 + '"}}',
    ],
)
def test_anything_but_media_mark_and_clear_is_refused(frame: str) -> None:
    with pytest.raises(StreamRefused):
        parse_outbound(frame)
