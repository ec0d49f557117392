"""Joins the dialog manager to the line: the recipient's words go in, the agent's sentences come out as text frames."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from pipecat.frames.frames import (
    AggregatedTextFrame,
    EndWorkerFrame,
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    StartFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.turns.user_turn_processor import UserTurnProcessor
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.utils.text.base_text_aggregator import TextType

from carecall.dialog.manager import DialogManager, Sentence
from carecall.speech.whisper import NOTHING_RECOGNISED

logger = logging.getLogger(__name__)

_NOISE_S = 1.0  # something shorter that has no words in it is taken for a cough or a slammed door
_IDLE_S = 7.0  # silence after the agent's turn until it asks whether somebody is there


class CallClock:
    """Seconds since the call's audio began; ``earlier_s`` of them were before this line, which took the call up."""

    def __init__(self, earlier_s: float = 0.0) -> None:
        self._earlier_s = earlier_s
        self.start()

    def start(self) -> None:
        self._began = time.time() - self._earlier_s

    def at(self, wall: float | None = None) -> float:
        """The call's time at a wall clock time in seconds, now by default; never negative."""
        return max(0.0, (time.time() if wall is None else wall) - self._began)


class DialogProcessor(UserTurnProcessor):
    """Holds the conversation. Owns the turn taking, so that a turn's words are in before its end is handled."""

    def __init__(self, manager: DialogManager, clock: CallClock, strategies: UserTurnStrategies, **kwargs: Any) -> None:
        super().__init__(user_turn_strategies=strategies, user_idle_timeout=_IDLE_S, **kwargs)
        self._manager = manager
        self._clock = clock
        self._words: list[str] = []
        self._speech_began: float | None = None
        self._speech_ended = 0.0
        self._speaking: asyncio.Task[None] | None = None
        self.failure: Exception | None = None  # what made the conversation impossible
        self.add_event_handler("on_user_turn_stopped", self._turn_stopped)
        self.add_event_handler("on_user_turn_idle", self._idle)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        match frame:
            case VADUserStartedSpeakingFrame() if self._speech_began is None:
                self._speech_began = self._clock.at(frame.timestamp - frame.start_secs)
            case VADUserStoppedSpeakingFrame():
                self._speech_ended = self._clock.at(frame.timestamp - frame.stop_secs)
            case TranscriptionFrame():
                self._words.append(frame.text.replace(NOTHING_RECOGNISED, "").strip())
        await super().process_frame(frame, direction)
        if isinstance(frame, StartFrame):
            self._clock.start()
            await self._say(self._manager.open())

    async def broadcast_interruption(self) -> None:
        """The recipient talks over the agent: what is still being worded must not follow."""
        await self._fall_silent()
        await super().broadcast_interruption()

    async def cleanup(self) -> None:
        await self._fall_silent()
        await super().cleanup()

    async def _turn_stopped(self, _processor: object, _strategy: object) -> None:
        text = " ".join(word for word in self._words if word)
        began = self._speech_ended if self._speech_began is None else self._speech_began
        ended = max(began, self._speech_ended)
        self._words, self._speech_began = [], None
        if self._manager.ended:
            return
        if text or ended - began >= _NOISE_S:
            await self._say(self._manager.reply(text, started_s=began, ended_s=ended))
        else:
            await self._say(self._manager.resume())

    async def _idle(self, _processor: object) -> None:
        if not self._manager.ended:
            await self._say(self._manager.silence(at_s=self._clock.at()))

    async def _say(self, sentences: AsyncGenerator[Sentence, None]) -> None:
        await self._fall_silent()
        self._speaking = self.create_task(self._speak(sentences), "speak")

    async def _speak(self, sentences: AsyncGenerator[Sentence, None]) -> None:
        try:
            await self._speak_all(sentences)
        except Exception as error:  # noqa: BLE001 - a dead line is worse than a call that ends
            logger.error("the conversation failed: %s", type(error).__name__)
            self.failure = error
            await self.push_frame(EndWorkerFrame(), FrameDirection.UPSTREAM)

    async def _speak_all(self, sentences: AsyncGenerator[Sentence, None]) -> None:
        opened = False
        async with aclosing(sentences):
            async for sentence in sentences:
                if not opened:
                    # One response is one run of audio: the agent is not taken for done between its sentences.
                    await self.push_frame(LLMFullResponseStartFrame())
                    opened = True
                await self.push_frame(AggregatedTextFrame(sentence.text, TextType.SENTENCE, raw_text=sentence.text))
        if opened:
            await self.push_frame(LLMFullResponseEndFrame())
        if self._manager.ended:
            await self.push_frame(EndWorkerFrame(), FrameDirection.UPSTREAM)

    async def _fall_silent(self) -> None:
        task, self._speaking = self._speaking, None
        if task is not None and not task.done() and task is not asyncio.current_task():
            await self.cancel_task(task)
