"""One recipient: who, when the next call is and why, how the days went, what is remembered, what was done."""

from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from babel.dates import format_date
from fastapi import APIRouter, Depends, Form, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from carecall.dashboard.charts import Period, dots, temperature
from carecall.dashboard.dashboard import Dashboard
from carecall.dashboard.findings import FindingWords
from carecall.dashboard.words import Words, catalog
from carecall.domain.enrollment import Due, NotYet, Reason
from carecall.domain.language import Language
from carecall.domain.viewer import Role, Viewer
from carecall.errors import StoreConflict
from carecall.memory.memory import Topic
from carecall.outreach.local_days import known_zone
from carecall.outreach.planning import next_check
from carecall.outreach.planning import words as planning_words
from carecall.outreach.reason_words import clock_words
from carecall.store.care_history import HistoryFilter, HistoryItem, HistoryKey, HistoryPage
from carecall.store.care_recipient import Membership, ShownRecipient

MOST_REMEMBERED = 200  # characters of a sentence
_PERIODS = (30, 90)  # days that the charts can show
_MARKS = {"fine": "✓", "attention": "!", "urgent": "▲", "emergency": "■", "unreached": "✕", "none": "·"}  # of days


@dataclass(frozen=True, slots=True)
class Next:
    """When somebody is called next in a campaign, or why not."""

    campaign: str  # empty where it goes without saying
    text: str
    standing: bool  # nobody is called until something is changed


@dataclass(frozen=True, slots=True)
class RecordWords:
    """What stands in the database as a code, in words; what we have no words for, as it stands there."""

    words: Words

    def why(self, reason: str) -> str:
        """Why a task was opened, or a call is tried again."""
        return self._known(f"ending.{reason}", reason)

    def happened(self, item: HistoryItem) -> str:
        what = f"recording.{item.details['recording']}" if "recording" in item.details else item.what
        return self._known(f"history.{what}", item.what)

    def on(self, day: date) -> str:
        return format_date(day, "EEE d MMM" if self._english else "M월 d일 (EEE)", locale=self._locale)

    def short_date(self, day: date) -> str:
        return format_date(day, "d MMM" if self._english else "M/d", locale=self._locale)

    def _known(self, key: str, code: str) -> str:
        return catalog(self.words.language).get(key, code.replace("_", " ").replace(".", " "))

    @property
    def _english(self) -> bool:
        return self.words.language is Language.ENGLISH

    @property
    def _locale(self) -> str:
        return "en_GB" if self._english else "ko_KR"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something about a memory that was not done, with what was typed."""

    memory: str  # its id; empty for a new one
    text: str
    topic: str
    what: str


def add_recipient(router: APIRouter, dashboard: Dashboard) -> None:
    store = dashboard.store
    seeing = dashboard.needs(Role.VIEWER)
    working = dashboard.needs(Role.CARE_WORKER)

    @router.get("/recipients/{recipient_id}")
    async def recipient_page(
        request: Request,
        viewer: Annotated[Viewer, Depends(seeing)],
        recipient_id: UUID,
        days: int = _PERIODS[0],
    ) -> Response:
        return await _page(dashboard, request, viewer, recipient_id, days=days if days in _PERIODS else _PERIODS[0])

    @router.get("/recipients/{recipient_id}/history")
    async def history_page(
        request: Request,
        viewer: Annotated[Viewer, Depends(seeing)],
        recipient_id: UUID,
        kinds: HistoryFilter = HistoryFilter.ALL,
        before: str = "",
    ) -> Response:
        try:
            key = HistoryKey.parse(before) if before else None
        except ValueError:
            raise HTTPException(422, "this is no page of the history") from None
        person = await store.run(store.care.recipient, viewer, recipient_id)
        history = await store.run(store.care.history, viewer, recipient_id, kinds, before=key, limit=50)
        return dashboard.page(
            request,
            viewer,
            "recipient_history_page.html",
            person=person,
            before=before,
            **_history(history, kinds, Words(viewer.language)),
        )

    @router.post("/recipients/{recipient_id}/pause")
    async def pause(viewer: Annotated[Viewer, Depends(working)], recipient_id: UUID) -> Response:
        await store.run(store.care.pause_people, viewer, [recipient_id], paused=True)
        return RedirectResponse(f"/recipients/{recipient_id}", 303)

    @router.post("/recipients/{recipient_id}/resume")
    async def resume(viewer: Annotated[Viewer, Depends(working)], recipient_id: UUID) -> Response:
        await store.run(store.care.pause_people, viewer, [recipient_id], paused=False)
        return RedirectResponse(f"/recipients/{recipient_id}", 303)

    _add_memories(router, dashboard)


def _add_memories(router: APIRouter, dashboard: Dashboard) -> None:
    store = dashboard.store
    working = dashboard.needs(Role.CARE_WORKER)

    async def change(
        request: Request, viewer: Viewer, recipient_id: UUID, tried: Trouble, done: Awaitable[None]
    ) -> Response:
        try:
            await done
        except StoreConflict:
            tried = Trouble(tried.memory, tried.text, tried.topic, Words(viewer.language)("recipient.memory_conflict"))
            return await _page(dashboard, request, viewer, recipient_id, trouble=tried, status=409)
        return RedirectResponse(f"/recipients/{recipient_id}#memory", 303)

    @router.post("/recipients/{recipient_id}/memories")
    async def add_memory(
        request: Request,
        viewer: Annotated[Viewer, Depends(working)],
        recipient_id: UUID,
        text: Annotated[str, Form()] = "",
        topic: Annotated[str, Form()] = Topic.OTHER,
    ) -> Response:
        tried = Trouble("", text, topic, "")
        if refused := _refused(tried, Words(viewer.language)):
            return await _page(dashboard, request, viewer, recipient_id, trouble=refused, status=422)
        done = store.run(store.care.add_memory, viewer, recipient_id, text.strip(), topic)
        return await change(request, viewer, recipient_id, tried, done)

    @router.post("/recipients/{recipient_id}/memories/{memory_id}")
    async def edit_memory(
        request: Request,
        viewer: Annotated[Viewer, Depends(working)],
        recipient_id: UUID,
        memory_id: UUID,
        text: Annotated[str, Form()] = "",
        topic: Annotated[str, Form()] = Topic.OTHER,
    ) -> Response:
        tried = Trouble(str(memory_id), text, topic, "")
        if refused := _refused(tried, Words(viewer.language)):
            return await _page(dashboard, request, viewer, recipient_id, trouble=refused, status=422)
        done = store.run(store.care.edit_memory, viewer, recipient_id, memory_id, text.strip(), topic)
        return await change(request, viewer, recipient_id, tried, done)

    @router.post("/recipients/{recipient_id}/memories/{memory_id}/forget")
    async def forget_memory(
        request: Request, viewer: Annotated[Viewer, Depends(working)], recipient_id: UUID, memory_id: UUID
    ) -> Response:
        done = store.run(store.care.forget_memory, viewer, recipient_id, memory_id)
        return await change(request, viewer, recipient_id, Trouble("", "", Topic.OTHER, ""), done)


async def _page(
    dashboard: Dashboard,
    request: Request,
    viewer: Viewer,
    recipient_id: UUID,
    *,
    days: int = _PERIODS[0],
    trouble: Trouble | None = None,
    status: int = 200,
) -> Response:
    store = dashboard.store
    now, words = store.now(), Words(viewer.language)
    words_of = RecordWords(words)
    person = await store.run(store.care.recipient, viewer, recipient_id)
    zone = known_zone(person.time_zone) or ZoneInfo("UTC")
    active = [each for each in person.memberships if each.active and each.scheduled]
    today = person.days[-1].day
    since = datetime.combine(today - timedelta(days=days - 1), time(), zone)
    calls = await store.run(store.care.measured, viewer, recipient_id, since)
    history = await store.run(store.care.history, viewer, recipient_id)
    period = Period(today, days, lambda at: at.astimezone(zone).date())
    return dashboard.page(
        request,
        viewer,
        "recipient.html",
        status=status,
        person=person,
        records=dashboard.settings.record_calls,
        next_calls=list(_next_calls(person, now, words)),
        their_time=f"{now.astimezone(zone):%H:%M}",
        calls=calls,
        columns=list(dict.fromkeys(code for call in calls for code in call.values)),
        dots=dots(calls, period),
        temperature=temperature(calls, period),
        ticks=period.ticks(),
        days=days,
        periods=_PERIODS,
        marks=_MARKS,
        topics=[topic.value for topic in Topic],
        most_remembered=MOST_REMEMBERED,
        trouble=trouble,
        may_work=viewer.may(Role.CARE_WORKER),
        pausable=bool(active),
        all_paused=all(each.paused for each in active),
        once=uuid4,
        due_default=f"{now.astimezone(ZoneInfo(viewer.time_zone)) + timedelta(hours=4):%Y-%m-%dT%H:00}",
        date=words_of.on,
        short=words_of.short_date,
        why=words_of.why,
        **_history(history, HistoryFilter.ALL, words),
    )


def _history(page: HistoryPage, kinds: HistoryFilter, words: Words) -> dict[str, Any]:
    return {
        "history": page,
        "kinds": kinds,
        "filters": list(HistoryFilter),
        "named": FindingWords(words),
        "happened": RecordWords(words).happened,
    }


def _refused(tried: Trouble, words: Words) -> Trouble | None:
    """What is wrong with a sentence to remember."""
    if 0 < len(tried.text.strip()) <= MOST_REMEMBERED and tried.topic in set(Topic):
        return None
    what = words("recipient.memory_wrong", most=MOST_REMEMBERED)
    return Trouble(tried.memory, tried.text, tried.topic, what)


def _next_calls(person: ShownRecipient, now: datetime, words: Words) -> Iterator[Next]:
    """For each campaign that the person is in, or the reason that holds for all."""
    planned = [(each, each.enrolled) for each in person.memberships if each.enrolled is not None]
    if not person.phone.strip():
        yield Next("", planning_words(Reason.NO_NUMBER, None, person.time_zone, words.language), True)
        return
    active = [(membership, enrolled) for membership, enrolled in planned if membership.active]
    for membership, enrolled in active or planned[:1]:
        yield _next_call(membership, next_check(enrolled, now), person.time_zone, words)
    if not planned:
        yield Next("", words("recipient.nothing_planned"), True)


def _next_call(membership: Membership, decision: Due | NotYet, time_zone: str, words: Words) -> Next:
    if membership.next_attempt_at is not None and membership.active:
        when = clock_words(membership.next_attempt_at, time_zone, words.language)
        if membership.last_ending:
            because = RecordWords(words).why(membership.last_ending)
            return Next(membership.campaign, words("recipient.tried_again", when=when, because=because), False)
        return Next(membership.campaign, words("recipient.due_now"), False)
    if isinstance(decision, Due):
        return Next(membership.campaign, words("recipient.due_now"), False)
    text = planning_words(decision.reason, decision.look_again_at, time_zone, words.language)
    return Next(membership.campaign, text, decision.look_again_at is None)
