"""What is understood of a media stream's frames, and in which order."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carecall.errors import StreamRefused
from telephony.wire import (
    MAX_FRAME_BYTES,
    CloseCode,
    Connected,
    Dtmf,
    Mark,
    Media,
    ProtocolViolation,
    Start,
    Stop,
    StreamProtocol,
    StreamState,
    Unknown,
    Violation,
    parse,
)

STREAM, CALL, ACCOUNT = "MZ" + "a" * 32, "CA" + "b" * 32, "AC" + "c" * 32
CONNECTED = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
START: dict[str, Any] = {
    "event": "start",
    "sequenceNumber": "1",
    "streamSid": STREAM,
    "start": {
        "streamSid": STREAM,
        "callSid": CALL,
        "accountSid": ACCOUNT,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"colour": "blue"},
    },
}
MEDIA: dict[str, Any] = {
    "event": "media",
    "sequenceNumber": "2",
    "streamSid": STREAM,
    "media": {"track": "inbound", "chunk": "1", "timestamp": "5", "payload": "f39/"},
}
DTMF: dict[str, Any] = {
    "event": "dtmf",
    "sequenceNumber": "3",
    "streamSid": STREAM,
    "dtmf": {"track": "inbound_track", "digit": "#"},
}
MARK: dict[str, Any] = {"event": "mark", "sequenceNumber": "4", "streamSid": STREAM, "mark": {"name": "closing"}}
STOP: dict[str, Any] = {
    "event": "stop",
    "sequenceNumber": "5",
    "streamSid": STREAM,
    "stop": {"accountSid": ACCOUNT, "callSid": CALL},
}
MESSAGES = [CONNECTED, START, MEDIA, DTMF, MARK, STOP]


def changed(message: dict[str, Any], path: str, value: object) -> str:
    """The message as a frame with one field changed, or taken away when the value is an ellipsis."""
    copy = json.loads(json.dumps(message))
    *parents, name = path.split(".")
    holder = copy
    for parent in parents:
        holder = holder[parent]
    if value is ...:
        del holder[name]
    else:
        holder[name] = value
    return json.dumps(copy)


def violation_of(frame: str) -> Violation:
    with pytest.raises(ProtocolViolation) as wrong:
        parse(frame)
    return wrong.value.violation


def test_every_message_of_twilio_is_understood() -> None:
    assert [parse(json.dumps(message)) for message in MESSAGES] == [
        Connected(),
        Start(STREAM, CALL, ACCOUNT, ("inbound",), "audio/x-mulaw", 8000, 1, {"colour": "blue"}, 1),
        Media(STREAM, b"\x7f\x7f\x7f", sequence=2),
        Dtmf(STREAM, "#", 3),
        Mark(STREAM, "closing", 4),
        Stop(STREAM, CALL, 5),
    ]


def test_an_event_that_twilio_may_add_is_unknown_and_not_wrong() -> None:
    assert parse('{"event": "weather", "anything": [1]}') == Unknown()


def test_whole_numbers_may_be_numbers_or_text() -> None:
    message = parse(changed(MEDIA, "sequenceNumber", 7))
    assert isinstance(message, Media)
    assert message.sequence == 7


@pytest.mark.parametrize("path", ["sequenceNumber", "media.chunk", "media.timestamp"])
def test_a_test_client_may_leave_out_what_is_only_counted(path: str) -> None:
    assert isinstance(parse(changed(MEDIA, path, ...)), Media)


WRONG_NUMBERS = [-1, "-1", 1.0, True, "1.0", "", " 1", "١", "9" * 400, 10**15, None, [], {}, "0x1", 1e300]


@pytest.mark.parametrize("value", WRONG_NUMBERS)
@pytest.mark.parametrize("path", ["sequenceNumber", "media.chunk", "media.timestamp"])
def test_a_number_that_is_not_whole_and_positive_is_refused(path: str, value: object) -> None:
    assert violation_of(changed(MEDIA, path, value)) is Violation.BAD_FIELD


WRONG_FIELDS: list[tuple[dict[str, Any], str, object]] = [
    (CONNECTED, "event", ...),
    (CONNECTED, "event", 5),
    (CONNECTED, "protocol", ""),
    (CONNECTED, "version", "1" * 33),
    (START, "start", []),
    (START, "start.callSid", "CA" + "b" * 63),
    (START, "start.callSid", "CA/../secret"),
    (START, "start.tracks", ["outbound", {}]),
    (START, "start.tracks", []),
    (START, "start.mediaFormat", None),
    (START, "start.customParameters", {"name": 5}),
    (START, "start.customParameters", {str(n): "x" for n in range(33)}),
    (START, "start.customParameters", {"n" * 400: "x" * 501}),
    (MEDIA, "media", "f39/"),
    (MEDIA, "media.payload", ""),
    (MEDIA, "media.payload", 5),
    (MEDIA, "streamSid", "MZ/.."),
    (DTMF, "dtmf.digit", "12"),
    (DTMF, "dtmf.digit", "x"),
    (MARK, "mark.name", "n" * 257),
    (STOP, "stop.callSid", ...),
]


@pytest.mark.parametrize(("message", "path", "value"), WRONG_FIELDS)
def test_a_field_of_the_wrong_kind_is_refused(message: dict[str, Any], path: str, value: object) -> None:
    assert violation_of(changed(message, path, value)) is Violation.BAD_FIELD


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("start.mediaFormat.encoding", "audio/x-l16"),
        ("start.mediaFormat.sampleRate", 16000),
        ("start.mediaFormat.channels", 2),
        ("start.tracks", ["outbound"]),
    ],
)
def test_only_mulaw_at_8000_hz_in_mono_is_understood(path: str, value: object) -> None:
    assert violation_of(changed(START, path, value)) is Violation.UNSUPPORTED_MEDIA


def test_only_the_recipient_is_heard() -> None:
    assert violation_of(changed(MEDIA, "media.track", "outbound")) is Violation.UNSUPPORTED_MEDIA


@pytest.mark.parametrize("payload", ["f39", "f3 9", "f39/\n", "f=9/", "에이", "_-_-"])
def test_a_payload_must_be_base64(payload: str) -> None:
    assert violation_of(changed(MEDIA, "media.payload", payload)) is Violation.BAD_BASE64


def test_a_payload_is_at_most_4_kib() -> None:
    assert isinstance(parse(changed(MEDIA, "media.payload", base64.b64encode(bytes(4096)).decode())), Media)
    for size in (4097, 4098, 9000):
        too_much = base64.b64encode(bytes(size)).decode()
        assert violation_of(changed(MEDIA, "media.payload", too_much)) is Violation.PAYLOAD_TOO_BIG


def test_a_frame_is_at_most_16_kib_of_utf_8() -> None:
    around = len('{"event": ""}')
    assert parse('{"event":"x","more":"' + "x" * (MAX_FRAME_BYTES - 23) + '"}') == Unknown()
    assert violation_of('{"event":"x","more":"' + "x" * (MAX_FRAME_BYTES - around) + '"}') is Violation.FRAME_TOO_BIG
    assert violation_of('"' + "가" * 6000 + '"') is Violation.FRAME_TOO_BIG


@pytest.mark.parametrize("frame", ["", "{", "{'event': 1}", '{"event": Infinity}', '{"n": ' + "9" * 5000 + "}"])
def test_what_is_not_json_is_refused(frame: str) -> None:
    assert violation_of(frame) is Violation.NOT_JSON


@pytest.mark.parametrize("frame", ["[" * 16_000, '{"a":' * 3000, "[" + "[]," * 100 + "[]]"])
def test_deep_nesting_is_refused_before_it_is_read(frame: str) -> None:
    assert violation_of(frame) is Violation.TOO_DEEP


def test_the_message_of_a_violation_holds_nothing_of_the_peers() -> None:
    with pytest.raises(ProtocolViolation) as wrong:
        parse(changed(START, "start.customParameters", {"secret\nname": 5}))
    assert "secret" not in str(wrong.value)


def test_each_violation_has_a_close_code_and_is_a_refused_stream() -> None:
    for violation in Violation:
        error = ProtocolViolation(violation, "what it is")
        assert isinstance(error, StreamRefused)
        assert error.close_code in set(CloseCode) - {CloseCode.NORMAL, CloseCode.INTERNAL_ERROR}


@given(st.binary(max_size=2000))
def test_no_bytes_make_the_parser_raise_anything_else(frame: bytes) -> None:
    refused_or_read(frame.decode("utf-8", "surrogateescape"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.sampled_from(MESSAGES), st.data())
def test_no_change_of_a_message_makes_the_parser_raise_anything_else(
    message: dict[str, Any], data: st.DataObject
) -> None:
    paths = [name for name in message if name != "event"]
    paths += [f"{outer}.{inner}" for outer in message if isinstance(message[outer], dict) for inner in message[outer]]
    refused_or_read(changed(message, data.draw(st.sampled_from(paths)), data.draw(JSON)))


@given(st.sampled_from(MESSAGES), st.integers(0, 400), st.integers(0, 20), st.text(max_size=20))
def test_no_damage_of_a_frame_makes_the_parser_raise_anything_else(
    message: dict[str, Any], at: int, cut: int, put: str
) -> None:
    frame = json.dumps(message)
    refused_or_read(frame[:at] + put + frame[at + cut :])


def refused_or_read(frame: str) -> None:
    try:
        parse(frame)
    except ProtocolViolation as wrong:
        str(wrong).encode("ascii")


def streaming() -> StreamProtocol:
    protocol = StreamProtocol()
    protocol.receive(json.dumps(CONNECTED), 0.0)
    protocol.receive(json.dumps(START), 0.0)
    return protocol


def media(sequence: int, size: int = 160) -> str:
    frame = json.loads(changed(MEDIA, "sequenceNumber", sequence))
    return changed(frame, "media.payload", base64.b64encode(bytes(size)).decode())


def test_a_stream_goes_from_connected_over_start_to_stop() -> None:
    protocol = StreamProtocol()
    states = []
    for message in MESSAGES:
        protocol.receive(json.dumps(message), 0.0)
        states.append(protocol.state)
    assert states == [StreamState.AWAITING_START, *[StreamState.STREAMING] * 4, StreamState.STOPPED]
    assert protocol.start is not None
    assert protocol.start.call_sid == CALL


def test_a_call_in_real_time_is_never_too_fast() -> None:
    protocol = streaming()
    for sequence in range(2, 30_000):
        protocol.receive(media(sequence), sequence * 0.02)


def test_a_network_that_stalled_may_catch_up_ten_seconds() -> None:
    protocol = streaming()
    for sequence in range(2, 502):
        protocol.receive(media(sequence), 30.0)
    with pytest.raises(ProtocolViolation, match="too_fast"):
        protocol.receive(media(502), 30.0)


def test_marks_and_digits_are_not_taken_for_audio() -> None:
    protocol = streaming()
    for sequence in range(2, 3000):
        protocol.receive(changed(MARK, "sequenceNumber", sequence), sequence * 0.05)


def test_a_stop_of_another_call_is_refused() -> None:
    with pytest.raises(ProtocolViolation, match="other_call"):
        streaming().receive(changed(STOP, "stop.callSid", "CA" + "d" * 32), 0.0)


def test_a_sequence_number_that_comes_again_is_refused() -> None:
    protocol = streaming()
    protocol.receive(media(2), 0.0)
    with pytest.raises(ProtocolViolation, match="sequence_backwards"):
        protocol.receive(media(2), 0.02)


@given(st.lists(st.sampled_from([*MESSAGES, {"event": "weather"}]), max_size=12))
def test_no_order_of_messages_gets_audio_past_the_handshake(messages: list[dict[str, Any]]) -> None:
    protocol = StreamProtocol()
    for index, message in enumerate(messages):
        numbered = {**message, "sequenceNumber": index} if "sequenceNumber" in message else message
        try:
            protocol.receive(json.dumps(numbered), 0.0)
        except ProtocolViolation:
            break
        if message in (MEDIA, DTMF, MARK, STOP):
            assert protocol.start is not None


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*MESSAGES, {"event": "weather"}]),
            st.integers(0, 300),
            st.integers(0, 3),
            st.text(max_size=3),
        ),
        max_size=15,
    ),
    st.lists(st.floats(0, 1e6), min_size=15, max_size=15),
)
def test_no_run_of_damaged_frames_raises_anything_else_or_opens_a_stream_without_its_start(
    frames: list[tuple[dict[str, Any], int, int, str]], moments: list[float]
) -> None:
    protocol = StreamProtocol()
    for (message, at, cut, put), now in zip(frames, sorted(moments), strict=False):
        frame = json.dumps(message)
        try:
            taken = protocol.receive(frame[:at] + put + frame[at + cut :], now)
        except ProtocolViolation:
            return
        if isinstance(taken, Media | Dtmf | Mark | Stop):
            assert protocol.start is not None
            assert taken.stream_sid == protocol.start.stream_sid
