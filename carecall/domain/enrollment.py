"""What planning and the ladder go by, and what they answer. Moments are in UTC."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from carecall.domain.campaign import Campaign, Ending, Window
from carecall.domain.language import Language


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A recipient in a campaign, without name and number."""

    enrollment_id: UUID
    recipient_id: UUID
    campaign: Campaign
    language: Language
    time_zone: str  # IANA name
    hours: Window | None  # the person's own, within the campaign's window
    consented: bool
    opted_out: bool
    paused: bool
    started_at: datetime
    ended_at: datetime | None
    last_day: date | None  # local; None: as long as the campaign
    last_slot: datetime | None  # due time of the newest slot that was opened
    recent_calls: tuple[datetime, ...] = ()  # when this person was dialed, in the last 48 hours, over all campaigns


class Reason(StrEnum):
    """Why a person is not called now."""

    NO_CONSENT = "no_consent"
    OPTED_OUT = "opted_out"
    PAUSED = "paused"
    CAMPAIGN_PAUSED = "campaign_paused"
    NOT_STARTED = "not_started"
    ENDED = "ended"
    NOT_DUE = "not_due"  # the next check is later
    OUTSIDE_HOURS = "outside_hours"
    HOLIDAY = "holiday"
    DAILY_CAP = "daily_cap"
    TOO_LATE = "too_late"  # this check's time has passed
    IN_A_CALL = "in_a_call"  # this person, or somebody with the same number
    NO_NUMBER = "no_number"
    UNKNOWN_TIME_ZONE = "unknown_time_zone"


@dataclass(frozen=True, slots=True)
class Due:
    """A check is due now."""

    due_at: datetime
    until: datetime  # no attempt is begun from this moment on
    look_again_at: datetime | None  # for the check after it; None: there is none


@dataclass(frozen=True, slots=True)
class NotYet:
    """Nothing is to be done now."""

    reason: Reason
    look_again_at: datetime | None  # None: not before something is changed


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """One attempt of a slot that has ended."""

    number: int  # from 1
    ending: Ending
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Another attempt, not before a moment."""

    at: datetime


@dataclass(frozen=True, slots=True)
class HandOver:
    """The ladder has ended: a human takes over, beginning with the ladder's human step of this index."""

    reason: Ending
    step: int = 0


@dataclass(frozen=True, slots=True)
class Close:
    """The slot is done: the person was reached, or wants no more calls."""

    reached: bool
    reason: Ending


LadderStep = TryAgain | HandOver | Close
