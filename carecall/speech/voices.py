"""Voices that speak on this machine: Piper, espeak-ng, Coqui. Each renders text to 16-bit PCM, blocking."""

import io
import shutil
import subprocess
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from carecall.domain.language import Language
from carecall.errors import SpeechError


class Voice(Protocol):
    """Renders speech. ``version`` changes whenever the same text would sound different."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def sample_rate(self) -> int:
        """Hz."""
        ...

    def render(self, text: str) -> Iterator[bytes]:
        """Mono 16-bit PCM, a piece at a time. Raises SpeechError."""
        ...


class PiperVoice:
    """A Piper model (GPL-3.0-or-later, hence an extra of its own)."""

    def __init__(self, model: Path, *, length_scale: float | None = None) -> None:
        try:
            from piper import PiperVoice as Model
            from piper import SynthesisConfig
        except ModuleNotFoundError:
            raise SpeechError(
                "Piper is not installed; run 'pip install carecall[piper]' or set CARECALL_TTS_EN."
            ) from None
        path = next(model.glob("*.onnx"), None) if model.is_dir() else model
        if path is None:
            raise SpeechError(f"{model} holds no Piper voice; run 'carecall models fetch'.")
        self._voice = Model.load(path)
        self._config = SynthesisConfig(length_scale=length_scale)
        self.name = f"piper-{path.stem}"
        self.version = f"1-{length_scale or 'own'}"
        self.sample_rate = int(self._voice.config.sample_rate)

    def render(self, text: str) -> Iterator[bytes]:
        for chunk in self._voice.synthesize(text, self._config):
            yield chunk.audio_int16_bytes


class EspeakVoice:
    """espeak-ng (GPL-3.0-or-later) as a program of its own: the last resort, understandable to patient ears."""

    def __init__(self, language: Language, *, words_per_minute: int = 165) -> None:
        program = shutil.which("espeak-ng")
        if program is None:
            raise SpeechError("espeak-ng is not installed; run 'apt-get install espeak-ng' or set another voice.")
        self._command = [program, "-v", str(language), "-s", str(words_per_minute), "--stdout", "--stdin"]
        self.name = f"espeak-ng-{language}"
        self.version = str(words_per_minute)
        self.sample_rate = 22_050

    def render(self, text: str) -> Iterator[bytes]:
        try:
            done = subprocess.run(self._command, input=text.encode(), capture_output=True, timeout=20, check=True)
            with wave.open(io.BytesIO(done.stdout)) as audio:
                rate = audio.getframerate()
                frames = audio.readframes(len(done.stdout) // audio.getsampwidth())
        except (OSError, subprocess.SubprocessError, wave.Error, EOFError) as error:
            raise SpeechError(f"espeak-ng failed: {type(error).__name__}") from None
        if rate != self.sample_rate:
            raise SpeechError(f"espeak-ng renders at {rate} Hz, not at {self.sample_rate} Hz.")
        yield frames


class CoquiVoice:
    """A Coqui model (extra [coqui]), for Korean and English on a GPU. ``model`` is a Coqui model name or a folder."""

    def __init__(
        self, model: str, language: Language, *, speaker: str | None = None, speaker_wav: str | None = None
    ) -> None:
        try:
            import torch
            from TTS.api import TTS
        except ImportError as error:
            raise SpeechError(f"Coqui TTS cannot be imported ({error}); run 'pip install carecall[coqui]'.") from None
        device = "cuda" if torch.cuda.is_available() else "cpu"
        source: dict[str, Any] = {"model_path": model} if Path(model).exists() else {"model_name": model}
        self._tts = TTS(**source, progress_bar=False).to(device)
        self._options: dict[str, Any] = {"split_sentences": False}
        if self._tts.is_multi_lingual:
            self._options["language"] = str(language)
        if self._tts.is_multi_speaker:
            own = {"speaker": speaker or self._tts.speakers[0]}
            self._options |= {"speaker_wav": speaker_wav} if speaker_wav else own
        self.name = f"coqui-{Path(model).name}-{language}"
        self.version = f"1-{speaker or 'own'}"
        self.sample_rate = int(self._tts.synthesizer.output_sample_rate)

    def render(self, text: str) -> Iterator[bytes]:
        samples = np.asarray(self._tts.tts(text=text, **self._options), dtype=np.float32)
        yield (np.clip(samples, -1, 1) * 32767).astype(np.int16).tobytes()
