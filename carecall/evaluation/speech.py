"""Measures speech recognition on recordings, as they are or through the telephone's codec."""

import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from carecall.domain.language import Language
from carecall.errors import ModelFileError
from carecall.evaluation import metrics
from carecall.evaluation.kinds import Evaluation, Item, Progress
from carecall.evaluation.records import Codec, EvaluationFileError, Recording, language_of
from carecall.settings import settings

Audio = npt.NDArray[np.float32]  # mono, in [-1, 1]

_LINE_RATE = 8_000  # Hz, of the telephone
_BIAS, _CLIP = 132, 32_635  # ITU-T G.711, on a 16-bit scale


def recognition(
    recordings: Sequence[Recording], *, language: Language | None, codec: Codec, progress: Progress = iter
) -> Evaluation:
    """Character and word error rate, latency in seconds, and recognition time over audio time.

    Raises EvaluationFileError for a wav file that cannot be read, ModelFileError when the recogniser is not here.
    """
    from carecall import model_files
    from carecall.speech.whisper import SAMPLE_RATE, Transcriber

    heard = [(recording, *_read_wav(recording.path)) for recording in recordings]
    path = model_files.store().locate(settings().stt_model)
    if path is None:
        raise ModelFileError(
            f"The recogniser {settings().stt_model} is not on this machine. Run 'carecall models fetch "
            f"{settings().stt_model}'."
        )
    transcriber = Transcriber.load(path, threads=settings().threads)
    items: list[Item] = []
    audio_s = 0.0
    try:
        transcriber.transcribe(np.zeros(SAMPLE_RATE, dtype=np.float32), language or Language.ENGLISH)  # warms it up
        for recording, audio, rate in progress(heard):
            if codec is Codec.MULAW8K:
                audio, rate = through_telephone(audio, rate), _LINE_RATE
            spoken = language or language_of(recording.transcript)
            transcript = transcriber.transcribe(_resample(audio, rate, SAMPLE_RATE), spoken)
            audio_s += len(audio) / rate
            items.append(_item(recording, transcript.text, transcript.seconds))
    finally:
        transcriber.close()
    seconds = [float(each["seconds"]) for each in items]
    texts = [(metrics.plain(each["expected"]), metrics.plain(each["predicted"])) for each in items]
    figures = {
        "cer": metrics.error_rate([(_characters(wanted), _characters(found)) for wanted, found in texts]),
        "wer": metrics.error_rate([(wanted.split(), found.split()) for wanted, found in texts]),
        "latency_p50_s": metrics.percentile(seconds, 0.5),
        "latency_p95_s": metrics.percentile(seconds, 0.95),
        "rtf": sum(seconds) / audio_s if audio_s else 0.0,
    }
    return Evaluation("speech", items, figures)


def through_telephone(audio: Audio, rate: int) -> Audio:
    """The audio as a telephone line hands it over: 8 kHz, G.711 μ-law and back."""
    return _mulaw_decoded(_mulaw_encoded(_resample(audio, rate, _LINE_RATE)))


def _mulaw_encoded(audio: Audio) -> npt.NDArray[np.uint8]:
    samples = np.round(np.clip(audio, -1, 1) * 32_767).astype(np.int32)
    sign = np.where(samples < 0, 0x80, 0)
    magnitude = np.minimum(np.abs(samples), _CLIP) + _BIAS
    exponent = np.floor(np.log2(magnitude)).astype(np.int32) - 7
    mantissa = (magnitude >> (exponent + 3)) & 0x0F
    encoded: npt.NDArray[np.int32] = ~(sign | (exponent << 4) | mantissa) & 0xFF
    return encoded.astype(np.uint8)


def _mulaw_decoded(encoded: npt.NDArray[np.uint8]) -> Audio:
    bits = ~encoded.astype(np.int32) & 0xFF
    magnitude = ((((bits & 0x0F) << 3) + _BIAS) << ((bits >> 4) & 0x07)) - _BIAS
    return (np.where(bits & 0x80, -magnitude, magnitude) / 32_768).astype(np.float32)


def _resample(audio: Audio, rate: int, wanted: int) -> Audio:
    if rate == wanted:
        return audio
    import soxr

    resampled: Audio = soxr.resample(audio, rate, wanted)
    return resampled


def _read_wav(path: Path) -> tuple[Audio, int]:
    """The first channel and its rate in Hz."""
    try:
        with wave.open(str(path), "rb") as file:
            if file.getsampwidth() != 2:
                raise EvaluationFileError(f"{path}: is not 16-bit PCM. Convert it.")
            frames = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, file.getnchannels())
            return (frames[:, 0] / 32_768).astype(np.float32), file.getframerate()
    except OSError as error:
        raise EvaluationFileError(f"{path}: cannot be read ({error.strerror}). Check the path.") from None
    except (wave.Error, EOFError, ValueError) as error:
        raise EvaluationFileError(f"{path}: is not a wav file ({error}).") from None


def _item(recording: Recording, text: str, seconds: float) -> Item:
    wanted, found = metrics.plain(recording.transcript), metrics.plain(text)
    return {
        "id": recording.name,
        "predicted": text,
        "expected": recording.transcript,
        "text": text,
        "seconds": round(seconds, 3),
        "errors": metrics.edit_distance(_characters(wanted), _characters(found)),
    }


def _characters(text: str) -> str:
    return text.replace(" ", "")
