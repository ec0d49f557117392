"""The page of a call: what was said, what it rests on, what a human corrects, and who may see and hear it."""

import asyncio
import uuid
import wave
from datetime import timedelta
from pathlib import Path

import pytest
from dashboard_office import Dialog, Office
from query_plans import plans_of, scanned
from sqlmodel import col, select

from carecall.dashboard.call import marked
from carecall.dashboard.charts import latency
from carecall.domain.attempt import AttemptState
from carecall.domain.finding import Evidence, Finding, Missing, Ternary, Unit
from carecall.domain.report import Outcome, Report
from carecall.domain.turn import Speaker, Turn
from carecall.domain.viewer import Role
from carecall.errors import StoreConflict
from carecall.store.tables import AuditRow, CorrectionRow, EnrollmentRow, HistoryKind, HistoryRow

HOSTILE = '<script>alert("1")</script> & {{ 7*7 }}'


def page_of(attempt_id: uuid.UUID) -> str:
    return f"/calls/{attempt_id}"


def form_of(office: Office, code: str = "chest_pain") -> str:
    return f"/calls/{office.ours.urgent_call}/findings/{code}/corrections"


def corrections(office: Office) -> list[CorrectionRow]:
    with office.store._database.reading() as session:
        return list(session.exec(select(CorrectionRow).order_by(col(CorrectionRow.at))))


def audited(office: Office, action: str) -> int:
    with office.store._database.reading() as session:
        return len(session.exec(select(AuditRow.id).where(AuditRow.action == action)).all())


@pytest.fixture
def symptoms(office: Office) -> uuid.UUID:
    """A call with a temperature, a duration, somebody's own words and a hostile sentence."""
    with office.store._database.reading() as session:
        query = select(EnrollmentRow.id).where(EnrollmentRow.recipient_id == office.ours.fine)
        enrollment = session.exec(query).one()
    office.clock.pass_(timedelta(minutes=20))
    dialog = Dialog("active-monitoring", version="1.2.0")
    attempt_id = office.store.attempts.create(enrollment, dialog, slot_due=office.clock.now)
    office.store.attempts.advance(attempt_id, AttemptState.DIALING)
    recording = office.settings.recordings_dir / f"{attempt_id}.wav"
    office.store.attempts.advance(attempt_id, AttemptState.IN_PROGRESS, recording_path=str(recording))
    office.store.calls.add_turn(attempt_id, Turn(0, Speaker.AGENT, "몇 도였어요?", 0.0, 2.0, "temperature"))
    office.store.calls.add_turn(attempt_id, Turn(1, Speaker.RECIPIENT, f"삼십팔 도 {HOSTILE}", 2.5, 4.5, "temperature"))
    findings = (
        Finding("temperature", 38.0, (Evidence(1, "삼십팔 도", 2.5),), unit=Unit.CELSIUS),
        Finding("symptom_onset", 2.0),
        Finding("other_symptoms", HOSTILE, (Evidence(1, HOSTILE, 2.5),)),
        Finding("fever_reducer", Missing.NOT_ASKED),
    )
    report = Report("active-monitoring", "ko", "1.2.0", "ab" * 32, Outcome.COMPLETED, findings, (), (HOSTILE,), HOSTILE)
    office.store.calls.finish(attempt_id, report)
    return attempt_id


def record(office: Office, attempt_id: uuid.UUID) -> Path:
    """The call's audio, a second of silence."""
    file = office.settings.recordings_dir / f"{attempt_id}.wav"
    file.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(file), "wb") as audio:
        audio.setnchannels(2)
        audio.setsampwidth(2)
        audio.setframerate(8000)
        audio.writeframes(b"\0" * 32_000)
    return file


async def test_a_finding_leads_to_its_sentence_and_the_sentence_back(office: Office) -> None:
    page = (await office.viewer.get(page_of(office.ours.urgent_call))).text
    assert 'href="#turn-1"' in page
    assert 'id="turn-1"' in page
    assert '<a href="#finding-chest_pain">Chest pain</a>' in page
    assert "<mark>어제부터 가슴이 아파요</mark>" in page
    assert "wellbeing.ko 1.0" in page
    assert "abababab" in page
    assert "Emergency" in page


async def test_what_people_say_is_never_markup(office: Office, symptoms: uuid.UUID) -> None:
    page = (await office.care_worker.get(page_of(symptoms))).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page
    assert "{{ 7*7 }}" in page


async def test_a_call_of_another_organisation_is_not_found(office: Office) -> None:
    theirs = office.others.urgent_call
    for path in (page_of(theirs), f"{page_of(theirs)}/live", f"{page_of(theirs)}/audio"):
        answer = await office.admin.get(path, headers={"HX-Request": "true"})
        assert answer.status_code == 404, path
    form = {"value": "no", "reason": "asked", "seen": ""}
    answer = await office.admin.post(f"{page_of(theirs)}/findings/chest_pain/corrections", data=form)
    assert answer.status_code == 404
    assert not corrections(office)
    assert (await office.admin.get(page_of(uuid.uuid4()))).status_code == 404


async def test_a_look_is_audited_and_a_page_that_refreshes_itself_is_one_look(office: Office) -> None:
    path = page_of(office.ours.urgent_call)
    await office.viewer.get(path)
    for _ in range(3):
        await office.viewer.get(f"{path}/live", headers={"HX-Request": "true"})
    assert audited(office, "call.viewed") == 1
    office.clock.pass_(timedelta(minutes=11))
    await office.viewer.get(f"{path}/live", headers={"HX-Request": "true"})
    assert audited(office, "call.viewed") == 2


async def test_a_correction_stands_beside_the_original(office: Office) -> None:
    form = {"value": "no", "reason": "She meant her knee.", "seen": ""}
    answer = await office.care_worker.post(form_of(office), data=form)
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        f"{page_of(office.ours.urgent_call)}#finding-chest_pain",
    )
    page = (await office.viewer.get(page_of(office.ours.urgent_call))).text
    assert "<s>Yes</s>" in page
    assert "She meant her knee." in page
    assert "Care Worker" in page
    report = office.store.calls.load_report(office.ours.urgent_call)
    assert report is not None
    assert report.findings[0].value is Ternary.YES
    with office.store._database.reading() as session:
        entries = session.exec(select(HistoryRow).where(HistoryRow.kind == HistoryKind.FINDING_CORRECTED)).all()
    assert [(entry.words, entry.details) for entry in entries] == [("She meant her knee.", {"code": "chest_pain"})]
    assert audited(office, "finding.corrected") == 1


async def test_who_corrects_second_is_told_and_keeps_what_they_typed(office: Office) -> None:
    await office.care_worker.post(form_of(office), data={"value": "no", "reason": "first", "seen": ""})
    second = {"value": "unknown", "reason": "mine & hers", "seen": ""}
    answer = await office.supervisor.post(form_of(office), data=second, headers={"HX-Request": "true"})
    assert answer.status_code == 409
    assert "Somebody else corrected this" in answer.text
    assert "mine &amp; hers" in answer.text
    assert "first" in answer.text
    assert answer.text.lstrip().startswith("<li")
    assert [row.reason for row in corrections(office)] == ["first"]
    seen = str(corrections(office)[0].id)
    again = await office.supervisor.post(form_of(office), data={**second, "seen": seen})
    assert again.status_code == 303
    assert [row.reason for row in corrections(office)] == ["first", "mine & hers"]


async def test_of_two_corrections_at_once_one_is_taken(office: Office) -> None:
    care, viewer = office.store.care, office.ours.users[Role.CARE_WORKER]
    tries = [
        asyncio.to_thread(care.correct, viewer, office.ours.urgent_call, "chest_pain", value, "at once", seen="")
        for value in (Ternary.NO, Ternary.UNKNOWN)
    ]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(isinstance(result, StoreConflict) for result in results) == [False, True]
    assert len(corrections(office)) == 1


@pytest.mark.parametrize(
    ("code", "value", "taken"),
    [
        ("temperature", "37.4", 37.4),
        ("temperature", "37,4", 37.4),
        ("symptom_onset", "5", 5.0),
        ("other_symptoms", "어지러움", "어지러움"),
        ("fever_reducer", "yes", Ternary.YES),
        ("fever_reducer", "no_answer", Missing.NO_ANSWER),
    ],
)
async def test_a_correction_is_typed_by_the_kind_of_answer(
    office: Office, symptoms: uuid.UUID, code: str, value: str, taken: object
) -> None:
    path = f"{page_of(symptoms)}/findings/{code}/corrections"
    answer = await office.care_worker.post(path, data={"value": value, "reason": "called again", "seen": ""})
    assert answer.status_code == 303
    call = office.store.care.call(office.ours.users[Role.VIEWER], symptoms)
    assert call.finding(code).value == taken


async def test_that_there_was_no_usable_answer_can_be_said_of_a_number_too(office: Office, symptoms: uuid.UUID) -> None:
    path = f"{page_of(symptoms)}/findings/temperature/corrections"
    form = {"value": "", "none": "yes", "reason": "The thermometer was broken.", "seen": ""}
    assert (await office.care_worker.post(path, data=form)).status_code == 303
    call = office.store.care.call(office.ours.users[Role.VIEWER], symptoms)
    assert call.finding("temperature").value is Missing.NO_ANSWER


@pytest.mark.parametrize(
    ("code", "value", "trouble"),
    [
        ("temperature", "62", "from 30 to 45"),
        ("temperature", "nan", "Write a number"),
        ("temperature", "warm", "Write a number"),
        ("symptom_onset", "1.5", "Write a number"),
        ("fever_reducer", "maybe", "Choose one"),
        ("other_symptoms", " ", "Write what was meant"),
    ],
)
async def test_a_value_that_cannot_be_is_refused_and_stays_in_the_form(
    office: Office, symptoms: uuid.UUID, code: str, value: str, trouble: str
) -> None:
    path = f"{page_of(symptoms)}/findings/{code}/corrections"
    answer = await office.care_worker.post(path, data={"value": value, "reason": "a careful reason", "seen": ""})
    assert answer.status_code == 422
    assert trouble in answer.text
    assert "a careful reason" in answer.text
    assert not corrections(office)


async def test_a_correction_needs_a_reason_a_care_worker_and_a_finding(office: Office) -> None:
    assert (await office.care_worker.post(form_of(office), data={"value": "no", "seen": ""})).status_code == 422
    good = {"value": "no", "reason": "asked", "seen": ""}
    assert (await office.viewer.post(form_of(office), data=good)).status_code == 403
    assert (await office.care_worker.post(form_of(office, "nothing"), data=good)).status_code == 404
    assert not corrections(office)
    assert "<summary>Correct" not in (await office.viewer.get(page_of(office.ours.urgent_call))).text


async def test_audio_is_given_in_ranges_to_those_who_may_hear_it(office: Office, symptoms: uuid.UUID) -> None:
    path = f"{page_of(symptoms)}/audio"
    assert (await office.care_worker.get(path)).status_code == 404
    assert "<audio" not in (await office.care_worker.get(page_of(symptoms))).text
    audio = await asyncio.to_thread(record(office, symptoms).read_bytes)
    part = await office.care_worker.get(path, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, audio[10:20])
    assert part.headers["cache-control"] == "no-store"
    assert audited(office, "call.listened") == 1
    page = (await office.care_worker.get(page_of(symptoms))).text
    assert f'href="/calls/{symptoms}/audio#t=2.5"' in page
    assert (await office.viewer.get(path)).status_code == 403
    assert "<audio" not in (await office.viewer.get(page_of(symptoms))).text


async def test_a_call_is_followed_while_it_goes_on(office: Office) -> None:
    attempt_id = office.store.attempts.create(office.ours.enrollment, Dialog())
    office.store.attempts.advance(attempt_id, AttemptState.DIALING)
    office.store.attempts.advance(attempt_id, AttemptState.IN_PROGRESS)
    page = (await office.viewer.get(page_of(attempt_id))).text
    assert f'hx-sse:connect="/events?call={attempt_id}&amp;after=' in page
    assert "Nothing has been said." in page
    office.store.calls.add_turn(attempt_id, Turn(0, Speaker.AGENT, "안녕하세요?", 0.0, 1.0))
    live = (await office.viewer.get(f"{page_of(attempt_id)}/live", headers={"HX-Request": "true"})).text
    assert "안녕하세요?" in live
    assert 'role="log"' in live
    assert "<html" not in live
    assert (await office.viewer.get(f"{page_of(attempt_id)}/live")).status_code == 303
    office.store.attempts.advance(attempt_id, AttemptState.INTERRUPTED)
    ended = (await office.viewer.get(f"{page_of(attempt_id)}/live", headers={"HX-Request": "true"})).text
    assert "without a report" in ended
    assert "hx-get" not in ended


async def test_a_call_that_nobody_answered_says_so(office: Office) -> None:
    page = (await office.viewer.get(page_of(office.ours.unreached_call))).text
    assert "nobody answered" in page


def test_the_wait_is_from_the_end_of_the_words_to_the_answer() -> None:
    turns = [
        Turn(0, Speaker.AGENT, "a", 0.0, 2.0),
        Turn(1, Speaker.RECIPIENT, "b", 2.5, 4.0),
        Turn(2, Speaker.AGENT, "c", 4.6, 6.0),
        Turn(3, Speaker.RECIPIENT, "d", 6.5, 8.0),
        Turn(4, Speaker.AGENT, "e", 7.8, 9.0),
    ]
    strip = latency(turns)
    assert strip is not None
    assert [(gap.turn, round(gap.seconds, 2)) for gap in strip.gaps] == [(2, 0.6), (4, -0.2)]
    assert latency(turns[:1]) is None


def test_quotes_that_overlap_are_marked_as_one_passage() -> None:
    assert marked("my chest hurts & aches", ["chest hurts", "hurts & aches", "absent", ""]) == (
        "my <mark>chest hurts &amp; aches</mark>"
    )


def test_a_call_is_found_by_indexes_alone(office: Office) -> None:
    """However many calls there are, no statement of the page reads a table from end to end."""
    viewer = office.ours.users[Role.VIEWER]
    plans = plans_of(office.store, lambda: office.store.care.call(viewer, office.ours.urgent_call, again=True))
    assert len(plans) > 5
    assert not scanned(plans)
