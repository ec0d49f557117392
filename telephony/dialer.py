"""Calls made through Twilio's REST interface: https://www.twilio.com/docs/voice/api/call-resource."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import httpx
from twilio.base.exceptions import TwilioException, TwilioRestException, TwilioServiceException
from twilio.http.response import Response
from twilio.rest import Client

from carecall.domain.language import Language
from carecall.domain.progress import CallFailure, CallProgress, CallStatus
from carecall.errors import SettingsError
from carecall.outreach.dialer import DialRefused, DialRequest, DialUnknown, PlacedCall
from carecall.settings import Settings
from telephony import twiml
from telephony.addresses import status_url, voice_url
from telephony.call_words import CALL_SID, OVER, who_answered, why_failed, why_refused

WITHIN_S = 10.0
CONNECT_WITHIN_S = 4.0
CLOCKS_APART = timedelta(seconds=10)  # Twilio's and ours, and Twilio writes whole seconds
EVENTS = ["initiated", "ringing", "answered", "completed"]

# httpx logs the address of every request, and that of a list names the person's number.
logging.getLogger("httpx").setLevel(logging.WARNING)

Answer = TypeVar("Answer")


class _Unreached(DialUnknown):
    """Twilio could not be reached: nothing was sent."""


class _Rejected(DialUnknown):
    """Twilio answered with an error."""

    def __init__(self, http_status: int, code: int | None) -> None:
        # Without Twilio's own words, which may name the number.
        page = f", see https://www.twilio.com/docs/api/errors/{code}" if code else ""
        super().__init__(f"Twilio answered with HTTP {http_status}{page}.")
        self.http_status = http_status
        self.code_of_twilio = code


class TwilioDialer:
    """The telephone network behind ``carecall.outreach.dialer.Dialer``. May be used from any event loop.

    Raises SettingsError when what a call needs is not set.
    """

    def __init__(self, settings: Settings, *, within_s: float = WITHIN_S) -> None:
        auth_token = settings.twilio_auth_token.get_secret_value()
        needed = {
            "CARECALL_TWILIO_ACCOUNT_SID": settings.twilio_account_sid,
            "CARECALL_TWILIO_AUTH_TOKEN": auth_token,
            "CARECALL_TWILIO_NUMBER": settings.twilio_number,
            "CARECALL_PUBLIC_URL": settings.public_url,
        }
        if missing := [name for name, value in needed.items() if not value]:
            raise SettingsError(f"To make calls, set {', '.join(missing)}; see docs/telephony.md.")
        api = urlsplit(settings.twilio_api_url)
        if api.scheme not in ("https", "http") or not api.hostname:
            raise SettingsError("CARECALL_TWILIO_API_URL is no https:// address (or http:// of a test exchange).")
        self._number = settings.twilio_number
        self._public_url = settings.public_url
        client = Client(settings.twilio_account_sid, auth_token, http_client=_Http())
        client.api.base_url = settings.twilio_api_url
        self._calls = client.calls
        self._within_s = within_s

    async def place(self, request: DialRequest) -> str:
        """Makes the call; gives its id. Raises DialRefused when no telephone rang, DialUnknown when that is open."""
        voice = voice_url(self._public_url, request.attempt_id)
        status = status_url(self._public_url, request.attempt_id)
        try:
            call = await self._ask(
                self._calls.create_async(
                    to=request.to,
                    from_=self._number,
                    url=voice,
                    method="POST",
                    fallback_url=f"{voice}?again=1",
                    fallback_method="POST",
                    status_callback=status,
                    status_callback_event=EVENTS,
                    status_callback_method="POST",
                    timeout=request.ring_s,
                    time_limit=request.longest_s,
                    # The end of the greeting is waited for, so that a message left then is recorded.
                    machine_detection="DetectMessageEnd",
                    async_amd="true",
                    async_amd_status_callback=status,
                    async_amd_status_callback_method="POST",
                )
            )
        except _Unreached:
            raise DialRefused("Twilio could not be reached: is there a network?", CallFailure.NOT_PLACED) from None
        except _Rejected as rejected:
            failure = why_refused(rejected.http_status, rejected.code_of_twilio)
            if failure is None:
                raise
            raise DialRefused(str(rejected), failure) from None
        if not isinstance(call.sid, str) or not CALL_SID.fullmatch(call.sid):
            raise DialUnknown("Twilio's answer names no call.")
        return call.sid

    async def find(self, to: str, since: datetime) -> list[PlacedCall]:
        """Our calls to a number that were made at or after a moment, oldest first. Raises DialUnknown.

        A call made a few seconds before may be among them: clocks differ.
        """
        earliest = since - CLOCKS_APART
        calls = await self._ask(self._list(to, earliest))
        if not all(isinstance(call.sid, str) and isinstance(call.date_created, datetime) for call in calls):
            raise DialUnknown("Twilio's list of calls cannot be read.")
        found = {
            call.sid: PlacedCall(call.sid, call.date_created)
            for call in calls
            if call.direction != "inbound" and call.date_created >= earliest
        }
        return sorted(found.values(), key=lambda placed: placed.created_at)

    async def _list(self, to: str, earliest: datetime) -> list[Any]:
        """The calls that Twilio still holds in its queue, which have no start time, then those that have started: one
        that leaves the queue between the two questions is in the second answer."""
        queued = await self._calls.list_async(to=to, from_=self._number, status="queued")
        return [*queued, *await self._calls.list_async(to=to, from_=self._number, start_time_after=earliest)]

    async def look(self, attempt_id: UUID, call_sid: str) -> CallProgress:
        """How the call fares now. Raises DialUnknown; DialRefused when there is no such call."""
        try:
            call = await self._ask(self._calls(call_sid).fetch_async())
        except _Rejected as rejected:
            if rejected.http_status == 404:
                raise DialRefused("Twilio has no such call.", CallFailure.NOT_PLACED) from None
            raise
        if call.status not in list(CallStatus):
            raise DialUnknown("Twilio's answer has no status that is known.")
        status = CallStatus(call.status)
        return CallProgress(
            attempt_id=attempt_id,
            call_sid=call_sid,
            status=status,
            sequence=None,
            answered_by=who_answered(call.answered_by) if isinstance(call.answered_by, str) else None,
            duration_s=int(call.duration) if str(call.duration).isascii() and str(call.duration).isdigit() else None,
            failure=why_failed(None, None) if status is CallStatus.FAILED else None,
        )

    async def hang_up(self, call_sid: str) -> None:
        """Ends the call, ringing or answered; nothing happens when it has ended. Raises DialUnknown."""
        await self._change(call_sid, status="completed")

    async def leave_message(self, call_sid: str, text: str, language: Language) -> None:
        """Says a text in place of what the call does now, then hangs up; nothing happens when the call has ended.

        The text is spoken by Twilio to whoever listens to the machine: it must name nothing clinical.
        Raises DialUnknown.
        """
        await self._change(call_sid, twiml=twiml.say([(language, text)]))

    async def _change(self, call_sid: str, **fields: str) -> None:
        try:
            await self._ask(self._calls(call_sid).update_async(**fields))
        except _Rejected as rejected:
            if rejected.http_status != 404 and rejected.code_of_twilio not in OVER:
                raise

    async def _ask(self, request: Awaitable[Answer]) -> Answer:
        """Twilio's answer. Raises DialUnknown, or one of its kinds for what a caller may want to know."""
        try:
            async with asyncio.timeout(self._within_s):
                return await request
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError):
            raise _Unreached from None
        except (TimeoutError, httpx.HTTPError):
            raise DialUnknown(f"Twilio did not answer, or not within {self._within_s:g} seconds.") from None
        except (TwilioRestException, TwilioServiceException) as error:
            # Where Twilio names no code, the library gives the HTTP status again.
            code = error.code if isinstance(error.code, int) and error.code >= 10_000 else None
            raise _Rejected(error.status, code) from None
        except (TwilioException, ValueError, TypeError, KeyError, AttributeError):
            # The last four: so the library fails on an answer of another shape.
            raise DialUnknown("Twilio's answer cannot be read.") from None


class _Http:
    """The HTTP client of Twilio's library. A connection for each request: one that was kept may be dead already, and
    then nobody knows whether the request arrived."""

    is_async = True

    def __init__(self) -> None:
        self._tls = httpx.create_ssl_context()
        self._timeout = httpx.Timeout(WITHIN_S, connect=CONNECT_WITHIN_S)

    async def request(
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the library passes it, and ``_ask`` bounds the whole
        allow_redirects: bool = False,
    ) -> Response:
        async with httpx.AsyncClient(verify=self._tls, timeout=self._timeout) as client:
            answer = await client.request(method, url, params=params, data=data, headers=headers, auth=auth)
        return Response(answer.status_code, answer.text, answer.headers)
