"""Clinical codings of findings and of their presence.

Codes: SNOMED CT International and LOINC, as listed by the CDC and HL7 value sets for respiratory symptom monitoring.
"""

from dataclasses import dataclass
from enum import StrEnum

from carecall.domain.finding import Ternary


class CodeSystem(StrEnum):
    SNOMED_CT = "http://snomed.info/sct"
    LOINC = "http://loinc.org"


@dataclass(frozen=True, slots=True)
class Coding:
    """A code in a terminology, in the shape of a FHIR Coding."""

    system: CodeSystem
    code: str
    display: str = ""


PRESENCE: dict[Ternary, Coding] = {
    Ternary.YES: Coding(CodeSystem.SNOMED_CT, "52101004", "Present"),
    Ternary.NO: Coding(CodeSystem.SNOMED_CT, "2667000", "Absent"),
    Ternary.UNKNOWN: Coding(CodeSystem.SNOMED_CT, "261665006", "Unknown"),
}
