"""How a telephone call fares, as the provider tells it: late, twice and out of order.

The words are Twilio's: https://www.twilio.com/docs/voice/api/call-resource#call-status-values and
https://www.twilio.com/docs/voice/answering-machine-detection.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from carecall.domain.attempt import AttemptState
from carecall.domain.campaign import Ending
from carecall.domain.report import Outcome


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


@dataclass(frozen=True, slots=True)
class DialRecord:
    """What is known of a dial."""

    state: AttemptState
    call_sid: str | None = None
    sequence: int = -1  # of the newest message with a status
    answered_by: AnsweredBy | None = None
    failure: CallFailure | None = None
    answered_at: datetime | None = None
    line_ended_at: datetime | None = None  # the telephone call is over; the talk's report may be to come
    ended_at: datetime | None = None
    outcome: Outcome | None = None


_ENDS = {
    CallStatus.COMPLETED: AttemptState.COMPLETED,
    CallStatus.BUSY: AttemptState.BUSY,
    CallStatus.NO_ANSWER: AttemptState.NO_ANSWER,
    CallStatus.CANCELED: AttemptState.FAILED,
    CallStatus.FAILED: AttemptState.FAILED,
}


def fold(record: DialRecord, progress: CallProgress, at: datetime) -> DialRecord:
    """The record after a message that came at a moment. A message of another call, or an old one, changes nothing.

    A call that is answered stays ringing until its media stream opens; from then on the voice side ends it, and only
    the end of the line is noted.
    """
    if record.state is AttemptState.PLANNED or (record.call_sid or progress.call_sid) != progress.call_sid:
        return record
    record = replace(record, call_sid=progress.call_sid)
    if progress.answered_by is not None and (record.answered_by is None or progress.answered_by.machine):
        record = replace(record, answered_by=progress.answered_by)
    if progress.status is not None and (progress.sequence is None or progress.sequence > record.sequence):
        newest = record.sequence if progress.sequence is None else progress.sequence
        record = _take(replace(record, sequence=newest), progress.status, progress.failure, at)
    if record.answered_by is not None and record.answered_by.machine and not record.state.terminal:
        record = replace(record, state=AttemptState.MACHINE, ended_at=at)
    return record


def _take(record: DialRecord, status: CallStatus, failure: CallFailure | None, at: datetime) -> DialRecord:
    if status is CallStatus.RINGING and record.state is AttemptState.DIALING:
        return replace(record, state=AttemptState.RINGING)
    if status is CallStatus.IN_PROGRESS and record.line_ended_at is None:
        state = AttemptState.RINGING if record.state is AttemptState.DIALING else record.state
        return replace(record, state=state, answered_at=record.answered_at or at)
    if not status.terminal:
        return record
    record = replace(record, line_ended_at=record.line_ended_at or at)
    if record.state not in (AttemptState.DIALING, AttemptState.RINGING):
        return record
    if status is CallStatus.COMPLETED and record.answered_by is not None and record.answered_by.machine:
        return replace(record, state=AttemptState.MACHINE, ended_at=at)
    record = replace(record, state=_ENDS[status], ended_at=at)
    if status is CallStatus.COMPLETED:
        return replace(record, outcome=Outcome.HUNG_UP)
    if status is CallStatus.FAILED:
        return replace(record, failure=failure or CallFailure.CARRIER)
    return record


_BY_STATE = {
    AttemptState.BUSY: Ending.BUSY,
    AttemptState.NO_ANSWER: Ending.NO_ANSWER,
    AttemptState.MACHINE: Ending.MACHINE,
    AttemptState.INTERRUPTED: Ending.INTERRUPTED,
}
_BY_FAILURE = {
    CallFailure.BAD_NUMBER: Ending.BAD_NUMBER,
    CallFailure.BLOCKED: Ending.BAD_NUMBER,
    CallFailure.CARRIER: Ending.FAILED,
    CallFailure.LIMIT: Ending.NOT_PLACED,
    CallFailure.ACCOUNT: Ending.NOT_PLACED,
    CallFailure.NOT_PLACED: Ending.NOT_PLACED,
}
_BY_OUTCOME = {
    Outcome.COMPLETED: Ending.REACHED,
    Outcome.EMERGENCY: Ending.REACHED,
    Outcome.SAID_GOODBYE: Ending.REACHED,
    Outcome.HUNG_UP: Ending.HUNG_UP,
    Outcome.SILENT: Ending.SILENT,
    Outcome.CALL_LATER: Ending.CALL_LATER,
    Outcome.WRONG_PERSON: Ending.WRONG_PERSON,
    Outcome.OPTED_OUT: Ending.OPTED_OUT,
    Outcome.INTERRUPTED: Ending.INTERRUPTED,
}


def ending_of(record: DialRecord) -> Ending:
    """How an ended dial looks to the ladder. What was said counts for more than who the provider thought answered."""
    ending = _BY_OUTCOME[record.outcome] if record.outcome is not None else None
    if ending in (Ending.REACHED, Ending.OPTED_OUT):
        return ending
    if record.state in _BY_STATE:
        return _BY_STATE[record.state]
    if record.state is AttemptState.FAILED:
        return _BY_FAILURE[record.failure] if record.failure is not None else Ending.FAILED
    if record.answered_by is not None and record.answered_by.machine and ending in (Ending.HUNG_UP, Ending.SILENT):
        return Ending.MACHINE
    return ending or Ending.HUNG_UP
