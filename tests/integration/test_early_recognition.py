"""Recognition begins at the pause, before it is sure that the pause is the end; what was begun too soon is dropped."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.tests.utils import SleepFrame, run_test

from carecall.domain.language import Language
from carecall.speech.whisper import SAMPLE_RATE, Audio, Transcriber, Transcript, WhisperSTTService


class Counting(Transcriber):
    """Writes down how many seconds it was given to recognise."""

    def __init__(self) -> None:
        self.executor = ThreadPoolExecutor(1)
        self.seconds: list[float] = []

    def transcribe(self, audio: Audio, language: Language, *, prompt: str = "") -> Transcript:
        self.seconds.append(round(len(audio) / SAMPLE_RATE, 2))
        return Transcript(f"run {len(self.seconds)}", 0.0, 0.0, 0.0)


def sound(seconds: float, amplitude: int) -> list[Frame]:
    """Audio frames of 20 ms."""
    tone = (amplitude * np.sin(np.arange(320) / 3)).astype(np.int16).tobytes()
    return [InputAudioRawFrame(tone, SAMPLE_RATE, 1) for _ in range(round(seconds / 0.02))]


async def recognised(*frames: Frame) -> tuple[list[str], list[float]]:
    """The transcripts, and the seconds of audio of each recognition that was begun."""
    transcriber = Counting()
    service = WhisperSTTService(transcriber, Language.ENGLISH)
    down, _ = await run_test(service, frames_to_send=[*frames, SleepFrame(sleep=0.2)])
    transcriber.close()
    return [frame.text for frame in down if isinstance(frame, TranscriptionFrame)], transcriber.seconds


def voice() -> Frame:
    return VADUserStartedSpeakingFrame(start_secs=0.12)


def quiet() -> Frame:
    return VADUserStoppedSpeakingFrame(stop_secs=0.2)


async def test_the_pause_at_the_end_is_recognised_once_and_early() -> None:
    texts, seconds = await recognised(voice(), *sound(1.0, 8000), *sound(0.2, 40), quiet())
    assert texts == ["run 1"]
    assert len(seconds) == 1
    assert seconds[0] < 1.0 + 0.2 + 0.3


async def test_who_goes_on_after_a_short_pause_is_heard_whole() -> None:
    texts, seconds = await recognised(
        voice(),
        *sound(0.6, 8000),
        *sound(0.12, 40),
        SleepFrame(sleep=0.05),
        *sound(0.6, 8000),
        *sound(0.2, 40),
        quiet(),
    )
    assert len(texts) == 1
    assert texts == [f"run {len(seconds)}"]
    assert seconds[-1] >= 1.3


async def test_in_noise_that_never_ends_recognition_waits_for_the_voice_detector() -> None:
    texts, seconds = await recognised(voice(), *sound(1.0, 3000), quiet())
    assert texts == ["run 1"]
    assert seconds == [1.3]


async def test_each_run_of_speech_gets_its_own_words() -> None:
    texts, _ = await recognised(
        voice(), *sound(0.5, 8000), *sound(0.2, 40), quiet(), voice(), *sound(0.5, 8000), *sound(0.2, 40), quiet()
    )
    assert texts == ["run 1", "run 2"]
