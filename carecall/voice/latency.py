"""From the end of the recipient's speech to the agent's first audio, turn by turn and stage by stage."""

import itertools
import time
from dataclasses import dataclass

from pipecat.frames.frames import (
    AggregatedTextFrame,
    BotStartedSpeakingFrame,
    Frame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSTextFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.observers.base_observer import BaseObserver, FramePushed


@dataclass(frozen=True, slots=True)
class TurnLatency:
    """Seconds that each stage added to one answer. Their sum is ``total_s``."""

    vad_s: float  # until the silence was long enough to count
    stt_s: float  # until the words were recognised
    turn_s: float  # until the turn was judged complete
    dialog_s: float  # understanding, deciding, wording: until the first sentence
    voice_s: float  # until its first audio
    line_s: float  # until that audio was on the line
    total_s: float


STAGES = ("vad", "stt", "turn", "dialog", "voice", "line")


class LatencyObserver(BaseObserver):
    """Collects a TurnLatency for every answer to a recipient's turn."""

    def __init__(self) -> None:
        super().__init__(observe_every_push=False)
        self.turns: list[TurnLatency] = []
        self._at: dict[str, float] = {}
        self._speech_end = 0.0

    async def on_push_frame(self, data: FramePushed) -> None:
        now = time.time()
        match data.frame:
            case VADUserStartedSpeakingFrame():
                self._at.clear()
            case VADUserStoppedSpeakingFrame() as stopped:
                self._speech_end = stopped.timestamp - stopped.stop_secs
                self._at = {"vad": now}
            case TTSTextFrame():
                pass
            case BotStartedSpeakingFrame():
                self._answered(now)
            case frame:
                stage = _stage(frame)
                if stage and self._at:
                    self._at.setdefault(stage, now)

    def _answered(self, now: float) -> None:
        if "turn" not in self._at:
            return
        marks = [self._speech_end]
        for stage in STAGES[:-1]:
            marks.append(max(marks[-1], self._at.get(stage, marks[-1])))
        marks.append(now)
        steps = (after - before for before, after in itertools.pairwise(marks))
        spent = {f"{stage}_s": step for stage, step in zip(STAGES, steps, strict=True)}
        self.turns.append(TurnLatency(**spent, total_s=now - self._speech_end))
        self._at.clear()


def _stage(frame: Frame) -> str | None:
    match frame:
        case TranscriptionFrame():
            return "stt"
        case UserStoppedSpeakingFrame():
            return "turn"
        case AggregatedTextFrame():
            return "dialog"
        case TTSAudioRawFrame():
            return "voice"
    return None
