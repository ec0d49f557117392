"""Our records as FHIR R4 resources (https://hl7.org/fhir/R4/): pure functions that give JSON objects.

A report becomes one QuestionnaireResponse, one Observation for each finding that has a code, one Provenance for the
report and one for each correction. Nothing is sent that is not known: a question that was not asked has no answer and
no Observation, one without a usable answer says so, and unknown never becomes absent.
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, assert_never

from ruamel.yaml import YAML

from carecall import __version__
from carecall.dialog.definition import Dialog, Question
from carecall.domain.codes import PRESENCE, CodeSystem, Coding
from carecall.domain.finding import AnswerType, Evidence, Finding, FindingValue, Missing, Ternary, Unit
from carecall.domain.record import Correction, Person, ReportedCall
from carecall.domain.report import Outcome, Report

FHIR_VERSION = "4.0.1"
URN = "urn:carecall"  # of what only this program names: dialogs, choices, extensions, users
EVIDENCE = f"{URN}:evidence"
ORIGINAL = f"{URN}:original"  # what a corrected answer was before
ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
TIME_ZONE = "http://hl7.org/fhir/StructureDefinition/timezone"

_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
_UCUM = "http://unitsofmeasure.org"
_VITAL_SIGNS = frozenset({(CodeSystem.LOINC, "8310-5")})
_YES_NO = {Ternary.YES: ("Y", "Yes"), Ternary.NO: ("N", "No")}
_UNITS = {
    Unit.CELSIUS: ("°C", "Cel"),
    Unit.FAHRENHEIT: ("°F", "[degF]"),
    Unit.HOURS: ("h", "h"),
    Unit.MEALS: ("meals", "{meals}"),
    Unit.SCORE_0_10: ("score", "{score}"),
}
_DAYS = ("d", "d")
_ABSENCES = {"not-asked": "Not Asked", "asked-unknown": "Asked But Unknown"}
_NOBODY_ANSWERED = (Outcome.WRONG_PERSON, Outcome.SILENT)

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A finding as it stands now."""

    finding: Finding
    before: Finding | None = None  # what a human has corrected
    correction: Correction | None = None  # the newest


def patient(person: Person) -> Resource:
    return _without_empty(
        {
            "resourceType": "Patient",
            "id": str(person.id),
            "extension": [{"url": TIME_ZONE, "valueCode": person.time_zone}],
            "identifier": [{"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{person.id}"}],
            "name": [{"text": name}] if (name := text(person.name)) else [],
            "telecom": [{"system": "phone", "value": phone}] if (phone := text(person.phone)) else [],
            "communication": [
                {
                    "language": {"coding": [{"system": "urn:ietf:bcp:47", "code": person.language.value}]},
                    "preferred": True,
                }
            ],
        }
    )


def questionnaire_response(call: ReportedCall, dialog: Dialog | None) -> Resource:
    """The report. ``dialog`` lends the questions' texts while it is the one that the report was made with."""
    report = call.report
    status = "completed" if report.outcome is Outcome.COMPLETED else "stopped"
    asked = dialog if dialog is not None and dialog.hash == report.dialog_hash else None
    return _without_empty(
        {
            "resourceType": "QuestionnaireResponse",
            "id": str(call.attempt_id),
            "meta": {"lastUpdated": instant(call.changed_at)},
            "language": report.dialog_language,
            "contained": [_device()],
            "questionnaire": canonical(report),
            "status": "amended" if call.corrections else status,
            "subject": _patient(call),
            "authored": instant(call.written_at),
            "author": {"reference": "#carecall"},
            "source": None if report.outcome in _NOBODY_ANSWERED else _patient(call),
            "item": [_item(entry, _question(asked, entry.finding.code), report) for entry in _entries(call)],
        }
    )


def observations(call: ReportedCall, dialog: Dialog | None) -> list[Resource]:
    """An Observation for each finding that has a code and was asked about or heard, in the report's order."""
    found = []
    for position, entry in enumerate(_entries(call)):
        codings = codings_of(entry.finding.code, dialog)
        if codings and (entry.correction is not None or entry.finding.value is not Missing.NOT_ASKED):
            found.append(_observation(call, entry, position, codings, _question(dialog, entry.finding.code)))
    return found


def provenances(call: ReportedCall, dialog: Dialog | None) -> list[Resource]:
    """Who made the report, and with what; then who corrected it."""
    return _provenances(call, observations(call, dialog))


def resources(call: ReportedCall, dialog: Dialog | None) -> list[Resource]:
    """All that a call is sent as."""
    observed = observations(call, dialog)
    return [questionnaire_response(call, dialog), *observed, *_provenances(call, observed)]


def _provenances(call: ReportedCall, observed: Sequence[Resource]) -> list[Resource]:
    report = call.report
    every = [_reference("QuestionnaireResponse", call.attempt_id)]
    made = {
        "resourceType": "Provenance",
        "id": str(call.attempt_id),
        "meta": {"lastUpdated": instant(call.written_at)},
        "contained": [_device()],
        "target": every + [_reference("Observation", each["id"]) for each in observed],
        "occurredDateTime": instant(call.began_at),
        "recorded": instant(call.written_at),
        "activity": _operation("CREATE", "create"),
        "agent": [
            {"type": _participant("author", "Author"), "who": {"reference": "#carecall"}},
            {
                "type": _participant("assembler", "Assembler"),
                "who": {"display": f"CareCall {__version__}"},
            },
        ],
        "entity": [
            {
                "role": "source",
                "what": {
                    "identifier": {"system": f"{URN}:dialog:sha256", "value": report.dialog_hash},
                    "display": f"{report.dialog_id}.{report.dialog_language} {report.dialog_version}",
                },
            }
        ],
    }
    return [made, *(_corrected(call, each, observed) for each in call.corrections)]


def bundle(
    kind: str,
    base: str,
    matches: Iterable[Resource],
    *,
    now: datetime,
    included: Iterable[Resource] = (),
    links: Mapping[str, str] | None = None,
) -> Resource:
    """A Bundle of type ``collection`` or ``searchset``. ``base`` is the address of the interface, without a slash."""
    found = [_bundled(kind, base, each, "match") for each in matches]
    found += [_bundled(kind, base, each, "include") for each in included]
    return _without_empty(
        {
            "resourceType": "Bundle",
            "type": kind,
            "timestamp": instant(now),
            "link": [{"relation": relation, "url": url} for relation, url in (links or {}).items()],
            "entry": found,
        }
    )


def collected(base: str, every: Iterable[Resource], *, now: datetime) -> Iterator[str]:
    """The text of a collection Bundle piece by piece, so that one of any size takes no more memory than an entry."""
    yield f'{{"resourceType":"Bundle","type":"collection","timestamp":{_dump(instant(now))}'
    lead = ',"entry":['
    for each in every:
        yield lead + _dump(_bundled("collection", base, each, "match")) + "\n"
        lead = ","
    yield "}" if lead != "," else "]}"


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def operation_outcome(severity: str, code: str, diagnostics: str) -> Resource:
    """What is said of a request that failed. ``code`` is of the value set issue-type."""
    return {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": severity, "code": code, "diagnostics": text(diagnostics) or code}],
    }


def canonical(report: Report) -> str:
    """The Questionnaire that a report answers."""
    return f"{URN}:dialog:{report.dialog_id}.{report.dialog_language}|{report.dialog_version}"


def codings_of(code: str, dialog: Dialog | None) -> tuple[Coding, ...]:
    """The codes of a finding: those of the dialog's question, else those of the lexicon's finding."""
    question = _question(dialog, code)
    return (question.coding if question is not None else ()) or _finding_codes().get(code, ())


def instant(moment: datetime) -> str:
    """In UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def text(words: str) -> str:
    """What FHIR takes for a string: no control characters, no half characters, no space around; maybe empty."""
    whole = words.encode("utf-8", "replace").decode()
    return "".join(
        " " if sign.isspace() and sign not in "\t\r\n" else sign
        for sign in whole
        if sign.isprintable() or sign.isspace()
    ).strip()


@cache
def _finding_codes() -> dict[str, tuple[Coding, ...]]:
    listed = YAML(typ="safe").load(Path(__file__).with_name("finding_codes.yaml").read_text("utf-8"))
    return {code: (Coding(CodeSystem.SNOMED_CT, each["code"], each["display"]),) for code, each in dict(listed).items()}


def _entries(call: ReportedCall) -> list[_Entry]:
    """The findings in the report's order, each as corrected last."""
    newest = {each.code: each for each in sorted(call.corrections, key=lambda each: each.at)}
    return [_entry(finding, newest.get(finding.code)) for finding in call.report.findings]


def _entry(finding: Finding, correction: Correction | None) -> _Entry:
    if correction is None:
        return _Entry(finding)
    return _Entry(replace(finding, value=correction.value), finding, correction)


def _item(entry: _Entry, question: Question | None, report: Report) -> Resource:
    finding = entry.finding
    answer = _answer(finding, question, report)
    proof = [_evidence(each) for each in finding.evidence if text(each.quote)]
    if before := entry.before:
        proof.append({"url": ORIGINAL, **(_answer(before, question, report) or _absent(before.value))})
    if not answer:
        proof.append({"url": ABSENT, **_absent(finding.value)})
    return _without_empty(
        {
            "extension": [] if answer else proof,
            "linkId": finding.code,
            "text": text(question.ask[0]) if question is not None and question.ask else "",
            "answer": [_without_empty({"extension": proof, **answer})] if answer else [],
        }
    )


def _answer(finding: Finding, question: Question | None, report: Report) -> Resource:
    """``value[x]``; empty when there is no answer."""
    match finding.value:
        case Missing():
            return {}
        case Ternary.UNKNOWN:
            return {"valueCoding": _absent_coding(finding.value)}
        case Ternary() as said:
            return {"valueCoding": _coding(f"{_TERMINOLOGY}/v2-0136", *_YES_NO[said])}
        case int() | float() as number:
            return {"valueQuantity": _quantity(number, finding, question)}
        case str() as words:
            if chosen := _choice(words, question, report):
                return {"valueCoding": chosen}
            return {"valueString": said_words} if (said_words := text(words)) else {}
        case _:
            assert_never(finding.value)


def _choice(words: str, question: Question | None, report: Report) -> Resource | None:
    """The coding of what was chosen; None for any other words."""
    if question is None or words not in (labels := {each.id: each.label for each in question.choices}):
        return None
    system = f"{URN}:choice:{report.dialog_id}:{question.code}"
    return _without_empty(_coding(system, words, text(labels[words])))


def _absent(value: FindingValue) -> Resource:
    return {"valueCode": _absence(value)}


def _absent_coding(value: FindingValue) -> Resource:
    code = _absence(value)
    return _coding(f"{_TERMINOLOGY}/data-absent-reason", code, _ABSENCES[code])


def _absence(value: FindingValue) -> str:
    """The code of the data-absent-reason."""
    return "not-asked" if value is Missing.NOT_ASKED else "asked-unknown"


def _observation(
    call: ReportedCall, entry: _Entry, position: int, codings: Sequence[Coding], question: Question | None
) -> Resource:
    finding, correction = entry.finding, entry.correction
    vital = any((each.system, each.code) in _VITAL_SIGNS for each in codings)
    kind = ("vital-signs", "Vital Signs") if vital else ("survey", "Survey")
    value = _observed(finding, question, call.report, vital=vital)
    proof = []
    if before := entry.before:
        known = _observed(before, question, call.report, vital=vital)
        proof.append({"url": ORIGINAL, **(known or _absent(before.value))})
    notes = [{"text": quote} for each in finding.evidence if (quote := text(each.quote))]
    changed_at = call.written_at
    if correction is not None:
        changed_at = correction.at
        if reason := text(correction.reason):
            notes.append({"time": instant(correction.at), "text": reason})
    return _without_empty(
        {
            "resourceType": "Observation",
            "id": f"{call.attempt_id}.{position}",
            "meta": {"lastUpdated": instant(changed_at)},
            "extension": proof,
            "status": "final" if correction is None else "amended",
            "category": [{"coding": [_coding(f"{_TERMINOLOGY}/observation-category", *kind)]}],
            "code": {
                "coding": [_without_empty(_coding(each.system, each.code, each.display)) for each in codings],
                "text": finding.code,
            },
            "subject": _patient(call),
            "effectiveDateTime": instant(call.began_at),
            "issued": instant(changed_at),
            "performer": [_patient(call)],
            **(value or {"dataAbsentReason": {"coding": [_absent_coding(finding.value)]}}),
            "note": notes,
            "derivedFrom": [_reference("QuestionnaireResponse", call.attempt_id)],
        }
    )


def _observed(finding: Finding, question: Question | None, report: Report, *, vital: bool) -> Resource:
    """``value[x]`` of an Observation; empty when there is none. A vital sign is a number or is not known."""
    match finding.value:
        case int() | float() as number:
            return {"valueQuantity": _quantity(number, finding, question)}
        case Ternary() as presence if not vital:
            coding = PRESENCE[presence]
            return {"valueCodeableConcept": {"coding": [_coding(coding.system, coding.code, coding.display)]}}
        case str() as words if not vital and not isinstance(words, Ternary | Missing):
            if chosen := _choice(words, question, report):
                return {"valueCodeableConcept": {"coding": [chosen]}}
            return {"valueString": said} if (said := text(words)) else {}
        case _:
            return {}


def _quantity(number: float, finding: Finding, question: Question | None) -> Resource:
    """In the unit of the finding, or else of its question. A number of unknown unit is sent bare."""
    unit = finding.unit or (question.unit if question is not None else None)
    if unit is not None:
        shown, code = _UNITS[unit]
    elif question is not None and question.type is AnswerType.DURATION_DAYS:
        shown, code = _DAYS
    else:
        return {"value": _decimal(number)}
    return {"value": _decimal(number), "unit": shown, "system": _UCUM, "code": code}


def _decimal(number: float) -> float | int:
    return int(number) if float(number).is_integer() and abs(number) < 1e15 else number


def _corrected(call: ReportedCall, correction: Correction, observed: Sequence[Resource]) -> Resource:
    about = [_reference("Observation", each["id"]) for each in observed if each["code"]["text"] == correction.code]
    return _without_empty(
        {
            "resourceType": "Provenance",
            "id": str(correction.id),
            "meta": {"lastUpdated": instant(correction.at)},
            "target": [_reference("QuestionnaireResponse", call.attempt_id), *about],
            "recorded": instant(correction.at),
            "reason": [{"text": reason}] if (reason := text(correction.reason)) else [],
            "activity": _operation("UPDATE", "revise"),
            "agent": [
                {
                    "type": _participant("author", "Author"),
                    "who": {"identifier": {"system": f"{URN}:user", "value": str(correction.user_id)}},
                }
            ],
        }
    )


def _evidence(evidence: Evidence) -> Resource:
    parts: list[Resource] = [
        {"url": "quote", "valueString": text(evidence.quote)},
        {"url": "turn", "valueUnsignedInt": evidence.turn},
    ]
    if evidence.start_s is not None:
        parts.append({"url": "startSeconds", "valueDecimal": round(evidence.start_s, 3)})
    return {"url": EVIDENCE, "extension": parts}


def _bundled(kind: str, base: str, resource: Resource, mode: str) -> Resource:
    entry: Resource = {"fullUrl": f"{base}/{resource['resourceType']}/{resource['id']}", "resource": resource}
    return entry | {"search": {"mode": mode}} if kind == "searchset" else entry


def _question(dialog: Dialog | None, code: str) -> Question | None:
    return next((each for each in dialog.agenda if each.code == code), None) if dialog is not None else None


def _device() -> Resource:
    return {"resourceType": "Device", "id": "carecall", "deviceName": [{"name": "CareCall", "type": "model-name"}]}


def _patient(call: ReportedCall) -> Resource:
    return _reference("Patient", call.recipient_id)


def _reference(kind: str, id_: uuid.UUID | str) -> Resource:
    return {"reference": f"{kind}/{id_}"}


def _participant(code: str, display: str) -> Resource:
    return {"coding": [_coding(f"{_TERMINOLOGY}/provenance-participant-type", code, display)]}


def _operation(code: str, display: str) -> Resource:
    return {"coding": [_coding(f"{_TERMINOLOGY}/v3-DataOperation", code, display)]}


def _coding(system: str, code: str, display: str) -> Resource:
    return {"system": str(system), "code": code, "display": display}


def _without_empty(resource: Resource) -> Resource:
    """FHIR knows no empty values: what is empty is left out."""
    return {name: value for name, value in resource.items() if value not in (None, "", [], {})}
