"""What a day holds for one enrolled person: each check of it, and what stands in its way. Pure."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from carecall.domain.enrollment import Due, Enrolled, NotYet, Reason
from carecall.outreach.local_days import Check
from carecall.outreach.planning import checks, next_check, none_on, standing_reason


class Standing(StrEnum):
    """How a check, or a person without one, stands."""

    PLANNED = "planned"
    DUE = "due"  # now
    OPENED = "opened"  # calls for it are under way, or have been
    PAST = "past"  # before one that was opened
    NOT_CALLED = "not_called"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a day's plan."""

    standing: Standing
    check: Check | None = None  # None: the person has none on this day
    refusal: NotYet | None = None  # of somebody who is not called


def plan_day(enrolled: Enrolled, day: date, now: datetime) -> list[Entry]:
    """The checks of a local day that has not passed, rising; else one entry that says why there are none."""
    if (standing := standing_reason(enrolled, now)) is not None:
        return [Entry(Standing.NOT_CALLED, refusal=NotYet(standing, None))]
    of_day = checks(enrolled, day)
    if not of_day:
        return [Entry(Standing.NOT_CALLED, refusal=none_on(enrolled, day))]
    return [_entry(enrolled, check, now) for check in of_day]


def _entry(enrolled: Enrolled, check: Check, now: datetime) -> Entry:
    if enrolled.last_slot is not None and check.due_at <= enrolled.last_slot:
        return Entry(Standing.OPENED if check.due_at == enrolled.last_slot else Standing.PAST, check)
    if now < check.begins_at:
        return Entry(Standing.PLANNED, check)
    answer = next_check(enrolled, now)
    if isinstance(answer, Due) and answer.due_at == check.due_at:
        return Entry(Standing.DUE, check)
    reason = answer.reason if isinstance(answer, NotYet) and now < check.until else Reason.TOO_LATE
    return Entry(Standing.NOT_CALLED, check, NotYet(reason, answer.look_again_at))
