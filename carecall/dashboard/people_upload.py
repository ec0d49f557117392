"""Importing a list of people from the browser: sent, checked and shown line by line, then taken in."""

from typing import Annotated
from uuid import UUID

import phonenumbers
from babel import Locale
from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData, UploadFile

from carecall.dashboard.dashboard import Dashboard
from carecall.dashboard.person_form import Typed, country_of, problem_words
from carecall.dashboard.sessions import Sessions
from carecall.dashboard.uploads import Kind, Phase, TooMany, Upload, Uploads
from carecall.dashboard.words import Words
from carecall.domain.language import Language
from carecall.domain.viewer import Role, Viewer
from carecall.exchange.people_file import Defaults
from carecall.exchange.table_file import MAX_BYTES, FileInMemory
from carecall.outreach.local_days import known_zone
from carecall.store.care_campaigns import Listed

_MOST = MAX_BYTES + 64 * 1024  # bytes of a request: the file, and the rest of the form


def add_people_upload(router: APIRouter, dashboard: Dashboard, sessions: Sessions) -> None:
    store, care = dashboard.store, dashboard.store.care
    uploads = Uploads(store)
    Changing = Annotated[Viewer, Depends(dashboard.needs(Role.SUPERVISOR))]  # noqa: N806

    async def form_page(request: Request, viewer: Viewer, typed: Typed, status: int = 200) -> Response:
        return dashboard.page(
            request,
            viewer,
            "people_import.html",
            status=status,
            typed=typed,
            campaigns=await store.run(care.campaign_list, viewer),
            countries=_countries(viewer.language),
            most_mb=MAX_BYTES // 1024**2,
        )

    def upload_of(request: Request, viewer: Viewer, token: str) -> Upload:
        return uploads.of(viewer, sessions.digest(request), token)

    @router.get("/people/import")
    async def choose(request: Request, viewer: Changing) -> Response:
        typed = Typed({"country": country_of(viewer) or "", "language": viewer.language.value})
        return await form_page(request, viewer, typed)

    @router.post("/people/import")
    async def send(request: Request, viewer: Changing) -> Response:
        length = request.headers.get("content-length", "")
        if not length.isdigit() or int(length) > _MOST:
            raise HTTPException(413)
        async with request.form(max_files=1, max_fields=20) as form:
            campaigns = await store.run(care.campaign_list, viewer)
            typed, file, campaign, defaults = await _read(form, viewer, campaigns)
        if file is None or typed.troubles:
            return await form_page(request, viewer, typed, 422)
        try:
            token = uploads.begin(
                viewer,
                sessions.digest(request),
                file,
                campaign=campaign,
                update="update" in typed.values,
                defaults=defaults,
            )
        except TooMany:
            trouble = Words(viewer.language)("people.upload.too_many")
            return await form_page(request, viewer, Typed(typed.values, {"file": trouble}), 503)
        return RedirectResponse(f"/people/import/{token}", 303)

    @router.get("/people/import/{token}")
    async def show(request: Request, viewer: Changing, token: str, only: str = "", after: int = 0) -> Response:
        upload = upload_of(request, viewer, token)
        if only not in ("", *Kind):
            raise HTTPException(404)
        counts = upload.counts
        kind = Kind(only) if only else None
        lines, following = upload.page(kind, after)
        words = Words(viewer.language)
        return dashboard.page(
            request,
            viewer,
            "people_upload.html",
            upload=upload,
            counts=counts,
            kinds=[each for each in Kind if counts[each]],
            only=only,
            after=after,
            lines=lines,
            following=following,
            tell=lambda problem: problem_words(problem, words),
            added=sum(fate.known is None for fate in upload.fates),
            enrolled=sum(fate.enrolls for fate in upload.fates),
            changed=sum(bool(fate.changes) for fate in upload.fates),
            good=counts[Kind.OK] + counts[Kind.KNOWN],
            wrong=len({problem.line for problem in upload.problems}),
        )

    @router.post("/people/import/{token}/confirm")
    async def confirm(request: Request, viewer: Changing, token: str) -> Response:
        uploads.confirm(upload_of(request, viewer, token))
        return RedirectResponse(f"/people/import/{token}", 303)

    @router.post("/people/import/{token}/discard")
    async def discard(request: Request, viewer: Changing, token: str) -> Response:
        uploads.discard(upload_of(request, viewer, token))
        return RedirectResponse("/people/import", 303)

    @router.get("/people/import/{token}/rejected")
    async def rejected(request: Request, viewer: Changing, token: str) -> Response:
        upload = upload_of(request, viewer, token)
        if upload.phase not in (Phase.CHECKED, Phase.DONE):
            raise HTTPException(404)
        words = Words(viewer.language)
        text = upload.rejected(lambda problem: problem_words(problem, words))
        headers = {"Content-Disposition": 'attachment; filename="rejected.csv"'}
        return Response(text.encode("utf-8-sig"), media_type="text/csv; charset=utf-8", headers=headers)


async def _read(
    form: FormData, viewer: Viewer, campaigns: list[Listed]
) -> tuple[Typed, FileInMemory | None, tuple[UUID, str] | None, Defaults]:
    """What was sent: the options as typed, the file, the campaign, and what holds where the list is silent."""
    words = Words(viewer.language)
    values = {key: value.strip() for key, value in form.items() if isinstance(value, str)}
    troubles: dict[str, str] = {}
    sent = form.get("file")
    file = None
    if isinstance(sent, UploadFile) and sent.filename:
        file = FileInMemory(sent.filename[-100:], await sent.read())
    else:
        troubles["file"] = words("people.upload.no_file")
    campaign = next(
        ((each.id, each.campaign.name) for each in campaigns if str(each.id) == values.get("campaign")), None
    )
    if values.get("campaign") and campaign is None:
        troubles["campaign"] = words("people.wrong.campaign")
    country, language, zone = (values.get(name, "") for name in ("country", "language", "time_zone"))
    if country and country not in phonenumbers.SUPPORTED_REGIONS:
        troubles["country"] = words("people.upload.no_country")
    if language not in ("", *Language):
        troubles["language"] = words("people.upload.no_language")
    if zone and ("/" not in zone or known_zone(zone) is None):
        troubles["time_zone"] = words("people.problem.zone_unknown", text=zone)
    defaults = Defaults(country or None, Language(language) if language in list(Language) else None, zone or None, ())
    return Typed(values, troubles), file, campaign, defaults


def _countries(language: Language) -> list[tuple[str, str]]:
    names = Locale(language.value).territories
    return sorted(((code, names.get(code, code)) for code in phonenumbers.SUPPORTED_REGIONS), key=lambda each: each[1])
