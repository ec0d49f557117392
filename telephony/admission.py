"""Who may open a media stream: a one-time token, Twilio's signature of the upgrade, room, and the right call."""

import asyncio
import ipaddress
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol, TypeVar
from uuid import UUID

from fastapi import WebSocket

from carecall.errors import CareCallError, StreamRefused
from carecall.settings import Environment, Settings
from telephony.addresses import stream_url
from telephony.signature import HEADER, is_signed
from telephony.wire import ProtocolViolation, Start, Violation

Answer = TypeVar("Answer")


class Grant(Protocol):
    """What a token stands for."""

    @property
    def attempt_id(self) -> UUID: ...

    @property
    def needs_signature(self) -> bool:
        """False only for the tokens of a development server that calls itself."""
        ...


Redeem = Callable[[str, datetime], Awaitable[Grant | None]]  # a token's grant, once; None for any other token
ExpectedCallSid = Callable[[UUID], Awaitable[str | None]]  # the call that an attempt is known to be, if it is known


class Refusal(StrEnum):
    """Why a stream was not admitted. The words are stable: they are counted and may be alarmed on."""

    UNKNOWN_TOKEN = "unknown_token"
    MISSING_SIGNATURE = "missing_signature"
    WRONG_SIGNATURE = "wrong_signature"
    NOT_LOCAL = "not_local"  # a development token from elsewhere
    NOT_CONFIGURED = "not_configured"  # no auth token or no public URL: nothing can be verified
    STORE_FAILED = "store_failed"
    FULL = "full"
    DRAINING = "draining"

    @property
    def http_status(self) -> int:
        return _HTTP_STATUS[self]


_HTTP_STATUS = {
    Refusal.UNKNOWN_TOKEN: 404,
    Refusal.MISSING_SIGNATURE: 403,
    Refusal.WRONG_SIGNATURE: 403,
    Refusal.NOT_LOCAL: 403,
    Refusal.NOT_CONFIGURED: 503,
    Refusal.STORE_FAILED: 503,
    Refusal.FULL: 503,
    Refusal.DRAINING: 503,
}


class AdmissionRefused(StreamRefused):
    """A media stream was not admitted."""

    code = "admission_refused"

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"The media stream was not admitted: {refusal}.")
        self.refusal = refusal


class Gate:
    """How many calls one server holds at once, and whether it takes new ones."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._taken = 0
        self._shut = False
        self._empty = asyncio.Event()
        self._empty.set()

    def shut(self) -> None:
        """Take no new calls; those that are held go on."""
        self._shut = True

    async def emptied(self, within_s: float) -> bool:
        """Wait until no call is held; False when some still are after ``within_s`` seconds."""
        try:
            async with asyncio.timeout(within_s):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    def check_open(self) -> None:
        """Raises AdmissionRefused once the gate is shut."""
        if self._shut:
            raise AdmissionRefused(Refusal.DRAINING)

    @contextmanager
    def place(self) -> Iterator[None]:
        """One place, held while the context is open. Raises AdmissionRefused when shut, or when all are taken."""
        self.check_open()
        if self._taken >= self._places:
            raise AdmissionRefused(Refusal.FULL)
        self._taken += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._taken -= 1
            if not self._taken:
                self._empty.set()


class Admission:
    """The door of one server: it holds nothing for a peer that it has not admitted."""

    def __init__(
        self,
        settings: Settings,
        redeem: Redeem,
        expected_call_sid: ExpectedCallSid,
        gate: Gate,
        *,
        store_within_s: float = 5.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._redeem = redeem
        self._expected_call_sid = expected_call_sid
        self._store_within_s = store_within_s
        self._now = now
        self.gate = gate

    async def admit(self, websocket: WebSocket, token: str) -> Grant:
        """The grant of a token, which is spent by it. To be asked before the socket is accepted.

        Raises AdmissionRefused.
        """
        self.gate.check_open()
        if not re.fullmatch(r"[A-Za-z0-9_-]{16,128}", token):
            raise AdmissionRefused(Refusal.UNKNOWN_TOKEN)
        grant = await self._ask_store(self._redeem(token, self._now()))
        if grant is None:
            raise AdmissionRefused(Refusal.UNKNOWN_TOKEN)
        if grant.needs_signature:
            self._check_signature(websocket, token)
        elif not (
            self._settings.environment is Environment.DEVELOPMENT and self._settings.loopback and _is_local(websocket)
        ):
            raise AdmissionRefused(Refusal.NOT_LOCAL)
        return grant

    async def check_start(self, grant: Grant, start: Start) -> None:
        """That a stream belongs to the attempt's call and to our account.

        Raises ProtocolViolation, or AdmissionRefused when the attempt cannot be looked up.
        """
        account_sid = self._settings.twilio_account_sid
        if grant.needs_signature and account_sid and start.account_sid != account_sid:
            raise ProtocolViolation(Violation.OTHER_ACCOUNT, "the stream belongs to another account")
        expected = await self._ask_store(self._expected_call_sid(grant.attempt_id))
        if expected is not None and start.call_sid != expected:
            raise ProtocolViolation(Violation.OTHER_CALL, "the stream belongs to another call")

    async def _ask_store(self, answer: Awaitable[Answer]) -> Answer:
        try:
            async with asyncio.timeout(self._store_within_s):
                return await answer
        except (CareCallError, TimeoutError):
            raise AdmissionRefused(Refusal.STORE_FAILED) from None

    def _check_signature(self, websocket: WebSocket, token: str) -> None:
        auth_token, public_url = self._settings.twilio_auth_token.get_secret_value(), self._settings.public_url
        if not auth_token or not public_url:
            raise AdmissionRefused(Refusal.NOT_CONFIGURED)
        signature = websocket.headers.get(HEADER, "")
        if not signature:
            raise AdmissionRefused(Refusal.MISSING_SIGNATURE)
        if not is_signed(auth_token, stream_url(public_url, token), (), signature):
            raise AdmissionRefused(Refusal.WRONG_SIGNATURE)


def _is_local(websocket: WebSocket) -> bool:
    """Whether the peer is this machine itself, and not a proxy on it that speaks for someone else."""
    if any(name in websocket.headers for name in ("forwarded", "x-forwarded-for", "x-real-ip", "via")):
        return False
    try:
        return websocket.client is not None and ipaddress.ip_address(websocket.client.host).is_loopback
    except ValueError:
        return False
