"""The composition root of the server: joins store, models, dialogs, voice and telephony, and holds the calls."""

import asyncio
import datetime
import json
import logging
import uuid
import zoneinfo
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from typing import Literal

from fastapi import FastAPI, Response

from carecall import __version__, call_memory
from carecall.dialog import bounds
from carecall.dialog.definition import Dialog, RedFlag
from carecall.dialog.files import dialog_names, find_dialog
from carecall.dialog.manager import DialogManager
from carecall.dialog.red_flags import load_red_flags
from carecall.dialog.understanding.rules import rules_for
from carecall.dialog.wording import Wording, may_write, warm_prefix
from carecall.domain.attempt import AttemptState
from carecall.domain.language import Language
from carecall.domain.progress import CallProgress
from carecall.domain.report import Outcome, Report
from carecall.errors import SettingsError, SpeechError, StoreError
from carecall.llm import LanguageModel
from carecall.llm.factory import make_language_model
from carecall.memory.recall import FollowUp
from carecall.settings import Environment, Settings
from carecall.speech.factory import Speech
from carecall.speech.phrases import PhraseCache
from carecall.store import CallJournal, Store
from carecall.voice import turn_taking
from carecall.voice.call import hold_call
from carecall.voice.turn_taking import Patience
from telephony.addresses import stream_url
from telephony.admission import Gate
from telephony.media_stream import MediaStream
from telephony.router import TelephonyPorts, telephony_router
from telephony.transport import telephone_transport

logger = logging.getLogger(__name__)

STREAM_TOKEN_TTL_S = 60.0
_NOBODY = "\ufffc"  # stands for a name, to tell lines that hold one from those that do not


class Program:
    """The running program. ``load`` before the first call; ``close`` at the end."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.dialogs: dict[str, Dialog] = {
            name: find_dialog(settings.dialogs_dir, name) for name in dialog_names(settings.dialogs_dir)
        }
        self._red_flags: dict[Language, dict[str, RedFlag]] = {
            language: load_red_flags(settings.dialogs_dir, language) for language in Language
        }
        self.speech = Speech(settings)
        self.language_model: LanguageModel | None = make_language_model(settings)
        self.store = Store.open(settings.database, secret=settings.secret_key.get_secret_value())
        self.phrases_missing: int | None = None  # lines whose audio is still to be rendered; None: not counted yet
        self._calls: set[uuid.UUID] = set()
        self._no_calls = asyncio.Event()
        self._no_calls.set()

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
            await self._no_calls.wait()
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

    async def hold(self, stream: MediaStream) -> None:
        """Hold the call of an admitted media stream, from greeting to report."""
        store, attempt_id = self.store, stream.attempt_id
        attempt = await store.run(store.attempts.get, attempt_id)
        recipient = await store.run(store.recipients.get, attempt.recipient_id)
        dialog = self.dialogs[f"{attempt.dialog_id}.{attempt.dialog_language}"]
        recording = self.settings.recordings_dir / f"{attempt_id}.wav" if self.settings.record_calls else None
        await store.run(
            store.attempts.advance,
            attempt_id,
            AttemptState.IN_PROGRESS,
            provider_call_sid=stream.call_sid,
            recording_path=str(recording) if recording else None,
        )
        journal = CallJournal(store, attempt_id)
        today = datetime.datetime.now(zoneinfo.ZoneInfo(recipient.time_zone)).date()
        follow_ups = await call_memory.recall_for(store, recipient.id, dialog.language, today)
        manager = DialogManager(
            dialog,
            self._red_flags[dialog.language],
            rules_for(dialog.language),
            journal,
            recipient_name=recipient.name,
            today=today,
            organisation=self.settings.organisation,
            language_model=self.language_model,
            llm_deadline_s=self.settings.llm_deadline_s,
            follow_ups=follow_ups,
        )
        shared = self.shared_lines(dialog)
        own = [line for line in manager.vetted_lines() if line not in shared]
        self._calls.add(attempt_id)
        self._no_calls.clear()
        try:
            latencies = await hold_call(
                telephone_transport(stream),
                manager,
                self.speech.stt(dialog.language),
                self.speech.tts(dialog.language, keep=shared, ahead=own),
                patience=Patience(hold_s=recipient.patience_s),
                recording=recording,
            )
            for latency in latencies:
                logger.info("turn_latency %s", json.dumps({name: round(s, 3) for name, s in asdict(latency).items()}))
            report = manager.report()
        except BaseException:
            report = replace(manager.report(), outcome=Outcome.INTERRUPTED)
            raise
        finally:
            self._calls.discard(attempt_id)
            if not self._calls:
                self._no_calls.set()
            await asyncio.shield(self._finish(journal, attempt_id, report, follow_ups, today))

    async def _finish(
        self,
        journal: CallJournal,
        attempt_id: uuid.UUID,
        report: Report,
        follow_ups: Sequence[FollowUp],
        today: datetime.date,
    ) -> None:
        """Writes the report, then what is remembered of the call: a memory that fails takes no report with it."""
        await journal.finish(report)
        try:
            await call_memory.remember(self.store, attempt_id, report, follow_ups, today)
        except StoreError as error:
            logger.warning("nothing was remembered of attempt %s: %s", attempt_id, error)

    async def open_stream(self, attempt_id: uuid.UUID, call_sid: str) -> str | None:
        """A one-time token for the answered call of an attempt; None when it is over already."""
        attempt = await self.store.run(self.store.attempts.get, attempt_id)
        if attempt.state.terminal:
            return None
        await self.store.run(self.store.attempts.advance, attempt_id, attempt.state, provider_call_sid=call_sid)
        return await self.store.run(self.store.stream_tokens.issue, attempt_id, STREAM_TOKEN_TTL_S, True)

    async def after_stream(self, attempt_id: uuid.UUID) -> Literal["hang_up", "reconnect"]:
        """What follows a media stream: the end, unless the call has not been finished."""
        report = await self.store.run(self.store.calls.load_report, attempt_id)
        return "hang_up" if report is not None else "reconnect"

    async def report_progress(self, progress: CallProgress) -> None:
        logger.info("call progress of attempt %s: %s", progress.attempt_id, progress.status)

    async def expected_call_sid(self, attempt_id: uuid.UUID) -> str | None:
        return (await self.store.run(self.store.attempts.get, attempt_id)).provider_call_sid

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


def create_app(settings: Settings) -> FastAPI:
    """The ASGI application. At start-up it loads the models and closes calls that died with the last process."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        closed = await program.store.run(program.store.attempts.close_interrupted)
        if closed:
            logger.warning("closed %d calls that were interrupted when the program last ended", closed)
        await asyncio.to_thread(program.load)
        await program.warm_up()
        rendering = asyncio.create_task(program.render_phrases())
        app.state.ready = True
        try:
            yield
        finally:
            app.state.ready = False
            gate.shut()
            rendering.cancel()
            await asyncio.gather(rendering, return_exceptions=True)
            if program.language_model is not None:
                await program.language_model.close()
            program.close()

    program = Program(settings)
    gate = Gate(settings.max_calls)
    app = FastAPI(title="CareCall", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.program = program
    app.state.ready = False
    app.include_router(
        telephony_router(
            TelephonyPorts(
                redeem=lambda token, now: program.store.run(program.store.stream_tokens.redeem, token, now),
                expected_call_sid=program.expected_call_sid,
                handle_call=program.hold,
                open_stream=program.open_stream,
                after_stream=program.after_stream,
                report_progress=program.report_progress,
            ),
            settings,
            gate=gate,
        )
    )

    @app.get("/health/live", include_in_schema=False)
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/health/ready", include_in_schema=False)
    async def ready(response: Response) -> dict[str, str | int | None]:
        if not app.state.ready:
            response.status_code = 503
        return {"status": "ready" if app.state.ready else "starting", "phrases_missing": program.phrases_missing}

    return app
