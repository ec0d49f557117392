"""One call at the telephone exchange: from the queue to its end, with the callbacks and the TwiML on its way.

The words are Twilio's: https://www.twilio.com/docs/voice/api/call-resource and https://www.twilio.com/docs/voice/twiml.
"""

import asyncio
import base64
import hashlib
import hmac
import logging
import random
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import urljoin
from xml.etree import ElementTree

import httpx
from websockets.exceptions import WebSocketException

from carecall.errors import SimulationError
from carecall.simulation.exchange_log import CallLog, CallRecord
from carecall.simulation.exchange_plan import Answer, Pickup, Plan
from carecall.simulation.media_peer import MediaPeer, dial
from carecall.simulation.persona import Persona

logger = logging.getLogger(__name__)

Mouth = Callable[[str], Awaitable[bytes]]  # words as 16-bit PCM at 8 kHz
Asked = Callable[[str], Awaitable[str | None]]  # the code of the question that is open in a call, where it is known

API_VERSION = "2010-04-01"
TERMINAL = {"completed", "busy", "failed", "no-answer", "canceled"}
_SPOKEN_CHARACTERS_A_SECOND = 15.0
_TONE_S = 1.0
_MACHINE_RECORDS_S = 30.0
_THINKS_S = 0.3
_EVENT = {"initiated": "initiated", "ringing": "ringing", "in-progress": "answered"}  # any other: completed


@dataclass(frozen=True, slots=True)
class CallRequest:
    """What the call is to do, as the form of the API says it."""

    to: str  # the person's number, also when it is they who call
    from_: str
    url: str = ""
    twiml: str = ""
    method: str = "POST"
    status_callback: str = ""
    events: tuple[str, ...] = ("completed",)
    timeout_s: float = 60.0
    time_limit_s: float = 14_400.0
    machine_detection: str = ""  # Enable or DetectMessageEnd
    detection_callback: str = ""
    inbound: bool = False


def signature(auth_token: str, url: str, fields: Mapping[str, str]) -> str:
    """https://www.twilio.com/docs/usage/webhooks/webhooks-security."""
    signed = url + "".join(name + value for name, value in sorted(fields.items()))
    return base64.b64encode(hmac.new(auth_token.encode(), signed.encode(), hashlib.sha1).digest()).decode()


@dataclass(frozen=True, slots=True)
class Network:
    """What every call at an exchange shares."""

    plan: Plan
    log: CallLog
    client: httpx.AsyncClient
    spawn: Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]  # runs until it ends or the exchange does
    wait_for_line: Callable[[], Awaitable[None]]  # until a call may be started
    mouth: Mouth | None = None
    asked: Asked | None = None


class _Left(Exception):
    """The person has put the receiver down."""


class _ApplicationError(Exception):
    """Our program gave no usable TwiML; Twilio tells the person so, and ends the call."""


@dataclass(slots=True)
class Call:
    """A call, and the task that lives it."""

    sid: str
    request: CallRequest
    pickup: Pickup
    record: CallRecord
    network: Network
    number: int  # of the calls to this number, from 0
    started_at: datetime | None = None
    answered_by: str | None = None
    _sequence: int = -1
    _orders: "asyncio.Queue[tuple[str, str]]" = field(default_factory=asyncio.Queue)  # (status, TwiML)
    _persona: Persona | None = None
    _leaving: "asyncio.Task[None] | None" = None
    _dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._dice = self.network.plan.chance(self.request.to, self.number)

    @property
    def status(self) -> str:
        return self.record.status

    def order(self, status: str, twiml: str = "") -> None:
        """End the call with a status, or let it go on with other TwiML."""
        self._orders.put_nowait((status, twiml))

    async def live(self) -> None:
        """The call from the queue to its end, whatever is ordered meanwhile."""
        way: Coroutine[Any, Any, str] | None = self._ring_in() if self.request.inbound else self._ring_out()
        status = "failed"
        while way is not None:
            going, ordered = asyncio.create_task(way), asyncio.create_task(self._orders.get())
            try:
                await asyncio.wait((going, ordered), return_when=asyncio.FIRST_COMPLETED)
            finally:
                going.cancel()
                ordered.cancel()
                await asyncio.gather(going, ordered, return_exceptions=True)
            way = None
            if not going.cancelled():
                if error := going.exception():
                    logger.error("call %s failed at the exchange", self.sid, exc_info=error)
                else:
                    status = going.result()
            elif not ordered.cancelled():
                status, twiml = ordered.result()
                way = self._go_on(twiml) if twiml else None
        await self._ends(status)

    def _scaled(self, seconds: float) -> float:
        return seconds * self.network.plan.time_scale

    async def _ring_out(self) -> str:
        await self.network.wait_for_line()
        self.started_at = datetime.now(UTC)
        self._becomes("initiated")
        pickup = self.pickup
        if pickup.answer is Answer.FAILED:
            await asyncio.sleep(self._scaled(pickup.rings_s))
            return "failed"
        self.record.rang_at = datetime.now(UTC)
        self._becomes("ringing")
        if pickup.answer is Answer.BUSY:
            await asyncio.sleep(self._scaled(min(pickup.rings_s, 1.0)))
            return "busy"
        if pickup.answer is Answer.NO_ANSWER or pickup.rings_s >= self.request.timeout_s:
            await asyncio.sleep(self._scaled(self.request.timeout_s))
            return "no-answer"
        await asyncio.sleep(self._scaled(pickup.rings_s))
        self._answered()
        if self.request.machine_detection:
            self.network.spawn(self._detect())
        return await self._go_on(self.request.twiml)

    async def _ring_in(self) -> str:
        self.started_at = datetime.now(UTC)
        self.record.rang_at = self.started_at
        self._becomes("ringing")
        return await self._go_on("")

    def _answered(self) -> None:
        self.record.answered_at = datetime.now(UTC)
        self._becomes("in-progress")
        stays_s = self.pickup.leaves_after_s
        if stays_s is None and self.pickup.answer is Answer.MACHINE:
            stays_s = _MACHINE_RECORDS_S
        if stays_s is not None:
            self._leaving = self.network.spawn(self._leave_after(stays_s))

    async def _leave_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.order("completed")

    async def _detect(self) -> None:
        await asyncio.sleep(self.network.plan.detection_s)
        if self.status != "in-progress":
            return
        waits = self.request.machine_detection == "DetectMessageEnd"
        machine = "machine_end_beep" if waits else "machine_start"
        self.answered_by = self.pickup.detected or (machine if self.pickup.answer is Answer.MACHINE else "human")
        if self.request.detection_callback:
            took_ms = round(self.network.plan.detection_s * 1000)
            self._tell(
                self.request.detection_callback,
                {
                    "CallSid": self.sid,
                    "AccountSid": self.network.plan.account_sid,
                    "AnsweredBy": self.answered_by,
                    "MachineDetectionDuration": str(took_ms),
                },
            )

    async def _go_on(self, twiml: str) -> str:
        """Obeys TwiML, or what the voice URL answers, to its end."""
        try:
            async with asyncio.timeout(self.request.time_limit_s):
                verbs = _verbs(twiml) if twiml else await self._fetch(self.request.url, self.request.method)
                return await self._obey(verbs, self.request.url)
        except TimeoutError:
            return "completed"
        except _Left:
            return "completed"
        except _ApplicationError as error:
            logger.info("call %s: %s", self.sid, error)
            return "completed" if self.record.answered_at else "no-answer"

    async def _obey(self, verbs: Sequence[ElementTree.Element], base: str) -> str:
        waiting = list(verbs)
        while waiting:
            verb = waiting.pop(0)
            if verb.tag == "Reject":
                return "busy" if verb.get("reason") == "busy" else "no-answer"
            if verb.tag == "Hangup":
                return "completed"
            if self.record.answered_at is None:
                self._answered()
            words = (verb.text or "").strip()
            match verb.tag:
                case "Connect":
                    await self._connect(verb)
                case "Redirect":
                    base = urljoin(base, words)
                    waiting = await self._fetch(base, verb.get("method", "POST"))
                case "Say":
                    self.record.said.append(words)
                    await asyncio.sleep(self._scaled(len(words) / _SPOKEN_CHARACTERS_A_SECOND))
                case "Play":
                    self.record.said.append(words)
                    await asyncio.sleep(self._scaled(2.0))
                case "Pause":
                    await asyncio.sleep(self._scaled(float(verb.get("length", "1"))))
                case other:
                    raise _ApplicationError(f"the exchange does not know <{other}>")
        return "completed"

    async def _fetch(self, url: str, method: str) -> list[ElementTree.Element]:
        fields = {**self._about(), "CallStatus": self.status}
        headers = {"X-Twilio-Signature": signature(self.network.plan.auth_token, url, fields)}
        for last in (False, True):
            try:
                if method.upper() == "GET":
                    raise _ApplicationError("the exchange fetches TwiML by POST only")
                answer = await self.network.client.post(url, data=fields, headers=headers)
                break
            except httpx.ConnectError:
                if last:
                    raise _ApplicationError("nobody listens at the voice URL") from None
            except httpx.HTTPError as error:
                raise _ApplicationError(f"the voice URL gave no answer ({type(error).__name__})") from None
        if answer.status_code != httpx.codes.OK:
            raise _ApplicationError(f"the voice URL answered {answer.status_code}")
        return _verbs(answer.text)

    async def _connect(self, connect: ElementTree.Element) -> None:
        """A media stream, until our server closes it or it breaks."""
        stream = connect.find("Stream")
        if stream is None or not stream.get("url"):
            raise _ApplicationError("<Connect> without <Stream url>")
        plan, url = self.network.plan, str(stream.get("url"))
        headers = {"X-Twilio-Signature": signature(plan.auth_token, url, {})}
        try:
            async with dial(url, call_sid=self.sid, account_sid=plan.account_sid, headers=headers) as peer:
                self.record.streams += 1
                self._note()
                try:
                    await self._talk_over(peer)
                finally:
                    self.record.latencies += peer.latencies
        except (OSError, WebSocketException, TimeoutError) as error:
            self.record.refused_streams += 1
            self._note()
            logger.info("call %s: the stream broke off (%s)", self.sid, type(error).__name__)

    async def _talk_over(self, peer: MediaPeer) -> None:
        drop_s: float | None = None
        if self._dice.random() < self.network.plan.faults.stream_drops:
            drop_s = self._dice.uniform(0.0, self.network.plan.faults.drops_within_s)
        talking = asyncio.create_task(self._behave(peer))
        closed = asyncio.create_task(peer.closed())
        try:
            done, _ = await asyncio.wait((talking, closed), timeout=drop_s, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                peer.drop()
                await closed
            elif talking in done and not peer.is_closed:
                talking.result()
                await asyncio.wait((closed,), timeout=drop_s)
        finally:
            talking.cancel()
            closed.cancel()
            results = await asyncio.gather(talking, closed, return_exceptions=True)
        if isinstance(results[0], _Left | SimulationError):
            raise _Left

    async def _behave(self, peer: MediaPeer) -> None:
        """What the other end does on a stream. Raises _Left when it puts the receiver down."""
        if self.pickup.answer is Answer.MACHINE:
            if self.pickup.greeting and self.network.mouth is not None:
                await peer.say(await self.network.mouth(self.pickup.greeting))
            await peer.say(_tone())
        elif self.pickup.recipient is not None and self.network.mouth is not None:
            self._persona = self._persona or Persona(self.pickup.recipient)
            await self._converse(peer, self._persona, self.network.mouth)

    async def _converse(self, peer: MediaPeer, persona: Persona, mouth: Mouth) -> None:
        while await peer.agent_turn():
            asked = None if self.network.asked is None else await self.network.asked(self.sid)
            reaction = persona.react(asked)
            if reaction.hangs_up:
                raise _Left
            if reaction.text:
                words = await mouth(reaction.text)
                await asyncio.sleep(_THINKS_S)
                await peer.say(words)

    async def _ends(self, status: str) -> None:
        if self.started_at is not None and self.record.answered_at is None and status == "completed":
            status = "canceled"
        if self._leaving is not None:
            self._leaving.cancel()
        self.record.ended_at = datetime.now(UTC)
        self._becomes(status)

    @property
    def duration_s(self) -> int | None:
        """Of the answered call; None before it has ended."""
        if self.record.ended_at is None:
            return None
        if self.record.answered_at is None:
            return 0
        return round((self.record.ended_at - self.record.answered_at).total_seconds())

    def _becomes(self, status: str) -> None:
        self.record.status = status
        self._note()
        event = _EVENT.get(status, "completed")
        if event not in self.request.events or not self.request.status_callback:
            return
        self._sequence += 1
        fields = {
            **self._about(),
            "CallStatus": status,
            "SequenceNumber": str(self._sequence),
            "Timestamp": format_datetime(datetime.now(UTC)),
            "CallbackSource": "call-progress-events",
        }
        if event == "completed" and self.duration_s is not None:
            fields["CallDuration"] = str(self.duration_s)
            fields["Duration"] = str(-(-self.duration_s // 60))
        if status == "failed":
            fields |= {"SipResponseCode": "503", "ErrorCode": "32011"}
        self._tell(self.request.status_callback, fields)

    def _tell(self, url: str, fields: dict[str, str]) -> None:
        """Send a callback as the plan's faults will have it."""
        faults = self.network.plan.faults
        lost, doubled, late = (self._dice.random() < chance for chance in (faults.lost, faults.doubled, faults.late))
        delay_s = self._dice.uniform(0, faults.late_s) if late else 0.0
        token = secrets.token_hex(16)
        if lost:
            return
        self.network.spawn(self._post(url, fields, token, delay_s))
        if doubled:
            self.network.spawn(self._post(url, fields, token, delay_s + self._dice.uniform(0, faults.late_s)))

    async def _post(self, url: str, fields: dict[str, str], token: str, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        headers = {
            "X-Twilio-Signature": signature(self.network.plan.auth_token, url, fields),
            "I-Twilio-Idempotency-Token": token,
        }
        for _ in range(2):
            try:
                await self.network.client.post(url, data=fields, headers=headers)
                return
            except httpx.ConnectError:
                await asyncio.sleep(0.1)  # Twilio tries once more when it cannot connect
            except httpx.HTTPError:
                return

    def _about(self) -> dict[str, str]:
        request = self.request
        caller, called = (request.to, request.from_) if request.inbound else (request.from_, request.to)
        return {
            "AccountSid": self.network.plan.account_sid,
            "ApiVersion": API_VERSION,
            "CallSid": self.sid,
            "Direction": "inbound" if request.inbound else "outbound-api",
            "From": caller,
            "To": called,
            "Caller": caller,
            "Called": called,
        }

    def _note(self) -> None:
        self.network.log.changed(self.record)


def _verbs(twiml: str) -> list[ElementTree.Element]:
    with suppress(ElementTree.ParseError):
        root = ElementTree.fromstring(twiml)
        if root.tag == "Response":
            return list(root)
    raise _ApplicationError("the answer is no TwiML")


def _tone() -> bytes:
    """An answering machine's beep: 1 kHz, 16-bit PCM at 8 kHz."""
    wave = (0, 5657, 8000, 5657, 0, -5657, -8000, -5657)
    cycle = b"".join(sample.to_bytes(2, "little", signed=True) for sample in wave)
    return cycle * int(1000 * _TONE_S)
