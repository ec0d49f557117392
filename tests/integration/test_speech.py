"""The real speech models: what Piper says over a telephone line, Whisper writes down."""

import asyncio
import audioop
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import soxr

from carecall import model_files
from carecall.domain.language import Language
from carecall.errors import SpeechError
from carecall.speech.phrases import PhraseCache
from carecall.speech.voices import EspeakVoice, PiperVoice
from carecall.speech.whisper import SAMPLE_RATE, Audio, Transcriber

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def transcriber() -> Transcriber:
    return Transcriber.load(model_files.ensure("whisper-base", progress=False))


@pytest.fixture(scope="module")
def phrases() -> PhraseCache:
    return PhraseCache(PiperVoice(model_files.ensure("en_US-joe-medium", progress=False)), 8_000)


def on_the_telephone(phrases: PhraseCache, text: str) -> Audio:
    """Speech as it arrives from the line, spoken anew each time: 8 kHz μ-law, brought to 16 kHz."""
    spoken = phrases.condition(b"".join(phrases.voice.render(text)))
    pcm = audioop.ulaw2lin(audioop.lin2ulaw(spoken, 2), 2)
    samples = np.frombuffer(pcm, dtype=np.int16).astype(np.float32) / 32768
    return np.asarray(soxr.resample(samples, 8_000, SAMPLE_RATE), dtype=np.float32)


@pytest.mark.parametrize(
    "said",
    [
        "No, I don't have a fever.",
        "I have had a cough since yesterday and my throat hurts.",
        "I slept badly, I woke up three times because my back hurts quite a lot these days.",
    ],
)
def test_what_is_said_on_the_telephone_is_written_down(
    transcriber: Transcriber, phrases: PhraseCache, said: str
) -> None:
    def understood() -> float:
        heard = transcriber.transcribe(on_the_telephone(phrases, said), Language.ENGLISH).text
        return len(words & {word.strip(".,").lower() for word in heard.split()}) / len(words)

    words = {word.strip(".,").lower() for word in said.split()}
    assert max(understood() for _ in range(3)) >= 0.9  # the voice never says a thing twice alike


def test_speech_longer_than_the_window_is_not_lost(transcriber: Transcriber, phrases: PhraseCache) -> None:
    story = (
        "On Monday I went to the market with my daughter. We bought apples. Then we sat on a bench by the river. "
        "On Tuesday the plumber came to look at the kitchen. He said the pipe was old and had to be changed. "
        "On Wednesday I stayed in bed because my knee was sore. My neighbour brought me some chicken soup. "
        "On Thursday we played cards until the evening. I won two games and lost three. "
        "On Friday the doctor telephoned about my blood pressure."
    )
    audio = on_the_telephone(phrases, story)
    heard = transcriber.transcribe(audio, Language.ENGLISH).text.lower()
    assert len(audio) / SAMPLE_RATE > 18
    words = ("market", "river", "plumber", "knee", "soup", "cards", "doctor")  # from beginning to end
    assert sum(word in heard for word in words) >= 5  # the voice never says a thing twice alike
    assert any(word in heard for word in ("cards", "games", "doctor", "blood"))


@pytest.mark.parametrize("seconds", [0.0, 0.01, 1.0, 20.0])
def test_silence_has_no_words(transcriber: Transcriber, seconds: float) -> None:
    assert transcriber.transcribe(np.zeros(int(seconds * SAMPLE_RATE), np.float32), Language.ENGLISH).text == ""


def test_noise_has_no_words(transcriber: Transcriber) -> None:
    hiss = np.random.default_rng(7).normal(0, 0.02, 3 * SAMPLE_RATE).astype(np.float32)
    assert transcriber.transcribe(hiss, Language.ENGLISH).text == ""


def test_a_short_question_put_as_bias_does_not_become_the_answer(
    transcriber: Transcriber, phrases: PhraseCache
) -> None:
    audio = on_the_telephone(phrases, "No, I do not.")
    heard = transcriber.transcribe(audio, Language.ENGLISH, prompt="Do you have a fever today?").text
    assert "fever" not in heard
    assert "no" in heard.lower()


async def test_the_event_loop_stays_free_while_speech_is_recognised(
    transcriber: Transcriber, phrases: PhraseCache
) -> None:
    audio = on_the_telephone(phrases, "I slept badly, I woke up three times because my back hurts.")
    recognising = asyncio.get_running_loop().run_in_executor(
        transcriber.executor, transcriber.transcribe, audio, Language.ENGLISH
    )
    longest, last = 0.0, asyncio.get_running_loop().time()
    while not recognising.done():
        await asyncio.sleep(0.005)
        now = asyncio.get_running_loop().time()
        longest, last = max(longest, now - last), now
    assert (await recognising).text
    assert longest < 0.15


def test_a_folder_without_a_model_names_the_mend(tmp_path: Path) -> None:
    with pytest.raises(SpeechError, match="carecall models fetch"):
        Transcriber.load(tmp_path)


def test_espeak_speaks_korean() -> None:
    if shutil.which("espeak-ng") is None:
        with pytest.raises(SpeechError, match="apt-get install espeak-ng"):
            EspeakVoice(Language.KOREAN)
        return
    audio = PhraseCache(EspeakVoice(Language.KOREAN), 8_000).render("식사는 하셨어요?", on_disk=False)
    assert 0.5 < len(audio) / 2 / 8_000 < 4


def test_a_voice_can_be_used_from_several_threads(phrases: PhraseCache) -> None:
    results: list[bytes] = []
    threads = [
        threading.Thread(target=lambda text=text: results.append(phrases.render(text, on_disk=False)))
        for text in ("One.", "Two.", "Three.")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert all(results)
