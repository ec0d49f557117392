"""What a day holds for a person: each check with how it stands, or why there is none."""

from dataclasses import replace
from datetime import UTC, date, datetime, time
from uuid import UUID

from carecall.domain.campaign import DEFAULT_LADDER, Campaign, Schedule
from carecall.domain.enrollment import Enrolled, NotYet, Reason
from carecall.domain.language import Language
from carecall.outreach.day_plan import Standing, plan_day

DAY = date(2026, 11, 24)
SCHEDULE = Schedule(times=(time(9, 30), time(16)), weekdays=frozenset((1, 3)))
PERSON = Enrolled(
    enrollment_id=UUID(int=1),
    recipient_id=UUID(int=2),
    campaign=Campaign("contacts", "active-monitoring", date(2026, 1, 1), None, SCHEDULE, DEFAULT_LADDER),
    language=Language.KOREAN,
    time_zone="UTC",
    hours=None,
    consented=True,
    opted_out=False,
    paused=False,
    started_at=datetime(2026, 1, 1, tzinfo=UTC),
    ended_at=None,
    last_day=None,
    last_slot=None,
)


def at(hour: int, minute: int = 0, day: int = 24) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def standings(person: Enrolled, now: datetime) -> list[Standing]:
    return [entry.standing for entry in plan_day(person, DAY, now)]


def test_checks_to_come_are_planned() -> None:
    assert standings(PERSON, at(8)) == [Standing.PLANNED, Standing.PLANNED]


def test_a_check_whose_time_has_come_is_due() -> None:
    assert standings(PERSON, at(10)) == [Standing.DUE, Standing.PLANNED]


def test_a_check_that_calls_were_made_for_is_opened() -> None:
    assert standings(replace(PERSON, last_slot=at(9, 30)), at(10)) == [Standing.OPENED, Standing.PLANNED]
    assert standings(replace(PERSON, last_slot=at(16)), at(17)) == [Standing.PAST, Standing.OPENED]


def test_a_check_whose_time_is_over_says_so_with_the_next_one() -> None:
    missed, _ = plan_day(PERSON, DAY, at(14))
    assert (missed.standing, missed.refusal) == (Standing.NOT_CALLED, NotYet(Reason.TOO_LATE, at(16)))


def test_a_person_called_often_enough_says_so() -> None:
    called = replace(PERSON, recent_calls=tuple(at(9, minute) for minute in range(4)))
    capped, _ = plan_day(called, DAY, at(10))
    assert (capped.standing, capped.refusal) == (Standing.NOT_CALLED, NotYet(Reason.DAILY_CAP, at(9, 30, day=26)))


def test_a_day_without_checks_says_when_the_next_one_is() -> None:
    (entry,) = plan_day(PERSON, date(2026, 11, 25), at(8))
    assert entry.refusal == NotYet(Reason.NOT_DUE, at(9, 30, day=26))


def test_what_stands_against_a_call_is_said_instead_of_the_checks() -> None:
    (entry,) = plan_day(replace(PERSON, consented=False), DAY, at(8))
    assert (entry.standing, entry.check) == (Standing.NOT_CALLED, None)
    assert entry.refusal == NotYet(Reason.NO_CONSENT, None)
