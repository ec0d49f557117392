"""Campaigns: the list, each in plain words, made and changed by a form, and the plan of a day."""

from datetime import date, timedelta
from functools import cache
from typing import Annotated
from urllib.parse import quote, urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from babel import Locale
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from carecall.dashboard.campaign_form import UNITS, CampaignForm, form_of, new_form, read_form, span_of
from carecall.dashboard.dashboard import Dashboard
from carecall.dashboard.day_plans import DayPlans, PlanLine
from carecall.dashboard.people import done_words
from carecall.dashboard.person_form import country_of
from carecall.dashboard.words import Words
from carecall.dialog.files import dialog_names
from carecall.domain.campaign import Campaign, TaskKind
from carecall.domain.language import Language
from carecall.domain.viewer import Role, Viewer
from carecall.outreach.campaign_file import as_yaml
from carecall.outreach.campaign_schema import RETRIED, WEEKDAYS
from carecall.outreach.reason_words import words as reason_words
from carecall.store.care_campaigns import CampaignChanged, CampaignNameTaken, Listed


class PlainWords:
    """A campaign's schedule and ladder as sentences."""

    def __init__(self, campaign: Campaign, words: Words) -> None:
        self._campaign = campaign
        self._words = words

    @property
    def days(self) -> str:
        schedule = self._campaign.schedule
        days = [self._words(f"campaigns.day.{WEEKDAYS[day]}") for day in sorted(schedule.weekdays)]
        which = self._words("campaigns.every_day") if len(days) == len(WEEKDAYS) else ", ".join(days)
        return self._words("campaigns.days_at", days=which, times=", ".join(f"{at:%H:%M}" for at in schedule.times))

    @property
    def period(self) -> str:
        start, end = self._campaign.starts_on, self._campaign.ends_on
        key = "campaigns.from_to" if end else "campaigns.from"
        return self._words(key, start=start.isoformat(), end=end.isoformat() if end else "")

    @property
    def window(self) -> str:
        window = self._campaign.schedule.window
        return self._words("campaigns.window", opens=f"{window.opens:%H:%M}", closes=f"{window.closes:%H:%M}")

    @property
    def holidays(self) -> str:
        country = self._campaign.schedule.holidays
        if country is None:
            return self._words("campaigns.on_holidays")
        return self._words("campaigns.no_holidays", country=country_name(country, self._words.language))

    @property
    def open_for(self) -> str:
        return self._words("campaigns.open_for_words", time=self.span(self._campaign.schedule.open_for))

    @property
    def cap(self) -> str:
        return self._words("campaigns.cap_words", count=self._campaign.schedule.daily_cap)

    @property
    def attempts(self) -> str:
        return self._words("campaigns.attempts_words", count=self._campaign.ladder.attempts)

    @property
    def retries(self) -> list[tuple[str, str]]:
        """Each ending, and what follows it."""
        waits = self._campaign.ladder.retry_after
        return [
            (
                self._words(f"campaigns.ending.{ending.value}"),
                self._words("campaigns.again_after", time=self.span(waits[ending]))
                if ending in waits
                else self._words("campaigns.not_again"),
            )
            for ending in RETRIED
        ]

    @property
    def steps(self) -> list[str]:
        return [
            self._words(
                "campaigns.step_words", task=self._words(f"campaigns.task.{step.kind}"), time=self.span(step.within)
            )
            for step in self._campaign.ladder.then
        ]

    def span(self, duration: timedelta) -> str:
        number, unit = span_of(duration)
        return self._words(f"campaigns.span.{unit}", count=number)


def add_campaigns(router: APIRouter, dashboard: Dashboard) -> None:
    store, care = dashboard.store, dashboard.store.care
    plans = DayPlans(store)
    Seeing = Annotated[Viewer, Depends(dashboard.needs(Role.VIEWER))]  # noqa: N806
    Changing = Annotated[Viewer, Depends(dashboard.needs(Role.SUPERVISOR))]  # noqa: N806

    def dialogs() -> list[str]:
        """The names of the dialogs, without their languages."""
        return sorted({name.rpartition(".")[0] for name in dialog_names(dashboard.settings.dialogs_dir)})

    def form_page(
        request: Request,
        viewer: Viewer,
        typed: CampaignForm,
        listed: Listed | None,
        *,
        trouble: str = "",
        status: int = 200,
    ) -> Response:
        return dashboard.page(
            request,
            viewer,
            "campaign_form.html",
            status=status,
            typed=typed,
            listed=listed,
            trouble=trouble,
            dialogs=dialogs(),
            weekdays=WEEKDAYS,
            endings=[ending.value for ending in RETRIED],
            tasks=[task.value for task in TaskKind],
            units=UNITS,
            countries=countries(viewer.language),
        )

    @router.get("/campaigns")
    async def campaigns(request: Request, viewer: Seeing) -> Response:
        listed = await store.run(care.campaign_list, viewer)
        words = Words(viewer.language)
        return dashboard.page(
            request,
            viewer,
            "campaigns.html",
            campaigns=[(each, PlainWords(each.campaign, words)) for each in listed],
            done=done_words(request, viewer),
        )

    @router.get("/campaigns/add")
    async def new(request: Request, viewer: Changing) -> Response:
        today = store.now().astimezone(ZoneInfo(viewer.time_zone)).date()
        country = country_of(viewer) or ""
        known = any(country == code for code, _ in countries(viewer.language))
        return form_page(request, viewer, new_form(today.isoformat(), country if known else ""), None)

    @router.post("/campaigns/add")
    async def add(request: Request, viewer: Changing) -> Response:
        typed, campaign = read_form(await request.form(), dialogs())
        if campaign is None:
            return form_page(request, viewer, typed, None, status=422)
        try:
            campaign_id = await store.run(care.add_campaign, viewer, campaign)
        except CampaignNameTaken:
            return form_page(request, viewer, typed, None, trouble="name_taken", status=409)
        plans.changed(viewer)
        return RedirectResponse(f"/campaigns/{campaign_id}?done=campaign_added", 303)

    @router.get("/campaigns/{campaign_id}")
    async def show(request: Request, viewer: Seeing, campaign_id: UUID) -> Response:
        listed = await store.run(care.campaign_of, viewer, campaign_id)
        return dashboard.page(
            request,
            viewer,
            "campaign.html",
            listed=listed,
            plain=PlainWords(listed.campaign, Words(viewer.language)),
            done=done_words(request, viewer),
        )

    @router.get("/campaigns/{campaign_id}/edit")
    async def edit(request: Request, viewer: Changing, campaign_id: UUID) -> Response:
        listed = await store.run(care.campaign_of, viewer, campaign_id)
        return form_page(request, viewer, form_of(listed.campaign), listed)

    @router.post("/campaigns/{campaign_id}/edit")
    async def change(request: Request, viewer: Changing, campaign_id: UUID) -> Response:
        form = await request.form()
        listed = await store.run(care.campaign_of, viewer, campaign_id)
        typed, campaign = read_form(form, dialogs())
        if campaign is None:
            return form_page(request, viewer, typed, listed, status=422)
        try:
            await store.run(care.change_campaign, viewer, campaign_id, campaign, str(form.get("seen", "")))
        except CampaignChanged:
            return form_page(request, viewer, typed, listed, trouble="changed_meanwhile", status=409)
        except CampaignNameTaken:
            return form_page(request, viewer, typed, listed, trouble="name_taken", status=409)
        plans.changed(viewer)
        return RedirectResponse(f"/campaigns/{campaign_id}?done=campaign_saved", 303)

    @router.post("/campaigns/{campaign_id}/pause")
    async def pause(viewer: Changing, campaign_id: UUID) -> Response:
        return await set_paused(viewer, campaign_id, paused=True)

    @router.post("/campaigns/{campaign_id}/resume")
    async def resume(viewer: Changing, campaign_id: UUID) -> Response:
        return await set_paused(viewer, campaign_id, paused=False)

    async def set_paused(viewer: Viewer, campaign_id: UUID, *, paused: bool) -> Response:
        changed = await store.run(care.pause_campaign, viewer, campaign_id, paused=paused)
        plans.changed(viewer)
        done = ("campaign_paused" if paused else "campaign_resumed") if changed else "unchanged"
        return RedirectResponse(f"/campaigns/{campaign_id}?done={done}", 303)

    @router.get("/campaigns/{campaign_id}/file")
    async def file(viewer: Seeing, campaign_id: UUID) -> Response:
        """The campaign as a file that ``carecall campaign add`` takes."""
        listed = await store.run(care.campaign_of, viewer, campaign_id)
        name = quote(f"{listed.campaign.name}.yaml".replace("/", "-"), safe="")
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
        return Response(as_yaml(listed.campaign), media_type="application/yaml", headers=headers)

    @router.get("/campaigns/{campaign_id}/plan")
    async def plan_of(
        request: Request,
        viewer: Seeing,
        campaign_id: UUID,
        on: str = "",
        only: str = "",
        after: Annotated[str, Query(max_length=64)] = "",
    ) -> Response:
        listed = await store.run(care.campaign_of, viewer, campaign_id)
        return await plan_page(request, viewer, [listed], listed, on, only, after)

    @router.get("/plan")
    async def plan(
        request: Request,
        viewer: Seeing,
        on: str = "",
        only: str = "",
        after: Annotated[str, Query(max_length=64)] = "",
    ) -> Response:
        return await plan_page(request, viewer, await store.run(care.campaign_list, viewer), None, on, only, after)

    async def plan_page(
        request: Request, viewer: Viewer, campaigns: list[Listed], one: Listed | None, on: str, only: str, after: str
    ) -> Response:
        today = store.now().astimezone(ZoneInfo(viewer.time_zone)).date()
        trouble, day = "", today
        try:
            day = date.fromisoformat(on) if on else today
        except ValueError:
            trouble = "no_day"
        if day < today - timedelta(days=1):  # somewhere it may still be yesterday
            trouble, day = "past_day", today
        made = await plans.of(viewer, campaigns, day)
        lines, following = made.page(only, after)
        names = await store.run(care.plan_names, viewer, list({line.recipient_id for line in lines}))
        path = request.url.path
        return dashboard.page(
            request,
            viewer,
            "plan.html",
            status=422 if trouble else 200,
            one=one,
            day=day,
            today=today,
            typed_day=on if trouble else day.isoformat(),
            trouble=trouble,
            counts=made.counts.most_common(),
            total=len(made.lines),
            only=only,
            lines=lines,
            names=names,
            said=lambda line: _said(line, viewer),
            clock=_clock,
            address=lambda **asked: f"{path}?{urlencode({'on': day.isoformat(), **asked})}",
            following=following,
            after=after,
        )


def _clock(line: PlanLine) -> str:
    """When the check may be begun, on the person's own clock."""
    return f"{line.begins_at.astimezone(ZoneInfo(line.time_zone)):%H:%M}" if line.begins_at else "–"


def _said(line: PlanLine, viewer: Viewer) -> str:
    if line.reason is None:
        return Words(viewer.language)(f"campaigns.standing.{line.standing.value}")
    return reason_words(line.reason, line.look_again_at, line.time_zone, viewer.language)


@cache
def countries(language: Language) -> list[tuple[str, str]]:
    """The countries whose public holidays are known, by their names."""
    from holidays import list_supported_countries

    return sorted(
        ((code, country_name(code, language)) for code in list_supported_countries() if len(code) == 2),
        key=lambda each: each[1],
    )


def country_name(code: str, language: Language) -> str:
    return str(Locale(language.value).territories.get(code, code))
