"""What planning keeps whatever the time zone, the day, the schedule and the person's hours."""

import itertools
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import example, given, settings
from hypothesis import strategies as st

from carecall.domain.campaign import DEFAULT_LADDER, Campaign, Schedule, Window
from carecall.domain.enrollment import Due, Enrolled, NotYet
from carecall.domain.language import Language
from carecall.outreach.planning import checks, checks_on, may_dial, next_check, none_on, words

ZONES = sorted(zone for zone in available_timezones() if zone not in ("Factory", "localtime"))
FIRST, LAST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)
ALWAYS = date(1980, 1, 1)
thorough = settings(max_examples=150)


def _clock_changes(zone: str) -> list[datetime]:
    """Moments at which the clocks of a zone change, found by bisection between weeks that differ."""
    local, found = ZoneInfo(zone), []
    before = datetime(2005, 1, 1, tzinfo=UTC)
    while before.year < 2027:
        after = before + timedelta(days=7)
        if before.astimezone(local).utcoffset() != after.astimezone(local).utcoffset():
            low, high = before, after
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) / 2
                same = middle.astimezone(local).utcoffset() == before.astimezone(local).utcoffset()
                low, high = (middle, high) if same else (low, middle)
            found.append(high.replace(microsecond=0))
        before = after
    return found


CHANGES = {
    zone: _clock_changes(zone)
    for zone in (
        "America/New_York",
        "America/St_Johns",
        "America/Havana",
        "America/Sao_Paulo",
        "Europe/Berlin",
        "Asia/Beirut",
        "Asia/Amman",
        "Africa/Casablanca",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Antarctica/Troll",
        "Asia/Pyongyang",
    )
}
clocks = st.builds(time, st.integers(0, 23), st.sampled_from((0, 1, 15, 30, 59)))
windows = st.lists(clocks, min_size=2, max_size=2, unique=True).map(sorted).map(lambda pair: Window(*pair))
schedules = st.builds(
    Schedule,
    times=st.lists(clocks, min_size=1, max_size=4, unique=True).map(sorted).map(tuple),
    weekdays=st.frozensets(st.integers(0, 6), min_size=1),
    window=st.one_of(st.just(Window(time(9), time(20))), windows),
    holidays=st.sampled_from((None, "KR", "US", "DE")),
    open_for=st.sampled_from((5, 60, 240, 1440)).map(lambda minutes: timedelta(minutes=minutes)),
    daily_cap=st.integers(1, 5),
)


@st.composite
def places_in_time(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone and a moment: any, or one near a change of that zone's clocks."""
    if draw(st.booleans()):
        moment = draw(st.datetimes(FIRST.replace(tzinfo=None), LAST.replace(tzinfo=None))).replace(tzinfo=UTC)
        return draw(st.sampled_from(ZONES)), moment
    zone = draw(st.sampled_from(sorted(CHANGES)))
    return zone, draw(st.sampled_from(CHANGES[zone])) + draw(st.timedeltas(-timedelta(days=2), timedelta(days=2)))


def enrolled(zone: str, schedule: Schedule, hours: Window | None) -> Enrolled:
    return Enrolled(
        enrollment_id=UUID(int=1),
        recipient_id=UUID(int=2),
        campaign=Campaign("any", "wellbeing", ALWAYS, None, schedule, DEFAULT_LADDER),
        language=Language.ENGLISH,
        time_zone=zone,
        hours=hours,
        consented=True,
        opted_out=False,
        paused=False,
        started_at=datetime(1980, 1, 1, tzinfo=UTC),
        ended_at=None,
        last_day=None,
        last_slot=None,
    )


def reads_within(moment: datetime, zone: str, window: Window) -> bool:
    return window.opens <= moment.astimezone(ZoneInfo(zone)).time() < window.closes


people = st.builds(
    lambda place, schedule, hours: (enrolled(place[0], schedule, hours), place[1]),
    places_in_time(),
    schedules,
    st.one_of(st.none(), windows),
)


@thorough
@given(people)
def test_a_call_is_never_allowed_outside_the_windows_on_the_local_clock(case: tuple[Enrolled, datetime]) -> None:
    person, now = case
    refused = may_dial(person, now)
    if refused is None:
        assert reads_within(now, person.time_zone, person.campaign.schedule.window)
        assert person.hours is None or reads_within(now, person.time_zone, person.hours)
    elif refused.look_again_at is not None:
        assert refused.look_again_at > now
        assert may_dial(person, refused.look_again_at) is None


@thorough
@given(people)
def test_a_due_check_may_be_dialed_to_the_last_moment_it_is_open(case: tuple[Enrolled, datetime]) -> None:
    person, now = case
    answer = next_check(person, now)
    if isinstance(answer, Due):
        assert answer.due_at <= now < answer.until
        assert answer.until <= answer.due_at + person.campaign.schedule.open_for
        for moment in (now, answer.until - timedelta(seconds=1)):
            assert may_dial(person, moment) is None or moment < now


@thorough
@given(people)
@example((enrolled("America/New_York", Schedule(times=(time(2, 30),)), None), datetime(2026, 3, 8, 12, tzinfo=UTC)))
def test_with_the_usual_window_nobody_is_called_at_night(case: tuple[Enrolled, datetime]) -> None:
    person, now = case
    usual = replace(person.campaign.schedule, window=Window(time(9), time(20)))
    person = replace(person, campaign=replace(person.campaign, schedule=usual))
    if isinstance(next_check(person, now), Due) or may_dial(person, now) is None:
        assert 9 <= now.astimezone(ZoneInfo(person.time_zone)).hour < 20


@thorough
@given(people)
def test_following_the_answers_reaches_every_check_exactly_once(case: tuple[Enrolled, datetime]) -> None:
    person, now = case
    zone = ZoneInfo(person.time_zone)
    until = now + timedelta(days=20)
    local_days = [now.astimezone(zone).date() + timedelta(days=ahead) for ahead in range(-1, 22)]
    expected = [
        check.due_at
        for day in local_days
        for check in checks(person, day)
        if now < check.until and check.begins_at < until
    ]
    reached: list[datetime] = []
    for _ in range(400):
        answer = next_check(person, now)
        if isinstance(answer, Due):
            reached.append(answer.due_at)
            person = replace(person, last_slot=answer.due_at)
        if answer.look_again_at is None or answer.look_again_at >= until:
            break
        assert answer.look_again_at > now
        now = answer.look_again_at
    else:
        raise AssertionError("planning goes round in circles")
    assert reached == expected


@thorough
@given(people, st.lists(st.timedeltas(timedelta(minutes=1), timedelta(hours=30)), max_size=40))
def test_however_late_it_is_looked_at_no_check_is_due_twice(
    case: tuple[Enrolled, datetime], pauses: list[timedelta]
) -> None:
    person, now = case
    reached: list[datetime] = []
    for pause in pauses:
        answer = next_check(person, now)
        if isinstance(answer, Due):
            reached.append(answer.due_at)
            person = replace(person, last_slot=answer.due_at)
        now += pause
    assert reached == sorted(set(reached))


@thorough
@given(people)
def test_a_local_day_has_each_time_of_the_schedule_at_most_once(case: tuple[Enrolled, datetime]) -> None:
    person, now = case
    zone, schedule = ZoneInfo(person.time_zone), person.campaign.schedule
    day = now.astimezone(zone).date()
    due = checks_on(person, day)
    assert due == sorted(set(due))
    assert len(due) <= len(schedule.times)
    for moment in due:
        local = moment.astimezone(zone)
        exists = local.replace(tzinfo=None) in {datetime.combine(day, clock) for clock in schedule.times}
        an_hour_before = (moment - timedelta(seconds=1)).astimezone(zone).utcoffset()
        assert exists or local.utcoffset() != an_hour_before  # else it is the first moment after a gap
    spans = [(check.begins_at, check.until) for check in checks(person, day)]
    assert all(begins < until for begins, until in spans)
    assert all(until <= begins for (_, until), (begins, _) in itertools.pairwise(spans))


@thorough
@given(
    people,
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.one_of(st.none(), st.timedeltas(-timedelta(days=40), timedelta(days=40))),
    st.one_of(st.none(), st.integers(-40, 40)),
    st.one_of(st.none(), st.integers(-40, 40)),
    st.lists(st.timedeltas(timedelta(), timedelta(days=2)), max_size=6),
)
def test_there_is_always_an_answer_and_words_for_it(
    case: tuple[Enrolled, datetime],
    consented: bool,
    opted_out: bool,
    paused: bool,
    ends_in: timedelta | None,
    last_day_in: int | None,
    campaign_ends_in: int | None,
    calls: list[timedelta],
) -> None:
    person, now = case
    today = now.astimezone(ZoneInfo(person.time_zone)).date()
    ends_on = None if campaign_ends_in is None else today + timedelta(days=campaign_ends_in)
    person = replace(
        person,
        campaign=replace(person.campaign, ends_on=ends_on),
        consented=consented,
        opted_out=opted_out,
        paused=paused,
        ended_at=None if ends_in is None else now + ends_in,
        last_day=None if last_day_in is None else today + timedelta(days=last_day_in),
        recent_calls=tuple(now - ago for ago in calls),
    )
    for answer in (next_check(person, now), may_dial(person, now)):
        if answer is not None and answer.look_again_at is not None:
            assert answer.look_again_at > now
            assert person.ended_at is None or answer.look_again_at < person.ended_at
        if isinstance(answer, NotYet):
            for language in Language:
                assert words(answer.reason, answer.look_again_at, person.time_zone, language)
    if not checks_on(person, today):
        assert words(none_on(person, today).reason, None, person.time_zone, Language.KOREAN)


@thorough
@given(people, st.lists(st.timedeltas(timedelta(), timedelta(days=1)), max_size=8))
def test_a_person_is_called_no_more_often_than_the_daily_cap(
    case: tuple[Enrolled, datetime], calls: list[timedelta]
) -> None:
    person, now = case
    zone = ZoneInfo(person.time_zone)
    person = replace(person, recent_calls=tuple(now - ago for ago in calls))
    today = sum(call.astimezone(zone).date() == now.astimezone(zone).date() for call in person.recent_calls)
    if may_dial(person, now) is None or isinstance(next_check(person, now), Due):
        assert today < person.campaign.schedule.daily_cap
