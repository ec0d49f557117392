"""Twilio's webhooks: signed or nothing, and what they answer."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode
from uuid import UUID, uuid4
from xml.etree import ElementTree

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from pydantic import SecretStr
from starlette.datastructures import ImmutableMultiDict
from twilio.request_validator import RequestValidator

from carecall.domain.progress import AnsweredBy, CallProgress, CallStatus
from carecall.errors import StoreError
from carecall.settings import Settings
from telephony.webhooks import add_webhooks

BASE = "https://calls.example.org/care"
AUTH_TOKEN = "an auth token of Twilio"
ATTEMPT = UUID("0b6f7a52-58a0-4f3c-9f0e-0d8f4f1f3c11")
CALL_SID = "CA" + "1" * 32
TOKEN = "minted-token-0123456789"


@dataclass
class Attempts:
    """The attempts behind the webhooks, in memory."""

    token: str | None = TOKEN
    next_step: Literal["hang_up", "reconnect"] = "hang_up"
    fails: bool = False
    opened: list[tuple[UUID, str]] = field(default_factory=list)
    progress: list[CallProgress] = field(default_factory=list)

    async def open_stream(self, attempt_id: UUID, call_sid: str) -> str | None:
        if self.fails:
            raise StoreError
        self.opened.append((attempt_id, call_sid))
        return self.token

    async def after_stream(self, attempt_id: UUID) -> Literal["hang_up", "reconnect"]:
        assert attempt_id == ATTEMPT
        return self.next_step

    async def report_progress(self, progress: CallProgress) -> None:
        self.progress.append(progress)


def client_of(attempts: Attempts, **changes: Any) -> httpx.AsyncClient:
    values: dict[str, Any] = {"public_url": BASE, "twilio_auth_token": SecretStr(AUTH_TOKEN)}
    router = APIRouter()
    add_webhooks(
        router,
        Settings(**(values | changes)),
        attempts.open_stream,
        attempts.after_stream,
        attempts.report_progress,
    )
    app = FastAPI()
    app.include_router(router)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://10.0.0.1:8080")


@pytest.fixture
def attempts() -> Attempts:
    return Attempts()


@pytest.fixture
async def client(attempts: Attempts) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(attempts) as client:
        yield client


def signature(path: str, fields: list[tuple[str, str]], base: str = BASE, auth_token: str = AUTH_TOKEN) -> str:
    return str(RequestValidator(auth_token).compute_signature(base + path, ImmutableMultiDict(fields)))


async def post(client: httpx.AsyncClient, path: str, fields: list[tuple[str, str]], **headers: str) -> httpx.Response:
    """A signed webhook, unless the headers say otherwise."""
    signed = {"X-Twilio-Signature": signature(path, fields), "Content-Type": "application/x-www-form-urlencoded"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post(path, content=urlencode(fields), headers=signed | named)


VOICE, RESUME, STATUS = (f"/telephony/{name}/{ATTEMPT}" for name in ("voice", "resume", "status"))
CALL = [("CallSid", CALL_SID), ("AccountSid", "AC" + "2" * 32), ("CallStatus", "in-progress")]


def verbs(response: httpx.Response) -> list[tuple[str, dict[str, str], str]]:
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("application/xml")
    root = ElementTree.fromstring(response.text)
    assert root.tag == "Response"
    return [(verb.tag, verb.attrib, (verb.text or "").strip()) for verb in root.iter() if verb is not root]


async def test_an_answered_call_is_connected_to_its_stream_and_goes_on_at_the_resume_hook(
    client: httpx.AsyncClient, attempts: Attempts
) -> None:
    response = await post(client, VOICE, CALL)
    assert verbs(response) == [
        ("Connect", {}, ""),
        ("Stream", {"url": f"wss://calls.example.org/care/telephony/stream/{TOKEN}"}, ""),
        ("Redirect", {"method": "POST"}, f"{BASE}/telephony/resume/{ATTEMPT}"),
    ]
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
    client: httpx.AsyncClient, attempts: Attempts, path: str
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
