"""The work list as the care worker sees it."""

import re
from datetime import timedelta
from typing import Any

import pytest
from dashboard_office import Dialog, Office
from sqlalchemy import event
from sqlmodel import select

from carecall.dashboard.words import catalog
from carecall.domain.attempt import AttemptState
from carecall.domain.campaign import Ending, TaskKind
from carecall.domain.enrollment import Reason
from carecall.domain.language import Language
from carecall.domain.report import Outcome, Report
from carecall.domain.triage import Alert, Urgency
from carecall.domain.viewer import Role
from carecall.store.care_today import Filters, Whose
from carecall.store.days import local_day
from carecall.store.facade import upgrade_database
from carecall.store.tables import DayRow, DayState, Resolution, SlotRow, SlotState


async def _list(office: Office, query: str = "") -> str:
    answer = await office.care_worker.get(f"/{query}")
    assert answer.status_code == 200
    return answer.text


def _report(outcome: Outcome = Outcome.COMPLETED, *alerts: Alert) -> Report:
    return Report("wellbeing", "ko", "1.0", "ab" * 32, outcome, (), alerts)


def _call(office: Office, enrollment: Any, report: Report) -> Any:
    """A call outside of any schedule that ends with the report."""
    call = office.store.attempts.create(enrollment, Dialog())
    office.store.attempts.advance(call, AttemptState.IN_PROGRESS)
    office.store.calls.finish(call, report)
    return call


class TestTheThreeGroups:
    async def test_a_card_says_who_how_urgent_since_when_why_and_in_whose_words(self, office: Office) -> None:
        office.clock.pass_(timedelta(minutes=12))
        page = await _list(office)
        assert "김영자" in page
        assert "Emergency" in page
        assert "12 minutes ago" in page
        assert "Chest pain now." in page
        assert f'<a href="/calls/{office.ours.urgent_call}#turn-1">“어제부터 가슴이 아파요”</a>' in page
        assert "Nobody is assigned" in page

    async def test_who_could_not_be_reached_stands_with_the_step_the_time_and_the_last_outcome(
        self, office: Office
    ) -> None:
        page = await _list(office)
        assert "박정호" in page
        assert "Call 1 of 3" in page
        assert "nobody answered" in page
        assert "in 2 hours" in page

    async def test_a_check_that_is_tried_again_says_when(self, office: Office) -> None:
        now = office.clock.now
        with office.store._database.writing() as session:
            session.add(
                SlotRow(
                    enrollment_id=office.store.attempts.get(office.ours.unreached_call).enrollment_id,
                    due_at=now,
                    until=now + timedelta(hours=4),
                    state=SlotState.OPEN,
                    next_attempt_at=now + timedelta(minutes=30),
                    reason="no_answer",
                    opened_at=now,
                )
            )
        page = await _list(office)
        assert "Called again by itself" in page
        assert "in 30 minutes" in page

    async def test_who_is_fine_has_one_line(self, office: Office) -> None:
        page = await _list(office)
        assert "이순자" in page[page.index('id="fine"') :]
        assert "김영자" not in page[page.index('id="fine"') :]

    async def test_a_call_under_way_is_listed_with_its_transcript(self, office: Office) -> None:
        call = office.store.attempts.create(office.ours.enrollment, Dialog())
        office.store.attempts.advance(call, AttemptState.IN_PROGRESS)
        assert f'href="/calls/{call}"' in (await _list(office)).partition('id="needs"')[0]

    async def test_the_oldest_of_the_most_urgent_is_first(self, office: Office) -> None:
        for minutes, urgency in ((1, Urgency.ATTENTION), (2, Urgency.EMERGENCY), (3, Urgency.URGENT)):
            office.clock.pass_(timedelta(minutes=minutes))
            _call(office, office.ours.enrollment, _report(Outcome.COMPLETED, Alert(urgency, urgency, "Why.", ())))
        viewer = office.ours.users[Role.CARE_WORKER]
        cases = office.store.care.today(viewer).cases
        assert [case.urgency for case in cases] == [
            Urgency.EMERGENCY,
            Urgency.EMERGENCY,
            Urgency.URGENT,
            Urgency.ATTENTION,
        ]
        assert cases[0].raised_at < cases[1].raised_at

    async def test_nothing_of_another_organisation_is_shown(self, office: Office) -> None:
        page = await _list(office)
        for name in ("최옥순", "정말례", "한기수", "Neighbours"):
            assert name not in page

    async def test_a_new_emergency_is_said_aloud_and_counted_in_the_title(self, office: Office) -> None:
        page = await _list(office)
        assert re.search(r'<p id="alarm" class="alarm" role="alert"><a [^>]*>New emergency: 김영자', page)
        assert "<title>(1) Today" in page
        office.clock.pass_(timedelta(minutes=3))
        assert "New emergency" not in await _list(office)

    async def test_a_quiet_day_says_what_is_next(self, office: Office) -> None:
        viewer = office.ours.users[Role.CARE_WORKER]
        office.store.care.resolve(viewer, office.ours.alert, Resolution.HANDLED, "")
        page = await _list(office)
        assert "Nobody needs you now." in page
        assert "1 person could not be reached" in page

    async def test_a_viewer_sees_and_does_nothing(self, office: Office) -> None:
        page = (await office.viewer.get("/")).text
        assert "김영자" in page
        assert "<button" not in page.partition('id="needs"')[2]

    async def test_looking_at_the_list_is_noted_and_its_refreshing_itself_is_not(self, office: Office) -> None:
        subject = f"organisation:{office.ours.organisation_id}"
        await _list(office)
        (entry,) = [row for row in office.store.audit.of(subject) if row.action == "today.viewed"]
        assert entry.actor == str(office.ours.users[Role.CARE_WORKER].user_id)
        answer = await office.care_worker.get("/", headers={"HX-Request": "true"})
        assert answer.text.lstrip().startswith("<title>")
        assert len([row for row in office.store.audit.of(subject) if row.action == "today.viewed"]) == 1

    async def test_the_korean_page_is_korean(self, office: Office) -> None:
        viewer = office.ours.users[Role.CARE_WORKER]
        office.store.users.change_me(viewer, name="간호사", language=Language.KOREAN, time_zone="Asia/Seoul")
        page = await _list(office)
        assert "지금 확인이 필요합니다" in page
        assert "받지 않음" in page


class TestFilters:
    @pytest.mark.parametrize(
        ("query", "there"),
        [
            ("?urgency=emergency", True),
            ("?urgency=attention", False),
            ("?whose=mine", False),
            ("?whose=unassigned", True),
            ("?language=ko", True),
            ("?language=en", False),
            ("?campaign=nonsense&urgency=nonsense&whose=nonsense&language=nonsense", True),
            ("?campaign=00000000-0000-0000-0000-00000000abcd", False),
        ],
    )
    async def test_a_filter_narrows_what_needs_somebody(self, office: Office, query: str, there: bool) -> None:
        page = await _list(office, query)
        assert ("Chest pain now." in page) is there
        assert ("Nothing matches this filter." in page) is not there

    async def test_the_campaign_narrows_every_group(self, office: Office) -> None:
        page = await _list(office, f"?campaign={office.ours.campaign}")
        assert all(name in page for name in ("김영자", "박정호", "이순자"))
        other = await _list(office, f"?campaign={office.others.campaign}")
        assert not any(name in other for name in ("김영자", "박정호", "이순자", "최옥순"))

    async def test_a_long_list_has_pages(self, office: Office) -> None:
        for number in range(25):
            office.clock.pass_(timedelta(minutes=1))
            alert = Alert(f"code_{number}", Urgency.URGENT, f"Reason {number}.", ())
            _call(office, office.ours.enrollment, _report(Outcome.COMPLETED, alert))
        first, second = await _list(office), await _list(office, "?page=2")
        assert "Reason 18." in first
        assert "Reason 19." not in first
        assert "Reason 24." in second
        assert 'href="/?page=2#needs"' in first


class TestDays:
    async def test_a_day_is_told_with_the_report(self, office: Office) -> None:
        assert _states(office) == {
            office.ours.urgent: DayState.EMERGENCY,
            office.ours.fine: DayState.FINE,
        }

    async def test_a_false_alarm_leaves_the_day_as_it_was_without_it(self, office: Office) -> None:
        viewer = office.ours.users[Role.CARE_WORKER]
        office.store.care.resolve(viewer, office.ours.alert, Resolution.FALSE_ALARM, "")
        assert _states(office)[office.ours.urgent] is DayState.FINE

    async def test_a_settled_emergency_was_one(self, office: Office) -> None:
        viewer = office.ours.users[Role.CARE_WORKER]
        office.store.care.resolve(viewer, office.ours.alert, Resolution.HANDLED, "")
        assert _states(office)[office.ours.urgent] is DayState.EMERGENCY

    async def test_the_day_is_that_of_the_persons_own_clock(self, office: Office) -> None:
        office.clock.now = office.clock.now.replace(hour=15, minute=30)  # 00:30 of the next day in Seoul
        _call(office, office.ours.enrollment, _report())
        tomorrow = local_day(office.clock.now, "Asia/Seoul")
        with office.store._database.reading() as session:
            row = session.get(DayRow, (office.ours.urgent, tomorrow))
            assert row is not None
            assert row.state is DayState.FINE

    async def test_telling_all_days_anew_changes_nothing(self, office: Office) -> None:
        before = _states(office)
        with office.store._database.writing() as session:
            row = session.get_one(DayRow, (office.ours.fine, local_day(office.clock.now, "Asia/Seoul")))
            session.delete(row)
        after = None
        while (after := office.store.days.tell_days(after=after, limit=2)) is not None:
            pass
        assert _states(office) == before

    async def test_an_older_database_gets_its_days_once_when_it_is_upgraded(self, office: Office) -> None:
        before = _states(office)
        with office.store._database.writing() as session:
            for row in session.exec(select(DayRow)):
                session.delete(row)
        secret = office.settings.secret_key.get_secret_value()
        upgrade_database(office.settings.database, secret)
        assert _states(office) == before
        assert office.store.days.tell_untold() == 0


def _states(office: Office) -> dict[Any, DayState]:
    ours = (office.ours.urgent, office.ours.fine, office.ours.unreached)
    with office.store._database.reading() as session:
        rows = {id_: session.get(DayRow, (id_, local_day(office.clock.now, "Asia/Seoul"))) for id_ in ours}
    return {id_: row.state for id_, row in rows.items() if row is not None}


def test_task_kinds_and_reasons_have_words_in_both_languages() -> None:
    for language in Language:
        texts = catalog(language)
        assert {f"today.kind_{kind}" for kind in TaskKind} <= texts.keys()
        assert {f"today.last_{each}" for each in (*Ending, *Reason)} <= texts.keys()
        assert {f"today.resolution_{each}" for each in Resolution} <= texts.keys()


async def test_no_question_goes_through_all_calls(office: Office) -> None:
    engine = office.store._database._engine
    if engine.dialect.name != "sqlite":
        pytest.skip("plans are read as SQLite tells them")
    plans: list[tuple[str, str]] = []

    def explain(connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().startswith("SELECT"):
            raw = connection.connection.driver_connection
            rows = raw.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            plans.extend((row[3], statement) for row in rows)

    event.listen(engine, "before_cursor_execute", explain)
    viewer = office.ours.users[Role.CARE_WORKER]
    for filters in (
        Filters(),
        Filters(office.ours.campaign, Urgency.EMERGENCY, Whose.UNASSIGNED, Language.KOREAN),
        Filters(whose=Whose.MINE),
    ):
        office.store.care.today(viewer, filters)
    office.store.care.case(viewer, office.ours.alert)
    office.store.care.task(viewer, office.ours.task)
    office.store.care.acknowledge(viewer, office.ours.alert)
    office.store.care.resolve(viewer, office.ours.alert, Resolution.HANDLED, "")
    office.store.outreach.escalate_alerts()
    event.remove(engine, "before_cursor_execute", explain)
    few = ("alert USING INDEX alert_unsettled", "task USING INDEX task_waiting", "attempt USING INDEX attempt_open")
    scans = {plan for plan, _ in plans if plan.startswith("SCAN") and not plan.endswith(few)}
    assert scans <= {"SCAN CONSTANT ROW", "SCAN (subquery-1)", "SCAN (subquery-3)"}
    begun_with_people = [statement for plan, statement in plans if "ix_recipient_organisation_id" in plan]
    assert all("JOIN" not in statement for statement in begun_with_people)
