"""A voice on this machine as a pipecat TTS service."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pipecat.frames.frames import ErrorFrame, Frame, StartFrame, TTSAudioRawFrame
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService

from carecall.errors import SpeechError
from carecall.speech.phrases import PhraseCache

_LATEST_S = 15.0  # a line that is not rendered by then is given up
# One line at a time a process: a call waits for a cached phrase never, for another call's rendering at most a sentence.
_executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="voice")


class VoiceTTSService(TTSService):
    """Speaks lines from the phrase cache at once, and renders what is not in it off the event loop."""

    def __init__(
        self, phrases: PhraseCache, *, keep: Collection[str] = (), ahead: Sequence[str] = (), **kwargs: Any
    ) -> None:
        """``keep``: lines without personal data, which may be kept on disk; ``ahead``: lines to render at the start."""
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            stop_frame_timeout_s=_LATEST_S,
            sample_rate=phrases.sample_rate,
            settings=TTSSettings(model=None, voice=phrases.voice.name, language=None),
            **kwargs,
        )
        self._phrases = phrases
        self._keep = frozenset(keep)
        self._ahead = ahead

    def can_generate_metrics(self) -> bool:
        return True

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        for line in self._ahead:
            if self._phrases.get(line) is None:
                _executor.submit(self._render, line)

    def _render(self, line: str) -> bytes:
        return self._phrases.render(line, on_disk=line in self._keep)

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        audio = self._phrases.get(text)
        if audio is None:
            try:
                audio = await asyncio.get_running_loop().run_in_executor(_executor, self._render, text)
            except SpeechError as error:
                yield ErrorFrame(error=str(error))
                return
        await self.stop_ttfb_metrics()
        yield TTSAudioRawFrame(audio, self._phrases.sample_rate, 1, context_id=context_id)
