"""Outreach in a real database: slots, dials, ladders, tasks, inbound calls, deliveries, workers."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine
from sqlmodel import select

from carecall.domain.attempt import AttemptState
from carecall.domain.campaign import (
    DEFAULT_LADDER,
    Campaign,
    Ending,
    HumanStep,
    Ladder,
    Schedule,
    TaskKind,
    Window,
)
from carecall.domain.enrollment import Close, Due, Enrolled, HandOver, LadderStep, NotYet, PastAttempt, Reason, TryAgain
from carecall.domain.language import Language
from carecall.domain.progress import AnsweredBy, CallFailure, CallProgress, CallStatus
from carecall.domain.report import Outcome, Report
from carecall.domain.triage import Alert, Urgency
from carecall.errors import CareCallError, StoreError
from carecall.outreach.ladder import next_step
from carecall.store import Store
from carecall.store.codec import dump_ladder, dump_schedule, parse_ladder, parse_schedule
from carecall.store.outreach import Fresh, NotNow, Over, Placed, Unknown
from carecall.store.tables import Channel, ConsentSource, Row, SlotRow, SlotState, TaskRow

NOW = datetime(2026, 5, 4, 1, tzinfo=UTC)
OPEN_FOR = timedelta(hours=4)
MINUTE = timedelta(minutes=1)
CAMPAIGN = Campaign("Spring check-ups", "wellbeing", date(2026, 3, 1), None, Schedule((time(10),)), DEFAULT_LADDER)
PHONE = "+821055501010"


@dataclass(frozen=True)
class Dialog:
    id: str = "wellbeing"
    language: Language = Language.KOREAN
    version: str = "1.0"
    hash: str = "ab" * 32


def dialog_of(name: str, language: Language) -> Dialog:
    return Dialog(name, language)


def due_now(enrolled: Enrolled, now: datetime) -> Due:
    return Due(now, now + OPEN_FOR, now + timedelta(days=1))


def always(enrolled: Enrolled, now: datetime) -> None:
    return None


def refuse(reason: Reason, again: datetime | None) -> Callable[[Enrolled, datetime], NotYet]:
    return lambda enrolled, now: NotYet(reason, again)


@dataclass
class Clinic:
    """A database with a clock that the test sets."""

    url: str
    now: datetime = NOW
    channels: tuple[Channel, ...] = (Channel.WEBHOOK, Channel.EMAIL)
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        self.store = self.open()

    def open(self) -> Store:
        return Store.open(self.url, upgrade=True, clock=lambda: self.now, alert_channels=self.channels)

    def pass_(self, time: timedelta) -> None:
        self.now += time

    def person(
        self,
        name: str = "Mina Park",
        phone: str = PHONE,
        campaign: Campaign = CAMPAIGN,
        *,
        consent: bool = True,
    ) -> uuid.UUID:
        """An enrollment."""
        recipient = self.store.recipients.add(name, phone, Language.KOREAN, time_zone="Asia/Seoul")
        campaigns = {each.name: key for key, each in self.store.outreach.campaigns()}
        campaign_id = campaigns.get(campaign.name) or self.store.outreach.save_campaign(campaign)
        return self.store.recipients.enroll(
            recipient,
            campaign_id,
            consent_at=self.now if consent else None,
            consent_source=ConsentSource.WRITTEN if consent else None,
        )

    def planned(self, name: str = "Mina Park", phone: str = PHONE, campaign: Campaign = CAMPAIGN) -> uuid.UUID:
        """An attempt of a slot that is due now."""
        self.person(name, phone, campaign)
        self.store.outreach.plan_due(due_now)
        (attempt,) = self.store.outreach.start_attempts(dialog_of)
        return attempt

    def dialing(self, *args: Any, call_sid: str = "CA1") -> uuid.UUID:
        attempt = self.planned(*args)
        assert isinstance(self.begin(attempt), Fresh)
        self.store.outreach.placed(attempt, call_sid)
        return attempt

    def begin(self, attempt: uuid.UUID, may_dial: Any = always, spacing_s: float = 1.0) -> object:
        return self.store.outreach.begin_dial(attempt, may_dial, spacing_s=spacing_s)

    def tell(self, attempt: uuid.UUID, status: CallStatus, sequence: int, call_sid: str = "CA1") -> AttemptState:
        return self.store.outreach.fold(CallProgress(attempt, call_sid, status, sequence))

    def slots(self) -> list[SlotRow]:
        with self.store._database.reading() as session:
            return list(session.exec(select(SlotRow)))

    def slot(self) -> SlotRow:
        (slot,) = self.slots()
        return slot

    def all_tasks(self) -> list[TaskRow]:
        with self.store._database.reading() as session:
            return list(session.exec(select(TaskRow)))

    def recipient_of(self, enrollment: uuid.UUID) -> uuid.UUID:
        return self.store.outreach.enrolled_one(enrollment).recipient_id


@pytest.fixture
def clinic(url: str) -> Iterator[Clinic]:
    opened = Clinic(url)
    yield opened
    opened.store.close()


def report(outcome: Outcome = Outcome.COMPLETED, *alerts: Alert) -> Report:
    return Report("wellbeing", "ko", "1.0", "ab" * 32, outcome, (), alerts)


def test_the_migrations_make_what_the_models_say(clinic: Clinic) -> None:
    engine = create_engine(clinic.url)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Row.metadata)
    engine.dispose()
    assert differences == []


class TestCampaigns:
    def test_a_campaign_comes_back_as_it_was_saved(self, clinic: Clinic) -> None:
        saved = replace(
            CAMPAIGN,
            ends_on=date(2026, 9, 1),
            schedule=Schedule(
                (time(9, 30), time(18)), frozenset({0, 3}), Window(time(9), time(21)), "KR", timedelta(hours=2), 2
            ),
            ladder=Ladder(2, {Ending.BUSY: 5 * MINUTE}, (HumanStep(TaskKind.VISIT, timedelta(hours=3)),)),
            paused=True,
        )
        campaign_id = clinic.store.outreach.save_campaign(saved)
        assert clinic.store.outreach.campaigns() == [(campaign_id, saved)]

    def test_a_campaign_is_known_by_its_name(self, clinic: Clinic) -> None:
        first = clinic.store.outreach.save_campaign(CAMPAIGN)
        changed = replace(CAMPAIGN, dialog="active-monitoring")
        assert clinic.store.outreach.save_campaign(changed) == first
        assert clinic.store.outreach.campaigns() == [(first, changed)]

    def test_calls_outside_of_any_schedule_are_no_campaign(self, clinic: Clinic) -> None:
        clinic.store.attempts.ad_hoc(Dialog(), "Mina Park", Language.KOREAN)
        assert clinic.store.outreach.campaigns() == []
        with pytest.raises(StoreError, match="choose another"):
            clinic.store.outreach.save_campaign(replace(CAMPAIGN, name="Ad hoc: wellbeing"))

    def test_an_empty_plan_is_the_default_one(self) -> None:
        assert parse_schedule({}) == Schedule(times=(time(10),))
        assert parse_ladder({}) == DEFAULT_LADDER
        assert parse_schedule(dump_schedule(CAMPAIGN.schedule)) == CAMPAIGN.schedule
        assert parse_ladder(dump_ladder(DEFAULT_LADDER)) == DEFAULT_LADDER

    @pytest.mark.parametrize(
        "wrong", [{"times": ["25:00"]}, {"weekdays": [1]}, {"times": ["10:00"], "window": {"opens": "nine"}}]
    )
    def test_a_wrong_plan_is_one_clear_line(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(StoreError, match=r"schedule is wrong in the database \(\w+.*save the campaign again"):
            parse_schedule(wrong)


class TestPlanning:
    def test_planning_is_asked_about_whoever_is_due_and_about_nobody_twice(self, clinic: Clinic) -> None:
        enrollments = {clinic.person(f"Person {n}", f"+8210555010{n}") for n in range(10)}
        asked: list[uuid.UUID] = []

        def decide(enrolled: Enrolled, now: datetime) -> Due:
            asked.append(enrolled.enrollment_id)
            return due_now(enrolled, now)

        outreach = clinic.store.outreach
        assert [outreach.plan_due(decide, limit=4) for _ in range(4)] == [4, 4, 2, 0]
        assert sorted(asked) == sorted(enrollments)
        assert [(slot.due_at, slot.until, slot.state) for slot in clinic.slots()] == [
            (NOW, NOW + OPEN_FOR, SlotState.OPEN)
        ] * 10

    def test_planning_sees_what_it_goes_by(self, clinic: Clinic) -> None:
        attempt = clinic.dialing()
        enrollment = clinic.store.attempts.get(attempt).enrollment_id
        clinic.store.recipients.set_hours(clinic.recipient_of(enrollment), Window(time(11), time(15)))
        assert clinic.store.outreach.enrolled_one(enrollment) == Enrolled(
            enrollment,
            clinic.recipient_of(enrollment),
            CAMPAIGN,
            Language.KOREAN,
            "Asia/Seoul",
            Window(time(11), time(15)),
            consented=True,
            opted_out=False,
            paused=False,
            started_at=NOW,
            ended_at=None,
            last_day=None,
            last_slot=NOW,
            recent_calls=(NOW,),
        )
        clinic.pass_(timedelta(hours=49))
        assert clinic.store.outreach.enrolled_one(enrollment).recent_calls == ()

    def test_a_call_that_was_never_made_is_no_recent_call(self, clinic: Clinic) -> None:
        attempt = clinic.planned()
        clinic.begin(attempt)
        clinic.store.outreach.not_placed(attempt, CallFailure.LIMIT)
        enrollment = clinic.store.attempts.get(attempt).enrollment_id
        assert clinic.store.outreach.enrolled_one(enrollment).recent_calls == ()

    def test_the_enrolled_are_read_in_pages(self, clinic: Clinic) -> None:
        enrollments = sorted(clinic.person(f"Person {n}", "") for n in range(5))
        (campaign_id, _), *_ = clinic.store.outreach.campaigns()
        pages, after = [], None
        while page := clinic.store.outreach.enrolled(campaign_id=campaign_id, after=after, limit=2):
            pages.append([each.enrollment_id for each in page])
            after = page[-1].enrollment_id
        assert pages == [enrollments[:2], enrollments[2:4], enrollments[4:]]
        assert clinic.store.outreach.enrolled(campaign_id=uuid.uuid4()) == []

    def test_a_person_who_is_not_called_is_looked_at_when_planning_says(self, clinic: Clinic) -> None:
        enrollment = clinic.person()
        plan_due = clinic.store.outreach.plan_due
        assert plan_due(refuse(Reason.HOLIDAY, NOW + timedelta(hours=9))) == 1
        clinic.pass_(timedelta(hours=8))
        assert plan_due(due_now) == 0
        clinic.pass_(timedelta(hours=1))
        assert plan_due(refuse(Reason.PAUSED, None)) == 1
        clinic.pass_(timedelta(days=300))
        assert plan_due(due_now) == 0
        clinic.store.outreach.set_paused(enrollment, True)
        assert plan_due(refuse(Reason.PAUSED, None)) == 1
        clinic.store.outreach.set_paused(enrollment, False)
        assert plan_due(due_now) == 1

    @pytest.mark.parametrize("change", ["campaign", "hours", "consent"])
    def test_a_change_brings_planning_to_look_again(self, clinic: Clinic, change: str) -> None:
        enrollment = clinic.person(consent=change != "consent")
        outreach, recipients = clinic.store.outreach, clinic.store.recipients
        assert outreach.plan_due(refuse(Reason.NOT_DUE, None)) == 1
        if change == "campaign":
            outreach.save_campaign(replace(CAMPAIGN, schedule=Schedule((time(12),))))
        elif change == "hours":
            recipients.set_hours(clinic.recipient_of(enrollment), None)
        else:
            recipients.give_consent(enrollment, NOW, ConsentSource.SPOKEN)
        assert outreach.plan_due(refuse(Reason.NOT_DUE, None)) == 1

    def test_a_slot_is_opened_once_though_planning_finds_it_due_again(self, clinic: Clinic) -> None:
        clinic.person()

        def again(enrolled: Enrolled, now: datetime) -> Due:
            return Due(NOW, NOW + OPEN_FOR, now)

        assert [clinic.store.outreach.plan_due(again) for _ in range(2)] == [1, 1]
        assert len(clinic.slots()) == 1

    def test_two_workers_plan_every_person_once(self, clinic: Clinic) -> None:
        for n in range(40):
            clinic.person(f"Person {n}", f"+82105550{n:04}")
        with clinic.open() as other, ThreadPoolExecutor(2) as pool:

            def work(store: Store) -> list[uuid.UUID]:
                started: list[uuid.UUID] = []
                while store.outreach.plan_due(due_now, limit=5) or len(started) < 5:
                    started += store.outreach.start_attempts(dialog_of, limit=3)
                return started

            started = [attempt for each in pool.map(work, (clinic.store, other)) for attempt in each]
            started += clinic.store.outreach.start_attempts(dialog_of)
        assert len(started) == len(set(started)) == 40
        assert len(clinic.slots()) == 40
        assert len(clinic.store.outreach.planned()) == 40

    def test_a_dialog_that_cannot_be_read_keeps_nobody_else_waiting(self, clinic: Clinic) -> None:
        broken = replace(CAMPAIGN, name="Broken", dialog="nowhere")
        clinic.person("Mina Park", PHONE, broken)
        clinic.person("Jun Seo", "+821055502020")

        def only_wellbeing(name: str, language: Language) -> Dialog:
            if name != "wellbeing":
                raise CareCallError(f"There is no dialog {name}.")
            return Dialog(name, language)

        clinic.store.outreach.plan_due(due_now)
        assert len(clinic.store.outreach.start_attempts(only_wellbeing)) == 1
        assert {(slot.next_attempt_at, slot.reason) for slot in clinic.slots()} == {
            (None, ""),
            (NOW + 5 * MINUTE, "no_dialog"),
        }
        clinic.pass_(OPEN_FOR)
        clinic.store.outreach.start_attempts(only_wellbeing)
        assert [task.reason for task in clinic.store.outreach.tasks()] == ["too_late"]

    def test_only_what_may_be_dialed_is_waiting(self, clinic: Clinic) -> None:
        clinic.store.attempts.ad_hoc(Dialog(), "A chat", Language.KOREAN)
        of_a_slot = clinic.planned()
        clinic.pass_(MINUTE)
        to_a_number = clinic.store.attempts.ad_hoc(Dialog(), "Jun Seo", Language.KOREAN, "+821055502020")
        assert clinic.store.outreach.planned() == [of_a_slot, to_a_number]


class TestWhatIsNoLongerWanted:
    @pytest.mark.parametrize("reason", [Reason.PAUSED, Reason.OPTED_OUT, Reason.ENDED, Reason.CAMPAIGN_PAUSED])
    def test_a_waiting_slot_is_dropped_at_once(self, clinic: Clinic, reason: Reason) -> None:
        enrollment = clinic.person()
        clinic.store.outreach.plan_due(due_now)
        self.stop(clinic, enrollment, reason)
        slot = clinic.slot()
        assert (slot.state, slot.reason, slot.closed_at) == (SlotState.DROPPED, reason.value, NOW)
        assert clinic.store.outreach.start_attempts(dialog_of) == []

    @pytest.mark.parametrize("reason", [Reason.PAUSED, Reason.OPTED_OUT, Reason.ENDED, Reason.CAMPAIGN_PAUSED])
    def test_an_attempt_that_is_planned_already_is_not_dialed(self, clinic: Clinic, reason: Reason) -> None:
        attempt = clinic.planned()
        self.stop(clinic, clinic.store.attempts.get(attempt).enrollment_id, reason)
        assert clinic.begin(attempt, refuse(reason, None)) == NotNow(reason)
        assert (clinic.slot().state, clinic.slot().reason) == (SlotState.DROPPED, reason.value)
        assert clinic.store.outreach.tasks() == []
        with pytest.raises(StoreError):
            clinic.store.attempts.get(attempt)

    def test_an_opt_out_in_the_talk_closes_the_slot(self, clinic: Clinic) -> None:
        attempt = clinic.dialing()
        clinic.store.attempts.advance(attempt, AttemptState.IN_PROGRESS)
        clinic.store.calls.finish(attempt, report(Outcome.OPTED_OUT))
        assert clinic.store.outreach.conclude(attempt, next_step) == Close(False, Ending.OPTED_OUT)
        assert clinic.slot().state is SlotState.DROPPED

    def test_whoever_opts_out_while_we_dial_is_not_tried_again(self, clinic: Clinic) -> None:
        attempt = clinic.dialing()
        clinic.store.recipients.opt_out(clinic.store.attempts.get(attempt).recipient_id)
        clinic.tell(attempt, CallStatus.NO_ANSWER, 2)
        assert clinic.store.outreach.conclude(attempt, next_step) == Close(False, Ending.OPTED_OUT)

    @staticmethod
    def stop(clinic: Clinic, enrollment: uuid.UUID, reason: Reason) -> None:
        match reason:
            case Reason.PAUSED:
                clinic.store.outreach.set_paused(enrollment, True)
            case Reason.OPTED_OUT:
                clinic.store.recipients.opt_out(clinic.recipient_of(enrollment))
            case Reason.ENDED:
                clinic.store.recipients.end_enrollment(enrollment)
            case _:
                clinic.store.outreach.save_campaign(replace(CAMPAIGN, paused=True))


class TestPlacing:
    def test_the_line_is_reserved_call_after_call(self, clinic: Clinic) -> None:
        attempts = [clinic.planned(f"Person {n}", f"+8210555010{n}") for n in range(3)]
        assert [clinic.begin(attempt, spacing_s=0.5) for attempt in attempts] == [
            Fresh(f"+8210555010{n}", NOW + n * timedelta(seconds=0.5)) for n in range(3)
        ]

    def test_a_dial_is_asked_for_at_the_moment_that_is_reserved_for_it(self, clinic: Clinic) -> None:
        first, second = (clinic.planned(f"Person {n}", f"+8210555010{n}") for n in range(2))
        clinic.begin(first, spacing_s=60)
        asked: list[datetime] = []
        clinic.begin(second, lambda enrolled, at: asked.append(at))
        assert asked == [NOW + MINUTE]

    def test_begun_again_it_is_unknown_until_the_call_has_an_id(self, clinic: Clinic) -> None:
        attempt = clinic.planned()
        assert clinic.begin(attempt) == Fresh(PHONE, NOW)
        clinic.pass_(MINUTE)
        assert clinic.begin(attempt, refuse(Reason.OPTED_OUT, None)) == Unknown(PHONE, NOW)
        clinic.store.outreach.placed(attempt, "CA1")
        assert clinic.begin(attempt) == Placed("CA1")
        clinic.tell(attempt, CallStatus.BUSY, 1)
        assert clinic.begin(attempt) == Over()

    def test_a_callback_that_is_faster_than_the_answer_tells_the_id(self, clinic: Clinic) -> None:
        attempt = clinic.planned()
        clinic.begin(attempt)
        clinic.tell(attempt, CallStatus.RINGING, 1, "CA7")
        clinic.store.outreach.placed(attempt, "CA7")
        clinic.store.outreach.not_placed(attempt, CallFailure.NOT_PLACED)
        assert clinic.begin(attempt) == Placed("CA7")
        assert clinic.store.outreach.unclaimed(["CA8", "CA7"]) == ["CA8"]

    def test_an_attempt_that_is_gone_is_over(self, clinic: Clinic) -> None:
        assert clinic.begin(uuid.uuid4()) == Over()

    def test_whoever_may_not_be_called_now_waits(self, clinic: Clinic) -> None:
        attempt = clinic.planned()
        assert clinic.begin(attempt, refuse(Reason.OUTSIDE_HOURS, NOW + MINUTE)) == NotNow(Reason.OUTSIDE_HOURS)
        assert (clinic.slot().next_attempt_at, clinic.slot().reason) == (NOW + MINUTE, "outside_hours")
        assert clinic.begin(attempt) == Over()
        clinic.pass_(MINUTE)
        (again,) = clinic.store.outreach.start_attempts(dialog_of)
        assert clinic.store.attempts.get(again).number == 1
        assert isinstance(clinic.begin(again), Fresh)

    @pytest.mark.parametrize(
        ("reason", "again"), [(Reason.DAILY_CAP, NOW + timedelta(days=1)), (Reason.OUTSIDE_HOURS, None)]
    )
    def test_a_check_that_cannot_be_made_in_time_is_handed_over(
        self, clinic: Clinic, reason: Reason, again: datetime | None
    ) -> None:
        assert clinic.begin(clinic.planned(), refuse(reason, again)) == NotNow(reason)
        assert clinic.slot().state is SlotState.HANDED_OVER
        assert [(task.kind, task.reason) for task in clinic.store.outreach.tasks()] == [(TaskKind.CALL, reason.value)]

    def test_nothing_is_dialed_after_the_checks_time(self, clinic: Clinic) -> None:
        attempt = clinic.planned()
        clinic.pass_(OPEN_FOR)
        assert clinic.begin(attempt) == NotNow(Reason.TOO_LATE)
        assert [task.reason for task in clinic.store.outreach.tasks()] == ["too_late"]

    def test_without_a_number_somebody_is_asked_for_it(self, clinic: Clinic) -> None:
        assert clinic.begin(clinic.planned("Mina Park", "")) == NotNow(Reason.NO_NUMBER)
        assert {task.kind for task in clinic.store.outreach.tasks()} == {TaskKind.CALL, TaskKind.CHECK_NUMBER}

    def test_a_number_is_in_one_call_at_a_time(self, clinic: Clinic) -> None:
        first = clinic.dialing("Mina Park", "+82 10-5550-1010")
        second = clinic.planned("Jun Park", "+821055501010")
        assert clinic.begin(second) == NotNow(Reason.IN_A_CALL)
        clinic.tell(first, CallStatus.NO_ANSWER, 2)
        clinic.pass_(2 * MINUTE)
        (again,) = clinic.store.outreach.start_attempts(dialog_of)
        assert isinstance(clinic.begin(again), Fresh)

    def test_a_person_is_in_one_call_at_a_time_over_all_campaigns(self, clinic: Clinic) -> None:
        first = clinic.dialing()
        recipient = clinic.store.attempts.get(first).recipient_id
        other = clinic.store.outreach.save_campaign(replace(CAMPAIGN, name="Another"))
        clinic.store.recipients.enroll(recipient, other, consent_at=NOW, consent_source=ConsentSource.WRITTEN)
        clinic.store.outreach.plan_due(due_now)
        (second,) = clinic.store.outreach.start_attempts(dialog_of)
        assert clinic.begin(second) == NotNow(Reason.IN_A_CALL)

    def test_a_call_that_we_have_ended_is_waited_for_until_its_line_is_free(self, clinic: Clinic) -> None:
        first = clinic.dialing()
        clinic.store.outreach.fold(CallProgress(first, "CA1", None, None, AnsweredBy.MACHINE_END_BEEP))
        second = clinic.planned("Jun Park", PHONE)
        assert clinic.begin(second) == NotNow(Reason.IN_A_CALL)
        clinic.tell(first, CallStatus.COMPLETED, 3)
        clinic.pass_(2 * MINUTE)
        (again,) = clinic.store.outreach.start_attempts(dialog_of)
        assert isinstance(clinic.begin(again), Fresh)

    def test_two_workers_never_dial_one_attempt_or_one_number_twice(self, clinic: Clinic) -> None:
        for n in range(20):
            clinic.person(f"Person {n}", f"+82105550{n // 2:04}")  # two people a number
        clinic.store.outreach.plan_due(due_now)
        attempts = clinic.store.outreach.start_attempts(dialog_of)
        with clinic.open() as other, ThreadPoolExecutor(4) as pool:
            jobs = [(store, attempt) for attempt in attempts for store in (clinic.store, other)]
            starts = list(pool.map(lambda job: job[0].outreach.begin_dial(job[1], always, spacing_s=1.0), jobs))
        fresh = [start for start in starts if isinstance(start, Fresh)]
        assert len({start.to for start in fresh}) == len(fresh) == 10
        assert sorted(start.at for start in fresh) == [NOW + timedelta(seconds=n) for n in range(10)]


class TestFollowing:
    def test_a_dial_is_followed(self, clinic: Clinic) -> None:
        attempt = clinic.dialing()
        clinic.tell(attempt, CallStatus.IN_PROGRESS, 2)
        clinic.store.attempts.advance(attempt, AttemptState.IN_PROGRESS, at=NOW)
        clinic.tell(attempt, CallStatus.COMPLETED, 3)
        followed = clinic.store.outreach.followed(attempt)
        assert (followed.state, followed.line_ended_at, followed.held) == (AttemptState.IN_PROGRESS, NOW, True)
        clinic.store.calls.finish(attempt, report())
        assert clinic.store.outreach.followed(attempt).state is AttemptState.COMPLETED

    def test_a_talk_whose_process_died_is_not_held(self, clinic: Clinic) -> None:
        attempt = clinic.dialing()
        with clinic.open() as other:
            other.attempts.advance(attempt, AttemptState.IN_PROGRESS)
            assert clinic.store.outreach.followed(attempt).held
        assert not clinic.store.outreach.followed(attempt).held
        assert clinic.store.outreach.close_broken(attempt)
        assert not clinic.store.outreach.close_broken(attempt)
        written = clinic.store.calls.load_report(attempt)
        assert written is not None
        assert written.outcome is Outcome.INTERRUPTED

    def test_a_dial_that_is_no_talk_yet_is_left_to_the_workers_when_its_process_dies(self, clinic: Clinic) -> None:
        attempt = clinic.planned()
        with clinic.open() as other:
            other.outreach.begin_dial(attempt, always, spacing_s=1)
        assert clinic.store.attempts.close_interrupted() == 0
        assert clinic.store.outreach.followed(attempt).state is AttemptState.DIALING

    def test_a_report_that_comes_after_a_machine_was_heard_changes_no_state(self, clinic: Clinic) -> None:
        attempt = clinic.dialing()
        clinic.store.attempts.advance(attempt, AttemptState.IN_PROGRESS)
        clinic.store.outreach.fold(CallProgress(attempt, "CA1", None, None, AnsweredBy.MACHINE_START))
        clinic.store.calls.finish(attempt, report(Outcome.HUNG_UP))
        assert clinic.store.attempts.get(attempt).state is AttemptState.MACHINE
        assert clinic.store.calls.load_report(attempt) == report(Outcome.HUNG_UP)

    def test_a_dropped_stream_is_taken_up_twice(self, clinic: Clinic) -> None:
        attempt = clinic.dialing()
        clinic.store.attempts.advance(attempt, AttemptState.IN_PROGRESS)
        assert [clinic.store.outreach.resume(attempt) for _ in range(3)] == [True, True, False]

    def test_what_is_over_is_not_taken_up(self, clinic: Clinic) -> None:
        attempt = clinic.dialing()
        clinic.tell(attempt, CallStatus.COMPLETED, 3)
        assert not clinic.store.outreach.resume(attempt)


class TestConcluding:
    def ended(self, clinic: Clinic, *args: Any) -> uuid.UUID:
        attempt = clinic.dialing(*args)
        clinic.tell(attempt, CallStatus.NO_ANSWER, 2)
        return attempt

    def test_the_slot_waits_for_the_next_attempt(self, clinic: Clinic) -> None:
        attempt = self.ended(clinic)
        assert clinic.store.outreach.conclude(attempt, next_step) == TryAgain(NOW + 30 * MINUTE)
        assert (clinic.slot().next_attempt_at, clinic.slot().reason) == (NOW + 30 * MINUTE, "no_answer")
        assert clinic.store.outreach.start_attempts(dialog_of) == []
        clinic.pass_(30 * MINUTE)
        (second,) = clinic.store.outreach.start_attempts(dialog_of)
        assert clinic.store.attempts.get(second).number == 2

    def test_an_attempt_is_concluded_once(self, clinic: Clinic) -> None:
        attempt = self.ended(clinic)
        assert clinic.store.outreach.conclude(attempt, next_step) is not None
        assert clinic.store.outreach.conclude(attempt, next_step) is None
        clinic.pass_(30 * MINUTE)
        clinic.store.outreach.start_attempts(dialog_of)
        assert clinic.store.outreach.conclude(attempt, next_step) is None
        assert clinic.slot().next_attempt_at is None

    def test_the_ladder_is_given_every_ending_so_far(self, clinic: Clinic) -> None:
        seen: list[Sequence[PastAttempt]] = []

        def step(ladder: Ladder, attempts: Sequence[PastAttempt], now: datetime) -> LadderStep:
            assert ladder == DEFAULT_LADDER
            seen.append(attempts)
            return TryAgain(now)

        clinic.store.outreach.conclude(self.ended(clinic), step)
        (second,) = clinic.store.outreach.start_attempts(dialog_of)
        clinic.begin(second)
        clinic.store.outreach.not_placed(second, CallFailure.ACCOUNT)
        clinic.store.outreach.conclude(second, step)
        assert seen[-1] == [PastAttempt(1, Ending.NO_ANSWER, NOW), PastAttempt(2, Ending.NOT_PLACED, NOW)]

    def test_a_try_that_would_come_too_late_is_a_humans(self, clinic: Clinic) -> None:
        attempt = self.ended(clinic)
        until = clinic.slot().until
        assert clinic.store.outreach.conclude(attempt, lambda *_: TryAgain(until)) == HandOver(Ending.NO_ANSWER)
        (task,) = clinic.store.outreach.tasks()
        assert (task.kind, task.step, task.reason, task.due_at) == (
            TaskKind.CALL,
            0,
            "no_answer",
            NOW + timedelta(hours=4),
        )
        assert (task.attempt_id, task.recipient_id) == (attempt, clinic.store.attempts.get(attempt).recipient_id)
        assert clinic.slot().state is SlotState.HANDED_OVER

    def test_a_talk_that_took_place_closes_the_slot(self, clinic: Clinic) -> None:
        attempt = clinic.dialing()
        clinic.store.attempts.advance(attempt, AttemptState.IN_PROGRESS)
        assert clinic.store.outreach.conclude(attempt, next_step) is None
        clinic.store.calls.finish(attempt, report(Outcome.SAID_GOODBYE))
        assert clinic.store.outreach.conclude(attempt, next_step) == Close(True, Ending.REACHED)
        assert clinic.slot().state is SlotState.REACHED

    def test_a_wrong_number_is_also_to_be_checked(self, clinic: Clinic) -> None:
        attempt = clinic.dialing()
        clinic.store.outreach.fold(CallProgress(attempt, "CA1", CallStatus.FAILED, 1, failure=CallFailure.BAD_NUMBER))
        clinic.store.outreach.conclude(attempt, next_step)
        assert {task.kind for task in clinic.store.outreach.tasks()} == {TaskKind.CALL, TaskKind.CHECK_NUMBER}

    def test_a_ladder_without_humans_still_ends_with_one(self, clinic: Clinic) -> None:
        alone = replace(CAMPAIGN, ladder=replace(DEFAULT_LADDER, attempts=1, then=()))
        clinic.store.outreach.conclude(self.ended(clinic, "Mina Park", PHONE, alone), next_step)
        assert [task.kind for task in clinic.store.outreach.tasks()] == [TaskKind.REVIEW]

    def test_a_call_outside_of_any_slot_has_nothing_to_conclude(self, clinic: Clinic) -> None:
        attempt = clinic.store.attempts.ad_hoc(Dialog(), "Mina Park", Language.KOREAN, PHONE)
        clinic.begin(attempt)
        clinic.store.outreach.not_placed(attempt, CallFailure.CARRIER)
        assert clinic.store.outreach.conclude(attempt, next_step) is None


class TestTasks:
    def test_a_task_not_done_in_time_is_followed_by_the_next_step(self, clinic: Clinic) -> None:
        attempt = clinic.dialing()
        clinic.tell(attempt, CallStatus.BUSY, 2)
        clinic.store.outreach.conclude(attempt, lambda *_: HandOver(Ending.BUSY))
        assert clinic.store.outreach.escalate_tasks() == 0
        clinic.pass_(timedelta(hours=4))
        assert clinic.store.outreach.escalate_tasks() == 1
        (visit,) = clinic.store.outreach.tasks()
        assert (visit.kind, visit.step, visit.reason, visit.due_at) == (
            TaskKind.VISIT,
            1,
            "busy",
            clinic.now + timedelta(hours=24),
        )
        clinic.pass_(timedelta(days=30))
        assert clinic.store.outreach.escalate_tasks() == 0
        clinic.store.outreach.close_task(visit.id, actor="a care worker")
        clinic.store.outreach.close_task(visit.id, actor="another")
        assert clinic.store.outreach.tasks() == []
        assert [entry.actor for entry in clinic.store.audit.of(f"task:{visit.id}")] == ["a care worker"]

    def test_what_is_done_in_time_is_done(self, clinic: Clinic) -> None:
        clinic.begin(clinic.planned(), refuse(Reason.OUTSIDE_HOURS, None))
        (task,) = clinic.store.outreach.tasks()
        clinic.store.outreach.close_task(task.id, actor="a care worker")
        clinic.pass_(timedelta(days=2))
        assert clinic.store.outreach.escalate_tasks() == 0

    def test_an_unknown_task_is_one_clear_line(self, clinic: Clinic) -> None:
        with pytest.raises(StoreError, match="no task"):
            clinic.store.outreach.close_task(uuid.uuid4(), actor="a care worker")


class TestInbound:
    def ring(self, clinic: Clinic, call_sid: str = "CA9", phone: str = PHONE) -> uuid.UUID | None:
        return clinic.store.outreach.inbound(phone, call_sid, dialog_of)

    def talk(self, clinic: Clinic, attempt: uuid.UUID | None, outcome: Outcome = Outcome.COMPLETED) -> None:
        assert attempt is not None
        clinic.store.attempts.advance(attempt, AttemptState.IN_PROGRESS)
        clinic.store.calls.finish(attempt, report(outcome))

    def test_a_person_who_calls_back_gets_the_check_that_was_missed(self, clinic: Clinic) -> None:
        missed = clinic.dialing()
        clinic.tell(missed, CallStatus.NO_ANSWER, 2)
        clinic.store.outreach.conclude(missed, next_step)
        attempt = self.ring(clinic)
        assert self.ring(clinic) == attempt
        self.talk(clinic, attempt)
        assert clinic.slot().state is SlotState.REACHED
        clinic.pass_(30 * MINUTE)
        assert clinic.store.outreach.start_attempts(dialog_of) == []

    def test_a_check_handed_over_today_is_made_up_for_and_its_tasks_are_done(self, clinic: Clinic) -> None:
        clinic.begin(clinic.planned(), refuse(Reason.OUTSIDE_HOURS, None))
        clinic.pass_(timedelta(hours=23))
        self.talk(clinic, self.ring(clinic))
        assert clinic.slot().state is SlotState.REACHED
        assert clinic.store.outreach.tasks() == []

    def test_a_check_handed_over_yesterday_stays_with_the_human(self, clinic: Clinic) -> None:
        clinic.begin(clinic.planned(), refuse(Reason.OUTSIDE_HOURS, None))
        clinic.pass_(timedelta(hours=25))
        attempt = self.ring(clinic)
        assert attempt is not None
        assert clinic.store.attempts.get(attempt).slot_due is None
        self.talk(clinic, attempt)
        assert clinic.slot().state is SlotState.HANDED_OVER

    @pytest.mark.parametrize("outcome", [Outcome.HUNG_UP, Outcome.SILENT, Outcome.WRONG_PERSON, Outcome.CALL_LATER])
    def test_a_talk_that_did_not_take_place_leaves_the_slot_as_it_was(self, clinic: Clinic, outcome: Outcome) -> None:
        clinic.person()
        clinic.store.outreach.plan_due(due_now)
        before = clinic.slot().next_attempt_at
        self.talk(clinic, self.ring(clinic), outcome)
        assert (clinic.slot().state, clinic.slot().next_attempt_at) == (SlotState.OPEN, before)

    def test_while_a_person_talks_to_us_we_do_not_ring_them(self, clinic: Clinic) -> None:
        planned = clinic.planned()
        attempt = self.ring(clinic)
        assert clinic.begin(planned) == NotNow(Reason.IN_A_CALL)
        self.talk(clinic, attempt)
        assert clinic.slot().state is SlotState.REACHED

    def test_a_planned_attempt_is_not_dialed_once_its_slot_is_reached(self, clinic: Clinic) -> None:
        planned = clinic.planned()
        self.talk(clinic, self.ring(clinic))
        clinic.tell(self.known(clinic), CallStatus.COMPLETED, 3, "CA9")
        assert clinic.begin(planned) == Over()
        assert clinic.store.outreach.planned() == []

    def known(self, clinic: Clinic) -> uuid.UUID:
        attempt = self.ring(clinic)
        assert attempt is not None
        return attempt

    def test_who_is_unknown_without_consent_or_opted_out_is_not_talked_to(self, clinic: Clinic) -> None:
        assert self.ring(clinic) is None
        assert self.ring(clinic, phone="") is None
        enrollment = clinic.person(consent=False)
        assert self.ring(clinic) is None
        clinic.store.recipients.give_consent(enrollment, NOW, ConsentSource.SPOKEN)
        clinic.store.recipients.opt_out(clinic.recipient_of(enrollment))
        assert self.ring(clinic) is None

    def test_whoever_is_in_a_call_with_us_gets_no_second_one(self, clinic: Clinic) -> None:
        clinic.dialing()
        assert self.ring(clinic) is None

    def test_of_two_people_with_one_number_the_one_who_missed_a_check_is_meant(self, clinic: Clinic) -> None:
        clinic.person("Jun Park", PHONE, replace(CAMPAIGN, name="Another"))
        clinic.store.outreach.plan_due(refuse(Reason.NOT_DUE, None))
        missed = clinic.dialing()
        clinic.tell(missed, CallStatus.NO_ANSWER, 2)
        attempt = self.ring(clinic)
        assert attempt is not None
        assert clinic.store.attempts.get(attempt).recipient_id == clinic.store.attempts.get(missed).recipient_id

    def test_a_call_that_came_in_and_never_became_a_talk_ends_by_itself(self, clinic: Clinic) -> None:
        clinic.person()
        first = self.ring(clinic)
        clinic.pass_(3 * MINUTE)
        clinic.store.outreach.start_attempts(dialog_of)
        assert first is not None
        assert clinic.store.attempts.get(first).state is AttemptState.COMPLETED
        assert self.ring(clinic, "CA10") not in (None, first)


EMERGENCY = Alert("chest_pain", Urgency.EMERGENCY, "Chest pain now.", ())
URGENT = Alert("fever", Urgency.URGENT, "Fever above 38.5 °C.", ())
ATTENTION = Alert("sleep", Urgency.ATTENTION, "Slept badly.", ())


class TestDeliveries:
    def test_an_alert_goes_out_over_every_channel_in_the_transaction_that_raises_it(self, clinic: Clinic) -> None:
        attempt = clinic.dialing()
        clinic.store.calls.raise_alert(attempt, EMERGENCY)
        clinic.store.calls.raise_alert(attempt, EMERGENCY)
        due = clinic.store.outreach.due_deliveries()
        assert {(each.channel, each.code, each.attempt_id, each.tries) for each in due} == {
            (channel, "chest_pain", attempt, 0) for channel in Channel
        }
        assert {each.recipient_id for each in due} == {clinic.store.attempts.get(attempt).recipient_id}

    def test_the_report_sends_what_cannot_wait_once(self, clinic: Clinic) -> None:
        attempt = clinic.dialing()
        clinic.store.attempts.advance(attempt, AttemptState.IN_PROGRESS)
        clinic.store.calls.raise_alert(attempt, EMERGENCY)
        clinic.store.calls.raise_alert(attempt, replace(URGENT, urgency=Urgency.ATTENTION))
        clinic.store.calls.finish(attempt, report(Outcome.EMERGENCY, URGENT, ATTENTION, EMERGENCY))
        due = clinic.store.outreach.due_deliveries()
        assert [each.code for each in due] == ["chest_pain", "chest_pain", "fever", "fever"]

    def test_without_channels_an_alert_stays_on_the_dashboard(self, url: str) -> None:
        clinic = Clinic(url, channels=())
        clinic.store.calls.raise_alert(clinic.dialing(), EMERGENCY)
        assert clinic.store.outreach.due_deliveries() == []
        clinic.store.close()

    def test_a_delivery_is_tried_until_it_arrives(self, clinic: Clinic) -> None:
        clinic.store.calls.raise_alert(clinic.dialing(), EMERGENCY)
        outreach = clinic.store.outreach
        first, second = outreach.due_deliveries()
        outreach.not_delivered(first.id, "x" * 500, NOW + MINUTE)
        outreach.delivered(second.id)
        outreach.not_delivered(second.id, "too late", NOW)
        assert outreach.due_deliveries() == []
        clinic.pass_(MINUTE)
        assert outreach.due_deliveries() == [replace(first, tries=1)]
        outreach.delivered(first.id)
        outreach.delivered(first.id)
        assert outreach.due_deliveries() == []
        with pytest.raises(StoreError, match="no delivery"):
            outreach.delivered(uuid.uuid4())


class TestWorkersAndWebhooks:
    def test_a_worker_that_is_silent_is_noticed(self, clinic: Clinic) -> None:
        outreach = clinic.store.outreach
        outreach.sign_of_life("a")
        clinic.pass_(timedelta(seconds=15))
        outreach.sign_of_life("b")
        clinic.pass_(timedelta(seconds=10))
        assert outreach.silent_workers(20) == ["a"]
        outreach.sign_of_life("a")
        assert outreach.silent_workers(20) == []
        outreach.forget_worker("b")
        clinic.pass_(MINUTE)
        assert outreach.silent_workers(20) == ["a"]

    def test_a_webhook_is_acted_upon_once(self, clinic: Clinic) -> None:
        outreach = clinic.store.outreach
        assert not outreach.received("ab")
        assert [outreach.receive_once("ab") for _ in range(2)] == [True, False]
        assert outreach.received("ab")
        clinic.pass_(timedelta(days=3))
        assert outreach.receive_once("cd")
        assert not outreach.received("ab")

    def test_of_two_that_receive_a_webhook_at_once_one_is_the_first(self, clinic: Clinic) -> None:
        with clinic.open() as other, ThreadPoolExecutor(4) as pool:
            stores = [clinic.store, other] * 10
            firsts = list(pool.map(lambda store: store.outreach.receive_once("ab"), stores))
        assert sum(firsts) == 1
