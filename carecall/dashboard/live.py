"""Live updates: server-sent events that carry ids, so that a page fetches what has changed and passes the same scope.

https://html.spec.whatwg.org/multipage/server-sent-events.html. One task in each process looks for news, while somebody
listens. Events are ``alert``, ``attempt``, ``task`` with the id as data, ``turn:ATTEMPT`` for the call that is watched,
``ready`` at first, ``stale`` when too much was missed, and ``signed_out`` at the end of the session.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, HTTPException, Request, Response
from fastapi.responses import StreamingResponse

from carecall.dashboard.dashboard import Dashboard, NotSignedIn
from carecall.domain.viewer import Viewer
from carecall.errors import StoreError
from carecall.store import Store
from carecall.store.news import News

logger = logging.getLogger(__name__)

EVERY_S = 0.2
HEARTBEAT_S = 15.0
MOST_STREAMS = 6  # of one user
_FORGET_EVERY = 3000  # looks, so ten minutes
_FULL = 500  # news that wait for a slow browser; then it starts afresh


class Listener:
    """One open screen."""

    def __init__(self, organisation_id: UUID) -> None:
        self.organisation_id = organisation_id
        self.news: asyncio.Queue[News | None] = asyncio.Queue(_FULL)  # None: some were let go of

    def wake(self) -> None:
        """There is something else to look at."""
        if not self.news.full():
            self.news.put_nowait(None)

    def tell(self, news: News) -> None:
        if self.news.full():
            while not self.news.empty():
                self.news.get_nowait()
            self.news.put_nowait(None)
        self.news.put_nowait(news)


class Live:
    """Looks for news and tells those who listen."""

    def __init__(self, store: Store, *, every_s: float = EVERY_S) -> None:
        self._store = store
        self._every_s = every_s
        self._listeners: set[Listener] = set()
        self._looking: asyncio.Task[None] | None = None
        self._began = asyncio.Event()
        self._streams: Counter[UUID] = Counter()
        self.closed = False

    def close(self) -> None:
        """Ends all streams: they would keep the server from ending. Browsers come back to whoever serves then."""
        self.closed = True
        for listener in self._listeners:
            listener.wake()

    def full(self, viewer: Viewer) -> bool:
        """Whether the user has as many open screens as anybody may."""
        return self._streams[viewer.user_id] >= MOST_STREAMS

    @contextmanager
    def listening(self, viewer: Viewer) -> Iterator[Listener]:
        """Hears of everything from now on."""
        listener = Listener(viewer.organisation_id)
        self._listeners.add(listener)
        self._streams[viewer.user_id] += 1
        if self._looking is None or self._looking.done():
            self._began = asyncio.Event()
            self._looking = asyncio.create_task(self._look(self._began), name="dashboard-news")
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            self._streams[viewer.user_id] -= 1
            if not self._listeners and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    async def began(self) -> None:
        """Waits until it is looked for news: of whatever comes then, those who listen are told."""
        await self._began.wait()

    async def _look(self, began: asyncio.Event) -> None:
        last: int | None = None
        looks = 0
        while True:
            try:
                if last is None:
                    last = await self._store.run(self._store.news.newest)
                    began.set()
                for news in await self._store.run(self._store.news.after, last):
                    last = news.id
                    self._tell(news)
                looks += 1
                if looks % _FORGET_EVERY == 0:
                    await self._store.run(self._store.news.forget)
            except StoreError as error:
                logger.warning("open screens are not told of news, and it is tried again: %s", error)
            except Exception:
                logger.exception("open screens are not told of news, and it is tried again")
            await asyncio.sleep(self._every_s)

    def _tell(self, news: News) -> None:
        for listener in self._listeners:
            if listener.organisation_id == news.organisation_id:
                listener.tell(news)


def add_live(router: APIRouter, dashboard: Dashboard, live: Live) -> None:
    """The stream of events. ``call``: the call whose turns are watched; ``after``: the newest that the page shows."""
    needs = dashboard.needs()

    @router.get("/events")
    async def events(
        request: Request,
        viewer: Annotated[Viewer, Depends(needs)],
        call: UUID | None = None,
        after: str = "",
        last_event_id: Annotated[str, Header()] = "",
    ) -> Response:
        if live.full(viewer):
            raise HTTPException(429, headers={"Retry-After": "60"})

        async def still_signed_in() -> bool:
            try:
                return (await needs(request)).user_id == viewer.user_id
            except (NotSignedIn, HTTPException, StoreError):
                return False

        stream = _stream(
            dashboard.store, live, viewer, call, last_event_id or after, request.is_disconnected, still_signed_in
        )
        return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


async def _stream(
    store: Store,
    live: Live,
    viewer: Viewer,
    call: UUID | None,
    after: str,
    gone: Callable[[], Awaitable[bool]],
    still_signed_in: Callable[[], Awaitable[bool]],
) -> AsyncIterator[str]:
    if live.closed:
        return
    with live.listening(viewer) as listener:
        yield "retry: 1000\n\n"
        await live.began()
        last = await store.run(store.news.newest)
        sent = set()
        if after.isdecimal() and len(after) < 19:
            missed = await store.run(store.news.missed, viewer, int(after))
            if missed is None:
                yield event("stale", "", last)
            for news in missed or ():
                sent.add(news.id)
                yield _told(news, call, last := max(last, news.id))
        else:
            yield event("ready", "", last)
        loop = asyncio.get_running_loop()
        looked_at = loop.time()
        while not await gone():
            if loop.time() - looked_at >= HEARTBEAT_S:
                looked_at = loop.time()
                if not await still_signed_in():
                    yield event("signed_out", "", last)
                    return
                yield ": still here\n\n"
            try:
                told = await asyncio.wait_for(listener.news.get(), 1.0)
            except TimeoutError:
                continue
            if live.closed:
                return
            if told is None:
                yield event("stale", "", last)
            elif told.id not in sent:
                yield _told(told, call, last := max(last, told.id))


def _told(news: News, call: UUID | None, last: int) -> str:
    """The event of the news; only the id of one that is not for this screen, so that it is not sent again."""
    if news.kind != "turn":
        return event(news.kind, str(news.subject), last)
    return event(f"turn:{call}", str(call), last) if news.subject == call else f"id: {last}\n\n"


def event(name: str, data: str, last: int) -> str:
    """One server-sent event."""
    return f"id: {last}\nevent: {name}\ndata: {data}\n\n"
