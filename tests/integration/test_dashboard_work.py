"""What people do on the work list: once, together, and without losing anything."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from dashboard_office import Dialog, Office
from sqlmodel import col, select

from carecall.domain.attempt import AttemptState
from carecall.domain.viewer import Role, Viewer
from carecall.errors import StoreNotFound
from carecall.outreach import planning
from carecall.store.care_work import CallRefused, Conflict
from carecall.store.tables import (
    AlertRow,
    AttemptRow,
    EnrollmentRow,
    HistoryKind,
    HistoryRow,
    Resolution,
    TaskRow,
)

_PART = {"HX-Request": "true"}


def _me(office: Office, role: Role = Role.CARE_WORKER) -> Viewer:
    return office.ours.users[role]


def _alert(office: Office) -> AlertRow:
    with office.store._database.reading() as session:
        return session.get_one(AlertRow, office.ours.alert)


def _history(office: Office, recipient_id: uuid.UUID, kind: HistoryKind) -> list[HistoryRow]:
    with office.store._database.reading() as session:
        query = select(HistoryRow).where(HistoryRow.recipient_id == recipient_id, HistoryRow.kind == kind)
        return list(session.exec(query.order_by(col(HistoryRow.at))))


async def _post(office: Office, path: str, who: Role = Role.CARE_WORKER, part: bool = True, **fields: Any) -> Any:
    return await office.clients[who].post(path, data=fields, headers=_PART if part else {})


class TestAcknowledging:
    async def test_it_is_theirs_then_and_goes_on_to_nobody(self, office: Office) -> None:
        answer = await _post(office, f"/alerts/{office.ours.alert}/acknowledge")
        assert answer.status_code == 200
        assert "Acknowledged by Care Worker" in answer.text
        alert = _alert(office)
        assert alert.acknowledged_by == alert.assigned_to == _me(office).user_id
        assert alert.escalate_at is None
        (entry,) = _history(office, office.ours.urgent, HistoryKind.ALERT_ACKNOWLEDGED)
        assert (entry.actor, entry.subject) == (str(_me(office).user_id), f"alert:{office.ours.alert}")
        assert office.store.audit.of(f"alert:{office.ours.alert}")[-1].action == "work.alert_acknowledged"

    async def test_on_two_screens_at_once_the_second_is_told_who_was_first(self, office: Office) -> None:
        path = f"/alerts/{office.ours.alert}/acknowledge"
        answers = await asyncio.gather(_post(office, path), _post(office, path, Role.SUPERVISOR))
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        (late,) = [answer for answer in answers if answer.status_code == 409]
        first = "Care Worker" if _alert(office).acknowledged_by == _me(office).user_id else "Supervisor"
        assert f"{first} has acknowledged this first." in late.text
        assert len(_history(office, office.ours.urgent, HistoryKind.ALERT_ACKNOWLEDGED)) == 1

    async def test_a_second_press_changes_nothing(self, office: Office) -> None:
        path = f"/alerts/{office.ours.alert}/acknowledge"
        assert [(await _post(office, path)).status_code for _ in range(2)] == [200, 200]
        assert len(_history(office, office.ours.urgent, HistoryKind.ALERT_ACKNOWLEDGED)) == 1

    async def test_without_script_the_page_is_shown_again(self, office: Office) -> None:
        path = f"/alerts/{office.ours.alert}/acknowledge"
        answer = await _post(office, path, part=False, back="/?whose=mine#needs")
        assert (answer.status_code, answer.headers["location"]) == (303, "/?whose=mine#needs")
        elsewhere = await _post(office, path, part=False, back="//elsewhere.test/")
        assert elsewhere.headers["location"] == f"/#alert-{office.ours.alert}"
        late = await _post(office, path, Role.SUPERVISOR, part=False)
        assert late.status_code == 409
        assert "<html" in late.text

    async def test_several_at_once(self, office: Office) -> None:
        value = f"{office.ours.alert}:"
        answer = await _post(office, "/alerts", action="acknowledge", alert=[value])
        assert "1 alert acknowledged." in answer.text
        late = await _post(office, "/alerts", Role.SUPERVISOR, action="assign", alert=[value])
        assert late.status_code == 409
        assert "others were first (Care Worker)" in late.text

    async def test_none_selected_is_no_trouble(self, office: Office) -> None:
        answer = await _post(office, "/alerts", part=False, action="acknowledge")
        assert answer.status_code == 303


class TestAssigning:
    async def test_to_somebody_who_works(self, office: Office) -> None:
        to = _me(office, Role.SUPERVISOR).user_id
        answer = await _post(office, f"/alerts/{office.ours.alert}/assign", to=to, seen="")
        assert "Assigned to Supervisor" in answer.text
        (entry,) = _history(office, office.ours.urgent, HistoryKind.ALERT_ASSIGNED)
        assert entry.details == {"to": str(to)}

    async def test_not_to_whom_nobody_can_give_work(self, office: Office) -> None:
        for to in (_me(office, Role.VIEWER).user_id, office.others.users[Role.ADMIN].user_id):
            answer = await _post(office, f"/alerts/{office.ours.alert}/assign", to=to, seen="")
            assert answer.status_code == 404

    async def test_what_was_given_to_somebody_meanwhile_stays_theirs(self, office: Office) -> None:
        mine, theirs = _me(office).user_id, _me(office, Role.SUPERVISOR).user_id
        await _post(office, f"/alerts/{office.ours.alert}/assign", to=theirs, seen="")
        answer = await _post(office, f"/alerts/{office.ours.alert}/assign", to=mine, seen="")
        assert answer.status_code == 409
        assert "assigned to Supervisor meanwhile" in answer.text
        assert _alert(office).assigned_to == theirs

    async def test_a_task(self, office: Office) -> None:
        answer = await _post(office, f"/tasks/{office.ours.task}/assign", to=_me(office).user_id, seen="")
        assert "Assigned to Care Worker" in answer.text


class TestSettling:
    async def test_with_a_reason_and_words(self, office: Office) -> None:
        path = f"/alerts/{office.ours.alert}/resolve"
        answer = await _post(office, path, resolution="referred", words="구급차를 불렀습니다")
        assert "Referred, settled by Care Worker" in answer.text
        (entry,) = _history(office, office.ours.urgent, HistoryKind.ALERT_RESOLVED)
        assert (entry.words, entry.details) == ("구급차를 불렀습니다", {"resolution": "referred"})
        assert _alert(office).acknowledged_by == _me(office).user_id
        assert "Chest pain now." not in (await office.care_worker.get("/")).text

    async def test_who_comes_second_keeps_what_they_wrote(self, office: Office) -> None:
        path = f"/alerts/{office.ours.alert}/resolve"
        await _post(office, path, Role.SUPERVISOR, resolution="handled")
        answer = await _post(office, path, resolution="false_alarm", words="I spoke to her daughter")
        assert answer.status_code == 409
        assert "Supervisor has settled this first." in answer.text
        assert "I spoke to her daughter" in answer.text
        assert _alert(office).resolution is Resolution.HANDLED


class TestNotesAndTasks:
    async def test_a_note_is_added_once(self, office: Office) -> None:
        once = uuid.uuid4()
        for _ in range(2):
            answer = await _post(office, f"/alerts/{office.ours.alert}/note", once=once, words="She sounds tired")
        assert "She sounds tired" in answer.text
        assert len(_history(office, office.ours.urgent, HistoryKind.NOTE)) == 1

    @pytest.mark.parametrize(("words", "said"), [(" ", "Write the note first."), ("x" * 4001, "That is too long")])
    async def test_what_cannot_be_taken_stands_in_the_form_again(self, office: Office, words: str, said: str) -> None:
        path = f"/alerts/{office.ours.alert}/note"
        answer = await _post(office, path, once=uuid.uuid4(), words=words)
        assert answer.status_code == 422
        assert said in answer.text
        assert words.strip() in answer.text

    async def test_a_follow_up_is_a_task_of_ones_own(self, office: Office) -> None:
        once, due = uuid.uuid4(), datetime.now(UTC) + timedelta(hours=3)
        local = (due + timedelta(hours=9)).strftime("%Y-%m-%dT%H:%M")  # on the clock of the viewer, in Seoul
        for _ in range(2):
            await _post(
                office, f"/alerts/{office.ours.alert}/follow-up", once=once, task="visit", due=local, words="Bring rice"
            )
        with office.store._database.reading() as session:
            task = session.get_one(TaskRow, once)
        assert task.assigned_to == _me(office).user_id
        assert task.attempt_id == office.ours.urgent_call
        assert abs(task.due_at - due) < timedelta(minutes=1)
        page = (await office.care_worker.get("/")).text
        assert "Home visit" in page
        assert "Bring rice" in page

    @pytest.mark.parametrize("due", ["", "soon", "2020-01-01T10:00"])
    async def test_a_follow_up_has_a_time_to_come(self, office: Office, due: str) -> None:
        path = f"/alerts/{office.ours.alert}/follow-up"
        answer = await _post(office, path, once=uuid.uuid4(), task="call", due=due, words="Bring rice")
        assert answer.status_code == 422
        assert "Bring rice" in answer.text

    async def test_a_task_is_closed_with_what_came_of_it(self, office: Office) -> None:
        path = f"/tasks/{office.ours.task}/close"
        answer = await _post(office, path, outcome="reached", words="He was in the garden")
        assert answer.status_code == 200
        (entry,) = _history(office, office.ours.unreached, HistoryKind.TASK_CLOSED)
        assert entry.details == {"task": "call", "outcome": "reached"}
        late = await _post(office, path, Role.SUPERVISOR, outcome="done", words="Nobody there")
        assert late.status_code == 409
        assert "Care Worker has closed this first." in late.text
        assert "Nobody there" in late.text

    async def test_a_call_by_hand_that_reached_somebody_ends_the_task(self, office: Office) -> None:
        path = f"/tasks/{office.ours.task}/manual-call"
        await _post(office, path, once=uuid.uuid4(), reached="false", words="Engaged")
        with office.store._database.reading() as session:
            assert session.get_one(TaskRow, office.ours.task).closed_at is None
        await _post(office, path, once=uuid.uuid4(), reached="true")
        with office.store._database.reading() as session:
            assert session.get_one(TaskRow, office.ours.task).closed_at is not None
        calls = _history(office, office.ours.unreached, HistoryKind.MANUAL_CALL)
        assert [entry.details["result"] for entry in calls] == ["not_reached", "reached"]


class TestCallNow:
    def _a_worker_runs(self, office: Office) -> None:
        office.store.outreach.sign_of_life("worker")

    async def test_it_plans_an_attempt_that_a_worker_takes_up(self, office: Office) -> None:
        self._a_worker_runs(office)
        answer = await _post(office, f"/alerts/{office.ours.alert}/call-now")
        assert answer.status_code == 200
        assert "The call is planned" in answer.text
        (entry,) = _history(office, office.ours.urgent, HistoryKind.CALL_NOW)
        attempt = office.store.attempts.get(uuid.UUID(entry.subject.removeprefix("attempt:")))
        assert (attempt.state, attempt.slot_due) == (AttemptState.PLANNED, None)
        assert attempt.id in office.store.outreach.planned()

    async def test_pressed_twice_it_is_one_call(self, office: Office) -> None:
        self._a_worker_runs(office)
        for _ in range(2):
            await _post(office, f"/recipients/{office.ours.urgent}/call-now")
        assert len(_history(office, office.ours.urgent, HistoryKind.CALL_NOW)) == 1

    async def test_at_night_it_is_refused_with_the_reason_and_the_next_time(self, office: Office) -> None:
        office.clock.pass_(timedelta(hours=12))
        self._a_worker_runs(office)
        async with office.signed_in(_me(office)) as browser:
            answer = await browser.post(f"/alerts/{office.ours.alert}/call-now", headers=_PART)
        assert answer.status_code == 409
        assert "outside the contact hours" in answer.text

    async def test_after_an_opt_out_nobody_is_called(self, office: Office) -> None:
        self._a_worker_runs(office)
        with office.store._database.writing() as session:
            row = session.get_one(EnrollmentRow, office.ours.enrollment)
            row.opted_out_at = office.clock.now
        answer = await _post(office, f"/alerts/{office.ours.alert}/call-now")
        assert answer.status_code == 409
        assert "wants no more calls" in answer.text

    async def test_without_a_worker_it_says_so(self, office: Office) -> None:
        answer = await _post(office, f"/alerts/{office.ours.alert}/call-now")
        assert answer.status_code == 409
        assert "no worker is running" in answer.text
        with office.store._database.reading() as session:
            planned = session.exec(select(AttemptRow).where(AttemptRow.state == AttemptState.PLANNED)).all()
        assert not planned

    async def test_while_a_call_is_under_way_it_is_refused(self, office: Office) -> None:
        self._a_worker_runs(office)
        viewer = _me(office)
        call_now = partial(office.store.care.call_now, viewer, office.ours.urgent, planning.may_dial, Dialog)
        office.store.attempts.advance(call_now(), AttemptState.DIALING)
        with pytest.raises(CallRefused) as refused:
            call_now()
        assert refused.value.why == "under_way"


class TestWhoMay:
    async def test_a_viewer_may_change_nothing(self, office: Office) -> None:
        for path in _paths(office.ours):
            answer = await _post(office, path, Role.VIEWER, **_FIELDS)
            assert answer.status_code == 403, path

    async def test_nothing_of_another_organisation_is_there(self, office: Office) -> None:
        for path in _paths(office.others):
            answer = await _post(office, path, **_FIELDS)
            assert answer.status_code == 404, path
        care, viewer = office.store.care, _me(office)
        with pytest.raises(StoreNotFound):
            care.acknowledge_all(viewer, [office.others.alert])

    async def test_what_somebody_else_was_first_with_is_named(self, office: Office) -> None:
        care = office.store.care
        care.acknowledge(_me(office), office.ours.alert)
        with pytest.raises(Conflict) as conflict:
            care.acknowledge(_me(office, Role.ADMIN), office.ours.alert)
        assert conflict.value.by is not None
        assert (conflict.value.what, conflict.value.by.name) == ("acknowledged", "Care Worker")


_FIELDS: dict[str, Any] = {
    "once": str(uuid.uuid4()),
    "words": "Words",
    "to": str(uuid.uuid4()),
    "resolution": "handled",
    "outcome": "done",
    "task": "call",
    "due": "2099-01-01T10:00",
    "reached": "true",
}


def _paths(people: Any) -> list[str]:
    common = ("note", "follow-up", "manual-call", "call-now")
    return [
        *(f"/alerts/{people.alert}/{action}" for action in ("acknowledge", "assign", "resolve", *common)),
        *(f"/tasks/{people.task}/{action}" for action in ("assign", "close", *common)),
        *(f"/recipients/{people.urgent}/{action}" for action in common),
    ]
