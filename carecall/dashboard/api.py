"""The read-only interface for other systems under ``/api``: FHIR R4, a list of alerts, and its own description.

Every request is made with a bearer token of one organisation and is told in the audit trail, by the people whose
records it read.
"""

import asyncio
import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi import Path as PathParameter
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from carecall import __version__
from carecall.dashboard.api_access import Access, FhirResponse, Limit, add_outcomes
from carecall.dashboard.dashboard import Dashboard
from carecall.dashboard.findings import known_dialog
from carecall.dashboard.languages import language_of
from carecall.dialog.definition import Dialog
from carecall.domain.record import Person, ReportedCall
from carecall.domain.triage import Urgency
from carecall.domain.viewer import Viewer
from carecall.errors import StoreNotFound
from carecall.exchange import fhir
from carecall.exchange.fhir import Resource
from carecall.exchange.fhir_search import Cut, QueryError, id_of, known_id, read_cut, span_of, wanted_code, write_cut
from carecall.settings import Settings
from carecall.store.tables import Resolution

MOST = 100  # entries of a page
_CALLS = 50  # that are read at once
_CURSOR = "_cursor"
_JSON = ("application/fhir+json", "application/json", "application/*", "*/*")
_FORMATS = ("json", "application/json", "application/fhir+json", "fhir+json")
_OBSERVATION = re.compile(r"([0-9a-f-]{36})\.(\d{1,4})")

Make = Callable[[ReportedCall, Dialog | None], list[Resource]]
Count = Annotated[int, Query(alias="_count", ge=1, le=MOST, description="Entries of a page.")]
Cursor = Annotated[str | None, Query(alias=_CURSOR, max_length=400, description="Of a link to the next page.")]
Format = Annotated[str | None, Query(alias="_format", description="json", json_schema_extra={"enum": list(_FORMATS)})]
OfPatient = Annotated[
    str, Query(description="ID or Patient/ID.", pattern=r"^(Patient/)?[A-Za-z0-9.-]{1,64}$", examples=["Patient/ID"])
]
Id = Annotated[str, PathParameter(pattern=r"^[A-Za-z0-9.-]{1,64}$")]
_DATES = "A date or moment, with eq, ge, gt, le or lt before it; may be given twice."
Date = Annotated[str, Field(pattern=r"^(eq|ge|gt|le|lt)?\d{4}[0-9T:.Z+-]*$")]
Dates = Annotated[tuple[Date, ...], Query(description=_DATES)]
_TOKEN = r"(([^|,]*\|)?[^|,]+|[^|,]+\|)"


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


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that may be answered."""

    viewer: Viewer
    base: str  # address of the FHIR interface
    url: str  # of this request, without its query
    query: tuple[tuple[str, str], ...]

    @property
    def actor(self) -> str:
        return f"api_token:{self.viewer.user_id}"

    @property
    def here(self) -> str:
        return f"{self.url}?{urlencode(self.query)}" if self.query else self.url

    def page(self, cut: Cut) -> str:
        """The address of the page that begins at a cut."""
        kept = [each for each in self.query if each[0] != _CURSOR]
        return f"{self.url}?{urlencode([*kept, (_CURSOR, write_cut(cut))])}"


def add_api(router: APIRouter, dashboard: Dashboard) -> None:
    router.mount("/api", api_application(dashboard))


def api_application(dashboard: Dashboard, limit: Limit | None = None) -> FastAPI:
    """The interface as an application of its own, to be mounted at ``/api``."""
    app = FastAPI(
        title="CareCall",
        version=__version__,
        description="Read-only: reports of calls as FHIR R4, and the list of alerts.",
        docs_url=None,
        redoc_url=None,
        servers=[{"url": "/api"}],
        root_path_in_servers=False,
    )
    add_outcomes(app)
    access = Access(dashboard.store, limit or Limit())
    _add_fhir(app, dashboard, access)
    _add_alerts(app, dashboard, access)

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        text = dashboard.render(language_of(request), "api_docs.html", request=request, api=app.openapi())
        return Response(text, media_type="text/html")

    return app


def _add_fhir(app: FastAPI, dashboard: Dashboard, access: Access) -> None:
    settings, store = dashboard.settings, dashboard.store
    run, care = store.run, store.care

    async def asked(request: Request, viewer: Annotated[Viewer, Depends(access)]) -> _Asked:
        _accepts_fhir(request)
        _refuse_unknown(request)
        origin = _origin(request, settings)
        query = tuple(request.query_params.multi_items())
        return _Asked(viewer, f"{origin}/api/fhir", f"{origin}{request.url.path}", query)

    Ask = Annotated[_Asked, Depends(asked)]  # noqa: N806

    async def dialog_of(call: ReportedCall) -> Dialog | None:
        report = call.report
        return await asyncio.to_thread(known_dialog, settings.dialogs_dir, report.dialog_id, report.dialog_language)

    async def resources_of(
        ask: _Asked, make: Make, count: int, cursor: str | None, wanted: dict[str, Any]
    ) -> tuple[list[Resource], dict[str, str]]:
        """A page of what the calls are made into, and its links."""
        cut = read_cut(_CURSOR, cursor) if cursor is not None else Cut()
        found: list[Resource] = []
        while True:
            page = await run(care.reported, ask.viewer, after=cut.place, limit=_CALLS, **wanted)
            for _, call in page:
                made = make(call, await dialog_of(call))
                for index in range(cut.index, len(made)):
                    if len(found) == count:
                        return found, {"self": ask.here, "next": ask.page(Cut(cut.place, index))}
                    found.append(made[index])
                cut = Cut((call.written_at, call.attempt_id))
            if len(page) < _CALLS:
                return found, {"self": ask.here}

    async def one_call(ask: _Asked, attempt_id: uuid.UUID | None) -> ReportedCall:
        if attempt_id is not None:
            for _, call in await run(care.reported, ask.viewer, attempt_id=attempt_id, limit=1):
                return call
        raise StoreNotFound

    async def the_patient(ask: _Asked, id_: uuid.UUID | None) -> Person:
        if id_ is None:
            raise StoreNotFound
        return await run(care.known_person, ask.viewer, id_)

    async def told(ask: _Asked, what: str, people: Iterable[uuid.UUID]) -> None:
        subjects = [f"recipient:{id_}" for id_ in dict.fromkeys(people)] or [
            f"organisation:{ask.viewer.organisation_id}"
        ]
        await run(care.note_read, ask.actor, "api.read", subjects, what=what)

    def searched(
        ask: _Asked, found: list[Resource], links: dict[str, str], included: Iterable[Resource] = ()
    ) -> Response:
        now = datetime.now(UTC)
        return FhirResponse(fhir.bundle("searchset", ask.base, found, now=now, included=included, links=links))

    @app.get("/fhir/metadata", **_fhir("CapabilityStatement", "What this server can do. Needs no token."))
    async def metadata(request: Request, _format: Format = None) -> Response:
        _accepts_fhir(request)
        _refuse_unknown(request)
        return FhirResponse(_capability(f"{_origin(request, settings)}/api/fhir"))

    @app.get("/fhir/Patient", **_fhir("Bundle", "The people of the organisation, by id."))
    async def patients(
        ask: Ask,
        ids: Annotated[str | None, Query(alias="_id", description="Ids, with commas between.")] = None,
        count: Count = MOST,
        cursor: Cursor = None,
        _format: Format = None,
    ) -> Response:
        wanted = [id_ for each in ids.split(",") if (id_ := known_id(each))] if ids is not None else None
        cut = read_cut(_CURSOR, cursor) if cursor is not None else Cut()
        after = cut.place[1] if cut.place is not None else None
        found = await run(care.known_persons, ask.viewer, ids=wanted, after=after, limit=count + 1)
        links = {"self": ask.here}
        if len(found) > count:
            found = found[:count]
            links["next"] = ask.page(Cut((datetime.fromtimestamp(0, UTC), found[-1].id)))
        await told(ask, "Patient", [each.id for each in found])
        return searched(ask, [fhir.patient(each) for each in found], links)

    @app.get("/fhir/Patient/{id}", **_fhir("Patient", "One person."))
    async def patient(ask: Ask, id: Id, _format: Format = None) -> Response:  # noqa: A002
        person = await the_patient(ask, known_id(id))
        await told(ask, "Patient", [person.id])
        return FhirResponse(fhir.patient(person))

    @app.get("/fhir/Patient/{id}/$everything", **_fhir("Bundle", "One person with all of their reports."))
    async def everything(
        ask: Ask,
        id: Id,  # noqa: A002
        count: Count = MOST,
        cursor: Cursor = None,
        _format: Format = None,
    ) -> Response:
        person = await the_patient(ask, known_id(id))
        first = [fhir.patient(person)] if cursor is None else []
        wanted = {"recipient_id": person.id}
        found, links = await resources_of(ask, fhir.resources, count - len(first), cursor, wanted)
        await told(ask, "Patient/$everything", [person.id])
        return searched(ask, first + found, links)

    @app.get("/fhir/QuestionnaireResponse", **_fhir("Bundle", "Reports, by the moment that they were written."))
    async def responses(
        ask: Ask,
        patient: OfPatient | None = None,
        last_updated: Annotated[tuple[Date, ...], Query(alias="_lastUpdated", description=_DATES)] = (),
        revinclude: Annotated[
            tuple[Literal["Observation:derived-from", "Provenance:target"], ...],
            Query(alias="_revinclude", description="What rests on the reports comes with them."),
        ] = (),
        count: Count = MOST,
        cursor: Cursor = None,
        _format: Format = None,
    ) -> Response:
        changed = span_of("_lastUpdated", last_updated)
        recipient_id = await _of_patient(patient)
        cut = read_cut(_CURSOR, cursor) if cursor is not None else Cut()
        page = await run(
            care.reported,
            ask.viewer,
            recipient_id=recipient_id,
            changed=changed,
            after=cut.place,
            limit=count + 1,
        )
        links = {"self": ask.here}
        if len(page) > count:
            page = page[:count]
            links["next"] = ask.page(Cut((page[-1][1].written_at, page[-1][1].attempt_id)))
        found, included = list[Resource](), list[Resource]()
        for _, call in page:
            dialog = await dialog_of(call)
            found.append(fhir.questionnaire_response(call, dialog))
            if "Observation:derived-from" in revinclude:
                included += fhir.observations(call, dialog)
            if "Provenance:target" in revinclude:
                included += fhir.provenances(call, dialog)
        await told(ask, "QuestionnaireResponse", [call.recipient_id for _, call in page])
        return searched(ask, found, links, included)

    @app.get("/fhir/QuestionnaireResponse/{id}", **_fhir("QuestionnaireResponse", "One report."))
    async def response(ask: Ask, id: Id, _format: Format = None) -> Response:  # noqa: A002
        call = await one_call(ask, known_id(id))
        await told(ask, "QuestionnaireResponse", [call.recipient_id])
        return FhirResponse(fhir.questionnaire_response(call, await dialog_of(call)))

    @app.get("/fhir/Observation", **_fhir("Bundle", "Findings of one person that have a code."))
    async def observations(
        ask: Ask,
        patient: OfPatient,
        code: Annotated[
            str | None,
            Query(description="code or system|code, with commas between.", pattern=f"^{_TOKEN}(,{_TOKEN})*$"),
        ] = None,
        date: Dates = (),
        count: Count = MOST,
        cursor: Cursor = None,
        _format: Format = None,
    ) -> Response:
        began = span_of("date", date)

        def made(call: ReportedCall, dialog: Dialog | None) -> list[Resource]:
            found = fhir.observations(call, dialog)
            if code is None:
                return found
            return [
                each
                for each in found
                if wanted_code(code, [(coding["system"], coding["code"]) for coding in each["code"]["coding"]])
            ]

        wanted = {"recipient_id": await _of_patient(patient), "began": began}
        found, links = await resources_of(ask, made, count, cursor, wanted)
        await told(ask, "Observation", _read(found))
        return searched(ask, found, links)

    @app.get("/fhir/Observation/{id}", **_fhir("Observation", "One finding."))
    async def observation(ask: Ask, id: Id, _format: Format = None) -> Response:  # noqa: A002
        match = _OBSERVATION.fullmatch(id)
        call = await one_call(ask, known_id(match[1]) if match else None)
        for each in fhir.observations(call, await dialog_of(call)):
            if each["id"] == id:
                await told(ask, "Observation", [call.recipient_id])
                return FhirResponse(each)
        raise StoreNotFound

    @app.get("/fhir/Provenance", **_fhir("Bundle", "Where the reports of one person come from; who corrected them."))
    async def provenances(
        ask: Ask, patient: OfPatient, count: Count = MOST, cursor: Cursor = None, _format: Format = None
    ) -> Response:
        recipient_id = await _of_patient(patient)
        wanted = {"recipient_id": recipient_id}
        found, links = await resources_of(ask, fhir.provenances, count, cursor, wanted)
        await told(ask, "Provenance", [recipient_id] if found and recipient_id else [])
        return searched(ask, found, links)

    @app.get("/fhir/Provenance/{id}", **_fhir("Provenance", "Where one report, or one correction, comes from."))
    async def provenance(ask: Ask, id: Id, _format: Format = None) -> Response:  # noqa: A002
        known = known_id(id)
        corrected = await run(care.corrected_call, ask.viewer, known) if known is not None else None
        call = await one_call(ask, corrected or known)
        for each in fhir.provenances(call, await dialog_of(call)):
            if each["id"] == id:
                await told(ask, "Provenance", [call.recipient_id])
                return FhirResponse(each)
        raise StoreNotFound


def _add_alerts(app: FastAPI, dashboard: Dashboard, access: Access) -> None:
    store = dashboard.store

    @app.get("/alerts", responses=_ERRORS, summary="What waits for somebody, oldest first.")
    async def alerts(
        request: Request,
        viewer: Annotated[Viewer, Depends(access)],
        settled: Annotated[bool, Query(description="Settled ones too.")] = False,
        raised: Dates = (),
        count: Count = MOST,
        cursor: Cursor = None,
    ) -> AlertsOut:
        _refuse_unknown(request)
        cut = read_cut(_CURSOR, cursor) if cursor is not None else Cut()
        found = await store.run(
            store.care.listed_alerts,
            viewer,
            settled=settled,
            span=span_of("raised", raised),
            after=cut.place,
            limit=count + 1,
        )
        following = None
        if len(found) > count:
            found = found[:count]
            url = f"{_origin(request, dashboard.settings)}{request.url.path}"
            asked = _Asked(viewer, "", url, tuple(request.query_params.multi_items()))
            following = asked.page(Cut((found[-1].raised_at, found[-1].id)))
        subjects = [f"recipient:{id_}" for id_ in dict.fromkeys(each.recipient_id for each in found)]
        await store.run(
            store.care.note_read,
            f"api_token:{viewer.user_id}",
            "api.read",
            subjects or [f"organisation:{viewer.organisation_id}"],
            what="alerts",
        )
        return AlertsOut(alerts=[AlertOut.model_validate(each, from_attributes=True) for each in found], next=following)


async def _of_patient(reference: str | None) -> uuid.UUID | None:
    """The id of a reference; of a patient that cannot be, one that is nobody's."""
    if reference is None:
        return None
    return id_of("patient", reference, "Patient") or uuid.UUID(int=0)


def _read(found: Iterable[Resource]) -> list[uuid.UUID]:
    return [uuid.UUID(each["subject"]["reference"].removeprefix("Patient/")) for each in found]


def _origin(request: Request, settings: Settings) -> str:
    """Where others reach us, without a slash at its end."""
    return settings.public_url.rstrip("/") or f"{request.url.scheme}://{request.url.netloc}"


def _accepts_fhir(request: Request) -> None:
    """Raises HTTPException 406 for whoever wants anything but JSON."""
    wanted = request.query_params.get("_format")
    accepted = [each.partition(";")[0].strip().lower() for each in request.headers.get("accept", "*/*").split(",")]
    if wanted is not None:
        fits = wanted.partition(";")[0].strip().lower() in _FORMATS
    else:
        fits = any(each in _JSON or not each for each in accepted)
    if not fits:
        raise HTTPException(406, "The interface speaks application/fhir+json only.")


def _refuse_unknown(request: Request) -> None:
    """A parameter that is not known could leave more in the answer than was wanted. Raises QueryError."""
    route: Any = request.scope["route"]
    known = {each.alias for each in _parameters(route.dependant)}
    for name in request.query_params:
        if name not in known:
            raise QueryError(f"{name}: this parameter is not known here; known are {', '.join(sorted(known))}")
        if name not in _REPEATED and len(request.query_params.getlist(name)) > 1:
            raise QueryError(f"{name}: given more than once")


_REPEATED = ("_lastUpdated", "date", "raised", "_revinclude")


def _parameters(dependant: Any) -> list[Any]:
    return [*dependant.query_params, *(each for inner in dependant.dependencies for each in _parameters(inner))]


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
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "description": "400 not understood, 401 no good token, 404 not there, 406 not in JSON, 429 too often.",
        "content": {FhirResponse.media_type: {"schema": _OUTCOME}},
    }
}


def _fhir(kind: str, summary: str) -> dict[str, Any]:
    """What is said of a route that answers with this resource."""
    schema = {
        "type": "object",
        "required": ["resourceType"],
        "properties": {"resourceType": {"const": kind}, "id": {"type": "string"}},
    }
    answer = {"description": kind, "content": {FhirResponse.media_type: {"schema": schema}}}
    return {"summary": summary, "response_class": FhirResponse, "responses": {200: answer, **_ERRORS}}


def _capability(base: str) -> Resource:
    def resource(kind: str, *searches: tuple[str, str], operations: Iterable[str] = ()) -> Resource:
        made: Resource = {
            "type": kind,
            "interaction": [{"code": "read"}, {"code": "search-type"}],
            "searchParam": [{"name": name, "type": type_} for name, type_ in searches],
        }
        if operations:
            definition = "http://hl7.org/fhir/OperationDefinition/Patient-everything"
            made["operation"] = [{"name": each, "definition": definition} for each in operations]
        return made

    responses = resource("QuestionnaireResponse", ("patient", "reference"), ("_lastUpdated", "date"))
    responses["searchRevInclude"] = ["Observation:derived-from", "Provenance:target"]
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": _STARTED,
        "kind": "instance",
        "software": {"name": "CareCall", "version": __version__},
        "implementation": {"description": "Reports of automated check-up calls", "url": base},
        "fhirVersion": fhir.FHIR_VERSION,
        "format": ["application/fhir+json"],
        "rest": [
            {
                "mode": "server",
                "security": {"description": "A bearer token of one organisation, in the header Authorization."},
                "resource": [
                    resource("Patient", ("_id", "token"), operations=["everything"]),
                    responses,
                    resource("Observation", ("patient", "reference"), ("code", "token"), ("date", "date")),
                    resource("Provenance", ("patient", "reference")),
                ],
            }
        ],
    }


_STARTED = fhir.instant(datetime.now(UTC))
