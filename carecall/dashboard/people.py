"""People: the list, and what is done to several at once."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData

from carecall.dashboard.dashboard import Dashboard
from carecall.dashboard.person_form import Typed, consent_of, numbers_of, strings_of
from carecall.dashboard.words import Words
from carecall.domain.enrollment import Due
from carecall.domain.viewer import Role, Viewer
from carecall.outreach.planning import next_check
from carecall.outreach.reason_words import clock_words
from carecall.outreach.reason_words import words as reason_words
from carecall.store.care_people import Called, Order, PeoplePage, Place, Someone, Wanted
from carecall.store.tables import ConsentSource, DayState

_MOST_AT_ONCE = 500  # people that one form may tick


def add_people(router: APIRouter, dashboard: Dashboard) -> None:
    store, care = dashboard.store, dashboard.store.care
    Seeing = Annotated[Viewer, Depends(dashboard.needs(Role.VIEWER))]  # noqa: N806

    async def list_page(request: Request, viewer: Viewer, wanted: Wanted, search: str = "") -> Response:
        page: PeoplePage = await store.run(care.people_page, viewer, wanted)
        now = store.now()
        return dashboard.page(
            request,
            viewer,
            "people.html",
            page=page,
            wanted=wanted,
            search=search,
            campaigns=await store.run(care.campaign_list, viewer),
            calls={someone.id: next_call(someone, now, viewer) for someone in page.people},
            more=_address(wanted, page.next) if page.next else "",
            states=list(DayState),
            standings=list(Called),
            orders=list(Order),
            done=done_words(request, viewer),
        )

    @router.get("/people")
    async def people(
        request: Request,
        viewer: Seeing,
        campaign: str = "",
        state: str = "",
        called: str = "",
        order: str = "",
        after: Annotated[str, Query(max_length=100)] = "",
    ) -> Response:
        try:
            wanted = Wanted(
                campaign_id=UUID(campaign) if campaign else None,
                state=DayState(state) if state else None,
                called=Called(called) if called else None,
                order=Order(order) if order else Order.NEWEST,
                after=after,
            )
        except ValueError:
            raise HTTPException(404) from None
        return await list_page(request, viewer, wanted)

    @router.post("/people/search")
    async def search(request: Request, viewer: Seeing, search: Annotated[str, Form(max_length=100)] = "") -> Response:
        """By post, so that no name stands in an address, which browsers and servers keep."""
        wanted = " ".join(search.split())
        if not wanted:
            return RedirectResponse("/people", 303)
        return await list_page(request, viewer, Wanted(name=wanted, numbers=numbers_of(wanted, viewer)), wanted)

    _add_several(router, dashboard)


def _add_several(router: APIRouter, dashboard: Dashboard) -> None:
    store, care = dashboard.store, dashboard.store.care
    Working = Annotated[Viewer, Depends(dashboard.needs(Role.CARE_WORKER))]  # noqa: N806
    Changing = Annotated[Viewer, Depends(dashboard.needs(Role.SUPERVISOR))]  # noqa: N806

    @router.post("/people/pause")
    async def pause(request: Request, viewer: Working) -> Response:
        return await set_paused(request, viewer, paused=True)

    @router.post("/people/resume")
    async def resume(request: Request, viewer: Working) -> Response:
        return await set_paused(request, viewer, paused=False)

    async def set_paused(request: Request, viewer: Viewer, *, paused: bool) -> Response:
        form = await request.form()
        ids = _ticked(form)
        if not ids:
            return _back(form, "nobody_ticked")
        changed = await store.run(care.pause_people, viewer, ids, paused=paused)
        return _back(form, "paused" if paused else "resumed", changed)

    @router.post("/people/enrol")
    async def enrol(request: Request, viewer: Changing) -> Response:
        """The form for people who are ticked; with a campaign in it, what it asks for."""
        form = await request.form()
        ids = _ticked(form)
        if not ids:
            return _back(form, "nobody_ticked")
        campaigns = await store.run(care.campaign_list, viewer)
        typed = Typed(strings_of(form))
        status = 200
        if "campaign" in form:
            consent, troubles = consent_of(typed, viewer, store.now(), required=False)
            campaign_id = next((each.id for each in campaigns if str(each.id) == typed["campaign"]), None)
            if campaign_id is None:
                troubles["campaign"] = Words(viewer.language)("people.wrong.campaign")
            if campaign_id is not None and not troubles:
                enrolled = await store.run(
                    care.enrol_people,
                    viewer,
                    ids,
                    campaign_id,
                    consent_at=consent[0],
                    consent_source=consent[1],
                )
                done = "enrolled_but" if enrolled.already or enrolled.opted_out else "enrolled"
                return _back(form, done, enrolled.enrolled, enrolled.already, enrolled.opted_out)
            typed, status = Typed(typed.values, troubles), 422
        return dashboard.page(
            request,
            viewer,
            "people_enrol.html",
            status=status,
            ids=ids,
            campaigns=campaigns,
            typed=typed,
            back=_own(str(form.get("back", ""))),
            sources=(ConsentSource.WRITTEN, ConsentSource.SPOKEN),
        )


def next_call(someone: Someone, now: datetime, viewer: Viewer) -> str:
    """When somebody is called next, over all campaigns, or why they are not."""
    found = [call_of(place, someone.time_zone, now, viewer) for place in someone.places]
    found.sort(key=lambda call: call.at or datetime.max.replace(tzinfo=UTC))
    return found[0].words if found else Words(viewer.language)("people.in_no_campaign")


@dataclass(frozen=True, slots=True)
class NextCall:
    """A person's next call in a campaign, or why there is none."""

    at: datetime | None
    words: str


def call_of(place: Place, zone: str, now: datetime, viewer: Viewer) -> NextCall:
    language, say = viewer.language, Words(viewer.language)
    if place.active and place.try_at is not None:
        when = clock_words(place.try_at, zone, language)
        return NextCall(place.try_at, say("people.tried_at", when=when) if place.try_at > now else say("people.due"))
    answer = next_check(place.enrolled, now)
    if isinstance(answer, Due):
        return NextCall(answer.due_at, say("people.due"))
    if answer.look_again_at is not None and answer.reason == "not_due":
        when = clock_words(answer.look_again_at, zone, language)
        return NextCall(answer.look_again_at, when)
    return NextCall(answer.look_again_at, reason_words(answer.reason, answer.look_again_at, zone, language))


def done_words(request: Request, viewer: Viewer) -> str:
    """What the last request did, told on the page that follows it."""
    done = request.query_params.get("done", "")
    if not done.isidentifier():
        return ""
    numbers = [value if value.isdigit() and len(value) < 7 else "0" for value in request.query_params.getlist("n")]
    count, already, refused = (int(each) for each in (*numbers, "0", "0", "0")[:3])
    try:
        return Words(viewer.language)(f"people.done.{done}", count=count, already=already, refused=refused)
    except KeyError:
        return ""


def _address(wanted: Wanted, after: str) -> str:
    asked = {
        "campaign": str(wanted.campaign_id or ""),
        "state": wanted.state or "",
        "called": wanted.called or "",
        "order": wanted.order,
        "after": after,
    }
    return f"/people?{urlencode({key: value for key, value in asked.items() if value})}"


def _ticked(form: FormData) -> list[UUID]:
    """The people a form is about. Raises HTTPException."""
    try:
        ids = list(dict.fromkeys(UUID(str(value)) for value in form.getlist("id")))
    except ValueError:
        raise HTTPException(404) from None
    if len(ids) > _MOST_AT_ONCE:
        raise HTTPException(413)
    return ids


def _own(path: str) -> str:
    """The page to go back to: one of these pages, whatever the form says."""
    return path if path.startswith("/people") and "//" not in path and "\\" not in path else "/people"


def _back(form: FormData, done: str, *numbers: int) -> Response:
    path = _own(str(form.get("back", "")))
    told = urlencode([("done", done), *(("n", number) for number in numbers)])
    return RedirectResponse(f"{path}{'&' if '?' in path else '?'}{told}", 303)
