"""Local days: when the contact hours of one open and close, and when its checks begin and end, in any time zone.

When the clocks change, a time that does not exist moves to the first moment that does, and one that exists twice
happens once, the first time. What depends on the schedule, the hours, the zone and the day alone is remembered: many
people share it.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from carecall.domain.campaign import Schedule, Window
from carecall.outreach.public_holidays import public_holidays

HORIZON_DAYS = 100  # no calendar leaves a weekday without a working day for so long
ONE_DAY = timedelta(days=1)
_REMEMBERED = 16_384  # (schedule, hours, zone, day)


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a local day."""

    due_at: datetime
    begins_at: datetime  # from then on it may be begun: due, and within the contact hours
    until: datetime


@dataclass(frozen=True, slots=True)
class Hours:
    """The contact hours of one local day as moments."""

    opens_at: datetime
    closes_at: datetime


@lru_cache(maxsize=1024)
def known_zone(name: str) -> ZoneInfo | None:
    """The time zone of an IANA name; None when there is none."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # ZoneInfoNotFoundError is a LookupError
        return None


def moment_of(day: date, clock: time, zone: ZoneInfo, *, second: bool = False) -> datetime:
    """The moment of a local time: when it exists twice the first (or ``second``), when never, the first that does."""
    naive = datetime.combine(day, clock)
    local = naive.replace(tzinfo=zone, fold=second)
    moment = local.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == naive:
        return moment
    before, after = local.replace(fold=1).astimezone(UTC), local.replace(fold=0).astimezone(UTC)
    offset = after.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):  # the clocks change between the two
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        if middle.astimezone(zone).utcoffset() == offset:
            after = middle
        else:
            before = middle
    return after


@lru_cache(maxsize=_REMEMBERED)
def contact_hours(window: Window, own: Window | None, zone: ZoneInfo, day: date) -> Hours | None:
    """When a telephone may ring on a local day; every such moment reads within both windows on the local clock."""
    common = _common(window, own)
    if common.opens >= common.closes:
        return None
    opens_at, closes_at = moment_of(day, common.opens, zone, second=True), moment_of(day, common.closes, zone)
    if closes_at <= opens_at:  # both within the hour that exists twice: then in its first turn
        opens_at = moment_of(day, common.opens, zone)
    return Hours(opens_at, closes_at) if opens_at < closes_at else None


@lru_cache(maxsize=_REMEMBERED)
def checks_of(schedule: Schedule, own: Window | None, zone: ZoneInfo, day: date) -> tuple[Check, ...]:
    """The checks of a local day, rising, in any period. Of two that would begin at once there is only the later."""
    if day.weekday() not in schedule.weekdays or is_holiday(schedule, day):
        return ()
    hours = contact_hours(schedule.window, own, zone, day)
    if hours is None:
        return ()
    found: list[Check] = []
    closes_at = hours.closes_at
    for clock in reversed(schedule.times):
        due_at = moment_of(day, clock, zone)
        begins_at = max(due_at, hours.opens_at)
        until = min(due_at + schedule.open_for, closes_at)
        if begins_at < until:
            found.append(Check(due_at, begins_at, until))
            closes_at = begins_at
    return tuple(reversed(found))


@lru_cache(maxsize=_REMEMBERED)
def day_with_checks(schedule: Schedule, own: Window | None, zone: ZoneInfo, day: date) -> date | None:
    """The first day from this one on that has a check; None when there is none within the horizon."""
    for ahead in range(HORIZON_DAYS):
        following = day + ahead * ONE_DAY
        if checks_of(schedule, own, zone, following):
            return following
    return None


def is_holiday(schedule: Schedule, day: date) -> bool:
    """Whether the schedule leaves the day out as a public holiday."""
    return day in public_holidays(schedule.holidays, day.year)


def never_fits(schedule: Schedule, own: Window | None) -> bool:
    """Whether no time of the schedule can fall into the contact hours, whatever the day."""
    hours = _common(schedule.window, own)
    opens, closes = _since_midnight(hours.opens), _since_midnight(hours.closes)
    return not any(
        max(_since_midnight(clock), opens) < min(_since_midnight(clock) + schedule.open_for, closes)
        for clock in schedule.times
    )


def _common(window: Window, own: Window | None) -> Window:
    return window if own is None else Window(max(window.opens, own.opens), min(window.closes, own.closes))


def _since_midnight(clock: time) -> timedelta:
    return datetime.combine(date.min, clock) - datetime.min
