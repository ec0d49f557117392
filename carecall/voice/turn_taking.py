"""When the recipient speaks and when a turn is over: Silero VAD and Smart Turn, their models loaded once a process."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from pipecat.audio.turn.smart_turn.base_smart_turn import BaseSmartTurn, SmartTurnParams
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
from pipecat.audio.vad.silero import SileroOnnxModel, SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VAD_STOP_SECS, VADAnalyzer, VADParams
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_stop import TurnAnalyzerUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies


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


def load() -> None:
    """Load the models now (about 0.2 s), so that the first call does not wait for them."""
    _sessions()


def voice_activity(patience: Patience) -> VADAnalyzer:
    """A voice activity detector for one call."""
    return _SharedVAD(_sessions()[0], VADParams(stop_secs=VAD_STOP_SECS + patience.hold_s))


def turn_strategies(patience: Patience) -> UserTurnStrategies:
    """A turn starts when a voice is heard, and ends when Smart Turn finds it complete and its words are recognised."""
    analyzer = _SharedSmartTurn(_sessions()[1], SmartTurnParams(stop_secs=patience.unfinished_s))
    return UserTurnStrategies(
        start=[VADUserTurnStartStrategy()], stop=[TurnAnalyzerUserTurnStopStrategy(turn_analyzer=analyzer)]
    )
