"""When a person is called: the specification of planning, in examples."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from carecall.domain.campaign import DEFAULT_LADDER, Campaign, Schedule, Window
from carecall.domain.enrollment import Due, Enrolled, NotYet, Reason
from carecall.domain.language import Language
from carecall.outreach.planning import checks, checks_on, may_dial, next_check, none_on, words

SEOUL, NEW_YORK, BERLIN = "Asia/Seoul", "America/New_York", "Europe/Berlin"
TWICE_DAILY = Schedule(times=(time(9, 30), time(16)))


def campaign(schedule: Schedule = TWICE_DAILY, *, ends_on: date | None = None, paused: bool = False) -> Campaign:
    return Campaign("contacts", "active-monitoring", date(2026, 1, 1), ends_on, schedule, DEFAULT_LADDER, paused)


PERSON = Enrolled(
    enrollment_id=UUID(int=1),
    recipient_id=UUID(int=2),
    campaign=campaign(),
    language=Language.KOREAN,
    time_zone=SEOUL,
    hours=None,
    consented=True,
    opted_out=False,
    paused=False,
    started_at=datetime(2026, 1, 1, tzinfo=UTC),
    ended_at=None,
    last_day=None,
    last_slot=None,
)


def at(text: str, zone: str = SEOUL) -> datetime:
    """A local time such as ``2026-11-24 09:30``, as a moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def test_a_check_is_due_from_its_time_on_the_persons_own_clock() -> None:
    assert next_check(PERSON, at("2026-11-24 09:29:59")) == NotYet(Reason.NOT_DUE, at("2026-11-24 09:30"))
    due = Due(at("2026-11-24 09:30"), at("2026-11-24 13:30"), at("2026-11-24 16:00"))
    assert next_check(PERSON, at("2026-11-24 09:30")) == due
    in_new_york = replace(PERSON, time_zone=NEW_YORK)
    assert next_check(in_new_york, at("2026-11-24 09:30", NEW_YORK)) == Due(
        at("2026-11-24 09:30", NEW_YORK), at("2026-11-24 13:30", NEW_YORK), at("2026-11-24 16:00", NEW_YORK)
    )


def test_a_check_that_was_opened_is_not_due_again() -> None:
    opened = replace(PERSON, last_slot=at("2026-11-24 09:30"))
    assert next_check(opened, at("2026-11-24 09:31")) == NotYet(Reason.NOT_DUE, at("2026-11-24 16:00"))


def test_a_check_missed_while_the_program_was_down_is_begun_late_while_it_is_open() -> None:
    assert next_check(PERSON, at("2026-11-24 13:29")) == Due(
        at("2026-11-24 09:30"), at("2026-11-24 13:30"), at("2026-11-24 16:00")
    )
    assert next_check(PERSON, at("2026-11-24 13:30")) == NotYet(Reason.TOO_LATE, at("2026-11-24 16:00"))


def test_of_several_missed_checks_only_the_newest_is_made_up_for() -> None:
    long_open = replace(PERSON, campaign=campaign(replace(TWICE_DAILY, open_for=timedelta(hours=12))))
    due = next_check(replace(long_open, last_slot=at("2026-11-20 09:30")), at("2026-11-24 17:00"))
    assert due == Due(at("2026-11-24 16:00"), at("2026-11-24 20:00"), at("2026-11-25 09:30"))


def test_a_check_gives_way_to_the_next_one_so_that_two_are_never_open() -> None:
    long_open = replace(PERSON, campaign=campaign(replace(TWICE_DAILY, open_for=timedelta(hours=12))))
    assert [(check.begins_at, check.until) for check in checks(long_open, date(2026, 11, 24))] == [
        (at("2026-11-24 09:30"), at("2026-11-24 16:00")),
        (at("2026-11-24 16:00"), at("2026-11-24 20:00")),
    ]


def test_no_attempt_is_begun_after_the_contact_hours_close() -> None:
    evening = replace(PERSON, campaign=campaign(Schedule(times=(time(18),))))
    due = next_check(evening, at("2026-11-24 18:00"))
    assert isinstance(due, Due)
    assert due.until == at("2026-11-24 20:00")


def test_personal_hours_move_a_check_into_them() -> None:
    late_riser = replace(PERSON, hours=Window(time(11), time(20)))
    assert next_check(late_riser, at("2026-11-24 10:00")) == NotYet(Reason.OUTSIDE_HOURS, at("2026-11-24 11:00"))
    assert next_check(late_riser, at("2026-11-24 11:00")) == Due(
        at("2026-11-24 09:30"), at("2026-11-24 13:30"), at("2026-11-24 16:00")
    )


def test_hours_changed_after_a_check_was_opened_do_not_open_it_again() -> None:
    moved = replace(PERSON, hours=Window(time(11), time(20)), last_slot=at("2026-11-24 09:30"))
    assert next_check(moved, at("2026-11-24 11:00")) == NotYet(Reason.NOT_DUE, at("2026-11-24 16:00"))


def test_of_two_checks_that_hours_move_to_one_moment_only_the_later_is_made() -> None:
    morning = replace(
        PERSON,
        campaign=campaign(Schedule(times=(time(9), time(9, 30)))),
        hours=Window(time(10), time(12)),
    )
    assert checks_on(morning, date(2026, 11, 24)) == [at("2026-11-24 09:30")]


def test_hours_that_no_check_fits_into_are_told_of_and_not_looked_at_again() -> None:
    night_worker = replace(PERSON, campaign=campaign(Schedule(times=(time(9, 30),))), hours=Window(time(15), time(18)))
    assert next_check(night_worker, at("2026-11-24 10:00")) == NotYet(Reason.OUTSIDE_HOURS, None)
    assert none_on(night_worker, date(2026, 11, 24)) == NotYet(Reason.OUTSIDE_HOURS, None)


def test_checks_fall_on_the_weekdays_of_the_schedule() -> None:
    mondays_and_thursdays = replace(PERSON, campaign=campaign(Schedule((time(10, 30),), frozenset((0, 3)))))
    days = [date(2026, 11, 23) + timedelta(days=ahead) for ahead in range(7)]
    assert [day for day in days if checks_on(mondays_and_thursdays, day)] == [date(2026, 11, 23), date(2026, 11, 26)]
    assert next_check(mondays_and_thursdays, at("2026-11-24 10:30")) == NotYet(Reason.NOT_DUE, at("2026-11-26 10:30"))


def test_public_holidays_are_left_out() -> None:
    in_korea = replace(PERSON, campaign=campaign(replace(TWICE_DAILY, holidays="KR")))
    lunar_new_year_and_around = [date(2026, 2, day) for day in range(13, 20)]
    assert [day.day for day in lunar_new_year_and_around if checks_on(in_korea, day)] == [13, 14, 15, 19]
    holiday = next_check(in_korea, at("2026-02-17 10:00"))
    assert holiday == NotYet(Reason.HOLIDAY, at("2026-02-19 09:30"))
    assert may_dial(in_korea, at("2026-02-17 10:00")) == NotYet(Reason.HOLIDAY, at("2026-02-19 09:00"))
    assert checks_on(PERSON, date(2026, 2, 17)) != []


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (replace(PERSON, consented=False), Reason.NO_CONSENT),
        (replace(PERSON, opted_out=True), Reason.OPTED_OUT),
        (replace(PERSON, paused=True), Reason.PAUSED),
        (replace(PERSON, campaign=campaign(paused=True)), Reason.CAMPAIGN_PAUSED),
        (replace(PERSON, ended_at=at("2026-11-24 09:00")), Reason.ENDED),
        (replace(PERSON, last_day=date(2026, 11, 23)), Reason.ENDED),
        (replace(PERSON, campaign=campaign(ends_on=date(2026, 11, 23))), Reason.ENDED),
        (replace(PERSON, time_zone="Asia/Nowhere"), Reason.UNKNOWN_TIME_ZONE),
    ],
)
def test_what_stands_against_a_call_stands_until_somebody_changes_it(changed: Enrolled, reason: Reason) -> None:
    now = at("2026-11-24 10:00")
    assert next_check(changed, now) == NotYet(reason, None)
    assert may_dial(changed, now) == NotYet(reason, None)


def test_an_opt_out_is_named_before_all_else() -> None:
    assert next_check(replace(PERSON, opted_out=True, consented=False, paused=True), at("2026-11-24 10:00")) == NotYet(
        Reason.OPTED_OUT, None
    )


def test_the_period_is_counted_in_local_days() -> None:
    now = at("2026-11-24 09:30")  # the day before, in UTC
    only_today = replace(PERSON, started_at=now, last_day=date(2026, 11, 24))
    assert next_check(only_today, now) == Due(now, at("2026-11-24 13:30"), at("2026-11-24 16:00"))
    assert next_check(only_today, at("2026-11-24 16:00")) == Due(at("2026-11-24 16:00"), at("2026-11-24 20:00"), None)
    starts_tomorrow = replace(PERSON, campaign=replace(campaign(), starts_on=date(2026, 11, 25)))
    assert next_check(starts_tomorrow, now) == NotYet(Reason.NOT_STARTED, at("2026-11-25 09:30"))
    assert none_on(starts_tomorrow, date(2026, 11, 24)) == NotYet(Reason.NOT_STARTED, at("2026-11-25 09:30"))


def test_an_end_in_the_future_leaves_out_the_checks_after_it() -> None:
    ends_at_noon = replace(PERSON, ended_at=at("2026-11-24 12:00"))
    assert checks_on(ends_at_noon, date(2026, 11, 24)) == [at("2026-11-24 09:30")]
    opened = replace(ends_at_noon, last_slot=at("2026-11-24 09:30"))
    assert next_check(opened, at("2026-11-24 11:00")) == NotYet(Reason.ENDED, None)


def test_the_daily_cap_counts_the_calls_of_the_local_day() -> None:
    yesterday = tuple(at(f"2026-11-23 {hour}:00") for hour in range(10, 16))
    today = tuple(at(f"2026-11-24 09:0{minute}") for minute in range(4))
    now = at("2026-11-24 09:30")
    assert isinstance(next_check(replace(PERSON, recent_calls=yesterday + today[:3]), now), Due)
    capped = replace(PERSON, recent_calls=today)
    assert next_check(capped, now) == NotYet(Reason.DAILY_CAP, at("2026-11-25 09:30"))
    assert may_dial(capped, now) == NotYet(Reason.DAILY_CAP, at("2026-11-25 09:00"))


@pytest.mark.parametrize(
    ("now", "look_again_at"),
    [
        ("2026-11-24 08:59", "2026-11-24 09:00"),
        ("2026-11-24 20:00", "2026-11-25 09:00"),
        ("2026-11-24 02:00", "2026-11-24 09:00"),
    ],
)
def test_no_telephone_rings_outside_the_contact_hours(now: str, look_again_at: str) -> None:
    assert may_dial(PERSON, at(now)) == NotYet(Reason.OUTSIDE_HOURS, at(look_again_at))


@pytest.mark.parametrize("now", ["2026-11-24 09:00", "2026-11-24 19:59"])
def test_within_the_contact_hours_it_may_ring(now: str) -> None:
    assert may_dial(PERSON, at(now)) is None


def test_a_retry_respects_the_persons_own_hours() -> None:
    naps = replace(PERSON, hours=Window(time(8), time(13)))
    assert may_dial(naps, at("2026-11-24 13:00")) == NotYet(Reason.OUTSIDE_HOURS, at("2026-11-25 09:00"))


def at_night(clock: time, zone: str, window: Window | None = None) -> Enrolled:
    schedule = Schedule(times=(clock,), window=window or Window(time(0), time(6)))
    return replace(PERSON, campaign=campaign(schedule), time_zone=zone)


def test_a_time_that_does_not_exist_moves_to_the_first_moment_that_does() -> None:
    spring_forward = checks_on(at_night(time(2, 30), NEW_YORK), date(2026, 3, 8))
    assert spring_forward == [datetime(2026, 3, 8, 7, 0, tzinfo=UTC)]  # 03:00 there


def test_a_time_that_exists_twice_happens_once_the_first_time() -> None:
    person = at_night(time(1, 30), NEW_YORK)
    assert checks_on(person, date(2026, 11, 1)) == [datetime(2026, 11, 1, 5, 30, tzinfo=UTC)]
    opened = replace(person, last_slot=datetime(2026, 11, 1, 5, 30, tzinfo=UTC))
    again = next_check(opened, datetime(2026, 11, 1, 6, 30, tzinfo=UTC))  # 01:30 once more
    assert again == NotYet(Reason.NOT_DUE, datetime(2026, 11, 2, 6, 30, tzinfo=UTC))


def test_the_same_local_time_is_kept_when_the_clocks_change() -> None:
    days = [checks_on(replace(PERSON, time_zone=BERLIN), date(2026, 10, day))[0].hour for day in (24, 25, 26)]
    assert days == [7, 8, 8]  # in UTC


def test_a_window_that_opens_in_the_hour_that_exists_twice_is_never_left_in_local_time() -> None:
    person = at_night(time(1, 30), NEW_YORK, Window(time(1, 30), time(5)))
    first_time, back_to_one = datetime(2026, 11, 1, 5, 30, tzinfo=UTC), datetime(2026, 11, 1, 6, 10, tzinfo=UTC)
    second_time = datetime(2026, 11, 1, 6, 30, tzinfo=UTC)
    assert may_dial(person, back_to_one) == NotYet(Reason.OUTSIDE_HOURS, second_time)
    assert may_dial(person, second_time) is None
    due = next_check(person, second_time)
    assert isinstance(due, Due)
    assert due.due_at == first_time


def test_a_day_that_a_country_skipped_has_no_check() -> None:
    person = replace(
        PERSON,
        time_zone="Pacific/Apia",
        campaign=replace(campaign(), starts_on=date(2011, 1, 1)),
        started_at=datetime(2011, 1, 1, tzinfo=UTC),
    )
    assert [len(checks_on(person, date(2011, 12, day))) for day in (29, 30, 31)] == [2, 0, 2]


def test_half_hour_changes_and_midnight_changes_are_known() -> None:
    lord_howe = at_night(time(2, 15), "Australia/Lord_Howe")
    assert checks_on(lord_howe, date(2026, 10, 4)) == [datetime(2026, 10, 3, 15, 30, tzinfo=UTC)]  # 02:30 there
    beirut = at_night(time(0, 10), "Asia/Beirut")
    assert checks_on(beirut, date(2026, 3, 29)) == [datetime(2026, 3, 28, 22, 0, tzinfo=UTC)]  # 01:00 there


def test_the_reason_and_the_next_check_are_told_in_both_languages_on_the_persons_own_clock() -> None:
    when = at("2026-11-24 09:30")
    assert words(Reason.OUTSIDE_HOURS, when, SEOUL, Language.ENGLISH) == (
        "Not called now: outside the contact hours. Next check Tue 24 Nov 09:30."
    )
    assert words(Reason.OUTSIDE_HOURS, when, SEOUL, Language.KOREAN) == (
        "지금은 전화하지 않습니다: 연락 가능한 시간이 아닙니다. 다음 확인: 11월 24일(화) 09:30."
    )
    assert words(Reason.NOT_DUE, when, NEW_YORK, Language.ENGLISH).endswith("Next check Mon 23 Nov 19:30.")
    assert words(Reason.NOT_DUE, when, "Asia/Nowhere", Language.ENGLISH).endswith("Tue 24 Nov 00:30 UTC.")


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_words_with_and_without_a_next_time(reason: Reason, language: Language) -> None:
    with_time = words(reason, at("2026-11-24 09:30"), SEOUL, language)
    without = words(reason, None, SEOUL, language)
    assert "09:30" in with_time
    assert without.endswith(".")
    assert with_time.split(".")[0] == without.split(".")[0]
