"""When a voice is heard, with the real models. When a turn is over: test_dialog_processor.py."""

import audioop

import numpy as np
import pytest
import soxr
from pipecat.audio.vad.vad_analyzer import VADState

from carecall.domain.language import Language
from carecall.settings import Settings
from carecall.simulation.voice_call import recipient_phrases
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
