"""Lines that drop, answering machines and callers back: a real server, signed as Twilio does, over real streams."""

import asyncio
import signal
import time
import wave
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TypeVar
from urllib.parse import parse_qs, urlencode
from uuid import UUID
from xml.etree import ElementTree

import httpx
import pytest
from starlette.datastructures import ImmutableMultiDict
from twilio.request_validator import RequestValidator
from websockets.exceptions import InvalidStatus

from carecall.dialog.files import find_dialog
from carecall.domain.attempt import AttemptState
from carecall.domain.language import Language
from carecall.domain.report import Outcome
from carecall.domain.turn import Speaker, Turn
from carecall.settings import Settings
from carecall.simulation.media_peer import MediaPeer, dial, sid
from carecall.simulation.server import RunningServer, running_server
from carecall.simulation.voice_call import recipient_phrases
from carecall.speech.phrases import PhraseCache
from carecall.store import Store

pytestmark = [pytest.mark.models, pytest.mark.timeout(300)]

BASE = "https://calls.example.org"
SECRET = "a key for these calls"
ACCOUNT, AUTH_TOKEN = sid("AC"), "an auth token"
DIALOG = find_dialog(Settings().dialogs_dir, "wellbeing.en")
Found = TypeVar("Found")
CUT_OFF = DIALOG.texts.resumed[0]


@dataclass
class Twilio:
    """Twilio's REST interface: notes what becomes of calls."""

    url: str = ""
    changes: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)  # call, fields


@pytest.fixture(scope="module")
def twilio() -> Iterator[Twilio]:
    network = Twilio()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
            network.changes.append((self.path.rpartition("/")[2].removesuffix(".json"), form))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        network.url = f"http://127.0.0.1:{server.server_port}"
        yield network
        server.shutdown()


def serving(settings: Settings, twilio: Twilio, *, drain_s: float = 60) -> AbstractContextManager[RunningServer]:
    return running_server(
        settings,
        CARECALL_SECRET_KEY=SECRET,
        CARECALL_DRAIN_S=str(drain_s),
        CARECALL_PUBLIC_URL=BASE,
        CARECALL_TWILIO_ACCOUNT_SID=ACCOUNT,
        CARECALL_TWILIO_AUTH_TOKEN=AUTH_TOKEN,
        CARECALL_TWILIO_NUMBER="+12025550100",
        CARECALL_TWILIO_API_URL=twilio.url,
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, twilio: Twilio) -> Iterator[RunningServer]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("resume"), llm="none", record_calls=True)
    Store.open(settings.database, secret=SECRET, upgrade=True).close()
    with serving(settings, twilio) as server:
        yield server


@pytest.fixture
def store(server: RunningServer) -> Iterator[Store]:
    with Store.open(server.settings.database, secret=SECRET) as store:
        yield store


@pytest.fixture(scope="module")
def voice(server: RunningServer) -> PhraseCache:
    return recipient_phrases(server.settings, Language.ENGLISH)


def signed(url: str, fields: dict[str, str] | None = None) -> dict[str, str]:
    return {"X-Twilio-Signature": RequestValidator(AUTH_TOKEN).compute_signature(url, ImmutableMultiDict(fields or {}))}


@dataclass
class Telephone:
    """One telephone call, as Twilio carries it."""

    server: RunningServer
    store: Store
    voice: PhraseCache
    attempt_id: UUID | None
    call_sid: str = field(default_factory=lambda: sid("CA"))

    async def ask(self, address: str, **fields: str) -> ElementTree.Element | None:
        """The answer to a signed webhook; None for an empty one."""
        form = {"CallSid": self.call_sid, "AccountSid": ACCOUNT, **fields}
        path = address.removeprefix(BASE)
        headers = {"Content-Type": "application/x-www-form-urlencoded", **signed(BASE + path, form)}
        async with httpx.AsyncClient() as client:
            url = f"http://127.0.0.1:{self.server.settings.port}{path}"
            answer = await client.post(url, content=urlencode(form), headers=headers)
        assert answer.is_success, answer.text
        return ElementTree.fromstring(answer.text) if answer.content else None

    async def progress(self, status: str, sequence: int) -> None:
        await self.ask(f"/telephony/status/{self.attempt_id}", CallStatus=status, SequenceNumber=str(sequence))

    @asynccontextmanager
    async def stream(self, answer: ElementTree.Element | None) -> AsyncIterator[MediaPeer]:
        """The stream that an answer asks for."""
        assert answer is not None
        stream = answer.find("Connect/Stream")
        assert stream is not None, ElementTree.tostring(answer)
        url = stream.attrib["url"]
        here = url.replace(BASE.replace("https", "wss"), f"ws://127.0.0.1:{self.server.settings.port}")
        async with dial(here, call_sid=self.call_sid, account_sid=ACCOUNT, headers=signed(url)) as peer:
            yield peer

    async def answered(self) -> ElementTree.Element | None:
        return await self.ask(f"/telephony/voice/{self.attempt_id}", CallStatus="in-progress")

    async def after(self, answer: ElementTree.Element | None) -> ElementTree.Element | None:
        """What follows the stream that an answer asked for."""
        assert answer is not None
        redirect = answer.find("Redirect")
        assert redirect is not None
        assert redirect.text is not None
        return await self.ask(redirect.text, CallStatus="in-progress")

    async def say(self, peer: MediaPeer, text: str) -> Turn:
        """Says it, and gives the agent's answer once it has been spoken and written down."""
        spoken = len(await self.turns())
        await peer.say(await asyncio.to_thread(self.voice.render, text, on_disk=True))
        return await self.agent_turn(after=spoken + 1)

    async def agent_turn(self, *, after: int = 0) -> Turn:
        def newest() -> Turn | None:
            turns = self.store.calls.turns(self.id)[after:]
            return turns[-1] if turns and turns[-1].speaker is Speaker.AGENT else None

        return await self._until(newest)

    async def turns(self) -> list[Turn]:
        return await asyncio.to_thread(self.store.calls.turns, self.id)

    async def ended(self, within_s: float = 20) -> AttemptState:
        def state() -> AttemptState | None:
            attempt = self.store.attempts.get(self.id)
            return attempt.state if attempt.state.terminal else None

        return await self._until(state, within_s)

    @property
    def id(self) -> UUID:
        assert self.attempt_id is not None
        return self.attempt_id

    async def _until(self, look: Callable[[], Found | None], within_s: float = 40) -> Found:
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if (found := await asyncio.to_thread(look)) is not None:
                return found
            await asyncio.sleep(0.1)
        pytest.fail(f"not within {within_s:g} s; turns: {await self.turns()}")


async def drop(peer: MediaPeer) -> None:
    """The line goes without a word, as when a network fails."""
    await peer.socket.close(1001)
    while not peer.is_closed:
        await asyncio.sleep(0.01)


def dialed(server: RunningServer, store: Store, voice: PhraseCache, name: str) -> Telephone:
    attempt_id = store.attempts.ad_hoc(DIALOG, name, Language.ENGLISH)
    store.recipients.record_from(store.attempts.get(attempt_id).recipient_id, store.now())
    store.attempts.advance(attempt_id, AttemptState.DIALING)
    call = Telephone(server, store, voice, attempt_id)
    store.outreach.placed(attempt_id, call.call_sid)
    return call


def recorded_s(store: Store, call: Telephone) -> float:
    """How many seconds of the call are to be heard."""
    recording = store.recordings.of(call.id)
    assert recording is not None
    assert recording.key is not None
    assert not recording.broke_off()
    with recording.open() as sound, wave.open(sound) as audio:
        return float(audio.getnframes() / audio.getframerate())


async def test_a_stream_that_drops_is_taken_up_where_the_talk_stood(
    server: RunningServer, store: Store, voice: PhraseCache
) -> None:
    call = await asyncio.to_thread(dialed, server, store, voice, "Anna")
    first = await call.answered()
    async with call.stream(first) as peer:
        await call.agent_turn()
        assert (await call.say(peer, "Yes, this is Anna.")).asked == "ate"
        open_question = await call.say(peer, "Yes, I had breakfast.")
        assert open_question.asked == "slept_well"
        await drop(peer)
    before = len(await call.turns())

    second = await call.after(first)
    async with call.stream(second) as peer:
        again = await call.agent_turn(after=before)
        assert again.text.startswith(CUT_OFF)
        assert again.asked == "slept_well"
        assert again.started_s > open_question.ended_s, "the clock of the call goes on"
        assert (await call.say(peer, "No, I slept badly.")).asked == "health_problem"
        await drop(peer)

    third = await call.after(second)
    async with call.stream(third) as peer:
        assert (await call.agent_turn(after=len(await call.turns()))).asked == "health_problem"
        await drop(peer)

    fourth = await call.after(third)
    assert fourth is not None
    assert fourth.find("Hangup") is not None, "it is taken up twice and no more"
    assert await call.ended() is AttemptState.INTERRUPTED
    report = await asyncio.to_thread(store.calls.load_report, call.id)
    assert report is not None
    found = {finding.code: finding.value for finding in report.findings}
    assert (found["ate"], found["slept_well"]) == ("yes", "no")
    turns = await call.turns()
    assert [turn.index for turn in turns] == list(range(len(turns)))
    recorded = await asyncio.to_thread(recorded_s, store, call)
    assert recorded > turns[-1].started_s, "all lines are on one recording"


async def test_a_talk_that_has_come_to_its_end_is_not_taken_up_again(
    server: RunningServer, store: Store, voice: PhraseCache
) -> None:
    call = await asyncio.to_thread(dialed, server, store, voice, "Alma")
    answer = await call.answered()
    async with call.stream(answer) as peer:
        await call.agent_turn()
        await call.say(peer, "I am busy now. Please call me later.")
        await asyncio.wait_for(peer.closed(), 10)
        after = await call.after(answer)
    assert after is not None
    assert after.find("Hangup") is not None
    assert await asyncio.to_thread(store.calls.load_report, call.id) is not None


async def test_a_call_that_is_answered_before_its_id_is_known_gets_its_line_and_no_other_call_does(
    server: RunningServer, store: Store, voice: PhraseCache
) -> None:
    attempt_id = await asyncio.to_thread(store.attempts.ad_hoc, DIALOG, "Abel", Language.ENGLISH)
    await asyncio.to_thread(store.attempts.advance, attempt_id, AttemptState.DIALING)
    call = Telephone(server, store, voice, attempt_id)
    async with call.stream(await call.answered()) as peer:
        await call.agent_turn()
        stranger = await Telephone(server, store, voice, attempt_id).answered()
        assert stranger is not None
        assert stranger.find("Hangup") is not None
        await peer.hang_up()
    assert (await asyncio.to_thread(store.attempts.get, attempt_id)).provider_call_sid == call.call_sid
    await call.ended()


async def test_a_person_who_hangs_up_after_a_drop_is_not_waited_for(
    server: RunningServer, store: Store, voice: PhraseCache
) -> None:
    call = await asyncio.to_thread(dialed, server, store, voice, "Bert")
    async with call.stream(await call.answered()) as peer:
        await call.agent_turn()
        await call.say(peer, "Yes, this is Bert.")
        await drop(peer)
    attempt = await asyncio.to_thread(store.attempts.get, call.id)
    assert attempt.state is AttemptState.IN_PROGRESS

    await call.progress("completed", 3)

    assert await call.ended(within_s=3) is AttemptState.COMPLETED
    report = await asyncio.to_thread(store.calls.load_report, call.id)
    assert report is not None
    assert report.outcome is Outcome.HUNG_UP


async def test_a_machine_is_left_one_message_without_a_clinical_word_and_no_report(
    server: RunningServer, store: Store, voice: PhraseCache, twilio: Twilio
) -> None:
    call = await asyncio.to_thread(dialed, server, store, voice, "Cora")
    async with call.stream(await call.answered()) as peer:
        await call.agent_turn()
        for _ in range(2):
            await call.ask(f"/telephony/status/{call.attempt_id}", AnsweredBy="machine_end_beep")
        assert await call.ended(within_s=5) is AttemptState.MACHINE
        await asyncio.wait_for(peer.socket.wait_closed(), 5)

    messages = [form for call_sid, form in twilio.changes if call_sid == call.call_sid]
    assert len(messages) == 1
    said = messages[0]["Twiml"][0]
    assert DIALOG.organisation in said
    assert "Cora" not in said
    assert await asyncio.to_thread(store.calls.load_report, call.id) is None


async def test_a_caller_back_is_thanked_and_asked_who_it_is(
    server: RunningServer, store: Store, voice: PhraseCache
) -> None:
    await asyncio.to_thread(_enrolled, store, "Dora", "+12025550123")
    call = Telephone(server, store, voice, None)
    answer = await call.ask("/telephony/inbound", CallStatus="ringing", From="+12025550123", To="+12025550100")
    call.attempt_id = await asyncio.to_thread(_attempt_of, store, call.call_sid)
    async with call.stream(answer) as peer:
        assert "calling back" in (await call.agent_turn()).text
        assert (await call.say(peer, "Yes, this is Dora.")).asked == "ate"
    assert await call.ended() is AttemptState.COMPLETED


def _enrolled(store: Store, name: str, phone: str) -> None:
    attempt_id = store.attempts.ad_hoc(DIALOG, name, Language.ENGLISH, phone)
    store.attempts.advance(attempt_id, AttemptState.FAILED)


def _attempt_of(store: Store, call_sid: str) -> UUID:
    attempt_id = store.outreach.inbound("", call_sid, lambda *_: DIALOG)
    assert attempt_id is not None
    return attempt_id


async def test_another_process_takes_up_the_call_of_one_that_was_killed(
    tmp_path: Path, twilio: Twilio, voice: PhraseCache
) -> None:
    settings = Settings(data_dir=tmp_path, llm="none", record_calls=True)
    Store.open(settings.database, secret=SECRET, upgrade=True).close()
    with Store.open(settings.database, secret=SECRET) as store:
        with serving(settings, twilio) as killed:
            call = await asyncio.to_thread(dialed, killed, store, voice, "Emil")
            first = await call.answered()
            async with call.stream(first) as peer:
                await call.agent_turn()
                await call.say(peer, "Yes, this is Emil.")
                killed.process.send_signal(signal.SIGKILL)
                while not peer.is_closed:
                    await asyncio.sleep(0.01)
        before = len(await call.turns())
        with serving(settings, twilio) as call.server:
            second = await call.after(first)
            async with call.stream(second) as peer:
                again = await call.agent_turn(after=before)
                assert again.text.startswith(CUT_OFF)
                assert again.asked == "ate"
                await call.say(peer, "Yes, I had breakfast.")
            assert await call.ended() is AttemptState.COMPLETED
        report = await asyncio.to_thread(store.calls.load_report, call.id)
        assert report is not None
        assert report.outcome is Outcome.HUNG_UP
        assert {finding.code: finding.value for finding in report.findings}["ate"] == "yes"
        assert await asyncio.to_thread(recorded_s, store, call) > (await call.turns())[-1].started_s


async def test_a_server_that_is_to_end_finishes_the_calls_it_holds_and_takes_no_new_ones(
    tmp_path: Path, twilio: Twilio, voice: PhraseCache
) -> None:
    settings = Settings(data_dir=tmp_path, llm="none")
    Store.open(settings.database, secret=SECRET, upgrade=True).close()
    with Store.open(settings.database, secret=SECRET) as store, serving(settings, twilio) as server:
        held = await asyncio.to_thread(dialed, server, store, voice, "Fay")
        late = await asyncio.to_thread(dialed, server, store, voice, "Gus")
        waiting = await late.answered()
        async with held.stream(await held.answered()) as peer:
            await held.agent_turn()
            assert await health(server) == (200, "ready", 1)
            server.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(1)
            assert await health(server) == (503, "draining", 1)
            with pytest.raises(InvalidStatus, match="503"):
                async with late.stream(waiting):
                    pass
            assert (await held.say(peer, "Yes, this is Fay.")).asked == "ate"
        assert await held.ended() is AttemptState.COMPLETED
        assert await asyncio.to_thread(server.process.wait, 20) == 0


async def test_a_call_that_outlasts_the_drain_is_left_to_be_taken_up(
    tmp_path: Path, twilio: Twilio, voice: PhraseCache
) -> None:
    settings = Settings(data_dir=tmp_path, llm="none")
    Store.open(settings.database, secret=SECRET, upgrade=True).close()
    with Store.open(settings.database, secret=SECRET) as store, serving(settings, twilio, drain_s=1) as server:
        call = await asyncio.to_thread(dialed, server, store, voice, "Hal")
        async with call.stream(await call.answered()) as peer:
            await call.agent_turn()
            server.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(server.process.wait, 20)
            while not peer.is_closed:
                await asyncio.sleep(0.01)
        assert (await asyncio.to_thread(store.attempts.get, call.id)).state is AttemptState.IN_PROGRESS
        assert await asyncio.to_thread(store.outreach.resume, call.id)


async def health(server: RunningServer) -> tuple[int, str, int]:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{server.settings.port}/health/ready")
    said = answer.json()
    assert said["database"] is True
    assert said["places"] == server.settings.max_calls
    return answer.status_code, said["status"], said["calls"]
