"""Twilio's webhooks: signed or nothing, once or nothing, and what they answer."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from webhook_peer import (
    ATTEMPT,
    BASE,
    CALL,
    CALL_SID,
    RESUME,
    STATUS,
    TOKEN,
    VOICE,
    Attempts,
    Clock,
    client_of,
    post,
    signature,
    verbs,
)

from carecall.domain.progress import AnsweredBy, CallFailure, CallProgress, CallStatus
from telephony.counters import WebhookCounters
from telephony.webhooks import WebhookRefusal


@pytest.fixture
def attempts() -> Attempts:
    return Attempts()


@pytest.fixture
def counters() -> WebhookCounters:
    return WebhookCounters()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(attempts: Attempts, counters: WebhookCounters, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(attempts, counters, clock) as client:
        yield client


async def test_an_answered_call_is_connected_to_its_stream_and_goes_on_at_the_resume_hook(
    client: httpx.AsyncClient, attempts: Attempts
) -> None:
    response = await post(client, VOICE, CALL)
    connect, stream, redirect = verbs(response)
    assert connect == ("Connect", {}, "")
    assert stream == ("Stream", {"url": f"wss://calls.example.org/care/telephony/stream/{TOKEN}"}, "")
    assert redirect[:2] == ("Redirect", {"method": "POST"})
    assert redirect[2].startswith(f"{BASE}/telephony/resume/{ATTEMPT}?turn=")
    assert attempts.opened == [(ATTEMPT, CALL_SID)]


async def test_a_call_that_must_not_be_held_is_hung_up(client: httpx.AsyncClient, attempts: Attempts) -> None:
    attempts.token = None
    assert verbs(await post(client, VOICE, CALL)) == [("Hangup", {}, "")]


async def test_after_the_dialog_the_call_is_hung_up(client: httpx.AsyncClient, attempts: Attempts) -> None:
    assert verbs(await post(client, RESUME, CALL)) == [("Hangup", {}, "")]
    assert attempts.opened == []


async def test_a_stream_that_broke_is_opened_again_with_a_new_token(
    client: httpx.AsyncClient, attempts: Attempts
) -> None:
    attempts.next_step, attempts.token = "reconnect", "another-token-0123456789"
    assert verbs(await post(client, RESUME, CALL))[1][1]["url"].endswith("/another-token-0123456789")


async def test_a_status_is_handed_over_as_it_is(client: httpx.AsyncClient, attempts: Attempts) -> None:
    done = [("CallSid", CALL_SID), ("CallStatus", "completed"), ("SequenceNumber", "3"), ("CallDuration", "129")]
    assert (await post(client, STATUS, done)).status_code == 204
    assert attempts.progress == [CallProgress(ATTEMPT, CALL_SID, CallStatus.COMPLETED, 3, None, 129)]


@pytest.mark.parametrize(
    ("word", "meaning"), [("machine_start", AnsweredBy.MACHINE_START), ("a parrot", AnsweredBy.UNKNOWN)]
)
async def test_who_answered_comes_without_a_status(
    client: httpx.AsyncClient, attempts: Attempts, word: str, meaning: AnsweredBy
) -> None:
    assert (await post(client, STATUS, [("CallSid", CALL_SID), ("AnsweredBy", word)])).status_code == 204
    assert attempts.progress == [CallProgress(ATTEMPT, CALL_SID, None, None, meaning, None)]


async def test_statuses_that_come_out_of_order_are_handed_on_with_their_numbers(
    client: httpx.AsyncClient, attempts: Attempts
) -> None:
    for number, status in [("3", "completed"), ("0", "initiated"), ("2", "in-progress"), ("1", "ringing")]:
        fields = [("CallSid", CALL_SID), ("CallStatus", status), ("SequenceNumber", number)]
        assert (await post(client, STATUS, fields)).status_code == 204
    assert [(each.status, each.sequence) for each in attempts.progress] == [
        (CallStatus.COMPLETED, 3),
        (CallStatus.INITIATED, 0),
        (CallStatus.IN_PROGRESS, 2),
        (CallStatus.RINGING, 1),
    ]


@pytest.mark.parametrize(
    ("why", "failure"),
    [
        ([("ErrorCode", "13224"), ("SipResponseCode", "503")], CallFailure.BAD_NUMBER),
        ([("ErrorCode", "13227")], CallFailure.ACCOUNT),
        ([("ErrorCode", "21216")], CallFailure.BLOCKED),
        ([("ErrorCode", "10004")], CallFailure.LIMIT),
        ([("ErrorCode", ""), ("SipResponseCode", "404")], CallFailure.BAD_NUMBER),
        ([("ErrorCode", "99999"), ("SipResponseCode", "607")], CallFailure.BLOCKED),
        ([("SipResponseCode", "503")], CallFailure.CARRIER),
        ([("ErrorCode", "none"), ("SipResponseCode", "-1")], CallFailure.CARRIER),
        ([], CallFailure.CARRIER),
    ],
)
async def test_a_call_that_failed_says_why(
    client: httpx.AsyncClient, attempts: Attempts, why: list[tuple[str, str]], failure: CallFailure
) -> None:
    fields = [("CallSid", CALL_SID), ("CallStatus", "failed"), ("SequenceNumber", "2"), *why]
    assert (await post(client, STATUS, fields)).status_code == 204
    assert [each.failure for each in attempts.progress] == [failure]


async def test_a_call_that_did_not_fail_has_no_failure(client: httpx.AsyncClient, attempts: Attempts) -> None:
    busy = [("CallSid", CALL_SID), ("CallStatus", "busy"), ("SequenceNumber", "2"), ("SipResponseCode", "486")]
    await post(client, STATUS, busy)
    assert [each.failure for each in attempts.progress] == [None]


async def test_a_status_that_twilio_may_add_is_ignored(client: httpx.AsyncClient, attempts: Attempts) -> None:
    assert (await post(client, STATUS, [("CallSid", CALL_SID), ("CallStatus", "teleported")])).status_code == 204
    assert attempts.progress == []


@pytest.mark.parametrize(
    "fields",
    [
        [("CallSid", CALL_SID)],
        [("CallStatus", "completed"), ("SequenceNumber", "0")],
        [("CallSid", "CA"), ("CallStatus", "completed"), ("SequenceNumber", "0")],
        [("CallSid", CALL_SID), ("CallStatus", "completed")],
        [("CallSid", CALL_SID), ("CallStatus", "completed"), ("SequenceNumber", "-1")],
        [("CallSid", CALL_SID), ("CallStatus", "completed"), ("SequenceNumber", "0"), ("CallDuration", "long")],
    ],
)
async def test_a_status_that_cannot_be_read_is_refused(
    client: httpx.AsyncClient, attempts: Attempts, fields: list[tuple[str, str]]
) -> None:
    assert (await post(client, STATUS, fields)).status_code == 400
    assert attempts.progress == []


@pytest.mark.parametrize("path", [VOICE, RESUME, STATUS])
async def test_nothing_is_done_without_the_right_signature(
    client: httpx.AsyncClient, attempts: Attempts, counters: WebhookCounters, path: str
) -> None:
    unsigned = await client.post(path, data=dict(CALL))
    forged = [
        signature(path, CALL, auth_token="another token"),
        signature(path, CALL[:-1]),
        signature(path, CALL, base="http://10.0.0.1:8080"),
        signature(path.replace(str(ATTEMPT), str(uuid4())), CALL),
        "A" * 28,
        "",
    ]
    answers = [await post(client, path, CALL, X_Twilio_Signature=each, Host="calls.example.org") for each in forged]
    assert {answer.status_code for answer in [unsigned, *answers]} == {403}
    assert attempts.opened == []
    assert attempts.progress == []
    assert attempts.receipts == set()
    assert counters.snapshot() == {WebhookRefusal.MISSING_SIGNATURE: 2, WebhookRefusal.WRONG_SIGNATURE: 5}


async def test_every_value_of_a_repeated_parameter_is_signed(client: httpx.AsyncClient, attempts: Attempts) -> None:
    repeated = [*CALL, ("SipHeader", "b"), ("SipHeader", "a"), ("SipHeader", "b"), ("Empty", ""), ("이름", "값 & +")]
    assert (await post(client, VOICE, repeated)).status_code == 200
    without = [pair for pair in repeated if pair != ("SipHeader", "a")]
    assert (await post(client, VOICE, without, X_Twilio_Signature=signature(VOICE, repeated))).status_code == 403


async def test_a_query_is_part_of_what_is_signed(client: httpx.AsyncClient) -> None:
    assert (await post(client, VOICE + "?edge=tokyo", CALL)).status_code == 200
    assert (
        await post(client, VOICE + "?edge=tokyo", CALL, X_Twilio_Signature=signature(VOICE, CALL))
    ).status_code == 403


@pytest.mark.parametrize("missing", [{"twilio_auth_token": SecretStr("")}, {"public_url": ""}])
async def test_nothing_is_verified_without_an_auth_token_and_so_nothing_is_done(
    attempts: Attempts, missing: dict[str, Any]
) -> None:
    async with client_of(attempts, **missing) as client:
        answer = await post(client, VOICE, CALL, X_Twilio_Signature=signature(VOICE, CALL, auth_token=""))
    assert answer.status_code == 503
    assert attempts.opened == []


async def test_a_form_is_read_up_to_64_kib_and_200_fields(client: httpx.AsyncClient) -> None:
    assert (await post(client, VOICE, [*CALL, ("Big", "x" * 65_000)])).status_code == 200
    assert (await post(client, VOICE, [*CALL, ("Big", "x" * 66_000)])).status_code == 413
    assert (await post(client, VOICE, [*CALL, *[("Many", str(n)) for n in range(200)]])).status_code == 400


async def test_only_forms_are_read(client: httpx.AsyncClient) -> None:
    assert (await post(client, VOICE, CALL, Content_Type="application/json")).status_code == 415
    for broken in (b"CallSid=%ff%fe", b"CallSid=\xff"):
        headers = {"X-Twilio-Signature": "any", "Content-Type": "application/x-www-form-urlencoded"}
        assert (await client.post(VOICE, content=broken, headers=headers)).status_code == 400


async def test_what_is_no_attempt_is_refused(client: httpx.AsyncClient) -> None:
    assert (await post(client, "/telephony/voice/7", CALL)).status_code == 422


async def test_a_store_that_fails_is_said_to_be_away(client: httpx.AsyncClient, attempts: Attempts) -> None:
    attempts.fails = True
    assert (await post(client, VOICE, CALL)).status_code == 503


@pytest.mark.parametrize("path", [VOICE, RESUME])
async def test_a_webhook_that_is_replayed_is_refused_and_counted(
    client: httpx.AsyncClient, attempts: Attempts, counters: WebhookCounters, path: str
) -> None:
    attempts.next_step = "reconnect"
    assert (await post(client, path, CALL, I_Twilio_Idempotency_Token="t1")).status_code == 200
    assert (await post(client, path, CALL)).status_code == 409
    assert (await post(client, path, CALL, I_Twilio_Idempotency_Token="made up")).status_code == 409
    assert (await post(client, path, list(reversed(CALL)))).status_code == 409
    assert len(attempts.opened) == 1
    assert counters.snapshot() == {WebhookRefusal.REPLAYED: 3}


async def test_fields_that_were_cut_elsewhere_under_the_same_signature_are_a_replay(
    client: httpx.AsyncClient, attempts: Attempts
) -> None:
    assert (await post(client, VOICE, CALL)).status_code == 200
    cut_elsewhere = [("AccountSi", "d" + CALL[1][1]), CALL[0], CALL[2]]
    assert signature(VOICE, cut_elsewhere) == signature(VOICE, CALL)
    assert (await post(client, VOICE, cut_elsewhere)).status_code == 409
    assert len(attempts.opened) == 1


async def test_a_retry_of_twilio_is_answered_again_because_the_first_answer_may_be_lost(
    client: httpx.AsyncClient, attempts: Attempts, clock: Clock
) -> None:
    assert (await post(client, VOICE, CALL, I_Twilio_Idempotency_Token="t1")).status_code == 200
    clock.at += 15.0
    attempts.token = "another-token-0123456789"
    retried = await post(client, VOICE, CALL, I_Twilio_Idempotency_Token="t1")
    assert verbs(retried)[1][1]["url"].endswith("/another-token-0123456789")


async def test_a_stolen_retry_is_worth_nothing_after_forty_seconds(
    client: httpx.AsyncClient, attempts: Attempts, clock: Clock
) -> None:
    await post(client, VOICE, CALL, I_Twilio_Idempotency_Token="t1")
    for later in (19.0, 1.0):
        clock.at += later
        assert (await post(client, VOICE, CALL, I_Twilio_Idempotency_Token="t1")).status_code == 200
    clock.at += 20.0
    assert (await post(client, VOICE, CALL, I_Twilio_Idempotency_Token="t1")).status_code == 409


async def test_a_call_that_breaks_twice_asks_at_two_addresses_how_to_go_on(
    client: httpx.AsyncClient, attempts: Attempts
) -> None:
    attempts.next_step = "reconnect"
    asked = verbs(await post(client, VOICE, CALL))[2][2]
    for _ in range(2):
        url = urlsplit(asked)
        again = await post(client, f"{url.path.removeprefix('/care')}?{url.query}", CALL)
        asked = verbs(again)[2][2]
    assert len(attempts.opened) == 3


async def test_when_the_first_address_fails_the_call_is_asked_for_at_the_second(
    client: httpx.AsyncClient, attempts: Attempts
) -> None:
    assert (await post(client, VOICE, CALL)).status_code == 200
    failed = [*CALL, ("ErrorCode", "11200"), ("ErrorUrl", BASE + VOICE)]
    assert verbs(await post(client, VOICE + "?again=1", failed))[0][0] == "Connect"


async def test_a_status_that_comes_again_changes_nothing(
    client: httpx.AsyncClient, attempts: Attempts, counters: WebhookCounters
) -> None:
    done = [("CallSid", CALL_SID), ("CallStatus", "completed"), ("SequenceNumber", "3")]
    assert [(await post(client, STATUS, done)).status_code for _ in range(3)] == [204, 204, 204]
    assert len(attempts.progress) == 1
    assert counters.snapshot() == {WebhookRefusal.REPEATED: 2}


@pytest.mark.parametrize("path", [VOICE, STATUS])
async def test_what_could_not_be_done_may_be_asked_for_again(
    client: httpx.AsyncClient, attempts: Attempts, path: str
) -> None:
    fields = [*CALL, ("SequenceNumber", "2")]
    attempts.fails = True
    assert (await post(client, path, fields)).status_code == 503
    attempts.fails = False
    assert (await post(client, path, fields)).is_success
    assert len(attempts.opened) + len(attempts.progress) == 1


async def test_of_five_replays_at_once_one_is_answered(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(post(client, VOICE, CALL) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]


FIELD_NAMES = st.sampled_from(
    ["CallSid", "CallStatus", "SequenceNumber", "AnsweredBy", "CallDuration", "ErrorCode", "SipResponseCode", "From"]
)
VALUES = st.sampled_from(
    [CALL_SID, "completed", "failed", "in-progress", "human", "3", "13224", "404", "", "+15005550006"]
) | st.text(max_size=30)
FORMS = st.lists(st.tuples(FIELD_NAMES | st.text(max_size=12), VALUES), max_size=12)
FUZZ = settings(max_examples=150)


@FUZZ
@given(FORMS, st.sampled_from([VOICE, RESUME, STATUS, "/telephony/inbound"]))
async def test_no_signed_form_breaks_a_webhook(fields: list[tuple[str, str]], path: str) -> None:
    attempts = Attempts()
    async with client_of(attempts) as client:
        answer = await post(client, path, fields)
    assert answer.status_code in (200, 204, 400)
    if answer.status_code == 400:
        assert attempts.opened == []
        assert attempts.progress == []
        assert attempts.receipts == set()


@FUZZ
@given(st.binary(max_size=300), st.sampled_from([VOICE, STATUS, "/telephony/inbound"]), st.text("ab=&%+;", max_size=40))
async def test_no_unsigned_bytes_get_anywhere(body: bytes, path: str, query: str) -> None:
    attempts = Attempts()
    headers = {"X-Twilio-Signature": "A" * 28, "Content-Type": "application/x-www-form-urlencoded"}
    async with client_of(attempts) as client:
        answer = await client.post(f"{path}?{query}", content=body, headers=headers)
    assert answer.status_code in (400, 403)
    assert attempts == Attempts()
