"""Rules of FHIR R4 (https://hl7.org/fhir/R4/) that the models of fhir.resources leave out: codes, units, references.

The models are of R4B, which has the resources that we send as R4 has them; they check names, types and cardinalities.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from fhir.resources.R4B import get_fhir_model_class

Resource = dict[str, Any]

SNOMED, LOINC, UCUM = "http://snomed.info/sct", "http://loinc.org", "http://unitsofmeasure.org"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
_UNITS = {"Cel", "[degF]", "h", "d", "{meals}", "{score}"}
_BOUND = {  # required bindings, of what we send
    "Bundle.type": {"collection", "searchset"},
    "Bundle.link.relation": {"self", "next"},
    "Bundle.entry.search.mode": {"match", "include", "outcome"},
    "Observation.status": {"final", "amended"},
    "QuestionnaireResponse.status": {"completed", "amended", "stopped"},
    "Provenance.entity.role": {"derivation", "revision", "quotation", "source", "removal"},
    "Patient.telecom.system": {"phone", "fax", "email", "pager", "url", "sms", "other"},
    "Device.deviceName.type": {"user-friendly-name", "manufacturer-name", "model-name", "other"},
    "CapabilityStatement.status": {"draft", "active", "retired", "unknown"},
    "CapabilityStatement.kind": {"instance", "capability", "requirements"},
    "CapabilityStatement.fhirVersion": {"4.0.1"},
    "CapabilityStatement.rest.mode": {"client", "server"},
    "CapabilityStatement.rest.resource.interaction.code": {"read", "search-type"},
    "CapabilityStatement.rest.resource.searchParam.type": {"date", "reference", "token"},
    "OperationOutcome.issue.severity": {"fatal", "error", "warning", "information"},
    "OperationOutcome.issue.code": {
        *("invalid", "login", "forbidden", "not-found", "not-supported", "throttled", "transient", "exception"),
        "processing",
    },
}
_CODES = {  # of HL7's own systems
    f"{_TERMINOLOGY}/observation-category": {"vital-signs": "Vital Signs", "survey": "Survey"},
    f"{_TERMINOLOGY}/data-absent-reason": {"asked-unknown": "Asked But Unknown", "not-asked": "Not Asked"},
    f"{_TERMINOLOGY}/v2-0136": {"Y": "Yes", "N": "No"},
    f"{_TERMINOLOGY}/provenance-participant-type": {"author": "Author", "assembler": "Assembler"},
    f"{_TERMINOLOGY}/v3-DataOperation": {"CREATE": "create", "UPDATE": "revise"},
}
_TARGETS = {
    "Observation.subject": {"Patient"},
    "Observation.performer": {"Patient"},
    "Observation.derivedFrom": {"QuestionnaireResponse"},
    "QuestionnaireResponse.subject": {"Patient"},
    "QuestionnaireResponse.source": {"Patient"},
    "QuestionnaireResponse.author": {"Device"},
    "Provenance.target": {"QuestionnaireResponse", "Observation"},
    "Provenance.agent.who": {"Device"},
}
_EXTENDED = {  # where each extension of ours and of HL7's may stand
    "http://hl7.org/fhir/StructureDefinition/timezone": {"Patient"},
    "http://hl7.org/fhir/StructureDefinition/data-absent-reason": {"QuestionnaireResponse.item"},
    "urn:carecall:evidence": {"QuestionnaireResponse.item", "QuestionnaireResponse.item.answer"},
    "urn:carecall:original": {"QuestionnaireResponse.item", "QuestionnaireResponse.item.answer", "Observation"},
}
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_REFERENCE = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})")
_INSTANTS = ("lastUpdated", "timestamp", "recorded", "issued", "authored", "effectiveDateTime", "occurredDateTime")


def valid(resource: Resource) -> Resource:
    """The resource as it goes over the line, against the models and the rules of each part."""
    read: Resource = json.loads(json.dumps(resource, ensure_ascii=False, allow_nan=False).encode())
    get_fhir_model_class(read["resourceType"]).model_validate(read)
    _check_resource(read)
    if read["resourceType"] == "Bundle":
        _check_bundle(read)
    return read


def whole(bundle: Resource) -> Resource:
    """A valid Bundle in which every reference leads to one of its entries."""
    read = valid(bundle)
    there = {entry["fullUrl"] for entry in read["entry"]}
    for entry in read["entry"]:
        kind, id_ = entry["resource"]["resourceType"], entry["resource"]["id"]
        base = entry["fullUrl"].removesuffix(f"/{kind}/{id_}")
        for _, reference in _references(entry["resource"]):
            assert reference.startswith("#") or f"{base}/{reference}" in there, reference
    return read


def snomed(code: str) -> bool:
    """Whether the code is a concept's, by its partition and by Verhoeff's check digit."""
    return code.isdecimal() and 6 <= len(code) <= 18 and code[-3:-1] in ("00", "10") and _verhoeff(code) == 0


def loinc(code: str) -> bool:
    """Whether the code ends with its check digit, modulo 10."""
    digits = code.replace("-", "")[::-1]
    doubled = (int(part) for sign in digits[1::2] for part in str(2 * int(sign)))
    return (sum(doubled) + sum(map(int, digits[::2]))) % 10 == 0


def _verhoeff(code: str) -> int:
    flip = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)
    check = 0
    for place, sign in enumerate(reversed(code)):
        digit = int(sign)
        for _ in range(place % 8):
            digit = flip[digit]
        check = _dihedral(check, digit)
    return check


def _dihedral(a: int, b: int) -> int:
    """The product in the group of the pentagon's symmetries; from 5 on these are reflections."""
    turned = a % 5 + b % 5 if a < 5 else a % 5 - b % 5
    return turned % 5 + (0 if (a < 5) == (b < 5) else 5)


def _check_bundle(bundle: Resource) -> None:
    entries = bundle.get("entry", [])
    addresses = [entry["fullUrl"] for entry in entries]
    assert len(set(addresses)) == len(addresses)  # bdl-7
    for entry in entries:
        resource = entry["resource"]
        assert entry["fullUrl"].endswith(f"/{resource['resourceType']}/{resource['id']}")
        assert entry["fullUrl"].startswith(("http://", "https://"))
        assert ("search" in entry) == (bundle["type"] == "searchset")  # bdl-2
        assert not {"request", "response"} & set(entry)  # bdl-3, bdl-4
        _check_resource(resource)
    if bundle["type"] == "searchset":
        assert [link["relation"] for link in bundle["link"]].count("self") == 1


def _check_resource(resource: Resource) -> None:
    kind = resource["resourceType"]
    assert "id" not in resource or _ID.fullmatch(resource["id"])
    contained = resource.get("contained", [])
    for each in contained:
        assert not {"contained", "meta"} & set(each)  # dom-2, dom-4
        _check_resource(each)
    here = {f"#{each['id']}" for each in contained}
    local = {reference for _, reference in _references(resource) if reference.startswith("#")}
    assert local == here  # ref-1, dom-3
    for path, name, value in _parts(resource, kind):
        assert value not in (None, "", [], {}), f"{path}.{name}"  # ele-1
        _check_part(f"{path}.{name}", name, value)
    if kind == "Observation":
        _check_observation(resource)
    for item in resource.get("item", []) if kind == "QuestionnaireResponse" else ():
        assert not ("item" in item and "answer" in item)  # qrs-1
        for answer in item.get("answer", []):
            assert len(_values(answer)) == 1


def _check_part(path: str, name: str, value: Any) -> None:
    """One element, which may be a list of them."""
    each: Any
    for each in value if isinstance(value, list) else [value]:
        if path in _BOUND:
            assert each in _BOUND[path], f"{path}: {each}"
        if isinstance(each, str):
            assert each == each.strip(), path
            assert not any(sign < " " and sign not in "\t\r\n" for sign in each), path
        if name in _INSTANTS:
            assert _INSTANT.fullmatch(each), path
        if name == "extension":
            _check_extension(path, each)
        if isinstance(each, dict) and {"system", "code"} <= set(each):
            _check_code(path, each)
        assert not isinstance(each, dict) or "reference" not in each or _fits(path, each["reference"]), path


def _check_extension(path: str, extension: Resource) -> None:
    assert ("extension" in extension) != bool(_values(extension))  # ext-1
    if path.endswith(".extension.extension"):
        return
    assert path.removesuffix(".extension") in _EXTENDED[extension["url"]], path


def _check_code(path: str, coded: Resource) -> None:
    system, code = coded["system"], coded["code"]
    if "value" in coded:
        assert (system, code in _UNITS) == (UCUM, True), f"{path}: {coded}"
    elif system in _CODES:
        assert _CODES[system].get(code) == coded["display"], f"{path}: {coded}"
    elif system in (SNOMED, LOINC):
        assert snomed(code) if system == SNOMED else loinc(code), f"{path}: {coded}"
        assert coded["display"], f"{path}: {coded}"
    else:
        assert system == "urn:ietf:bcp:47" or system.startswith("urn:carecall:choice:"), f"{path}: {coded}"


def _check_observation(resource: Resource) -> None:
    values = _values(resource)
    assert len(values) + ("dataAbsentReason" in resource) == 1  # obs-6, and never neither
    assert {each["system"] for each in resource["code"]["coding"]} <= {SNOMED, LOINC}
    kinds = [each["code"] for category in resource["category"] for each in category["coding"]]
    if "vital-signs" in kinds:  # http://hl7.org/fhir/StructureDefinition/bodytemp
        assert {"system": LOINC, "code": "8310-5", "display": "Body temperature"} in resource["code"]["coding"]
        assert {"subject", "effectiveDateTime"} <= set(resource)
        assert values in ([], ["valueQuantity"])


def _fits(path: str, reference: str) -> bool:
    if reference.startswith("#"):
        return "Device" in _TARGETS[path]
    match = _REFERENCE.fullmatch(reference)
    return match is not None and match[1] in _TARGETS[path]


def _values(element: Resource) -> list[str]:
    return [name for name in element if name.startswith("value")]


def _references(resource: Resource) -> Iterator[tuple[str, str]]:
    for path, name, value in _parts(resource, resource["resourceType"]):
        if name == "reference":
            yield path, value


def _parts(element: Resource, path: str) -> Iterator[tuple[str, str, Any]]:
    """Every element below, by its path and name; of contained resources and of entries nothing."""
    for name, value in element.items():
        yield path, name, value
        if name in ("contained", "resource") and path in ("Bundle.entry", path.partition(".")[0]):
            continue
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                yield from _parts(each, f"{path}.{name}")
