"""Twilio's webhooks: what to do with an answered call, how to go on after its stream, and how the call fares.

Every one is signed by Twilio: https://www.twilio.com/docs/usage/webhooks/webhooks-security.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from starlette.datastructures import ImmutableMultiDict
from starlette.requests import ClientDisconnect
from twilio.twiml.voice_response import VoiceResponse

from carecall.domain.progress import AnsweredBy, CallProgress, CallStatus
from carecall.errors import CareCallError
from carecall.settings import Settings
from telephony.addresses import RESUME, STATUS, VOICE, resume_url, status_url, stream_url, voice_url
from telephony.signature import HEADER, is_signed

MAX_BODY_BYTES = 64 * 1024
MAX_FIELDS = 200
BODY_WITHIN_S = 10.0
STORE_WITHIN_S = 5.0

Form = ImmutableMultiDict[str, str]
Answer = TypeVar("Answer")


OpenStream = Callable[[UUID, str], Awaitable[str | None]]  # a one-time token for this attempt's call; None: hang up
AfterStream = Callable[[UUID], Awaitable[Literal["hang_up", "reconnect"]]]
ReportProgress = Callable[[CallProgress], Awaitable[None]]


class SignedForm:
    """A FastAPI dependency: the form of a webhook that Twilio signed for the address which it was given.

    Answers 503 where nothing can be verified, 403 for a missing or wrong signature, and 4xx for what is no form.
    """

    def __init__(self, settings: Settings, address: Callable[[str, UUID], str]) -> None:
        self._settings = settings
        self._address = address

    async def __call__(self, request: Request, attempt_id: UUID) -> Form:
        auth_token, public_url = self._settings.twilio_auth_token.get_secret_value(), self._settings.public_url
        if not auth_token or not public_url:
            raise HTTPException(503, "CARECALL_TWILIO_AUTH_TOKEN and CARECALL_PUBLIC_URL are needed")
        signature = request.headers.get(HEADER, "")
        if not signature:
            raise HTTPException(403, "the request is not signed")
        fields = parse_form(await _body(request), request.headers.get("content-type", ""))
        url = self._address(public_url, attempt_id)
        if query := request.scope["query_string"].decode("latin-1"):
            url += "?" + query
        if not is_signed(auth_token, url, fields, signature):
            raise HTTPException(403, "the signature is wrong")
        return ImmutableMultiDict(fields)


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
    if status is not None and status not in list(CallStatus):
        return None
    who = None
    if answered_by is not None:
        who = AnsweredBy(answered_by) if answered_by in list(AnsweredBy) else AnsweredBy.UNKNOWN
    return CallProgress(
        attempt_id=attempt_id,
        call_sid=_call_sid(form),
        status=CallStatus(status) if status is not None else None,
        sequence=_whole(form, "SequenceNumber") if status is not None else None,
        answered_by=who,
        duration_s=_whole(form, "CallDuration") if "CallDuration" in form else None,
    )


def add_webhooks(
    router: APIRouter,
    settings: Settings,
    open_stream: OpenStream,
    after_stream: AfterStream,
    report_progress: ReportProgress,
) -> None:
    """Add the three webhooks to a router."""

    async def connect(attempt_id: UUID, call_sid: str) -> Response:
        answer = VoiceResponse()
        token = await _ask(open_stream(attempt_id, call_sid))
        if token is None:
            answer.hangup()
        else:
            answer.connect().stream(url=stream_url(settings.public_url, token))
            # Reached when this server closes the stream.
            answer.redirect(resume_url(settings.public_url, attempt_id), method="POST")
        return _twiml(answer)

    @router.post(VOICE)
    async def voice(attempt_id: UUID, form: Annotated[Form, Depends(SignedForm(settings, voice_url))]) -> Response:
        return await connect(attempt_id, _call_sid(form))

    @router.post(RESUME)
    async def resume(attempt_id: UUID, form: Annotated[Form, Depends(SignedForm(settings, resume_url))]) -> Response:
        call_sid = _call_sid(form)
        if await _ask(after_stream(attempt_id)) == "reconnect":
            return await connect(attempt_id, call_sid)
        answer = VoiceResponse()
        answer.hangup()
        return _twiml(answer)

    @router.post(STATUS, status_code=204)
    async def status(attempt_id: UUID, form: Annotated[Form, Depends(SignedForm(settings, status_url))]) -> None:
        progress = parse_progress(attempt_id, form)
        if progress is not None:
            await _ask(report_progress(progress))


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


async def _ask(answer: Awaitable[Answer]) -> Answer:
    try:
        async with asyncio.timeout(STORE_WITHIN_S):
            return await answer
    except (CareCallError, TimeoutError):
        raise HTTPException(503, "the attempt cannot be looked up now") from None


def _call_sid(form: Form) -> str:
    call_sid = form.get("CallSid", "")
    if not re.fullmatch(r"CA[0-9A-Za-z]{1,62}", call_sid):
        raise HTTPException(400, "CallSid is missing or wrong")
    return call_sid


def _whole(form: Form, name: str) -> int:
    value = form.get(name, "")
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise HTTPException(400, f"{name} is missing or wrong")
    return int(value)


def _twiml(answer: VoiceResponse) -> Response:
    return Response(str(answer), media_type="application/xml")
