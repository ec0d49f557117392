"""When the recipient speaks and when a turn is over: Silero VAD and Smart Turn, their models loaded once a process."""

import asyncio
import copy
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

from pipecat.audio.turn.base_turn_analyzer import BaseTurnAnalyzer
from pipecat.audio.turn.smart_turn.base_smart_turn import BaseSmartTurn, SmartTurnParams
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
from pipecat.audio.vad.silero import SileroOnnxModel, SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VAD_STOP_SECS, VADAnalyzer, VADParams
from pipecat.frames.frames import (
    Frame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_stop import TurnAnalyzerUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies

# A bare "No." lasts 0.2 s on the line, and old voices are soft: pipecat's own values (0.2 s, 0.7, 0.6) miss them.
_START_S = 0.12
_CONFIDENCE = 0.6
_VOLUME = 0.4


_BARE_WORD_S = 0.7  # a turn with less speech is a bare word
_ELABORATION_S = 0.65  # silence after a bare word until it counts as the whole turn


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a person who pauses."""

    hold_s: float = 0.0  # silence needed beyond the usual 0.2 s before a turn may end at all
    unfinished_s: float = 2.5  # silence that ends a turn which sounds unfinished


class _SharedVAD(SileroVADAnalyzer):
    """Silero over a session that all calls share; the recurrent state is the call's own.

    pipecat builds a session per analyzer, which blocks the loop for tens of milliseconds at every call's start.
    """

    def __init__(self, session: Any, params: VADParams) -> None:
        VADAnalyzer.__init__(self, params=params)
        self._model = SileroOnnxModel.__new__(SileroOnnxModel)
        self._model.session = session
        self._model.sample_rates = [8000, 16000]
        self._model.reset_states()
        self._windows_since_reset = 0
        self._low_confidence_windows = 0


class _SharedSmartTurn(LocalSmartTurnAnalyzerV3):
    """Smart Turn over a session that all calls share."""

    def __init__(self, session: Any, params: SmartTurnParams) -> None:
        BaseSmartTurn.__init__(self, params=params)
        self._log_data = False  # never write a person's audio beside the program
        self._session = session


@cache
def _sessions() -> tuple[Any, Any]:
    return SileroVADAnalyzer()._model.session, LocalSmartTurnAnalyzerV3()._session


class WholeTurn(TurnAnalyzerUserTurnStopStrategy):
    """Ends a turn only when every run of speech in it has been recognised.

    pipecat takes any final transcript for the last one: with a pause inside a reply the words before the pause would
    end the turn, and those after it would be taken for the answer to the next question.
    """

    def __init__(self, turn_analyzer: BaseTurnAnalyzer) -> None:
        super().__init__(turn_analyzer=turn_analyzer)
        self._runs = 0  # runs of speech that are not recognised yet
        self._voice = False
        self._spoken_s = 0.0  # speech in this turn
        self._began = 0.0
        self._ended = 0.0
        self._holding: asyncio.Task[None] | None = None

    async def handle_user_turn_started(self) -> None:
        self._spoken_s = 0.0
        await super().handle_user_turn_started()

    async def cleanup(self) -> None:
        await self._let_go()
        await super().cleanup()

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        match frame:
            case VADUserStartedSpeakingFrame():
                self._voice = True
                self._began = frame.timestamp - frame.start_secs
                await self._let_go()
            case VADUserStoppedSpeakingFrame():
                self._voice = False
                self._runs += 1
                self._ended = frame.timestamp - frame.stop_secs
                self._spoken_s += max(0.0, self._ended - self._began)
            case TranscriptionFrame():
                self._runs = max(0, self._runs - 1)
                if self._runs or self._voice:
                    frame = copy.copy(frame)
                    frame.finalized = False
        return await super().process_frame(frame)

    async def trigger_user_turn_stopped(self, *, enable_user_speaking_frames: bool | None = None) -> None:
        """Ends the turn; after a bare word it waits a moment, because people go on: "No. I am in good spirits."."""
        await self._let_go()
        wait_s = self._ended + _ELABORATION_S - time.time() if self._spoken_s < _BARE_WORD_S else 0.0
        if wait_s > 0:
            self._holding = self.task_manager.create_task(
                self._end_after(wait_s, enable_user_speaking_frames), f"{self}::end_after"
            )
        else:
            await super().trigger_user_turn_stopped(enable_user_speaking_frames=enable_user_speaking_frames)

    async def _end_after(self, wait_s: float, enable_user_speaking_frames: bool | None) -> None:
        await asyncio.sleep(wait_s)
        self._holding = None
        await super().trigger_user_turn_stopped(enable_user_speaking_frames=enable_user_speaking_frames)

    async def _let_go(self) -> None:
        holding, self._holding = self._holding, None
        if holding is not None:
            await self.task_manager.cancel_task(holding)


def load() -> None:
    """Load the models now (about 0.2 s), so that the first call does not wait for them."""
    _sessions()


def voice_activity(patience: Patience) -> VADAnalyzer:
    """A voice activity detector for one call."""
    params = VADParams(
        start_secs=_START_S, stop_secs=VAD_STOP_SECS + patience.hold_s, confidence=_CONFIDENCE, min_volume=_VOLUME
    )
    return _SharedVAD(_sessions()[0], params)


def turn_strategies(patience: Patience) -> UserTurnStrategies:
    """A turn starts when a voice is heard, and ends when Smart Turn finds it complete and its words are recognised."""
    analyzer = _SharedSmartTurn(_sessions()[1], SmartTurnParams(stop_secs=patience.unfinished_s))
    return UserTurnStrategies(start=[VADUserTurnStartStrategy()], stop=[WholeTurn(analyzer)])
