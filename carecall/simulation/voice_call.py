"""Runs a scenario by voice: a synthetic recipient talks over a media stream to the real server, as Twilio would."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

from carecall.app import new_stream_url
from carecall.domain.language import Language
from carecall.domain.report import Report
from carecall.domain.turn import Speaker, Turn
from carecall.errors import SimulationError
from carecall.settings import Settings
from carecall.simulation.media_peer import RATE, MediaPeer, dial
from carecall.simulation.persona import Persona
from carecall.simulation.scenario import Scenario
from carecall.simulation.text_call import Result, judge
from carecall.speech.factory import make_voice
from carecall.speech.phrases import PhraseCache
from carecall.speech.voices import Voice
from carecall.store import Store

_THINKS_S = 0.3  # before the recipient answers
_REPORT_WITHIN_S = 15.0
_MOST_TURNS = 80


@dataclass(frozen=True, slots=True)
class VoiceResult:
    """What came of a call by voice."""

    result: Result
    attempt_id: UUID
    latencies: tuple[
        float, ...
    ]  # seconds from the end of the recipient's speech to the agent's first audio on the line
    clears: int
    violations: tuple[str, ...]
    recording: str | None


class RecipientVoice:
    """Another person than the agent: the same voice, spoken higher."""

    _PITCH = 1.16

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self.name = f"recipient-{voice.name}"
        self.version = f"{voice.version}-{self._PITCH}"
        self.sample_rate = int(voice.sample_rate * self._PITCH)

    def render(self, text: str) -> Iterator[bytes]:
        yield from self._voice.render(text)


def recipient_phrases(settings: Settings, language: Language) -> PhraseCache:
    """The recipient's mouth. Raises SimulationError where no voice is at hand that speech recognition understands."""
    voice = make_voice(settings, language)
    if voice is None or voice.name.startswith("espeak-ng"):
        raise SimulationError(
            f"No voice on this machine speaks {language} so that speech recognition understands it; "
            f"run this scenario with --mode text, or set CARECALL_TTS_{language.upper()}=coqui:MODEL."
        )
    return PhraseCache(RecipientVoice(voice), RATE, settings.phrases_dir)


async def run_voice_call(
    scenario: Scenario,
    settings: Settings,
    store: Store,
    *,
    on_turn: Callable[[Turn], None] = lambda _: None,
) -> VoiceResult:
    """Call the server that listens at the settings' host and port, with the scenario's recipient on the other end.

    ``on_turn`` is told every turn as soon as it is stored. Raises SimulationError when the call comes to nothing.
    """
    language = Language(scenario.dialog.rpartition(".")[2])
    phrases = recipient_phrases(settings, language)
    url, attempt_id = await store.run(new_stream_url, settings, store, scenario.dialog, scenario.recipient.name)
    attempt = await store.run(store.attempts.get, attempt_id)
    recipient = await store.run(store.recipients.get, attempt.recipient_id)
    if recipient.recording_consent_at is None:  # who is synthetic agrees
        await store.run(store.recipients.record_from, recipient.id, store.now(), actor="simulation")
    call = _Call(store, attempt_id, Persona(scenario.recipient), phrases, on_turn)
    async with dial(url) as peer:
        await call.hold(peer)
    report = await call.report()
    attempt = await store.run(store.attempts.get, attempt_id)
    result = Result(scenario.name, judge(scenario.expect, report, call.turns), report, tuple(call.turns))
    return VoiceResult(
        result, attempt_id, tuple(peer.latencies), peer.clears, tuple(peer.violations), attempt.recording_path
    )


class _Call:
    def __init__(
        self,
        store: Store,
        attempt_id: UUID,
        persona: Persona,
        phrases: PhraseCache,
        on_turn: Callable[[Turn], None],
    ) -> None:
        self._store = store
        self._attempt_id = attempt_id
        self._persona = persona
        self._phrases = phrases
        self._on_turn = on_turn
        self.turns: list[Turn] = []

    async def hold(self, peer: MediaPeer) -> None:
        while len(self.turns) < _MOST_TURNS and await peer.agent_turn():
            asked = await self._asked()
            reaction = self._persona.react(asked)
            if reaction.hangs_up or peer.is_closed:
                return
            if reaction.text:
                audio = await asyncio.to_thread(self._phrases.render, reaction.text, on_disk=True)
                await asyncio.sleep(_THINKS_S)
                await peer.say(audio)

    async def report(self) -> Report:
        deadline = time.monotonic() + _REPORT_WITHIN_S
        while (report := await self._store.run(self._store.calls.load_report, self._attempt_id)) is None:
            if time.monotonic() > deadline:
                raise SimulationError(f"The call left no report within {_REPORT_WITHIN_S:g} s.")
            await asyncio.sleep(0.1)
        await self._follow()
        return report

    async def _asked(self) -> str | None:
        """The code of the question that the agent's last turn put."""
        for _ in range(20):  # the turn is stored when it has been spoken; it may lag behind the ear by a moment
            if any(turn.speaker is Speaker.AGENT for turn in await self._follow()):
                break
            await asyncio.sleep(0.1)
        spoken = [turn for turn in self.turns if turn.speaker is Speaker.AGENT]
        return spoken[-1].asked if spoken else None

    async def _follow(self) -> list[Turn]:
        """The turns that have been stored since the last look."""
        turns = await self._store.run(self._store.calls.turns, self._attempt_id)
        new = turns[len(self.turns) :]
        self.turns = turns
        for turn in new:
            self._on_turn(turn)
        return new
