"""The FHIR R4 routes of the interface, under ``/api/fhir``: search and read of each resource."""

import re
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import Depends, FastAPI, Query, Request, Response

from carecall.dashboard.api_access import Access, FhirResponse
from carecall.dashboard.api_capability import capability
from carecall.dashboard.api_models import DATES, MOST, Code, Count, Cursor, Date, Dates, Format, Id, OfPatient, gives
from carecall.dashboard.api_records import Records
from carecall.dashboard.api_request import Asked, accepts_fhir, cut_of, origin_of, refuse_unknown
from carecall.dialog.definition import Dialog
from carecall.domain.record import ReportedCall
from carecall.domain.viewer import Viewer
from carecall.errors import StoreNotFound
from carecall.exchange import fhir
from carecall.exchange.fhir import Resource
from carecall.exchange.fhir_search import Cut, id_of, known_id, span_of, wanted_code
from carecall.settings import Settings

_OBSERVATION = re.compile(r"([0-9a-f-]{36})\.(\d{1,4})")

Ask = Callable[..., Awaitable[Asked]]  # a dependency: the request, by whoever has a good token


def add_fhir(app: FastAPI, records: Records, settings: Settings, access: Access, *, since: datetime) -> None:
    """``since`` is when the server started."""

    async def asked(request: Request, viewer: Annotated[Viewer, Depends(access)]) -> Asked:
        accepts_fhir(request)
        return Asked.of(request, viewer, settings)

    @app.get("/fhir/metadata", **gives("CapabilityStatement", "What this server can do. Needs no token."))
    async def metadata(request: Request, _format: Format = None) -> Response:
        accepts_fhir(request)
        refuse_unknown(request)
        return FhirResponse(capability(f"{origin_of(request, settings)}/api/fhir", since))

    _add_patients(app, records, asked)
    _add_responses(app, records, asked)
    _add_observations(app, records, asked)
    _add_provenances(app, records, asked)


def _add_patients(app: FastAPI, records: Records, ask: Ask) -> None:
    run, care = records.run, records.care

    @app.get("/fhir/Patient", **gives("Bundle", "The people of the organisation, by id."))
    async def patients(
        asked: Annotated[Asked, Depends(ask)],
        ids: Annotated[str | None, Query(alias="_id", description="Ids, with commas between.")] = None,
        count: Count = MOST,
        cursor: Cursor = None,
        _format: Format = None,
    ) -> Response:
        wanted = [id_ for each in ids.split(",") if (id_ := known_id(each))] if ids is not None else None
        place = cut_of(cursor).place
        after = place[1] if place is not None else None
        found = await run(care.known_persons, asked.viewer, ids=wanted, after=after, limit=count + 1)
        links = {"self": asked.here}
        if len(found) > count:
            found = found[:count]
            links["next"] = asked.page(Cut((datetime.fromtimestamp(0, UTC), found[-1].id)))
        await records.told(asked, "Patient", [each.id for each in found])
        return records.searched(asked, [fhir.patient(each) for each in found], links)

    @app.get("/fhir/Patient/{id}", **gives("Patient", "One person."))
    async def patient(asked: Annotated[Asked, Depends(ask)], id: Id, _format: Format = None) -> Response:  # noqa: A002
        person = await records.person(asked, known_id(id))
        await records.told(asked, "Patient", [person.id])
        return FhirResponse(fhir.patient(person))

    @app.get("/fhir/Patient/{id}/$everything", **gives("Bundle", "One person with all of their reports."))
    async def everything(
        asked: Annotated[Asked, Depends(ask)],
        id: Id,  # noqa: A002
        count: Count = MOST,
        cursor: Cursor = None,
        _format: Format = None,
    ) -> Response:
        person = await records.person(asked, known_id(id))
        first = [fhir.patient(person)] if cursor is None else []
        found, links = await records.page(asked, fhir.resources, count - len(first), cursor, recipient_id=person.id)
        await records.told(asked, "Patient/$everything", [person.id])
        return records.searched(asked, first + found, links)


def _add_responses(app: FastAPI, records: Records, ask: Ask) -> None:
    run, care = records.run, records.care

    @app.get("/fhir/QuestionnaireResponse", **gives("Bundle", "Reports, by the moment that they were written."))
    async def responses(
        asked: Annotated[Asked, Depends(ask)],
        patient: OfPatient | None = None,
        last_updated: Annotated[tuple[Date, ...], Query(alias="_lastUpdated", description=DATES)] = (),
        revinclude: Annotated[
            tuple[Literal["Observation:derived-from", "Provenance:target"], ...],
            Query(alias="_revinclude", description="What rests on the reports comes with them."),
        ] = (),
        count: Count = MOST,
        cursor: Cursor = None,
        _format: Format = None,
    ) -> Response:
        page = await run(
            care.reported,
            asked.viewer,
            changed=span_of("_lastUpdated", last_updated),
            recipient_id=_of_patient(patient),
            after=cut_of(cursor).place,
            limit=count + 1,
        )
        links = {"self": asked.here}
        if len(page) > count:
            page = page[:count]
            links["next"] = asked.page(Cut((page[-1][1].written_at, page[-1][1].attempt_id)))
        found, included = list[Resource](), list[Resource]()
        for _, call in page:
            dialog = await records.dialog_of(call)
            found.append(fhir.questionnaire_response(call, dialog))
            if "Observation:derived-from" in revinclude:
                included += fhir.observations(call, dialog)
            if "Provenance:target" in revinclude:
                included += fhir.provenances(call, dialog)
        await records.told(asked, "QuestionnaireResponse", [call.recipient_id for _, call in page])
        return records.searched(asked, found, links, included)

    @app.get("/fhir/QuestionnaireResponse/{id}", **gives("QuestionnaireResponse", "One report."))
    async def response(asked: Annotated[Asked, Depends(ask)], id: Id, _format: Format = None) -> Response:  # noqa: A002
        call = await records.call(asked, known_id(id))
        await records.told(asked, "QuestionnaireResponse", [call.recipient_id])
        return FhirResponse(fhir.questionnaire_response(call, await records.dialog_of(call)))


def _add_observations(app: FastAPI, records: Records, ask: Ask) -> None:
    @app.get("/fhir/Observation", **gives("Bundle", "Findings of one person that have a code."))
    async def observations(
        asked: Annotated[Asked, Depends(ask)],
        patient: OfPatient,
        code: Code = None,
        date: Dates = (),
        count: Count = MOST,
        cursor: Cursor = None,
        _format: Format = None,
    ) -> Response:
        def made(call: ReportedCall, dialog: Dialog | None) -> list[Resource]:
            return [each for each in fhir.observations(call, dialog) if code is None or _has_code(each, code)]

        began, recipient_id = span_of("date", date), _of_patient(patient)
        found, links = await records.page(asked, made, count, cursor, recipient_id=recipient_id, began=began)
        await records.told(asked, "Observation", [recipient_id] if found and recipient_id else [])
        return records.searched(asked, found, links)

    @app.get("/fhir/Observation/{id}", **gives("Observation", "One finding."))
    async def observation(
        asked: Annotated[Asked, Depends(ask)],
        id: Id,  # noqa: A002
        _format: Format = None,
    ) -> Response:
        match = _OBSERVATION.fullmatch(id)
        call = await records.call(asked, known_id(match[1]) if match else None)
        found = _by_id(await records.made_of(call, fhir.observations), id)
        await records.told(asked, "Observation", [call.recipient_id])
        return FhirResponse(found)


def _add_provenances(app: FastAPI, records: Records, ask: Ask) -> None:
    @app.get("/fhir/Provenance", **gives("Bundle", "Where the reports of one person come from; who corrected them."))
    async def provenances(
        asked: Annotated[Asked, Depends(ask)],
        patient: OfPatient,
        count: Count = MOST,
        cursor: Cursor = None,
        _format: Format = None,
    ) -> Response:
        recipient_id = _of_patient(patient)
        found, links = await records.page(asked, fhir.provenances, count, cursor, recipient_id=recipient_id)
        await records.told(asked, "Provenance", [recipient_id] if found and recipient_id else [])
        return records.searched(asked, found, links)

    @app.get("/fhir/Provenance/{id}", **gives("Provenance", "Where one report, or one correction, comes from."))
    async def provenance(
        asked: Annotated[Asked, Depends(ask)],
        id: Id,  # noqa: A002
        _format: Format = None,
    ) -> Response:
        known = known_id(id)
        corrected = await records.run(records.care.corrected_call, asked.viewer, known) if known is not None else None
        call = await records.call(asked, corrected or known)
        found = _by_id(await records.made_of(call, fhir.provenances), id)
        await records.told(asked, "Provenance", [call.recipient_id])
        return FhirResponse(found)


def _of_patient(reference: str | None) -> uuid.UUID | None:
    """The id of a reference; of a patient that cannot be, one that is nobody's. Raises QueryError."""
    if reference is None:
        return None
    return id_of("patient", reference, "Patient") or uuid.UUID(int=0)


def _has_code(observation: Resource, code: str) -> bool:
    return wanted_code(code, [(coding["system"], coding["code"]) for coding in observation["code"]["coding"]])


def _by_id(made: list[Resource], id_: str) -> Resource:
    """Raises StoreNotFound."""
    for each in made:
        if each["id"] == id_:
            return each
    raise StoreNotFound
