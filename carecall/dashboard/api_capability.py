"""What the FHIR server can do, as it says itself (https://hl7.org/fhir/R4/capabilitystatement.html)."""

from collections.abc import Iterable
from datetime import datetime

from carecall import __version__
from carecall.exchange.fhir import FHIR_VERSION, Resource, instant


def capability(base: str, since: datetime) -> Resource:
    """The CapabilityStatement of the server at an address, which has been so since it started."""
    responses = _resource("QuestionnaireResponse", ("patient", "reference"), ("_lastUpdated", "date"))
    responses["searchRevInclude"] = ["Observation:derived-from", "Provenance:target"]
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": instant(since),
        "kind": "instance",
        "software": {"name": "CareCall", "version": __version__},
        "implementation": {"description": "Reports of automated check-up calls", "url": base},
        "fhirVersion": FHIR_VERSION,
        "format": ["application/fhir+json"],
        "rest": [
            {
                "mode": "server",
                "security": {"description": "A bearer token of one organisation, in the header Authorization."},
                "resource": [
                    _resource("Patient", ("_id", "token"), operations=["everything"]),
                    responses,
                    _resource("Observation", ("patient", "reference"), ("code", "token"), ("date", "date")),
                    _resource("Provenance", ("patient", "reference")),
                ],
            }
        ],
    }


def _resource(kind: str, *searches: tuple[str, str], operations: Iterable[str] = ()) -> Resource:
    made: Resource = {
        "type": kind,
        "interaction": [{"code": "read"}, {"code": "search-type"}],
        "searchParam": [{"name": name, "type": type_} for name, type_ in searches],
    }
    if operations:
        definition = "http://hl7.org/fhir/OperationDefinition/Patient-everything"
        made["operation"] = [{"name": each, "definition": definition} for each in operations]
    return made
