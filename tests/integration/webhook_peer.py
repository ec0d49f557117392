"""Twilio's side of a webhook, and the attempts behind ours in memory."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Never
from urllib.parse import urlencode
from uuid import UUID
from xml.etree import ElementTree

import httpx
from fastapi import APIRouter, FastAPI
from pydantic import SecretStr
from starlette.datastructures import ImmutableMultiDict
from twilio.request_validator import RequestValidator

from carecall.domain.progress import CallProgress
from carecall.errors import StoreError
from carecall.settings import Settings
from telephony.admission import Grant
from telephony.counters import WebhookCounters
from telephony.media_stream import MediaStream
from telephony.ports import TelephonyPorts
from telephony.webhooks import Webhooks

BASE = "https://calls.example.org/care"
AUTH_TOKEN = "an auth token of Twilio"
ATTEMPT = UUID("0b6f7a52-58a0-4f3c-9f0e-0d8f4f1f3c11")
CALL_SID = "CA" + "1" * 32
TOKEN = "minted-token-0123456789"
VOICE, RESUME, STATUS = (f"/telephony/{name}/{ATTEMPT}" for name in ("voice", "resume", "status"))
CALL = [("CallSid", CALL_SID), ("AccountSid", "AC" + "2" * 32), ("CallStatus", "in-progress")]

Fields = list[tuple[str, str]]


@dataclass
class Attempts:
    """The attempts behind the webhooks, in memory."""

    token: str | None = TOKEN
    next_step: Literal["hang_up", "reconnect"] = "hang_up"
    fails: bool = False
    known: dict[str, UUID] = field(default_factory=dict)  # by number
    opened: list[tuple[UUID, str]] = field(default_factory=list)
    answered: list[tuple[str, str]] = field(default_factory=list)
    progress: list[CallProgress] = field(default_factory=list)
    receipts: set[str] = field(default_factory=set)

    async def open_stream(self, attempt_id: UUID, call_sid: str) -> str | None:
        self._check()
        self.opened.append((attempt_id, call_sid))
        return self.token

    async def after_stream(self, attempt_id: UUID) -> Literal["hang_up", "reconnect"]:
        assert attempt_id == ATTEMPT
        return self.next_step

    async def report_progress(self, progress: CallProgress) -> None:
        self._check()
        self.progress.append(progress)

    async def answer_inbound(self, phone: str, call_sid: str) -> UUID | None:
        self._check()
        self.answered.append((phone, call_sid))
        return self.known.get(phone)

    async def receive_once(self, receipt: str) -> bool:
        first = receipt not in self.receipts
        self.receipts.add(receipt)
        return first

    async def received(self, receipt: str) -> bool:
        return receipt in self.receipts

    def _check(self) -> None:
        if self.fails:
            raise StoreError


@dataclass
class Clock:
    """A clock that the test sets, in seconds."""

    at: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.at


async def _no_stream(*_: object) -> Never:
    raise AssertionError("no stream is opened here")


redeem: Callable[..., Awaitable[Grant | None]] = _no_stream
expected_call_sid: Callable[[UUID], Awaitable[str | None]] = _no_stream
handle_call: Callable[[MediaStream], Awaitable[None]] = _no_stream


def client_of(
    attempts: Attempts, counters: WebhookCounters | None = None, clock: Clock | None = None, **changes: Any
) -> httpx.AsyncClient:
    values: dict[str, Any] = {"public_url": BASE, "twilio_auth_token": SecretStr(AUTH_TOKEN)}
    ports = TelephonyPorts(
        redeem=redeem,
        expected_call_sid=expected_call_sid,
        handle_call=handle_call,
        open_stream=attempts.open_stream,
        after_stream=attempts.after_stream,
        report_progress=attempts.report_progress,
        answer_inbound=attempts.answer_inbound,
        receive_once=attempts.receive_once,
        received=attempts.received,
    )
    router = APIRouter()
    Webhooks(Settings(**(values | changes)), ports, counters or WebhookCounters(), clock or Clock()).add_to(router)
    app = FastAPI()
    app.include_router(router)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://10.0.0.1:8080")


def signature(path: str, fields: Fields, base: str = BASE, auth_token: str = AUTH_TOKEN) -> str:
    return str(RequestValidator(auth_token).compute_signature(base + path, ImmutableMultiDict(fields)))


async def post(client: httpx.AsyncClient, path: str, fields: Fields, **headers: str) -> httpx.Response:
    """A signed webhook, unless the headers say otherwise."""
    signed = {"X-Twilio-Signature": signature(path, fields), "Content-Type": "application/x-www-form-urlencoded"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post(path, content=urlencode(fields), headers=signed | named)


def verbs(response: httpx.Response) -> list[tuple[str, dict[str, str], str]]:
    """The TwiML of an answer: verb, attributes and text."""
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("application/xml")
    root = ElementTree.fromstring(response.text)
    assert root.tag == "Response"
    return [(verb.tag, verb.attrib, (verb.text or "").strip()) for verb in root.iter() if verb is not root]
