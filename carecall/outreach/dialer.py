"""The port through which calls are made. The telephone network stands behind it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from carecall.domain.progress import CallFailure, CallProgress
from carecall.errors import DialError


@dataclass(frozen=True, slots=True)
class DialRequest:
    """One call to be made."""

    attempt_id: UUID
    to: str  # E.164
    ring_s: int  # then it counts as not answered
    longest_s: int  # then the provider ends it


@dataclass(frozen=True, slots=True)
class PlacedCall:
    """A call that the provider knows of."""

    call_sid: str
    created_at: datetime


class DialRefused(DialError):
    """The provider refused to make the call; no telephone rang."""

    code = "dial_refused"

    def __init__(self, message: str, failure: CallFailure) -> None:
        super().__init__(message)
        self.failure = failure


class DialUnknown(DialError):
    """It is not known whether the call was made: the provider did not answer, or answered without sense."""

    code = "dial_unknown"


class Dialer(Protocol):
    """Every method ends within ten seconds."""

    async def place(self, request: DialRequest) -> str:
        """Makes the call; gives its id. Raises DialRefused, or DialUnknown: then ``find`` before anything else."""
        ...

    async def find(self, to: str, since: datetime) -> list[PlacedCall]:
        """Our calls to a number that were made at or after a moment, oldest first. Raises DialUnknown."""
        ...

    async def look(self, attempt_id: UUID, call_sid: str) -> CallProgress:
        """How the call fares now. Raises DialUnknown; DialRefused when there is no such call."""
        ...

    async def hang_up(self, call_sid: str) -> None:
        """Ends the call; nothing happens when it has ended. Raises DialUnknown."""
        ...
