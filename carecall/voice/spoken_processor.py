"""Tells the dialog manager what really went out on the line, turn by turn."""

from dataclasses import dataclass
from typing import Any

from pipecat.frames.frames import (
    AggregatedTextFrame,
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    ControlFrame,
    Frame,
    InterruptionFrame,
    TTSTextFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from carecall.dialog.manager import DialogManager
from carecall.voice.dialog_processor import CallClock


@dataclass
class _TurnSpokenFrame(ControlFrame):
    """Queued behind the texts of the turn, which travel slower than the news that the agent fell silent."""

    ended_s: float = 0.0
    interruptible: bool = False


class SpokenProcessor(FrameProcessor):
    """Stands after the output transport, where a sentence's text passes when its audio has been sent."""

    def __init__(self, manager: DialogManager, clock: CallClock, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._manager = manager
        self._clock = clock
        self._spoken: list[str] = []
        self._begun = ""
        self._started_s = 0.0
        self._interrupted = False

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        match frame:
            case BotStartedSpeakingFrame() if direction is FrameDirection.DOWNSTREAM:
                self._started_s = self._clock.at()
                self._interrupted = False
            case BotStoppedSpeakingFrame() if direction is FrameDirection.DOWNSTREAM:
                await self.queue_frame(_TurnSpokenFrame(ended_s=self._clock.at()))
            case InterruptionFrame():
                self._interrupted = True
            case TTSTextFrame():
                self._spoken.append(frame.text)
                self._begun = ""
            case AggregatedTextFrame():
                self._begun = frame.text
            case _TurnSpokenFrame():
                await self._turn_spoken(frame.ended_s)
                return
        await self.push_frame(frame, direction)

    async def _turn_spoken(self, ended_s: float) -> None:
        text = " ".join([*self._spoken, *([self._begun] if self._begun else [])])
        cut = self._interrupted and bool(self._begun)
        self._spoken, self._begun, self._interrupted = [], "", False
        if text:
            await self._manager.spoken(text, started_s=self._started_s, ended_s=ended_s, interrupted=cut)
