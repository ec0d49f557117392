"""The work list: who needs somebody now, who could not be reached, who was spoken to and is fine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Query, Request, Response
from markupsafe import Markup

from carecall.dashboard.answers import in_part
from carecall.dashboard.dashboard import Dashboard
from carecall.dashboard.words import Words
from carecall.domain.campaign import TaskKind
from carecall.domain.language import Language
from carecall.domain.triage import Urgency
from carecall.domain.viewer import Viewer
from carecall.store.care_today import PAGE, Colleague, Filters, Today, Whose
from carecall.store.care_work import TaskOutcome
from carecall.store.tables import Resolution

_FIELDS = ("form", "words", "due", "task", "resolution", "outcome")
_KEY, _PATH, _ONCE = "\ue000key", "\ue000path", "\ue000once"  # marks for Stamped, of private use
_ANNOUNCED_FOR = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Asked:
    """What of the work list the address asks for."""

    filters: Filters
    page: int
    waiting: int
    fine: int

    def address(self, **changed: int) -> str:
        """The address of the list, with other pages."""
        filters = self.filters
        wanted: dict[str, object] = {
            "campaign": filters.campaign_id,
            "urgency": filters.urgency,
            "whose": filters.whose if filters.whose is not Whose.ALL else None,
            "language": filters.language,
        }
        pages = {"page": self.page, "waiting": self.waiting, "fine": self.fine, **changed}
        wanted |= {name: number for name, number in pages.items() if number > 1}
        query = urlencode({name: value for name, value in wanted.items() if value is not None})
        return f"/?{query}" if query else "/"


def asked(
    campaign: str = "",
    urgency: str = "",
    whose: str = "",
    language: str = "",
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
    waiting: Annotated[int, Query(ge=1, le=100_000)] = 1,
    fine: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> Asked:
    """Reads the address; a filter that is empty or not known is none."""
    try:
        campaign_id = UUID(campaign)
    except ValueError:
        campaign_id = None
    filters = Filters(
        campaign_id,
        Urgency(urgency) if urgency in list(Urgency) else None,
        Whose(whose) if whose in list(Whose) else Whose.ALL,
        Language(language) if language in list(Language) else None,
    )
    return Asked(filters, page, waiting, fine)


def add_today(router: APIRouter, dashboard: Dashboard) -> None:
    @router.get("/")
    async def today(
        request: Request,
        viewer: Annotated[Viewer, Depends(dashboard.needs())],
        asked: Annotated[Asked, Depends(asked)],
    ) -> Response:
        instead = "instead" in request.query_params  # of somebody else, whose page it was
        said = Words(viewer.language)("sign_in.instead") if instead else ""
        return await today_page(dashboard, request, viewer, asked, said=said)


async def today_page(
    dashboard: Dashboard, request: Request, viewer: Viewer, asked: Asked, *, status: int = 200, said: str = ""
) -> Response:
    """The screen, or the part of it that is swapped. ``said``: what came of an action on several cards."""
    care = dashboard.store.care
    found = await dashboard.store.run(
        care.today,
        viewer,
        asked.filters,
        page=asked.page,
        waiting_page=asked.waiting,
        fine_page=asked.fine,
        again=in_part(request),
    )
    words = Words(viewer.language)
    return dashboard.page(
        request,
        viewer,
        "today.html",
        status=status,
        today=found,
        asked=asked,
        announced=_announced(found),
        said=said,
        last_page=lambda count: max(1, -(-count // PAGE)),
        urgencies=list(Urgency),
        languages=list(Language),
        **card_context(words, found.now),
    )


def card_context(words: Words, now: datetime, typed: Mapping[str, str] | None = None) -> dict[str, object]:
    """What every card needs beside what it is about. ``typed``: what stands in a form again, which is its ``form``."""
    return {
        "now": now,
        "ago": lambda moment: ago(words, now - moment),
        "ahead": lambda moment: ahead(words, moment - now),
        "once": lambda: _ONCE,
        "stamped": Stamped(),
        "resolutions": list(Resolution),
        "outcomes": list(TaskOutcome),
        "kinds": list(TaskKind),
        "conflict": None,
        "trouble": "",
        "typed": {**dict.fromkeys(_FIELDS, ""), **(typed or {})},
        "planned": False,
        "done_now": False,
        "did": "",
    }


class Stamped:
    """The forms of a card: put together once for a page, with marks where one card differs from the next."""

    def __init__(self) -> None:
        self._made: dict[tuple[Colleague | None, str], Markup] = {}

    def __call__(self, forms: Callable[..., Markup], key: str, path: str, owner: Colleague | None, last: str) -> Markup:
        """What the macro ``forms`` gives. ``key`` and ``path`` are made of ids, and need no escaping."""
        if (owner, last) not in self._made:
            self._made[owner, last] = forms(_KEY, _PATH, owner, last)
        first, *rest = self._made[owner, last].replace(_KEY, key).replace(_PATH, path).split(_ONCE)
        return Markup("".join([first, *(f"{uuid4()}{part}" for part in rest)]))


def ago(words: Words, span: timedelta) -> str:
    """How long ago, in words."""
    key, count = _largest_unit(span)
    return words(f"today.ago_{key}", count=count) if count else words("today.just_now")


def ahead(words: Words, span: timedelta) -> str:
    """In how long, or for how long it is overdue, in words."""
    key, count = _largest_unit(abs(span))
    if span < timedelta():
        return words(f"today.overdue_{key}", count=count) if count else words("today.due_now")
    return words(f"today.in_{key}", count=count) if count else words("today.due_now")


def _largest_unit(span: timedelta) -> tuple[str, int]:
    minutes = int(span.total_seconds() // 60)
    if minutes < 60:
        return "minutes", max(minutes, 0)
    return ("hours", minutes // 60) if minutes < 48 * 60 else ("days", minutes // (24 * 60))


def _announced(today: Today) -> bool:
    """Whether the newest emergency is so new that it is said aloud."""
    newest = today.newest_emergency
    return newest is not None and today.now - newest.raised_at < _ANNOUNCED_FOR
