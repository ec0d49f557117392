"""The page of a recipient: the next call and why, days, symptoms, memory, history, and who may change what."""

import re
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import pytest
from dashboard_office import Dialog, Office
from query_plans import plans_of, scanned
from sqlmodel import col, select

from carecall.dashboard.charts import Period, dots, temperature
from carecall.domain.attempt import AttemptState
from carecall.domain.finding import Finding, FindingValue, Missing, Ternary, Unit
from carecall.domain.report import Outcome, Report
from carecall.domain.viewer import Role
from carecall.store.care_history import HistoryFilter, HistoryItem, HistoryKey
from carecall.store.care_recipient import Measured
from carecall.store.tables import AuditRow, EnrollmentRow, HistoryKind, HistoryRow, MemoryRow

FORM = re.compile(r'<form method="post" action="([^"]+)"[^>]*>(.*?)</form>', re.DOTALL)
HOSTILE = '<img src=x onerror="alert(1)"> {{ 7*7 }}'


def page_of(recipient_id: uuid.UUID) -> str:
    return f"/recipients/{recipient_id}"


def memories(office: Office) -> Sequence[MemoryRow]:
    with office.store._database.reading() as session:
        query = select(MemoryRow).where(MemoryRow.recipient_id == office.ours.urgent)
        return session.exec(query.order_by(col(MemoryRow.created_at))).all()


def entries(office: Office) -> list[tuple[HistoryKind, str]]:
    with office.store._database.reading() as session:
        rows = session.exec(select(HistoryRow).where(HistoryRow.recipient_id == office.ours.urgent))
        return [(row.kind, row.words) for row in rows]


def hold(office: Office, recipient_id: uuid.UUID, findings: tuple[Finding, ...]) -> uuid.UUID:
    """A call now with this in its report."""
    with office.store._database.reading() as session:
        enrollment = session.exec(select(EnrollmentRow.id).where(EnrollmentRow.recipient_id == recipient_id)).one()
    attempt_id = office.store.attempts.create(enrollment, Dialog(), slot_due=office.clock.now)
    office.store.attempts.advance(attempt_id, AttemptState.DIALING)
    office.store.attempts.advance(attempt_id, AttemptState.IN_PROGRESS)
    report = Report("wellbeing", "ko", "1.0", "ab" * 32, Outcome.COMPLETED, findings, ())
    office.store.calls.finish(attempt_id, report)
    return attempt_id


async def test_the_page_says_who_when_next_and_why(office: Office) -> None:
    page = (await office.viewer.get(page_of(office.ours.urgent))).text
    assert "김영자" in page
    assert "010-" in page
    assert "+8210" in page.split('href="tel:', 1)[1][:20]
    assert "Next check" in page
    assert "Consent in writing" in page
    assert "Asia/Seoul" in page
    assert "Chest pain now." in page
    assert "무릎이 아프다." in page
    with office.store._database.reading() as session:
        seen = session.exec(select(AuditRow).where(AuditRow.action == "recipient.viewed")).all()
    assert [(row.actor, row.subject) for row in seen] == [
        (str(office.ours.users[Role.VIEWER].user_id), f"recipient:{office.ours.urgent}")
    ]


async def test_the_reason_why_nobody_calls_is_in_the_viewers_language(office: Office) -> None:
    assert (await office.care_worker.post(f"{page_of(office.ours.fine)}/pause")).status_code == 303
    page = (await office.viewer.get(page_of(office.ours.fine))).text
    assert "Paused" in page
    assert "Resume calls" in (await office.care_worker.get(page_of(office.ours.fine))).text
    assert (await office.care_worker.post(f"{page_of(office.ours.fine)}/resume")).status_code == 303
    assert "Paused" not in (await office.viewer.get(page_of(office.ours.fine))).text


async def test_a_person_of_another_organisation_is_not_found(office: Office) -> None:
    theirs = office.others.urgent
    for path in (page_of(theirs), f"{page_of(theirs)}/history", page_of(uuid.uuid4())):
        assert (await office.admin.get(path)).status_code == 404, path
    new = {"text": "mine", "topic": "other"}
    memory = f"{page_of(theirs)}/memories/{office.others.memory}"
    for path in (f"{page_of(theirs)}/memories", memory, f"{memory}/forget", f"{page_of(theirs)}/pause"):
        assert (await office.admin.post(path, data=new)).status_code == 404, path
    through_ours = f"{page_of(office.ours.urgent)}/memories/{office.others.memory}"
    assert (await office.admin.post(through_ours, data=new)).status_code == 409
    assert (await office.admin.post(f"{through_ours}/forget")).status_code == 409
    assert {row.text for row in office.store.memories.standing(theirs)} == {"무릎이 아프다.", "손녀가 대학생이다."}


async def test_the_last_thirty_days_are_told_in_words_and_lead_to_their_calls(office: Office) -> None:
    page = (await office.viewer.get(page_of(office.ours.urgent))).text
    strip = page.split('<ol class="strip">')[1].split("</ol>")[0]
    assert strip.count("<li") == 30
    assert strip.count('aria-current="date"') == 1
    assert "Mon 4 May: Emergency (today)" in " ".join(strip.split())
    assert f'href="/calls/{office.ours.urgent_call}"' in strip
    assert strip.count("No call") >= 29


async def test_a_sentence_is_added_changed_with_what_it_was_and_forgotten_for_good(office: Office) -> None:
    path = f"{page_of(office.ours.urgent)}/memories"
    added = await office.care_worker.post(path, data={"text": HOSTILE, "topic": "pets"})
    assert (added.status_code, added.headers["location"]) == (303, f"{page_of(office.ours.urgent)}#memory")
    old = memories(office)[-1]
    edited = await office.care_worker.post(f"{path}/{old.id}", data={"text": "두 마리를 키운다.", "topic": "pets"})
    assert edited.status_code == 303
    old, new = memories(office)[-2:]
    assert (old.text, old.replaced_by, new.text, new.ended_at) == (HOSTILE, new.id, "두 마리를 키운다.", None)
    page = (await office.viewer.get(page_of(office.ours.urgent))).text
    assert "Before that" in page
    assert "<img" not in page
    assert (await office.care_worker.post(f"{path}/{new.id}/forget")).status_code == 303
    assert {row.text for row in memories(office)} == {"무릎이 아프다.", "손녀가 대학생이다."}
    assert entries(office) == [
        (HistoryKind.MEMORY_ADDED, ""),
        (HistoryKind.MEMORY_EDITED, ""),
        (HistoryKind.MEMORY_FORGOTTEN, ""),
    ]
    assert HOSTILE not in (await office.viewer.get(f"{page_of(office.ours.urgent)}/history")).text


async def test_who_changes_a_sentence_second_is_told_and_keeps_what_they_typed(office: Office) -> None:
    path = f"{page_of(office.ours.urgent)}/memories/{office.ours.memory}"
    assert (await office.care_worker.post(path, data={"text": "first", "topic": "health"})).status_code == 303
    second = await office.supervisor.post(path, data={"text": "second & mine", "topic": "health"})
    assert second.status_code == 409
    assert "changed this sentence meanwhile" in second.text
    assert "second &amp; mine" in second.text
    assert "first" in second.text
    assert "second & mine" not in {row.text for row in memories(office)}


async def test_memory_is_changed_by_care_workers_and_only_by_sentences(office: Office) -> None:
    path = f"{page_of(office.ours.urgent)}/memories"
    assert (await office.viewer.post(path, data={"text": "x", "topic": "pets"})).status_code == 403
    assert "Add something to remember" not in (await office.viewer.get(page_of(office.ours.urgent))).text
    for form in ({"text": " ", "topic": "pets"}, {"text": "x" * 201, "topic": "pets"}, {"text": "x", "topic": "odd"}):
        refused = await office.care_worker.post(path, data=form)
        assert refused.status_code == 422
        assert "at most 200 characters" in refused.text
    assert len(memories(office)) == 2


async def test_history_is_everything_newest_first_and_can_be_narrowed(office: Office) -> None:
    viewer = office.ours.users[Role.CARE_WORKER]
    office.clock.pass_(timedelta(minutes=5))
    office.store.care.note_recipient(viewer, office.ours.urgent, HOSTILE, once=uuid.uuid4())
    office.clock.pass_(timedelta(minutes=5))
    office.store.care.add_memory(viewer, office.ours.urgent, "Has a dog.", "pets")
    await office.viewer.get(page_of(office.ours.urgent))

    def what(kinds: HistoryFilter) -> list[str]:
        return [item.what for item in office.store.care.history(viewer, office.ours.urgent, kinds).items]

    assert what(HistoryFilter.ALL)[:3] == ["memory_added", "note", "recipient.enrolled"]
    assert what(HistoryFilter.ALL).count("completed") == 1
    assert what(HistoryFilter.CALLS) == ["completed"]
    assert what(HistoryFilter.WORK) == ["note"]
    assert what(HistoryFilter.MEMORY) == ["memory_added"]
    assert what(HistoryFilter.ACCESS) == ["recipient.viewed"]
    page = (await office.viewer.get(f"{page_of(office.ours.urgent)}/history?kinds=work")).text
    assert "&lt;img" in page
    assert "Care Worker" in page
    assert "Memory added" not in page


async def test_history_goes_on_page_by_page_without_gaps_or_repeats(office: Office) -> None:
    viewer = office.ours.users[Role.CARE_WORKER]
    for count in range(9):  # three at the same moment each
        if count % 3 == 0:
            office.clock.pass_(timedelta(minutes=1))
            hold(office, office.ours.urgent, ())
        office.store.care.note_recipient(viewer, office.ours.urgent, f"note {count}", once=uuid.uuid4())
    everything = office.store.care.history(viewer, office.ours.urgent, limit=100)
    assert everything.older is None
    pages: list[HistoryItem] = []
    older: HistoryKey | None = None
    while True:
        page = office.store.care.history(
            viewer, office.ours.urgent, before=HistoryKey.parse(str(older)) if older else None, limit=2
        )
        pages += page.items
        older = page.older
        if older is None:
            break
    assert pages == list(everything.items)
    for before in (
        "yesterday",
        f"2026-05-04T00:00:00%2B00:00~2~{9**30}",
        "2026-05-04T00:00:00~0~1",
        f"0001-01-01T00:00:00%2B14:00~0~{uuid.uuid4()}",
    ):
        wrong = await office.viewer.get(f"{page_of(office.ours.urgent)}/history?before={before}")
        assert wrong.status_code == 422, before


async def test_what_is_done_from_the_page_comes_back_to_it(office: Office) -> None:
    here = page_of(office.ours.unreached)
    tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%dT%H:%M}"
    page = (await office.care_worker.get(here)).text
    forms = {action: set(re.findall(r'name="(\w+)"', form)) for action, form in FORM.findall(page)}
    typed = {
        f"{here}/note": {"once": str(uuid.uuid4()), "words": "Her son looks in."},
        f"{here}/manual-call": {"once": str(uuid.uuid4()), "reached": "false", "words": "Engaged."},
        f"{here}/follow-up": {"once": str(uuid.uuid4()), "task": "visit", "due": tomorrow, "words": ""},
        f"/tasks/{office.ours.task}/close": {"outcome": "done", "words": ""},
    }
    for action, form in typed.items():
        assert forms[action] == {*form, "back"}, action
    for action, form in typed.items():
        answer = await office.care_worker.post(action, data={**form, "back": here})
        assert (answer.status_code, answer.headers["location"]) == (303, here), (action, answer.text)
    page = (await office.care_worker.get(here)).text
    assert "Her son looks in." in page
    assert "Called by a human" in page
    assert "Visit" in page
    assert f"/tasks/{office.ours.task}/close" not in page
    assert f'action="{here}/call-now"' in page
    assert "<summary>Write a note" not in (await office.viewer.get(here)).text


async def test_symptoms_are_shown_as_corrected_with_their_table(office: Office) -> None:
    office.clock.pass_(timedelta(minutes=10))
    call = hold(
        office,
        office.ours.fine,
        (Finding("cough", Ternary.YES), Finding("temperature", 38.4, unit=Unit.CELSIUS)),
    )
    viewer = office.ours.users[Role.CARE_WORKER]
    office.store.care.correct(viewer, call, "cough", Ternary.NO, "heard the radio", seen="")
    page = (await office.viewer.get(f"{page_of(office.ours.fine)}?days=90")).text
    table = page.split("<table>")[1].split("</table>")[0]
    assert "38.4 °C" in table
    assert "Cough" in table
    assert "Yes" not in table
    assert "Body temperature (°C)" in page
    assert 'aria-label="Yes on 0 days, no on 1' in page


@pytest.mark.parametrize("read", ["recipient", "history", "measured"])
def test_a_record_is_found_by_indexes_alone(office: Office, read: str) -> None:
    care, viewer, person = office.store.care, office.ours.users[Role.VIEWER], office.ours.urgent
    before = HistoryKey(office.clock.now, 1, str(uuid.uuid4()))
    acts = {
        "recipient": lambda: care.recipient(viewer, person),
        "history": lambda: care.history(viewer, person, before=before),
        "measured": lambda: care.measured(viewer, person, office.clock.now - timedelta(days=90)),
    }
    plans = plans_of(office.store, acts[read])
    assert len(plans) >= 4
    assert not scanned(plans)


TODAY = date(2026, 5, 4)
PERIOD = Period(TODAY, 30, lambda at: at.date())


def measured(days_ago: int, hour: int = 9, **values: FindingValue) -> Measured:
    at = datetime(2026, 5, 4, hour, tzinfo=UTC) - timedelta(days=days_ago)
    return Measured(uuid.uuid4(), at, dict(values))


def test_a_day_on_which_nobody_asked_has_no_dot() -> None:
    calls = [
        measured(3, cough=Ternary.NO),
        measured(2, cough=Missing.NOT_ASKED),
        measured(1, cough=Ternary.NO),
        measured(1, 18, cough=Ternary.YES),
        measured(40, cough=Ternary.YES),
    ]
    (row,) = dots(calls, PERIOD)
    assert [(dot.day, dot.value) for dot in row.dots] == [
        (date(2026, 5, 1), Ternary.NO),
        (date(2026, 5, 3), Ternary.YES),
    ]


def test_the_line_of_temperatures_breaks_where_it_was_not_asked() -> None:
    line = temperature(
        [
            measured(5, temperature=38.0),
            measured(4, temperature=37.5),
            measured(3, temperature=Missing.NOT_ASKED),
            measured(2, temperature=36.8),
        ],
        PERIOD,
    )
    assert line is not None
    assert [(a.value, b.value) for a, b in line.steps] == [(38.0, 37.5)]
    assert [reading.value for reading in line.readings] == [38.0, 37.5, 36.8]
    assert temperature([measured(1, cough=Ternary.NO)], PERIOD) is None


def test_temperatures_are_drawn_in_one_unit() -> None:
    line = temperature([measured(2, temperature=101.3), measured(1, temperature=37.5)], PERIOD)
    assert line is not None
    assert line.unit is Unit.CELSIUS
    assert [reading.value for reading in line.readings] == [38.5, 37.5]
