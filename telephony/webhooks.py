"""Twilio's webhooks: what to do with an answered or incoming call, how to go on after its stream, how the call fares.

Every one is signed by Twilio: https://www.twilio.com/docs/usage/webhooks/webhooks-security. One that comes again is
not acted upon again; docs/telephony.md has the rule.
"""

import asyncio
import hashlib
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

from fastapi import APIRouter, HTTPException, Request, Response
from starlette.datastructures import ImmutableMultiDict
from starlette.requests import ClientDisconnect

from carecall.domain.language import Language
from carecall.domain.progress import CallProgress, CallStatus
from carecall.errors import CareCallError
from carecall.settings import Settings
from telephony import twiml
from telephony.addresses import (
    INBOUND,
    RESUME,
    STATUS,
    VOICE,
    inbound_url,
    resume_url,
    status_url,
    stream_url,
    voice_url,
)
from telephony.call_words import CALL_SID, who_answered, why_failed
from telephony.counters import WebhookCounters
from telephony.ports import TelephonyPorts
from telephony.signature import HEADER, is_signed

MAX_BODY_BYTES = 64 * 1024
MAX_FIELDS = 200
BODY_WITHIN_S = 10.0
STORE_WITHIN_S = 5.0
RETRY_WITHIN_S = 20  # Twilio gives a webhook up after 15 seconds, retries included
RETRY_HEADER = "i-twilio-idempotency-token"

logger = logging.getLogger(__name__)

Form = ImmutableMultiDict[str, str]
Answer = TypeVar("Answer")


class WebhookRefusal(StrEnum):
    """Why nothing was done for a webhook. The words are stable: they are counted and may be alarmed on."""

    NOT_CONFIGURED = "not_configured"  # no auth token or no public URL: nothing can be verified
    MISSING_SIGNATURE = "missing_signature"
    WRONG_SIGNATURE = "wrong_signature"
    REPLAYED = "replayed"
    REPEATED = "repeated"  # a status callback that has been acted upon
    STORE_FAILED = "store_failed"

    @property
    def http_status(self) -> int:
        return _HTTP_STATUS[self]


_HTTP_STATUS = {
    WebhookRefusal.NOT_CONFIGURED: 503,
    WebhookRefusal.MISSING_SIGNATURE: 403,
    WebhookRefusal.WRONG_SIGNATURE: 403,
    WebhookRefusal.REPLAYED: 409,
    WebhookRefusal.REPEATED: 204,
    WebhookRefusal.STORE_FAILED: 503,
}


@dataclass(frozen=True, slots=True)
class Webhook:
    """One signed webhook. The same address and form have the same signature, and so the same receipt."""

    form: Form
    receipt: str
    retry_token: str  # not signed; empty when Twilio gave none

    def retry_receipt(self, period: int) -> str:
        """Says that this webhook was first answered, under its retry token, in a period of RETRY_WITHIN_S."""
        return _digest(f"{self.receipt} {period} {self.retry_token}")


def parse_form(body: bytes, content_type: str) -> list[tuple[str, str]]:
    """The fields of a form in order, repeated and empty ones too. Raises HTTPException."""
    if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise HTTPException(415, "a form is expected")
    try:
        return parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise HTTPException(400, "the form cannot be read") from None


def parse_progress(attempt_id: UUID, form: Form) -> CallProgress | None:
    """What a status callback says; None for a status that this program does not know. Raises HTTPException."""
    status, answered_by = form.get("CallStatus"), form.get("AnsweredBy")
    if status is None and answered_by is None:
        raise HTTPException(400, "CallStatus is missing")
    call_sid = parse_call_sid(form)
    if status is not None and status not in list(CallStatus):
        return None
    return CallProgress(
        attempt_id=attempt_id,
        call_sid=call_sid,
        status=CallStatus(status) if status is not None else None,
        sequence=_whole(form, "SequenceNumber") if status is not None else None,
        answered_by=who_answered(answered_by) if answered_by is not None else None,
        duration_s=_whole(form, "CallDuration") if "CallDuration" in form else None,
        failure=why_failed(_code(form, "ErrorCode"), _code(form, "SipResponseCode"))
        if status == CallStatus.FAILED
        else None,
    )


def parse_call_sid(form: Form) -> str:
    """The call that a webhook is about. Raises HTTPException."""
    call_sid = form.get("CallSid", "")
    if not CALL_SID.fullmatch(call_sid):
        raise HTTPException(400, "CallSid is missing or wrong")
    return call_sid


def unknown_caller_lines(organisation: str) -> list[tuple[Language, str]]:
    """What a caller hears whom we do not know, or who withholds the number: nothing about what we call for."""
    korean = f"안녕하세요, {organisation}입니다." if organisation else "안녕하세요."
    english = f"Hello, this is {organisation}." if organisation else "Hello."
    return [
        (Language.KOREAN, f"{korean} 이 번호로는 전화를 받지 않습니다. 전화 주셔서 감사합니다."),
        (Language.ENGLISH, f"{english} We cannot take calls on this number. Thank you for calling. Goodbye."),
    ]


class Webhooks:
    """The webhooks of one server."""

    def __init__(
        self,
        settings: Settings,
        ports: TelephonyPorts,
        counters: WebhookCounters,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._ports = ports
        self._counters = counters
        self._now = now
        self._base = settings.public_url

    def add_to(self, router: APIRouter) -> None:
        router.add_api_route(VOICE, self.voice, methods=["POST"])
        router.add_api_route(RESUME, self.resume, methods=["POST"])
        router.add_api_route(STATUS, self.status, methods=["POST"], status_code=204)
        router.add_api_route(INBOUND, self.inbound, methods=["POST"])

    async def voice(self, attempt_id: UUID, request: Request) -> Response:
        """What to do with a call that was answered."""
        webhook = await self._signed(request, voice_url(self._base, attempt_id))
        call_sid = parse_call_sid(webhook.form)
        return await self._answer_once(webhook, lambda: self._connect(attempt_id, call_sid))

    async def resume(self, attempt_id: UUID, request: Request) -> Response:
        """How to go on after a media stream."""
        webhook = await self._signed(request, resume_url(self._base, attempt_id))
        call_sid = parse_call_sid(webhook.form)

        async def go_on() -> str:
            if await self._ports.after_stream(attempt_id) == "reconnect":
                return await self._connect(attempt_id, call_sid)
            return twiml.hang_up()

        return await self._answer_once(webhook, go_on)

    async def inbound(self, request: Request) -> Response:
        """What to do with a call to our number."""
        webhook = await self._signed(request, inbound_url(self._base))
        call_sid, caller = parse_call_sid(webhook.form), webhook.form.get("From", "")

        async def answer() -> str:
            is_number = re.fullmatch(r"\+[1-9][0-9]{6,14}", caller) is not None
            attempt_id = await self._ports.answer_inbound(caller, call_sid) if is_number else None
            if attempt_id is None:
                return twiml.say(unknown_caller_lines(self._settings.organisation))
            return await self._connect(attempt_id, call_sid)

        return await self._answer_once(webhook, answer)

    async def status(self, attempt_id: UUID, request: Request) -> None:
        """How a call that we made fares, and who answered it."""
        webhook = await self._signed(request, status_url(self._base, attempt_id))
        progress = parse_progress(attempt_id, webhook.form)

        async def report_once() -> None:
            if await self._ports.received(webhook.receipt):
                self._counters.refused(WebhookRefusal.REPEATED)
                return
            if progress is not None:
                await self._ports.report_progress(progress)
            await self._ports.receive_once(webhook.receipt)

        await self._ask(report_once())

    async def _connect(self, attempt_id: UUID, call_sid: str) -> str:
        token = await self._ports.open_stream(attempt_id, call_sid)
        if token is None:
            return twiml.hang_up()
        # One call may ask how to go on several times with the same form: each time at an address of its own, so that
        # none is taken for a replay.
        resume = f"{resume_url(self._base, attempt_id)}?turn={secrets.token_urlsafe(9)}"
        return twiml.stream(stream_url(self._base, token), resume)

    async def _answer_once(self, webhook: Webhook, answer: Callable[[], Awaitable[str]]) -> Response:
        """Answer, then keep the receipt, so that a failure leaves none behind."""

        async def once() -> str:
            repeated = await self._ports.received(webhook.receipt)
            if repeated and not await self._is_retry(webhook):
                raise self._refusal(WebhookRefusal.REPLAYED)
            said = await answer()
            if not repeated:
                if webhook.retry_token:
                    await self._ports.receive_once(webhook.retry_receipt(self._period()))
                if not await self._ports.receive_once(webhook.receipt) and not await self._is_retry(webhook):
                    raise self._refusal(WebhookRefusal.REPLAYED)
            return said

        return Response(await self._ask(once()), media_type="application/xml")

    async def _is_retry(self, webhook: Webhook) -> bool:
        """Whether Twilio asks again because our answer was lost: soon, and under the token that it had then."""
        if not webhook.retry_token:
            return False
        period = self._period()
        return await self._ports.received(webhook.retry_receipt(period)) or await self._ports.received(
            webhook.retry_receipt(period - 1)
        )

    def _period(self) -> int:
        return int(self._now() // RETRY_WITHIN_S)

    async def _signed(self, request: Request, address: str) -> Webhook:
        """The webhook that Twilio signed for the address which it was given. Raises HTTPException.

        503 where nothing can be verified, 403 for a missing or wrong signature, and 4xx for what is no form.
        """
        auth_token = self._settings.twilio_auth_token.get_secret_value()
        if not auth_token or not self._base:
            raise self._refusal(WebhookRefusal.NOT_CONFIGURED)
        signature = request.headers.get(HEADER, "")
        if not signature:
            raise self._refusal(WebhookRefusal.MISSING_SIGNATURE)
        fields = parse_form(await _body(request), request.headers.get("content-type", ""))
        if query := request.scope["query_string"].decode("latin-1"):
            address += "?" + query
        if not is_signed(auth_token, address, fields, signature):
            raise self._refusal(WebhookRefusal.WRONG_SIGNATURE)
        return Webhook(
            form=ImmutableMultiDict(fields),
            # Not of the fields: the signature is over them without a separator, and so holds for other fields too.
            receipt=_digest(signature),
            retry_token=request.headers.get(RETRY_HEADER, ""),
        )

    async def _ask(self, answer: Awaitable[Answer]) -> Answer:
        try:
            async with asyncio.timeout(STORE_WITHIN_S):
                return await answer
        except (CareCallError, TimeoutError):
            raise self._refusal(WebhookRefusal.STORE_FAILED) from None

    def _refusal(self, refusal: WebhookRefusal) -> HTTPException:
        self._counters.refused(refusal)
        logger.warning("a webhook was refused: %s", refusal)
        return HTTPException(refusal.http_status, f"the webhook is refused: {refusal}")


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise HTTPException(413, "the form is too big")
    except TimeoutError:
        raise HTTPException(408, "the form did not come in time") from None
    except ClientDisconnect:
        raise HTTPException(400, "the form was cut off") from None
    return bytes(body)


def _whole(form: Form, name: str) -> int:
    value = form.get(name, "")
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise HTTPException(400, f"{name} is missing or wrong")
    return int(value)


def _code(form: Form, name: str) -> int | None:
    """A code that may be missing; one that cannot be read is as good as none."""
    value = form.get(name, "")
    return int(value) if re.fullmatch(r"[0-9]{1,9}", value) else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
