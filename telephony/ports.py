"""What the telephony rooms ask of the rest of the program."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from carecall.domain.progress import CallProgress
from telephony.admission import ExpectedCallSid, Redeem
from telephony.media_stream import HandleCall

OpenStream = Callable[[UUID, str], Awaitable[str | None]]  # a one-time token for this attempt's call; None: hang up
AfterStream = Callable[[UUID], Awaitable[Literal["hang_up", "reconnect"]]]
ReportProgress = Callable[[CallProgress], Awaitable[None]]
AnswerInbound = Callable[[str, str], Awaitable[UUID | None]]  # caller's number (E.164), call: an attempt, or not known
ReceiveOnce = Callable[[str], Awaitable[bool]]  # keeps a receipt; True the first time
Received = Callable[[str], Awaitable[bool]]  # whether there is such a receipt


async def _nobody(phone: str, call_sid: str) -> UUID | None:
    return None


async def _always_first(receipt: str) -> bool:
    return True


async def _never_received(receipt: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class TelephonyPorts:
    """Without the last three, no caller is known and a webhook that is sent again is acted upon again."""

    redeem: Redeem
    expected_call_sid: ExpectedCallSid
    handle_call: HandleCall
    open_stream: OpenStream
    after_stream: AfterStream
    report_progress: ReportProgress
    answer_inbound: AnswerInbound = _nobody
    receive_once: ReceiveOnce = _always_first
    received: Received = _never_received
