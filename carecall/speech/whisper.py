"""Speech recognition by faster-whisper: the model is loaded once a process and shared by all calls.

Whisper encodes 30 s however short the utterance is. Telephone replies are short, so the encoder is given a window of
15 s: the same words in a third of the time (docs/decisions/0003-speech-recognition.md has the measurement).
"""

import asyncio
import time
import zlib
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from pipecat.frames.frames import ErrorFrame, Frame, TranscriptionFrame
from pipecat.services.settings import STTSettings
from pipecat.services.stt_service import SegmentedSTTService
from pipecat.transcriptions.language import Language as PipecatLanguage
from pipecat.utils.time import time_now_iso8601

from carecall.domain.language import Language
from carecall.errors import SpeechError

Audio = npt.NDArray[np.float32]  # mono, 16 kHz, in [-1, 1]

SAMPLE_RATE = 16_000
NOTHING_RECOGNISED = "…"  # stands for an utterance without words, because pipecat ends no turn on an empty text
_WINDOW_S = 15.0  # encoder window for short audio; 10 s ruins the recognition of Korean
_FRAMES_PER_S = 100  # Whisper's feature frames
_MAX_TOKENS_PER_S = 12  # faster than anybody speaks: a bound on runaway repetition
_RETRY_LOG_PROBABILITY = -0.6  # below it a greedy decoding is searched again with beams
_LATEST_S = 4.0  # a turn waits so long for its words
_SILENCE_PROBABILITY = 0.6
_SILENCE_LOG_PROBABILITY = -1.0
_REPETITIVE = 2.4  # compression ratio, the bound of Whisper's reference implementation


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was recognised. ``text`` is empty for silence and noise."""

    text: str
    seconds: float  # time the recognition took
    log_probability: float  # mean over the tokens
    no_speech_probability: float


class Transcriber:
    """A Whisper model on the CPU or the GPU."""

    def __init__(self, model: WhisperModel, *, beam_size: int = 5) -> None:
        self._model = model
        self._beam_size = beam_size
        self._tokenizers: dict[Language, Tokenizer] = {}
        # One utterance at a time: two at once on the same cores finish later than one after the other.
        self.executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="whisper")

    @classmethod
    def load(cls, path: Path, *, threads: int = 2, device: str = "auto") -> Self:
        """Load a faster-whisper model folder. Raises SpeechError when the folder holds none."""
        try:
            model = WhisperModel(
                str(path), device=device, compute_type="default" if device == "cuda" else "int8", cpu_threads=threads
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise SpeechError(f"{path} is not a faster-whisper model ({error}); run 'carecall models fetch'.") from None
        return cls(model)

    def close(self) -> None:
        self.executor.shutdown(wait=False, cancel_futures=True)

    def transcribe(self, audio: Audio, language: Language, *, prompt: str = "") -> Transcript:
        """Recognise an utterance; blocks for as long as it takes. ``prompt`` is text that came before, as a bias."""
        started = time.perf_counter()
        features = self._model.feature_extractor(audio)
        seconds = len(audio) / SAMPLE_RATE
        window = _WINDOW_S if seconds <= _WINDOW_S else 30.0
        texts: list[str] = []
        log_probabilities: list[float] = []
        silence = 1.0
        for start in range(0, max(1, features.shape[1] - 10), int(window * _FRAMES_PER_S)):
            text, log_probability, no_speech = self._decode(features, start, window, language, prompt)
            silence = min(silence, no_speech)
            if text:
                texts.append(text)
                log_probabilities.append(log_probability)
        return Transcript(
            " ".join(texts),
            time.perf_counter() - started,
            float(np.mean(log_probabilities)) if log_probabilities else 0.0,
            silence,
        )

    def _decode(
        self, features: npt.NDArray[np.float32], start: int, window: float, language: Language, prompt: str
    ) -> tuple[str, float, float]:
        """The text, its mean log probability, and the probability that the window holds no speech."""
        frames = int(window * _FRAMES_PER_S)
        piece = features[:, start : start + frames]
        spoken_s = piece.shape[1] / _FRAMES_PER_S
        piece = np.pad(piece, ((0, 0), (0, frames - piece.shape[1])))
        encoded = self._model.encode(piece)
        tokenizer = self._tokenizer(language)
        previous = tokenizer.encode(" " + prompt.strip()) if prompt else []
        tokens = self._model.get_prompt(tokenizer, previous, without_timestamps=True)
        best: tuple[str, float, float] = ("", -10.0, 1.0)
        for beams in (1, self._beam_size):
            result: Any = self._model.model.generate(
                encoded,
                [tokens],
                beam_size=beams,
                max_length=len(tokens) + 8 + int(spoken_s * _MAX_TOKENS_PER_S),
                return_scores=True,
                return_no_speech_prob=True,
            )[0]
            text = tokenizer.decode(result.sequences_ids[0]).strip()
            log_probability, no_speech = float(result.scores[0]), float(result.no_speech_prob)
            if no_speech > _SILENCE_PROBABILITY and log_probability < _SILENCE_LOG_PROBABILITY:
                return "", log_probability, no_speech
            if _is_repetitive(text):
                continue
            if not best[0] or log_probability > best[1]:
                best = (text, log_probability, no_speech)
            if log_probability >= _RETRY_LOG_PROBABILITY:
                break
        return best

    def _tokenizer(self, language: Language) -> Tokenizer:
        if language not in self._tokenizers:
            self._tokenizers[language] = Tokenizer(
                self._model.hf_tokenizer, self._model.model.is_multilingual, task="transcribe", language=str(language)
            )
        return self._tokenizers[language]


def _is_repetitive(text: str) -> bool:
    data = text.encode()
    return len(data) > 40 and len(data) / len(zlib.compress(data)) > _REPETITIVE


class WhisperSTTService(SegmentedSTTService):
    """One call's recogniser over a shared Transcriber. Wants the pipeline at 16 kHz: 8 kHz audio silently ruins it."""

    def __init__(
        self, transcriber: Transcriber, language: Language, *, prompt: Callable[[], str] | None = None, **kwargs: Any
    ) -> None:
        """``prompt`` is asked before each utterance for words to bias the recognition with."""
        super().__init__(
            sample_rate=SAMPLE_RATE,
            ttfs_p99_latency=_LATEST_S,
            trailing_silence_secs=0.3,
            settings=STTSettings(model="faster-whisper", language=PipecatLanguage(language)),
            **kwargs,
        )
        self._transcriber = transcriber
        self._spoken_language = language
        self._prompt = prompt

    @property
    def wants_wav_segments(self) -> bool:
        return False

    def can_generate_metrics(self) -> bool:
        return True

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        samples = np.frombuffer(audio, dtype=np.int16).astype(np.float32) / 32768.0
        prompt = self._prompt() if self._prompt else ""
        await self.start_processing_metrics()
        try:
            transcript = await asyncio.get_running_loop().run_in_executor(
                self._transcriber.executor,
                lambda: self._transcriber.transcribe(samples, self._spoken_language, prompt=prompt),
            )
        except RuntimeError as error:
            yield ErrorFrame(error=f"speech recognition failed: {type(error).__name__}")
            return
        await self.stop_processing_metrics()
        text = transcript.text or NOTHING_RECOGNISED
        yield TranscriptionFrame(text, "", time_now_iso8601(), PipecatLanguage(self._spoken_language))
