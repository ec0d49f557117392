"""What a supervisor takes away: lists, transcripts, audio; and the tokens that an administrator gives out."""

import csv
import io
import json
import wave
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest
from dashboard_office import Office
from fhir_rules import whole
from openpyxl import load_workbook
from sqlmodel import select

from carecall.domain.finding import Ternary
from carecall.domain.viewer import Role
from carecall.exchange import fhir
from carecall.store.tables import AttemptRow, HistoryKind, HistoryRow, RecipientRow

PERIOD = "from=2026-05-01&to=2026-05-31"
LISTS = ["people", "today", "calls", "findings"]


async def rows_of(office: Office, path: str) -> list[list[str]]:
    """The rows of a table, by the reader of its format."""
    response = await office.supervisor.get(path)
    assert response.status_code == 200, response.text
    assert "attachment" in response.headers["content-disposition"]
    assert response.headers["cache-control"] == "no-store"
    if response.headers["content-type"].startswith("text/csv"):
        assert response.content.startswith(b"\xef\xbb\xbf")
        return list(csv.reader(io.StringIO(response.content.decode("utf-8-sig"), newline="")))
    sheet = load_workbook(io.BytesIO(response.content)).active
    assert sheet is not None
    return [["" if cell is None else str(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]


def rename(office: Office, name: str) -> None:
    with office.store._database.writing() as session:
        session.get_one(RecipientRow, office.ours.urgent).name = name


def record(office: Office, content: bytes) -> None:
    """The audio of the call, as a call leaves it."""
    path = office.settings.recordings_dir / f"{office.ours.urgent_call}.wav"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with office.store._database.writing() as session:
        session.get_one(AttemptRow, office.ours.urgent_call).recording_path = str(path)


def correct(office: Office, value: Ternary, reason: str, who: Role = Role.CARE_WORKER) -> None:
    """Somebody of ours corrects the finding of the call as it stands."""
    care, viewer, call = office.store.care, office.ours.users[who], office.ours.urgent_call
    seen = care.call(viewer, call).finding("chest_pain").seen
    care.correct(viewer, call, "chest_pain", value, reason, seen=seen)


def correct_twice(office: Office) -> None:
    office.clock.pass_(timedelta(minutes=5))
    correct(office, Ternary.UNKNOWN, "not clear on the recording")
    office.clock.pass_(timedelta(minutes=5))
    correct(office, Ternary.NO, "a pulled muscle", Role.SUPERVISOR)


def history(office: Office) -> list[tuple[str, str]]:
    with office.store._database.reading() as session:
        query = select(HistoryRow).where(
            HistoryRow.recipient_id == office.ours.urgent, HistoryRow.kind == HistoryKind.EXPORTED
        )
        return [(row.subject, row.details["what"]) for row in session.exec(query)]


@pytest.mark.parametrize("form", ["csv", "xlsx"])
@pytest.mark.parametrize("what", LISTS)
async def test_a_list_has_our_people_and_nobody_of_another_organisation(office: Office, what: str, form: str) -> None:
    rows = await rows_of(office, f"/downloads/list?what={what}&format={form}&{PERIOD.replace('31', '04')}")
    text = json.dumps(rows, ensure_ascii=False)
    assert "김영자" in text
    assert "이순자" in text
    assert all(name not in text for name in ("최옥순", "정말례", "한기수"))
    assert len({len(row) for row in rows}) == 1


async def test_a_finding_stands_with_the_words_that_it_rests_on(office: Office) -> None:
    rows = await rows_of(office, f"/downloads/list?what=findings&format=csv&{PERIOD}")
    found = dict(zip(rows[0], next(row for row in rows if "김영자" in row), strict=True))
    assert found["Words"] == "어제부터 가슴이 아파요"
    assert (found["Finding"], found["Value"]) == ("chest_pain", "yes")


@pytest.mark.parametrize("form", ["csv", "xlsx"])
async def test_a_list_has_the_newest_correction_and_what_was_there(office: Office, form: str) -> None:
    correct_twice(office)
    rows = await rows_of(office, f"/downloads/list?what=findings&format={form}&{PERIOD}")
    found = dict(zip(rows[0], next(row for row in rows if "김영자" in row), strict=True))
    assert (found["Value"], found["Before correction"], found["Reason of correction"]) == (
        "no",
        "yes",
        "a pulled muscle",
    )
    assert found["Corrected"] == "2026-05-04 09:40:00"
    untouched = dict(zip(rows[0], next(row for row in rows if "이순자" in row), strict=True))
    assert (untouched["Corrected"], untouched["Before correction"]) == ("", "")


async def test_of_corrections_at_one_moment_the_same_counts_everywhere(office: Office) -> None:
    for number in range(6):
        correct(office, list(Ternary)[number % 3], f"reason {number}")
    shown = office.store.care.call(office.ours.users[Role.VIEWER], office.ours.urgent_call).finding("chest_pain")
    rows = await rows_of(office, f"/downloads/list?what=findings&format=csv&{PERIOD}")
    found = dict(zip(rows[0], next(row for row in rows if "김영자" in row), strict=True))
    assert found["Reason of correction"] == shown.corrections[-1].reason


async def test_a_list_of_calls_says_which_summary_a_human_has_overtaken(office: Office) -> None:
    correct_twice(office)
    rows = await rows_of(office, f"/downloads/list?what=calls&format=csv&{PERIOD}")
    corrected = {row[rows[0].index("Name")]: row[rows[0].index("Corrected")] for row in rows[1:]}
    assert corrected["김영자"] == "2026-05-04 09:40:00"
    assert corrected["이순자"] == ""


async def test_times_are_on_the_clock_of_whoever_downloads(office: Office) -> None:
    for form in ("csv", "xlsx"):
        rows = await rows_of(office, f"/downloads/list?what=calls&format={form}&{PERIOD}")
        planned = rows[0].index("Planned")
        assert {row[planned] for row in rows[1:]} == {"2026-05-04 09:30:00"}


@pytest.mark.parametrize("name", ["=1+1", "+82", "-1", "@SUM(A1)", "\t=1", "＝1+1", "#REF!", "a\x00b", "x" * 40_000])
async def test_no_cell_is_a_formula(office: Office, name: str) -> None:
    rename(office, name)
    rows = await rows_of(office, "/downloads/list?what=people&format=csv")
    cells = [cell for row in rows for cell in row]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "＝")) for cell in cells)
    response = await office.supervisor.get("/downloads/list?what=people&format=xlsx")
    sheet = load_workbook(io.BytesIO(response.content)).active
    assert sheet is not None
    assert {cell.data_type for row in sheet.iter_rows() for cell in row if isinstance(cell.value, str)} == {"s"}


@pytest.mark.parametrize(
    "query",
    [
        "what=people&format=pdf",
        "what=everything",
        "what=calls&from=2026-05-02&to=2026-05-01",
        "what=calls&from=2024-01-01&to=2026-05-01",
        "what=calls&from=9999-12-31&to=9999-12-31",
    ],
)
async def test_a_list_that_cannot_be_is_refused(office: Office, query: str) -> None:
    response = await office.supervisor.get(f"/downloads/list?{query}")
    assert response.status_code == (200 if "9999" in query else 422)


async def test_a_list_is_told_in_the_audit_trail(office: Office) -> None:
    await rows_of(office, f"/downloads/list?what=calls&format=csv&{PERIOD}")
    entry = office.store.audit.of(f"organisation:{office.ours.organisation_id}")[-1]
    assert entry.action == "calls.exported"
    assert entry.actor == str(office.ours.users[Role.SUPERVISOR].user_id)
    assert entry.details == {"format": "csv", "first": "2026-05-01", "last": "2026-05-31"}


async def test_a_transcript_is_taken_as_text_page_or_data(office: Office) -> None:
    path = f"/calls/{office.ours.urgent_call}/transcript"
    text = (await office.supervisor.get(f"{path}.txt")).text
    assert "[00:02] Recipient: 어제부터 가슴이 아파요" in text
    page = (await office.supervisor.get(f"{path}.html")).text
    assert "<td>어제부터 가슴이 아파요</td>" in page
    data = (await office.supervisor.get(f"{path}.json")).json()
    assert [turn["speaker"] for turn in data["turns"]] == ["agent", "recipient", "agent"]
    assert history(office) == [(f"attempt:{office.ours.urgent_call}", "transcript")] * 3


async def test_audio_is_given_where_it_was_kept_and_in_parts(office: Office, tmp_path: Path) -> None:
    path = f"/calls/{office.ours.urgent_call}/recording.wav"
    assert (await office.supervisor.get(path)).status_code == 404
    assert history(office) == []
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(3200))
    record(office, sound.getvalue())
    whole = await office.supervisor.get(path)
    assert whole.content == sound.getvalue()
    part = await office.supervisor.get(path, headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, b"RIFF")
    assert history(office) == [(f"attempt:{office.ours.urgent_call}", "recording")] * 2


async def test_a_person_is_taken_as_fhir(office: Office) -> None:
    response = await office.supervisor.get(f"/recipients/{office.ours.urgent}/fhir")
    bundle = whole(response.json())
    assert bundle["type"] == "collection"
    assert [entry["resource"]["resourceType"] for entry in bundle["entry"]] == [
        "Patient",
        "QuestionnaireResponse",
        "Observation",
        "Provenance",
    ]
    assert history(office) == [(f"recipient:{office.ours.urgent}", "fhir")]


async def test_a_corrected_person_is_taken_with_who_corrected_and_what_was_there(office: Office) -> None:
    correct_twice(office)
    bundle = whole((await office.supervisor.get(f"/recipients/{office.ours.urgent}/fhir")).json())
    found: dict[str, list[fhir.Resource]] = {
        kind: [] for kind in ("Patient", "QuestionnaireResponse", "Observation", "Provenance")
    }
    for entry in bundle["entry"]:
        found[entry["resource"]["resourceType"]].append(entry["resource"])
    (response,), (observation,) = found["QuestionnaireResponse"], found["Observation"]
    assert (response["status"], observation["status"]) == ("amended", "amended")
    assert observation["valueCodeableConcept"]["coding"][0]["display"] == "Absent"
    (original,) = observation["extension"]
    assert original["url"] == fhir.ORIGINAL
    assert original["valueCodeableConcept"]["coding"][0]["display"] == "Present"
    assert [
        (each["agent"][0]["who"]["identifier"]["value"], each["reason"][0]["text"]) for each in found["Provenance"][1:]
    ] == [
        (str(office.ours.users[Role.CARE_WORKER].user_id), "not clear on the recording"),
        (str(office.ours.users[Role.SUPERVISOR].user_id), "a pulled muscle"),
    ]


async def test_a_person_s_copy_has_the_finding_and_each_correction(office: Office) -> None:
    correct_twice(office)
    copy = await office.supervisor.get(f"/people/{office.ours.urgent}/copy.zip")
    person = json.loads(zipfile.ZipFile(io.BytesIO(copy.content)).read("person.json"))
    assert [(row["code"], row["value"]) for row in person["finding"]] == [("chest_pain", "yes")]
    corrections = sorted(person["correction"], key=lambda row: row["at"])
    assert [(row["value"], row["reason"]) for row in corrections] == [
        ("unknown", "not clear on the recording"),
        ("no", "a pulled muscle"),
    ]


def paths(office: Office) -> list[str]:
    of_people = [f"/recipients/{id_}/fhir" for id_ in (office.ours.urgent,)]
    call = office.ours.urgent_call
    of_calls = [f"/calls/{call}/transcript.txt", f"/calls/{call}/transcript.json", f"/calls/{call}/recording.wav"]
    return ["/downloads", "/downloads/list?what=people", *of_people, *of_calls]


async def test_downloads_need_a_supervisor(office: Office) -> None:
    async with office.browser() as nobody:
        for path in paths(office):
            assert (await office.viewer.get(path)).status_code == 403
            assert (await office.care_worker.get(path)).status_code == 403
            assert (await nobody.get(path)).status_code in (303, 401)


async def test_nothing_of_another_organisation_can_be_taken(office: Office) -> None:
    record(office, b"RIFF")
    async with office.signed_in(office.others.users[Role.ADMIN]) as stranger:
        for path in paths(office)[2:]:
            assert (await stranger.get(path)).status_code == 404
    assert history(office) == []


async def test_the_page_names_every_list_in_both_languages(office: Office) -> None:
    page = (await office.supervisor.get("/downloads")).text
    for what in LISTS:
        assert f'value="{what}"' in page


async def test_a_token_is_shown_once_and_is_gone_when_it_is_revoked(office: Office) -> None:
    made = await office.admin.post("/admin/api-tokens", data={"name": "Health authority"})
    token = made.text.partition("<code>")[2].partition("</code>")[0]
    assert token.startswith("carecall_")
    listed = (await office.admin.get("/admin/api-tokens")).text
    assert "Health authority" in listed
    assert token not in listed
    headers = {"Authorization": f"Bearer {token}"}
    async with office.browser() as client:
        assert (await client.get("/api/alerts", headers=headers)).status_code == 200
        tokens = office.store.care.api_tokens(office.ours.users[Role.ADMIN])
        id_ = next(each.id for each in tokens if each.name == "Health authority")
        revoked = await office.admin.post(f"/admin/api-tokens/{id_}/revoke")
        assert (revoked.status_code, revoked.headers["location"]) == (303, "/admin/api-tokens")
        assert (await client.get("/api/alerts", headers=headers)).status_code == 401
    assert [entry.action for entry in office.store.audit.of(f"api_token:{id_}")] == [
        "api_token.added",
        "api_token.revoked",
    ]


async def test_tokens_are_an_administrator_s_and_of_their_organisation(office: Office) -> None:
    assert (await office.supervisor.get("/admin/api-tokens")).status_code == 403
    assert (await office.admin.post("/admin/api-tokens", data={"name": " "})).status_code == 422
    office.store.care.add_api_token(office.others.users[Role.ADMIN], "Theirs", actor="test")
    tokens = office.store.care.api_tokens(office.others.users[Role.ADMIN])
    theirs = next(each.id for each in tokens if each.name == "Theirs")
    assert "Theirs" not in (await office.admin.get("/admin/api-tokens")).text
    assert (await office.admin.post(f"/admin/api-tokens/{theirs}/revoke")).status_code == 404
