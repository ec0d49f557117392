"""Decides who is called when, and says why somebody is not. Pure: the clock is an argument; moments are in UTC.

A check is due at a time of the recipient's own clock. It may be begun from then, or from when the contact hours open,
until ``open_for`` has passed, the hours close or the next check begins, whichever is first. So an enrollment has at
most one open check at any time, and one that was missed is begun late or not at all. Contact hours are the campaign's
window and the person's own hours, both.
"""

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from carecall.domain.enrollment import Due, Enrolled, NotYet, Reason
from carecall.outreach.local_days import (
    HORIZON_DAYS,
    ONE_DAY,
    Check,
    checks_of,
    contact_hours,
    day_with_checks,
    is_holiday,
    known_zone,
    moment_of,
    never_fits,
)
from carecall.outreach.reason_words import words

__all__ = ["checks", "checks_on", "may_dial", "next_check", "none_on", "standing_reason", "words"]


def next_check(enrolled: Enrolled, now: datetime) -> Due | NotYet:
    """The check that is due, or why there is none; with the moment after ``now`` at which to ask again.

    That moment is never later than the one from which the next check may be begun.
    """
    standing, zone = standing_reason(enrolled, now), known_zone(enrolled.time_zone)
    if standing is not None or zone is None:
        return NotYet(standing or Reason.UNKNOWN_TIME_ZONE, None)
    today = now.astimezone(zone).date()
    newest = None
    for check in _checks(enrolled, zone, today):
        if check.begins_at <= now:
            newest = check
    if newest is None or not _unopened(enrolled, newest):
        upcoming = _next_begin(enrolled, zone, today, now)
        return NotYet(_why_not_due(enrolled, zone, today, now, upcoming), upcoming)
    if newest.until <= now:
        return NotYet(Reason.TOO_LATE, _next_begin(enrolled, zone, today, now))
    if _capped(enrolled, zone, today):
        return NotYet(Reason.DAILY_CAP, _next_begin(enrolled, zone, today + ONE_DAY, now))
    return Due(newest.due_at, newest.until, _next_begin(enrolled, zone, today, now))


def may_dial(enrolled: Enrolled, now: datetime) -> NotYet | None:
    """None when this person's telephone may ring now; else why not, and when it may again."""
    standing, zone = standing_reason(enrolled, now), known_zone(enrolled.time_zone)
    if standing is not None or zone is None:
        return NotYet(standing or Reason.UNKNOWN_TIME_ZONE, None)
    schedule, today = enrolled.campaign.schedule, now.astimezone(zone).date()
    if _is_past(enrolled, today):
        return NotYet(Reason.ENDED, None)
    if is_holiday(schedule, today):
        return NotYet(Reason.HOLIDAY, _next_opening(enrolled, zone, today, now))
    hours = contact_hours(schedule.window, enrolled.hours, zone, today)
    if hours is None or not hours.opens_at <= now < hours.closes_at:
        return NotYet(Reason.OUTSIDE_HOURS, _next_opening(enrolled, zone, today, now))
    if _capped(enrolled, zone, today):
        return NotYet(Reason.DAILY_CAP, _next_opening(enrolled, zone, today + ONE_DAY, now))
    return None


def checks_on(enrolled: Enrolled, day: date) -> list[datetime]:
    """When checks are due on a local day, rising; whether the person may be called at all is not looked at."""
    return [check.due_at for check in checks(enrolled, day)]


def checks(enrolled: Enrolled, day: date) -> tuple[Check, ...]:
    """The checks of a local day, rising; none outside the period, or when the time zone is not known."""
    zone = known_zone(enrolled.time_zone)
    return _checks(enrolled, zone, day) if zone else ()


def none_on(enrolled: Enrolled, day: date) -> NotYet:
    """Why a local day that has no checks has none, and when the first one after it begins."""
    zone = known_zone(enrolled.time_zone)
    if zone is None:
        return NotYet(Reason.UNKNOWN_TIME_ZONE, None)
    upcoming = _next_begin(enrolled, zone, day, moment_of(day, time(), zone))
    return NotYet(_why_none(enrolled, zone, day, upcoming), upcoming)


def standing_reason(enrolled: Enrolled, now: datetime) -> Reason | None:
    """Why a person is not called until somebody changes something; None when only the time decides."""
    if enrolled.opted_out:
        return Reason.OPTED_OUT
    if enrolled.ended_at is not None and enrolled.ended_at <= now:
        return Reason.ENDED
    if not enrolled.consented:
        return Reason.NO_CONSENT
    if enrolled.paused:
        return Reason.PAUSED
    if enrolled.campaign.paused:
        return Reason.CAMPAIGN_PAUSED
    return None


def _why_not_due(enrolled: Enrolled, zone: ZoneInfo, today: date, now: datetime, upcoming: datetime | None) -> Reason:
    """Why nothing is due now, when no check of today was missed."""
    of_today = _checks(enrolled, zone, today)
    if any(check.due_at <= now < check.begins_at and _unopened(enrolled, check) for check in of_today):
        return Reason.OUTSIDE_HOURS
    if of_today:
        return Reason.ENDED if upcoming is None else Reason.NOT_DUE
    return _why_none(enrolled, zone, today, upcoming)


def _why_none(enrolled: Enrolled, zone: ZoneInfo, day: date, upcoming: datetime | None) -> Reason:
    schedule = enrolled.campaign.schedule
    if _is_past(enrolled, day):
        return Reason.ENDED
    if never_fits(schedule, enrolled.hours):
        return Reason.OUTSIDE_HOURS
    if day < _first_day(enrolled, zone):
        return Reason.NOT_STARTED
    if day.weekday() in schedule.weekdays and is_holiday(schedule, day):
        return Reason.HOLIDAY
    return Reason.ENDED if upcoming is None else Reason.NOT_DUE


def _checks(enrolled: Enrolled, zone: ZoneInfo, day: date) -> tuple[Check, ...]:
    if _is_past(enrolled, day) or day < _first_day(enrolled, zone):
        return ()
    found = checks_of(enrolled.campaign.schedule, enrolled.hours, zone, day)
    if enrolled.ended_at is not None:
        found = tuple(check for check in found if check.begins_at < enrolled.ended_at)
    return found


def _next_begin(enrolled: Enrolled, zone: ZoneInfo, day: date, after: datetime) -> datetime | None:
    """When the first check after a moment may be begun, from a local day on; opened ones are left out."""
    schedule = enrolled.campaign.schedule
    following: date | None = max(day, _first_day(enrolled, zone))
    while following is not None and (following := day_with_checks(schedule, enrolled.hours, zone, following)):
        if _is_past(enrolled, following):
            return None
        for check in checks_of(schedule, enrolled.hours, zone, following):
            if enrolled.ended_at is not None and enrolled.ended_at <= check.begins_at:
                return None
            if after < check.begins_at and _unopened(enrolled, check):
                return check.begins_at
        following += ONE_DAY
    return None


def _next_opening(enrolled: Enrolled, zone: ZoneInfo, day: date, now: datetime) -> datetime | None:
    """When the contact hours next open after now, from a local day on."""
    schedule = enrolled.campaign.schedule
    for ahead in range(HORIZON_DAYS):
        following = day + ahead * ONE_DAY
        if _is_past(enrolled, following):
            return None
        hours = contact_hours(schedule.window, enrolled.hours, zone, following)
        if hours is not None and now < hours.opens_at and not is_holiday(schedule, following):
            ended = enrolled.ended_at is not None and enrolled.ended_at <= hours.opens_at
            return None if ended else hours.opens_at
    return None


def _unopened(enrolled: Enrolled, check: Check) -> bool:
    return enrolled.last_slot is None or enrolled.last_slot < check.due_at


def _first_day(enrolled: Enrolled, zone: ZoneInfo) -> date:
    return max(enrolled.campaign.starts_on, enrolled.started_at.astimezone(zone).date())


def _is_past(enrolled: Enrolled, day: date) -> bool:
    """Whether the period ended before a local day."""
    ends_on, last_day = enrolled.campaign.ends_on, enrolled.last_day
    return (ends_on is not None and ends_on < day) or (last_day is not None and last_day < day)


def _capped(enrolled: Enrolled, zone: ZoneInfo, today: date) -> bool:
    calls = sum(call.astimezone(zone).date() == today for call in enrolled.recent_calls)
    return calls >= enrolled.campaign.schedule.daily_cap
