"""When a voice is heard and when a turn is over, with the real models and pipecat's own strategies."""

import audioop

import numpy as np
import pytest
import soxr
from pipecat.audio.turn.base_turn_analyzer import BaseTurnAnalyzer, BaseTurnParams, EndOfTurnState
from pipecat.audio.vad.vad_analyzer import VADState
from pipecat.frames.frames import (
    Frame,
    STTMetadataFrame,
    TranscriptionFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.metrics.metrics import MetricsData
from pipecat.tests.utils import SleepFrame, run_test
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_turn_processor import UserTurnProcessor
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from carecall.domain.language import Language
from carecall.settings import Settings
from carecall.simulation.voice_call import recipient_phrases
from carecall.voice import turn_taking
from carecall.voice.turn_taking import Patience, voice_activity


def on_the_line(text: str) -> bytes:
    """A recipient's words between silences, through the telephone, at 16 kHz."""
    pcm = recipient_phrases(Settings(), Language.ENGLISH).render(text, on_disk=False)
    heard = np.frombuffer(audioop.ulaw2lin(audioop.lin2ulaw(pcm, 2), 2), dtype=np.int16)
    quiet = np.zeros(8_000, np.int16)
    return bytes(soxr.resample(np.concatenate([quiet, heard, quiet]), 8_000, 16_000).astype(np.int16).tobytes())


async def is_heard(audio: bytes) -> bool:
    detector = voice_activity(Patience())
    detector.set_sample_rate(16_000)
    try:
        return any(
            [
                await detector.analyze_audio(audio[at : at + 640]) is VADState.SPEAKING
                for at in range(0, len(audio), 640)
            ]
        )
    finally:
        await detector.cleanup()


@pytest.mark.models
@pytest.mark.parametrize("text", ["No.", "Yes.", "Okay.", "Fine.", "Mm-hmm."])
async def test_a_bare_word_is_heard(text: str) -> None:
    assert await is_heard(on_the_line(text))


async def test_silence_and_hiss_are_not_taken_for_a_voice() -> None:
    hiss = np.random.default_rng(3).normal(0, 60, 32_000).astype(np.int16).tobytes()
    assert not await is_heard(bytes(64_000))
    assert not await is_heard(hiss)


class AlwaysComplete(BaseTurnAnalyzer):
    """Takes every pause for the end of the turn."""

    @property
    def speech_triggered(self) -> bool:
        return False

    @property
    def params(self) -> BaseTurnParams:
        return BaseTurnParams()

    def append_audio(self, buffer: bytes, is_speech: bool) -> EndOfTurnState:
        return EndOfTurnState.INCOMPLETE

    async def analyze_end_of_turn(self) -> tuple[EndOfTurnState, MetricsData | None]:
        return EndOfTurnState.COMPLETE, None

    def update_vad_start_secs(self, vad_start_secs: float) -> None:
        pass

    def clear(self) -> None:
        pass


def words(text: str) -> TranscriptionFrame:
    return TranscriptionFrame(text, "", "2026-01-01T00:00:00Z", finalized=True)


async def turns_of(*frames: Frame) -> list[str]:
    """What a pipeline takes for the recipient's turns: the words of each, joined."""
    processor = UserTurnProcessor(
        user_turn_strategies=UserTurnStrategies(
            start=[VADUserTurnStartStrategy()], stop=[turn_taking.WholeTurn(AlwaysComplete())]
        )
    )
    metadata = STTMetadataFrame(service_name="test", ttfs_p99_latency=4.0)
    down, _ = await run_test(processor, frames_to_send=[metadata, *frames])
    turns, heard = [], list[str]()
    for frame in down:
        if isinstance(frame, TranscriptionFrame):
            heard.append(frame.text)
        elif isinstance(frame, UserStoppedSpeakingFrame):
            turns.append(" ".join(heard))
            heard = []
    return turns


def pause(seconds: float = 0.05) -> SleepFrame:
    return SleepFrame(sleep=seconds)


def voice() -> VADUserStartedSpeakingFrame:
    return VADUserStartedSpeakingFrame(start_secs=0.12)


def quiet() -> VADUserStoppedSpeakingFrame:
    return VADUserStoppedSpeakingFrame(stop_secs=0.2)


async def test_words_that_come_late_after_a_pause_do_not_end_the_turn() -> None:
    assert await turns_of(
        voice(),
        pause(),
        quiet(),
        pause(),
        voice(),
        pause(),
        words("Yes."),
        pause(),
        quiet(),
        pause(),
        words("I ate."),
        pause(),
    ) == ["Yes. I ate."]


async def test_words_of_two_runs_that_come_together_make_one_turn() -> None:
    assert await turns_of(
        voice(), pause(), quiet(), voice(), pause(), quiet(), pause(), words("Yes."), pause(), words("I ate."), pause()
    ) == ["Yes. I ate."]


async def test_a_reply_without_a_pause_ends_with_its_words() -> None:
    assert await turns_of(
        voice(),
        pause(),
        quiet(),
        pause(),
        words("Yes."),
        pause(),
        voice(),
        pause(),
        quiet(),
        pause(),
        words("No."),
        pause(),
    ) == ["Yes.", "No."]
