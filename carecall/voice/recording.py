"""The call's audio as a stereo WAV file: the recipient left, the agent right."""

import asyncio
import wave
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from pipecat.processors.audio.audio_buffer_processor import AudioBufferProcessor


class Recording:
    """Writes a call's audio while the call goes on, a second at a time; readable by its owner only.

    What the file holds already, of a call that is taken up again, stays before it.
    """

    def __init__(self, path: Path, sample_rate: int) -> None:
        """``sample_rate`` in Hz."""
        self.path = path
        self.earlier_s = 0.0  # how much audio there was before
        self._sample_rate = sample_rate
        self.processor = AudioBufferProcessor(
            sample_rate=sample_rate, num_channels=2, buffer_size=sample_rate * 2, auto_start_recording=True
        )
        self.processor.add_event_handler("on_audio_data", self._append)
        self._lock = asyncio.Lock()

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path.touch(mode=0o600)
        earlier = self._earlier()
        self.earlier_s = len(earlier) / (4 * self._sample_rate)
        self._file = wave.open(str(self.path), "wb")
        self._file.setnchannels(2)
        self._file.setsampwidth(2)
        self._file.setframerate(self._sample_rate)
        self._file.writeframes(earlier)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _earlier(self) -> bytes:
        with suppress(wave.Error, EOFError), wave.open(str(self.path), "rb") as file:
            return file.readframes(file.getnframes())
        return b""

    async def _append(self, _processor: object, audio: bytes, _sample_rate: int, _channels: int) -> None:
        async with self._lock:
            await asyncio.to_thread(self._file.writeframes, audio)
