"""The composition root of the server: joins store, models, dialogs, voice, telephony and the worker."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Literal

from fastapi import FastAPI, Response

from carecall import __version__, call_memory
from carecall.browser_calls import BrowserCalls
from carecall.dashboard.router import Ports, add_dashboard
from carecall.dialog import bounds
from carecall.dialog.definition import Dialog, RedFlag
from carecall.dialog.files import dialog_names, find_dialog
from carecall.dialog.red_flags import load_red_flags
from carecall.dialog.understanding.rules import rules_for
from carecall.dialog.wording import Wording, may_write, warm_prefix
from carecall.domain.attempt import AttemptState
from carecall.domain.language import Language
from carecall.domain.progress import CallProgress
from carecall.errors import CareCallError, SettingsError, SpeechError, StoreUnavailable
from carecall.held_calls import HeldCalls
from carecall.llm import LanguageModel
from carecall.llm.factory import make_language_model
from carecall.outreach import alerting
from carecall.settings import Environment, Settings
from carecall.speech.factory import Speech
from carecall.speech.phrases import PhraseCache
from carecall.store import Store
from carecall.voice import turn_taking
from carecall.voice.browser_line import browser_calls_possible
from telephony.addresses import stream_url
from telephony.admission import Gate
from telephony.dialer import TwilioDialer
from telephony.router import TelephonyPorts, telephony_router

if TYPE_CHECKING:
    from carecall.outreach.worker import Worker

logger = logging.getLogger(__name__)

STREAM_TOKEN_TTL_S = 60.0
MOST_RESUMES = 2  # times that a call is taken up again
ABANDONED_AFTER_S = 15.0  # a call whose process died is closed so long after a start, if it has not come back
_NOBODY = "\ufffc"  # stands for a name, to tell lines that hold one from those that do not


class Program:
    """The running program. ``load`` before the first call; ``aclose`` at the end."""

    def __init__(self, settings: Settings, *, worker: bool = False) -> None:
        """``worker``: it makes the calls that are due as well. Raises SettingsError when Twilio is not set up then."""
        self.settings = settings
        self.dialogs: dict[str, Dialog] = {
            name: find_dialog(settings.dialogs_dir, name) for name in dialog_names(settings.dialogs_dir)
        }
        self._red_flags: dict[Language, dict[str, RedFlag]] = {
            language: load_red_flags(settings.dialogs_dir, language) for language in Language
        }
        self.speech = Speech(settings)
        self.language_model: LanguageModel | None = make_language_model(settings)
        self.store = Store.open(
            settings.database,
            secret=settings.secret_key.get_secret_value(),
            alert_channels=alerting.channels(settings),
            escalate_after=alerting.escalate_after(settings),
        )
        self.dialer = TwilioDialer(settings) if worker else _dialer(settings)
        self.worker = _worker(settings, self.store, self.dialer, self.dialog) if worker and self.dialer else None
        self.gate = Gate(settings.max_calls)
        self.draining = False
        self.phrases_missing: int | None = None  # lines whose audio is still to be rendered; None: not counted yet
        self.calls = HeldCalls(
            settings,
            self.store,
            self.speech,
            self.dialog,
            self._red_flags,
            self.language_model,
            self.shared_lines,
        )
        self.browser_calls = BrowserCalls(
            self.store, self.gate, self.calls, partial(find_dialog, settings.dialogs_dir), settings.ice_servers
        )
        self._messages: set[asyncio.Task[None]] = set()

    def load(self) -> None:
        """Load every model that a call needs; blocks for seconds. A language whose voice is missing is left out."""
        turn_taking.load()
        self.speech.load()
        for language in Language:
            rules_for(language)
            bounds.vocabulary_for(language)
            call_memory.load(language)
            try:
                self.speech.load(language)
            except SpeechError as error:
                logger.warning("no calls in language %s: %s", language, error)

    async def warm_up(self) -> None:
        """Let the language model evaluate what its prompts begin with, so that the first answer is not late."""
        model = self.language_model
        for language in {dialog.language for dialog in self.dialogs.values()}:
            if model is not None and may_write(model, language):
                await model.warm(warm_prefix(language))

    def shared_lines(self, dialog: Dialog) -> tuple[str, ...]:
        """The dialog's fixed lines that hold no name, whose audio may be kept."""
        return tuple(line for line in self._wording(dialog, _NOBODY).fixed() if _NOBODY not in line)

    async def render_phrases(self) -> None:
        """Render the audio of all fixed lines that is not kept yet, one by one, while nobody is on the phone."""
        missing = await asyncio.to_thread(self._missing_phrases)
        self.phrases_missing = len(missing)
        for phrases, line in missing:
            await self.calls.idle.wait()
            await asyncio.to_thread(phrases.render, line, on_disk=True)
            self.phrases_missing -= 1

    def _missing_phrases(self) -> list[tuple[PhraseCache, str]]:
        missing = []
        for dialog in self.dialogs.values():
            try:
                phrases = self.speech.phrases(dialog.language)
            except SpeechError:
                continue  # load() has said so
            if phrases is not None:
                missing += [(phrases, line) for line in self.shared_lines(dialog) if phrases.get(line) is None]
        return missing

    async def open_stream(self, attempt_id: uuid.UUID, call_sid: str) -> str | None:
        """A one-time token for the answered call of an attempt; None when it is over already, or is another call."""
        attempt = await self.store.run(self.store.attempts.get, attempt_id)
        if attempt.state.terminal or attempt.provider_call_sid not in (None, call_sid):
            return None
        if attempt.provider_call_sid is None:
            await self.store.run(self.store.outreach.placed, attempt_id, call_sid)
        return await self.store.run(self.store.stream_tokens.issue, attempt_id, STREAM_TOKEN_TTL_S, True)

    async def after_stream(self, attempt_id: uuid.UUID) -> Literal["hang_up", "reconnect"]:
        """What follows a media stream: the end, or another stream when it dropped and may be taken up again."""
        await self.calls.said_goodbye(attempt_id)
        resumed = await self.store.run(self.store.outreach.resume, attempt_id, MOST_RESUMES)
        return "reconnect" if resumed else "hang_up"

    async def report_progress(self, progress: CallProgress) -> None:
        """Takes in how a call fares. An answering machine is left a message, once, and is asked nothing."""
        attempt_id = progress.attempt_id
        before = (await self.store.run(self.store.attempts.get, attempt_id)).state
        state = await self.store.run(self.store.outreach.fold, progress)
        if self.worker is not None:
            self.worker.notice(attempt_id)
        if progress.status is not None and progress.status.terminal:
            await self.calls.hung_up(attempt_id)
        elif state is AttemptState.MACHINE and before is not AttemptState.MACHINE:
            task = asyncio.create_task(self._leave_message(attempt_id, progress.call_sid), name="leave-message")
            self._messages.add(task)
            task.add_done_callback(self._messages.discard)

    async def _leave_message(self, attempt_id: uuid.UUID, call_sid: str) -> None:
        """Says who called in place of the conversation, whose line is closed then."""
        try:
            attempt = await self.store.run(self.store.attempts.get, attempt_id)
            dialog = self.dialog(attempt.dialog_id, attempt.dialog_language)
            if self.dialer is not None:
                await self.dialer.leave_message(call_sid, self._wording(dialog, "").voicemail(), dialog.language)
        except CareCallError as error:
            logger.warning("no message was left: %s", error, extra={"attempt_id": str(attempt_id)})
        finally:
            await self.calls.end(attempt_id)

    async def answer_inbound(self, phone: str, call_sid: str) -> uuid.UUID | None:
        """The attempt that a call of this number becomes; None for somebody who is not known here."""
        return await self.store.run(self.store.outreach.inbound, phone, call_sid, self.dialog)

    async def expected_call_sid(self, attempt_id: uuid.UUID) -> str | None:
        return (await self.store.run(self.store.attempts.get, attempt_id)).provider_call_sid

    def dialog(self, id_: str, language: Language) -> Dialog:
        """Raises DialogFileError for one that is not there."""
        name = f"{id_}.{language}"
        return self.dialogs[name] if name in self.dialogs else find_dialog(self.settings.dialogs_dir, name)

    async def close_interrupted(self, *, resumable: bool) -> None:
        """Closes the calls that died with their process; ``resumable``: those too whose telephone may still be up."""
        try:
            closed = await self.store.run(self.store.attempts.close_interrupted, resumable=resumable)
        except StoreUnavailable as error:
            logger.error("calls that died with their process are not closed yet: %s", error)
            return
        if closed:
            logger.warning("closed %d calls that were interrupted when their process ended", closed)

    async def close_abandoned(self) -> None:
        """Gives the calls whose process died time to be taken up, and closes those that were not."""
        await asyncio.sleep(ABANDONED_AFTER_S)
        await self.close_interrupted(resumable=True)

    async def drain(self) -> None:
        """Takes no new calls, and lets those that are held end, for at most ``drain_s`` seconds. For SIGTERM.

        Calls that go on longer are left as they are, for the next start or another server to take up.
        """
        self.draining = True
        self.gate.shut()
        worker = [self.worker.drain()] if self.worker is not None else []
        emptied, *_ = await asyncio.gather(self.gate.emptied(self.settings.drain_s), *worker)
        if not emptied:
            logger.warning("%d calls are left to be taken up again", len(self.calls))

    async def aclose(self) -> None:
        """Ends everything that runs; calls whose line is gone are left to be taken up again."""
        if self.worker is not None:
            await self.worker.close()
        await self.browser_calls.close()
        await self.calls.close()
        for task in self._messages:
            task.cancel()
        await asyncio.gather(*self._messages, return_exceptions=True)
        if self.language_model is not None:
            await self.language_model.close()
        self.close()

    def close(self) -> None:
        self.speech.close()
        self.store.close()

    def _wording(self, dialog: Dialog, name: str) -> Wording:
        return Wording(
            dialog, self._red_flags[dialog.language], recipient_name=name, organisation=self.settings.organisation
        )


def new_stream_url(settings: Settings, store: Store, dialog_name: str, recipient: str) -> tuple[str, uuid.UUID]:
    """A one-time media stream URL for a test call without a telephone, and the attempt that it belongs to.

    Raises DialogFileError for an unknown dialog and SettingsError where such calls are not allowed.
    """
    if settings.environment is not Environment.DEVELOPMENT or not settings.loopback:
        raise SettingsError("Test calls work with development settings and a loopback CARECALL_HOST only.")
    dialog = find_dialog(settings.dialogs_dir, dialog_name)
    attempt_id = store.attempts.ad_hoc(dialog, recipient, dialog.language)
    token = store.stream_tokens.issue(attempt_id, STREAM_TOKEN_TTL_S, False)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return stream_url(f"http://{host}:{settings.port}", token), attempt_id


def create_app(settings: Settings, worker: bool = False) -> FastAPI:
    """The ASGI application; with ``worker`` it also makes the calls that are due, for which Twilio must be set up.

    At start-up it loads the models, and it closes the calls that died with their process. ``app.state.program.drain``
    is for whoever runs it to await at SIGTERM, before the sockets are closed.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await program.close_interrupted(resumable=False)
        await asyncio.to_thread(program.load)
        await program.warm_up()
        tasks = [asyncio.create_task(program.render_phrases(), name="render-phrases")]
        if program.worker is not None:
            await program.worker.start()
        elif alerting.channels(settings):
            tasks.append(asyncio.create_task(alerting.keep_delivering(store, settings), name="deliver-alerts"))
        tasks.append(asyncio.create_task(program.close_abandoned(), name="close-abandoned"))
        app.state.ready = True
        try:
            yield
        finally:
            app.state.ready = False
            program.gate.shut()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await program.aclose()

    program = Program(settings, worker=worker)
    store = program.store
    app = FastAPI(title="CareCall", version=__version__, lifespan=lifespan, openapi_url=None)
    app.state.program = program
    app.state.ready = False
    app.include_router(
        telephony_router(
            TelephonyPorts(
                redeem=lambda token, now: store.run(store.stream_tokens.redeem, token, now),
                expected_call_sid=program.expected_call_sid,
                handle_call=program.calls.hold,
                open_stream=program.open_stream,
                after_stream=program.after_stream,
                report_progress=program.report_progress,
                answer_inbound=program.answer_inbound,
                receive_once=lambda receipt: store.run(store.outreach.receive_once, receipt),
                received=lambda receipt: store.run(store.outreach.received, receipt),
            ),
            settings,
            gate=program.gate,
        )
    )

    add_dashboard(
        app,
        settings,
        store,
        Ports(
            calls_held=lambda: len(program.calls),
            phrases_missing=lambda: program.phrases_missing,
            talk=program.browser_calls.begin if browser_calls_possible() else None,
        ),
    )

    @app.get("/health/live", include_in_schema=False)
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/health/ready", include_in_schema=False)
    async def ready(response: Response) -> dict[str, str | int | bool | None]:
        reachable = await store.reachable()
        status = "draining" if program.draining else "ready" if app.state.ready else "starting"
        if status != "ready" or not reachable:
            response.status_code = 503
        return {
            "status": status if reachable else "no_database",
            "calls": len(program.calls),
            "places": settings.max_calls,
            "phrases_missing": program.phrases_missing,
            "database": reachable,
        }

    return app


def _dialer(settings: Settings) -> TwilioDialer | None:
    """None where Twilio is not set up."""
    try:
        return TwilioDialer(settings)
    except SettingsError:
        return None


def _worker(
    settings: Settings, store: Store, dialer: TwilioDialer, dialogs: Callable[[str, Language], Dialog]
) -> "Worker":
    from carecall.outreach.worker import Worker

    return Worker(settings, store, dialer, dialogs)
