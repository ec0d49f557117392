"""How a telephone call fares, as the provider tells it: late, twice and out of order.

The words are Twilio's: https://www.twilio.com/docs/voice/api/call-resource#call-status-values and
https://www.twilio.com/docs/voice/answering-machine-detection.
"""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class CallStatus(StrEnum):
    QUEUED = "queued"
    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BUSY = "busy"
    FAILED = "failed"
    NO_ANSWER = "no-answer"
    CANCELED = "canceled"

    @property
    def terminal(self) -> bool:
        return self in (self.COMPLETED, self.BUSY, self.FAILED, self.NO_ANSWER, self.CANCELED)


class AnsweredBy(StrEnum):
    HUMAN = "human"
    MACHINE_START = "machine_start"
    MACHINE_END_BEEP = "machine_end_beep"
    MACHINE_END_SILENCE = "machine_end_silence"
    MACHINE_END_OTHER = "machine_end_other"
    FAX = "fax"
    UNKNOWN = "unknown"  # counts as a human

    @property
    def machine(self) -> bool:
        return self not in (self.HUMAN, self.UNKNOWN)


class CallFailure(StrEnum):
    """Why no telephone rang. Decides between trying again, not calling that number, and telling the operator."""

    BAD_NUMBER = "bad_number"  # does not exist, or may not be called
    BLOCKED = "blocked"  # the person has blocked us or is on the provider's do-not-call list
    CARRIER = "carrier"  # the network failed; may succeed later
    LIMIT = "limit"  # the provider refuses for now: too many requests or calls
    ACCOUNT = "account"  # credentials, balance, permissions: the operator must mend it
    NOT_PLACED = "not_placed"  # looked for, and never made


@dataclass(frozen=True, slots=True)
class CallProgress:
    """One message about a call. Messages are folded: the highest sequence counts, terminal states absorb."""

    attempt_id: UUID
    call_sid: str
    status: CallStatus | None  # None: only who answered
    sequence: int | None  # rises within a call; None when there is no status, or when we asked ourselves
    answered_by: AnsweredBy | None = None
    duration_s: int | None = None  # of the answered call, known when it is completed
    failure: CallFailure | None = None  # with status failed
