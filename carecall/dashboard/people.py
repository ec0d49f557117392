"""People: the list, one person's details and campaigns, and what is done to several at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

import phonenumbers
from babel.core import get_global
from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData

from carecall.dashboard.dashboard import Dashboard
from carecall.dashboard.rights import add_rights
from carecall.dashboard.words import Words
from carecall.domain.enrollment import Due
from carecall.domain.viewer import Role, Viewer
from carecall.exchange.people_file import Column, Defaults, Problem, check_person
from carecall.outreach.local_days import known_zone
from carecall.outreach.planning import next_check
from carecall.outreach.reason_words import clock_words
from carecall.outreach.reason_words import words as reason_words
from carecall.store.care_people import (
    Called,
    Details,
    NumberOptedOut,
    Order,
    PeoplePage,
    PersonChanged,
    PersonKnown,
    Place,
    Someone,
    Wanted,
)
from carecall.store.people import Person
from carecall.store.tables import ConsentSource, DayState

_MOST_AT_ONCE = 500  # people that one form may tick
_DETAILS = (
    Column.NAME,
    Column.PHONE,
    Column.LANGUAGE,
    Column.TIME_ZONE,
    Column.OPENS,
    Column.CLOSES,
    Column.PATIENCE_S,
    Column.RECORDING_CONSENT,
    Column.NOTES,
)


@dataclass(frozen=True, slots=True)
class Typed:
    """A form as it was typed, and what is wrong with it beside each field."""

    values: Mapping[str, str]
    troubles: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "")


def add_people(router: APIRouter, dashboard: Dashboard) -> None:
    add_rights(router, dashboard)
    store, care = dashboard.store, dashboard.store.care
    Seeing = Annotated[Viewer, Depends(dashboard.needs(Role.VIEWER))]  # noqa: N806
    Working = Annotated[Viewer, Depends(dashboard.needs(Role.CARE_WORKER))]  # noqa: N806
    Changing = Annotated[Viewer, Depends(dashboard.needs(Role.SUPERVISOR))]  # noqa: N806

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

    @router.get("/people/add")
    async def new(request: Request, viewer: Changing) -> Response:
        typed = Typed({"language": viewer.language.value, "time_zone": viewer.time_zone})
        return dashboard.page(request, viewer, "person_new.html", typed=typed, known=None)

    @router.post("/people/add")
    async def add(request: Request, viewer: Changing) -> Response:
        typed, person = _read(await request.form(), viewer, store.now())
        known = None
        if person is not None:
            try:
                recipient_id = await store.run(care.add_person, viewer, person)
                return RedirectResponse(f"/people/{recipient_id}?done=added", 303)
            except PersonKnown as error:
                known = error.recipient_id
                typed = _wrong(typed, viewer, "name", "known")
            except NumberOptedOut:
                typed = _wrong(typed, viewer, "phone", "number_opted_out")
        return dashboard.page(request, viewer, "person_new.html", status=422, typed=typed, known=known)

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
        typed = Typed(_strings(form))
        status = 200
        if "campaign" in form:
            consent, troubles = _consent(typed, viewer, store.now(), required=False)
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

    @router.post("/people/places/{enrollment_id}/consent")
    async def consent(
        request: Request, viewer: Changing, enrollment_id: UUID, recipient: Annotated[UUID, Form()]
    ) -> Response:
        typed = Typed(_strings(await request.form()))
        (at, source), troubles = _consent(typed, viewer, store.now(), required=True)
        if troubles or at is None or source is None:
            return await person_page(request, viewer, recipient, consent=(enrollment_id, Typed(typed.values, troubles)))
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

    async def person_page(
        request: Request,
        viewer: Viewer,
        recipient_id: UUID,
        *,
        typed: Typed | None = None,
        known: UUID | None = None,
        changed: bool = False,
        consent: tuple[UUID, Typed] | None = None,
    ) -> Response:
        details = await store.run(care.person_details, viewer, recipient_id)
        now = store.now()
        return dashboard.page(
            request,
            viewer,
            "person.html",
            status=409 if changed or known else 422 if typed or consent else 200,
            person=details,
            typed=typed or _typed(details),
            known=known,
            changed=changed,
            consent=consent,
            today=now.astimezone(ZoneInfo(viewer.time_zone)).date(),
            calls={place.enrollment_id: _call_of(place, details.time_zone, now, viewer) for place in details.places},
            campaigns=await store.run(care.campaign_list, viewer) if viewer.may(Role.SUPERVISOR) else (),
            sources=(ConsentSource.WRITTEN, ConsentSource.SPOKEN),
            keeps_days=dashboard.settings.retain_recordings_days,
            done=done_words(request, viewer),
        )

    @router.get("/people/{recipient_id}")
    async def person(request: Request, viewer: Seeing, recipient_id: UUID) -> Response:
        return await person_page(request, viewer, recipient_id)

    @router.post("/people/{recipient_id}")
    async def change(request: Request, viewer: Changing, recipient_id: UUID) -> Response:
        form = await request.form()
        typed, person = _read(form, viewer, store.now())
        if person is None:
            return await person_page(request, viewer, recipient_id, typed=typed)
        try:
            changed = await store.run(care.change_person, viewer, recipient_id, person, str(form.get("seen", "")))
        except PersonChanged:
            return await person_page(request, viewer, recipient_id, typed=typed, changed=True)
        except PersonKnown as error:
            typed = _wrong(typed, viewer, "name", "known")
            return await person_page(request, viewer, recipient_id, typed=typed, known=error.recipient_id)
        except NumberOptedOut:
            typed = _wrong(typed, viewer, "phone", "number_opted_out")
            return await person_page(request, viewer, recipient_id, typed=typed)
        return RedirectResponse(f"/people/{recipient_id}?done={'saved' if changed else 'unchanged'}", 303)

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


def next_call(someone: Someone, now: datetime, viewer: Viewer) -> str:
    """When somebody is called next, over all campaigns, or why they are not."""
    found = [_call_of(place, someone.time_zone, now, viewer) for place in someone.places]
    found.sort(key=lambda call: call.at or datetime.max.replace(tzinfo=UTC))
    return found[0].words if found else Words(viewer.language)("people.in_no_campaign")


@dataclass(frozen=True, slots=True)
class NextCall:
    """A person's next call in a campaign, or why there is none."""

    at: datetime | None
    words: str


def _call_of(place: Place, zone: str, now: datetime, viewer: Viewer) -> NextCall:
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


def numbers_of(text: str, viewer: Viewer) -> tuple[str, ...]:
    """The number that a text is, if it is one; without country code it is one of the viewer's country."""
    try:
        number = phonenumbers.parse(text, country_of(viewer))
    except phonenumbers.NumberParseException:
        return ()
    return (phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164),)


def country_of(viewer: Viewer) -> str | None:
    """Where the viewer's clock is kept: numbers without country code are of that country."""
    country = get_global("zone_territories").get(viewer.time_zone)
    return str(country) if country in phonenumbers.SUPPORTED_REGIONS else None


def problem_words(problem: Problem, words: Words) -> str:
    """What is wrong with a line or a field, in the viewer's language."""
    values = dict(problem.values)
    if fields := values.get("fields"):
        values["fields"] = ", ".join(words(f"people.field.{name}") for name in fields.split(", "))
    column = words(f"people.field.{problem.column}") if problem.column else ""
    return words(f"people.problem.{problem.code}", **{"column": column, **values})


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


def _strings(form: FormData) -> dict[str, str]:
    return {key: value for key, value in form.items() if isinstance(value, str)}


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


def _read(form: FormData, viewer: Viewer, now: datetime) -> tuple[Typed, Person | None]:
    """A person from a form, checked as a line of a list is."""
    values = _strings(form)
    cells = {column: values.get(column.value, "") for column in _DETAILS}
    person, problems = check_person(cells, Defaults(country_of(viewer)), now)
    words = Words(viewer.language)
    troubles: dict[str, str] = {}
    for problem in problems:
        troubles.setdefault(problem.column or "name", problem_words(problem, words))
    return Typed(values, troubles), person


def _wrong(typed: Typed, viewer: Viewer, name: str, code: str) -> Typed:
    return Typed(typed.values, {**typed.troubles, name: Words(viewer.language)(f"people.wrong.{code}")})


def _typed(details: Details) -> Typed:
    def clock(at: time | None) -> str:
        return f"{at:%H:%M}" if at else ""

    return Typed(
        {
            "name": details.name,
            "phone": details.phone,
            "language": details.language.value,
            "time_zone": details.time_zone,
            "opens": clock(details.opens),
            "closes": clock(details.closes),
            "patience_s": f"{details.patience_s:g}" if details.patience_s else "",
            "recording_consent": _day(details.recording_consent_at, details.time_zone),
            "notes": details.notes,
        }
    )


def _day(at: datetime | None, zone: str) -> str:
    """The day on the person's own clock, as a form takes it."""
    return f"{at.astimezone(known_zone(zone) or UTC):%Y-%m-%d}" if at else ""


def _consent(
    typed: Typed, viewer: Viewer, now: datetime, *, required: bool
) -> tuple[tuple[datetime | None, ConsentSource | None], dict[str, str]]:
    """Day and source of a consent, or what is wrong with them; neither stands for none."""
    words, troubles = Words(viewer.language), dict[str, str]()
    day, source = typed["consent_day"], typed["consent_source"]
    if not day and not source and not required:
        return (None, None), troubles
    zone = ZoneInfo(viewer.time_zone)
    at = None
    try:
        at = datetime.combine(date.fromisoformat(day), time(), zone)
    except ValueError:
        troubles["consent_day"] = words("people.wrong.consent_day")
    if at is not None and at > now:
        troubles["consent_day"] = words("people.wrong.consent_ahead")
    if source not in (ConsentSource.WRITTEN, ConsentSource.SPOKEN):
        troubles["consent_source"] = words("people.wrong.consent_source")
    return (None, None) if troubles else (at, ConsentSource(source)), troubles
