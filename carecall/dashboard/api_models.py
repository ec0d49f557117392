"""What the interface for other systems takes and gives, as its description says it: parameters, alerts, errors."""

import uuid
from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, Field

from carecall.dashboard.api_access import FhirResponse
from carecall.domain.triage import Urgency
from carecall.store.tables import Resolution

MOST = 100  # entries of a page
CURSOR = "_cursor"
FORMATS = ("json", "application/json", "application/fhir+json", "fhir+json")
DATES = "A date or moment, with eq, ge, gt, le or lt before it; may be given twice."
REPEATED = ("_lastUpdated", "date", "raised", "_revinclude")  # parameters that may be given more than once

Count = Annotated[int, Query(alias="_count", ge=1, le=MOST, description="Entries of a page.")]
Cursor = Annotated[str | None, Query(alias=CURSOR, max_length=400, description="Of a link to the next page.")]
Format = Annotated[str | None, Query(alias="_format", description="json", json_schema_extra={"enum": list(FORMATS)})]
OfPatient = Annotated[
    str, Query(description="ID or Patient/ID.", pattern=r"^(Patient/)?[A-Za-z0-9.-]{1,64}$", examples=["Patient/ID"])
]
Id = Annotated[str, Path(pattern=r"^[A-Za-z0-9.-]{1,64}$")]
Date = Annotated[str, Field(pattern=r"^(eq|ge|gt|le|lt)?\d{4}[0-9T:.Z+-]*$")]
Dates = Annotated[tuple[Date, ...], Query(description=DATES)]
_TOKEN = r"(([^|,]*\|)?[^|,]+|[^|,]+\|)"
Code = Annotated[
    str | None, Query(description="code or system|code, with commas between.", pattern=f"^{_TOKEN}(,{_TOKEN})*$")
]


class AlertOut(BaseModel):
    """An alert, without a name and without a word of what was said."""

    id: uuid.UUID
    attempt_id: uuid.UUID
    recipient_id: uuid.UUID
    code: str
    urgency: Urgency
    reason: str
    raised_at: datetime
    acknowledged_at: datetime | None
    settled_at: datetime | None
    resolution: Resolution | None


class AlertsOut(BaseModel):
    """Alerts, oldest first."""

    alerts: list[AlertOut]
    next: str | None  # address of the next page


_OUTCOME = {
    "type": "object",
    "required": ["resourceType", "issue"],
    "properties": {
        "resourceType": {"const": "OperationOutcome"},
        "issue": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["severity", "code"],
                "properties": {
                    "severity": {"enum": ["fatal", "error", "warning", "information"]},
                    "code": {"type": "string"},
                    "diagnostics": {"type": "string"},
                },
            },
        },
    },
}
ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "description": "400 not understood, 401 no good token, 404 not there, 406 not in JSON, 429 too often.",
        "content": {FhirResponse.media_type: {"schema": _OUTCOME}},
    }
}


def gives(kind: str, summary: str) -> dict[str, Any]:
    """What is said of a route that answers with a FHIR resource of this kind."""
    schema = {
        "type": "object",
        "required": ["resourceType"],
        "properties": {"resourceType": {"const": kind}, "id": {"type": "string"}},
    }
    answer = {"description": kind, "content": {FhirResponse.media_type: {"schema": schema}}}
    return {"summary": summary, "response_class": FhirResponse, "responses": {200: answer, **ERRORS}}
