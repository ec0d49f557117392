"""One person: added, their details and campaigns, their consents."""

from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from carecall.dashboard.dashboard import Dashboard
from carecall.dashboard.people import call_of, done_words
from carecall.dashboard.person_form import Typed, consent_of, read_person, strings_of, typed_of, wrong
from carecall.dashboard.rights import add_rights
from carecall.domain.viewer import Role, Viewer
from carecall.store.care_people_changes import NumberOptedOut, PersonChanged, PersonKnown
from carecall.store.tables import ConsentSource


def add_person(router: APIRouter, dashboard: Dashboard) -> None:
    add_rights(router, dashboard)
    _add_new(router, dashboard)
    _add_consents(router, dashboard)
    _add_details(router, dashboard)
    _add_opt_out(router, dashboard)


def _add_new(router: APIRouter, dashboard: Dashboard) -> None:
    store, care = dashboard.store, dashboard.store.care
    Changing = Annotated[Viewer, Depends(dashboard.needs(Role.SUPERVISOR))]  # noqa: N806

    @router.get("/people/add")
    async def new(request: Request, viewer: Changing) -> Response:
        typed = Typed({"language": viewer.language.value, "time_zone": viewer.time_zone})
        return dashboard.page(request, viewer, "person_new.html", typed=typed, known=None)

    @router.post("/people/add")
    async def add(request: Request, viewer: Changing) -> Response:
        typed, person = read_person(await request.form(), viewer, store.now())
        known = None
        if person is not None:
            try:
                recipient_id = await store.run(care.add_person, viewer, person)
                return RedirectResponse(f"/people/{recipient_id}?done=added", 303)
            except PersonKnown as error:
                known = error.recipient_id
                typed = wrong(typed, viewer, "name", "known")
            except NumberOptedOut:
                typed = wrong(typed, viewer, "phone", "number_opted_out")
        return dashboard.page(request, viewer, "person_new.html", status=422, typed=typed, known=known)


def _add_consents(router: APIRouter, dashboard: Dashboard) -> None:
    store, care = dashboard.store, dashboard.store.care
    Changing = Annotated[Viewer, Depends(dashboard.needs(Role.SUPERVISOR))]  # noqa: N806

    @router.post("/people/places/{enrollment_id}/consent")
    async def consent(
        request: Request, viewer: Changing, enrollment_id: UUID, recipient: Annotated[UUID, Form()]
    ) -> Response:
        typed = Typed(strings_of(await request.form()))
        (at, source), troubles = consent_of(typed, viewer, store.now(), required=True)
        if troubles or at is None or source is None:
            return await _page(
                dashboard, request, viewer, recipient, consent=(enrollment_id, Typed(typed.values, troubles))
            )
        person = await store.run(care.record_consent, viewer, enrollment_id, at, source)
        return RedirectResponse(f"/people/{person}?done=consented", 303)

    @router.post("/people/places/{enrollment_id}/withdraw")
    async def withdraw(viewer: Changing, enrollment_id: UUID) -> Response:
        person = await store.run(care.withdraw_consent, viewer, enrollment_id)
        return RedirectResponse(f"/people/{person}?done=withdrawn", 303)

    @router.post("/people/places/{enrollment_id}/leave")
    async def leave(viewer: Changing, enrollment_id: UUID) -> Response:
        person = await store.run(care.leave_campaign, viewer, enrollment_id)
        return RedirectResponse(f"/people/{person}?done=left", 303)


def _add_details(router: APIRouter, dashboard: Dashboard) -> None:
    store, care = dashboard.store, dashboard.store.care
    Seeing = Annotated[Viewer, Depends(dashboard.needs(Role.VIEWER))]  # noqa: N806
    Changing = Annotated[Viewer, Depends(dashboard.needs(Role.SUPERVISOR))]  # noqa: N806

    @router.get("/people/{recipient_id}")
    async def person(request: Request, viewer: Seeing, recipient_id: UUID) -> Response:
        return await _page(dashboard, request, viewer, recipient_id)

    @router.post("/people/{recipient_id}")
    async def change(request: Request, viewer: Changing, recipient_id: UUID) -> Response:
        form = await request.form()
        typed, person = read_person(form, viewer, store.now())
        if person is None:
            return await _page(dashboard, request, viewer, recipient_id, typed=typed)
        try:
            changed = await store.run(care.change_person, viewer, recipient_id, person, str(form.get("seen", "")))
        except PersonChanged:
            return await _page(dashboard, request, viewer, recipient_id, typed=typed, changed=True)
        except PersonKnown as error:
            typed = wrong(typed, viewer, "name", "known")
            return await _page(dashboard, request, viewer, recipient_id, typed=typed, known=error.recipient_id)
        except NumberOptedOut:
            typed = wrong(typed, viewer, "phone", "number_opted_out")
            return await _page(dashboard, request, viewer, recipient_id, typed=typed)
        return RedirectResponse(f"/people/{recipient_id}?done={'saved' if changed else 'unchanged'}", 303)


def _add_opt_out(router: APIRouter, dashboard: Dashboard) -> None:
    store, care = dashboard.store, dashboard.store.care
    Working = Annotated[Viewer, Depends(dashboard.needs(Role.CARE_WORKER))]  # noqa: N806

    @router.get("/people/{recipient_id}/opt-out")
    async def ask_before_opt_out(request: Request, viewer: Working, recipient_id: UUID) -> Response:
        details = await store.run(care.person_details, viewer, recipient_id)
        return dashboard.page(request, viewer, "person_opt_out.html", person=details)

    @router.post("/people/{recipient_id}/opt-out")
    async def opt_out(viewer: Working, recipient_id: UUID, confirmed: Annotated[str, Form()] = "") -> Response:
        if confirmed != "yes":
            return RedirectResponse(f"/people/{recipient_id}/opt-out", 303)
        done = await store.run(care.opt_person_out, viewer, recipient_id)
        return RedirectResponse(f"/people/{recipient_id}?done={'opted_out' if done else 'unchanged'}", 303)


async def _page(
    dashboard: Dashboard,
    request: Request,
    viewer: Viewer,
    recipient_id: UUID,
    *,
    typed: Typed | None = None,
    known: UUID | None = None,
    changed: bool = False,
    consent: tuple[UUID, Typed] | None = None,
) -> Response:
    care = dashboard.store.care
    details = await dashboard.store.run(care.person_details, viewer, recipient_id)
    now = dashboard.store.now()
    return dashboard.page(
        request,
        viewer,
        "person.html",
        status=409 if changed or known else 422 if typed or consent else 200,
        person=details,
        typed=typed or typed_of(details),
        known=known,
        changed=changed,
        consent=consent,
        today=now.astimezone(ZoneInfo(viewer.time_zone)).date(),
        calls={place.enrollment_id: call_of(place, details.time_zone, now, viewer) for place in details.places},
        campaigns=await dashboard.store.run(care.campaign_list, viewer) if viewer.may(Role.SUPERVISOR) else (),
        sources=(ConsentSource.WRITTEN, ConsentSource.SPOKEN),
        keeps_days=dashboard.settings.retain_recordings_days,
        done=done_words(request, viewer),
    )
