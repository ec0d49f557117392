"""The audio of vetted lines, rendered once: on disk, keyed by text, voice, version and sample rate."""

import contextlib
import hashlib
import os
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
import soxr

from carecall.speech.voices import Voice

_IN_MEMORY = 512  # phrases; a sentence at 8 kHz is about 50 KB
_SILENCE = 300  # amplitude under which a voice is not yet, or no longer, speaking (16-bit)
_LEAD_S = 0.02
_TAIL_S = 0.12


class PhraseCache:
    """Audio of fixed lines for one voice at one sample rate. Safe for use from several threads."""

    def __init__(self, voice: Voice, sample_rate: int, folder: Path | None = None) -> None:
        """``sample_rate`` in Hz. ``folder`` None keeps everything in memory."""
        self.voice = voice
        self.sample_rate = sample_rate
        self._folder = folder
        self._memory: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def get(self, text: str) -> bytes | None:
        """The phrase's 16-bit PCM, or None when it has not been rendered."""
        key = self._key(text)
        with self._lock:
            if key in self._memory:
                self._memory.move_to_end(key)
                return self._memory[key]
        if self._folder is None:
            return None
        try:
            audio = (self._folder / key).read_bytes()
        except OSError:
            return None
        self._remember(key, audio)
        return audio

    def put(self, text: str, audio: bytes, *, on_disk: bool) -> None:
        """Keep a phrase. A line with a person's name in it must not go to disk."""
        key = self._key(text)
        self._remember(key, audio)
        if on_disk and self._folder is not None:
            _write(self._folder / key, audio)

    def render(self, text: str, *, on_disk: bool) -> bytes:
        """The phrase's audio, rendered now if need be; blocks. Raises SpeechError."""
        if (audio := self.get(text)) is None:
            audio = self.condition(b"".join(self.voice.render(text)))
            self.put(text, audio, on_disk=on_disk)
        return audio

    def condition(self, audio: bytes) -> bytes:
        """Brought to the cache's sample rate, with the silence that voices put around a phrase cut short."""
        samples = np.frombuffer(audio, dtype=np.int16)
        loud = np.flatnonzero(np.abs(samples) > _SILENCE)
        if loud.size:
            rate = self.voice.sample_rate
            samples = samples[max(0, loud[0] - int(_LEAD_S * rate)) : loud[-1] + int(_TAIL_S * rate)]
        if self.voice.sample_rate != self.sample_rate:
            samples = soxr.resample(samples, self.voice.sample_rate, self.sample_rate)
        return bytes(samples.astype(np.int16).tobytes())

    def _key(self, text: str) -> str:
        parts = "\0".join((text, self.voice.name, self.voice.version, str(self.sample_rate)))
        return hashlib.sha256(parts.encode()).hexdigest() + ".pcm"

    def _remember(self, key: str, audio: bytes) -> None:
        with self._lock:
            self._memory[key] = audio
            self._memory.move_to_end(key)
            while len(self._memory) > _IN_MEMORY:
                self._memory.popitem(last=False)


def _write(path: Path, audio: bytes) -> None:
    """Whole or not at all; a full disk costs only the cache."""
    with contextlib.suppress(OSError):
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(audio)
            os.replace(temporary, path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
