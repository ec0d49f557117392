"""Test calls from the browser: the same conversation as on the telephone, on another line."""

import asyncio
import logging
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from typing import Any

from carecall.dashboard.talk import TalkRefused, TalkTrouble
from carecall.dialog.definition import Dialog
from carecall.dialog.files import DialogFileError
from carecall.domain.attempt import AttemptState
from carecall.domain.viewer import Viewer
from carecall.errors import StreamRefused
from carecall.held_calls import HeldCalls
from carecall.store import Store
from carecall.voice.browser_line import BrowserLine
from telephony.admission import AdmissionRefused, Gate

CONNECT_WITHIN_S = 20.0  # from the answer to the first audio

logger = logging.getLogger(__name__)


class BrowserCalls:
    """One test call a user, in the places that there are for calls."""

    def __init__(
        self,
        store: Store,
        gate: Gate,
        calls: HeldCalls,
        dialog: Callable[[str], Dialog],
        ice_servers: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """``dialog`` gives the dialog of a name, such as ``wellbeing.en``; ``ice_servers`` are as in the settings."""
        self._store = store
        self._gate = gate
        self._calls = calls
        self._dialog = dialog
        self._ice_servers = ice_servers
        self._talking: set[uuid.UUID] = set()
        self._held: set[asyncio.Task[None]] = set()

    async def begin(self, viewer: Viewer, dialog_name: str, name: str, offer: str) -> tuple[uuid.UUID, str]:
        """The attempt, and the SDP that answers the browser's. The call goes on by itself. Raises TalkRefused."""
        async with AsyncExitStack() as taken:
            taken.enter_context(self._only_one_of(viewer))
            try:
                taken.enter_context(self._gate.place())
                dialog = await asyncio.to_thread(self._dialog, dialog_name)
                line = await BrowserLine.answering(offer, self._ice_servers)
            except AdmissionRefused:
                raise TalkRefused(TalkTrouble.FULL) from None
            except DialogFileError:
                raise TalkRefused(TalkTrouble.DIALOG) from None
            except StreamRefused:
                raise TalkRefused(TalkTrouble.OFFER) from None
            taken.push_async_callback(line.close)
            begin = partial(self._store.attempts.ad_hoc, dialog, name, dialog.language, viewer=viewer)
            attempt_id = await self._store.run(begin)
            task = asyncio.create_task(self._hold(attempt_id, line, taken.pop_all()), name="browser-call")
        self._held.add(task)
        task.add_done_callback(self._held.discard)
        return attempt_id, line.answer

    async def close(self) -> None:
        """Ends the calls that still go on."""
        held = list(self._held)
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)

    async def _hold(self, attempt_id: uuid.UUID, line: BrowserLine, taken: AsyncExitStack) -> None:
        async with taken:
            try:
                if await line.connected(CONNECT_WITHIN_S):
                    await self._calls.hold_line(attempt_id, line.transport, stopped=lambda: True)
                else:
                    await self._store.run(self._store.attempts.advance, attempt_id, AttemptState.FAILED)
            except Exception as error:  # noqa: BLE001 - one broken call must not take the server with it
                # Without the message, which may hold what was said.
                where = "".join(traceback.format_tb(error.__traceback__))
                logger.error("the call of attempt %s failed: %s\n%s", attempt_id, type(error).__name__, where)

    @contextmanager
    def _only_one_of(self, viewer: Viewer) -> Iterator[None]:
        if viewer.user_id in self._talking:
            raise TalkRefused(TalkTrouble.TALKING)
        self._talking.add(viewer.user_id)
        try:
            yield
        finally:
            self._talking.discard(viewer.user_id)
