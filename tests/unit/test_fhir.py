"""Reports as FHIR R4: every resource is valid, and says what was found and no more."""

import json
import uuid
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fhir_rules import loinc, snomed, valid, whole
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from carecall.dialog.definition import Dialog
from carecall.dialog.files import dialog_names, find_dialog
from carecall.domain.codes import PRESENCE, CodeSystem
from carecall.domain.finding import Evidence, Finding, FindingValue, Layer, Missing, Ternary, Unit
from carecall.domain.language import Language
from carecall.domain.record import Correction, Person, ReportedCall
from carecall.domain.report import Outcome, Report
from carecall.exchange import fhir
from carecall.simulation.scenario import load_scenario
from carecall.simulation.text_call import run_text_call

ROOT = Path(__file__).parents[2]
DIALOGS = {name: find_dialog(ROOT / "dialogs", name) for name in dialog_names(ROOT / "dialogs")}
BEGAN = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
WRITTEN = BEGAN + timedelta(minutes=3)
LEXICON_CODES = list(YAML(typ="safe").load(Path(fhir.__file__).with_name("finding_codes.yaml").read_text("utf-8")))
BASE = "https://care.example.org/api/fhir"


def a_report(dialog: Dialog, *findings: Finding, outcome: Outcome = Outcome.COMPLETED) -> Report:
    return Report(dialog.id, dialog.language, dialog.version, dialog.hash, outcome, findings, ())


def a_call(report: Report, *corrections: Correction) -> ReportedCall:
    return ReportedCall(uuid.uuid4(), uuid.uuid4(), BEGAN, WRITTEN, report, corrections)


def a_correction(code: str, value: FindingValue, *, minutes: int = 60) -> Correction:
    at = WRITTEN + timedelta(minutes=minutes)
    return Correction(uuid.uuid4(), code, value, "heard it on the recording", uuid.uuid4(), at)


def observation(call: ReportedCall, dialog: Dialog, code: str) -> dict[str, Any] | None:
    found = [each for each in fhir.observations(call, dialog) if each["code"]["text"] == code]
    return valid(found[0]) if found else None


def item(call: ReportedCall, dialog: Dialog | None, code: str) -> dict[str, Any]:
    response = valid(fhir.questionnaire_response(call, dialog))
    found: dict[str, Any] = next(each for each in response["item"] if each["linkId"] == code)
    return found


MONITORING = DIALOGS["active-monitoring.en"]


@pytest.mark.parametrize("path", sorted((ROOT / "scenarios").glob("*.yaml")), ids=lambda path: path.stem)
async def test_every_simulated_call_is_valid(path: Path) -> None:
    scenario = load_scenario(path)
    dialog = DIALOGS[scenario.dialog]
    result = await run_text_call(scenario, ROOT / "dialogs", today=date(2026, 5, 4))
    call = a_call(result.report)
    person = Person(call.recipient_id, scenario.recipient.name, "+821012345678", dialog.language, "Asia/Seoul")
    every = [fhir.patient(person), *fhir.resources(call, dialog)]
    searched = valid(fhir.bundle("searchset", BASE, every, now=WRITTEN, links={"self": f"{BASE}/Patient"}))
    for bundle in (whole(fhir.bundle("collection", BASE, every, now=WRITTEN)), searched):
        assert len(bundle["entry"]) == len(every)
    response = valid(fhir.questionnaire_response(call, dialog))
    assert [each["linkId"] for each in response["item"]] == [each.code for each in result.report.findings]
    assert response["language"] == dialog.language


def test_the_scenarios_hold_every_dialog_in_both_languages() -> None:
    assert {load_scenario(path).dialog for path in (ROOT / "scenarios").glob("*.yaml")} == set(DIALOGS)


_words = st.text(st.characters(exclude_categories=[]), max_size=40)
_values: st.SearchStrategy[FindingValue] = st.one_of(
    st.sampled_from(Ternary),
    st.sampled_from(Missing),
    st.floats(allow_nan=False, allow_infinity=False),
    _words,
)
_evidence = st.builds(
    Evidence, st.integers(0, 300), _words, st.none() | st.floats(0, 3600, allow_nan=False, allow_infinity=False)
)


@st.composite
def _calls(draw: st.DrawFn) -> tuple[ReportedCall, Dialog | None]:
    dialog = DIALOGS[draw(st.sampled_from(sorted(DIALOGS)))]
    codes = [*(each.code for each in dialog.agenda), "chest_pain", "anosmia", "low_mood"]
    chosen = draw(st.lists(st.sampled_from(codes), unique=True, max_size=8))
    findings = [
        Finding(
            code,
            draw(_values),
            tuple(draw(st.lists(_evidence, max_size=2))),
            draw(st.sampled_from(Layer)),
            draw(st.none() | st.sampled_from(Unit)),
        )
        for code in chosen
    ]
    corrections = [
        a_correction(code, draw(_values), minutes=draw(st.integers(0, 9)))
        for code in draw(st.lists(st.sampled_from(codes), max_size=3))
    ]
    call = a_call(a_report(dialog, *findings, outcome=draw(st.sampled_from(Outcome))), *corrections)
    return call, draw(st.sampled_from([dialog, None]))


@settings(max_examples=60)
@given(_calls())
def test_whatever_a_report_holds_its_resources_are_valid(made: tuple[ReportedCall, Dialog | None]) -> None:
    call, dialog = made
    person = Person(call.recipient_id, "Anna", "+821012345678", Language.KOREAN, "Asia/Seoul")
    every = [fhir.patient(person), *fhir.resources(call, dialog)]
    whole(fhir.bundle("collection", BASE, every, now=WRITTEN))


@settings(max_examples=60)
@given(_words, _words)
def test_whatever_somebody_is_called_they_are_a_valid_patient(name: str, phone: str) -> None:
    valid(fhir.patient(Person(uuid.uuid4(), name, phone, Language.KOREAN, "Asia/Seoul")))


@pytest.mark.parametrize(
    ("value", "code"), [(Ternary.YES, "52101004"), (Ternary.NO, "2667000"), (Ternary.UNKNOWN, "261665006")]
)
def test_a_symptom_is_present_absent_or_unknown(value: Ternary, code: str) -> None:
    found = observation(a_call(a_report(MONITORING, Finding("cough", value))), MONITORING, "cough")
    assert found is not None
    assert found["code"]["coding"][0]["code"] == "49727002"
    assert found["valueCodeableConcept"]["coding"][0]["code"] == code


def test_a_question_that_was_not_asked_is_no_observation_and_has_no_answer() -> None:
    call = a_call(a_report(MONITORING, Finding("cough", Missing.NOT_ASKED)))
    assert observation(call, MONITORING, "cough") is None
    assert item(call, MONITORING, "cough")["extension"] == [{"url": fhir.ABSENT, "valueCode": "not-asked"}]


def test_a_question_without_a_usable_answer_says_so() -> None:
    call = a_call(a_report(MONITORING, Finding("cough", Missing.NO_ANSWER)))
    found = observation(call, MONITORING, "cough")
    assert found is not None
    assert found["dataAbsentReason"]["coding"][0]["code"] == "asked-unknown"
    assert "valueCodeableConcept" not in found


@pytest.mark.parametrize("value", [Ternary.UNKNOWN, Missing.NO_ANSWER, "a bit warm"])
def test_a_vital_sign_is_a_number_or_not_known(value: FindingValue) -> None:
    found = observation(a_call(a_report(MONITORING, Finding("temperature", value))), MONITORING, "temperature")
    assert found is not None
    assert found["dataAbsentReason"]["coding"][0]["code"] == "asked-unknown"


def test_temperature_is_a_vital_sign_in_its_own_unit() -> None:
    call = a_call(a_report(MONITORING, Finding("temperature", 100.4, unit=Unit.FAHRENHEIT)))
    found = observation(call, MONITORING, "temperature")
    assert found is not None
    assert found["code"]["coding"][0]["system"] == CodeSystem.LOINC
    assert found["category"][0]["coding"][0]["code"] == "vital-signs"
    assert found["valueQuantity"] == {
        "value": 100.4,
        "unit": "°F",
        "system": "http://unitsofmeasure.org",
        "code": "[degF]",
    }


def test_what_is_heard_without_being_asked_has_the_code_of_the_lexicon() -> None:
    dialog = DIALOGS["wellbeing.ko"]
    found = observation(a_call(a_report(dialog, Finding("chest_pain", Ternary.YES))), dialog, "chest_pain")
    assert found is not None
    assert found["code"]["coding"][0]["code"] == "29857009"


def test_a_finding_without_a_code_is_an_item_and_no_observation() -> None:
    call = a_call(a_report(MONITORING, Finding("anosmia", Ternary.YES)))
    assert observation(call, MONITORING, "anosmia") is None
    assert item(call, MONITORING, "anosmia")["answer"][0]["valueCoding"]["code"] == "Y"


def test_every_code_of_the_lexicon_is_one_of_its_findings() -> None:
    for language in Language:
        lexicon = (ROOT / "dialogs" / f"lexicon.{language}.yaml").read_text("utf-8")
        for code in LEXICON_CODES:
            assert fhir.codings_of(code, None)
            assert f"\n  {code}:\n" in lexicon


def test_codes_are_ones_that_their_systems_can_have_given() -> None:
    listed = [coding for dialog in DIALOGS.values() for each in dialog.agenda for coding in each.coding]
    lexicon = [coding for code in LEXICON_CODES for coding in fhir.codings_of(code, None)]
    for coding in (*listed, *lexicon, *PRESENCE.values()):
        assert (snomed if coding.system is CodeSystem.SNOMED_CT else loinc)(coding.code), coding
    assert not snomed("49727003")
    assert not loinc("8310-4")


def test_an_answer_carries_the_words_it_rests_on() -> None:
    finding = Finding("cough", Ternary.YES, (Evidence(3, "coughing all night", 12.5),))
    call = a_call(a_report(MONITORING, finding))
    proof = item(call, MONITORING, "cough")["answer"][0]["extension"][0]
    assert proof["url"] == fhir.EVIDENCE
    assert {"url": "quote", "valueString": "coughing all night"} in proof["extension"]
    assert {"url": "startSeconds", "valueDecimal": 12.5} in proof["extension"]
    found = observation(call, MONITORING, "cough")
    assert found is not None
    assert found["note"] == [{"text": "coughing all night"}]
    assert found["derivedFrom"] == [{"reference": f"QuestionnaireResponse/{call.attempt_id}"}]


def test_questions_stand_in_the_words_of_the_dialog_that_asked_them_or_in_none() -> None:
    call = a_call(a_report(MONITORING, Finding("cough", Ternary.NO)))
    assert item(call, MONITORING, "cough")["text"] == "Are you coughing?"
    report = Report("active-monitoring", "en", "0.9", "0" * 64, Outcome.COMPLETED, call.report.findings, ())
    assert "text" not in item(a_call(report), MONITORING, "cough")


def test_a_correction_amends_and_keeps_what_was_there() -> None:
    correction = a_correction("cough", Ternary.NO)
    call = a_call(a_report(MONITORING, Finding("cough", Ternary.YES), Finding("fever", Ternary.NO)), correction)
    response = valid(fhir.questionnaire_response(call, MONITORING))
    assert response["status"] == "amended"
    assert response["meta"]["lastUpdated"] == fhir.instant(correction.at)
    answer = item(call, MONITORING, "cough")["answer"][0]
    assert answer["valueCoding"]["code"] == "N"
    assert [each["valueCoding"]["code"] for each in answer["extension"] if each["url"] == fhir.ORIGINAL] == ["Y"]
    corrected, untouched = (observation(call, MONITORING, code) for code in ("cough", "fever"))
    assert corrected is not None
    assert untouched is not None
    assert (corrected["status"], untouched["status"]) == ("amended", "final")
    assert corrected["valueCodeableConcept"]["coding"][0]["code"] == "2667000"
    before = [each["valueCodeableConcept"] for each in corrected["extension"] if each["url"] == fhir.ORIGINAL]
    assert before[0]["coding"][0]["code"] == "52101004"
    assert "extension" not in untouched
    who = valid(fhir.provenances(call, MONITORING)[1])
    assert who["agent"][0]["who"]["identifier"]["value"] == str(correction.user_id)
    assert {"reference": f"Observation/{corrected['id']}"} in who["target"]


def test_the_newest_correction_counts_and_everybody_who_corrected_is_named() -> None:
    first, second = a_correction("cough", Ternary.NO), a_correction("cough", Ternary.UNKNOWN, minutes=90)
    call = a_call(a_report(MONITORING, Finding("cough", Ternary.YES)), second, first)
    found = observation(call, MONITORING, "cough")
    assert found is not None
    assert found["valueCodeableConcept"]["coding"][0]["code"] == "261665006"
    assert found["issued"] == fhir.instant(second.at)
    original = found["extension"][0]["valueCodeableConcept"]["coding"][0]["code"]
    assert original == "52101004"
    who = [valid(each)["agent"][0]["who"]["identifier"]["value"] for each in fhir.provenances(call, MONITORING)[1:]]
    assert set(who) == {str(first.user_id), str(second.user_id)}


def test_a_human_s_answer_to_a_question_that_was_not_asked_says_that_it_was_not() -> None:
    call = a_call(a_report(MONITORING, Finding("cough", Missing.NOT_ASKED)), a_correction("cough", Ternary.YES))
    found = observation(call, MONITORING, "cough")
    assert found is not None
    assert found["status"] == "amended"
    assert found["extension"] == [{"url": fhir.ORIGINAL, "valueCode": "not-asked"}]
    answer = item(call, MONITORING, "cough")["answer"][0]
    assert answer["extension"] == [{"url": fhir.ORIGINAL, "valueCode": "not-asked"}]


def test_provenance_names_the_dialog_by_its_hash() -> None:
    call = a_call(a_report(MONITORING, Finding("cough", Ternary.NO)))
    made = valid(fhir.provenances(call, MONITORING)[0])
    assert made["entity"][0]["what"]["identifier"]["value"] == MONITORING.hash


@pytest.mark.parametrize("outcome", Outcome)
def test_only_a_call_that_reached_its_end_is_complete(outcome: Outcome) -> None:
    response = valid(fhir.questionnaire_response(a_call(a_report(MONITORING, outcome=outcome)), MONITORING))
    assert response["status"] == ("completed" if outcome is Outcome.COMPLETED else "stopped")
    assert ("source" in response) == (outcome not in (Outcome.WRONG_PERSON, Outcome.SILENT))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_bundle_written_piece_by_piece_is_the_bundle(count: int) -> None:
    call = a_call(a_report(MONITORING, Finding("cough", Ternary.NO)))
    every = fhir.resources(call, MONITORING)[:count]
    written = "".join(fhir.collected(BASE, every, now=WRITTEN))
    assert valid(json.loads(written)) == json.loads(json.dumps(fhir.bundle("collection", BASE, every, now=WRITTEN)))
