"""The calls that this server holds: from greeting to report, over a line that may drop and come back."""

import asyncio
import datetime
import json
import logging
import uuid
import zoneinfo
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field

from opentelemetry import metrics
from pipecat.transports.base_transport import BaseTransport

from carecall import call_memory
from carecall.dialog.definition import Dialog, RedFlag
from carecall.dialog.manager import DialogManager
from carecall.dialog.understanding.rules import rules_for
from carecall.dialog.understanding.stored import parse_understanding
from carecall.domain.attempt import AttemptState, IllegalTransition
from carecall.domain.language import Language
from carecall.domain.report import Report
from carecall.domain.turn import Turn
from carecall.errors import StoreError
from carecall.llm import LanguageModel
from carecall.memory.recall import FollowUp
from carecall.settings import Settings
from carecall.speech.factory import Speech
from carecall.store import CallJournal, Store
from carecall.store.tables import AttemptRow, Direction
from carecall.voice.call import hold_call
from carecall.voice.turn_taking import Patience
from telephony.media_stream import MediaStream
from telephony.transport import telephone_transport

RESUME_WITHIN_S = 10.0  # a line that dropped is waited for so long; then the call is closed
REPORT_WITHIN_S = 4.0  # less than the provider is kept waiting for an answer

logger = logging.getLogger(__name__)
_meter = metrics.get_meter("carecall.voice")
_held = _meter.create_up_down_counter("carecall.calls_held", description="calls that are being held")
_dropped = _meter.create_counter("carecall.streams_dropped", description="lines that dropped while the call went on")
_latency = _meter.create_histogram("carecall.turn_latency", "s", "from the end of a reply to the answer's first audio")


@dataclass(slots=True, eq=False)
class _Talk:
    """A conversation, on whatever line it goes on."""

    attempt_id: uuid.UUID
    dialog: Dialog
    manager: DialogManager
    journal: CallJournal
    follow_ups: tuple[FollowUp, ...]
    today: datetime.date
    patience: Patience
    end: asyncio.Event = field(default_factory=asyncio.Event)  # its line is to be closed
    line_is_down: asyncio.Event = field(default_factory=asyncio.Event)
    failed: bool = False


class HeldCalls:
    """Every call that is held here, and every one whose line has just dropped."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        speech: Speech,
        dialog: Callable[[str, Language], Dialog],
        red_flags: Mapping[Language, Mapping[str, RedFlag]],
        language_model: LanguageModel | None,
        shared_lines: Callable[[Dialog], tuple[str, ...]],
    ) -> None:
        """``dialog`` gives the dialog of an id and a language, ``shared_lines`` its fixed lines that hold no name."""
        self._settings = settings
        self._store = store
        self._speech = speech
        self._dialog = dialog
        self._red_flags = red_flags
        self._language_model = language_model
        self._shared_lines = shared_lines
        self._talks: dict[uuid.UUID, _Talk] = {}
        self._waiting: dict[uuid.UUID, tuple[_Talk, asyncio.Task[None]]] = {}  # for a line to come back
        self._closed = False
        self.idle = asyncio.Event()  # nobody is on the phone
        self.idle.set()

    def __len__(self) -> int:
        return len(self._talks)

    async def hold(self, stream: MediaStream) -> None:
        """Holds the call of an admitted media stream until the stream is over."""
        await self.hold_line(stream.attempt_id, telephone_transport(stream), stopped=lambda: stream.websocket.stopped)

    async def hold_line(self, attempt_id: uuid.UUID, line: BaseTransport, *, stopped: Callable[[], bool]) -> None:
        """Holds a call on any line until that is down; ``stopped`` tells then whether it was hung up, or dropped.

        A call that had another line before goes on where it stood, whichever process held it.
        """
        store = self._store
        if earlier := self._talks.get(attempt_id):
            earlier.end.set()  # its line is down, which has not been noticed yet
            await earlier.line_is_down.wait()
        attempt = await store.run(store.attempts.get, attempt_id)
        if attempt.state.terminal:
            return
        turns, talk = await self._talk(attempt)
        recording = None
        if self._settings.record_calls:
            recording = await store.run(store.recordings.begin, attempt_id, self._settings.recordings_dir)
        path = str(recording.path) if recording else None
        try:
            await store.run(store.attempts.advance, attempt_id, AttemptState.IN_PROGRESS, recording_path=path)
        except IllegalTransition:
            return  # it has ended meanwhile
        self._talks[attempt_id] = talk
        self.idle.clear()
        _held.add(1)
        shared = self._shared_lines(talk.dialog)
        own = [line for line in talk.manager.vetted_lines() if line not in shared]
        try:
            latencies = await hold_call(
                line,
                talk.manager,
                self._speech.stt(talk.dialog.language),
                self._speech.tts(talk.dialog.language, keep=shared, ahead=own),
                patience=talk.patience,
                recording=recording,
                earlier_s=turns[-1].ended_s if turns else 0.0,
                end=talk.end,
            )
            for latency in latencies:
                _latency.record(latency.total_s, {"language": talk.dialog.language.value})
                logger.info("turn_latency %s", json.dumps({name: round(s, 3) for name, s in asdict(latency).items()}))
        except BaseException:
            talk.failed = True
            raise
        finally:
            _held.add(-1)
            await asyncio.shield(self._line_down(talk, attempt, stopped=stopped()))

    async def end(self, attempt_id: uuid.UUID) -> None:
        """Closes the line of a call, if it is held here."""
        if talk := self._talks.get(attempt_id):
            talk.end.set()

    async def said_goodbye(self, attempt_id: uuid.UUID) -> None:
        """Returns once a call that has come to its end has its report; at once for any other.

        The provider asks how to go on as soon as the line is closed, which is a moment before.
        """
        talk = self._talks.get(attempt_id)
        if talk is not None and talk.manager.ended:
            with suppress(TimeoutError):
                async with asyncio.timeout(REPORT_WITHIN_S):
                    await talk.line_is_down.wait()

    async def hung_up(self, attempt_id: uuid.UUID) -> None:
        """The telephone call is over: a line that dropped does not come back."""
        if waiting := self._waiting.pop(attempt_id, None):
            talk, task = waiting
            task.cancel()
            await asyncio.shield(self._finish(talk, talk.manager.report()))

    async def close(self) -> None:
        """Waits for no line any more: calls that dropped are left to be taken up by another process."""
        self._closed = True
        tasks = [task for _, task in self._waiting.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _talk(self, attempt: AttemptRow) -> tuple[list[Turn], _Talk]:
        """The turns so far, and the conversation: the one that was held here last, or rebuilt from what was stored."""
        store = self._store
        stored = await store.run(store.calls.transcript, attempt.id)
        turns = [turn for turn, _ in stored]
        if waiting := self._waiting.pop(attempt.id, None):
            talk, task = waiting
            task.cancel()
            if attempt.holder == store.holder and not talk.failed:
                talk.end.clear()
                talk.line_is_down.clear()
                return turns, talk
        talk = await self._new_talk(attempt)
        understood = {turn.index: parse_understanding(written) for turn, written in stored if written}
        if turns:
            known = {index: understanding for index, understanding in understood.items() if understanding is not None}
            await talk.manager.take_up(turns, known)
        return turns, talk

    async def _new_talk(self, attempt: AttemptRow) -> _Talk:
        store = self._store
        recipient = await store.run(store.recipients.get, attempt.recipient_id)
        dialog = self._dialog(attempt.dialog_id, attempt.dialog_language)
        today = datetime.datetime.now(zoneinfo.ZoneInfo(recipient.time_zone)).date()
        follow_ups = await call_memory.recall_for(store, recipient.id, dialog.language, today)
        journal = CallJournal(store, attempt.id)
        manager = DialogManager(
            dialog,
            self._red_flags[dialog.language],
            rules_for(dialog.language),
            journal,
            recipient_name=recipient.name,
            today=today,
            organisation=self._settings.organisation,
            language_model=self._language_model,
            llm_deadline_s=self._settings.llm_deadline_s,
            follow_ups=follow_ups,
            called_us=attempt.direction is Direction.INBOUND,
        )
        return _Talk(attempt.id, dialog, manager, journal, follow_ups, today, Patience(hold_s=recipient.patience_s))

    async def _line_down(self, talk: _Talk, begun: AttemptRow, *, stopped: bool) -> None:
        """Finishes the call, unless its line may come back. ``begun``: the attempt when the line was opened."""
        try:
            attempt = await self._attempt(talk.attempt_id) or begun
            if attempt.state is AttemptState.MACHINE:
                return
            gone = attempt.provider_call_sid is None or attempt.line_ended_at is not None or attempt.state.terminal
            if stopped or gone or talk.manager.ended:
                await self._finish(talk, talk.manager.report(broken=talk.failed))
                return
            _dropped.add(1)
            logger.warning("the line dropped", extra={"attempt_id": str(talk.attempt_id)})
            if not self._closed:
                task = asyncio.create_task(self._wait_for_line(talk, begun.resumes), name="wait-for-line")
                self._waiting[talk.attempt_id] = (talk, task)
        finally:
            del self._talks[talk.attempt_id]
            talk.line_is_down.set()
            if not self._talks:
                self.idle.set()

    async def _wait_for_line(self, talk: _Talk, resumes: int) -> None:
        """Closes the call when nobody takes it up in time. ``resumes``: how often that had been granted."""
        while True:
            await asyncio.sleep(RESUME_WITHIN_S)
            attempt = await self._attempt(talk.attempt_id)
            if attempt is None:
                continue
            if attempt.resumes == resumes or attempt.state.terminal or attempt.holder != self._store.holder:
                break
            resumes = attempt.resumes
        del self._waiting[talk.attempt_id]
        if not attempt.state.terminal and attempt.holder == self._store.holder:
            report = talk.manager.report(broken=attempt.line_ended_at is None)
            await asyncio.shield(self._finish(talk, report))

    async def _attempt(self, attempt_id: uuid.UUID) -> AttemptRow | None:
        """None while the database cannot be asked."""
        try:
            return await self._store.run(self._store.attempts.get, attempt_id)
        except StoreError:
            return None

    async def _finish(self, talk: _Talk, report: Report) -> None:
        """Writes the report, then what is remembered of the call: a memory that fails takes no report with it."""
        await talk.journal.finish(report)
        try:
            await call_memory.remember(self._store, talk.attempt_id, report, talk.follow_ups, talk.today)
        except StoreError as error:
            logger.warning("nothing was remembered of attempt %s: %s", talk.attempt_id, error)
