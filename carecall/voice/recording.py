"""The call's audio on its way to the disk, in stereo: the recipient left, the agent right."""

import asyncio
import logging
import threading
from types import TracebackType
from typing import Self

from pipecat.processors.audio.audio_buffer_processor import AudioBufferProcessor

from carecall.store.sound_file import SoundFile, SoundWriter

logger = logging.getLogger(__name__)


class Recording:
    """Writes a call's audio while the call goes on, a second at a time, sealed where the file is.

    What the file holds already, of a call that is taken up again, stays before it. A file that cannot be written to
    costs the recording, never the call.
    """

    def __init__(self, file: SoundFile, sample_rate: int) -> None:
        """``sample_rate`` in Hz."""
        self._file = file
        self.earlier_s: float | None = None  # how much audio there was before; None: it cannot be told
        self._writer: SoundWriter | None = None  # while the call goes on
        self._full = False  # a second that is missing would shift all that follows
        self._sample_rate = sample_rate
        self.processor = AudioBufferProcessor(
            sample_rate=sample_rate, num_channels=2, buffer_size=sample_rate * 2, auto_start_recording=True
        )
        self.processor.add_event_handler("on_audio_data", self._append)
        self._in_order = asyncio.Lock()
        self._writing = threading.Lock()  # a call that is cancelled leaves its last write to its thread

    def __enter__(self) -> Self:
        try:
            self._writer = self._file.writer(self._sample_rate)
        except OSError as trouble:
            logger.error("a call is not recorded: %s", trouble.strerror)
        else:
            self.earlier_s = self._writer.earlier_frames / self._sample_rate
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._writing:
            writer, self._writer = self._writer, None
            try:
                if writer is not None:
                    writer.close()
            except OSError as trouble:
                logger.error("the end of a recording could not be written: %s", trouble.strerror)

    async def _append(self, _processor: object, audio: bytes, _sample_rate: int, _channels: int) -> None:
        async with self._in_order:
            await asyncio.to_thread(self._write, audio)

    def _write(self, audio: bytes) -> None:
        with self._writing:
            if self._writer is None or self._full:
                return
            try:
                self._writer.write(audio)
            except OSError as trouble:
                logger.error("the rest of a call is not recorded: %s", trouble.strerror)
                self._full = True
