"""Speech recognition by faster-whisper: the model is loaded once a process and shared by all calls.

Whisper encodes 30 s however short the utterance is. Telephone replies are short, so the encoder is given a window of
15 s: the same words in a third of the time (docs/decisions/0003-speech-recognition.md has the measurement).
"""

import asyncio
import time
import zlib
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    TranscriptionFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection
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
_QUIET = 0.1  # loudness, against the loudest of the last seconds, that counts as a pause
_PAUSE_S = 0.08
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


class _Decoding(NamedTuple):
    text: str
    log_probability: float
    no_speech_probability: float

    @property
    def is_silence(self) -> bool:
        return self.no_speech_probability > _SILENCE_PROBABILITY and self.log_probability < _SILENCE_LOG_PROBABILITY

    @property
    def is_repetitive(self) -> bool:
        data = self.text.encode()
        return len(data) > 40 and len(data) / len(zlib.compress(data)) > _REPETITIVE


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
        if len(audio) <= _WINDOW_S * SAMPLE_RATE:
            text, log_probability, no_speech = self._short(audio, language, prompt)
        else:
            text, log_probability, no_speech = self._long(audio, language, prompt)
        return Transcript(text, time.perf_counter() - started, log_probability, no_speech)

    def _long(self, audio: Audio, language: Language, prompt: str) -> _Decoding:
        segments, _ = self._model.transcribe(
            audio,
            language=str(language),
            beam_size=self._beam_size,
            condition_on_previous_text=False,
            initial_prompt=prompt or None,
            vad_filter=True,
        )
        spoken = list(segments)
        if not spoken:
            return _Decoding("", 0.0, 1.0)
        return _Decoding(
            " ".join(segment.text.strip() for segment in spoken),
            float(np.mean([segment.avg_logprob for segment in spoken])),
            min(segment.no_speech_prob for segment in spoken),
        )

    def _short(self, audio: Audio, language: Language, prompt: str) -> _Decoding:
        """Greedily first; what that leaves unsure or repetitive is searched again with beams on the same encoding."""
        frames = int(_WINDOW_S * _FRAMES_PER_S)
        features = self._model.feature_extractor(audio)[:, :frames]
        encoded = self._model.encode(np.pad(features, ((0, 0), (0, frames - features.shape[1]))))
        tokenizer = self._tokenizer(language)
        previous = tokenizer.encode(" " + prompt.strip()) if prompt else []
        tokens = self._model.get_prompt(tokenizer, previous, without_timestamps=True)
        most_tokens = len(tokens) + 8 + len(audio) * _MAX_TOKENS_PER_S // SAMPLE_RATE
        best = _Decoding("", -10.0, 1.0)
        for beams in (1, self._beam_size):
            result: Any = self._model.model.generate(
                encoded,
                [tokens],
                beam_size=beams,
                max_length=most_tokens,
                return_scores=True,
                return_no_speech_prob=True,
            )[0]
            decoding = _Decoding(
                tokenizer.decode(result.sequences_ids[0]).strip(), float(result.scores[0]), float(result.no_speech_prob)
            )
            if decoding.is_silence:
                return _Decoding("", decoding.log_probability, decoding.no_speech_probability)
            if not decoding.is_repetitive and (not best.text or decoding.log_probability > best.log_probability):
                best = decoding
            if best.log_probability >= _RETRY_LOG_PROBABILITY:
                break
        return best

    def _tokenizer(self, language: Language) -> Tokenizer:
        if language not in self._tokenizers:
            self._tokenizers[language] = Tokenizer(
                self._model.hf_tokenizer, self._model.model.is_multilingual, task="transcribe", language=str(language)
            )
        return self._tokenizers[language]


class _Pause:
    """Finds the pause at the end of speech by loudness, sooner than voice activity detection makes sure of it."""

    def __init__(self) -> None:
        self._loudest = 0.0
        self._quiet_s = 0.0

    def hear(self, audio: bytes) -> None:
        samples = np.frombuffer(audio, dtype=np.int16).astype(np.float32)
        loudness = float(np.sqrt(np.mean(samples**2))) if samples.size else 0.0
        seconds = samples.size / SAMPLE_RATE
        self._loudest = max(loudness, self._loudest * (1 - 0.2 * seconds))
        self._quiet_s = self._quiet_s + seconds if loudness < _QUIET * self._loudest else 0.0

    @property
    def began(self) -> bool:
        return self._quiet_s >= _PAUSE_S


class WhisperSTTService(SegmentedSTTService):
    """One call's recogniser over a shared Transcriber. Wants the pipeline at 16 kHz: 8 kHz audio silently ruins it.

    Recognition begins when the speaker seems to pause. What it gives is used when the pause proves to be the end of the
    run of speech, and dropped when the speaker goes on.
    """

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
        self._pause = _Pause()
        self._early: Future[Transcript] | None = None  # of the run of speech that goes on
        self._recognised: deque[Future[Transcript] | None] = deque()  # of each run that ended, in order

    @property
    def wants_wav_segments(self) -> bool:
        return False

    def can_generate_metrics(self) -> bool:
        return True

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, VADUserStoppedSpeakingFrame):
            self._recognised.append(self._early)
            self._early = None
            self._pause = _Pause()
        await super().process_frame(frame, direction)

    async def process_audio_frame(self, frame: InputAudioRawFrame, direction: FrameDirection) -> None:
        await super().process_audio_frame(frame, direction)
        self._pause.hear(frame.audio)
        if not self._pause.began:
            if self._early is not None:
                self._early.cancel()
                self._early = None
        elif self._user_speaking and self._early is None:
            self._early = self._recognise(bytes(self._audio_buffer) + self._trailing_silence())

    def _recognise(self, audio: bytes) -> Future[Transcript]:
        samples = np.frombuffer(audio, dtype=np.int16).astype(np.float32) / 32768.0
        prompt = self._prompt() if self._prompt else ""
        return self._transcriber.executor.submit(
            self._transcriber.transcribe, samples, self._spoken_language, prompt=prompt
        )

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        early = self._recognised.popleft() if self._recognised else None
        await self.start_processing_metrics()
        try:
            transcript = await asyncio.wrap_future(early or self._recognise(audio))
        except RuntimeError as error:
            yield ErrorFrame(error=f"speech recognition failed: {type(error).__name__}")
            return
        await self.stop_processing_metrics()
        text = transcript.text or NOTHING_RECOGNISED
        yield TranscriptionFrame(text, "", time_now_iso8601(), PipecatLanguage(self._spoken_language))
