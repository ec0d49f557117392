"""What people do on a card: acknowledge, give to somebody, note, call, set a task, settle.

Every action answers with the card as it is then: 409 when somebody else was first, with what was typed still in it.
Without script it leads back to the page.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from carecall.dashboard.answers import in_part
from carecall.dashboard.dashboard import Dashboard
from carecall.dashboard.today import Asked, asked, card_context, today_page
from carecall.dashboard.words import Words
from carecall.dialog.definition import Dialog
from carecall.dialog.files import DialogFileError, find_dialog
from carecall.domain.campaign import TaskKind
from carecall.domain.enrollment import Reason
from carecall.domain.language import Language
from carecall.domain.viewer import Role, Viewer
from carecall.outreach import planning
from carecall.store.care_work import CallRefused, Conflict, TaskOutcome
from carecall.store.tables import Resolution

logger = logging.getLogger(__name__)

MOST_WORDS = 4000
_LATEST_DUE = timedelta(days=366)

Text = Annotated[str, Form()]
Id = Annotated[UUID, Form()]


class Unfit(ValueError):
    """What was typed cannot be taken; ``key`` names the words that say what to do."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


@dataclass(frozen=True, slots=True)
class Card:
    """What an action is done on."""

    kind: str  # alert, task or recipient
    id: UUID
    recipient_id: UUID

    @property
    def of(self) -> dict[str, UUID]:
        """What the store is told beside the recipient."""
        return {} if self.kind == "recipient" else {f"{self.kind}_id": self.id}

    @property
    def place(self) -> str:
        """Where a page without script goes on."""
        return f"/recipients/{self.id}" if self.kind == "recipient" else f"/#{self.kind}-{self.id}"


class Work:
    """Carries actions out, and shows their card."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard
        self._store = dashboard.store
        self.care = dashboard.store.care
        self.dialog = cache(self._read_dialog)
        self.now = dashboard.store.now

    def _read_dialog(self, id_: str, language: Language) -> Dialog:
        return find_dialog(self._dashboard.settings.dialogs_dir, f"{id_}.{language}")

    async def card(self, viewer: Viewer, kind: str, id_: UUID) -> Card:
        """Raises StoreNotFound."""
        if kind == "recipient":
            await self._store.run(self.care.person, viewer, id_)
            return Card(kind, id_, id_)
        if kind == "alert":
            return Card(kind, id_, (await self._store.run(self.care.case, viewer, id_)).person.id)
        return Card(kind, id_, (await self._store.run(self.care.task, viewer, id_)).person.id)

    async def do(
        self,
        request: Request,
        viewer: Viewer,
        card: Card,
        typed: Mapping[str, str],
        back: str,
        act: Callable[[], object],
    ) -> Response:
        """Acts, on the store's thread, and shows the card. ``typed`` stands in it again when that is refused."""
        words = Words(viewer.language)
        try:
            await self._store.run(act)
        except Unfit as unfit:
            return await self._show(request, viewer, card, 422, trouble=words(unfit.key), typed=typed)
        except Conflict as conflict:
            return await self._show(request, viewer, card, 409, conflict=conflict, typed=typed)
        except CallRefused as refused:
            return await self._show(request, viewer, card, 409, trouble=refusal(refused, words), typed=typed)
        except DialogFileError as error:
            logger.error("a call cannot be planned: %s", error)
            return await self._show(request, viewer, card, 409, trouble=words("today.no_dialog"), typed=typed)
        if not in_part(request):
            return RedirectResponse(local(back) or card.place, 303)
        return await self._show(
            request, viewer, card, 200, did=typed["form"], planned=typed["form"] == "call-now", done_now=True
        )

    async def _show(
        self,
        request: Request,
        viewer: Viewer,
        card: Card,
        status: int,
        *,
        typed: Mapping[str, str] | None = None,
        **context: object,
    ) -> Response:
        words, now = Words(viewer.language), self.now()
        context = {**card_context(words, now, typed), **context}
        match card.kind:
            case "alert":
                case = await self._store.run(self.care.case, viewer, card.id)
                context |= {"case": case}
            case "task":
                context |= {"line": await self._store.run(self.care.task, viewer, card.id)}
        people = await self._store.run(self.care.colleagues, viewer)
        return self._dashboard.page(
            request, viewer, f"today_done_{card.kind}.html", status=status, card=card, colleagues=people, **context
        )


def refusal(refused: CallRefused, words: Words) -> str:
    """Why a person is not called now, in words."""
    if refused.why in list(Reason):
        return planning.words(Reason(refused.why), refused.again_at, refused.time_zone, words.language)
    return words(f"today.refused_{refused.why}")


def local(address: str) -> str:
    """The address of one of our own pages, or nothing."""
    parts = urlsplit(address)
    ours = address.startswith("/") and not address.startswith(("//", "/\\")) and not parts.netloc
    return address if ours else ""


def read_due(due: str, viewer: Viewer, now: datetime) -> datetime:
    """A moment on the viewer's own clock, as a browser sends it. Raises Unfit."""
    try:
        moment = datetime.fromisoformat(due)
    except ValueError:
        raise Unfit("today.due_unreadable") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(viewer.time_zone))
    if not now - timedelta(minutes=1) <= moment <= now + _LATEST_DUE:
        raise Unfit("today.due_outside")
    return moment


def read_words(text: str, *, needed: bool = False) -> str:
    """Raises Unfit."""
    text = text.strip()
    if needed and not text:
        raise Unfit("today.words_missing")
    if len(text) > MOST_WORDS:
        raise Unfit("today.words_too_long")
    return text


def _user(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def add_work(router: APIRouter, dashboard: Dashboard) -> None:
    work = Work(dashboard)
    needs = Depends(dashboard.needs(Role.CARE_WORKER))
    _add_several(router, dashboard, work, needs)
    _add_alerts(router, work, needs)
    _add_tasks(router, work, needs)
    for kind in ("alert", "task"):
        _add_for_somebody(router, work, needs, kind)
    for kind in ("alert", "task", "recipient"):
        _add_for_anybody(router, work, needs, kind)


def _add_several(router: APIRouter, dashboard: Dashboard, work: Work, needs: object) -> None:
    care, run = work.care, dashboard.store.run

    @router.post("/alerts")
    async def several(
        request: Request,
        viewer: Annotated[Viewer, needs],
        asked: Annotated[Asked, Depends(asked)],
        action: Text = "",
        alert: Annotated[list[str], Form()] = [],  # noqa: B006
    ) -> Response:
        """Each is ``ALERT:WHOSE``, as the page showed it."""
        chosen = []
        for each in alert[:500]:
            id_, _, whose = each.partition(":")
            if (alert_id := _user(id_)) is not None:
                chosen.append((alert_id, _user(whose)))
        if action == "assign":
            conflicts = await run(care.assign_all, viewer, chosen, viewer.user_id)
        else:
            conflicts = await run(care.acknowledge_all, viewer, [id_ for id_, _ in chosen])
        if not conflicts and not in_part(request):
            return RedirectResponse(asked.address(), 303)
        words = Words(viewer.language)
        said = words(f"today.several_{'assign' if action == 'assign' else 'acknowledge'}", count=len(chosen))
        if conflicts:
            names = ", ".join(sorted({each.by.name for each in conflicts if each.by}))
            said = words("today.several_conflicts", done=len(chosen) - len(conflicts), n=len(conflicts), names=names)
        return await today_page(dashboard, request, viewer, asked, status=409 if conflicts else 200, said=said)


def _add_alerts(router: APIRouter, work: Work, needs: object) -> None:
    care = work.care

    @router.post("/alerts/{id_}/acknowledge")
    async def acknowledge(request: Request, viewer: Annotated[Viewer, needs], id_: UUID, back: Text = "") -> Response:
        card = await work.card(viewer, "alert", id_)
        act = partial(care.acknowledge, viewer, id_)
        return await work.do(request, viewer, card, {"form": "acknowledge"}, back, act)

    @router.post("/alerts/{id_}/resolve")
    async def resolve(
        request: Request,
        viewer: Annotated[Viewer, needs],
        id_: UUID,
        resolution: Annotated[Resolution, Form()],
        words: Text = "",
        back: Text = "",
    ) -> Response:
        card = await work.card(viewer, "alert", id_)
        typed = {"form": "resolve", "words": words, "resolution": resolution.value}
        return await work.do(
            request, viewer, card, typed, back, lambda: care.resolve(viewer, id_, resolution, read_words(words))
        )


def _add_tasks(router: APIRouter, work: Work, needs: object) -> None:
    care = work.care

    @router.post("/tasks/{id_}/close")
    async def close(
        request: Request,
        viewer: Annotated[Viewer, needs],
        id_: UUID,
        outcome: Annotated[TaskOutcome, Form()],
        words: Text = "",
        back: Text = "",
    ) -> Response:
        card = await work.card(viewer, "task", id_)
        typed = {"form": "close", "words": words, "outcome": outcome.value}
        return await work.do(
            request, viewer, card, typed, back, lambda: care.finish_task(viewer, id_, outcome, read_words(words))
        )


def _add_for_somebody(router: APIRouter, work: Work, needs: object, kind: str) -> None:
    """What is done on the card of an alert or a task, which may be somebody's."""
    to_somebody = {"alert": work.care.assign, "task": work.care.assign_task}[kind]

    @router.post(f"/{kind}s/{{id_}}/assign")
    async def assign(
        request: Request, viewer: Annotated[Viewer, needs], id_: UUID, to: Id, seen: Text = "", back: Text = ""
    ) -> Response:
        card = await work.card(viewer, kind, id_)
        typed = {"form": "assign", "to": str(to)}
        act = partial(to_somebody, viewer, id_, to, seen=_user(seen))
        return await work.do(request, viewer, card, typed, back, act)


def _add_for_anybody(router: APIRouter, work: Work, needs: object, kind: str) -> None:
    """What can be done on every card, and on a recipient's page."""
    care = work.care
    to_note = {"alert": care.note_alert, "task": care.note_task, "recipient": care.note_recipient}[kind]

    @router.post(f"/{kind}s/{{id_}}/note")
    async def note(
        request: Request, viewer: Annotated[Viewer, needs], id_: UUID, once: Id, words: Text = "", back: Text = ""
    ) -> Response:
        card = await work.card(viewer, kind, id_)
        typed = {"form": "note", "words": words}
        return await work.do(
            request, viewer, card, typed, back, lambda: to_note(viewer, id_, read_words(words, needed=True), once=once)
        )

    @router.post(f"/{kind}s/{{id_}}/follow-up")
    async def follow_up(
        request: Request,
        viewer: Annotated[Viewer, needs],
        id_: UUID,
        once: Id,
        task: Annotated[TaskKind, Form()],
        due: Text = "",
        words: Text = "",
        back: Text = "",
    ) -> Response:
        card = await work.card(viewer, kind, id_)
        typed = {"form": "follow-up", "words": words, "due": due, "task": task.value}
        alert = {"alert_id": id_} if kind == "alert" else {}

        def act() -> None:
            text, due_at = read_words(words), read_due(due, viewer, work.now())
            care.follow_up(viewer, card.recipient_id, task, due_at, text, once=once, **alert)

        return await work.do(request, viewer, card, typed, back, act)

    @router.post(f"/{kind}s/{{id_}}/manual-call")
    async def manual_call(
        request: Request,
        viewer: Annotated[Viewer, needs],
        id_: UUID,
        once: Id,
        reached: Annotated[bool, Form()],
        words: Text = "",
        back: Text = "",
    ) -> Response:
        card = await work.card(viewer, kind, id_)
        typed = {"form": "manual-call", "words": words}

        def act() -> None:
            care.manual_call(viewer, card.recipient_id, reached, read_words(words), once=once, **card.of)

        return await work.do(request, viewer, card, typed, back, act)

    @router.post(f"/{kind}s/{{id_}}/call-now")
    async def call_now(request: Request, viewer: Annotated[Viewer, needs], id_: UUID, back: Text = "") -> Response:
        card = await work.card(viewer, kind, id_)
        act = partial(care.call_now, viewer, card.recipient_id, planning.may_dial, work.dialog)
        return await work.do(request, viewer, card, {"form": "call-now"}, back, act)
